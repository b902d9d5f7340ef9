"""Power and temperature of an NVIDIA graphics card, from the driver's own library.

Source: NVML API reference guide, "Device Queries": power in mW, temperature in degrees Celsius, clocks in MHz.
"""

from __future__ import annotations

import ctypes
import time
from typing import Any

from edge.errors import BackendError
from edge.telemetry.base import PowerSample, PowerSource

INTERVAL_S = 0.1
"""Seconds between samples: the driver itself renews its value about ten times a second."""

_SUCCESS = 0
_GRAPHICS_CLOCK, _TEMPERATURE_OF_GPU = 0, 0
_PCI_ID_BYTES, _TEXT_BYTES = 32, 96


class _Utilization(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class NvmlSource(PowerSource):
    """Reads the graphics card that CUDA calls device 0, on which engines run.

    On most cards the driver gives a mean over the last second or a tenth of one, not the value of a moment.

    Args:
        interval_s: Seconds between samples.
        library: Library that takes the place of libnvidia-ml in tests.
        pci_id: PCI address of the card, such as "0000:65:00.0"; None for that of CUDA's device 0.
    """

    name = "nvml"
    is_of_graphics_card = True

    def __init__(self, interval_s: float = INTERVAL_S, library: Any = None, pci_id: str | None = None) -> None:
        super().__init__(interval_s)
        self._library, self._pci_id = library, pci_id
        self._device = ctypes.c_void_p()
        self._is_open = False

    def open(self) -> None:
        """Start NVML and find the card.

        Raises:
            BackendError: There is no NVIDIA driver or no card, or the card does not tell its power.
        """
        if self._library is None:
            try:
                self._library = ctypes.CDLL("libnvidia-ml.so.1")
            except OSError:
                raise BackendError(
                    "no NVIDIA driver here (libnvidia-ml.so.1 is not found), expected one for --power nvml. "
                    "Next: install the driver, or --power none"
                ) from None
        self._check(self._library.nvmlInit_v2(), "start")
        self._is_open = True
        try:
            self._find_device()
            if self._number("nvmlDeviceGetPowerUsage") is None:
                raise BackendError(f"{self.covers} does not tell its power through NVML. Next: --power none")
        except BackendError:
            self.close()
            raise

    def _find_device(self) -> None:
        pci_id = self._pci_id or _first_cuda_device()
        device = ctypes.byref(self._device)
        if pci_id:
            # CUDA and NVML count cards in different orders; the slot is what both agree on.
            self._check(self._library.nvmlDeviceGetHandleByPciBusId_v2(pci_id.encode(), device), f"find card {pci_id}")
        else:
            self._check(self._library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(0), device), "find a card")
        text = ctypes.create_string_buffer(_TEXT_BYTES)
        known = self._library.nvmlDeviceGetName(self._device, text, _TEXT_BYTES) == _SUCCESS
        self.covers = f"the graphics card {text.value.decode(errors='replace') if known else ''}".strip()
        if self._library.nvmlSystemGetDriverVersion(text, _TEXT_BYTES) == _SUCCESS:
            self.version = text.value.decode(errors="replace")

    def read(self) -> PowerSample:
        """Return the present values of the driver.

        Raises:
            BackendError: The card does not answer any more.
        """
        power_mw = self._number("nvmlDeviceGetPowerUsage")
        time_ns = time.perf_counter_ns()
        if power_mw is None:
            raise BackendError(f"{self.covers} gives no power any more. Next: nvidia-smi says whether the card is lost")
        use = _Utilization()
        has_use = self._library.nvmlDeviceGetUtilizationRates(self._device, ctypes.byref(use)) == _SUCCESS
        temperature_c = self._number("nvmlDeviceGetTemperature", ctypes.c_uint(_TEMPERATURE_OF_GPU))
        return PowerSample(
            time_ns=time_ns,
            rails_mw={"GPU": power_mw},
            total_mw=power_mw,
            temperatures_c={} if temperature_c is None else {"GPU": temperature_c},
            gpu_load_percent=float(use.gpu) if has_use else None,
            gpu_clock_mhz=self._number("nvmlDeviceGetClockInfo", ctypes.c_uint(_GRAPHICS_CLOCK)),
            # A card in a server has no fan of its own.
            fan_percent=self._number("nvmlDeviceGetFanSpeed"),
        )

    def close(self) -> None:
        """Close NVML; a call on a closed source does nothing."""
        if self._is_open:
            self._is_open = False
            self._library.nvmlShutdown()

    def _number(self, function: str, *arguments: Any) -> float | None:
        value = ctypes.c_uint()
        code = getattr(self._library, function)(self._device, *arguments, ctypes.byref(value))
        return float(value.value) if code == _SUCCESS else None

    def _check(self, code: int, doing: str) -> None:
        if code != _SUCCESS:
            raise BackendError(f"NVML cannot {doing}: error {code}. Next: nvidia-smi shows what the driver sees")


def _first_cuda_device() -> str | None:
    """Return the PCI address of CUDA's device 0, such as "0000:65:00.0"; None where CUDA has no device."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    device, text = ctypes.c_int(), ctypes.create_string_buffer(_PCI_ID_BYTES)
    if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), 0):
        return None
    return None if driver.cuDeviceGetPCIBusId(text, _PCI_ID_BYTES, device) else text.value.decode()
