"""What other programs took of the CPU: from counted time, for the cores that this process may use."""

from __future__ import annotations

import os
import time

import pytest

import edge.machine_load as machine_load
from edge.machine_load import LoadWatch, MachineLoad

ZERO = "0 0 0 0 0 0 0 0 0 0"


@pytest.fixture
def counters(tmp_path, monkeypatch):
    """Gives a function that writes /proc/stat, and one that lets the process' own clocks pass."""
    path, clock = tmp_path / "stat", {"own_ns": 0, "now_ns": 0}
    monkeypatch.setattr(machine_load, "_PROC_STAT", path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {0, 2}, raising=False)
    monkeypatch.setattr(os, "sysconf", lambda _name: 100)
    monkeypatch.setattr(os, "getloadavg", lambda: (1.5, 1.0, 0.5))
    monkeypatch.setattr(time, "process_time_ns", lambda: clock["own_ns"])
    monkeypatch.setattr(time, "perf_counter_ns", lambda: clock["now_ns"])

    def write(core_0=ZERO, core_1=ZERO, core_2=ZERO):
        path.write_text(f"cpu  1 2 3\ncpu0 {core_0}\ncpu1 {core_1}\ncpu2 {core_2}\nintr 5\n")

    def let_pass(seconds, own_s):
        clock["now_ns"] += int(seconds * 1e9)
        clock["own_ns"] += int(own_s * 1e9)

    write()
    return write, let_pass


def test_share_is_what_others_worked_on_the_cores_of_this_process(counters):
    write, let_pass = counters
    watch = LoadWatch()
    let_pass(10, own_s=4)
    # Of 20 s on two cores 9 s are work: 4 user, 1 nice, 1 system, 1 softirq, 2 steal; own is 4 of them. Core 1 is full.
    write("400 100 0 500 0 0 0 0 0 0", "1000 0 0 0 0 0 0 0 0 0", "0 0 100 500 100 0 100 200 0 0")
    assert watch.load() == MachineLoad(1.5, 0.25, True)


@pytest.mark.parametrize(("others", "is_disturbed"), [(90, False), (110, True)])
def test_a_tenth_of_the_cores_disturbs(counters, others, is_disturbed):
    write, let_pass = counters
    watch = LoadWatch()
    let_pass(10, own_s=0)
    write(f"{2 * others} 0 0 {1000 - 2 * others} 0 0 0 0 0 0", ZERO, "0 0 0 1000 0 0 0 0 0 0")
    load = watch.load()
    assert load.is_disturbed is is_disturbed
    assert bool(load.disturbance()) is is_disturbed
    assert not is_disturbed or "Next: end them (top lists them), and measure again" in load.disturbance()


def test_short_measurement_is_not_judged(counters):
    write, let_pass = counters
    watch = LoadWatch()
    let_pass(0.1, own_s=0)
    write("10 0 0 0 0 0 0 0 0 0")
    load = watch.load()
    assert (load.other_cpu_share, load.is_disturbed, load.disturbance()) == (None, None, "")
    assert "too short" in load.sentence()


@pytest.mark.parametrize("content", [None, "", "cpu0 1 2\n", "cpu0 a b c d e f g h\n", "\n\n"])
def test_system_that_does_not_count_gives_none(counters, content, tmp_path):
    if content is None:
        (tmp_path / "stat").unlink()
    else:
        (tmp_path / "stat").write_text(content)
    assert LoadWatch().load() is None


def test_system_without_affinity_gives_none(counters, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    assert LoadWatch().load() is None


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux counts it")
def test_own_work_is_not_others(monkeypatch):
    monkeypatch.setattr(machine_load, "_LEAST_S", 0.0)
    watch = LoadWatch()
    own_s = -time.process_time()
    end = time.perf_counter() + 0.3
    while time.perf_counter() < end:
        pass
    own_s += time.process_time()
    whole = 0.3 * len(os.sched_getaffinity(0))
    assert watch.load().other_cpu_share <= 1 - own_s / whole + 0.2
