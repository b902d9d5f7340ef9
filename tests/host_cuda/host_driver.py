"""The host-memory CUDA driver as tests see it: what lives, what was misused, and what is to fail."""

from __future__ import annotations

import ctypes
import os
from typing import Callable

SCHEDULES = {"lazy": 0, "others first": 1, "immediate": 2, "random": 3}
"""When queued work runs; work.c says what each finds."""

KINDS = ("context", "memory", "pinned", "stream", "event", "module", "graph", "graph exec")

ATTRIBUTES = {
    "integrated": 18,
    "can_map_host_memory": 19,
    "unified_addressing": 41,
    "compute_capability_major": 75,
    "compute_capability_minor": 76,
}
"""Numbers of CUdevice_attribute."""

MOST_KEPT = 4
"""Functions that have run on a stream and are still kept."""

WORK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
"""The type of work that another library puts on a stream."""


class HostDriver:
    """The control calls of libcuda.so.1 under tests/host_cuda, which this process was started with."""

    def __init__(self) -> None:
        self.library = library = ctypes.CDLL(os.environ["HOST_CUDA_LIBRARY"])
        library.host_cuda_fail.argtypes = (ctypes.c_char_p, ctypes.c_uint64, ctypes.c_int)
        for name in ("host_cuda_count", "host_cuda_live"):
            getattr(library, name).argtypes = (ctypes.c_char_p,)
            getattr(library, name).restype = ctypes.c_int64
        for name in ("host_cuda_misuses", "host_cuda_calls"):
            getattr(library, name).argtypes = (ctypes.c_char_p, ctypes.c_size_t)
            getattr(library, name).restype = ctypes.c_size_t
        library.host_cuda_name.argtypes = (ctypes.c_char_p,)
        library.host_cuda_schedule.argtypes = (ctypes.c_int, ctypes.c_uint)
        library.host_cuda_enqueue.argtypes = (ctypes.c_void_p, WORK, ctypes.c_void_p)
        self._kept: list = []
        self.raised: list[Exception] = []
        self._forgiven = 0

    def reset(self) -> None:
        """Forget notes, counts and planned failures; back to the usual GPU and the lazy schedule."""
        self.library.host_cuda_reset()
        self._kept.clear()
        self.raised.clear()
        self._forgiven = 0

    def fail(self, name: str, code: int = 1, nth: int = 1) -> None:
        """Let the nth coming call of `name` return `code`; "run NAME" is the running of what that call queued."""
        assert self.library.host_cuda_fail(name.encode(), nth, code)

    def planned(self) -> int:
        """Return how many planned failures have not happened."""
        return self.library.host_cuda_planned()

    def count(self, name: str) -> int:
        """Return how often a call was made since the last reset."""
        return self.library.host_cuda_count(name.encode())

    def calls(self) -> dict[str, int]:
        """Return the count of every call that was made since the last reset, in the order of the first."""
        pairs = (line.rpartition(" ") for line in self._text(self.library.host_cuda_calls).splitlines())
        return {name: int(count) for name, _, count in pairs}

    def live(self, kind: str | None = None) -> int | dict[str, int]:
        """Return how many objects of a kind live; without one, of every kind of which any does."""
        if kind is None:
            return {kind: count for kind in KINDS for count in [self.live(kind)] if count}
        count = self.library.host_cuda_live(kind.encode())
        assert count >= 0, f"no kind {kind}"
        return count

    def misuses(self) -> list[str]:
        """Return what was done that no program should do, and was not forgiven."""
        return self._text(self.library.host_cuda_misuses).splitlines()[self._forgiven :]

    def forgive(self) -> list[str]:
        """Return the misuses so far; the test that made them on purpose may then end well."""
        found = self.misuses()
        self._forgiven += len(found)
        return found

    def schedule(self, name: str, seed: int = 0) -> None:
        """Choose when queued work runs, by a name of SCHEDULES."""
        assert self.library.host_cuda_schedule(SCHEDULES[name], seed)

    def attributes(self, name: str | None = None, **values: int) -> None:
        """Set the GPU's name, and attributes by the names in ATTRIBUTES."""
        if name is not None:
            self.library.host_cuda_name(name.encode())
        for attribute, value in values.items():
            assert self.library.host_cuda_attribute(ATTRIBUTES[attribute], value)

    def devices(self, count: int) -> None:
        """Set the number of GPUs, 0 or 1."""
        self.library.host_cuda_devices(count)

    def enqueue(self, stream: int, function: Callable[[], object]) -> int:
        """Put a Python function on a stream, by the stream's handle; return the driver's code.

        In a capture it runs at every launch. What it raises is kept in `raised`.
        """
        status = ctypes.c_int()
        self.library.cuStreamIsCapturing(ctypes.c_void_p(stream), ctypes.byref(status))
        kept = [None, bool(status.value), False]

        def work(_: object) -> None:
            try:
                function()
            except Exception as error:
                self.raised.append(error)
            kept[2] = True

        kept[0] = WORK(work)
        # Another thread may still be on its way out of one that has just run: the newest stay.
        if len(self._kept) > 2 * MOST_KEPT:
            has_graphs = status.value or self.live("graph") or self.live("graph exec")
            old, new = self._kept[:-MOST_KEPT], self._kept[-MOST_KEPT:]
            self._kept = [one for one in old if not one[2] or (one[1] and has_graphs)] + new
        self._kept.append(kept)
        return self.library.host_cuda_enqueue(ctypes.c_void_p(stream), kept[0], None)

    def current_context(self) -> int | None:
        """Return the handle of this thread's current context, None without one."""
        handle = ctypes.c_void_p()
        self.library.cuCtxGetCurrent(ctypes.byref(handle))
        return handle.value

    @staticmethod
    def _text(call) -> str:
        bytes_needed = call(None, 0) + 1024
        into = ctypes.create_string_buffer(bytes_needed)
        call(into, bytes_needed)
        return into.value.decode()
