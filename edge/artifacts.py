"""The artefact folder: where everything made for one model, its options, dataset and size lies.

    artifacts/<model>[+<option>-<value>...]-<dataset>-<height>x<width>[-batch<frames>]/
        model.onnx  contract.json  parity.json            export/
        calibration.json  ranges.json  model.int8.onnx    calibration/
        engines/<backend>-<precision>/  engine.*  card.json

Whatever is written goes to a temporary name in the same folder first and is renamed when it is
whole, so a reader never sees half a file, and an interrupted command leaves nothing behind. What a
killed one left is removed by the next command that writes into the folder (edge.leftovers).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any, Iterator, Mapping
from urllib.parse import quote

from edge.console import storage_error
from edge.errors import ContractError, InputError
from edge.json_text import JsonTextError, parse_json
from edge.leftovers import remove_leftovers, temporary_prefix

ARTIFACTS_ROOT = Path("artifacts")

MAX_VARIANT_CHARACTERS = 48
"""Most characters of the options in a folder's name; longer ones become a hash, and contract.json lists them."""


def spell_option(value: Any) -> str:
    """Return the value of a model's option as a user types it behind `--option NAME=`: "true", "101", "psp"."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def artifact_folder(
    model: str,
    dataset: str,
    height: int,
    width: int,
    root: Path = ARTIFACTS_ROOT,
    options: Mapping[str, Any] | None = None,
    batch: int = 1,
) -> Path:
    """Return the folder of one model, dataset and size; it need not exist yet.

    Args:
        model: Name of the architecture, such as "fastfcn".
        dataset: Name of the dataset whose classes the network has.
        height: Rows of the network's input, in pixels.
        width: Columns of the network's input, in pixels.
        root: Folder that holds the folders of all artefacts.
        options: Options of the architecture that differ from their defaults; their order does not matter.
        batch: Frames in one call of the network.
    """
    # Quoted, so that no value can lead into another folder or be taken for the next option.
    variant = "".join(
        f"+{name}-{quote(spell_option(value), safe='')}" for name, value in sorted((options or {}).items())
    )
    if len(variant) > MAX_VARIANT_CHARACTERS:
        variant = f"+{len(options or {})}-options-{sha256_json(dict(options or {}))[:8]}"
    frames = f"-batch{batch}" if batch != 1 else ""
    return Path(root) / f"{model}{variant}-{dataset}-{height}x{width}{frames}"


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary path beside `path`, which becomes `path` when the block ends without an error.

    The suffixes of the path are kept, since writers choose or check the format by them (`.weights.h5`).

    Raises:
        StorageError: The folder cannot be created, or the disk is full.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        suffix = "".join(target.suffixes)
        handle, name = tempfile.mkstemp(prefix=temporary_prefix(), suffix=suffix, dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        remove_leftovers(target.parent, temporary)
    except OSError as error:
        raise storage_error(error, target) from error
    try:
        yield temporary
        # mkstemp makes the file private; a result has the permissions that any new file gets.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        os.replace(temporary, target)
    except OSError as error:
        raise storage_error(error, target) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def sync_file(path: str | os.PathLike) -> None:
    """Wait until the content of a file is on the disk.

    Raises:
        OSError: The disk is full, which some file systems find out only now.
    """
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: str | os.PathLike) -> None:
    """Wait until the names in a folder are on the disk, where that is offered: no power cut undoes a renaming then."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Write a file as a whole; after a failure the old file is still there."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a UTF-8 text file as a whole; after a failure the old file is still there."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write a value as indented JSON, which a person can read and a diff can follow."""
    write_text(path, json.dumps(value, indent=2, sort_keys=False, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | os.PathLike, what: str, made_by: str = "") -> dict[str, Any]:
    """Read a JSON object from a file, in any Unicode encoding.

    Args:
        path: Path of the file.
        what: Kind of the file for messages, such as "engine card".
        made_by: Command that writes such files, such as "python export/build_engine.py"; "" for a file that a person
            writes, or where there are several. A text that is no JSON is called damaged only where a command wrote it.

    Raises:
        InputError: The file does not exist, or this user may not read it.
        ContractError: The file is truncated, or does not hold a JSON object.
    """
    try:
        data = Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise InputError(f"{what} not found: {path}") from None
    except OSError as error:
        raise InputError(f"{what} {path} cannot be read: {error.strerror or error}") from None
    try:
        value = parse_json(data)
    except JsonTextError as problem:
        is_called = "is damaged" if made_by else "is not valid JSON"
        mend = f"make it again with {made_by}, or correct it there" if made_by else "correct it there"
        raise ContractError(f"{what} {path} {is_called}: {problem}. Next: {mend}") from None
    if not isinstance(value, dict):
        kind = _JSON_KINDS.get(type(value), "null")
        raise ContractError(f"{what} {path} holds {kind}, expected a JSON object: {{...}}")
    return value


_JSON_KINDS = {list: "a list", str: "a text", int: "a number", float: "a number", bool: "true or false"}


def sha256_file(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file's content, 64 hex digits.

    Raises:
        InputError: The file does not exist, or this user may not read it.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise InputError(f"file not found: {path}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    return digest.hexdigest()


def sha256_json(value: Any) -> str:
    """Return the SHA-256 of a JSON value, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()
