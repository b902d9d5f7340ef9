"""Committed lists of frames, where a dataset is passed on without a split; which frames train is what is left.

railsem19_val.txt, railsem19_test.txt
    RailSem19's 8,500 frames in the order of the SHA-256 of their names ("rs00000" to "rs08499", as hexadecimal digits):
    the first 850 validate, the next 850 test. A list sorted by a hash is of no one's choice, and stays the same where
    only a part of the archive lies on disk. The archive does not say which frames are of one video, so a video may be
    in several splits.
"""

from __future__ import annotations

import functools
from pathlib import Path


@functools.lru_cache(maxsize=8)
def listed_names(name: str) -> frozenset[str]:
    """Return the names of frames in a committed list, such as "railsem19_val"."""
    return frozenset(Path(__file__).with_name(f"{name}.txt").read_text(encoding="ascii").split())
