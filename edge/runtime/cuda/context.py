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
    """Import pycuda.driver, initialise it, and return the module.

    Raises:
        MissingDependencyError: Pycuda is not installed.
        BackendError: pycuda is installed, but one of its libraries cannot be loaded, or it finds no driver.
    """
    driver = import_backend("pycuda", "pycuda.driver", INSTALL_PYCUDA)
    call("pycuda.driver.init", driver.init)
    return driver


class CudaContext:
    """A CUDA context that is current only within a `with` block.

    So it works from any thread, and beside other users of CUDA in the process. The constructor makes it current, so
    that what is created next belongs to it; `leave` ends that.

    Attributes:
        driver: The module pycuda.driver.
        maps_memory: Whether the GPU shares the host's memory, as a Jetson's does, and uses it without a copy.
            $SEGEDGE_CUDA_MEMORY=copied turns this off, to measure both: some GPUs bypass their caches in such reads.

    Raises:
        BackendError: A call failed; the message names the call.
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
        """Make this context current on the calling thread."""
        call("Context.push", self._context.push)

    def leave(self) -> None:
        """Make the previous context current again."""
        call("Context.pop", self._context.pop)

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """Make this context current for the length of a block."""
        self.enter()
        try:
            yield
        finally:
            self.leave()

    def detach(self) -> None:
        """Destroy this context, which has to be current: pycuda leaks a context of another thread otherwise."""
        self._context.detach()


@dataclass(frozen=True)
class Buffer:
    """Memory through which host and GPU exchange data.

    Attributes:
        host: Array in page-locked memory of the host.
        address: Address in the GPU's memory; where memory is mapped, that of the host's memory.
        device: Allocation on the GPU that is copied to and from; None where memory is mapped.
    """

    host: np.ndarray
    address: int
    device: Any

    def upload(self, driver: Any, stream: Any, rows: int | None = None) -> None:
        """Enqueue a copy from host to GPU on a stream; mapped memory needs none.

        Args:
            driver: The module pycuda.driver.
            stream: pycuda stream on which the copy is enqueued.
            rows: Number of rows of the first axis that are copied; None for all.
        """
        if self.device is not None:
            copy = driver.memcpy_htod_async
            call("pycuda.driver.memcpy_htod_async", copy, self.device, self.host[:rows], stream)

    def download(self, driver: Any, stream: Any, rows: int | None = None) -> None:
        """Enqueue a copy from GPU to host on a stream; mapped memory needs none."""
        if self.device is not None:
            copy = driver.memcpy_dtoh_async
            call("pycuda.driver.memcpy_dtoh_async", copy, self.host[:rows], self.device, stream)


def allocate_buffer(
    context: CudaContext, resources: ResourceStack, name: str, shape: tuple[int, ...], dtype: Any, may_map: bool = True
) -> Buffer:
    """Allocate memory on the host and on the GPU, or once for both where the context maps memory.

    Args:
        context: CUDA context, which is current.
        resources: Stack that frees the memory.
        name: Name of the memory in `resources`, not used before.
        shape: Shape of the array.
        dtype: Data type of the array.
        may_map: Whether mapped memory may be used; False where the GPU reads or writes the same place repeatedly.
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
    """Allocate memory on the GPU alone; `int()` of the allocation is its address."""
    device = call("pycuda.driver.mem_alloc", context.driver.mem_alloc, size_bytes)
    return resources.push(name, device, ("DeviceAllocation.free", lambda memory: memory.free))


def upload_table(context: CudaContext, resources: ResourceStack, name: str, table: np.ndarray) -> int:
    """Copy a table into new memory of the GPU, and return its address."""
    table = np.ascontiguousarray(table)
    memory = allocate_memory(context, resources, name, table.nbytes)
    call("pycuda.driver.memcpy_htod", context.driver.memcpy_htod, memory, table)
    return int(memory)
