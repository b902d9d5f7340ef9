"""The power mode of a Jetson, as nvpmodel keeps it: a number in its status, and names in its table.

Source: Jetson Linux developer guide, "Supported Modes and Power Efficiency"; /etc/nvpmodel.conf.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Mapping

from edge.telemetry.kernel_file import read_text

TABLE_FILE = "etc/nvpmodel.conf"
STATUS_FILE = "var/lib/nvpmodel/status"


def mode_names(table: str) -> dict[int, str]:
    """Return the names of the modes by their numbers.

    Args:
        table: Text of nvpmodel.conf.
    """
    return {int(number): name for number, name in re.findall(r"POWER_MODEL\s+ID=(\d+)\s+NAME=([^\s>]+)", table)}


def read_mode_names(root: str | os.PathLike = "/") -> dict[int, str]:
    """Return the names of a machine's modes by their numbers; none where there is no table.

    Args:
        root: Folder that takes the place of "/".
    """
    try:
        # A plain file of some ten kilobytes, and no page of the kernel's.
        return mode_names((Path(root) / TABLE_FILE).read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return {}


def mode_number(status: str) -> int | None:
    """Return the number of the mode in the text of nvpmodel's status; None where it has none."""
    match = re.search(r"pmode:(\d+)", status)
    return int(match[1]) if match else None


def power_mode(root: str | os.PathLike = "/", names: Mapping[int, str] | None = None) -> str | None:
    """Return the power mode, such as "MODE_15W", or its number where the table does not name it.

    Args:
        root: Folder that takes the place of "/".
        names: Names of the modes by their numbers; None to read them.

    Returns:
        The mode; None where none can be read, as in a container and on other machines.
    """
    number = mode_number(read_text(Path(root) / STATUS_FILE) or "")
    if number is None:
        return None
    return (read_mode_names(root) if names is None else names).get(number, str(number))
