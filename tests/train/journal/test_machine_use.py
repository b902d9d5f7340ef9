"""Memory and energy of a training, asked of the machine."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import pytest

import train.journal.machine_use as machine_use
from edge.errors import BackendError
from edge.telemetry import PowerSample, PowerSource
from train.journal.machine_use import EnergyMeter, open_energy_meter, peak_device_bytes, peak_host_bytes

REPOSITORY = Path(__file__).resolve().parents[3]


class Source(PowerSource):
    """A source of 100 W that fails after some samples."""

    name = "made up"

    def __init__(self, samples: int = 3, interval_s: float = 0.001) -> None:
        super().__init__(interval_s)
        self.left, self.is_open = samples, True

    def open(self) -> None:
        self.is_open = True

    def read(self) -> PowerSample:
        if not self.left:
            raise BackendError("the card is lost")
        self.left -= 1
        return PowerSample(time_ns=10**9 * (3 - self.left), total_mw=100_000.0)

    def close(self) -> None:
        self.is_open = False


def test_peak_of_the_host_grows_with_what_is_held():
    # In a process of its own: this one may have held far more than it does now.
    code = """
from train.journal.machine_use import peak_host_bytes
before = peak_host_bytes()
held = bytearray(2 * before)
held[::4096] = b"x" * len(held[::4096])
assert peak_host_bytes() >= 2.5 * before, (before, peak_host_bytes())
"""
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)


def test_peak_of_the_host_is_that_of_the_kernel(tmp_path):
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmPeak:\t   99 kB\nVmHWM:\t    1234 kB\nVmRSS:\t 7 kB\n")
    assert peak_host_bytes(status) == 1234 * 1024
    assert peak_host_bytes(tmp_path / "missing") > 2**20


def test_peak_of_devices_is_that_of_the_one_that_needed_most(monkeypatch):
    used = {"/device:GPU:0": 10, "/device:GPU:1": 30}
    config = types.SimpleNamespace(
        list_logical_devices=lambda kind: [types.SimpleNamespace(name=name) for name in used],
        experimental=types.SimpleNamespace(get_memory_info=lambda name: {"current": 1, "peak": used[name]}),
    )
    monkeypatch.setitem(sys.modules, "tensorflow", types.SimpleNamespace(config=config))
    assert peak_device_bytes() == 30
    used.clear()
    assert peak_device_bytes() is None
    monkeypatch.delitem(sys.modules, "tensorflow")
    assert peak_device_bytes() is None


def test_energy_is_the_area_under_the_power():
    meter = EnergyMeter(Source())
    for second, power_mw in ((0, 100_000.0), (1, 200_000.0), (3, 200_000.0)):
        meter.add(second * 10**9, power_mw)
    assert meter.reading(now_ns=3 * 10**9) == (pytest.approx(150.0 + 400.0), pytest.approx(3.0))
    # Since the last sample power is that of the sample.
    assert meter.reading(now_ns=4 * 10**9) == (pytest.approx(750.0), pytest.approx(4.0))


def test_gap_between_samples_is_not_covered():
    meter = EnergyMeter(Source())
    samples = ((0, 100_000.0), (1, 100_000.0), (2, None), (3, 100_000.0), (10, 100_000.0), (11, 100_000.0))
    for second, power_mw in samples:
        meter.add(second * 10**9, power_mw)
    assert meter.reading(now_ns=60 * 10**9) == (pytest.approx(200.0), pytest.approx(2.0))


def test_source_that_fails_ends_the_samples_and_not_the_training(monkeypatch):
    monkeypatch.setattr(machine_use, "LEAST_INTERVAL_S", 0.0)
    source = Source()
    with EnergyMeter(source, interval_s=0.0) as meter:
        meter._thread.join(10.0)
        assert not meter._thread.is_alive()
        assert meter.failure == "the card is lost"
    assert not source.is_open


def test_several_gpus_have_no_meter_since_the_source_knows_one(monkeypatch):
    monkeypatch.setattr(machine_use, "open_power_source", lambda *_, **__: (Source(), ()))
    assert open_energy_meter(gpu_count=2) is None
    meter = open_energy_meter(gpu_count=1)
    assert meter is not None
    meter.close()


@pytest.mark.parametrize("failure", [None, BackendError("no")])
def test_machine_that_does_not_tell_its_power_has_no_meter(monkeypatch, failure):
    def open_source(*_, **__):
        if failure is not None:
            raise failure
        return None, ()

    monkeypatch.setattr(machine_use, "open_power_source", open_source)
    assert open_energy_meter(gpu_count=0) is None
