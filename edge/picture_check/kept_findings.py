"""What an earlier check found out about pairs, kept in the user's cache folder for files that have not changed since.

    $SEGEDGE_CACHE or ~/.cache/segedge/checked/<dataset>-<split>-<hash of where it lies>.json

A file is known by its size, the time of its last change and that of the last change of its entry in the folder, which
no copying tool sets back. What was changed within the last two seconds is not kept: on a disk that notes whole seconds,
a second change would leave the same times. A finding holds for the code, the classes and the coding of values that it
was made with. A file that is torn, of another form or cannot be written is no error: the pairs are checked again.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge.artifacts import sha256_json, write_bytes
from edge.code_digest import code_digest
from edge.datasets import Dataset, LabelCoding, Sample
from edge.errors import StorageError
from edge.opencv import cv2
from edge.picture_check.pairs import PairFinding
from edge.user_cache import cache_folder

_SETTLED_NS = 2_000_000_000
_FIELDS = tuple(PairFinding.__dataclass_fields__)

Stamp = tuple  # of the size, times and coding that a finding holds for


class KeptFindings:
    """Findings of a split that hold as long as its files do not change.

    Args:
        dataset: Split that the findings are of.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._made_by = _made_by(dataset)
        self._path = _place(dataset)
        self._entries = _read(self._path, self._made_by)
        self._is_new = False

    def find(self, sample: Sample, stamp: Stamp) -> PairFinding | None:
        """Return what is known of a pair; None where nothing is known of its files as they are now.

        Args:
            sample: Frame with its label map.
            stamp: What `stamp_of` gives for it.
        """
        entry = self._entries.get(str(sample.image_path))
        if entry is None or entry["stamp"] != list(stamp):
            return None
        return PairFinding(**{name: _as_tuples(entry[name]) for name in _FIELDS})

    def keep(self, sample: Sample, stamp: Stamp, finding: PairFinding) -> None:
        """Keep what was found out about a pair, unless it was changed just now.

        Args:
            sample: Frame with its label map.
            stamp: What `stamp_of` gave before the files were read.
            finding: What was found out.
        """
        if not stamp or time.time_ns() - max(stamp[1:3] + stamp[4:6]) < _SETTLED_NS:
            return
        self._entries[str(sample.image_path)] = {"stamp": list(stamp), **asdict(finding)}
        self._is_new = True

    def write(self) -> None:
        """Write the findings, where there are new ones and the cache folder can be written."""
        if not self._is_new or self._path is None:
            return
        body = json.dumps({"made_by": self._made_by, "entries": self._entries}, separators=(",", ":")).encode()
        with contextlib.suppress(OSError, StorageError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_bytes(self._path, hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


def stamp_of(sample: Sample) -> Stamp:
    """Return what tells whether the files of a pair have changed; nothing where one of them cannot be looked at."""
    parts: list[Any] = []
    for path in (sample.image_path, sample.label_path):
        if path is None:
            parts += [0, 0, 0]
            continue
        try:
            state = path.stat()
        except OSError:
            return ()
        parts += [state.st_size, state.st_mtime_ns, state.st_ctime_ns]
    return (*parts, _coding_key(sample.coding), sample.labels_are_train_ids, str(sample.label_path))


def _coding_key(coding: LabelCoding | None) -> str:
    if coding is None:
        return ""
    return _hash_of_coding(tuple(coding.ids.items()), tuple(coding.colors.items()), coding.ids_hint)


@functools.lru_cache(maxsize=64)
def _hash_of_coding(*parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _place(dataset: Dataset) -> Path | None:
    where = hashlib.sha256(os.fsencode(os.path.realpath(dataset.root))).hexdigest()[:16]
    try:
        return cache_folder() / "checked" / f"{dataset.name}-{dataset.split}-{where}.json"
    except StorageError:
        return None


def _made_by(dataset: Dataset) -> str:
    """Return a hash of everything but the files that findings rest on."""
    table = dataset.table
    colors = sorted((list(color), train_id) for color, train_id in table.file_colors.items())
    classes = [table.name, list(table.class_names), sorted(table.raw_to_train.items()), colors]
    return sha256_json([code_digest("edge.picture_check.pairs"), cv2.__version__, classes])


def _read(path: Path | None, made_by: str) -> dict[str, dict[str, Any]]:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        digest, body = path.read_bytes().split(b"\n", 1) if path is not None else (b"", b"")
        if hashlib.sha256(body).hexdigest().encode() == digest:
            content = json.loads(body)
            return content["entries"] if content["made_by"] == made_by else {}
    return {}


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value
