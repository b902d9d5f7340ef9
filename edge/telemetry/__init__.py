"""Power and temperatures of this machine. `open_power_source` chooses the source of them."""

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
"""Choice of the first source that exists: jtop, the kernel's files of a Jetson, the engine's graphics card."""

POWER_CHOICES = (AUTO, "jtop", "sysfs", "nvml", "none")


def open_power_source(
    choice: str, is_on_gpu: bool, root: str | Path = "/"
) -> tuple[PowerSource | None, tuple[str, ...]]:
    """Choose a power source, open it and return it.

    Args:
        choice: Name of the source, one of POWER_CHOICES.
        is_on_gpu: Whether a GPU does the measured work. "auto" never uses the power of a graphics card for work that is
            done elsewhere.
        root: Folder that takes the place of "/" for the kernel's files.

    Returns:
        The open source, which the caller closes, or None for "none" and where "auto" finds no source; and the reasons
        why "auto" could not use a source that is installed.

    Raises:
        InputError: The choice is unknown.
        BackendError: The chosen source does not exist on this machine, or refuses.
        MissingDependencyError: The package of the chosen source is not installed.
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
