"""JSON as people and editors write it: any Unicode encoding, and a problem that names its place.

Notepad and PowerShell put a byte-order mark in front of UTF-8, and old PowerShell writes UTF-16. Both are valid
encodings of a text, so both are read. What RFC 8259 does not allow is refused, also where Python's reader would take
it: NaN and Infinity, and a name that an object has twice, of which one would be ignored silently.

Source: RFC 8259; encodings by the pattern of zero bytes, RFC 4627 section 3.
"""

from __future__ import annotations

import json
import re
from typing import Any

_EXPECTED = {
    "Expecting value": "a value: a number, a text in double quotes, true, false, null, [ or {",
    "Expecting property name enclosed in double quotes": "a name in double quotes",
    "Expecting ',' delimiter": "a comma, or the end of the list or object",
    "Expecting ':' delimiter": "a colon behind the name",
    "Extra data": "the end of the file",
    "Unterminated string starting at": "a double quote at the end of this text",
    "Invalid control character at": "a text on one line, with \\n for a line break and \\t for a tab",
    "Invalid \\escape": "\\\\ for a backslash, as in C:\\\\data",
    "Invalid \\uXXXX escape": "four hexadecimal digits behind \\u",
    "Illegal trailing comma before end of object": "a name in double quotes, or no comma before it",
    "Illegal trailing comma before end of array": "a value, or no comma before it",
}
"""Beginning of a message of Python's reader -> what it expected there, for people."""


class JsonTextError(Exception):
    """A text is no JSON; the message says where, what is there and what was expected, without the file's name."""


def parse_json(data: bytes) -> Any:
    """Read a JSON text in any Unicode encoding, with or without a byte-order mark.

    Args:
        data: Content of a file.

    Returns:
        The value: a dict, list, str, int, float, bool or None.

    Raises:
        JsonTextError: The bytes are no text, or the text is no JSON.
    """
    text = decode_text(data)
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_without_repeats)
    except json.JSONDecodeError as error:
        raise JsonTextError(_described(text, error)) from None
    except RecursionError:
        raise JsonTextError("lists or objects are nested too deeply, expected at most some hundred levels") from None
    except ValueError as error:  # more digits than Python reads
        raise JsonTextError(f"a number cannot be read: {' '.join(str(error).split(';')[0].split())}") from None


def decode_text(data: bytes) -> str:
    """Return the text of a file that a person wrote, in any Unicode encoding, without its byte-order mark.

    Raises:
        JsonTextError: The bytes are no text.
    """
    encoding = json.detect_encoding(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise JsonTextError(f"the text ends within a character of {encoding.upper()}, expected UTF-8") from None
        before = data[: error.start].decode("utf-8")
        raise JsonTextError(
            f"{_place(before, len(before))} has the byte 0x{data[error.start]:02X}, expected text in UTF-8: a letter "
            "with an accent that an editor saved in another encoding, or no text at all"
        ) from None
    return text.lstrip("\ufeff")


def _place(text: str, position: int) -> str:
    lines = text[:position].splitlines() if not text[:position].endswith(("\n", "\r")) else [""]
    number = len(re.findall("\r\n|\r|\n", text[:position])) + 1
    return f"line {number}, column {len(lines[-1]) + 1 if lines else 1}"


def _described(text: str, error: json.JSONDecodeError) -> str:
    known = [expected for message, expected in _EXPECTED.items() if error.msg.startswith(message)]
    expected = known[0] if known else f"otherwise ({error.msg})"
    position = error.pos
    if position < len(text) and text[position].isspace() and error.msg.startswith("Expecting"):
        position += len(text[position:]) - len(text[position:].lstrip())
    # Python up to 3.12 stands behind a comma with nothing after it; the comma is what is wrong.
    before = text[:position].rstrip()
    if position < len(text) and text[position] in "}]" and before.endswith(","):
        return (
            f"{_place(text, len(before) - 1)} has a comma with nothing behind it, expected none before {text[position]}"
        )
    return f"{_place(text, position)} has {_found(text, position)}, expected {expected}"


def _found(text: str, position: int) -> str:
    rest = text[position:]
    if not rest.strip():
        return "the end of the file"
    if rest.startswith(("//", "/*", "#")):
        return "a comment, which JSON has not"
    word = re.match(r"[^\s,:{}\[\]\"]+|.", rest, re.DOTALL)
    found = word[0] if word else rest[0]
    spelled = found if len(found) <= 20 else f"{found[:20]}..."
    return repr(spelled) if "'" in spelled or not spelled.isprintable() else f"'{spelled}'"


def _refuse_constant(name: str) -> float:
    raise JsonTextError(f"a number is {name}, expected one that JSON has: digits, a point, an exponent")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise JsonTextError(f"'{twice}' stands twice in one object, expected once")
    return fields
