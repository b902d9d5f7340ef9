"""Power, temperature, clocks and throttling of an NVIDIA graphics card, from the driver by nvidia-ml-py.

nvidia-ml-py is NVIDIA's own binding of NVML, BSD-3-Clause, pure Python from 3.8 on, and optional: it is imported here
alone, when it is asked for.

Source: NVML API reference guide, "Device Queries": power in mW, temperature in degrees Celsius, clocks in MHz; "Clocks
Event Reasons" for what lowers a clock.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from typing import Any, Callable

from edge.errors import BackendError, MissingDependencyError
from edge.telemetry.base import PowerSample, PowerSource
from edge.telemetry.kernel_file import read_text
from edge.telemetry.processor_files import ProcessorFiles

INTERVAL_S = 0.1
"""Seconds between samples: the driver itself renews its value about ten times a second."""

_REASONS = {
    0x04: "power cap of the graphics card",
    0x08: "slowdown of the graphics card by its hardware",
    0x20: "heat of the graphics card, by its driver",
    0x40: "heat of the graphics card, by its hardware",
    0x80: "power brake of the graphics card",
}
"""Bit of a clocks event reason -> cause. The others are no throttling: idle, clocks that were set, a joint clock."""

_GRAPHICS_CLOCK, _TEMPERATURE_OF_GPU = 0, 0
_PCI_ID_BYTES = 32


class NvmlSource(PowerSource):
    """Reads the graphics card that CUDA calls device 0, on which engines run.

    On most cards the driver gives a mean over the last second or a tenth of one, not the value of a moment.

    Args:
        interval_s: Seconds between samples.
        binding: Module that takes the place of pynvml in tests.
        pci_id: PCI address of the card, such as "0000:65:00.0"; None for that of CUDA's device 0.
    """

    name = "nvml"
    package = "pynvml"
    is_of_graphics_card = True

    def __init__(self, interval_s: float = INTERVAL_S, binding: Any = None, pci_id: str | None = None) -> None:
        super().__init__(interval_s)
        self._nvml, self._pci_id = binding, pci_id
        self._device: Any = None
        self._is_open = False
        self._processor: ProcessorFiles | None = None

    def open(self) -> None:
        """Start NVML and find the card.

        Raises:
            MissingDependencyError: Nvidia-ml-py is not installed.
            BackendError: There is no NVIDIA driver or no card, or the card does not tell its power.
        """
        if self._nvml is None:
            self._nvml = _imported()
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError as error:
            raise BackendError(
                f"NVML cannot start: {error}, expected an NVIDIA driver. Next: nvidia-smi shows what the driver sees, "
                "or --power none"
            ) from error
        self._is_open = True
        try:
            self._find_device()
            if self._number(self._nvml.nvmlDeviceGetPowerUsage) is None:
                raise BackendError(f"{self.covers} does not tell its power through NVML. Next: --power none")
        except BackendError:
            self.close()
            raise
        self._processor = ProcessorFiles()

    def _find_device(self) -> None:
        pci_id = self._pci_id or _first_cuda_device()
        try:
            # CUDA and NVML count cards in different orders; the slot is what both agree on.
            if pci_id:
                self._device = self._nvml.nvmlDeviceGetHandleByPciBusId(pci_id.encode())
            else:
                self._device = self._nvml.nvmlDeviceGetHandleByIndex(0)
        except self._nvml.NVMLError as error:
            raise BackendError(
                f"NVML cannot find {f'card {pci_id}' if pci_id else 'a card'}: {error}. "
                "Next: nvidia-smi shows what the driver sees"
            ) from error
        name, version = (self._asked(self._nvml.nvmlDeviceGetName), None)
        with contextlib.suppress(self._nvml.NVMLError):
            version = self._nvml.nvmlSystemGetDriverVersion()
        self.covers = f"the graphics card {_text(name)}".strip()
        self.version = _text(version) or None

    def read(self) -> PowerSample:
        """Return the present values of the driver.

        Raises:
            BackendError: The card does not answer any more.
        """
        nvml, processor = self._nvml, self._processor
        power_mw = self._number(nvml.nvmlDeviceGetPowerUsage)
        time_ns = time.perf_counter_ns()
        if power_mw is None:
            raise BackendError(f"{self.covers} gives no power any more. Next: nvidia-smi says whether the card is lost")
        use = self._asked(nvml.nvmlDeviceGetUtilizationRates)
        temperature_c = self._number(nvml.nvmlDeviceGetTemperature, _TEMPERATURE_OF_GPU)
        return PowerSample(
            time_ns=time_ns,
            rails_mw={"GPU": power_mw},
            total_mw=power_mw,
            temperatures_c={} if temperature_c is None else {"GPU": temperature_c},
            gpu_load_percent=None if use is None else float(use.gpu),
            gpu_clock_mhz=self._number(nvml.nvmlDeviceGetClockInfo, _GRAPHICS_CLOCK),
            cpu_load_percent=processor.load_percent() if processor else None,
            cpu_clock_mhz=processor.clock_mhz() if processor else None,
            cpu_clock_limit_mhz=processor.clock_limit_mhz() if processor else None,
            # A card in a server has no fan of its own.
            fan_percent=self._number(nvml.nvmlDeviceGetFanSpeed),
            active_alerts=self._alerts(),
        )

    def close(self) -> None:
        """Close NVML; a call on a closed source does nothing."""
        if self._is_open:
            self._is_open = False
            self._nvml.nvmlShutdown()

    def other_processes(self) -> tuple[str, ...] | None:
        """Return the names of other programs that compute on the card; None where the driver does not tell."""
        running = self._asked(self._nvml.nvmlDeviceGetComputeRunningProcesses)
        if running is None:
            return None
        # A process of another container has no name here.
        others = sorted(process.pid for process in running if process.pid != os.getpid())
        return tuple(f"{read_text(f'/proc/{pid}/comm') or 'process'} {pid}" for pid in others)

    def _alerts(self) -> dict[str, int]:
        # Drivers before 535 know the reasons by the older name alone.
        for name in ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"):
            asked = getattr(self._nvml, name, None)
            reasons = self._asked(asked) if asked is not None else None
            if reasons is not None:
                return {cause: int(bool(int(reasons) & bit)) for bit, cause in _REASONS.items()}
        return {}

    def _asked(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what the driver answers about the card; None where it does not know."""
        try:
            return function(self._device, *arguments)
        except self._nvml.NVMLError:
            return None

    def _number(self, function: Callable[..., Any], *arguments: Any) -> float | None:
        value = self._asked(function, *arguments)
        return None if value is None else float(value)


def _imported() -> Any:
    try:
        import pynvml
    except ModuleNotFoundError as error:
        if error.name != "pynvml":
            raise
        raise MissingDependencyError("nvidia-ml-py", "--power nvml", "pip install nvidia-ml-py") from None
    return pynvml


def _text(value: Any) -> str:
    # Bindings before 11.515 give bytes.
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")


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
