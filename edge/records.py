"""Frozen dataclasses that round-trip through JSON, checked on the way in.

A record class carries `schema`, a number that grows when a field changes its meaning; a file of an
unknown schema is refused rather than half understood. Types are checked against the annotations,
which may be str, int, float, bool, Any, another record, tuple[X, ...], dict[str, X] and X | None.
The annotations are read as text, since Python 3.8 cannot evaluate them.
"""

from __future__ import annotations

import dataclasses
import os
import re
from typing import Any, TypeVar

from edge.artifacts import read_json, write_json
from edge.errors import ContractError

RecordType = TypeVar("RecordType")

_RECORDS: dict[str, type] = {}
_PRIMITIVES: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (float, int), "bool": (bool,)}


def record(schema: int, what: str, made_by: str = "the command that wrote it"):
    """Make a class a frozen dataclass that `read_record` and `write_record` accept.

    Args:
        schema: Number of the present form; it grows when a field changes its meaning.
        what: Kind of the record for messages, such as "engine card".
        made_by: Command that writes such records, such as "python export/build_engine.py", for messages.
    """

    def make(cls: type[RecordType]) -> type[RecordType]:
        made = dataclasses.dataclass(frozen=True)(cls)
        made.record_schema, made.record_what, made.record_made_by = schema, what, made_by
        _RECORDS[cls.__name__] = made
        return made

    return make


def record_class(name: str) -> type:
    """Return the record class of a name.

    Raises:
        TypeError: No module that was imported has such a record.
    """
    if name not in _RECORDS:
        raise TypeError(f"records cannot hold fields of type {name}")
    return _RECORDS[name]


def record_to_json(value: Any) -> Any:
    """Return the JSON form of a record, of a part of one, or of a plain value."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        head = {"schema": value.record_schema} if hasattr(value, "record_schema") else {}
        return {**head, **{f.name: record_to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}}
    if isinstance(value, dict):
        return {str(key): record_to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [record_to_json(item) for item in value]
    return value


def record_from_json(cls: type[RecordType], value: Any, where: str) -> RecordType:
    """Build a record from its JSON form.

    Args:
        cls: Class that was decorated with `record`.
        value: Value that json.load returned.
        where: File and field that the value came from, for messages.

    Raises:
        ContractError: The value has another schema, lacks a field, has an unknown one, or one of another type.
    """
    what = cls.record_what
    if not isinstance(value, dict):
        raise ContractError(f"{what} {where} is a {type(value).__name__}, expected an object")
    schema = value.get("schema")
    if schema != cls.record_schema:
        raise ContractError(
            f"{what} {where} has schema {schema}, this version of segedge reads {cls.record_schema}. "
            "Next: make it again with this version"
        )
    fields = {field.name: field for field in dataclasses.fields(cls)}
    missing = [
        name
        for name, field in fields.items()
        if name not in value and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    unknown = sorted(set(value) - set(fields) - {"schema"})
    if len(missing) > len(fields) // 2:
        found = ", ".join(list(value)[:4])
        raise ContractError(f"{where} is no {what}: it has {found}, expected {', '.join(missing[:4])}")
    if missing or unknown:
        problem = f"lacks {', '.join(missing)}" if missing else f"has unknown fields {', '.join(unknown)}"
        raise ContractError(f"{what} {where} {problem}. Next: make it again with this version")
    parts = {
        name: _convert(str(field.type), value[name], f"{where}: {name}")
        for name, field in fields.items()
        if name in value
    }
    return cls(**parts)


def _convert(annotation: str, value: Any, where: str) -> Any:
    if annotation.endswith(" | None"):
        return None if value is None else _convert(annotation[: -len(" | None")], value, where)
    if annotation == "Any":
        return value
    if annotation in _PRIMITIVES:
        if not isinstance(value, _PRIMITIVES[annotation]) or (isinstance(value, bool) and annotation != "bool"):
            raise ContractError(f"{where} is {value!r}, expected {annotation}")
        return float(value) if annotation == "float" else value
    if annotation in _RECORDS:
        return record_from_json(_RECORDS[annotation], value, where)
    sequence = re.fullmatch(r"tuple\[(.+), \.\.\.\]", annotation)
    if sequence:
        if not isinstance(value, list):
            raise ContractError(f"{where} is {value!r}, expected a list")
        return tuple(_convert(sequence[1], item, where) for item in value)
    mapping = re.fullmatch(r"dict\[str, (.+)\]", annotation)
    if mapping:
        if not isinstance(value, dict):
            raise ContractError(f"{where} is {value!r}, expected an object")
        return {key: _convert(mapping[1], item, f"{where}.{key}") for key, item in value.items()}
    raise TypeError(f"{where}: records cannot hold fields of type {annotation}")


def write_record(path: str | os.PathLike, value: Any) -> None:
    """Write a record as a whole; after a failure the old file is still there."""
    write_json(path, record_to_json(value))


def read_record(cls: type[RecordType], path: str | os.PathLike) -> RecordType:
    """Read a record from a JSON file.

    Raises:
        InputError: The file does not exist.
        ContractError: The file is damaged, or has another schema or other fields.
    """
    return record_from_json(cls, read_json(path, cls.record_what, cls.record_made_by), os.fspath(path))
