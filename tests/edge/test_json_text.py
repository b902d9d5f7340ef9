"""JSON that people type: any encoding of an editor is read, and a slip is named with its place."""

from __future__ import annotations

import codecs

import pytest

from edge.artifacts import read_json
from edge.errors import ContractError
from edge.json_text import JsonTextError, parse_json
from edge.records import read_record, record

TEXT = '{"name": "Straße",\r\n "values": [1, 2.5, null]}\r\n'
VALUE = {"name": "Straße", "values": [1, 2.5, None]}


@record(schema=1, what="road", made_by="python pave.py")
class _Road:
    name: str


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode("utf-8"),
        codecs.BOM_UTF8 + TEXT.encode("utf-8"),
        codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-16-le"),
        codecs.BOM_UTF32_LE + TEXT.encode("utf-32-le"),
    ],
    ids=["utf-8", "utf-8 with mark", "utf-16", "utf-16 big endian", "utf-16 without mark", "utf-32"],
)
def test_every_encoding_of_an_editor_is_read(tmp_path, data):
    (tmp_path / "typed.json").write_bytes(data)
    assert read_json(tmp_path / "typed.json", "contract") == VALUE


def test_record_with_a_byte_order_mark_is_read(tmp_path):
    (tmp_path / "road.json").write_bytes(codecs.BOM_UTF8 + '{"schema": 1, "name": "Straße"}'.encode())
    assert read_record(_Road, tmp_path / "road.json").name == "Straße"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{\n  "a": 1\n  "b": 2\n}', "line 3, column 3 has '\"', expected a comma, or the end of the list or object"),
        ('{\r\n  "a": 1\r\n  "b": 2\r\n}', "line 3, column 3 has"),
        ('{"a": 1,\n}', "line 1, column 8 has a comma with nothing behind it, expected none before }"),
        ('{"a": [1,\n 2,\n]}', "line 2, column 3 has a comma with nothing behind it, expected none before ]"),
        ("{'a': 1}", "line 1, column 2 has \"'a'\", expected a name in double quotes"),
        ('{"a": True}', "line 1, column 7 has 'True', expected a value"),
        ('{"a": 1} // mine', "line 1, column 10 has a comment, which JSON has not, expected the end of the file"),
        ('{\n# mine\n"a": 1}', "line 2, column 1 has a comment, which JSON has not"),
        ('{"a": "C:\\data"}', "expected \\\\ for a backslash"),
        ('{"a": "x', "expected a double quote at the end of this text"),
        ('{"a": 1', "line 1, column 8 has the end of the file, expected a comma, or the end of the list or object"),
        ('{"a" 1}', "line 1, column 6 has '1', expected a colon behind the name"),
        ("", "line 1, column 1 has the end of the file, expected a value"),
        ('{"a": NaN}', "a number is NaN, expected one that JSON has"),
        ('{"a": 1, "a": 2}', "'a' stands twice in one object, expected once"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_slip_is_named_with_its_place_and_what_was_expected(text, message):
    with pytest.raises(JsonTextError) as found:
        parse_json(text.encode())
    assert message in str(found.value)


def test_letter_in_another_encoding_is_named_with_its_place():
    with pytest.raises(JsonTextError, match=r"line 2, column 16 has the byte 0xDF, expected text in UTF-8"):
        parse_json('{\r\n  "name": "Stra\udcdfe"}'.encode("utf-8", "surrogateescape"))


def test_file_that_a_person_wrote_is_never_called_damaged(tmp_path):
    (tmp_path / "typed.json").write_text('{"a": 1,}')
    with pytest.raises(ContractError) as refused:
        read_json(tmp_path / "typed.json", "contract")
    assert "damaged" not in str(refused.value)
    assert "make it again" not in str(refused.value)
    assert str(refused.value).endswith("expected none before }. Next: correct it there")


def test_file_that_a_command_wrote_names_the_command(tmp_path):
    (tmp_path / "road.json").write_text('{"schema": 1, "na')
    with pytest.raises(ContractError, match=r"road\.json is damaged: line 1, .* make it again with python pave\.py"):
        read_record(_Road, tmp_path / "road.json")
