"""Whether results can be written where the user wants them, before minutes are spent on them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from edge.console import storage_error
from edge.errors import StorageError


def check_output(folder: Path) -> None:
    """Refuse a folder that results cannot be written to, before minutes are spent on them; nothing is left behind.

    Raises:
        StorageError: The path, or one that it lies under, is a file; this user may not write there; or the disk is
            read-only or full.
    """
    ground = folder
    try:
        while not ground.exists():
            if ground.is_symlink():
                raise StorageError(f"cannot write {folder}: {ground} is a link to nothing. Next: name another folder")
            ground = ground.parent
    except OSError as error:  # a name that is too long, or a folder that this user may not look into
        raise storage_error(error, folder) from error
    if not ground.is_dir():
        raise StorageError(f"cannot write {folder}: {ground} is a file, expected a folder. Next: name another folder")
    try:
        # Written to, since permissions do not tell of a read-only disk, or of a full one.
        with tempfile.TemporaryFile(dir=ground) as trial:
            trial.write(b"\0" * 4096)
    except OSError as error:
        raise storage_error(error, folder) from error


def check_output_file(path: Path) -> None:
    """Refuse a file that a result cannot be written to, before minutes are spent on it; nothing is left behind.

    Raises:
        StorageError: The path is a folder, or its folder cannot be written to (`check_output`).
    """
    check_output(path.parent)
    if path.is_dir():
        raise StorageError(f"cannot write {path}: {path} is a folder, expected the name of a file. Next: name another")
