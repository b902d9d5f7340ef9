"""Description of this machine for cards, records and the check before an engine is loaded."""

from __future__ import annotations

import argparse
import functools
import os
import platform
import re
from pathlib import Path

from edge.console import WholeNumber
from edge.records import record


@record(schema=1, what="machine")
class Machine:
    """One machine, as far as it decides how an engine runs on it.

    Attributes:
        system: Operating system and its release.
        architecture: Architecture of the processor, "x86_64" or "aarch64".
        cpu: Model name of the processor.
        cpu_count: Number of cores that this process may use.
        board: Model of the Jetson; None on other machines.
        l4t: Release of NVIDIA's Linux for Tegra, such as "35.4.1"; None on other machines.
        gpu: Name of the first CUDA device, such as "Orin"; None where there is none.
        compute_capability: Compute capability of the first CUDA device, such as "8.7"; None where there is none.
    """

    system: str
    architecture: str
    cpu: str
    cpu_count: int
    board: str | None = None
    l4t: str | None = None
    gpu: str | None = None
    compute_capability: str | None = None


def _read_first(*paths: str) -> str | None:
    for path in paths:
        try:
            return Path(path).read_text(errors="replace").strip("\x00\n ")
        except OSError:
            continue
    return None


def _cpu_name() -> str:
    text = _read_first("/proc/cpuinfo") or ""
    match = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1].strip() if match else platform.processor() or platform.machine()


def sums_saturate() -> bool:
    """Return whether this processor adds two 8-bit products in 16 bits, which saturate.

    An x86 processor does so unless it has VNNI: 2 * 255 * 127 does not fit into 16 bits, 2 * 255 * 63 does. One that
    cannot be asked counts as one that does; 64-bit Arm need not be asked.

    Source: Intel, intrinsics guide, _mm256_maddubs_epi16; ONNX Runtime documentation, "Quantize ONNX models", on AVX2
    and AVX512.
    """
    text = _read_first("/proc/cpuinfo")
    if text is None:
        return platform.machine() not in ("aarch64", "arm64")
    flags = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    # Without such a line it is no x86: 64-bit Arm has no such instruction.
    return flags is not None and not {"avx512_vnni", "avx_vnni"}.intersection(flags[1].split())


def _l4t_release() -> str | None:
    # Source: Jetson Linux developer guide; the first line reads `# R35 (release), REVISION: 4.1, ...`.
    text = _read_first("/etc/nv_tegra_release")
    match = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", text or "")
    return f"{match[1]}.{match[2]}" if match else None


def usable_cores() -> int:
    """Return the number of cores that this process may use, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_argument(text: str) -> int:
    """Read a number of threads for argparse, and refuse one for which there are no cores.

    Threads without cores wait for one another, and the figures mean nothing.
    """
    cores = usable_cores()
    try:
        return WholeNumber(1, cores)(text)
    except argparse.ArgumentTypeError:
        may_use = "1 core" if cores == 1 else f"{cores} cores"
        raise argparse.ArgumentTypeError(
            f"got '{text}', expected 1 to {cores}: this process may use {may_use}"
        ) from None


@functools.lru_cache(maxsize=1)
def this_machine() -> Machine:
    """Return the description of this machine; the CUDA driver is asked for the GPU, never TensorRT."""
    from edge.runtime.cuda_driver import first_gpu

    gpu = first_gpu()
    return Machine(
        system=f"{platform.system()} {platform.release()}",
        architecture=platform.machine(),
        cpu=_cpu_name(),
        cpu_count=usable_cores(),
        board=_read_first("/proc/device-tree/model", "/sys/firmware/devicetree/base/model"),
        l4t=_l4t_release(),
        gpu=gpu.name if gpu else None,
        compute_capability=gpu.compute_capability if gpu else None,
    )
