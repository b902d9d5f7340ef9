"""Runs the kernels on the host: the source compiled by g++, and a grid of threads that run one after another."""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edge.compiled_library import find_compilers
from edge.runtime.cuda import build

HARNESS = Path(__file__).with_name("host_grid.cpp")
FLAGS = ("-std=c++14", "-O2", "-fPIC", "-shared", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror")

LETTERS = {np.uintp: "P", np.int64: "q", np.int32: "i", np.float32: "f"}
"""What host_grid.cpp calls the types of arguments."""


class HostGpu:
    """Stands in for the driver: cuLaunchKernel and memory, which is the host's."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        library.host_count_stores.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
        library.host_take_misaligned.restype = ctypes.c_size_t

    def signature(self, kernel: str) -> str:
        letters = ctypes.create_string_buffer(64)
        assert self._library.host_signature(kernel.encode(), letters), f"no kernel {kernel}"
        return letters.value.decode()

    def run(self, launch, counted: np.ndarray | None = None) -> np.ndarray | None:
        """Run one launch; with `counted`, return how often each of its bytes was stored."""
        # Otherwise the kernel would take numbers for addresses.
        letters = "".join(LETTERS[type(argument)] for argument in launch.arguments)
        assert letters == self.signature(launch.kernel), f"{launch.kernel} takes other arguments"
        counts = None
        if counted is not None:
            counts = np.zeros(counted.shape, np.uint8)
            self._library.host_count_stores(counted.ctypes.data, counted.nbytes, counts.ctypes.data)
        grid, block = ((ctypes.c_uint * 3)(*sizes) for sizes in (launch.grid, launch.block))
        done = self._library.host_launch(launch.kernel.encode(), grid, block, launch.parameters())
        self._library.host_count_stores(None, 0, None)
        assert done, f"no kernel {launch.kernel}"
        assert not self._library.host_take_misaligned(), f"{launch.kernel} stores words that are not aligned"
        return counts


def compile_kernels(folder: Path) -> HostGpu:
    """Compile the kernels for the host; a test is skipped where no C++ compiler is."""
    compilers = find_compilers()
    if not compilers:
        pytest.skip("no C++ compiler here (apt install g++), so the kernels cannot run on the host")
    made = folder / "host_gpu.so"
    folders = [f"-I{folder}" for folder in (build.SOURCE.parent, build.INCLUDE_FOLDER)]
    command = [*compilers[0], *FLAGS, *folders, os.fspath(HARNESS), "-o", os.fspath(made)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return HostGpu(ctypes.CDLL(os.fspath(made)))
