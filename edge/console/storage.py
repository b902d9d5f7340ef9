"""The error for a file or folder that cannot be written."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from edge.errors import StorageError

STORAGE_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
"""Numbers of the system's errors that the user can mend by another place or more space."""


def storage_error(error: OSError, path: str | os.PathLike | None = None) -> StorageError:
    """Return the StorageError that says what could not be written, and why."""
    where = os.fspath(path) if path is not None else (error.filename or "the output")
    if error.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR):
        in_the_way = _in_the_way(where)
        if in_the_way:
            return StorageError(f"cannot write {where}: {in_the_way}. Next: name another")
    hint = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "choose a folder you may write to"
    if error.errno == errno.ENAMETOOLONG:
        where, hint = f"{where[:60]}...", "name a shorter one"
    return StorageError(f"cannot write {where}: {error.strerror or error}. Next: {hint} and run the command again")


def _in_the_way(where: str) -> str:
    """Return what stands in the way of a file or folder that is to be written; "" where nothing does."""
    for path in (Path(where), *Path(where).parents):
        if path.is_file():
            return f"{path} is a file, expected a folder"
    return f"{where} is a folder, expected the name of a file" if Path(where).is_dir() else ""
