"""The state of a training in one file: named arrays, and facts as JSON.

The file is a NumPy archive (.npz) whose members are stored without compression, each with its CRC-32; NumPy alone opens
it. `facts.json` in it holds the schema number, the names of all arrays and the facts. Nothing is ever pickled. The
members' dates are constant, so that equal states are equal files.

Source: NumPy Enhancement Proposal 1 (the .npy format); APPNOTE.TXT of PKWARE (ZIP, with ZIP64 for large members).
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

import numpy as np

from edge.artifacts import atomic_path, sync_file, sync_folder
from edge.errors import InputError, WeightsError

SCHEMA = 1
"""Number of the present form of the file; it grows when a part of it changes its meaning."""

MOST_NAMED = 4
"""Number of arrays that one line names; the rest is a number."""

_FACTS, _ARRAY_SUFFIX = "facts.json", ".npy"


@dataclass(frozen=True)
class TrainingState:
    """What a training goes on from.

    Attributes:
        arrays: name of each variable -> its value, in the order in which they were written.
        facts: everything else, as JSON.
    """

    arrays: dict[str, np.ndarray]
    facts: dict[str, Any]


def write_state(path: Path, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
    """Write a state as a whole; after a failure the state before is still there.

    Args:
        path: path of the file; the state before is replaced when the new one is whole and on the disk.
        arrays: name of each variable -> its value, of any shape and of a type that NumPy has by itself.
        facts: everything else, in types that JSON has; its numbers are finite.

    Raises:
        StorageError: the disk is full, or the folder may not be written to.
        TypeError: an array is of a type that only pickling could write.
    """
    values = {name: np.asarray(array) for name, array in arrays.items()}
    unfit = [name for name, value in values.items() if value.dtype.kind not in "biufc"]
    if unfit:
        raise TypeError(f"a state cannot hold {unfit[0]} of type {values[unfit[0]].dtype}")
    head = {"schema": SCHEMA, "arrays": list(values), "facts": dict(facts)}
    text = json.dumps(head, ensure_ascii=False, allow_nan=False).encode("utf-8")
    with atomic_path(path) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(_member(_FACTS), text)
            for name, value in values.items():
                with archive.open(_member(name + _ARRAY_SUFFIX), "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, value, allow_pickle=False)
        sync_file(temporary)
    sync_folder(path.parent)


def read_state(path: Path) -> TrainingState:
    """Read a state, every byte of which is checked.

    Raises:
        InputError: the file does not exist, or this user may not read it.
        WeightsError: the file is damaged, is no state of a training, or is one of another version.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            head = _read_head(archive, path)
            arrays = {}
            for name in head["arrays"]:
                data = archive.read(name + _ARRAY_SUFFIX)  # the checksum is compared before anything is understood
                arrays[name] = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
            return TrainingState(arrays, head["facts"])
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"state of a training not found: {path}") from None
    except (zipfile.BadZipFile, EOFError, KeyError, ValueError, NotImplementedError, RuntimeError) as error:
        raise _damaged(path, str(error)) from None
    except OSError as error:
        raise InputError(f"state of a training {path} cannot be read: {error.strerror or error}") from None


def array_differences(arrays: Mapping[str, np.ndarray], wanted: Mapping[str, Any]) -> str:
    """Return in a few words where arrays are not those that a network has; "" where they are.

    Args:
        arrays: name -> array, as a state has them.
        wanted: name -> array or variable, of which `shape` and `dtype` are compared.
    """
    told = [f"{name} is missing" for name in wanted if name not in arrays]
    told += [f"{name} is unknown" for name in arrays if name not in wanted]
    for name, variable in wanted.items():
        if name not in arrays:
            continue
        found, expected = _form(arrays[name]), _form(variable)
        if found != expected:
            told.append(f"{name} is {found}, expected {expected}")
    more = f" and {len(told) - MOST_NAMED} more" if len(told) > MOST_NAMED else ""
    return ", ".join(told[:MOST_NAMED]) + more


def _read_head(archive: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    if _FACTS not in archive.namelist():
        raise WeightsError(f"{path} is no state of a training: it has no {_FACTS}")
    head = json.loads(archive.read(_FACTS).decode("utf-8"))
    if not isinstance(head, dict) or head.get("schema") != SCHEMA:
        schema = head.get("schema") if isinstance(head, dict) else None
        raise WeightsError(
            f"state of a training {path} has schema {schema}, this version of segedge reads {SCHEMA}. "
            "Next: go on with the version that began the run"
        )
    return head


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o644 << 16
    return info


def _form(variable: Any) -> str:
    """Return shape and type of an array, or of a variable of any library, such as "(3, 3, 8) float32"."""
    dtype = getattr(variable.dtype, "name", variable.dtype)
    return f"{tuple(variable.shape)} {dtype}"


def _damaged(path: Path, reason: str) -> WeightsError:
    return WeightsError(
        f"state of a training {path} is damaged: {' '.join(reason.split()).rstrip('.')}. "
        f"Next: train anew with --init-weights {path.parent}"
    )
