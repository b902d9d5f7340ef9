"""The device runtime, all of it: the real pycuda over the host-memory driver, and an engine that runs by onnxruntime.

Only the tensorrt module is a stand-in. Its work is put on the stream, as that of the real one, so a frame is right
only where the runtime waits for what it has to wait for.
"""

from __future__ import annotations

import ctypes
import gc
import sys

import numpy as np
import pytest

from tests.host_cuda.host_driver import SCHEDULES

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import edge.runtime.tensorrt as runtime_module
from edge.errors import BackendError
from edge.runtime.onnxruntime import OnnxRuntimeRunner
from edge.segmenter import Segmenter
from tests.edge.runtime import tensorrt_stand_in as stand_in
from tests.edge.runtime.device_engine import FRAMES, HERE, write_runner
from tests.host_cuda.streamed_tensorrt import StreamedGpu

VERSION = "10.3.0"


@pytest.fixture
def gpu(driver, monkeypatch):
    driver.attributes(HERE.gpu)
    monkeypatch.setattr(runtime_module, "this_machine", lambda: HERE)
    monkeypatch.setattr(runtime_module, "load_image", lambda compute_capability: b"code")
    ledger = StreamedGpu(driver)
    monkeypatch.setitem(sys.modules, "tensorrt", stand_in.make_tensorrt(ledger, VERSION))
    runtime_module.message_logger.cache_clear()
    yield ledger
    runtime_module.message_logger.cache_clear()
    gc.collect()
    assert ledger.live == {}
    assert ledger.misuses == []
    assert driver.current_context() is None


@pytest.fixture(params=[0, 1], ids=["discrete", "integrated"])
def integrated(request, driver):
    """Whether the GPU shares the host's memory, as a Jetson's does."""
    driver.attributes(integrated=request.param)
    return bool(request.param)


@pytest.fixture
def runner(gpu, tmp_path):
    return write_runner(tmp_path, VERSION)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """(5, 20, 44) uint8: the labels of FRAMES, as the host makes them of the same graph."""
    folder = tmp_path_factory.mktemp("reference")
    path = folder / "model.onnx"
    path.write_bytes(stand_in.tiny_graph())
    with OnnxRuntimeRunner(path, write_runner(folder, VERSION).contract, threads=1) as host:
        labels = np.stack([Segmenter(host)(frame, 20, 44).labels for frame in FRAMES])
    assert len(np.unique(labels)) > 1
    return labels


def labels_of(runner, depth: int = 1) -> np.ndarray:
    """Return the labels of FRAMES, (5, 20, 44) uint8, with `depth` frames under way."""
    segmenter, labels = Segmenter(runner, "bgr", depth), []
    for frame in FRAMES:
        if segmenter.is_full:
            labels.append(segmenter.collect().labels.copy())
        segmenter.submit(frame, 20, 44)
    while segmenter.under_way:
        labels.append(segmenter.collect().labels.copy())
    return np.stack(labels)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_logits_are_those_of_the_graph(driver, integrated, runner, tmp_path, schedule):
    driver.schedule(schedule)
    path = tmp_path / "model.onnx"
    path.write_bytes(stand_in.tiny_graph())
    frame = FRAMES[:1, :8, :16]
    with OnnxRuntimeRunner(path, runner.contract, threads=1) as reference, runner:
        for one in (frame, 255 - frame):
            np.testing.assert_array_equal(runner.infer(one), reference.infer(one))


def test_nothing_is_allocated_per_frame(driver, integrated, runner):
    with runner:
        segmenter = Segmenter(runner, "bgr", 2)
        segmenter(FRAMES[0], 20, 44)
        before = driver.calls()
        for frame in FRAMES:
            segmenter(frame, 20, 44)
        made = {name: count - before.get(name, 0) for name, count in driver.calls().items()}
    grown = {name for name, count in made.items() if count and ("Alloc" in name or "Create" in name or "Load" in name)}
    assert grown == set()


def test_other_user_of_cuda_keeps_its_context_and_memory(driver, gpu, runner, expected):
    library, primary, address = driver.library, ctypes.c_void_p(), ctypes.c_void_p()
    library.cuInit(0)
    assert library.cuDevicePrimaryCtxRetain(ctypes.byref(primary), 0) == 0
    assert library.cuCtxSetCurrent(primary) == 0
    assert library.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(64)) == 0
    try:
        with runner:
            assert driver.current_context() == primary.value
            np.testing.assert_array_equal(labels_of(runner, depth=2), expected)
            assert driver.current_context() == primary.value
        assert driver.current_context() == primary.value
    finally:
        assert library.cuMemFree_v2(address) == 0
        assert library.cuCtxSetCurrent(None) == 0
        assert library.cuDevicePrimaryCtxRelease_v2(0) == 0


