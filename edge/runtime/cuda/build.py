"""Compile kernels.cu for one kind of GPU, once, and keep the result.

The code lies in the user's cache folder (edge/user_cache.py) as

    cuda-<compute capability>-<key>-<digest>.cubin

The key is a hash of the source, the compute capability, the flags and the compiler's version, so another CUDA or
another GPU gets its own. The digest is that of the file itself and is checked before use, so a damaged one is
compiled again. A file is written elsewhere and renamed when it is whole, so several processes may start at once.

nvcc is asked first ($CUDA_HOME, the PATH, /usr/local/cuda), then NVRTC, which needs no C++ compiler.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Iterator, Protocol, Sequence

from edge.errors import BackendError, StorageError
from edge.leftovers import COMPILING, remove_leftovers, temporary_prefix
from edge.postprocess.native import build as native
from edge.runtime.cuda.nvrtc import find_nvrtc
from edge.user_cache import cache_folder

SOURCE = Path(__file__).with_name("kernels.cu")
"""Path of the source that is compiled."""

INCLUDE_FOLDER = native.SOURCE.parent
"""Folder of bilinear.h, the arithmetic that CPU and GPU share."""

COMPILE_TIMEOUT_S = 300
"""Longest run of nvcc, which takes seconds on a workstation and a minute on a Jetson in its lowest power mode."""

# Labels rest on the order of their double operations: no contraction.
FLAGS = ("--std=c++14", "--fmad=false")

_NEXT = (
    "Next: sudo apt install nvidia-jetpack on a Jetson; elsewhere install the CUDA toolkit or "
    "pip install nvidia-cuda-nvrtc-cu12"
)


class Compiler(Protocol):
    """Compiler that turns the CUDA source into GPU code."""

    description: str
    """Name and version."""

    def compile(self, path: Path, options: Sequence[str]) -> bytes:
        """Compile a source file into a cubin; raise BackendError with the first error."""


@lru_cache(maxsize=None)
def load_image(compute_capability: str) -> bytes:
    """Return the compiled kernels for one kind of GPU; they are compiled now if the cache lacks them.

    Args:
        compute_capability: Compute capability of the GPU, such as "8.7".

    Returns:
        A cubin, which cuModuleLoadData and pycuda.driver.module_from_buffer take.

    Raises:
        BackendError: There is no compiler here, or none of them can compile for this GPU.
    """
    if not re.fullmatch(r"\d+\.\d", compute_capability):
        raise BackendError(f"compute capability is {compute_capability!r}, expected a number such as 8.7")
    failure = ""
    for compiler in find_compilers():
        key = image_key(compute_capability, compiler.description)
        try:
            return _cached(compute_capability, key) or _compile(compiler, compute_capability, key)
        except BackendError as reason:
            failure = failure or str(reason)
    if failure:
        raise BackendError(
            f"CUDA kernels for compute capability {compute_capability} cannot be made: {failure}. "
            "Next: install a CUDA toolkit that knows this GPU, with a C++ compiler that it takes"
        )
    raise BackendError(f"CUDA kernels need a compiler, and neither nvcc nor NVRTC was found. {_NEXT}")


def image_key(compute_capability: str, compiler: str) -> str:
    """Return 24 hex digits that change with the source, the GPU, the flags and the compiler's version."""
    digest = hashlib.sha256()
    for path in (SOURCE, *sorted(INCLUDE_FOLDER.glob("*.h"))):
        digest.update(path.read_bytes() + b"\0")
    for part in (*FLAGS, compute_capability, compiler):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:24]


def find_compilers() -> Iterator[Compiler]:
    """Yield the CUDA compilers of this machine, the preferred one first."""
    program = find_nvcc()
    if program:
        with contextlib.suppress(BackendError):
            yield Nvcc(program)
    nvrtc = find_nvrtc()
    if nvrtc:
        yield nvrtc


def find_nvcc() -> str | None:
    """Return the path of nvcc; None where it is not found."""
    home = os.environ.get("CUDA_HOME")
    candidates = ([os.fspath(Path(home) / "bin" / "nvcc")] if home else []) + ["nvcc", "/usr/local/cuda/bin/nvcc"]
    return next(filter(None, map(shutil.which, candidates)), None)


class Nvcc:
    """The nvcc compiler of the CUDA toolkit.

    Args:
        program: Path of the program.

    Raises:
        BackendError: The program does not tell its version.
    """

    def __init__(self, program: str) -> None:
        self._program = program
        self.description = self._run(["--version"])

    def compile(self, path: Path, options: Sequence[str]) -> bytes:
        """Compile one source file into a cubin.

        Args:
            path: Path of the source file.
            options: Command line options, `--gpu-architecture=sm_...` among them.

        Raises:
            BackendError: The source does not compile; the message has the compiler's first error.
        """
        try:
            with tempfile.TemporaryDirectory(prefix="segedge-nvcc-") as scratch:
                made = Path(scratch) / "kernels.cubin"
                self._run(["--cubin", *options, "--output-file", os.fspath(made), os.fspath(path)])
                return made.read_bytes()
        except OSError as error:
            raise BackendError(f"{self._program} wrote nothing that can be read ({error})") from None

    def _run(self, arguments: list[str]) -> str:
        try:
            run = subprocess.run(
                [self._program, *arguments],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=COMPILE_TIMEOUT_S,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise BackendError(f"{self._program} could not be run ({' '.join(str(error).split())})") from None
        if run.returncode:
            output = [*run.stderr.splitlines(), *run.stdout.splitlines()]
            lines = [line for line in output if "error" in line or "fatal" in line] or output
            raise BackendError(f"{self._program} could not compile it ({(lines or ['no message'])[0].strip()})")
        return run.stdout


def _folder() -> Path:
    try:
        return cache_folder()
    except StorageError as reason:
        raise BackendError(str(reason)) from None


def _cached(compute_capability: str, key: str) -> bytes | None:
    for path in sorted(_folder().glob(f"cuda-{compute_capability}-{key}-*.cubin")):
        with contextlib.suppress(OSError):
            image = path.read_bytes()
            if path.stem.rpartition("-")[2] == _digest(image):
                return image
        with contextlib.suppress(OSError):
            path.unlink()
    return None


def _compile(compiler: Compiler, compute_capability: str, key: str) -> bytes:
    architecture = f"--gpu-architecture=sm_{compute_capability.replace('.', '')}"
    image = compiler.compile(SOURCE, [architecture, *FLAGS, f"--include-path={INCLUDE_FOLDER}"])
    # A cache that cannot be written costs the next start a compilation, and this one nothing.
    prefix = temporary_prefix(COMPILING)
    with contextlib.suppress(OSError), tempfile.TemporaryDirectory(prefix=prefix, dir=_folder()) as scratch:
        remove_leftovers(_folder(), Path(scratch))
        whole = Path(scratch) / "kernels.cubin"
        whole.write_bytes(image)
        os.replace(whole, _folder() / f"cuda-{compute_capability}-{key}-{_digest(image)}.cubin")
    return image


def _digest(image: bytes) -> str:
    return hashlib.sha256(image).hexdigest()[:24]
