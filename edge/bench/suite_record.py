"""The state of a suite: which runs are done, so that an interrupted suite goes on where it was."""

from __future__ import annotations

from typing import Any

from edge.records import record

SUITE_FILE = "suite.json"


@record(schema=1, what="run of a suite")
class SuiteRun:
    """One run of a suite that is done.

    Attributes:
        engine: Folder of the engine, as the command found it.
        engine_sha256: SHA-256 of the engine file.
        round: Number of the round, 0 for the first.
        record: Path of the record in the suite's folder; "" where the run failed.
        run_id: Name of the run in the runs database; "" where it is in none.
        taken_s: Time in s that the run took, with its warm-up and accuracy.
        failure: Line that says why there is no record; "" where there is one.
    """

    engine: str
    engine_sha256: str
    round: int
    record: str
    run_id: str
    taken_s: float
    failure: str = ""


@record(schema=1, what="suite", made_by="edge-bench suite")
class SuiteRecord:
    """Rules of a suite, which hold for all of its runs, and the runs that are done.

    Attributes:
        rules: Option -> value, of every option that a figure depends on.
        runs: Runs that are done, in their order.
    """

    rules: dict[str, Any]
    runs: tuple[SuiteRun, ...] = ()
