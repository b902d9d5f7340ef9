"""Power and temperatures of this machine. `open_power_source` chooses where they come from.

A new source is a module with a subclass of edge.telemetry.base.PowerSource and one entry in POWER_SOURCES.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Callable

from edge.errors import BackendError, InputError
from edge.telemetry.base import PowerSample, PowerSource
from edge.telemetry.host import HostSource
from edge.telemetry.jtop import JtopSource
from edge.telemetry.nvml import NvmlSource
from edge.telemetry.rapl import RaplSource
from edge.telemetry.sysfs import SysfsSource

__all__ = ["AUTO", "POWER_SOURCES", "PowerSample", "PowerSource", "open_power_source", "power_choices"]

AUTO = "auto"
"""Choice of the first source that exists, in the order of POWER_SOURCES."""

NONE = "none"

POWER_SOURCES: dict[str, Callable[[str | Path], PowerSource]] = {
    "sysfs": SysfsSource,
    "jtop": lambda root: JtopSource(),
    "nvml": lambda root: NvmlSource(),
    "rapl": RaplSource,
    "host": HostSource,
}
"""Name -> function that makes the source from the folder that stands for "/" to the kernel's files. "auto" tries them
in this order and takes the first that opens. A Jetson's own files come before jtop, whose service reads the same files
ten times a second at most, and takes of the CPU what it needs for all the rest that it shows."""

_NVIDIA_DRIVER = "proc/driver/nvidia/version"


def power_choices() -> tuple[str, ...]:
    """Return what a user may ask for: "auto", the name of a source, or "none"."""
    return (AUTO, *POWER_SOURCES, NONE)


def open_power_source(
    choice: str, is_on_gpu: bool, root: str | Path = "/", needs_power: bool = False
) -> tuple[PowerSource | None, tuple[str, ...]]:
    """Choose a power source, open it and return it.

    Args:
        choice: Name of the source, one of power_choices().
        is_on_gpu: Whether a GPU does the measured work. "auto" never uses the power of a graphics card for work that is
            done elsewhere.
        root: Folder that takes the place of "/" for the kernel's files.
        needs_power: Whether "auto" leaves out a source that tells load and temperatures alone.

    Returns:
        The open source, which the caller closes, or None for "none" and where "auto" finds no source; and the reasons
        why "auto" could not use a source that is installed.

    Raises:
        InputError: The choice is unknown.
        BackendError: The chosen source does not exist on this machine, or refuses.
        MissingDependencyError: The package of the chosen source is not installed.
    """
    if choice not in power_choices():
        raise InputError(f"power source is '{choice}', expected one of {', '.join(power_choices())}")
    if choice == NONE:
        return None, ()
    if choice != AUTO:
        source = POWER_SOURCES[choice](root)
        source.open()
        return source, ()
    passed_over = []
    for make in POWER_SOURCES.values():
        source = make(root)
        is_elsewhere = source.is_of_graphics_card and not is_on_gpu
        if is_elsewhere or (needs_power and not source.measures_power):
            continue
        if source.package is not None and importlib.util.find_spec(source.package) is None:
            if source.is_of_graphics_card and (Path(root) / _NVIDIA_DRIVER).exists():
                passed_over.append("nvml needs the package nvidia-ml-py, which is not installed")
            continue
        try:
            source.open()
        except BackendError as error:
            # A machine without rails or card is nothing to tell; what is there and refuses is.
            if source.package is not None or source.is_present:
                passed_over.append(str(error))
        else:
            return source, tuple(passed_over)
    return None, tuple(passed_over)
