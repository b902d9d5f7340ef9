"""Fields of a file that a person typed, each with a check of its own and an error that names its place."""

from __future__ import annotations

import difflib
import json
from typing import Any, Sequence

from edge.errors import DatasetError

_LONGEST_SHOWN = 60


class Fields:
    """The fields of one object in a file.

    Args:
        value: Value that stands where an object is expected.
        place: Place of the object in the file, such as "splits.train"; "" for the whole file.
        file: Name of the file, for messages.
        known: Names of the fields that the object may have.

    Raises:
        DatasetError: The value is no object, or it has a field that is not known.
    """

    def __init__(self, value: Any, place: str, file: str, known: Sequence[str]) -> None:
        self.place, self.file = place, file
        if not isinstance(value, dict):
            raise self.refuse("", f"is {spell(value)}, expected an object with {', '.join(known)}")
        self._fields = value
        for name in value:
            if name not in known:
                likely = difflib.get_close_matches(name, known, 1)
                wanted = f"did you mean '{likely[0]}'" if likely else f"expected of {', '.join(known)}"
                raise self.refuse("", f"has the unknown field '{name}', {wanted}")

    def refuse(self, field: str, message: str) -> DatasetError:
        """Return the error about a field of the object, "" for the object itself."""
        place = ".".join(part for part in (self.place, field) if part)
        return DatasetError(f"dataset description {self.file}: {place or 'it'} {message}")

    def has(self, field: str) -> bool:
        """Say whether a field is there and is not null."""
        return self._fields.get(field) is not None

    def value(self, field: str) -> Any:
        """Return the value of a field, whatever it is.

        Raises:
            DatasetError: The field is missing.
        """
        if not self.has(field):
            raise self.refuse("", f"lacks {field}")
        return self._fields[field]

    def text(self, field: str, default: str | None = None) -> str:
        """Return a text that is not empty, or a default where the field is missing.

        Raises:
            DatasetError: The field is no such text, or is missing without a default.
        """
        if default is not None and not self.has(field):
            return default
        value = self.value(field)
        if not _is_line(value):
            raise self.refuse(field, f"is {spell(value)}, expected a text on one line")
        return value

    def texts(self, field: str) -> list[str]:
        """Return a list of texts; an empty one where the field is missing.

        Raises:
            DatasetError: The field is no list of texts.
        """
        value = self._fields.get(field) or []
        if not isinstance(value, list) or not all(map(_is_line, value)):
            raise self.refuse(field, f"is {spell(value)}, expected a list of texts")
        return value

    def flag(self, field: str) -> bool:
        """Return true or false; false where the field is missing.

        Raises:
            DatasetError: The field is another value.
        """
        value = self._fields.get(field, False)
        if not isinstance(value, bool):
            raise self.refuse(field, f"is {spell(value)}, expected true or false")
        return value

    def ids(self, field: str) -> list[int]:
        """Return a list of ids of label maps; an empty one where the field is missing.

        Raises:
            DatasetError: The field is no list of whole numbers from 0 to 255.
        """
        value = self._fields.get(field)
        value = [] if value is None else value
        if not isinstance(value, list):
            raise self.refuse(field, f"is {spell(value)}, expected a list of whole numbers, such as [1]")
        for one in value:
            if not _is_byte(one):
                raise self.refuse(field, f"has {spell(one)}, expected whole numbers from 0 to 255")
        return value

    def colors(self, field: str) -> list[tuple[int, int, int]]:
        """Return a list of colours; an empty one where the field is missing.

        Raises:
            DatasetError: The field is no list of colours.
        """
        value = self._fields.get(field)
        value = [] if value is None else value
        if not isinstance(value, list):
            raise self.refuse(field, f"is {spell(value)}, expected a list of colours, such as [[128, 64, 128]]")
        return [self._color(one, field) for one in value]

    def color(self, field: str) -> tuple[int, int, int] | None:
        """Return a colour; None where the field is missing.

        Raises:
            DatasetError: The field is no colour.
        """
        return self._color(self._fields[field], field) if self.has(field) else None

    def _color(self, value: Any, field: str) -> tuple[int, int, int]:
        if not isinstance(value, list) or len(value) != 3 or not all(map(_is_byte, value)):
            raise self.refuse(
                field,
                f"has {spell(value)}, expected a colour: red, green and blue from 0 to 255, such as [128, 64, 128]",
            )
        return (value[0], value[1], value[2])


def _is_line(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()


def _is_byte(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255


def spell(value: Any) -> str:
    """Return a value as it stands in the file, cut to fit a line."""
    text = f"'{value}'" if isinstance(value, str) and value.isprintable() else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}..."


def similar(name: str, known: Sequence[str]) -> str:
    """Return which of the known names was probably meant, or all of them where they are few, as the end of a line."""
    likely = difflib.get_close_matches(name, known, 1)
    if likely:
        return f"did you mean '{likely[0]}'"
    return f"expected of {', '.join(known[:24])}{f' and {len(known) - 24} more' if len(known) > 24 else ''}"
