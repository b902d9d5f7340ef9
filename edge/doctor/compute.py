"""Checks of what runs engines: GPU, CUDA, TensorRT with its Python binding, pycuda, ONNX Runtime."""

from __future__ import annotations

import json
import re

from edge.doctor.finding import ADVICE, MISSING, NOT_HERE, OK, Finding
from edge.doctor.machine_probe import MachineProbe, distribution_version, major_minor

OLDEST_TENSORRT = (8, 5)
NEWEST_TENSORRT_MAJOR = 11
SEE_SYSTEM_PACKAGES = "python3 -m venv --system-site-packages --clear .venv"
INSTALL_ON_JETSON = "sudo apt update && sudo apt install"


def check_compute(probe: MachineProbe) -> list[Finding]:
    """Check for a way to run engines: TensorRT on a Jetson, TensorRT or ONNX Runtime on other machines."""
    onnxruntime = _onnxruntime(probe)
    # Elsewhere TensorRT is one of two ways, so what it lacks stops nothing while the other one is there.
    is_needed = probe.is_jetson or (probe.gpu is not None and onnxruntime.status != OK)
    if probe.gpu is None and not probe.is_jetson:
        names = ("CUDA", "kernel compiler", "TensorRT library", "TensorRT for Python", "pycuda")
        return [
            _no_gpu(probe),
            *(Finding(name, NOT_HERE, "no GPU") for name in names),
            onnxruntime,
        ]
    binding = _tensorrt_binding(probe, is_needed)
    tensorrt_way = [
        _gpu(probe),
        _tensorrt_library(probe, is_needed),
        binding,
        _pycuda(probe, is_needed),
    ]
    if all(finding.status == OK for finding in tensorrt_way) and onnxruntime.status == MISSING:
        onnxruntime = _as_advice(onnxruntime)
    return [tensorrt_way[0], _cuda(probe), _kernel_compiler(probe), *tensorrt_way[1:], onnxruntime]


def _lack(is_needed: bool) -> str:
    return MISSING if is_needed else ADVICE


def _as_advice(finding: Finding) -> Finding:
    return Finding(finding.name, ADVICE, finding.found, finding.meaning, finding.mend)


def _gpu(probe: MachineProbe) -> Finding:
    if probe.gpu is not None:
        gpu = probe.gpu
        return Finding("GPU", OK, f"{gpu.name}, compute capability {gpu.compute_capability}")
    if probe.in_container:
        mend = "docker run --runtime nvidia ..., or docker compose -f docker/compose.yaml --profile jetson ..."
    else:
        mend = "sudo usermod -aG video,render $USER, then log in again"
    return Finding(
        "GPU", MISSING, "the CUDA driver finds none", "every Jetson has one, but this user cannot use it", mend
    )


def _no_gpu(probe: MachineProbe) -> Finding:
    """Tell a workstation without a card from one whose card has no driver.

    Source: PCI Code and ID Assignment: class 03 is a display controller, vendor 10de NVIDIA.
    """
    for vendor in probe.glob("sys/bus/pci/devices/*/vendor"):
        folder = vendor.parent.relative_to(probe.root)
        of_card = (probe.text(f"{folder}/vendor"), (probe.text(f"{folder}/class") or "")[:4])
        if of_card == ("0x10de", "0x03"):
            meaning = "engines run by ONNX Runtime on the CPU until it answers"
            by_hand = "sudo apt install nvidia-driver, then restart"
            mend = "docker run --gpus all ..." if probe.in_container else by_hand
            return Finding("GPU", ADVICE, "an NVIDIA card whose driver does not answer", meaning, mend)
    return Finding("GPU", NOT_HERE, "none", "no NVIDIA card: engines run by ONNX Runtime on the CPU")


def _cuda(probe: MachineProbe) -> Finding:
    version = cuda_version(probe)
    has_compiler = probe.exists("usr/local/cuda/bin/nvcc")
    install = f"{INSTALL_ON_JETSON} nvidia-jetpack" if probe.is_jetson else "install NVIDIA's CUDA toolkit"
    if version is None:
        return Finding("CUDA", ADVICE, "no toolkit under /usr/local/cuda", "pycuda is compiled against it", install)
    if not has_compiler:
        return Finding(
            "CUDA", ADVICE, f"{version}, without nvcc", "pycuda is compiled against the whole toolkit", install
        )
    return Finding("CUDA", OK, version)


def _kernel_compiler(probe: MachineProbe) -> Finding:
    """Look for a compiler where edge.runtime.cuda.build looks: nvcc, then NVRTC of system or Python package."""
    name = "kernel compiler"
    if probe.exists("usr/local/cuda/bin/nvcc"):
        return Finding(name, OK, "nvcc")
    folders = ("usr/local/cuda/lib64", "usr/local/cuda/targets/*/lib", "usr/lib/*", "opt/nvrtc")
    found = [path for folder in folders for path in probe.glob(f"{folder}/libnvrtc.so*")]
    wheels = (path for folder in probe.package_folders for path in folder.glob("nvidia/*/lib/libnvrtc.so*"))
    if found or any(wheels):
        return Finding(name, OK, "NVRTC")
    return Finding(
        name,
        ADVICE,
        "neither nvcc nor NVRTC",
        "the project's CUDA kernels cannot be compiled, so frames are resized and labelled on the CPU",
        f"{INSTALL_ON_JETSON} nvidia-jetpack" if probe.is_jetson else "pip install nvidia-cuda-nvrtc-cu12",
    )


