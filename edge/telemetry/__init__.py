"""Power and temperatures of this machine. `open_power_source` chooses where they come from."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from edge.errors import BackendError, InputError
from edge.telemetry.base import PowerSample, PowerSource
from edge.telemetry.jtop import JtopSource
from edge.telemetry.nvml import NvmlSource
from edge.telemetry.sysfs import SysfsSource

__all__ = ["AUTO", "POWER_CHOICES", "PowerSample", "PowerSource", "open_power_source"]

AUTO = "auto"
"""What is there: jtop, else the kernel's files of a Jetson, else the graphics card that the engine runs on."""

POWER_CHOICES = (AUTO, "jtop", "sysfs", "nvml", "none")


def open_power_source(
    choice: str, is_on_gpu: bool, root: str | Path = "/"
) -> tuple[PowerSource | None, tuple[str, ...]]:
    """Return an open power source.

    Args:
        choice: one of POWER_CHOICES.
        is_on_gpu: whether a GPU does the work. "auto" never takes the power of a graphics card for that of work
            that is done elsewhere.
        root: what stands for "/" to the kernel's files.

    Returns:
        The source, which the caller closes, None for "none" and where "auto" finds none; and what "auto" passed
        over although it is installed, with the reason.

    Raises:
        InputError: there is no such choice.
        BackendError: the source that was asked for is not there, or refuses.
        MissingDependencyError: its package is not installed.
    """
    if choice not in POWER_CHOICES:
        raise InputError(f"power source is '{choice}', expected one of {', '.join(POWER_CHOICES)}")
    if choice == "none":
        return None, ()
    made: dict[str, PowerSource] = {"jtop": JtopSource(), "sysfs": SysfsSource(root), "nvml": NvmlSource()}
    if choice != AUTO:
        made[choice].open()
        return made[choice], ()
    tried = [made["sysfs"]]
    if importlib.util.find_spec("jtop") is not None:
        tried.insert(0, made["jtop"])
    if is_on_gpu:
        tried.append(made["nvml"])
    passed_over = []
    for source in tried:
        try:
            source.open()
        except BackendError as error:
            # A machine without rails or card is nothing to tell; a service that is installed and refuses is.
            if source.name == "jtop":
                passed_over.append(str(error))
        else:
            return source, tuple(passed_over)
    return None, tuple(passed_over)
