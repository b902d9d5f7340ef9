"""The mark of a drawn set that is not whole."""

from __future__ import annotations

from pathlib import Path

from edge.console import print_warning_once

UNFINISHED_FILE = ".synthetic-unfinished"
"""File in the folder of a drawn set from the beginning of its drawing to the end."""


def if_unfinished(root: Path) -> str:
    """Return what to know about a drawn set that is not whole, as the end of a sentence; "" of any other folder."""
    if not (root / UNFINISHED_FILE).exists():
        return ""
    world = " --world rail" if (root / "jpgs").is_dir() else ""
    return (
        ", and its drawing did not come to the end: it was interrupted, or still goes on. "
        f"Next: python -m edge.synthetic {root}{world}, which draws it anew"
    )


def warn_if_unfinished(root: Path, what_is_there: str) -> None:
    """Warn that a drawn set is not whole; `what_is_there` is the beginning of the sentence."""
    if if_unfinished(root):
        print_warning_once(f"{what_is_there}{if_unfinished(root)}")
