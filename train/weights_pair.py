"""Weights and the record that names their hash, written so that a kill between the two loses neither.

    best.<12 digits of the hash>.weights.h5    new weights, whole
    run.json                                   names the new hash
    best.weights.h5                            the new weights are renamed to it

Until the record is replaced, the old weights and the old record are a pair; from then on the new weights are found by
the hash in the record, under one name or the other. Whoever builds from them finishes the renaming, or reads them where
they are if the folder is read-only.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Callable, Mapping

from edge.artifacts import sha256_file, sync_file, sync_folder
from edge.console import storage_error
from edge.errors import StorageError
from edge.leftovers import temporary_prefix

WEIGHTS_SUFFIX = ".weights.h5"

_STAGED = re.compile(r"(?P<stem>[^.]+)\.(?P<digest>[0-9a-f]{12})\.weights\.h5")


def staged_path(folder: Path, name: str, sha256: str) -> Path:
    """Return the path of weights that are whole, and are not yet at their name.

    Args:
        folder: run folder.
        name: name of the weights file, such as "best.weights.h5".
        sha256: SHA-256 of the weights file.
    """
    return folder / f"{name[: -len(WEIGHTS_SUFFIX)]}.{sha256[:12]}{WEIGHTS_SUFFIX}"


def stage_weights(folder: Path, name: str, write: Callable[[Path], None]) -> str:
    """Write weights beside those that there are, and return their SHA-256.

    Args:
        folder: run folder.
        name: name that the weights get in the end, such as "best.weights.h5".
        write: function that writes the weights to the path that it is given.

    Raises:
        StorageError: the disk is full, or the folder may not be written to.
    """
    temporary = folder / f"{temporary_prefix()}{name}"
    try:
        write(temporary)
        sync_file(temporary)
        digest = sha256_file(temporary)
        os.replace(temporary, staged_path(folder, name, digest))
        sync_folder(folder)
    except (OSError, RuntimeError) as error:
        raise storage_error(_as_os_error(error), folder / name) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
    return digest


def put_in_place(folder: Path, name: str, sha256: str) -> None:
    """Rename staged weights to their name, if they are still staged; a reader may have done it.

    Raises:
        StorageError: the folder may not be written to.
    """
    try:
        os.replace(staged_path(folder, name, sha256), folder / name)
    except FileNotFoundError:
        return
    except OSError as error:
        raise storage_error(error, folder / name) from error
    sync_folder(folder)


def described_path(folder: Path, name: str, sha256: str | None) -> Path:
    """Return where the weights lie that a record names; nothing is renamed.

    Args:
        folder: run folder.
        name: name of the weights file, such as "best.weights.h5".
        sha256: SHA-256 in the record; None where it names none.

    Returns:
        The path of the weights, which need not exist; whether their content is that of the record is not looked at.
    """
    staged = staged_path(folder, name, sha256) if sha256 is not None else None
    return staged if staged is not None and staged.is_file() else folder / name


def settled_path(folder: Path, name: str, sha256: str | None) -> Path:
    """Finish a renaming that was broken off, where the folder may be written to, and return `described_path`.

    Args:
        folder: run folder, which may be read-only; its record on the disk has to be the one that names `sha256`.
        name: name of the weights file, such as "best.weights.h5".
        sha256: SHA-256 in the record; None where it names none.
    """
    if sha256 is not None:
        with contextlib.suppress(StorageError):
            put_in_place(folder, name, sha256)
    return described_path(folder, name, sha256)


def remove_unnamed(folder: Path, *records: Mapping[str, str]) -> None:
    """Remove staged weights that no record names, which a kill or a full disk left behind.

    Args:
        folder: run folder, which nobody else trains in.
        records: name of each weights file -> its SHA-256, of each record that counts.
    """
    named = {staged_path(folder, name, sha256).name for record in records for name, sha256 in record.items()}
    with contextlib.suppress(OSError):
        for path in list(folder.iterdir()):
            if _STAGED.fullmatch(path.name) and path.name not in named:
                path.unlink()


def _as_os_error(error: OSError | RuntimeError) -> OSError:
    """Return an error of a disk with its number and one line of text; HDF5 tells both among much else, in its own text.

    Raises:
        RuntimeError: the error is none of a disk.
    """
    number = re.search(r"errno = (\d+)", str(error))
    if number is not None:
        return OSError(int(number[1]), os.strerror(int(number[1])))
    if isinstance(error, OSError):
        return error
    raise error
