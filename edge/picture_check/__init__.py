"""The check of all pictures of a folder or split, before a command spends its first minute on them.

    pictures.py       what is wrong with the pictures of a folder; what is said of bad ones, or left out
    pairs.py          what is found out about a frame and its label map
    kept_findings.py  what an earlier check found out, for files that have not changed since
    checked.py        the check of a split
    progress.py       many files on several threads, with progress once it takes long

Headers and the chain of segments of every file are read, which takes about 0.1 ms a file; pixels are decoded of label
maps, and of frames where that is asked for. What is wrong is named in one message, or left out and counted where the
user asked for that.
"""

from __future__ import annotations

from edge.picture_check.checked import checked_dataset, dataset_findings
from edge.picture_check.pairs import PairFinding
from edge.picture_check.pictures import CHECK_DATA_HELP, SKIP_BAD_HELP, picture_problems, refuse_or_leave_out

__all__ = [
    "CHECK_DATA_HELP",
    "SKIP_BAD_HELP",
    "PairFinding",
    "checked_dataset",
    "dataset_findings",
    "picture_problems",
    "refuse_or_leave_out",
]
