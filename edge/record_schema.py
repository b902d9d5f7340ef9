"""JSON Schema of the records that this project writes, from their classes and docstrings.

Source: JSON Schema, draft 2020-12.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Any

from edge.records import record_class

DRAFT = "https://json-schema.org/draft/2020-12/schema"

_PRIMITIVES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}


def field_descriptions(cls: type) -> dict[str, str]:
    """Return field -> its description, from the section "Attributes" of a record's docstring."""
    _, _, section = (inspect.getdoc(cls) or "").partition("\nAttributes:\n")
    found: dict[str, list[str]] = {}
    latest: list[str] = []
    for line in section.splitlines():
        entry = re.fullmatch(r" {4}(\w+): (.+)", line)
        if entry:
            latest = found.setdefault(entry[1], [entry[2]])
        elif line.startswith(" " * 8):
            latest.append(line.strip())
        elif line.strip():
            break
    return {name: " ".join(lines) for name, lines in found.items()}


def json_schema(cls: type) -> dict[str, Any]:
    """Return the JSON Schema of a record class; records inside it stand under "$defs", once each.

    Args:
        cls: Class that was decorated with `edge.records.record`.

    Raises:
        TypeError: A field has a type that records cannot hold.
    """
    definitions: dict[str, Any] = {}
    schema = _object(cls, definitions)
    head = {"$schema": DRAFT, "title": cls.record_what}
    return {**head, **schema, **({"$defs": dict(sorted(definitions.items()))} if definitions else {})}


def parts_of(cls: type) -> list[type]:
    """Return the record classes that stand inside a record, nested ones too, in the order of their names."""
    definitions: dict[str, Any] = {}
    _object(cls, definitions)
    return [record_class(name) for name in sorted(definitions)]


def _object(cls: type, definitions: dict[str, Any]) -> dict[str, Any]:
    descriptions = field_descriptions(cls)
    properties: dict[str, Any] = {"schema": {"const": cls.record_schema}}
    required = ["schema"]
    for field in dataclasses.fields(cls):
        about = {"description": descriptions[field.name]} if field.name in descriptions else {}
        properties[field.name] = {**_type(str(field.type), definitions), **about}
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            required.append(field.name)
    text = (inspect.getdoc(cls) or "").splitlines()[0]
    return {
        "type": "object",
        "description": text,
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _type(annotation: str, definitions: dict[str, Any]) -> dict[str, Any]:
    if annotation.endswith(" | None"):
        inner = _type(annotation[: -len(" | None")], definitions)
        return {"anyOf": [inner, {"type": "null"}]} if inner else {}
    if annotation == "Any":
        return {}
    if annotation in _PRIMITIVES:
        return {"type": _PRIMITIVES[annotation]}
    sequence = re.fullmatch(r"tuple\[(.+), \.\.\.\]", annotation)
    if sequence:
        return {"type": "array", "items": _type(sequence[1], definitions)}
    mapping = re.fullmatch(r"dict\[str, (.+)\]", annotation)
    if mapping:
        return {"type": "object", "additionalProperties": _type(mapping[1], definitions)}
    if annotation not in definitions:
        definitions[annotation] = {}  # a record may hold its own kind
        definitions[annotation].update(_object(record_class(annotation), definitions))
    return {"$ref": f"#/$defs/{annotation}"}
