"""How much memory a process can still take: what the machine has, and what its control groups allow."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Iterator

ROOT = Path("/")


def available_bytes(root: Path = ROOT) -> int | None:
    """Return the memory that this process can take beside what it holds, without swap.

    The smallest of what the kernel calls available and of the room in each control group that the process is in:
    in a container, a limit kills the process long before the machine is full.

    Source: proc(5), /proc/meminfo; the kernel's documentation of cgroup-v1/memory and cgroup-v2, "Memory".

    Args:
        root: folder that stands for "/".

    Returns:
        Bytes; None where the system does not say.
    """
    match = re.search(r"^MemAvailable:\s*(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
    rooms = [1024 * int(match[1])] if match else []
    rooms += [max(0, room) for room in _control_group_rooms(root)]
    return min(rooms, default=None)


def _control_group_rooms(root: Path) -> Iterator[int]:
    mounts = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            for mount in (mounts, mounts / "unified"):
                yield from _rooms(mount, path, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            yield from _rooms(mounts / "memory", path, *names)


def _rooms(mount: Path, path: str, limit: str, usage: str, reclaimable: str) -> Iterator[int]:
    """Yield the room of a group and of those above it; within a container, the mount is the group itself."""
    group = mount / path.lstrip("/")
    while True:
        limit_text, usage_text = (_text(group / name).strip() for name in (limit, usage))
        if limit_text.isdigit() and usage_text.isdigit():
            match = re.search(rf"^{reclaimable} (\d+)", _text(group / "memory.stat"), re.MULTILINE)
            # Pages of files count as used, and are given back when they are needed.
            yield int(limit_text) - int(usage_text) + (int(match[1]) if match else 0)
        if group == mount or mount not in group.parents:
            return
        group = group.parent


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
