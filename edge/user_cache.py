"""The user's cache folder, where compiled code and measured times of this machine are kept for later runs."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path

from edge.errors import StorageError


def cache_folder() -> Path:
    """Return the folder for compiled kernels and layer times; it is created if it does not exist.

    Returns:
        $SEGEDGE_CACHE, else $XDG_CACHE_HOME/segedge, else ~/.cache/segedge. Where that cannot be written or belongs to
        another user, a private temporary folder that is removed when the process ends.

    Raises:
        StorageError: Not even a temporary folder can be created.
    """
    for folder in _cache_candidates():
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # A library is code: nothing is loaded from a folder that belongs to somebody else.
            if folder.stat().st_uid in (os.getuid(), 0) and os.access(folder, os.R_OK | os.W_OK | os.X_OK):
                return folder
    return _private_folder()


def _cache_candidates() -> list[Path]:
    if os.environ.get("SEGEDGE_CACHE"):
        return [Path(os.environ["SEGEDGE_CACHE"])]
    if os.environ.get("XDG_CACHE_HOME"):
        return [Path(os.environ["XDG_CACHE_HOME"]) / "segedge"]
    try:
        return [Path.home() / ".cache" / "segedge"]
    except RuntimeError:  # no HOME and no entry in the user table, as in some containers
        return []


@lru_cache(maxsize=None)
def _private_folder() -> Path:
    try:
        folder = tempfile.mkdtemp(prefix="segedge-")
    except OSError as error:
        raise StorageError(f"no cache folder can be written ({error})") from None
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
