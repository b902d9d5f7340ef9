"""Files under temporary names whose process was killed: how they are named, and when one is removed.

A process that is killed (SIGKILL, a power cut) cannot remove what it was writing. Its temporary names say whose they
are:

    .writing-<where>-<pid>-<start>-<random><suffix>

`where`, `pid` and `start` are those of edge.process_identity. So a file is removed at once if its process is of here
and gone, even where the pid was given to another process. What was written elsewhere (another machine on a shared
folder, another container, before a restart) cannot be asked for its process: it is removed when nothing has been
written to it for a day, by the clock of the folder's own file system.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from pathlib import Path

from edge.process_identity import is_alive, start_time, where_processes_live

WRITING, UNMEASURED, COMPILING = ".writing-", ".unmeasured-", ".compile-"
"""Beginnings of the names of a file that is being written, of an engine that is measured, and of a compilation."""

FOREIGN_AGE_S = 24 * 3600.0
"""Time in s without a change after which a file of another machine counts as left over."""

_searched: set[tuple[int, Path]] = set()
"""Process and folder of each search; a forked process searches again."""

_NAME = re.compile(r"\.(?:writing|unmeasured|compile)-(?:(?P<where>[0-9a-f]{8})-(?P<pid>\d+)-(?P<start>\d+)-)?")


def temporary_prefix(kind: str = WRITING) -> str:
    """Return the beginning of a temporary name that this process gives."""
    return f"{kind}{where_processes_live()}-{os.getpid()}-{start_time(os.getpid()) or 0}-"


def remove_leftovers(folder: Path, reference: Path) -> None:
    """Remove what killed processes left in a folder; what a live process writes stays.

    A process searches a folder once, since it may write ten thousand pictures into it.

    Args:
        folder: Folder that is searched, without the folders in it.
        reference: File or folder in `folder` that was made just now; its time is that of the file system's clock.
    """
    key = (os.getpid(), folder.absolute())
    if key in _searched:
        return
    _searched.add(key)
    with contextlib.suppress(OSError):  # another process may remove the same, or the folder may be read-only
        now_s = reference.stat().st_mtime
        with os.scandir(folder) as entries:
            candidates = [Path(entry.path) for entry in entries if _NAME.match(entry.name)]
        for path in candidates:
            if path != reference and _is_left_over(path, now_s):
                _remove(path)


def _is_left_over(path: Path, now_s: float) -> bool:
    name = _NAME.match(path.name)
    if name is not None and name["where"] == where_processes_live():
        pid = int(name["pid"])
        return not is_alive(pid, int(name["start"]))
    with contextlib.suppress(OSError):
        return now_s - path.lstat().st_mtime > FOREIGN_AGE_S
    return False


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
