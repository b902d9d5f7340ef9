"""The benchmark of a training step: contenders are compared within a turn, and one that cannot run is named."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import training_step
from benchmarks.training_contenders.batch import CLASS_COUNT, VOID, draw_batch


class StoredContender:
    """A contender that replays latencies: those that passed, and twice as much of the processor."""

    latencies_s = {"ours": [[9.0, 1.0, 1.2], [9.0, 2.0, 2.0]], "before": [[9.0, 2.0, 2.0], [9.0, 6.0, 6.0]]}
    closed: list[str] = []

    def __init__(self, name, settings, python):
        self.name, self.versions, self.first_step_s, self.losses = name, "stored", 5.0, [2.0]
        self._turns = iter(self.latencies_s.get(name, self.latencies_s["before"]))

    def take(self, steps):
        turn = next(self._turns)
        assert len(turn) == steps
        self.losses.append(1.0)
        return turn, [2 * value for value in turn]

    def close(self):
        self.closed.append(self.name)


@pytest.fixture
def stored(monkeypatch):
    monkeypatch.setattr(training_step, "Contender", StoredContender)
    monkeypatch.setattr(training_step, "has_pytorch", lambda python: False)
    StoredContender.closed = []


ARGUMENTS = ["--rounds", "2", "--steps", "2"]


def test_ratios_are_taken_within_a_turn_and_its_first_step_is_not_counted(stored, capsys):
    assert training_step.main([*ARGUMENTS, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    ours, before = report["contenders"]
    assert before["step_times_ours"] == pytest.approx({"min": 2 / 1.1, "median": (2 / 1.1 + 3) / 2, "max": 3.0})
    assert ours["step_times_ours"] == {"min": 1.0, "median": 1.0, "max": 1.0}
    assert ours["step_s"] == {"min": 1.0, "median": 1.6, "max": 2.0}
    assert ours["processor_s"]["max"] == 4.0
    assert StoredContender.closed == ["ours", "before"]


def test_missing_pytorch_is_one_line_that_says_how_to_have_it(stored, capsys):
    assert training_step.main(ARGUMENTS) == 0
    captured = capsys.readouterr()
    assert "pytorch" not in captured.out
    assert "PyTorch is left out" in captured.err and "pip install torch==2.13.0" in captured.err
    assert "2.41 (1.82 to 3.00) times ours (goal 1.3)" in captured.out


def test_options_are_measured_beside_the_plain_step(stored, capsys):
    assert training_step.main([*ARGUMENTS, "--options"]) == 0
    captured = capsys.readouterr()
    for name in ("ours", "without kernels", "mixed_bfloat16", "XLA"):
        assert f"\n{name}" in captured.out
    assert not captured.err.count("PyTorch")


def test_batch_holds_every_class_and_void_and_is_the_same_each_time():
    frames, labels = draw_batch(8, 256, 512)
    assert frames.shape == (8, 256, 512, 3) and labels.shape == (8, 256, 512)
    assert set(np.unique(labels)) == {*range(CLASS_COUNT), VOID}
    again = draw_batch(8, 256, 512)
    assert np.array_equal(frames, again[0]) and np.array_equal(labels, again[1])
