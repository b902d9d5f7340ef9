"""The benchmark of dilated convolutions: steps are compared within a turn, and the goal stands beside the ratio."""

from __future__ import annotations

import json

import pytest

from benchmarks import dilated_step
from benchmarks.dilated_step import Turn

TURNS = [Turn(1.0, 5.0), Turn(2.0, 8.0), Turn(1.0, 6.0)]


@pytest.fixture
def stored(monkeypatch):
    monkeypatch.setattr(dilated_step, "measure", lambda model, crops, turns, progress: TURNS)


def test_ratios_are_taken_within_a_turn(stored, capsys):
    assert dilated_step.main(["--model", "deeplabv3plus", "--json"]) == 0
    (case,) = json.loads(capsys.readouterr().out)["cases"]
    assert case["times_as_fast"] == {"min": 4.0, "median": 5.0, "max": 6.0}
    assert (case["products_s"], case["convolution_s"], case["goal"]) == (1.0, 6.0, 4.0)


def test_every_architecture_has_a_line_and_the_goal_stands_beside_the_ratio(stored, capsys):
    assert dilated_step.main([]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == ["deeplabv3plus", "panoptic_deeplab", "fastfcn"]
    assert lines[0].endswith("5.00 times as fast (4.00 to 6.00) (goal 4)") and "goal" not in lines[1]
