"""The classes of a dataset description: those of a dataset that the project knows, or a list of one's own."""

from __future__ import annotations

import dataclasses
from typing import Any

from edge.datasets.description.fields import Fields, similar, spell
from edge.datasets.registry import LAYOUTS
from edge.labels import IGNORE_ID, ClassTable, build_class_table, plain_class_name

MOST_CLASSES = 254
"""Most classes of a description: a label is a uint8, 255 counts for nothing, and one value means an unknown colour."""

_CLASS_FIELDS = (
    "name",
    "ids",
    "colors",
    "palette",
    "painted",
    "category",
    "groups",
    "instances",
    "other_names",
)


def read_classes(description: Fields, name: str) -> ClassTable:
    """Return the class table of a description.

    Args:
        description: Fields of the file, of which `classes` and `ignore` are read.
        name: Name of the dataset, which the table gets.

    Raises:
        DatasetError: A class, id or colour is given twice, is out of range, or a class says of no label what it is.
    """
    ignore = Fields(
        description.value("ignore") if description.has("ignore") else {},
        "ignore",
        description.file,
        ("ids", "colors"),
    )
    given = description.value("classes")
    if isinstance(given, str):
        table = _known_table(description, given, name)
    elif isinstance(given, list):
        table = _own_table(description, given, name)
    else:
        raise description.refuse(
            "classes", f"is {spell(given)}, expected a list of classes, or the name of a dataset: {', '.join(LAYOUTS)}"
        )
    return _with_ignored(table, ignore)


def _known_table(description: Fields, given: str, name: str) -> ClassTable:
    if given not in LAYOUTS:
        raise description.refuse(
            "classes", f"is '{given}', a dataset that is not known, {similar(given, list(LAYOUTS))}"
        )
    return dataclasses.replace(LAYOUTS[given].table, name=name)


def _own_table(description: Fields, given: list[Any], name: str) -> ClassTable:
    if not 2 <= len(given) <= MOST_CLASSES:
        raise description.refuse("classes", f"has {len(given)} classes, expected 2 to {MOST_CLASSES}")
    entries = [_entry(description, value, index) for index, value in enumerate(given)]
    _refuse_twice(description, entries)
    if not any(entry["ids"] or entry["colors"] for entry in entries):
        # Nothing is said of labels: the id of a class is its place in the list.
        for index, entry in enumerate(entries):
            entry["ids"] = [index]
    for field in ("ids", "colors"):
        lacking = [index for index, entry in enumerate(entries) if not entry[field]]
        if 0 < len(lacking) < len(entries):
            raise description.refuse(
                f"classes[{lacking[0]}]",
                f"('{entries[lacking[0]]['name']}') has no {field}, and others have, expected them of all or none",
            )
    return build_class_table(name, entries)


def _entry(description: Fields, value: Any, index: int) -> dict[str, Any]:
    place = f"classes[{index}]"
    fields = Fields({"name": value} if isinstance(value, str) else value, place, description.file, _CLASS_FIELDS)
    entry: dict[str, Any] = {
        "name": fields.text("name").strip(),
        "ids": fields.ids("ids"),
        "colors": fields.colors("colors"),
        "groups": fields.texts("groups"),
        "instances": fields.flag("instances"),
        "other_names": fields.texts("other_names"),
    }
    for field in ("palette", "painted"):
        if fields.has(field):
            entry[field] = fields.color(field)
    if fields.has("category"):
        entry["category"] = fields.text("category").strip()
    return entry


def _refuse_twice(description: Fields, entries: list[dict[str, Any]]) -> None:
    """Refuse a class that stands twice in the list, and an id or a colour that stands for two classes."""
    holders: dict[tuple[str, Any], int] = {}
    for index, entry in enumerate(entries):
        place = f"classes[{index}]"
        plain = plain_class_name(entry["name"])
        first = holders.setdefault(("name", plain), index)
        if first != index:
            raise description.refuse(
                f"{place}.name", f"is '{entry['name']}', as classes[{first}] is called, expected each class once"
            )
        for field, what in (("ids", "an id"), ("colors", "a colour")):
            for position, one in enumerate(entry[field]):
                shown = spell(one)
                first = holders.setdefault((field, one), index)
                if first != index:
                    other = f"classes[{first}] ('{entries[first]['name']}')"
                    raise description.refuse(
                        f"{place}.{field}", f"has {shown}, {what} that {other} has too, expected it of one class"
                    )
                if one in entry[field][:position]:
                    raise description.refuse(f"{place}.{field}", f"has {shown} twice, expected it once")


def _with_ignored(table: ClassTable, ignore: Fields) -> ClassTable:
    """Return a table that ignores further ids and colours, and 255 where it is no class."""
    ids, colors = ignore.ids("ids"), ignore.colors("colors")
    if ids and not table.raw_to_train:
        raise ignore.refuse("ids", f"is {spell(ids)}, and classes say their colours alone, expected colors")
    for field, values, known in (("ids", ids, table.raw_to_train), ("colors", colors, table.file_colors)):
        taken = [value for value in values if known.get(value, IGNORE_ID) != IGNORE_ID]
        if taken:
            shown = taken[0] if field == "ids" else list(taken[0])
            raise ignore.refuse(
                field,
                f"has {shown}, which is the class '{table.class_names[known[taken[0]]]}', expected it in one place",
            )
    ignored_ids = dict.fromkeys(ids, IGNORE_ID)
    if table.raw_to_train:
        ignored_ids.setdefault(IGNORE_ID, IGNORE_ID)
    return dataclasses.replace(
        table,
        raw_to_train={**ignored_ids, **table.raw_to_train},
        file_colors={**dict.fromkeys(colors, IGNORE_ID), **table.file_colors},
    )
