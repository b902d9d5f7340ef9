"""Queues of the host-memory CUDA driver: a wait that is missing, or memory used again too early, is seen."""

from __future__ import annotations

import contextlib
import ctypes
import threading

import numpy as np
import pytest

from tests.host_cuda.host_driver import SCHEDULES

UNSUPPORTED, INVALIDATED, UNJOINED = 900, 901, 904
GLOBAL, THREAD_LOCAL, RELAXED = 0, 1, 2
EXTERNAL = 1


def pinned(cuda, value: int = 0) -> np.ndarray:
    array = cuda.pagelocked_empty(64, np.uint8)
    array[:] = value
    return array


def test_copy_without_a_wait_is_seen_as_wrong(cuda, context):
    source, target, stream = pinned(cuda, 7), pinned(cuda), cuda.Stream()
    device = cuda.mem_alloc(64)
    cuda.memcpy_htod_async(device, source, stream)
    cuda.memcpy_dtoh_async(target, device, stream)
    assert not target.any()
    stream.synchronize()
    assert (target == 7).all()


def test_page_locked_memory_that_changes_too_early_is_seen(cuda, context, driver):
    source, target, stream = pinned(cuda, 7), pinned(cuda), cuda.Stream()
    device = cuda.mem_alloc(64)
    cuda.memcpy_htod_async(device, source, stream)
    source[:] = 8
    cuda.memcpy_dtoh_async(target, device, stream)
    stream.synchronize()
    assert (target == 8).all()
    driver.schedule("immediate")
    cuda.memcpy_htod_async(device, source, stream)
    source[:] = 9
    cuda.memcpy_dtoh_async(target, device, stream)
    stream.synchronize()
    assert (target == 8).all()


def test_pageable_memory_is_read_at_once(cuda, context):
    source, target, stream = np.full(64, 7, np.uint8), np.zeros(64, np.uint8), cuda.Stream()
    device = cuda.mem_alloc(64)
    cuda.memcpy_htod_async(device, source, stream)
    source[:] = 8
    cuda.memcpy_dtoh_async(target, device, stream)
    assert (target == 7).all()


def pass_on(cuda, waits: bool) -> np.ndarray:
    """Upload on one stream and download on another."""
    source, target, device = pinned(cuda, 7), pinned(cuda), cuda.mem_alloc(64)
    up, down, uploaded = cuda.Stream(), cuda.Stream(), cuda.Event()
    cuda.memcpy_htod_async(device, source, up)
    uploaded.record(up)
    if waits:
        down.wait_for_event(uploaded)
    cuda.memcpy_dtoh_async(target, device, down)
    down.synchronize()
    up.synchronize()
    return target.copy()


def use_again(cuda, waits: bool) -> np.ndarray:
    """Download on one stream, and upload into the same memory on another."""
    target, later, device = pinned(cuda), pinned(cuda, 9), cuda.mem_alloc(64)
    up, down, downloaded = cuda.Stream(), cuda.Stream(), cuda.Event()
    cuda.memcpy_htod(device, np.full(64, 7, np.uint8))
    cuda.memcpy_dtoh_async(target, device, down)
    downloaded.record(down)
    if waits:
        up.wait_for_event(downloaded)
    cuda.memcpy_htod_async(device, later, up)
    down.synchronize()
    up.synchronize()
    return target.copy()


@pytest.mark.parametrize("program", [pass_on, use_again])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_program_that_waits_is_right_under_every_schedule(cuda, context, driver, program, schedule):
    for seed in range(20 if schedule == "random" else 1):
        driver.schedule(schedule, seed)
        assert (program(cuda, waits=True) == 7).all()


@pytest.mark.parametrize(("program", "schedule"), [(pass_on, "lazy"), (use_again, "others first")])
def test_program_that_does_not_wait_is_wrong_under_the_schedule_made_for_it(cuda, context, driver, program, schedule):
    driver.schedule(schedule)
    assert not (program(cuda, waits=False) == 7).any()


@pytest.mark.parametrize("program", [pass_on, use_again])
def test_program_that_does_not_wait_is_wrong_under_some_random_order(cuda, context, driver, program):
    results = []
    for seed in range(50):
        driver.schedule("random", seed)
        results.append(bool((program(cuda, waits=False) == 7).all()))
    assert set(results) == {True, False}


def test_default_stream_comes_after_all_and_before_all(cuda, context):
    target, device, stream = pinned(cuda), cuda.mem_alloc(64), cuda.Stream()
    cuda.memset_d8_async(device, 3, 64, stream)
    cuda.memcpy_dtoh(target, device)
    assert (target == 3).all()
    cuda.memset_d8(int(device), 4, 64)
    cuda.memcpy_dtoh_async(target, device, stream)
    stream.synchronize()
    assert (target == 4).all()


def test_asking_again_and_again_ends(cuda, context):
    device, stream, event = cuda.mem_alloc(64), cuda.Stream(), cuda.Event()
    for value in range(5):
        cuda.memset_d8_async(device, value, 64, stream)
    event.record(stream)
    answers = [event.query() for _ in range(10)]
    assert answers == sorted(answers)
    assert set(answers) == {False, True}
    assert stream.is_done()


