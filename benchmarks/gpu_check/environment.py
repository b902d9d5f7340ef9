"""What a machine has and what it lacks, found out before and at the start of a check."""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
import os
import shutil
import subprocess
from typing import Any

from benchmarks.gpu_check.bare import find_trtexec
from benchmarks.gpu_check.record import Environment
from edge.errors import SegEdgeError
from edge.machine import this_machine
from edge.runtime.calls import one_line
from edge.runtime.cuda.build import find_compilers
from edge.runtime.cuda.context import import_pycuda_driver
from edge.runtime.cuda_driver import first_gpu
from edge.runtime.tensorrt import import_tensorrt
from export.backends.options import tensorrt_version
from export.backends.trt_config import TACTICS_VARIABLE

NEEDED = {
    "pycuda": "pip install pycuda, which compiles it; see --help for a machine without a compiler",
    "tensorrt": "sudo apt install python3-libnvinfer on a Jetson, pip install tensorrt elsewhere",
    "onnx": "pip install onnx",
    "onnxruntime": "pip install onnxruntime",
}
"""Package -> what installs it. Without pycuda nothing runs; without one of the others no engine does."""

FIRST_WITHOUT_LIBRARIES = (10, 0)
"""TensorRT that no longer takes kernels from cuBLAS and cuDNN by default."""

COMPILER_COMMAND = "sudo apt install nvidia-jetpack on a Jetson, pip install nvidia-cuda-nvrtc-cu12 elsewhere"

_CLOCK_FIELDS = (
    "driver_version",
    "clocks.sm",
    "clocks.mem",
    "clocks.max.sm",
    "clocks.max.mem",
    "power.draw",
    "power.limit",
    "temperature.gpu",
    "persistence_mode",
    "pstate",
)


def missing_parts() -> dict[str, str]:
    """Return missing part -> what to do about it, for all parts that a whole check needs; no part is imported."""
    parts = {}
    if first_gpu() is None:
        parts["an NVIDIA GPU"] = "install its driver; nvidia-smi, or on a Jetson tegrastats, has to see it"
    for package, command in NEEDED.items():
        if not _is_installed(package):
            parts[package] = command
    if next(iter(find_compilers()), None) is None:
        parts["a CUDA compiler (nvcc or NVRTC)"] = COMPILER_COMMAND
    return parts


def is_fatal(parts: dict[str, str]) -> bool:
    """Return whether nothing can be checked because of the missing parts."""
    return "an NVIDIA GPU" in parts or "pycuda" in parts


def missing_sentence(parts: dict[str, str]) -> str:
    """Return one line that lists the missing parts, with the commands that install them."""
    return "missing: " + "; ".join(f"{part} ({command})" for part, command in parts.items())


def choose_tactics() -> None:
    """Build without cuBLAS and cuDNN in this process where one is missing and this TensorRT would look for them.

    TensorRT does not look for them from version 10 on, and needs no such setting then.

    Raises:
        MissingDependencyError: TensorRT is not installed.
    """
    if tensorrt_version(import_tensorrt()) < FIRST_WITHOUT_LIBRARIES and lacks_tactic_libraries():
        os.environ.setdefault(TACTICS_VARIABLE, "none")


def lacks_tactic_libraries() -> bool:
    """Return whether cuBLAS or cuDNN is missing."""
    return any(ctypes.util.find_library(name) is None and not _loads(name) for name in ("cublas", "cudnn"))


def _loads(name: str) -> bool:
    majors = {"cublas": ("", ".11", ".12", ".13"), "cudnn": ("", ".8", ".9")}[name]
    for major in majors:
        try:
            ctypes.CDLL(f"lib{name}.so{major}")
        except OSError:
            continue
        return True
    packages = {"cublas": "nvidia.cublas", "cudnn": "nvidia.cudnn"}
    return _is_installed(packages[name])


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def environment_check() -> Environment:
    """Return what the packages, the driver and nvidia-smi say; whatever fails is listed in words under `problems`."""
    problems: list[str] = []
    clocks = _clocks(problems)
    memory_bytes, is_integrated, pycuda_version = None, None, None
    try:
        driver = import_pycuda_driver()
        device = driver.Device(0)
        memory_bytes = int(device.total_memory())
        is_integrated = bool(device.get_attribute(driver.device_attribute.INTEGRATED))
        pycuda_version = _version("pycuda")
    except SegEdgeError as error:
        problems.append(str(error))
    tensorrt = None
    try:
        tensorrt = str(import_tensorrt().__version__)
        choose_tactics()
    except SegEdgeError as error:
        problems.append(str(error))
    compiler = next(iter(find_compilers()), None)
    return Environment(
        machine=this_machine(),
        driver=clocks.get("driver_version"),
        cuda_driver=_cuda_version(),
        tensorrt=tensorrt,
        pycuda=pycuda_version,
        cuda_compiler=" ".join(compiler.description.split()) if compiler is not None else None,
        trtexec=find_trtexec(),
        clocks=clocks,
        is_integrated=is_integrated,
        memory_bytes=memory_bytes,
        tactics=os.environ.get(TACTICS_VARIABLE, ""),
        problems=tuple(problems),
    )


def _version(package: str) -> str | None:
    module: Any = importlib.import_module(package)
    found = getattr(module, "VERSION_TEXT", None) or getattr(module, "__version__", None)
    return str(found) if found is not None else "installed"


def _cuda_version() -> str | None:
    """Return the newest version of CUDA that the driver supports (CUDA Driver API, cuDriverGetVersion), or None."""
    version = ctypes.c_int()
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        if driver.cuDriverGetVersion(ctypes.byref(version)):
            return None
    except (OSError, AttributeError):
        return None
    return f"{version.value // 1000}.{version.value % 1000 // 10}"


def _clocks(problems: list[str]) -> dict[str, str]:
    program = shutil.which("nvidia-smi")
    if program is None:
        problems.append("nvidia-smi is not here, so clocks are not known")
        return {}
    command = [program, f"--query-gpu={','.join(_CLOCK_FIELDS)}", "--format=csv,noheader"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=20)
    except (OSError, subprocess.SubprocessError) as error:
        problems.append(f"nvidia-smi could not be run ({one_line(error)})")
        return {}
    lines = run.stdout.splitlines()
    values = [value.strip() for value in lines[0].split(",")] if lines else []
    if run.returncode or len(values) != len(_CLOCK_FIELDS):
        problems.append(f"nvidia-smi tells no clocks: {' '.join((run.stdout + run.stderr).split())[:200]}")
        return {}
    return dict(zip(_CLOCK_FIELDS, values))
