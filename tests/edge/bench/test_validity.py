"""The rules by which a run is judged: each one alone makes it invalid, with its reason and its remedy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge.bench.validity import LEAST_FRAMES, RunConditions, Validity, validity
from edge.machine_load import MachineLoad
from edge.records import record_from_json, record_to_json
from edge.telemetry.base import PowerSample
from edge.telemetry.power_record import power_record
from edge.telemetry.throttling import ThrottledWindow


class Statistics:
    def __init__(self, sample_count):
        self.sample_count = sample_count


class Run:
    """What the rules read of a benchmark record."""

    def __init__(self, **changed):
        self.is_partial, self.end_to_end, self.duration_s = False, Statistics(1024), 60.0
        self.load, self.power = MachineLoad(0.1, 0.02, False), None
        vars(self).update(changed)

    def partial_sentence(self):
        return "partial: interrupted after 7 of at least 1024 frames"


class Sampler:
    class source:  # noqa: N801
        name, version, covers, interval_s, resolution_mw = "made", None, "a board", 0.1, None

    gap_limit_s, failure = 0.3, None

    def __init__(self, **columns):
        count = 21
        self.samples = [
            PowerSample(
                index * 100_000_000,
                {"VIN": 9000.0},
                9000.0,
                power_mode="MAXN",
                **{name: values[index] for name, values in columns.items()},
            )
            for index in range(count)
        ]


def power(idle_window_ns=None, **columns):
    """Return the record of 2 s of samples, with a window from 0.5 to 1.5 s."""
    return power_record(Sampler(**columns), [500_000_000, 1_000_000_000, 1_500_000_000], idle_window_ns)


def reasons(run, conditions=None, unsteady=""):
    judged = validity(run, conditions, unsteady)
    assert judged.is_valid is (not judged.reasons)
    assert all(reason.remedy for reason in judged.reasons)
    return [reason.what for reason in judged.reasons]


def test_calm_run_is_valid_and_its_judgement_comes_back_from_json():
    conditions = RunConditions(
        least_frames=1024,
        least_s=60.0,
        power_mode_asked="MAXN",
        gpu_clock_asked_mhz=1300.0,
        engine_sha256_before="a" * 64,
        engine_sha256_after="a" * 64,
        clock_jump_s=0.0,
        other_gpu_processes=(),
    )
    calm = Run(power=power(gpu_clock_mhz=[1290.0] * 21))
    assert reasons(calm, conditions) == []
    assert validity(calm).title() == "VALID"
    broken = validity(Run(end_to_end=Statistics(7)))
    assert broken.title() == "INVALID"
    assert record_from_json(Validity, record_to_json(broken), "here") == broken
    assert broken.sentences() == ["too few frames: 7, expected at least 100. Next: --min-frames 100"]


@pytest.mark.parametrize(
    ("run", "conditions", "unsteady", "what"),
    [
        ({"end_to_end": Statistics(LEAST_FRAMES - 1)}, {}, "", "too few frames: 99, expected at least 100"),
        ({}, {"least_frames": 2000}, "", "too few frames: 1024, expected at least 2000"),
        ({}, {"least_s": 600.0}, "", "too short: 60.0 s, expected at least 600.0 s"),
        ({"is_partial": True}, {}, "", "partial: interrupted after 7"),
        ({}, {}, "p50 rose by 12 %", "not steady: p50 rose by 12 %"),
        ({"load": MachineLoad(3.0, 0.4, True)}, {}, "", "other programs took 40 % of the CPU"),
        ({}, {"other_gpu_processes": ("python 7",)}, "", "other programs were on the GPU: python 7"),
        (
            {},
            {"engine_sha256_before": "a" * 64, "engine_sha256_after": "b" * 64},
            "",
            "the engine's file changed during the run",
        ),
        ({}, {"clock_jump_s": -3600.0}, "", "the wall clock went 3600.0 s behind the monotonic clock"),
        ({}, {"clock_jump_s": 0.4}, "", "the wall clock went 0.4 s ahead of the monotonic clock"),
    ],
)
def test_each_rule_alone_makes_a_run_invalid(run, conditions, unsteady, what):
    (reason,) = reasons(Run(**run), RunConditions(**conditions), unsteady)
    assert reason.startswith(what)


def test_throttling_inside_of_the_window_counts_and_that_of_the_warm_up_does_not():
    counts = [{"average over-current": int(index >= 8)} for index in range(21)]
    (reason,) = reasons(Run(power=power(event_counts=counts)))
    assert reason == "throttled for 0.1 of 1.0 s: average over-current"
    before = [{"average over-current": int(index >= 3)} for index in range(21)]
    warm_up = power(event_counts=before)
    assert warm_up.throttled == (ThrottledWindow(-0.3, -0.2, ("average over-current",)),)
    assert reasons(Run(power=warm_up)) == []


def test_gap_in_the_samples_is_a_reason_and_so_is_their_early_end():
    whole = power()
    times = tuple(time_s + 0.45 if time_s > 0.15 else time_s for time_s in whole.times_s)
    (reason,) = reasons(Run(power=replace(whole, times_s=times)))
    assert reason == "the samples of power have a gap of 0.55 s, expected at most 0.30 s"
    (ended,) = reasons(Run(power=replace(whole, failure="the board was taken away")))
    assert ended == "the samples of power ended early: the board was taken away"
    # A source without rails has no energy that a gap could spoil.
    assert reasons(Run(power=replace(whole, times_s=times, rails_mw={}))) == []


def test_power_mode_is_the_one_that_was_asked_for_all_the_time():
    assert reasons(Run(power=power()), RunConditions(power_mode_asked="15W")) == ["power mode was MAXN, expected 15W"]
    changed = replace(power(), power_mode=("MAXN",) * 10 + ("15W",) * 11)
    assert reasons(Run(power=changed)) == ["power mode changed during the run: MAXN, then 15W"]


def test_clock_is_the_one_that_was_asked_for():
    slow = power(gpu_clock_mhz=[1300.0] * 10 + [900.0] * 11, cpu_clock_mhz=[None] * 21)
    asked = RunConditions(gpu_clock_asked_mhz=1300.0, cpu_clock_asked_mhz=2200.0)
    assert reasons(Run(power=slow), asked) == [
        "the GPU ran at 900 MHz, expected 1300 MHz",
        "no clock of the CPU was read, expected 2200 MHz",
    ]


def test_gpu_that_worked_before_the_run_is_a_reason():
    load = [40.0] * 5 + [99.0] * 16
    (reason,) = reasons(Run(power=power((0, 400_000_000), gpu_load_percent=load)))
    assert reason == "the GPU was 40 % busy before the run, expected an idle one"