def test_events_take_the_time_at_which_they_happen(cuda, context, driver):
    stream, start, end = cuda.Stream(), cuda.Event(), cuda.Event()
    untimed = cuda.Event(cuda.event_flags.DISABLE_TIMING)
    start.record(stream)
    driver.enqueue(stream.handle, lambda: threading.Event().wait(0.02))
    end.record(stream)
    untimed.record(stream)
    with pytest.raises(cuda.Error, match="device not ready"):
        start.time_till(end)
    end.synchronize()
    assert start.time_till(end) >= 20
    stream.synchronize()
    with pytest.raises(cuda.Error):
        start.time_till(untimed)
    with pytest.raises(cuda.Error):
        start.time_till(cuda.Event())
    assert driver.forgive() == [
        "cuEventElapsedTime: an event takes no time",
        "cuEventElapsedTime: an event was never recorded",
    ]


def test_two_threads_wait_for_one_stream(cuda, context, driver):
    stream, ran, codes = cuda.Stream(), [], []
    handles = ctypes.c_void_p(context.handle), ctypes.c_void_p(stream.handle)
    for value in range(20):
        driver.enqueue(stream.handle, lambda value=value: ran.append(value))

    def elsewhere():
        library = driver.library
        library.cuCtxPushCurrent_v2(handles[0])
        codes.append(library.cuStreamSynchronize(handles[1]))
        library.cuCtxPopCurrent_v2(None)

    threads = [threading.Thread(target=elsewhere) for _ in range(4)]
    for thread in threads:
        thread.start()
    stream.synchronize()
    for thread in threads:
        thread.join()
    assert codes == [0] * 4
    assert ran == list(range(20))


# -------------------------------------------------------------------------------------------------------------- capture


class Graphs:
    """The driver's calls about graphs; each asserts its code."""

    def __init__(self, library) -> None:
        self._library = library

    def begin(self, stream, mode: int = THREAD_LOCAL, code: int = 0) -> None:
        assert self._library.cuStreamBeginCapture_v2(ctypes.c_void_p(stream.handle), mode) == code

    def end(self, stream, code: int = 0):
        graph = ctypes.c_void_p()
        assert self._library.cuStreamEndCapture(ctypes.c_void_p(stream.handle), ctypes.byref(graph)) == code
        assert bool(graph) is (code == 0)
        return graph

    def status(self, stream) -> int:
        status = ctypes.c_int()
        assert self._library.cuStreamIsCapturing(ctypes.c_void_p(stream.handle), ctypes.byref(status)) == 0
        return status.value

    def executable(self, graph):
        made = ctypes.c_void_p()
        flags = ctypes.c_ulonglong(0)
        assert self._library.cuGraphInstantiateWithFlags(ctypes.byref(made), graph, flags) == 0
        assert self._library.cuGraphDestroy(graph) == 0
        return made

    def launch(self, executable, stream) -> None:
        assert self._library.cuGraphLaunch(executable, ctypes.c_void_p(stream.handle)) == 0

    def free(self, executable) -> None:
        assert self._library.cuGraphExecDestroy(executable) == 0

    @contextlib.contextmanager
    def event(self):
        """Give the handle of an event; pycuda does not tell that of its own."""
        made = ctypes.c_void_p()
        assert self._library.cuEventCreate(ctypes.byref(made), 0) == 0
        yield made
        assert self._library.cuEventDestroy_v2(made) == 0

    def record(self, event, stream, flags: int) -> int:
        return self._library.cuEventRecordWithFlags(event, ctypes.c_void_p(stream.handle), flags)

    def elapsed_ms(self, start, end) -> float:
        elapsed = ctypes.c_float(-1)
        assert self._library.cuEventElapsedTime(ctypes.byref(elapsed), start, end) == 0
        return elapsed.value


@pytest.fixture
def graphs(driver):
    return Graphs(driver.library)


def test_captured_work_runs_at_every_launch_and_not_before(cuda, context, driver, graphs):
    source, target, device = pinned(cuda, 1), pinned(cuda), cuda.mem_alloc(64)
    stream, ran = cuda.Stream(), []
    with graphs.event() as start, graphs.event() as end:
        graphs.begin(stream)
        assert graphs.status(stream) == 1
        assert graphs.record(start, stream, EXTERNAL) == 0
        cuda.memcpy_htod_async(device, source, stream)
        driver.enqueue(stream.handle, lambda: ran.append(len(ran)))
        cuda.memcpy_dtoh_async(target, device, stream)
        assert graphs.record(end, stream, EXTERNAL) == 0
        made = graphs.executable(graphs.end(stream))
        stream.synchronize()
        assert (ran, int(target[0])) == ([], 0)
        for value in (1, 2):
            source[:] = value
            graphs.launch(made, stream)
            assert driver.library.cuEventSynchronize(end) == 0
            assert (target == value).all()
            assert graphs.elapsed_ms(start, end) >= 0
        assert ran == [0, 1]
        graphs.free(made)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_forked_streams_that_join_are_one_graph(cuda, context, driver, graphs, schedule):
    first, second, forked, joined = cuda.Stream(), cuda.Stream(), cuda.Event(), cuda.Event()
    ran = []
    graphs.begin(first)
    driver.enqueue(first.handle, lambda: ran.append("before"))
    forked.record(first)
    second.wait_for_event(forked)
    driver.enqueue(second.handle, lambda: ran.append("beside"))
    joined.record(second)
    driver.enqueue(first.handle, lambda: ran.append("along"))
    first.wait_for_event(joined)
    driver.enqueue(first.handle, lambda: ran.append("after"))
    made = graphs.executable(graphs.end(first))
    assert graphs.status(second) == 0
    orders = set()
    for seed in range(20):
        driver.schedule(schedule, seed)
        ran.clear()
        graphs.launch(made, first)
        first.synchronize()
        assert (ran[0], ran[3], sorted(ran[1:3])) == ("before", "after", ["along", "beside"])
        orders.add(tuple(ran))
    assert len(orders) == (2 if schedule == "random" else 1)
    graphs.free(made)