def cuda_version(probe: MachineProbe) -> str | None:
    """Return the version of the toolkit under /usr/local/cuda; None without one.

    Source: the toolkit's own version.json, from 11.1 on.
    """
    try:
        return str(json.loads(probe.text("usr/local/cuda/version.json") or "")["cuda"]["version"])
    except (ValueError, KeyError, TypeError):
        return None


def library_version(probe: MachineProbe) -> str | None:
    """Return the version of the TensorRT library by its Debian package, its file name or its wheel; None without it."""
    for name, version in probe.debian_versions.items():
        if re.fullmatch(r"libnvinfer\d+", name):
            return version.split("-")[0]
    versions = [path.name.split(".so.")[1] for path in probe.glob("usr/lib/*/libnvinfer.so.*")]
    if versions:
        return max(versions, key=len)
    wheels = ("tensorrt-libs", "tensorrt-cu11-libs", "tensorrt-cu12-libs", "tensorrt-cu13-libs")
    return next((version for version in map(probe.package_version, wheels) if version), None)


def _tensorrt_library(probe: MachineProbe, is_needed: bool) -> Finding:
    name, version = "TensorRT library", library_version(probe)
    if version is None:
        # A wheel of before 8.6 holds its libraries itself.
        if not probe.is_jetson and probe.package_version("tensorrt"):
            return Finding(name, OK, "in the Python package")
        mend = f"{INSTALL_ON_JETSON} tensorrt" if probe.is_jetson else "pip install tensorrt"
        return Finding(name, _lack(is_needed), "not installed", "TensorRT engines cannot run", mend)
    numbers = major_minor(version) or (0, 0)
    if numbers < OLDEST_TENSORRT:
        mend = "flash JetPack 5 or later" if probe.is_jetson else "pip install 'tensorrt>=8.5'"
        return Finding(
            name, _lack(is_needed), version, "older than 8.5, the first version with all the calls used", mend
        )
    if numbers[0] > NEWEST_TENSORRT_MAJOR:
        return Finding(name, ADVICE, version, f"newer than {NEWEST_TENSORRT_MAJOR}, the last one this was written for")
    return Finding(name, OK, version)


def _tensorrt_binding(probe: MachineProbe, is_needed: bool) -> Finding:
    name, version = "TensorRT for Python", probe.package_version("tensorrt")
    if version is None and probe.has_module("tensorrt"):
        version = probe.debian_versions.get("python3-libnvinfer", "version unknown").split("-")[0]
    if version is None and probe.system_has_module("tensorrt"):
        return Finding(
            name,
            _lack(is_needed),
            "installed for the system's Python, hidden from this environment",
            "the environment was made without the system's packages",
            SEE_SYSTEM_PACKAGES,
        )
    if version is None:
        mend = f"{INSTALL_ON_JETSON} python3-libnvinfer" if probe.is_jetson else "pip install tensorrt"
        return Finding(name, _lack(is_needed), "not installed", "TensorRT engines cannot run", mend)
    # Imported and nothing more: no object is made, so no GPU is touched.
    answer = probe.ask_python("import tensorrt")
    if not answer.worked:
        jetpack, wheel = f"{INSTALL_ON_JETSON} nvidia-jetpack", "pip install --force-reinstall tensorrt"
        return Finding(
            name,
            _lack(is_needed),
            f"{version}, cannot be loaded: {answer.text}",
            "a library that it needs is not there",
            jetpack if probe.is_jetson else wheel,
        )
    library = library_version(probe)
    if library and major_minor(library) != major_minor(version):
        return Finding(
            name,
            ADVICE,
            f"{version}, the library is {library}",
            "one of the two is not the one that JetPack brought",
            "pip uninstall tensorrt" if probe.is_jetson else f"pip install 'tensorrt=={library}'",
        )
    return Finding(name, OK, version)


def _pycuda(probe: MachineProbe, is_needed: bool) -> Finding:
    version, mend = probe.package_version("pycuda"), "PATH=/usr/local/cuda/bin:$PATH pip install pycuda"
    if version is None and distribution_version(probe.folders_of_system_python(), "pycuda"):
        return Finding(
            "pycuda",
            _lack(is_needed),
            "installed for the system's Python, hidden from this environment",
            "the environment was made without the system's packages",
            mend,
        )
    if version is None:
        return Finding("pycuda", _lack(is_needed), "not installed", "TensorRT engines are fed through it", mend)
    answer = probe.ask_python("import pycuda.driver")
    if not answer.worked:
        return Finding(
            "pycuda",
            _lack(is_needed),
            f"{version}, cannot be loaded: {answer.text}",
            "it was compiled for another CUDA or Python",
            "PATH=/usr/local/cuda/bin:$PATH pip install --force-reinstall --no-cache-dir --no-deps pycuda",
        )
    return Finding("pycuda", OK, version)


def _onnxruntime(probe: MachineProbe) -> Finding:
    names = ("onnxruntime", "onnxruntime-gpu")
    version = next((found for found in map(probe.package_version, names) if found), None)
    if version is not None:
        answer = probe.ask_python("import onnxruntime")
        if answer.worked:
            return Finding("ONNX Runtime", OK, version)
        found = f"{version}, cannot be loaded: {answer.text}"
        mend = "pip install --force-reinstall onnxruntime"
    else:
        found, mend = "not installed", "pip install onnxruntime"
    if probe.is_jetson:
        return Finding("ONNX Runtime", ADVICE, found, "a built engine is compared with the float graph by it", mend)
    return Finding("ONNX Runtime", MISSING, found, "engines of machines without TensorRT run by it", mend)
