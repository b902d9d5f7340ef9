"""Checks of memory, swap and disk space."""

from __future__ import annotations

import re

from edge.doctor.finding import ADVICE, NOT_HERE, OK, Finding
from edge.doctor.machine_probe import MachineProbe

GIB = 1 << 30
MIN_BUILD_MEMORY_BYTES = 8 * GIB
"""A rule of thumb: a builder that tries kernels at 1024x2048 beside onnxruntime takes a few GiB."""
MIN_FREE_DISK_BYTES = 5 * GIB


def check_storage(probe: MachineProbe) -> list[Finding]:
    """Check whether memory and disk have room to build and to keep engines."""
    return [*_memory(probe), _disk(probe)]


def _memory(probe: MachineProbe) -> list[Finding]:
    fields = dict(re.findall(r"^(\w+):\s+(\d+) kB$", probe.text("proc/meminfo") or "", re.MULTILINE))
    if "MemTotal" not in fields:
        return [Finding("memory", NOT_HERE, "unknown"), Finding("swap", NOT_HERE, "unknown")]
    memory, swap = 1024 * int(fields["MemTotal"]), 1024 * int(fields.get("SwapTotal", "0"))
    swaps = (probe.text("proc/swaps") or "").splitlines()[1:]
    in_memory = bool(swaps) and all("zram" in line.split()[0] for line in swaps)
    found = f"{swap / GIB:.1f} GiB" + (" in memory (zram)" if in_memory else "")
    # What zram holds lies in memory all the same, only compressed.
    room = memory + (0 if in_memory else swap)
    findings = [Finding("memory", OK, f"{memory / GIB:.1f} GiB")]
    if room >= MIN_BUILD_MEMORY_BYTES:
        return [*findings, Finding("swap", OK, found)]
    meaning = (
        f"memory and swap are less than {MIN_BUILD_MEMORY_BYTES / GIB:.0f} GiB: building a large engine may be killed"
    )
    mend = (
        "sudo fallocate -l 8G /swapfile && sudo chmod 600 /swapfile && sudo mkswap /swapfile && sudo swapon /swapfile"
    )
    return [*findings, Finding("swap", ADVICE, found, meaning, mend)]


def _disk(probe: MachineProbe) -> Finding:
    free = probe.free_bytes
    if free is None:
        return Finding("disk", NOT_HERE, "unknown")
    found = f"{free / GIB:.1f} GiB free"
    if free < MIN_FREE_DISK_BYTES:
        meaning = "graphs, engines and timing caches of a few models take some GiB"
        return Finding("disk", ADVICE, found, meaning, "sudo apt clean, or run in a folder of a larger disk")
    return Finding("disk", OK, found)
