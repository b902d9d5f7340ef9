"""What a search found out is used by the next one only if nothing that it depends on has changed."""

from __future__ import annotations

from calibration.results import SearchStep
from calibration.search.state import SearchState, stored_state
from edge.records import write_record

STATE = SearchState("a" * 64, (SearchStep("plain", "b" * 64, 0.9, 0.99, None, True),))


def test_state_of_the_same_key_is_used_without_a_word(tmp_path):
    lines = []
    write_record(tmp_path / "int8-search-tensorrt.json", STATE)
    assert stored_state(tmp_path / "int8-search-tensorrt.json", STATE.key, lines.append) == STATE
    assert lines == []


def test_state_of_another_key_is_not_used_and_one_line_says_so(tmp_path):
    lines = []
    write_record(tmp_path / "int8-search-tensorrt.json", STATE)
    assert stored_state(tmp_path / "int8-search-tensorrt.json", "c" * 64, lines.append) == SearchState("c" * 64)
    assert lines == [
        "the search starts anew: int8-search-tensorrt.json is of other inputs or other code: got aaaaaaaaaaaa, "
        "expected cccccccccccc"
    ]


def test_state_that_is_missing_needs_no_line_and_one_of_another_version_does(tmp_path):
    lines, path = [], tmp_path / "int8-search-tensorrt.json"
    assert stored_state(path, "c" * 64, lines.append) == SearchState("c" * 64)
    assert lines == []
    path.write_text('{"schema": 0}')
    assert stored_state(path, "c" * 64, lines.append) == SearchState("c" * 64)
    (line,) = lines
    assert line.startswith("the search starts anew: search state ") and "has schema 0" in line
