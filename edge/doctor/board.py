"""Checks of the board: Jetson model, Linux for Tegra, JetPack, Python and container."""

from __future__ import annotations

import re

from edge.doctor.finding import ADVICE, MISSING, NOT_HERE, OK, Finding
from edge.doctor.machine_probe import MachineProbe
from edge.doctor.releases import JETPACK_OF_L4T, PYTHON_OF_L4T, SUPPORTED_L4T, jetpack_family

INSTALL_JETPACK = "sudo apt update && sudo apt install nvidia-jetpack"


def check_board(probe: MachineProbe) -> list[Finding]:
    """Check which board and which release this machine has."""
    if not probe.is_jetson:
        return [
            Finding("machine", OK, "workstation", "no Jetson: engines that are built here run on its like alone"),
            Finding("Linux for Tegra", NOT_HERE, "no Jetson"),
            Finding("JetPack", NOT_HERE, "no Jetson"),
            _python(probe),
            *_container(probe),
        ]
    l4t = l4t_release(probe)
    return [
        Finding("machine", OK, probe.board or "Jetson of unknown model"),
        _l4t(l4t),
        _jetpack(probe, l4t),
        _python(probe, l4t),
        *_container(probe),
    ]


def l4t_release(probe: MachineProbe) -> str | None:
    """Return the release of Linux for Tegra, such as "35.4.1"; None where it is unknown.

    Source: Jetson Linux developer guide; the first line reads `# R35 (release), REVISION: 4.1, ...`.
    """
    match = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", probe.text("etc/nv_tegra_release") or "")
    if match:
        return f"{match[1]}.{match[2]}"
    return probe.debian_versions.get("nvidia-l4t-core", "").split("-")[0] or None


def _l4t(release: str | None) -> Finding:
    if release is None:
        return Finding(
            "Linux for Tegra",
            ADVICE,
            "release unknown",
            "neither /etc/nv_tegra_release nor the package nvidia-l4t-core names one",
            "dpkg-query --show nvidia-l4t-core",
        )
    major = int(release.split(".")[0])
    if major < SUPPORTED_L4T[0]:
        return Finding(
            "Linux for Tegra",
            MISSING,
            release,
            "its TensorRT is older than 8.5, which engines of this project need",
            "flash JetPack 5 or later with NVIDIA SDK Manager (docs/jetson.md)",
        )
    if major > SUPPORTED_L4T[-1]:
        return Finding("Linux for Tegra", ADVICE, release, "newer than any release that this project was written for")
    return Finding("Linux for Tegra", OK, release)


def _jetpack(probe: MachineProbe, l4t: str | None) -> Finding:
    installed = probe.debian_versions.get("nvidia-jetpack")
    expected = JETPACK_OF_L4T.get(l4t or "") or jetpack_family(l4t)
    if installed:
        return Finding("JetPack", OK, installed.split("-")[0])
    return Finding(
        "JetPack",
        ADVICE,
        f"{expected or 'unknown'} by its L4T; the package nvidia-jetpack is not installed",
        "a fresh board has the drivers alone; CUDA, TensorRT and OpenCV come with this package, or one by one",
        INSTALL_JETPACK,
    )


def _python(probe: MachineProbe, l4t: str | None = None) -> Finding:
    family = PYTHON_OF_L4T.get((l4t or "").split(".")[0])
    if family is not None and probe.python != family:
        return Finding(
            "Python",
            ADVICE,
            probe.python,
            f"JetPack's TensorRT and OpenCV are built for Python {family}, and no other one can load them",
            f"python{family} -m venv --system-site-packages .venv",
        )
    return Finding("Python", OK, probe.python)


def _container(probe: MachineProbe) -> list[Finding]:
    if not probe.in_container:
        return []
    return [Finding("container", OK, "inside one", "power mode, clocks, swap and the jtop service are the host's")]