# ------------------------------------------------------------------------------------------------------------ failures

FAILED = 719  # CUDA_ERROR_LAUNCH_FAILED: one that nobody has a remedy for
CALLS = (
    "cuInit",
    "cuDeviceGet",
    "cuDeviceGetAttribute",
    "cuCtxCreate",
    "cuCtxPushCurrent",
    "cuCtxPopCurrent",
    "cuCtxDetach",
    "cuStreamCreate",
    "cuStreamDestroy",
    "cuStreamSynchronize",
    "cuStreamWaitEvent",
    "cuEventCreate",
    "cuEventDestroy",
    "cuEventRecord",
    "cuEventSynchronize",
    "cuEventElapsedTime",
    "cuMemAlloc",
    "cuMemFree",
    "cuMemHostAlloc",
    "cuMemFreeHost",
    "cuMemcpyHtoD",
    "cuMemcpyHtoDAsync",
    "cuMemcpyDtoHAsync",
    "cuMemsetD32Async",
    "cuModuleLoadDataEx",
    "cuModuleGetFunction",
    "cuModuleUnload",
    "cuFuncSetBlockShape",
    "cuLaunchKernel",
    "cuStreamBeginCapture",
    "cuStreamEndCapture",
    "cuEventRecordWithFlags",
    "cuGraphInstantiate",
    "cuGraphDestroy",
    "cuGraphLaunch",
    "cuGraphExecDestroy",
)
"""Every call of the driver from opening to closing."""

OF_THESE_TESTS = {"cuCtxGetCurrent", "cuStreamIsCapturing", "host_cuda_enqueue"}

CLOSING = {"cuStreamSynchronize", "cuGraphDestroy", "cuGraphExecDestroy"}
"""Where these fail nothing is lost: the runtime gives everything back all the same."""


def go_through(runner) -> tuple[np.ndarray, str]:
    """Open, label FRAMES with two under way, close; return the labels, and whether a graph was used."""
    with runner:
        return labels_of(runner, depth=2), runner.describe()["cuda_graph"]


def test_list_of_calls_is_that_of_the_runtime(driver, runner):
    before = driver.calls()
    go_through(runner)
    made = {name for name, count in driver.calls().items() if count > before.get(name, 0)}
    assert made - OF_THESE_TESTS == set(CALLS)


@pytest.mark.parametrize("nth", [1, 3])
@pytest.mark.parametrize("name", CALLS)
def test_call_that_fails_is_told_and_the_runner_goes_on_afterwards(driver, runner, expected, name, nth, capfd):
    driver.fail(name, FAILED, nth)
    kept = None  # as a caller that logs it would
    try:
        labels, graph = go_through(runner)
    except BackendError as error:
        kept = error
    happened = driver.planned() == 0
    assert happened or nth > 1
    gc.collect()
    assert driver.live() == {}
    assert driver.current_context() is None
    said = capfd.readouterr().err
    if kept is not None:
        assert happened
        assert "failed" in str(kept)
        assert "\n" not in str(kept)
    else:
        np.testing.assert_array_equal(labels, expected)
        # Without a graph frames go call by call; of a failure to release, pycuda speaks on stderr alone.
        assert not happened or graph.startswith("no: ") or f"{name} failed" in said or name in CLOSING
    assert driver.misuses() == []
    driver.reset()
    labels, graph = go_through(runner)
    np.testing.assert_array_equal(labels, expected)
    assert graph == "yes"


@pytest.mark.parametrize("nth", [1, 4])
@pytest.mark.parametrize("name", ["cuMemcpyHtoDAsync", "cuLaunchKernel", "host_cuda_enqueue", "cuMemcpyDtoHAsync"])
def test_device_that_fails_at_work_is_told_and_the_runner_goes_on_afterwards(
    driver, integrated, runner, expected, name, nth, capfd
):
    if integrated and "Memcpy" in name:
        pytest.skip("nothing is copied there")
    driver.fail(f"run {name}", 700, nth)  # every later call in the context fails too, as on a GPU
    with pytest.raises(BackendError, match=r"(?i)illegal.(memory.access|address)") as kept:
        go_through(runner)
    assert "\n" not in str(kept.value)
    gc.collect()
    assert driver.live() == {}
    assert driver.current_context() is None
    capfd.readouterr()
    np.testing.assert_array_equal(go_through(runner)[0], expected)
