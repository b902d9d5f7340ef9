"""C++ libraries that are compiled on the machine that runs them, kept, and loaded.

A library lies in the user's cache folder (edge/user_cache.py) as

    native-<key>-<digest>.so

The key is a hash of the source, the flags, the compiler's version and the processor, so a library is
never used on another processor than the one it was compiled for. The digest is that of the library
itself and is checked before loading, so a damaged file is compiled again. A library is compiled in a
folder of its own and renamed when it is whole, so several processes may start at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any, Callable, Sequence

from edge.errors import StorageError
from edge.leftovers import COMPILING, remove_leftovers, temporary_prefix
from edge.user_cache import cache_folder

COMPILERS = ("c++", "g++", "clang++")
COMPILE_TIMEOUT_S = 120


_CPU_KEYS = (
    "vendor_id",
    "cpu family",
    "model",
    "model name",
    "stepping",
    "flags",
    "CPU implementer",
    "CPU architecture",
    "CPU variant",
    "CPU part",
    "CPU revision",
    "Features",
)


class NativeUnavailable(Exception):  # noqa: N818  (not an error: the NumPy form takes over)
    """Native code cannot be used here; the text gives the reason, and whoever asked falls back."""


def is_turned_off() -> bool:
    """Return whether the user does without native code: SEGEDGE_NATIVE is 0."""
    return os.environ.get("SEGEDGE_NATIVE", "1") == "0"


def find_or_compile(
    sources: Sequence[Path],
    flags: Sequence[str],
    libraries: Sequence[str] = (),
    load: Callable[[str], Any] = ctypes.CDLL,
) -> Any:
    """Load a library from the cache, or compile it with the first compiler and flags that work.

    Args:
        sources: C++ files of the library, with their headers in the same folder.
        flags: Flags of the compiler.
        libraries: Flags that name other libraries.
        load: Function that loads the file of a library; it raises an OSError where that does not work.

    Returns:
        What `load` returned.

    Raises:
        NativeUnavailable: There is no compiler, or none of them made a library that loads.
    """
    sources = tuple(sources)
    compilers = find_compilers()
    if not compilers:
        raise NativeUnavailable("no C++ compiler was found. Next: install one (apt install g++) or set CXX")
    text = b"".join(path.read_bytes() for path in (*sources, *sorted(sources[0].parent.glob("*.h"))))
    try:
        folder = cache_folder()
    except StorageError as reason:
        raise NativeUnavailable(str(reason)) from None
    failure = ""
    for compiler in compilers:
        for command in ([*compiler, *flags, _native_flag()], [*compiler, *flags]):
            key = library_key(text, [*command, *libraries])
            try:
                found = _cached(folder, key, load)
                return found if found is not None else _compile(folder, key, command, sources, libraries, load)
            except NativeUnavailable as reason:
                failure = failure or str(reason)
    raise NativeUnavailable(failure)


def find_compilers() -> list[list[str]]:
    """Return the C++ compilers of this machine as command lines, $CXX first."""
    commands = [shlex.split(os.environ.get("CXX", "")), *([name] for name in COMPILERS)]
    return [command for command in commands if command and shutil.which(command[0])]


def library_key(source: bytes, command: list[str]) -> str:
    """Return 24 hex digits that change with the source, the command, the compiler's version and the processor."""
    digest = hashlib.sha256(source)
    for part in (*command, _compiler_version(command[0]), _processor()):
        digest.update(b"\0" + part.encode())
    return digest.hexdigest()[:24]


def _native_flag() -> str:
    return "-mcpu=native" if platform.machine() in ("aarch64", "arm64") else "-march=native"


@lru_cache(maxsize=None)
def _compiler_version(program: str) -> str:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(
            [program, "--version"], capture_output=True, text=True, errors="replace", timeout=COMPILE_TIMEOUT_S
        ).stdout
    return ""


@lru_cache(maxsize=None)
def _processor() -> str:
    """Return what tells processors apart, their instruction sets included: names alone do not."""
    with contextlib.suppress(OSError):
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
        lines = [line for line in first.splitlines() if line.split(":")[0].strip() in _CPU_KEYS]
        if lines:
            return "\n".join((platform.machine(), *lines))
    return f"{platform.machine()} {platform.processor()}"


def _cached(folder: Path, key: str, load: Callable[[str], Any]) -> Any:
    for path in sorted(folder.glob(f"native-{key}-*.so")):
        with contextlib.suppress(OSError):
            if path.stem.rpartition("-")[2] == _digest(path):
                return load(os.fspath(path))
        with contextlib.suppress(OSError):
            path.unlink()
    return None


def _compile(
    folder: Path,
    key: str,
    command: list[str],
    sources: Sequence[Path],
    libraries: Sequence[str] = (),
    load: Callable[[str], Any] = ctypes.CDLL,
) -> Any:
    try:
        with tempfile.TemporaryDirectory(prefix=temporary_prefix(COMPILING), dir=folder) as scratch:
            remove_leftovers(folder, Path(scratch))
            made = Path(scratch) / "native.so"
            run = subprocess.run(
                [*command, "-o", os.fspath(made), *map(os.fspath, sources), *libraries],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=COMPILE_TIMEOUT_S,
            )
            if run.returncode or not made.is_file():
                lines = [line for line in run.stderr.splitlines() if "error" in line] or run.stderr.splitlines()
                raise NativeUnavailable(f"{command[0]} could not compile it ({(lines or ['no message'])[0].strip()})")
            path = folder / f"native-{key}-{_digest(made)}.so"
            os.replace(made, path)
        return load(os.fspath(path))
    except (OSError, subprocess.SubprocessError) as error:
        reason = " ".join(str(error).split())
        raise NativeUnavailable(f"the library of {command[0]} could not be made or loaded ({reason})") from None


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:24]
