"""A stand-in for pycuda whose memory is the host's, and which complains of what a real GPU would not forgive.

Kernels and most copies are done at once, but a copy to the host is as late as CUDA allows: the host sees it only after
it has waited for the stream, or for an event behind the copy. So a missing wait gives the labels of an older frame.
"""

from __future__ import annotations

import ctypes
import functools
import threading
import types

import numpy as np

from edge.runtime.cuda import Launch
from tests.edge.runtime.cuda_ledger import CudaError, Gpu


class Download:
    """A copy to the host that was enqueued; the host sees it from `arrive` on."""

    def __init__(self, target: np.ndarray, source: int) -> None:
        # What is in front of the copy is done already, and what comes behind it on its stream must not change it.
        self._target, self._data = target, ctypes.string_at(source, target.nbytes)
        self.has_arrived = False

    def arrive(self) -> None:
        if not self.has_arrived:
            self.has_arrived = True
            ctypes.memmove(self._target.ctypes.data, self._data, len(self._data))
            self._target = None


def make_pycuda(gpu: Gpu) -> types.ModuleType:
    """Return a module pycuda with its `driver`."""
    pycuda, driver = types.ModuleType("pycuda"), types.ModuleType("pycuda.driver")
    pycuda.driver = driver

    def arrive(downloads):
        for download in downloads:
            download.arrive()

    class Context:
        def __init__(self):
            self._number = gpu.born("context")
            gpu.stacks.setdefault(threading.get_ident(), []).append(self)

        def push(self):
            gpu.reach("Context.push", False)
            gpu.stacks.setdefault(threading.get_ident(), []).append(self)

        @staticmethod
        def pop():
            gpu.reach("Context.pop")
            gpu.stacks[threading.get_ident()].pop()

        def detach(self):
            gpu.calls.append("Context.detach")
            if gpu.current() is not self:
                gpu.misuses.append("context detached while it is not current")
            if gpu.living_in(self):
                gpu.misuses.append(f"context detached before {gpu.living_in(self)}")
            gpu.stacks[threading.get_ident()].remove(self)
            gpu.dead(self._number)
            gpu.reach("Context.detach", False)

    class Device:
        def __init__(self, number):
            gpu.reach("pycuda.driver.Device", False)

        def get_attribute(self, kind):
            gpu.reach("Device.get_attribute", False)
            return int(gpu.is_integrated)

        def make_context(self):
            gpu.reach("Device.make_context", False)
            return Context()

    class Stream:
        handle = 4711

        def __init__(self):
            gpu.reach("pycuda.driver.Stream")
            gpu.born("stream", self)
            self._downloads = []

        def synchronize(self):
            gpu.reach("Stream.synchronize")
            arrive(self._downloads)
            self._downloads = []

        def wait_for_event(self, event):
            gpu.reach("Stream.wait_for_event")
            self._downloads += event._downloads

    class Event:
        handle = 4712

        def __init__(self, flags=0):
            gpu.reach("pycuda.driver.Event")
            gpu.born("event", self)
            self._time = None
            self._downloads = []

        def record(self, stream):
            gpu.reach("Event.record")
            gpu.clock_ms += 1.0
            self._time = gpu.clock_ms
            stream._downloads = [download for download in stream._downloads if not download.has_arrived]
            self._downloads = list(stream._downloads)

        def synchronize(self):
            gpu.reach("Event.synchronize")
            arrive(self._downloads)
            self._downloads = []

        def time_till(self, other):
            gpu.reach("Event.time_till")
            return other._time - self._time

    class Module:
        def __init__(self, image):
            gpu.born("module", self)

        def get_function(self, name):
            gpu.reach("Module.get_function")
            return functools.partial(start, name)

    def start(name, *arguments, block, grid, stream):
        gpu.reach(name)
        if gpu.kernels is not None:
            gpu.kernels.run(Launch(name, grid, block, arguments))

    def module_from_buffer(image):
        gpu.reach("pycuda.driver.module_from_buffer")
        return Module(image)

    def memset_d32_async(target, value, count, stream):
        gpu.reach("pycuda.driver.memset_d32_async")
        ctypes.memset(int(target), value, 4 * count)

    class Allocation:
        def __init__(self, kind, size):
            self._memory, self._kind = (ctypes.c_char * size)(), kind
            self._number = gpu.born(kind)

        def __int__(self):
            return ctypes.addressof(self._memory)

        def free(self):
            gpu.dead(self._number)
            gpu.reach(f"{self._kind}.free")

    class HostAllocation(Allocation):
        def __init__(self, shape, dtype):
            self._shape, self._dtype = shape, np.dtype(dtype)
            self._is_mapped = False
            super().__init__("PagelockedHostAllocation", int(np.prod(shape)) * self._dtype.itemsize)

        def get_device_pointer(self):
            gpu.reach("PagelockedHostAllocation.get_device_pointer")
            if not self._is_mapped:
                raise CudaError("this memory is not mapped")
            return int(self)

        @property
        def __array_interface__(self):
            return {"shape": self._shape, "typestr": self._dtype.str, "data": (int(self), False), "version": 3}

    def pagelocked_empty(shape, dtype, mem_flags=0):
        gpu.reach("pycuda.driver.pagelocked_empty")
        made = HostAllocation(shape, dtype)
        made._is_mapped = mem_flags == driver.host_alloc_flags.DEVICEMAP
        return np.asarray(made)

    def mem_alloc(size):
        gpu.reach("pycuda.driver.mem_alloc")
        return Allocation("DeviceAllocation", size)

    def memcpy_htod_async(target, source, stream):
        gpu.reach("pycuda.driver.memcpy_htod_async")
        ctypes.memmove(int(target), source.ctypes.data, source.nbytes)

    def memcpy_dtoh_async(target, source, stream):
        gpu.reach("pycuda.driver.memcpy_dtoh_async")
        stream._downloads.append(Download(target, int(source)))

    def memcpy_dtod_async(target, source, size, stream):
        gpu.reach("pycuda.driver.memcpy_dtod_async")
        ctypes.memmove(target, source, size)

    def memcpy_htod(target, source):
        gpu.reach("pycuda.driver.memcpy_htod")
        ctypes.memmove(int(target), source.ctypes.data, source.nbytes)

    driver.memcpy_dtod_async = memcpy_dtod_async
    driver.event_flags = types.SimpleNamespace(BLOCKING_SYNC=1, DISABLE_TIMING=2)
    driver.host_alloc_flags = types.SimpleNamespace(DEVICEMAP=2)
    driver.device_attribute = types.SimpleNamespace(INTEGRATED="INTEGRATED", CAN_MAP_HOST_MEMORY="CAN_MAP_HOST_MEMORY")
    driver.Event, driver.module_from_buffer, driver.memset_d32_async = Event, module_from_buffer, memset_d32_async
    driver.init = lambda: gpu.reach("pycuda.driver.init", False)
    driver.Context, driver.Device, driver.Stream = Context, Device, Stream
    driver.pagelocked_empty, driver.mem_alloc = pagelocked_empty, mem_alloc
    driver.memcpy_htod = memcpy_htod
    driver.memcpy_htod_async, driver.memcpy_dtoh_async = memcpy_htod_async, memcpy_dtoh_async
    return pycuda
