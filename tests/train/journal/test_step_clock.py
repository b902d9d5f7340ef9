"""The clock of a training: what counts as what, over several processes, and energy only where it was measured."""

from __future__ import annotations

import dataclasses
import json

import pytest

from train.journal.step_clock import StepClock
from train.runs import TrainingMeasurements


class Time:
    """A time in s that passes when it is told to."""

    def __init__(self, now_s: float = 100.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s

    def passes(self, seconds: float) -> None:
        self.now_s += seconds


class Meter:
    """An energy meter whose reading is set."""

    def __init__(self, energy_j: float, covered_s: float) -> None:
        self._reading = energy_j, covered_s

    def reading(self):
        return self._reading


@pytest.fixture
def time():
    return Time()


def work(clock, time, steps=20, wait_s=0.1, step_s=0.4, images=8):
    for _ in range(steps):
        with clock.waiting():
            time.passes(wait_s)
        with clock.stepping(images):
            time.passes(step_s)


def started(time, **options) -> StepClock:
    """A clock whose first step, of 9 s, is over."""
    clock = StepClock(now=time, **options)
    work(clock, time, 1, 1.0, 8.0)
    return clock


def test_step_is_timed_from_asking_for_its_batch(time):
    clock = started(time)
    work(clock, time)
    summary = clock.summary()
    assert summary["step_p50_s"] == pytest.approx(0.5)
    assert summary["step_p90_s"] == pytest.approx(0.5)
    assert summary["images_per_s"] == pytest.approx(16.0)
    assert summary["input_wait_share"] == pytest.approx(0.2)
    assert clock.last_step_s == pytest.approx(0.5)


def test_first_step_traces_and_counts_as_time_alone(time):
    clock = started(time)
    assert (clock.summary()["step_p50_s"], clock.summary()["images_per_s"]) == (None, None)
    assert clock.first_step_s == pytest.approx(9.0)
    work(clock, time, 2)
    assert clock.summary()["training_s"] == pytest.approx(10.0)
    assert clock.summary()["step_p90_s"] is None  # two steps do not carry it


def test_time_of_the_processor_adds_up_over_processes_and_other_programs_take_none_of_it(time):
    processor = Time(5.0)
    clock = StepClock(now=time, processor_now=processor)
    processor.passes(2.0)
    time.passes(50.0)
    second = Time(0.0)
    resumed = StepClock.from_facts(clock.to_facts(), now=time, processor_now=second)
    second.passes(3.0)
    assert resumed.processor_s == pytest.approx(5.0)
    assert resumed.summary()["processor_s"] == pytest.approx(5.0)
    assert StepClock.from_facts({}, now=time, processor_now=second).processor_s == 0.0


def test_validation_is_apart_from_training(time):
    clock = started(time)
    work(clock, time, 4)
    with clock.validating():
        time.passes(30.0)
    summary = clock.summary()
    assert (summary["validation_s"], summary["training_s"]) == (pytest.approx(30.0), pytest.approx(11.0))
    assert summary["images_per_s"] == pytest.approx(16.0)


def test_time_to_best_is_that_of_the_last_mark_with_everything_before_it(time):
    clock = started(time)
    assert clock.summary()["time_to_best_s"] is None
    for _ in range(2):
        with clock.validating():
            time.passes(5.0)
        clock.mark_best()
        time.passes(1.0)  # a checkpoint
    assert clock.summary()["time_to_best_s"] == pytest.approx(9.0 + 5.0 + 1.0 + 5.0)


def test_step_that_fails_counts_for_nothing(time):
    clock = started(time)
    with pytest.raises(ValueError, match="no memory"), clock.stepping(8):
        time.passes(3.0)
        raise ValueError("no memory")
    work(clock, time, 1)
    assert clock.summary()["step_p50_s"] == pytest.approx(0.5)


def test_resumed_clock_reports_the_whole(time):
    clock = started(time)
    work(clock, time, 8)
    with clock.validating():
        time.passes(2.0)
    clock.mark_best()
    facts = json.loads(json.dumps(clock.to_facts()))
    work(clock, time, 5)  # lost by a kill, as the steps are

    time.passes(10_000.0)  # the machine was off
    clock = StepClock.from_facts(facts, now=time)
    work(clock, time, 1, 1.0, 8.0)
    work(clock, time, 8, wait_s=0.3, step_s=0.2)
    summary = clock.summary()
    assert summary["training_s"] == pytest.approx(9 + 4 + 9 + 4)
    assert summary["input_wait_share"] == pytest.approx((8 * 0.1 + 8 * 0.3) / 8)
    assert summary["images_per_s"] == pytest.approx(16.0)
    assert summary["step_p90_s"] == pytest.approx(0.5)  # of 16 steps in two processes
    assert summary["time_to_best_s"] == pytest.approx(15.0)
    clock.mark_best()
    assert clock.summary()["time_to_best_s"] == pytest.approx(15.0 + 13.0)


def test_peaks_of_earlier_processes_stay(time, monkeypatch):
    import train.journal.step_clock as module

    monkeypatch.setattr(module, "peak_host_bytes", lambda: 700)
    monkeypatch.setattr(module, "peak_device_bytes", lambda: 50)
    facts = StepClock(now=time).to_facts()
    monkeypatch.setattr(module, "peak_host_bytes", lambda: 300)
    monkeypatch.setattr(module, "peak_device_bytes", lambda: None)
    summary = StepClock.from_facts(facts, now=time).summary()
    assert (summary["peak_host_bytes"], summary["peak_device_bytes"]) == (700, 50)
    monkeypatch.setattr(module, "peak_host_bytes", lambda: 900)
    assert StepClock.from_facts(facts, now=time).summary()["peak_host_bytes"] == 900


def test_without_facts_the_clock_begins_anew(time):
    assert StepClock.from_facts({}, now=time).summary()["training_s"] == 0.0


@pytest.mark.parametrize(("covered_s", "energy_j"), [(100.0, 5000.0), (99.0, 5000.0), (98.0, None), (0.0, None)])
def test_energy_is_said_only_where_samples_cover_the_time(time, covered_s, energy_j):
    clock = StepClock(Meter(5000.0, covered_s), now=time)
    time.passes(100.0)
    assert clock.summary()["energy_j"] == energy_j


def test_energy_of_a_resumed_run_needs_all_of_its_processes(time):
    def facts(meter):
        clock = StepClock(meter, now=time)
        time.passes(50.0)
        return clock.to_facts()

    measured, unmeasured = facts(Meter(1000.0, 50.0)), facts(None)
    both = StepClock.from_facts(measured, Meter(500.0, 50.0), now=time)
    half = StepClock.from_facts(unmeasured, Meter(500.0, 50.0), now=time)
    time.passes(50.0)
    assert both.summary()["energy_j"] == 1500.0
    assert half.summary()["energy_j"] is None


def test_summary_is_the_record_of_measurements(time):
    clock = started(time)
    work(clock, time)
    summary = clock.summary()
    assert set(summary) == {field.name for field in dataclasses.fields(TrainingMeasurements)}
    TrainingMeasurements(**summary)
