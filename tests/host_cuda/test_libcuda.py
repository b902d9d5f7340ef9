"""The host-memory CUDA driver itself, through pycuda: memory, contexts, kernels and faults.

It refuses and notes what would be undefined on a GPU.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

INVALID_VALUE, INVALID_CONTEXT, INVALID_HANDLE = 1, 201, 400


def pinned(cuda, count: int = 64, value: int = 0, flags: int = 0) -> np.ndarray:
    array = cuda.pagelocked_empty(count, np.uint8, mem_flags=flags)
    array[:] = value
    return array


def address_of(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


# --------------------------------------------------------------------------------------------------------------- memory


def test_memory_is_not_zero_before_it_is_written(cuda, context):
    memory, host = cuda.mem_alloc(64), np.zeros(64, np.uint8)
    cuda.memcpy_dtoh(host, memory)
    assert host.all()


def test_blocking_copy_and_fill_arrive(cuda, context):
    memory, host = cuda.mem_alloc(64), np.zeros(64, np.uint8)
    cuda.memcpy_htod(memory, np.arange(64, dtype=np.uint8))
    cuda.memset_d32(int(memory) + 8, 0x01020304, 2)
    cuda.memcpy_dtoh(host, memory)
    expected = np.arange(64, dtype=np.uint8)
    expected[8:16] = [4, 3, 2, 1] * 2
    np.testing.assert_array_equal(host, expected)


def test_use_after_free_is_refused(cuda, context, driver):
    memory = cuda.mem_alloc(64)
    address = int(memory)
    memory.free()
    with pytest.raises(cuda.LogicError, match="cuMemcpyHtoD failed"):
        cuda.memcpy_htod(address, np.zeros(64, np.uint8))
    assert driver.forgive() == ["cuMemcpyHtoD: the target was freed"]


def test_second_free_is_refused(cuda, context, driver):
    memory = cuda.mem_alloc(64)
    address = int(memory)
    memory.free()
    assert driver.library.cuMemFree_v2(ctypes.c_void_p(address)) == INVALID_VALUE
    assert driver.forgive() == ["cuMemFree: the memory was freed"]


def test_copy_over_the_end_is_refused(cuda, context, driver):
    memory = cuda.mem_alloc(64)
    with pytest.raises(cuda.LogicError):
        cuda.memcpy_htod(int(memory) + 1, np.zeros(64, np.uint8))
    assert driver.forgive() == ["cuMemcpyHtoD: the target has 63 bytes, 64 were asked for"]


def test_memory_of_host_and_device_are_not_the_same(cuda, context, driver):
    memory, host = cuda.mem_alloc(64), pinned(cuda)
    copy = driver.library.cuMemcpyHtoD_v2
    assert copy(address_of(host), address_of(host), ctypes.c_size_t(64)) == INVALID_VALUE
    assert copy(ctypes.c_void_p(int(memory)), ctypes.c_void_p(int(memory)), ctypes.c_size_t(64)) == INVALID_VALUE
    assert driver.forgive() == [
        "cuMemcpyHtoD: the target is host memory that is not mapped",
        "cuMemcpyHtoD: the source is memory of the device",
    ]


def test_mapped_host_memory_is_the_devices_too(cuda, context, driver):
    host = pinned(cuda, value=5, flags=cuda.host_alloc_flags.DEVICEMAP)
    copied = np.zeros(64, np.uint8)
    cuda.memcpy_dtoh(copied, int(host.base.get_device_pointer()))
    assert (copied == 5).all()


def test_host_memory_has_a_device_address_only_where_it_is_mapped(cuda, context, driver):
    plain, mapped = pinned(cuda), pinned(cuda, flags=cuda.host_alloc_flags.DEVICEMAP)
    with pytest.raises(cuda.LogicError):
        plain.base.get_device_pointer()
    driver.attributes(can_map_host_memory=0)
    with pytest.raises(cuda.LogicError):
        mapped.base.get_device_pointer()
    assert len(driver.forgive()) == 2


def test_memory_that_queued_work_uses_may_not_be_freed(cuda, context, driver):
    memory, stream = cuda.mem_alloc(64), cuda.Stream()
    cuda.memset_d8_async(memory, 1, 64, stream)
    memory.free()
    assert driver.forgive() == ["cuMemFree: queued work may still use the memory"]
    with pytest.raises(cuda.LogicError, match="illegal memory access"):
        stream.synchronize()
    with pytest.raises(cuda.LogicError, match="illegal memory access"):
        cuda.mem_alloc(64)  # the context is lost
    assert driver.forgive() == ["cuMemsetD8Async: the target was freed"]


# ------------------------------------------------------------------------------------------------------------- contexts


def test_call_without_a_context_is_refused(cuda, driver):
    with pytest.raises(cuda.LogicError, match="invalid device context"):
        cuda.mem_alloc(64)
    assert driver.forgive() == ["cuMemAlloc: no context is current in this thread"]


def test_context_is_current_for_one_thread(cuda, context, driver):
    current, codes = ctypes.c_void_p(), []

    def elsewhere():
        codes.append(driver.library.cuCtxGetCurrent(ctypes.byref(current)))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert (codes, current.value) == ([0], None)
    driver.library.cuCtxGetCurrent(ctypes.byref(current))
    assert current.value == context.handle


def test_objects_of_another_context_are_refused(cuda, context, driver):
    memory, stream, event = cuda.mem_alloc(64), cuda.Stream(), cuda.Event()
    other = cuda.Device(0).make_context()
    with pytest.raises(cuda.LogicError):
        cuda.memcpy_htod(memory, np.zeros(64, np.uint8))
    with pytest.raises(cuda.LogicError):
        stream.synchronize()
    with pytest.raises(cuda.LogicError):
        event.record()
    assert driver.library.cuMemFree_v2(ctypes.c_void_p(int(memory))) == INVALID_VALUE
    found = driver.forgive()
    assert len(found) == 4
    assert all("belongs to another context" in line for line in found)
    other.detach()


def test_end_of_a_context_with_something_in_it_is_noted(cuda, driver):
    context = cuda.Device(0).make_context()
    memory, stream = cuda.mem_alloc(64), cuda.Stream()
    cuda.memset_d8_async(memory, 1, 64, stream)
    handle = stream.handle
    context.detach()
    assert driver.forgive() == [
        "cuCtxDetach: 1 pieces of work were not done",
        "cuCtxDetach: 1 of kind stream still lived",
        "cuCtxDetach: 1 of kind memory still lived",
    ]
    context = cuda.Device(0).make_context()
    assert driver.library.cuStreamSynchronize(ctypes.c_void_p(handle)) == INVALID_HANDLE
    assert driver.forgive() == ["cuStreamSynchronize: the stream was destroyed with its context"]
    del memory, stream
    context.detach()


def test_destroyed_context_is_refused_where_it_is_still_current(cuda, driver):
    context = cuda.Device(0).make_context()
    handle = ctypes.c_void_p(context.handle)
    codes = []

    def elsewhere():
        library, address = driver.library, ctypes.c_void_p()
        codes.append(library.cuCtxPushCurrent_v2(handle))
        pushed.set()
        destroyed.wait(10)
        codes.append(library.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(16)))
        codes.append(library.cuCtxPopCurrent_v2(None))

    pushed, destroyed = threading.Event(), threading.Event()
    thread = threading.Thread(target=elsewhere)
    thread.start()
    pushed.wait(10)
    context.detach()
    destroyed.set()
    thread.join()
    assert codes == [0, 709, 0]
    assert driver.forgive() == ["cuMemAlloc: the current context was destroyed"]


# --------------------------------------------------------------------------------------------------------------- device


def test_device_is_what_a_test_makes_it(cuda, driver):
    driver.attributes("Orin", compute_capability_minor=9, integrated=1)
    device = cuda.Device(0)
    assert (device.name(), device.compute_capability()) == ("Orin", (8, 9))
    assert device.get_attribute(cuda.device_attribute.INTEGRATED) == 1
    driver.reset()
    assert cuda.Device(0).get_attribute(cuda.device_attribute.INTEGRATED) == 0


def test_machine_without_a_gpu_says_so(cuda, driver):
    from edge.runtime.cuda_driver import first_gpu

    assert first_gpu().compute_capability == "8.7"
    driver.devices(0)
    assert first_gpu() is None
    with pytest.raises(cuda.RuntimeError, match="no CUDA-capable device"):
        cuda.init()


# --------------------------------------------------------------------------------------------------------------- faults


def test_failure_is_planned_by_name_and_number(cuda, context, driver):
    driver.fail("cuMemAlloc", 2, nth=2)
    driver.fail("cuMemAlloc", 2, nth=3)  # pycuda collects garbage and asks again
    kept = cuda.mem_alloc(16)
    with pytest.raises(cuda.MemoryError, match="cuMemAlloc failed: out of memory"):
        cuda.mem_alloc(16)
    assert driver.live("memory") == 1
    assert driver.planned() == 0
    kept.free()


def test_call_that_frees_does_so_although_it_fails(cuda, context, driver, capfd):
    memory = cuda.mem_alloc(16)
    driver.fail("cuMemFree", 719)
    memory.free()
    assert "cuMemFree failed: unspecified launch failure" in capfd.readouterr().err
    assert driver.live("memory") == 0


def test_failure_of_queued_work_comes_out_at_the_wait(cuda, context, driver):
    memory, stream = cuda.mem_alloc(16), cuda.Stream()
    driver.fail("run cuMemsetD8Async", 700)
    cuda.memset_d8_async(memory, 1, 16, stream)
    with pytest.raises(cuda.LogicError, match="cuStreamSynchronize failed: an illegal memory access"):
        stream.synchronize()


def test_counts_are_by_call(cuda, context, driver):
    cuda.Stream()
    assert driver.count("cuStreamCreate") == 1
    assert driver.calls()["cuStreamDestroy"] == 1


# -------------------------------------------------------------------------------------------------------------- kernels


def label_nodes(cuda, logits: np.ndarray):
    """Return the kernel, its launch and the memory of both ends."""
    from edge.runtime.cuda import launches

    function = cuda.module_from_buffer(b"any image").get_function("segedge_label_nodes")
    source, target, flag = cuda.mem_alloc(logits.nbytes), cuda.mem_alloc(logits[0].size), cuda.mem_alloc(4)
    cuda.memcpy_htod(source, logits)
    cuda.memset_d32(int(flag), 0, 1)
    launch = launches.label_nodes(int(source), logits.shape, int(target), int(flag))
    return function, launch, (source, target, flag)


LOGITS = np.random.default_rng(3).normal(size=(5, 6, 7)).astype(np.float32)


def test_kernel_runs_when_its_stream_is_awaited(cuda, context, driver):
    function, launch, memories = label_nodes(cuda, LOGITS)
    context.synchronize()
    stream, winners = cuda.Stream(), np.zeros((6, 7), np.uint8)
    function(*launch.arguments, block=launch.block, grid=launch.grid, stream=stream)
    assert driver.live("work") == 1
    stream.synchronize()
    cuda.memcpy_dtoh(winners, memories[1])
    np.testing.assert_array_equal(winners, LOGITS.argmax(0))


def test_kernel_with_other_arguments_is_refused(cuda, context, driver):
    function, launch, memories = label_nodes(cuda, LOGITS)
    with pytest.raises(cuda.LogicError):
        function(*launch.arguments[:-1], block=launch.block, grid=launch.grid)
    assert "were given" in driver.forgive()[0]
    with pytest.raises(cuda.LogicError):
        function(np.uintp(64), *launch.arguments[1:], block=launch.block, grid=launch.grid)
    assert "argument 0 of segedge_label_nodes 0x40 is no memory of the device" in driver.forgive()[0]
    context.synchronize()
    del memories


def test_kernel_that_writes_beyond_its_memory_is_seen(cuda, context, driver):
    from edge.runtime.cuda import launches

    function, _, memories = label_nodes(cuda, LOGITS)
    small = cuda.mem_alloc(6 * 7 - 1)
    launch = launches.label_nodes(int(memories[0]), LOGITS.shape, int(small), int(memories[2]))
    function(*launch.arguments, block=launch.block, grid=launch.grid)
    with pytest.raises(cuda.LogicError, match="illegal memory access"):
        context.synchronize()
    assert driver.forgive() == ["cuLaunchKernel: segedge_label_nodes wrote beyond an end of argument 4"]
    small.free()
    assert driver.forgive() == ["cuMemFree: something was written beyond an end of the memory"]


def test_unknown_kernel_is_not_found(cuda, context):
    with pytest.raises(cuda.LogicError, match="named symbol not found"):
        cuda.module_from_buffer(b"any image").get_function("segedge_nothing")


def test_pycuda_is_not_in_the_projects_environment():
    import pycuda

    assert os.environ["HOST_CUDA_LIBRARY"].rpartition("/")[0] not in pycuda.__file__
    assert "site-packages" not in pycuda.__file__


# --------------------------------------------------------------------------------------------------------------- build


def test_machine_without_a_compiler_is_a_skip_that_says_so(tmp_path):
    here = Path(__file__).parent
    for program in ("bash", "dirname", "mktemp", "rm", "tail"):
        (tmp_path / program).symlink_to(shutil.which(program))
    environment = {name: value for name, value in os.environ.items() if name not in ("CC", "CXX", "LD_PRELOAD")}
    environment.update(PATH=os.fspath(tmp_path), SEGEDGE_HOST_CUDA_PYTHON=sys.executable)
    run = subprocess.run([here / "run.sh"], env=environment, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == (
        "skipped: the device runtime was not run over a host CUDA driver: no gcc here (apt install gcc)\n"
    )
