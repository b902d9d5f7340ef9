"""Where a command writes its results, which is never over the results of an earlier run.

The first run of a folder lies in the folder itself, later ones in `run-2`, `run-3` and so on inside it. So a folder
stands for all runs that were written to it, and an earlier result stays what it was.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Iterator, Sequence

from edge.console import storage_error
from edge.errors import StorageError

_RUN = re.compile(r"run-(\d+)")


@contextlib.contextmanager
def free_folder(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """Give a folder of its own to the results of one run; it is removed again where nothing was written.

    Args:
        folder: Folder that the user named.
        names: Names of the files and folders that the run writes.

    Yields:
        The folder itself where it holds none of these names, else a new folder `run-N` in it.

    Raises:
        StorageError: The folder cannot be made.
    """
    made: list[Path] = []
    try:
        chosen = _make(folder, names, made)
    except OSError as error:
        raise storage_error(error, folder) from error
    try:
        yield chosen
    finally:
        for each in reversed(made):
            with contextlib.suppress(OSError):  # it is not empty
                each.rmdir()


def latest_folder(folder: Path, name: str) -> tuple[Path, int]:
    """Return the folder of the latest run that wrote a file, and the number of runs that did.

    Args:
        folder: Folder that the user named.
        name: Name of the file.

    Returns:
        The folder of the latest run; `folder` itself, and 0, where no run wrote such a file.
    """
    runs = [(1, folder)] if (folder / name).exists() else []
    for path in folder.glob("run-*"):
        number = _RUN.fullmatch(path.name)
        if number and (path / name).exists():
            runs.append((int(number[1]), path))
    return (max(runs)[1], len(runs)) if runs else (folder, 0)


def _make(folder: Path, names: Sequence[str], made: list[Path]) -> Path:
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        made.append(path)
    if not any(os.path.lexists(folder / name) for name in names):
        return folder
    number = max(
        (int(found[1]) for found in (_RUN.fullmatch(path.name) for path in folder.iterdir()) if found), default=1
    )
    for _ in range(1000):
        number += 1
        with contextlib.suppress(FileExistsError):  # another command took it in this moment
            path = folder / f"run-{number}"
            path.mkdir()
            made.append(path)
            return path
    raise StorageError(f"no free folder was found in {folder} after run-{number}. Next: name another folder")
