"""Trees of files that stand for machines, laid out as the real ones are."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from edge.doctor import MachineProbe
from edge.doctor.machine_probe import Answer
from edge.runtime.cuda_driver import Gpu

GIB = 1 << 30


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def install(folder: Path, name: str, version: str, module: str | None = None) -> None:
    """Lay a Python package into a folder, as pip and apt do."""
    module = module or name.replace("-", "_")
    write(folder, f"{module}/__init__.py", "")
    write(folder, f"{name.replace('-', '_')}-{version}.dist-info/METADATA", f"Name: {name}\nVersion: {version}\n")


def debian(root: Path, **versions: str) -> None:
    paragraphs = [
        f"Package: {name.replace('_', '-')}\nStatus: install ok installed\nVersion: {version}\n"
        for name, version in versions.items()
    ]
    write(root, "var/lib/dpkg/status", "\n".join(paragraphs))


def answer_of(opencv: str = "4.5.4 True", failing: dict[str, str] | None = None):
    """Return an `ask_python` whose imports work, but for the modules of `failing`."""

    def ask(code: str) -> Answer:
        for module, reason in (failing or {}).items():
            if f"import {module}" in code:
                return Answer(False, reason)
        return Answer(True, opencv if "cv2" in code else "")

    return ask


def machine(root: Path, python: str, gpu: Gpu | None, folders: list[Path], **changes: object) -> MachineProbe:
    root.mkdir(parents=True, exist_ok=True)
    made = MachineProbe(root, tuple(folders), python, gpu, answer_of(), 100 * GIB, frozenset({1000, 990}), False)
    return dataclasses.replace(made, **changes)


def jetson(
    root: Path,
    *,
    model: str,
    release: str,
    python: str,
    cuda: str,
    tensorrt: str,
    library: str,
    jetpack: str,
    gpu: Gpu,
    devfreq: str,
    modes: str,
) -> MachineProbe:
    """A Jetson with everything installed, in its fastest mode, its clocks pinned, jtop running."""
    write(root, "proc/device-tree/model", model + "\x00")
    write(root, "etc/nv_tegra_release", release)
    write(root, "proc/meminfo", "MemTotal:       32000000 kB\nSwapTotal:      16000000 kB\n")
    zram = "/dev/zram0                              partition\t2000000\t\t0\t\t5\n"
    write(root, "proc/swaps", f"Filename Type Size Used Priority\n{zram}")
    debian(root, nvidia_jetpack=f"{jetpack}-b1", python3_libnvinfer=f"{tensorrt}-1+cuda", **{library: f"{tensorrt}-1"})
    write(root, "usr/local/cuda/version.json", json.dumps({"cuda": {"name": "CUDA SDK", "version": cuda}}))
    write(root, "usr/local/cuda/bin/nvcc", "")
    system = root / f"usr/lib/python{python}/dist-packages"
    install(system, "tensorrt", tensorrt)
    write(system, "cv2/__init__.py", "")
    local = root / f"usr/local/lib/python{python}/dist-packages"
    for name, version in (("pycuda", "2024.1.2"), ("onnxruntime", "1.16.3")):
        install(local, name, version)
    install(local, "jetson-stats", "4.3.2", "jtop")
    write(root, "etc/systemd/system/jtop.service", "[Service]\nExecStart=/usr/local/bin/jtop --force\n")
    write(root, "usr/local/bin/jtop", "#!/usr/bin/python3\nfrom jtop.__main__ import main\n")
    write(root, "run/jtop.sock", "")
    write(root, "etc/group", "root:x:0:\njtop:x:990:me\n")
    write(root, "etc/nvpmodel.conf", modes)
    write(root, "var/lib/nvpmodel/status", "pmode:0000")
    write(root, "tmp/argus_socket", "")
    write(root, "dev/video0", "")
    for cpu in range(2):
        for name in ("scaling_min_freq", "scaling_max_freq"):
            write(root, f"sys/devices/system/cpu/cpu{cpu}/cpufreq/{name}", "2265600\n")
    for name in ("min_freq", "max_freq"):
        write(root, f"sys/class/devfreq/{devfreq}/{name}", "1377000000\n")
    return machine(root, python, gpu, [local, system])


XAVIER_MODES = "< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=2 NAME=MODE_15W >\n< PM_CONFIG DEFAULT=2 >\n"
ORIN_MODES = "< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=3 NAME=MODE_50W >\n< PM_CONFIG DEFAULT=2 >\n"
THOR_MODES = "< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=1 NAME=120W >\n< PM_CONFIG DEFAULT=1 >\n"


def xavier(root: Path) -> MachineProbe:
    """AGX Xavier with JetPack 5.1.2."""
    return jetson(
        root,
        model="Jetson-AGX",
        release="# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref, EABI: aarch64\n",
        python="3.8",
        cuda="11.4.19",
        tensorrt="8.5.2.2",
        library="libnvinfer8",
        jetpack="5.1.2",
        gpu=Gpu("Xavier", "7.2"),
        devfreq="17000000.gv11b",
        modes=XAVIER_MODES,
    )


def orin(root: Path) -> MachineProbe:
    """AGX Orin with JetPack 6.2."""
    return jetson(
        root,
        model="NVIDIA Jetson AGX Orin Developer Kit",
        release="# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n",
        python="3.10",
        cuda="12.6.11",
        tensorrt="10.3.0.30",
        library="libnvinfer10",
        jetpack="6.2",
        gpu=Gpu("Orin", "8.7"),
        devfreq="17000000.gpu",
        modes=ORIN_MODES,
    )


def thor(root: Path) -> MachineProbe:
    """AGX Thor with JetPack 7.0."""
    return jetson(
        root,
        model="NVIDIA Jetson AGX Thor Developer Kit",
        release="# R38 (release), REVISION: 2.1, GCID: 42061081, BOARD: generic, EABI: aarch64\n",
        python="3.12",
        cuda="13.0.48",
        tensorrt="10.13.3.9",
        library="libnvinfer10",
        jetpack="7.0",
        gpu=Gpu("NVIDIA Thor", "11.0"),
        devfreq="gpu-gpc-0",
        modes=THOR_MODES,
    )


def workstation(root: Path, gpu: Gpu | None = None, packages: tuple[tuple[str, str], ...] = ()) -> MachineProbe:
    """A workstation with OpenCV, and the packages given."""
    write(root, "proc/meminfo", "MemTotal:       32000000 kB\nSwapTotal:             0 kB\n")
    folder = root / "venv/lib/python3.11/site-packages"
    install(folder, "opencv-python-headless", "4.10.0", "cv2")
    for name, version in packages:
        install(folder, name, version)
    return machine(root, "3.11", gpu, [folder], ask_python=answer_of("4.10.0 False"))


JETSONS = {"xavier": xavier, "orin": orin, "thor": thor}
