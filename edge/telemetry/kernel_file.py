"""One value out of one file of the kernel, which may be absent, empty or an error at any time."""

from __future__ import annotations

import os
from pathlib import Path

_MOST_BYTES = 4096
"""Bytes of one read: a file of sysfs is at most a page."""

_NUMBER_BYTES = 64


def read_text(path: str | Path) -> str | None:
    """Return what a file of the kernel says, without the spaces and zero bytes around it; None where it cannot be read.

    The file is opened for each reading: an open one would go on showing an old file where it was replaced.
    """
    try:
        # Without Python's buffered layers, which cost more than the kernel's part of the work.
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(file, _MOST_BYTES).decode("utf-8", "replace").strip("\x00\n ")
    except OSError:
        # A rail or a GPU that is switched off answers with an error (ENODATA, EAGAIN).
        return None
    finally:
        os.close(file)


def read_number(path: str | Path) -> float | None:
    """Return the number in a file of the kernel; None where there is none, such as a fan with an empty line."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return float(os.read(file, _NUMBER_BYTES))
    except (OSError, ValueError):
        return None
    finally:
        os.close(file)
