"""A CUDA context of our own through pycuda, and the memory in it.

Source: pycuda documentation, pycuda.driver; CUDA for Tegra, section "Memory Management" (an integrated GPU reads and
writes page-locked memory of the host where it lies).
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import Any, Iterator

import numpy as np

from edge.runtime.calls import call, import_backend
from edge.runtime.resource_stack import ResourceStack

INSTALL_PYCUDA = "pip install pycuda"
DEVICE = 0
MEMORY_VARIABLE = "SEGEDGE_CUDA_MEMORY"


def import_pycuda_driver() -> Any:
    """Return pycuda.driver, initialised.

    Raises:
        MissingDependencyError: pycuda is not installed.
        BackendError: it is installed, but one of its libraries cannot be loaded, or it finds no driver.
    """
    driver = import_backend("pycuda", "pycuda.driver", INSTALL_PYCUDA)
    call("pycuda.driver.init", driver.init)
    return driver


class CudaContext:
    """A context that is current for the length of a `with` block and no longer.

    So it works from any thread, and beside other users of CUDA in the process. Made current by the constructor, so that
    what is made next is in it: `leave` ends that.

    Attributes:
        driver: pycuda.driver.
        maps_memory: the GPU shares the host's memory, as a Jetson's does, and uses it where it lies.
            $SEGEDGE_CUDA_MEMORY=copied turns that off, to measure both: on some GPUs such reads pass their caches by.

    Raises:
        BackendError: a call failed; names it.
    """

    def __init__(self) -> None:
        self.driver = import_pycuda_driver()
        device = call("pycuda.driver.Device", self.driver.Device, DEVICE)
        kinds = self.driver.device_attribute
        wanted = (kinds.INTEGRATED, kinds.CAN_MAP_HOST_MEMORY)
        is_integrated = all(call("Device.get_attribute", device.get_attribute, kind) for kind in wanted)
        self.maps_memory = is_integrated and os.environ.get(MEMORY_VARIABLE) != "copied"
        self._context = call("Device.make_context", device.make_context)

    def enter(self) -> None:
        """Make it current."""
        call("Context.push", self._context.push)

    def leave(self) -> None:
        """Make current what was before."""
        call("Context.pop", self._context.pop)

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """Make it current for a block."""
        self.enter()
        try:
            yield
        finally:
            self.leave()

    def detach(self) -> None:
        """End it; it has to be current. pycuda leaks a context that another thread made if it is not."""
        self._context.detach()


@dataclass(frozen=True)
class Buffer:
    """Memory that host and GPU exchange data through.

    Attributes:
        host: page-locked.
        address: of the GPU's memory: the host's own where it is mapped.
        device: what to copy to and from; None where it is mapped.
    """

    host: np.ndarray
    address: int
    device: Any

    def upload(self, driver: Any, stream: Any, rows: int | None = None) -> None:
        """Copy host to GPU behind what a stream has to do; nothing where it is mapped.

        Args:
            driver: pycuda.driver.
            stream: of pycuda.
            rows: how many of the first axis; None for all.
        """
        if self.device is not None:
            copy = driver.memcpy_htod_async
            call("pycuda.driver.memcpy_htod_async", copy, self.device, self.host[:rows], stream)

    def download(self, driver: Any, stream: Any, rows: int | None = None) -> None:
        """Copy GPU to host behind what a stream has to do; nothing where it is mapped."""
        if self.device is not None:
            copy = driver.memcpy_dtoh_async
            call("pycuda.driver.memcpy_dtoh_async", copy, self.host[:rows], self.device, stream)


def allocate_buffer(
    context: CudaContext, resources: ResourceStack, name: str, shape: tuple[int, ...], dtype: Any, may_map: bool = True
) -> Buffer:
    """Take memory on both sides, or once for both where the context maps memory.

    Args:
        context: current.
        resources: what gives it back.
        name: in `resources`; free.
        shape: of the array.
        dtype: of the array.
        may_map: whether once will do; not where the GPU reads or writes the same place again and again.
    """
    driver = context.driver
    is_mapped = context.maps_memory and may_map
    flags = driver.host_alloc_flags.DEVICEMAP if is_mapped else 0
    make = driver.pagelocked_empty
    host = call("pycuda.driver.pagelocked_empty", make, shape, dtype, mem_flags=flags)
    resources.push(f"{name} host", host, ("PagelockedHostAllocation.free", lambda array: array.base.free))
    if is_mapped:
        address = call("PagelockedHostAllocation.get_device_pointer", host.base.get_device_pointer)
        return Buffer(host, int(address), None)
    device = allocate_memory(context, resources, name, host.nbytes)
    return Buffer(host, int(device), device)


def allocate_memory(context: CudaContext, resources: ResourceStack, name: str, size_bytes: int) -> Any:
    """Take memory of the GPU alone; `int()` of it is its address."""
    device = call("pycuda.driver.mem_alloc", context.driver.mem_alloc, size_bytes)
    return resources.push(name, device, ("DeviceAllocation.free", lambda memory: memory.free))


def upload_table(context: CudaContext, resources: ResourceStack, name: str, table: np.ndarray) -> int:
    """Put a table into the GPU's memory, and return its address."""
    table = np.ascontiguousarray(table)
    memory = allocate_memory(context, resources, name, table.nbytes)
    call("pycuda.driver.memcpy_htod", context.driver.memcpy_htod, memory, table)
    return int(memory)
