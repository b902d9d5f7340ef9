"""FollowingRun: what a worker that does not write the run folder has in the place of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from train.run_folder.resume import RunToResume
from train.runs import RUNNING, RunRecord


class FollowingRun:
    """A run folder that another worker writes: it has the methods of OpenRun, and none of them writes.

    Args:
        folder: run folder, on a disk that all workers share.

    Attributes:
        folder: run folder.
        record: record of the run as the training has it; None until `begin` or `go_on`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record: RunRecord | None = None

    def __enter__(self) -> FollowingRun:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def begin(self, record: RunRecord, *_state: Any) -> RunRecord:
        """Take the record of a run that begins."""
        self.record = record
        return record

    def go_on(self, start: RunToResume) -> RunRecord:
        """Return the record of the checkpoint."""
        self.record = dataclasses.replace(start.record, status=RUNNING, end_reason="")
        return self.record

    def checkpoint(self, record: RunRecord, *_state: Any) -> RunRecord:
        """Take the record."""
        self.record = record
        return record

    def end(self, status: str, reason: str = "") -> RunRecord:
        """Return the record with how the training ended."""
        self.record = dataclasses.replace(self.record, status=status, end_reason=reason)
        return self.record
