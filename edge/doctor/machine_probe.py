"""The doctor's access to a machine: files under a root, Python packages in folders, and commands that are run.

Tests give a tree of files in place of a machine, and their own answers.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Callable

from edge.runtime.cuda_driver import Gpu, first_gpu

_CHILD_SECONDS = 60.0
_SYSTEM_PACKAGES = ("usr/lib/python3*/dist-packages", "usr/local/lib/python3*/dist-packages")


@dataclasses.dataclass(frozen=True)
class Answer:
    """Result of a line of Python code: whether it worked, and what it printed or why it failed."""

    worked: bool
    text: str


@dataclasses.dataclass(frozen=True)
class MachineProbe:
    """Access to one machine, or to a tree of files that stands for one.

    Attributes:
        root: Folder where the machine's file system begins.
        package_folders: Folders in which the machine's Python looks for packages.
        python: Version of that Python, such as "3.8".
        gpu: First CUDA device; None where the driver finds none.
        ask_python: Function that runs a line of code in a separate Python process.
        free_bytes: Free space in bytes where artefacts are written; None where that is not known.
        group_ids: Ids of the groups of the user who runs this.
        is_root: Whether that user may open every file.
    """

    root: Path
    package_folders: tuple[Path, ...]
    python: str
    gpu: Gpu | None
    ask_python: Callable[[str], Answer]
    free_bytes: int | None
    group_ids: frozenset[int]
    is_root: bool

    def text(self, path: str) -> str | None:
        """Return the text of a file, without the zeros of a device tree; None where it cannot be read."""
        try:
            return (self.root / path).read_text(errors="replace").strip("\x00\n ")
        except OSError:
            return None

    def number(self, path: str) -> int | None:
        """Return the whole number in a file; None where there is none."""
        text = self.text(path)
        return int(text) if text is not None and re.fullmatch(r"-?\d+", text) else None

    def exists(self, path: str) -> bool:
        """Return whether a file, folder or socket exists."""
        return os.path.lexists(self.root / path)

    def glob(self, pattern: str) -> list[Path]:
        """Return the paths under the root that match a pattern, sorted."""
        return sorted(self.root.glob(pattern))

    def folders_of_system_python(self) -> list[Path]:
        """Return the folders where apt installs Python packages."""
        return [folder for pattern in _SYSTEM_PACKAGES for folder in self.glob(pattern)]

    def package_version(self, name: str) -> str | None:
        """Return the version of an installed Python package; None without it."""
        return distribution_version(self.package_folders, name)

    def has_module(self, name: str) -> bool:
        """Return whether Python would find a module or package of this name."""
        return any(_holds_module(folder, name) for folder in self.package_folders)

    def system_has_module(self, name: str) -> bool:
        """Return whether the system's Python has a module, which an isolated environment may hide."""
        return any(_holds_module(folder, name) for folder in self.folders_of_system_python())

    @functools.cached_property
    def debian_versions(self) -> dict[str, str]:
        """Return the installed Debian packages: name -> version.

        Source: Debian Policy, section 5 (control files); dpkg(1), "status".
        """
        versions = {}
        for paragraph in (self.text("var/lib/dpkg/status") or "").split("\n\n"):
            fields = dict(re.findall(r"^(Package|Status|Version): (.+)$", paragraph, re.MULTILINE))
            if fields.get("Status", "").endswith(" installed") and "Version" in fields:
                versions[fields["Package"]] = fields["Version"]
        return versions

    @property
    def board(self) -> str | None:
        """Name of the board in its device tree; None without one."""
        return self.text("proc/device-tree/model") or self.text("sys/firmware/devicetree/base/model")

    @property
    def is_jetson(self) -> bool:
        """Whether this is a Jetson: it runs NVIDIA's Linux for Tegra, or its device tree names one."""
        return self.exists("etc/nv_tegra_release") or "jetson" in (self.board or "").lower()

    @property
    def in_container(self) -> bool:
        """Whether this process runs in a container."""
        return self.exists(".dockerenv") or self.exists("run/.containerenv")


def probe_this_machine(folder: Path) -> MachineProbe:
    """Return the probe of the machine that this process runs on.

    Args:
        folder: Folder where artefacts are written.
    """
    return MachineProbe(
        root=Path("/"),
        package_folders=tuple(Path(entry) for entry in sys.path if entry and Path(entry).is_dir()),
        python=f"{sys.version_info[0]}.{sys.version_info[1]}",
        gpu=first_gpu(),
        ask_python=ask_child,
        free_bytes=_free_bytes(folder),
        group_ids=frozenset(os.getgroups()),
        is_root=os.geteuid() == 0,
    )


def ask_child(code: str) -> Answer:
    """Run a line of code in a separate Python process, so that a package that crashes ends only that process."""
    try:
        result = subprocess.run(
            [sys.executable, "-c", code],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_CHILD_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return Answer(False, f"no answer within {_CHILD_SECONDS:.0f} s")
    if result.returncode == 0:
        return Answer(True, result.stdout.strip())
    if result.returncode < 0:
        return Answer(False, f"Python was ended by signal {-result.returncode}")
    lines = result.stderr.strip().splitlines() or ["no reason given"]
    return Answer(False, lines[-1][:300])


def distribution_version(folders: tuple[Path, ...] | list[Path], name: str) -> str | None:
    """Return the version of a Python package in the first of some folders that has it; None without it."""
    wanted = _normal(name)
    for found in importlib.metadata.distributions(path=[str(folder) for folder in folders]):
        if _normal(found.metadata["Name"] or "") == wanted:
            return found.version
    return None


def major_minor(version: str) -> tuple[int, int] | None:
    """Return the first two numbers of a version; None where it has another form."""
    match = re.match(r"(\d+)\.(\d+)", version)
    return (int(match[1]), int(match[2])) if match else None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _holds_module(folder: Path, name: str) -> bool:
    return (
        (folder / name / "__init__.py").exists() or any(folder.glob(f"{name}*.so")) or (folder / f"{name}.py").exists()
    )


def _free_bytes(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
