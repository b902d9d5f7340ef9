"""`make test-fast` runs the tests of the rooms that were changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fast import choose, mirrored_tests, room_tests

HOUSE = "tests/test_house.py"


@pytest.fixture
def checkout(tmp_path):
    for name in ("edge/test_card", "edge/bench/test_cli", "edge/bench/deeper/test_it", "train/test_loop", "test_house"):
        path = tmp_path / "tests" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ("edge/card.py", ["tests/edge/test_card.py"]),
        ("edge/bench/cli.py", ["tests/edge/bench/test_cli.py"]),
        ("edge/bench/pages/page.html", ["tests/edge/bench/test_cli.py"]),
        ("tests/edge/bench/conftest.py", ["tests/edge/bench/test_cli.py"]),
        ("tests/edge/bench/deeper/test_it.py", ["tests/edge/bench/deeper/test_it.py"]),
        ("tests/test_house.py", [HOUSE]),
        ("tests/test_deleted.py", []),
        ("tests/conftest.py", []),
        ("README.md", []),
        ("docs/results.md", []),
    ],
)
def test_file_has_the_tests_right_in_its_own_folder(checkout, changed, expected):
    assert mirrored_tests(Path(changed), checkout) == [Path(name) for name in expected]


def test_room_has_the_room_testss_inside_it(checkout):
    inside = ["tests/edge/bench/deeper/test_it.py", "tests/edge/bench/test_cli.py"]
    assert [path.as_posix() for path in room_tests("edge/bench", checkout)] == inside
    with pytest.raises(SystemExit, match="there are no tests under tests/edge/garden"):
        room_tests("edge/garden", checkout)


def test_house_is_always_tested_and_nothing_is_tested_twice(checkout):
    changed = [Path("edge/card.py"), Path("edge/labels.py"), Path("tests/test_house.py")]
    assert choose([], changed, checkout) == ["tests/edge/test_card.py", HOUSE]
    assert choose([], [], checkout) == [HOUSE]
    assert choose(["train"], changed, checkout) == ["tests/train/test_loop.py", HOUSE]
