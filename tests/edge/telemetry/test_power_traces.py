"""Energy of power traces with spikes that are known exactly, read through the kernel's files of a fake board.

The clock is made: a trace of minutes takes a tenth of a second, and no busy machine disturbs it.
"""

from __future__ import annotations

import bisect
import random

import pytest

import edge.telemetry.sysfs as sysfs
from edge.telemetry.power_record import power_record
from edge.telemetry.sysfs import SysfsSource

BASE_MW, VOLTS = 18060.0, 19
BASE_MA = 300


class Sampler:
    """A sampler that has ended."""

    failure, gap_limit_s = None, 0.3

    def __init__(self, source, samples):
        self.source, self.samples = source, samples


class ReplayedBoard:
    """A clock whose sleeps move it, and write the current of its moment into the file of the GPU's rail."""

    def __init__(self, root, edges_s, spike_ma):
        self.now_ns, self.edges_ns, self.spike_ma = 0, [round(1e9 * edge) for edge in edges_s], spike_ma
        self.root = root
        self.file = root / "sys/bus/i2c/devices/1-0040/hwmon/hwmon3/curr1_input"
        self.is_spike = False

    def perf_counter_ns(self):
        return self.now_ns

    def sleep(self, seconds):
        self.now_ns += round(seconds * 1e9)
        is_spike = bisect.bisect(self.edges_ns, self.now_ns) % 2 == 1
        if is_spike != self.is_spike:
            self.is_spike = is_spike
            self.file.write_text(f"{BASE_MA + (self.spike_ma if is_spike else 0)}\n")

    def energy_mj(self, window_ns):
        inside = [min(max(edge, window_ns[0]), window_ns[1]) for edge in self.edges_ns]
        spiked_s = sum(end - start for start, end in zip(inside[::2], inside[1::2])) / 1e9
        return BASE_MW * (window_ns[1] - window_ns[0]) / 1e9 + VOLTS * self.spike_ma * spiked_s


def measured(monkeypatch, root, edges_s, spike_ma, seconds, **options):
    """Return the record of a trace, and its true energy in mJ."""
    board = ReplayedBoard(root, edges_s, spike_ma)
    monkeypatch.setattr(sysfs, "time", board)
    with SysfsSource(root, **options) as source:
        source._phase = 0.3
        samples = [source.read()]
        while samples[-1].time_ns < 1e9 * (seconds + 0.3):
            samples.append(source.read())
    window_ns = (300_000_000, 300_000_000 + round(1e9 * seconds))
    return power_record(Sampler(source, samples), list(window_ns)), board.energy_mj(window_ns)


def random_edges(seed, seconds, shortest_s, longest_s):
    """Return starts and ends of spikes that come two a second."""
    draw, edges_s, at_s = random.Random(seed), [], 0.0
    while at_s < seconds:
        at_s += draw.uniform(0.2, 0.8)
        edges_s += [at_s, at_s + draw.uniform(shortest_s, longest_s)]
        at_s = edges_s[-1]
    return edges_s


def test_energy_of_a_trace_with_spikes_is_true_to_one_percent(make_jetson, monkeypatch):
    # Spikes of 30 to 90 ms, which double the power of the whole board.
    edges_s = random_edges(1, 13.0, 0.03, 0.09)
    record, truth_mj = measured(monkeypatch, make_jetson("xavier"), edges_s, 950, 12.0)
    assert truth_mj > 1.08 * BASE_MW * 12
    assert record.total.energy_mj == pytest.approx(truth_mj, rel=0.01)
    assert abs(record.total.energy_mj - truth_mj) <= record.energy_uncertainty_mj
    assert record.rails["GPU"].energy_mj == pytest.approx(truth_mj - (BASE_MW - VOLTS * BASE_MA) * 12, rel=0.03)


def test_spikes_in_step_with_the_samples_are_seen_too(make_jetson, monkeypatch):
    # Every 20 ms, as the readings are: at fixed moments each reading would meet a spike, or none.
    edges_s = [edge for index in range(330) for edge in (0.02 * index + 0.001, 0.02 * index + 0.006)]
    record, truth_mj = measured(monkeypatch, make_jetson("xavier"), edges_s, 950, 5.0)
    assert truth_mj == pytest.approx((BASE_MW + 0.25 * VOLTS * 950) * 5)
    assert record.total.energy_mj == pytest.approx(truth_mj, rel=0.01)
    assert abs(record.total.energy_mj - truth_mj) <= record.energy_uncertainty_mj


def test_uncertainty_covers_the_truth_of_short_traces_of_which_little_is_seen(make_jetson, monkeypatch):
    root = make_jetson("xavier")
    for seed in range(6):
        record, truth_mj = measured(monkeypatch, root, random_edges(seed, 3.0, 0.005, 0.05), 950, 1.5)
        assert abs(record.total.energy_mj - truth_mj) <= record.energy_uncertainty_mj


def test_steady_power_is_uncertain_by_its_resolution_alone(make_jetson, monkeypatch):
    record, truth_mj = measured(monkeypatch, make_jetson("xavier"), [], 0, 5.0)
    assert record.total.energy_mj == pytest.approx(truth_mj)
    step_mw = (5 * 152**2 + 40**2) ** 0.5
    assert record.energy_uncertainty_mj == pytest.approx(2 * 5.0 * step_mw / 12**0.5)
    assert record.energy_per_frame_uncertainty_mj == record.energy_uncertainty_mj


def test_energy_net_of_idle_leaves_out_what_the_machine_draws_anyway(make_jetson, monkeypatch):
    board = ReplayedBoard(make_jetson("xavier"), [2.0, 9.0], 1000)
    monkeypatch.setattr(sysfs, "time", board)
    with SysfsSource(board.root) as source:
        samples = [source.read() for _ in range(60)]
    record = power_record(Sampler(source, samples), [3 * 10**9, 4 * 10**9, 5 * 10**9], (10**8, 19 * 10**8))
    assert record.idle_mean_mw == pytest.approx(BASE_MW)
    assert (record.idle_start_s, record.idle_s) == (-2.9, 1.8)
    assert record.net_energy_per_frame_mj == pytest.approx(19000.0)  # 19 W for a second
    assert record.energy_per_frame_mj == pytest.approx(BASE_MW + 19000.0)
    assert record.net_energy_per_frame_uncertainty_mj > record.energy_per_frame_uncertainty_mj
    without = power_record(Sampler(source, samples), [3 * 10**9, 4 * 10**9])
    assert (without.idle_mean_mw, without.net_energy_per_frame_mj) == (None, None)
