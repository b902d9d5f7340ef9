"""Which process something belongs to, so that one can tell later whether that process still lives.

A process id alone does not say: ids are given again, and another container or machine has the same ones. A process is
known here by its id, the time at which it started, and where it lives: a hash of the machine, its boot and the
namespace of process ids.

Source: proc(5), /proc/[pid]/stat fields 3 and 22 and /proc/sys/kernel/random/boot_id; pid_namespaces(7).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
from pathlib import Path


def is_alive(pid: int, start: int) -> bool:
    """Return whether a process of here lives; one that has ended and waits for its parent does not.

    Args:
        pid: Process id in this namespace.
        start: Time at which the process started, as `start_time` gives it; 0 where it is not known.
    """
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it is another user's
        pass
    fields = _stat_fields(pid)
    if fields and fields[0] in ("Z", "X"):
        return False
    now = start_time(pid)
    return now is None or not start or now == start


def start_time(pid: int) -> int | None:
    """Return the time at which a process started, in ticks since boot; None where the system does not say."""
    try:
        return int(_stat_fields(pid)[19])
    except (ValueError, IndexError):
        return None


def boot_id() -> str:
    """Return the number of this boot of this machine; "" where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


@functools.lru_cache(maxsize=None)
def where_processes_live() -> str:
    """Return what tells process ids of here from those of elsewhere, 8 hex digits."""
    parts = [platform.node(), boot_id()]
    with contextlib.suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def _stat_fields(pid: int) -> list[str]:
    """Return the fields of /proc/[pid]/stat from the third on, the state of the process; none where there are none."""
    try:
        # The name of the command, in brackets, may hold spaces and brackets.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
