"""NVIDIA's runtime compiler as a library: compiles CUDA without nvcc and without a C++ compiler.

Source: NVRTC (Runtime Compilation), sections "Error Handling" and "Compilation"; nvrtcGetCUBIN is there from CUDA 11.1.
"""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import importlib.util
from pathlib import Path
from typing import Iterator, Sequence

from edge.errors import BackendError

# Of CUDA 13, 12 and 11; the name of 11.2 to 11.8 is the same.
_NAMES = ("libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2")


class Nvrtc:
    """One loaded library libnvrtc.

    Args:
        library: The loaded library, of CUDA 11.1 or later.

    Attributes:
        description: Name and version, such as "NVRTC 11.8".

    Raises:
        BackendError: The library is too old, or is not NVRTC.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        if not hasattr(library, "nvrtcGetCUBIN"):
            raise BackendError(f"{library._name} cannot make GPU code, expected NVRTC of CUDA 11.1 or later")
        library.nvrtcGetErrorString.restype = ctypes.c_char_p
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        self.description = f"NVRTC {major.value}.{minor.value}"

    def compile(self, path: Path, options: Sequence[str]) -> bytes:
        """Compile one source file into a cubin.

        Args:
            path: Path of the source file.
            options: Options of nvrtcCompileProgram, `--gpu-architecture=sm_...` among them.

        Returns:
            The cubin as bytes.

        Raises:
            BackendError: The source does not compile; the message has the compiler's first error.
        """
        program = ctypes.c_void_p()
        name = path.name.encode()
        self._call("nvrtcCreateProgram", ctypes.byref(program), path.read_bytes(), name, 0, None, None)
        try:
            words = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
            if self._library.nvrtcCompileProgram(program, len(options), words):
                log = self._read(program, "nvrtcGetProgramLog").decode(errors="replace").strip("\0\n ")
                lines = [line for line in log.splitlines() if "error" in line] or log.splitlines()
                raise BackendError(f"{self.description} could not compile it ({(lines or ['no message'])[0].strip()})")
            return self._read(program, "nvrtcGetCUBIN")
        finally:
            self._library.nvrtcDestroyProgram(ctypes.byref(program))

    def _read(self, program: ctypes.c_void_p, getter: str) -> bytes:
        """Call nvrtcGet<...>Size, then nvrtcGet<...>, and return the bytes."""
        size = ctypes.c_size_t()
        self._call(f"{getter}Size", program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        self._call(getter, program, buffer)
        return buffer.raw

    def _call(self, function: str, *arguments: object) -> None:
        status = getattr(self._library, function)(*arguments)
        if status:
            reason = self._library.nvrtcGetErrorString(status).decode(errors="replace")
            raise BackendError(f"{function} failed ({reason})")


def find_nvrtc() -> Nvrtc | None:
    """Return the NVRTC of this machine: that of the system, else one of a Python package; None without one."""
    for name in _candidates():
        with contextlib.suppress(OSError, BackendError):
            return Nvrtc(ctypes.CDLL(name))
    return None


def _candidates() -> Iterator[str]:
    found = ctypes.util.find_library("nvrtc")
    if found:
        yield found
    yield from _NAMES
    spec = importlib.util.find_spec("nvidia")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        yield from map(str, sorted(Path(folder).glob("*/lib/libnvrtc.so*")))