def test_fork_that_does_not_join_is_refused(cuda, context, driver, graphs):
    first, second, forked = cuda.Stream(), cuda.Stream(), cuda.Event()
    graphs.begin(first)
    forked.record(first)
    second.wait_for_event(forked)
    driver.enqueue(second.handle, lambda: None)
    graphs.end(first, UNJOINED)
    assert driver.forgive() == ["cuStreamEndCapture: a forked stream has not joined"]
    assert (graphs.status(first), graphs.status(second)) == (0, 0)


def test_waiting_for_a_captured_stream_spoils_the_capture(cuda, context, driver, graphs):
    stream, device = cuda.Stream(), cuda.mem_alloc(64)
    graphs.begin(stream, RELAXED)
    with pytest.raises(cuda.Error, match="not permitted when stream is capturing"):
        stream.synchronize()
    assert graphs.status(stream) == 2
    with pytest.raises(cuda.Error, match="previous error during capture"):
        cuda.memset_d8_async(device, 1, 64, stream)
    graphs.end(stream, INVALIDATED)
    assert driver.forgive() == ["cuStreamSynchronize: the stream is captured"]
    cuda.memset_d8_async(device, 1, 64, stream)
    stream.synchronize()


@pytest.mark.parametrize(("mode", "code"), [(GLOBAL, UNSUPPORTED), (THREAD_LOCAL, 0), (RELAXED, 0)])
def test_capture_that_is_global_disturbs_other_threads(cuda, context, driver, graphs, mode, code):
    stream, codes = cuda.Stream(), []

    def elsewhere():
        library, address = driver.library, ctypes.c_void_p()
        library.cuCtxPushCurrent_v2(ctypes.c_void_p(context.handle))
        codes.append(library.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(16)))
        if address:
            library.cuMemFree_v2(address)
        library.cuCtxPopCurrent_v2(None)

    graphs.begin(stream, mode)
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    graph = graphs.end(stream, INVALIDATED if code else 0)
    assert codes == [code]
    if graph:
        assert driver.library.cuGraphDestroy(graph) == 0


def test_own_thread_may_not_allocate_during_a_capture_unless_relaxed(cuda, context, driver, graphs):
    stream = cuda.Stream()
    graphs.begin(stream)
    with pytest.raises(cuda.Error, match="not permitted when stream is capturing"):
        cuda.mem_alloc(16)
    graphs.end(stream, INVALIDATED)
    graphs.begin(stream, RELAXED)
    cuda.mem_alloc(16).free()
    assert driver.library.cuGraphDestroy(graphs.end(stream)) == 0


def test_capture_takes_nothing_from_outside(cuda, context, driver, graphs):
    stream, outside, event = cuda.Stream(), cuda.Stream(), cuda.Event()
    event.record(outside)
    graphs.begin(stream)
    with pytest.raises(cuda.Error, match="uncaptured work"):
        stream.wait_for_event(event)
    graphs.end(stream, INVALIDATED)
    device = cuda.mem_alloc(64)
    graphs.begin(stream)
    with pytest.raises(cuda.Error, match="legacy stream"):
        cuda.memset_d8(int(device), 1, 64)
    graphs.end(stream, INVALIDATED)
    outside.synchronize()
    assert len(driver.forgive()) == 2


def test_event_of_a_capture_cannot_be_awaited_by_the_host(cuda, context, driver, graphs):
    stream, event = cuda.Stream(), cuda.Event()
    graphs.begin(stream, RELAXED)
    event.record(stream)
    with pytest.raises(cuda.Error, match="last recorded in a capturing stream"):
        event.synchronize()
    graphs.end(stream, INVALIDATED)
    assert len(driver.forgive()) == 1


def test_event_is_recorded_externally_in_a_capture_alone(cuda, context, driver, graphs):
    stream = cuda.Stream()
    with graphs.event() as event:
        assert graphs.record(event, stream, 0) == 0
        assert graphs.record(event, stream, EXTERNAL) == 1
    assert driver.forgive() == ["cuEventRecordWithFlags: CU_EVENT_RECORD_EXTERNAL outside of a capture"]
    stream.synchronize()
