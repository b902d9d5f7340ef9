"""The source that asks NVIDIA's driver, with a stand-in for libnvidia-ml: codes, units, and what a card lacks."""

from __future__ import annotations

import ctypes

import pytest

import edge.telemetry.nvml as nvml
from edge.errors import BackendError
from edge.telemetry.nvml import NvmlSource

NOT_SUPPORTED, NOT_FOUND, LOST = 3, 6, 15


class Library:
    """libnvidia-ml with one card; writes through the pointers that it is given, as the real one does."""

    def __init__(self, **codes):
        self.codes, self.calls = codes, []
        self.power_mw, self.is_started = 250_000, 0

    def _code(self, name, *arguments):
        self.calls.append((name, arguments))
        return self.codes.get(name, 0)

    def nvmlInit_v2(self):  # noqa: N802
        code = self._code("nvmlInit_v2")
        self.is_started += code == 0
        return code

    def nvmlShutdown(self):  # noqa: N802
        self.is_started -= 1
        return 0

    def _text(self, name, buffer, text):
        code = self._code(name)
        if code == 0:
            buffer.value = text
        return code

    def nvmlDeviceGetName(self, device, buffer, size):  # noqa: N802
        return self._text("nvmlDeviceGetName", buffer, b"NVIDIA Made Card")

    def nvmlSystemGetDriverVersion(self, buffer, size):  # noqa: N802
        return self._text("nvmlSystemGetDriverVersion", buffer, b"550.54.15")

    def nvmlDeviceGetUtilizationRates(self, device, reference):  # noqa: N802
        code = self._code("nvmlDeviceGetUtilizationRates")
        if code == 0:
            reference._obj.gpu, reference._obj.memory = 87, 12
        return code

    def __getattr__(self, name):
        values = {
            "nvmlDeviceGetHandleByIndex_v2": 1,
            "nvmlDeviceGetHandleByPciBusId_v2": 1,
            "nvmlDeviceGetPowerUsage": self.power_mw,
            "nvmlDeviceGetTemperature": 61,
            "nvmlDeviceGetClockInfo": 1980,
            "nvmlDeviceGetFanSpeed": 42,
        }

        def call(*arguments):
            code = self._code(name, *arguments[:-1])
            if code == 0:
                arguments[-1]._obj.value = values[name]
            return code

        return call


@pytest.fixture(autouse=True)
def _no_cuda(monkeypatch):
    monkeypatch.setattr(nvml, "_first_cuda_device", lambda: None)


def test_card_is_read_with_its_units():
    library = Library()
    with NvmlSource(library=library) as source:
        sample = source.read()
        assert (source.version, source.covers) == ("550.54.15", "the graphics card NVIDIA Made Card")
    assert (sample.total_mw, sample.rails_mw) == (250_000.0, {"GPU": 250_000.0})
    assert sample.temperatures_c == {"GPU": 61.0}
    assert (sample.gpu_load_percent, sample.gpu_clock_mhz, sample.fan_percent) == (87.0, 1980.0, 42.0)
    assert sample.power_mode is None
    assert library.is_started == 0


def test_card_is_the_one_that_cuda_calls_its_first(monkeypatch):
    monkeypatch.setattr(nvml, "_first_cuda_device", lambda: "0000:65:00.0")
    library = Library()
    with NvmlSource(library=library):
        pass
    found = dict(library.calls)
    assert found["nvmlDeviceGetHandleByPciBusId_v2"] == (b"0000:65:00.0",)
    assert "nvmlDeviceGetHandleByIndex_v2" not in found


def test_what_a_card_lacks_is_none():
    library = Library(
        nvmlDeviceGetFanSpeed=NOT_SUPPORTED,
        nvmlDeviceGetUtilizationRates=NOT_SUPPORTED,
        nvmlDeviceGetClockInfo=NOT_SUPPORTED,
        nvmlDeviceGetTemperature=NOT_SUPPORTED,
    )
    with NvmlSource(library=library) as source:
        sample = source.read()
    assert sample.total_mw == 250_000.0
    assert (sample.fan_percent, sample.gpu_load_percent, sample.gpu_clock_mhz) == (None, None, None)
    assert sample.temperatures_c == {}


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ({"nvmlInit_v2": 9}, "NVML cannot start: error 9"),
        ({"nvmlDeviceGetHandleByIndex_v2": NOT_FOUND}, "NVML cannot find a card: error 6"),
        ({"nvmlDeviceGetPowerUsage": NOT_SUPPORTED}, "NVIDIA Made Card does not tell its power through NVML"),
    ],
)
def test_card_that_cannot_be_read_is_refused_and_nothing_stays_open(codes, message):
    library = Library(**codes)
    with pytest.raises(BackendError, match=message):
        NvmlSource(library=library).open()
    assert library.is_started == 0


def test_lost_card_is_an_error_and_not_zero():
    library = Library()
    with NvmlSource(library=library) as source:
        source.read()
        library.codes["nvmlDeviceGetPowerUsage"] = LOST
        with pytest.raises(BackendError, match="gives no power any more"):
            source.read()


def test_machine_without_driver_is_refused(monkeypatch):
    def no_library(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", no_library)
    with pytest.raises(BackendError, match=r"libnvidia-ml\.so\.1 is not found"):
        NvmlSource().open()
