"""The source that asks NVIDIA's driver, with a stand-in for its binding: units, what a card lacks, what slows it."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pytest

import edge.telemetry.nvml as nvml
from edge.errors import BackendError, MissingDependencyError
from edge.telemetry.nvml import NvmlSource


class Binding:
    """pynvml with one card; a function whose name is in `refused` raises as the real one does."""

    class NVMLError(Exception):
        pass

    def __init__(self, *refused, reasons=0x01):
        self.refused, self.reasons = set(refused), reasons
        self.asked, self.started = [], 0

    def _answer(self, name, value, *arguments):
        self.asked.append((name, arguments))
        if name in self.refused:
            raise self.NVMLError(f"{name}: Not Supported")
        return value

    def nvmlInit(self):  # noqa: N802
        self._answer("nvmlInit", None)
        self.started += 1

    def nvmlShutdown(self):  # noqa: N802
        self.started -= 1

    def __getattr__(self, name):
        values = {
            "nvmlDeviceGetHandleByIndex": "card",
            "nvmlDeviceGetHandleByPciBusId": "card",
            "nvmlDeviceGetName": b"NVIDIA Made Card",
            "nvmlSystemGetDriverVersion": "550.54.15",
            "nvmlDeviceGetPowerUsage": 250_000,
            "nvmlDeviceGetTemperature": 61,
            "nvmlDeviceGetClockInfo": 1980,
            "nvmlDeviceGetFanSpeed": 42,
            "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=87, memory=12),
            "nvmlDeviceGetCurrentClocksThrottleReasons": self.__dict__["reasons"],
            "nvmlDeviceGetComputeRunningProcesses": [SimpleNamespace(pid=os.getpid()), SimpleNamespace(pid=1)],
        }
        if name not in values:
            raise AttributeError(name)
        return lambda *arguments: self._answer(name, values[name], *arguments)


@pytest.fixture(autouse=True)
def _no_cuda(monkeypatch):
    monkeypatch.setattr(nvml, "_first_cuda_device", lambda: None)


def test_card_is_read_with_its_units():
    binding = Binding()
    with NvmlSource(binding=binding) as source:
        sample = source.read()
        assert (source.version, source.covers) == ("550.54.15", "the graphics card NVIDIA Made Card")
    assert (sample.total_mw, sample.rails_mw) == (250_000.0, {"GPU": 250_000.0})
    assert sample.temperatures_c == {"GPU": 61.0}
    assert (sample.gpu_load_percent, sample.gpu_clock_mhz, sample.fan_percent) == (87.0, 1980.0, 42.0)
    assert sample.power_mode is None
    assert not any(sample.active_alerts.values())
    assert binding.started == 0


def test_card_is_the_one_that_cuda_calls_its_first(monkeypatch):
    monkeypatch.setattr(nvml, "_first_cuda_device", lambda: "0000:65:00.0")
    binding = Binding()
    with NvmlSource(binding=binding):
        pass
    found = dict(binding.asked)
    assert found["nvmlDeviceGetHandleByPciBusId"] == (b"0000:65:00.0",)
    assert "nvmlDeviceGetHandleByIndex" not in found


def test_what_a_card_lacks_is_none():
    binding = Binding(
        "nvmlDeviceGetFanSpeed",
        "nvmlDeviceGetUtilizationRates",
        "nvmlDeviceGetClockInfo",
        "nvmlDeviceGetTemperature",
        "nvmlDeviceGetCurrentClocksThrottleReasons",
        "nvmlDeviceGetComputeRunningProcesses",
    )
    with NvmlSource(binding=binding) as source:
        sample = source.read()
        assert source.other_processes() is None
    assert sample.total_mw == 250_000.0
    assert (sample.fan_percent, sample.gpu_load_percent, sample.gpu_clock_mhz) == (None, None, None)
    assert (sample.temperatures_c, sample.active_alerts) == ({}, {})


def test_reasons_of_a_lowered_clock_are_named_and_an_idle_card_is_not_throttled():
    # Idle, clocks that somebody set, and a clock that is joined to another card's.
    with NvmlSource(binding=Binding(reasons=0x01 | 0x02 | 0x10)) as source:
        assert not any(source.read().active_alerts.values())
    with NvmlSource(binding=Binding(reasons=0x04 | 0x40)) as source:
        alerts = source.read().active_alerts
    assert {cause for cause, state in alerts.items() if state} == {
        "power cap of the graphics card",
        "heat of the graphics card, by its hardware",
    }


def test_other_programs_on_the_card_are_named_and_this_one_is_not():
    with NvmlSource(binding=Binding()) as source:
        (named,) = source.other_processes()
    assert named.split()[-1] == "1"


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        ("nvmlInit", "NVML cannot start: nvmlInit: Not Supported"),
        ("nvmlDeviceGetHandleByIndex", "NVML cannot find a card: nvmlDeviceGetHandleByIndex"),
        ("nvmlDeviceGetPowerUsage", "NVIDIA Made Card does not tell its power through NVML"),
    ],
)
def test_card_that_cannot_be_read_is_refused_and_nothing_stays_open(refused, message):
    binding = Binding(refused)
    with pytest.raises(BackendError, match=message):
        NvmlSource(binding=binding).open()
    assert binding.started == 0


def test_lost_card_is_an_error_and_not_zero():
    binding = Binding()
    with NvmlSource(binding=binding) as source:
        source.read()
        binding.refused.add("nvmlDeviceGetPowerUsage")
        with pytest.raises(BackendError, match="gives no power any more"):
            source.read()


def test_machine_without_the_binding_names_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(MissingDependencyError, match="pip install nvidia-ml-py"):
        NvmlSource().open()
