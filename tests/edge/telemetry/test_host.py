"""Hosts without rails: the energy counters of a processor, and what a machine without any power tells."""

from __future__ import annotations

import pytest

import edge.telemetry.rapl as rapl
from edge.errors import BackendError
from edge.telemetry.host import HostSource
from edge.telemetry.rapl import RaplSource
from edge.telemetry.throttling import throttled_windows

ZONES = {
    # A package with its parts, its memory, a second package, the platform, and the first once more by another way.
    "intel-rapl:0": ("package-0", 10_000_000),
    "intel-rapl:0:0": ("core", 1_000_000),
    "intel-rapl:0:1": ("dram", 500_000),
    "intel-rapl:1": ("package-1", 262_143_000_000),
    "intel-rapl:2": ("psys", 77_000_000),
    "intel-rapl-mmio:0": ("package-0", 10_000_000),
}


@pytest.fixture
def host(tmp_path):
    def write(name, value):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")

    for zone, (name, energy) in ZONES.items():
        write(f"sys/class/powercap/{zone}/name", name)
        write(f"sys/class/powercap/{zone}/energy_uj", energy)
        write(f"sys/class/powercap/{zone}/max_energy_range_uj", 262_143_328_850)
    write("proc/stat", "cpu  100 0 100 700 100 0 0 0 0 0")
    write("sys/class/thermal/thermal_zone0/type", "x86_pkg_temp")
    write("sys/class/thermal/thermal_zone0/temp", 55000)
    for core in (0, 1):
        write(f"sys/devices/system/cpu/cpu{core}/thermal_throttle/core_throttle_count", 3)
    return write


class FakeClock:
    def __init__(self):
        self.now_ns = 5_000_000_000

    def perf_counter_ns(self):
        return self.now_ns

    def sleep(self, seconds):
        self.now_ns += round(seconds * 1e9)


def test_power_is_the_energy_between_two_samples_and_stands_in_their_middle(host, tmp_path, monkeypatch):
    clock = FakeClock()
    monkeypatch.setattr(rapl, "time", clock)
    with RaplSource(tmp_path) as source:
        clock.now_ns += 200_000_000
        host("sys/class/powercap/intel-rapl:0/energy_uj", 13_000_000)
        host("sys/class/powercap/intel-rapl:0:1/energy_uj", 700_000)
        # This one counted over its end: 328,850 uJ to it and 1,671,150 after it, with the 1 that is the 0.
        host("sys/class/powercap/intel-rapl:1/energy_uj", 1_671_150 - 1_000)
        sample = source.read()
        assert source.covers == "the processor and its memory, as RAPL counts them"
    assert sample.rails_mw["package-0"] == pytest.approx(15_000.0)  # 3 J in 0.2 s
    assert sample.rails_mw["dram"] == pytest.approx(1_000.0)
    assert sample.rails_mw["package-1"] == pytest.approx((328_850 + 1_670_150) / 1e3 / 0.2)
    assert sample.total_mw == pytest.approx(sum(sample.rails_mw.values()))
    assert set(sample.rails_mw) == {"package-0", "dram", "package-1"}
    assert sample.time_ns == 5_100_000_000
    assert sample.temperatures_c == {"x86_pkg_temp": 55.0}


def test_counter_that_cannot_be_read_is_none_and_so_is_the_total(host, tmp_path, monkeypatch):
    monkeypatch.setattr(rapl, "time", FakeClock())
    with RaplSource(tmp_path) as source:
        (tmp_path / "sys/class/powercap/intel-rapl:0:1/energy_uj").unlink()
        sample = source.read()
    assert (sample.rails_mw["dram"], sample.total_mw) == (None, None)
    assert sample.rails_mw["package-0"] == 0.0


def test_counters_for_root_alone_are_refused_with_the_command(host, tmp_path):
    for path in (tmp_path / "sys/class/powercap").glob("*/energy_uj"):
        path.unlink()
        path.mkdir()  # not to be read, by root neither
    source = RaplSource(tmp_path)
    with pytest.raises(BackendError, match="sudo chmod a\\+r"):
        source.open()
    assert source.is_present


def test_machine_without_counters_is_refused(tmp_path):
    source = RaplSource(tmp_path)
    with pytest.raises(BackendError, match="no RAPL counters under"):
        source.open()
    assert not source.is_present


def test_host_without_power_tells_load_and_heat_and_no_power(host, tmp_path):
    with HostSource(tmp_path) as source:
        host("proc/stat", "cpu  160 0 115 720 105 0 0 0 0 0")
        sample = source.read()
        assert not source.measures_power
    assert (sample.rails_mw, sample.total_mw) == ({}, None)
    assert (sample.cpu_load_percent, sample.temperatures_c) == (75.0, {"x86_pkg_temp": 55.0})
    assert sample.cpu_clock_mhz is None


def test_heat_that_slowed_a_core_is_seen(host, tmp_path):
    with HostSource(tmp_path) as source:
        before = source.read()
        host("sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count", 5)
        after = source.read()
    (window,) = throttled_windows([before, after])
    assert window.causes == ("heat of the CPU's core",)


def test_system_that_is_not_linux_is_refused(tmp_path):
    with pytest.raises(BackendError, match="expected that of Linux"):
        HostSource(tmp_path).open()
