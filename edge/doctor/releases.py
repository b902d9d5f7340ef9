"""Table of the JetPack that belongs to each release of Linux for Tegra.

Source: NVIDIA's JetPack archive (developer.nvidia.com/embedded/jetpack-archive) and the download pages of each release.
"""

from __future__ import annotations

JETPACK_OF_L4T = {
    "35.1.0": "5.0.2",
    "35.2.1": "5.1",
    "35.3.1": "5.1.1",
    "35.4.1": "5.1.2",
    "35.5.0": "5.1.3",
    "35.6.0": "5.1.4",
    "35.6.1": "5.1.5",
    "36.3.0": "6.0",
    "36.4.0": "6.1",
    "36.4.3": "6.2",
    "36.4.4": "6.2.1",
    "36.5.0": "6.2.2",
    "38.2.0": "7.0",
    "38.2.1": "7.0",
    "38.4.0": "7.1",
    "39.2.0": "7.2",
}

SUPPORTED_L4T = (35, 36, 38, 39)
"""Major releases with TensorRT 8.5 or later: JetPack 5, 6, and 7 (38 on AGX Thor, 39 on AGX Orin too)."""

PYTHON_OF_L4T = {"35": "3.8", "36": "3.10", "38": "3.12", "39": "3.12"}
"""Python of Ubuntu 20.04, 22.04 and 24.04, which these releases of Linux for Tegra are built on."""

_FAMILY = {35: "5", 36: "6", 38: "7", 39: "7"}


def jetpack_family(l4t: str | None) -> str | None:
    """Return the major JetPack version of a release such as "35.4.1"; None where it is not known."""
    major = (l4t or "").split(".")[0]
    return _FAMILY.get(int(major)) if major.isdigit() else None
