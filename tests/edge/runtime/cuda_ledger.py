"""A ledger of what is alive on a pretended GPU, which calls were made, and which are to fail."""

from __future__ import annotations

import ctypes
import threading
import weakref

import numpy as np


class CudaError(Exception):
    pass


class Gpu:
    """What is alive, which calls were made, and which are to fail."""

    def __init__(self) -> None:
        self.live: dict = {}
        self._homes: dict = {}
        self.calls: list = []
        self.faults: dict = {}
        self.misuses: list = []
        self.stacks: dict = {}
        self.dla_cores = 0
        self.is_integrated = False
        self.kernels = None
        self.clock_ms = 0.0
        self.batches: list = []
        self.cache = None
        self._number = 0

    def current(self):
        stack = self.stacks.setdefault(threading.get_ident(), [])
        return stack[-1] if stack else None

    def reach(self, call: str, needs_context: bool = True):
        """Note a call; fail if the test wants that. Returns the result to give instead, or None."""
        self.calls.append(call)
        if needs_context and self.current() is None:
            raise CudaError(f"{call}: invalid device context")
        fault = self.faults.get(call)
        if isinstance(fault, type):
            raise fault(f"{call}: out\nof luck")
        return fault

    def enqueue(self, stream_handle: int, work) -> None:
        """Put work on a stream: here it is done at once."""
        work()

    def born(self, kind: str, thing: object = None) -> int:
        self._number += 1
        number, context = self._number, None if kind == "context" else self.current()
        self.live[number], self._homes[number] = kind, context
        if thing is not None:
            weakref.finalize(thing, self.dead, number).atexit = False
        return number

    def dead(self, number: int) -> None:
        kind, home = self.live.pop(number, None), self._homes.pop(number, None)
        if kind and home is not None and self.current() is not home:
            self.misuses.append(f"{kind} freed outside its context")

    def living_in(self, context: object) -> list:
        return sorted(self.live[number] for number, home in self._homes.items() if home is context)


def at(address: int, shape, dtype) -> np.ndarray:
    count = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_char * count).from_address(address), dtype).reshape(shape)
