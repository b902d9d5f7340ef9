"""The thread that samples: its clock, its end, and what becomes of its samples in a record."""

from __future__ import annotations

import threading
import time

import pytest

from edge.errors import BackendError, ContractError
from edge.records import record_from_json, record_to_json
from edge.telemetry.base import PowerSample
from edge.telemetry.power_record import PowerRecord, power_record
from edge.telemetry.sampler import PowerSampler


class Sampled:
    """A sampler that has ended, with samples of a known power."""

    failure = None
    gap_limit_s = 0.3

    def __init__(self, source, times_ns, power_mw):
        self.source = source
        self.samples = [
            PowerSample(time_ns, {"A": value, "B": 100.0 if index > 2 else None}, value, {"GPU": 40.0 + index})
            for index, (time_ns, value) in enumerate(zip(times_ns, power_mw))
        ]


def test_samples_are_taken_in_a_thread_of_their_own_on_the_latency_clock(scripted_source):
    source = scripted_source()
    before_ns = time.perf_counter_ns()
    with PowerSampler(source) as sampler:
        assert sampler.samples
        mark_ns = time.perf_counter_ns()
        sampler.wait_past(mark_ns)
        assert sampler.samples[-1].time_ns >= mark_ns
    after_ns = time.perf_counter_ns()
    times_ns = [sample.time_ns for sample in sampler.samples]
    assert times_ns == sorted(times_ns)
    assert before_ns <= times_ns[0]
    assert times_ns[-1] <= after_ns
    assert threading.main_thread() not in source.threads
    assert not any(thread.is_alive() for thread in source.threads)


def test_source_that_never_gives_a_sample_is_an_error_before_any_work(scripted_source):
    with pytest.raises(BackendError, match="the script is at its end"), PowerSampler(scripted_source(lasts=0)):
        pytest.fail("the block began without a sample")


def test_source_that_ends_leaves_its_reason_and_its_samples(scripted_source):
    with PowerSampler(scripted_source(lasts=3)) as sampler:
        sampler.wait_past(time.perf_counter_ns() + 10**12)  # returns at the failure, not at its own limit
    assert len(sampler.samples) == 3
    assert sampler.failure == "the script is at its end. Next: write more"


def test_source_that_ends_before_the_caller_wakes_leaves_its_samples(scripted_source):
    # A busy machine lets the thread run to the end of its source before the caller runs again.
    sampler = PowerSampler(scripted_source(lasts=2))
    wait_for = sampler._sample_arrived.wait_for
    sampler._sample_arrived.wait_for = lambda predicate, timeout: wait_for(lambda: sampler.failure, timeout)
    with sampler:
        assert len(sampler.samples) == 2
    assert sampler.failure.startswith("the script is at its end")


def test_unpaced_source_is_read_at_its_interval(scripted_source):
    source = scripted_source()
    source.is_paced, source.interval_s = False, 0.05
    with PowerSampler(source) as sampler:
        sampler.wait_past(sampler.samples[0].time_ns + 150_000_000)
        sampler.wait_past(sampler.samples[0].time_ns + 150_000_000)
    steps_ns = [b.time_ns - a.time_ns for a, b in zip(sampler.samples, sampler.samples[1:])]
    # Never sooner than its schedule; how much later is the machine's affair. A read takes 2 ms of the interval.
    assert len(steps_ns) >= 2
    assert sum(steps_ns) / len(steps_ns) > 45_000_000


def test_defect_of_a_source_does_not_look_like_silence(scripted_source):
    def broken(time_ns):
        raise KeyError("tot")

    with pytest.raises(BackendError, match="scripted failed: KeyError: 'tot'"), PowerSampler(scripted_source(broken)):
        pytest.fail("the block began without a sample")


def test_error_in_the_block_ends_the_thread(scripted_source):
    source = scripted_source()
    with pytest.raises(KeyboardInterrupt), PowerSampler(source):
        raise KeyboardInterrupt
    assert not any(thread.is_alive() for thread in source.threads)


def test_record_has_energy_over_exactly_the_measured_window(scripted_source):
    zero_ns = 7_000_000_000_000_007
    times_ns = [zero_ns + index * 100_000_000 for index in range(20)]
    # P(t) = 4000 + 2000 t mW from the first sample on.
    power_mw = [4000 + 2000 * index * 0.1 for index in range(20)]
    marks_ns = [zero_ns + round(seconds * 1e9) for seconds in (0.25, 0.5, 0.77, 1.0, 1.45)]
    record = power_record(Sampled(scripted_source(), times_ns, power_mw), marks_ns)
    expected_mj = 4000 * 1.2 + 1000 * (1.45**2 - 0.25**2)
    assert record.total.energy_mj == pytest.approx(expected_mj, rel=1e-9)
    assert record.total.mean_mw == pytest.approx(expected_mj / 1.2, rel=1e-9)
    assert record.energy_per_frame_mj == pytest.approx(expected_mj / 4, rel=1e-9)
    assert (record.total.min_mw, record.total.max_mw) == (4600.0, 6800.0)  # samples at 0.3 s and 1.4 s
    assert record.rails["A"] == record.total
    # Measured from the fourth sample on, at 0.3 s: the one in front of the window is missing.
    assert (record.rails["B"].energy_mj, record.rails["B"].mean_mw, record.rails["B"].max_mw) == (None, None, 100.0)
    assert (record.window_s, record.frame_count) == (1.2, 4)
    assert record.times_s[:3] == (-0.25, -0.15, -0.05)
    assert record.frame_start_s == (0.0, 0.25, 0.52, 0.75)
    assert (record.refusal, record.failure) == (None, None)


def test_record_without_energy_says_why(scripted_source):
    times_ns = [10**9 + index * 100_000_000 for index in range(5)]
    record = power_record(Sampled(scripted_source(), times_ns, [5000.0] * 5), [10**9, 3 * 10**9])
    assert (record.energy_per_frame_mj, record.total.energy_mj, record.total.mean_mw) == (None, None, None)
    assert "end 1.600 s early" in record.refusal


def test_record_comes_back_equal_from_json_and_unknown_schemas_are_refused(scripted_source):
    with PowerSampler(scripted_source()) as sampler:
        marks_ns = [time.perf_counter_ns()]
        sampler.wait_past(marks_ns[0] + 20_000_000)
        marks_ns.append(time.perf_counter_ns())
        sampler.wait_past(marks_ns[-1])
    record = power_record(sampler, marks_ns)
    assert record.rails_mw["B <&>"] == (None,) * len(record.times_s)
    assert set(record.power_mode) == {"MAXN"}
    value = record_to_json(record)
    assert record_from_json(PowerRecord, value, "x") == record
    with pytest.raises(ContractError, match="power record x has schema 2"):
        record_from_json(PowerRecord, {**value, "schema": 2}, "x")
