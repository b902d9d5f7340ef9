"""The line of progress: what it says, how long it expects, and how it looks on a terminal and in a log."""

from __future__ import annotations

import io

import pytest

from edge.console import progress as console_progress
from tests.train.journal.runs_made_up import epoch_entry
from train.journal.progress import TrainingProgress


class Time:
    """Stands in for the module time and for the time in s; it passes when it is told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def perf_counter_ns(self) -> int:
        return round(self.now_s * 1e9)

    def __call__(self) -> float:
        return self.now_s

    def passes(self, seconds: float) -> None:
        self.now_s += seconds


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def time(monkeypatch):
    clock = Time()
    monkeypatch.setattr(console_progress, "time", clock)
    monkeypatch.setenv("COLUMNS", "200")
    return clock


def progress_of(time, stream=None, **options) -> TrainingProgress:
    return TrainingProgress(
        **{"epochs": 4, "steps_per_epoch": 10, "now": time, "stream": stream or io.StringIO(), **options}
    )


def work(progress, time, steps, step_s=2.0, loss=0.5):
    for _ in range(steps):
        time.passes(step_s)
        progress.step(loss, 8)


def test_time_left_is_that_of_recent_steps(time):
    progress = progress_of(time, validate_every=99, epochs=1)
    work(progress, time, 1, step_s=60.0)  # traces
    assert progress.left_s() is None
    work(progress, time, 4, step_s=2.0)
    assert progress.left_s() == pytest.approx(5 * 2.0)


def test_time_left_counts_the_validations_that_are_left(time):
    progress = progress_of(time)
    work(progress, time, 10)
    time.passes(7.0)
    progress.epoch(epoch_entry(1, 0.5, validation_s=7.0), is_best=True)
    assert progress.left_s() == pytest.approx(30 * 2.0 + 3 * 7.0)
    work(progress, time, 10)
    progress.validating(1, 20)
    time.passes(5.0)
    assert progress.left_s() == pytest.approx(20 * 2.0 + 3 * 7.0 - 5.0)


@pytest.mark.parametrize(("epochs", "every", "left"), [(4, 1, 3), (4, 2, 2), (5, 2, 3), (5, 9, 1), (1, 1, 0)])
def test_validations_left_are_those_of_the_trainer(time, epochs, every, left):
    progress = progress_of(time, epochs=epochs, validate_every=every)
    progress.epoch(epoch_entry(1), is_best=False)
    assert progress._validations_left == left


def test_validation_does_not_count_as_a_slow_step(time):
    progress = progress_of(time)
    work(progress, time, 10)
    progress.validating(1, 20)
    time.passes(600.0)
    progress.epoch(epoch_entry(1, 0.5, validation_s=600.0), is_best=True)
    work(progress, time, 5)
    assert progress.left_s() == pytest.approx(25 * 2.0 + 3 * 600.0)


def test_epoch_of_one_step_has_a_rate_and_the_loss_of_now(time):
    stream = io.StringIO()
    progress = progress_of(time, stream, epochs=100, steps_per_epoch=1)
    for number in range(1, 21):
        work(progress, time, 1, loss=1.0 / number)
        time.passes(5.0)  # a validation
        progress.epoch(epoch_entry(number, 0.5, validation_s=5.0), is_best=True)
    assert progress.left_s() == pytest.approx(80 * 2.0 + 80 * 5.0)
    assert progress._loss.mean == pytest.approx(0.05)


def test_epochs_without_a_validation_are_said_every_half_minute(time):
    stream = io.StringIO()
    progress = progress_of(time, stream, epochs=40, validate_every=16)
    for number in range(1, 41):
        time.passes(4.0)
        progress.epoch(epoch_entry(number, 0.5 if number in (16, 32) else None), is_best=False)
    said = [int(line.split()[1].split("/")[0]) for line in stream.getvalue().splitlines()]
    assert said == [1, 9, 16, 24, 32, 40]


def test_recent_rate_follows_a_change(time):
    progress = progress_of(time, epochs=100, validate_every=1000)
    work(progress, time, 200, step_s=1.0)
    work(progress, time, 200, step_s=3.0)
    assert progress.left_s() == pytest.approx(600 * 3.0, rel=0.03)


def test_log_is_a_line_every_half_minute_with_all_that_matters(time):
    stream = io.StringIO()
    with progress_of(time, stream) as progress:
        work(progress, time, 10)
        time.passes(7.0)
        progress.epoch(epoch_entry(1, 0.5, validation_s=7.0), is_best=True)
        work(progress, time, 20)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "epoch 1/4: loss 2.0000, val mIoU 50.00 % (best), 27 s gone, 1 min 21 s left"
    assert lines[1] == (
        "train: 30 % (31 s gone, 1 min 17 s left) epoch 2/4, loss 0.5000, 4 images/s, mIoU 50.0 % (best)"
    )
    assert len(lines) == 3


def test_line_before_the_first_validation_says_that_it_is_not_counted(time):
    stream = Terminal()
    progress = progress_of(time, stream, epochs=1)
    work(progress, time, 3)
    assert "time left without validation" in stream.getvalue()


def test_line_of_an_epoch_says_the_best_until_now(time):
    stream = io.StringIO()
    progress = progress_of(time, stream)
    progress.epoch(epoch_entry(1, 0.6), is_best=True)
    progress.epoch(epoch_entry(2, 0.5), is_best=False)
    time.passes(30.0)
    progress.epoch(epoch_entry(3), is_best=False)
    first, second, third = stream.getvalue().splitlines()
    assert "val mIoU 60.00 % (best)" in first
    assert "val mIoU 50.00 % (best 60.00 %)" in second
    assert "mIoU" not in third


def test_resumed_training_begins_where_it_was(time):
    stream = Terminal()
    with progress_of(time, stream, done_steps=20, best=epoch_entry(2, 0.6)) as progress:
        work(progress, time, 2)
    assert "train: 55 % (4 s gone" in stream.getvalue()
    assert "loss 0.5000, 4 images/s, best mIoU 60.0 %" in stream.getvalue()
    assert "epoch 3/4" in stream.getvalue()


def test_training_that_is_given_hours_ends_at_another_step(time):
    progress = progress_of(time, validate_every=1000)
    progress.plan(15)
    work(progress, time, 5)
    assert progress.left_s() == pytest.approx(20.0)


@pytest.mark.parametrize("columns", [60, 80, 100, 140])
def test_line_fits_the_terminal_so_that_it_can_be_redrawn(time, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    stream = Terminal()
    with progress_of(time, stream, epochs=1000) as progress:
        work(progress, time, 10, step_s=200.0)
        progress.epoch(epoch_entry(1, 0.5), is_best=True)
        work(progress, time, 10, step_s=200.0)
    lines = [line.replace("\x1b[K", "").split("\n")[0] for line in stream.getvalue().split("\r") if "train:" in line]
    assert max(map(len, lines)) < max(columns, 62)
    assert "loss" in lines[-1]
    assert ("mIoU 50.0 % (best)" in lines[-1]) == (columns >= 80)
    assert ("images/s" in lines[-1]) == (columns >= 140)
