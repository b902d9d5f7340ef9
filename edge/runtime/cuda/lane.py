"""A lane on the GPU: upload, resize, network, labels and download, with several frames under way.

Each slot has the memory, events and graph of one frame (slot.py). One stream computes, so the network's scratch memory
is used by one frame at a time; with several slots two more streams copy, so that the next frame is uploaded and the
last one downloaded meanwhile. On an integrated GPU nothing is copied but the camera's frame into page-locked memory, by
the host.

Everything between the copies (with one slot: everything) is recorded as a CUDA graph where that is possible.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import time
import traceback
from typing import Any, Callable

import numpy as np

from edge.errors import BackendError, InputError
from edge.runtime.calls import call
from edge.runtime.cuda import launches
from edge.runtime.cuda.context import CudaContext
from edge.runtime.cuda.graph import GraphDriver, GraphEvent
from edge.runtime.cuda.launches import Launch
from edge.runtime.cuda.slot import (
    COPY,
    DOWNLOAD,
    INFERENCE,
    STAGE_EVENTS,
    UPLOAD,
    Network,
    Slot,
    allocate_scratch,
    allocate_slot,
)
from edge.runtime.lane import Lane, LaneRequest, LaneResult
from edge.runtime.resource_stack import ResourceStack, release_traceback_locals

_COPY_STAGES = (UPLOAD, DOWNLOAD)


class CudaLane(Lane):
    """Carries frames through one TensorRT engine on the GPU.

    Args:
        context: CUDA context of the engine; it is current during the construction.
        network: Engine that labels the frames.
        request: Sizes, format and depth of the lane.
        image: Compiled kernels, from edge.runtime.cuda.build.load_image.
        stream: The one stream on which the engine always runs.
        on_close: Function that is called when the lane is closed.

    Raises:
        BackendError: A call failed; everything that was allocated has been freed.
        InputError: The parts of the request do not go together.
    """

    def __init__(
        self,
        context: CudaContext,
        network: Network,
        request: LaneRequest,
        image: bytes,
        stream: Any,
        on_close: Callable[[CudaLane], None],
    ) -> None:
        super().__init__(request)
        if request.depth < 1:
            raise InputError(f"a lane has {request.depth} slots, expected at least 1")
        self._context, self._network, self._driver = context, network, context.driver
        self._on_close = on_close
        self._resources = ResourceStack()
        self._free: collections.deque[int] = collections.deque()
        self._under_way: collections.deque[int] = collections.deque()
        self._slots: list[Slot] = []
        self._functions: dict[str, Any] = {}
        self._streams: dict[str, Any] = {}
        self._graph_problem: str | None = None
        self._is_open = True
        try:
            graphs = self._open_graphs()
            self._load_kernels(image)
            self._create_streams(stream)
            self._scratch = allocate_scratch(context, self._resources, network, request)
            for number in range(request.depth):
                slot = allocate_slot(context, self._resources, network, request, self._scratch, number, graphs)
                self._slots.append(slot)
                self._free.append(number)
                self._warm_up(slot)
            self._graph_problem = self._graph_problem or network.graph_problem
            if self._graph_problem is None:
                self._record_graphs(graphs)
        except BaseException as error:
            # The stack frames of the failed call would keep what is released here alive beyond its context.
            traceback.clear_frames(error.__traceback__)
            self._is_open = False
            with contextlib.suppress(Exception):  # the first failure is the one to tell
                self._finish_and_release()
            raise

    # ------------------------------------------------------------------------------------------------------- opening

    def _load_kernels(self, image: bytes) -> None:
        self._resources.push(
            "kernels", call("pycuda.driver.module_from_buffer", self._driver.module_from_buffer, image)
        )
        for name in launches.KERNELS:
            found = call("Module.get_function", self._resources["kernels"].get_function, name)
            self._functions[name] = self._resources.push(name, found)

    def _create_streams(self, compute: Any) -> None:
        self._streams.update(dict.fromkeys((UPLOAD, INFERENCE, DOWNLOAD), compute))
        if self.request.depth > 1 and not self._context.maps_memory:
            for name in _COPY_STAGES:
                stream = call("pycuda.driver.Stream", self._driver.Stream)
                self._streams[name] = self._resources.push(f"{name} stream", stream)

    @property
    def _has_copy_streams(self) -> bool:
        return self._streams[UPLOAD] is not self._streams[INFERENCE]

    def _open_graphs(self) -> GraphDriver | None:
        try:
            return GraphDriver()
        except BackendError as reason:
            self._graph_problem = str(reason)
            return None

    def _record_graphs(self, graphs: GraphDriver) -> None:
        """Record the work of each slot as a CUDA graph; an engine that cannot be recorded is enqueued call by call."""
        try:
            for number, slot in enumerate(self._slots):
                enqueue = functools.partial(self._enqueue, slot, _record_external)
                graph = graphs.capture(self._streams[INFERENCE], enqueue)
                slot.graph = self._resources.push(
                    f"graph {number}", graph, ("cuGraphExecDestroy", lambda made: made.free)
                )
                self._warm_up(slot)
        except BackendError as reason:
            self._graph_problem = str(reason)
            for slot in self._slots:
                slot.graph = None
            self._network.renew_execution()
            with contextlib.suppress(BackendError):  # what the capture left behind may be told once more
                self._warm_up(self._slots[0])
            for slot in self._slots:
                self._warm_up(slot)

    @property
    def has_graph(self) -> bool:
        """Whether frames are started by a recorded graph, which uses the network's scratch memory."""
        return any(slot.graph is not None for slot in self._slots)

    def _warm_up(self, slot: Slot) -> None:
        """Process a black frame: kernels are loaded and TensorRT is initialised before any recording or timing."""
        slot.frame.host[...] = 0
        self._start(slot)
        call("Event.synchronize", slot.events["done"].synchronize)

    # -------------------------------------------------------------------------------------------------------- frames

    def submit(self, frame: np.ndarray) -> None:
        """Copy a frame into page-locked memory, and enqueue all of its work on the streams."""
        if not self._is_open:
            raise BackendError("the lane is closed")
        if not self._free:
            raise BackendError(f"{len(self._under_way)} frames are under way, as many as the lane has slots")
        if frame.shape != self.request.frame_shape or frame.dtype != np.uint8:
            raise InputError(
                f"frame is {frame.shape} {frame.dtype}, the lane was opened for {self.request.frame_shape} uint8"
            )
        slot = self._slots[self._free[0]]
        start_ns = time.perf_counter_ns()
        np.copyto(slot.frame.host, frame)
        slot.copy_ns = time.perf_counter_ns() - start_ns
        with self._context.current(), release_traceback_locals():
            self._start(slot)
        self._under_way.append(self._free.popleft())

    def collect(self) -> LaneResult:
        """Wait for the oldest frame under way, and return its result."""
        if not self._under_way:
            raise BackendError("no frame is under way")
        number = self._under_way.popleft()
        self._free.append(number)
        slot = self._slots[number]
        with self._context.current(), release_traceback_locals():
            stage_ns = self._finish(slot)
        if slot.not_finite.host[0]:
            raise InputError(f"{self._network.contract.model} gave logits that are not finite, so no labels")
        outputs = {name: output.host[0] for name, output in slot.outputs.items()}
        return LaneResult(slot.labels.host, stage_ns, outputs, slot.picture.host if slot.picture is not None else None)

    def _finish(self, slot: Slot) -> dict[str, int]:
        """Wait for a slot's frame, and return the time of each stage in nanoseconds."""
        call("Event.synchronize", slot.events["done"].synchronize)
        stage_ns = {COPY: slot.copy_ns}
        for stage, (begin, end) in STAGE_EVENTS.items():
            if stage in _COPY_STAGES and self._context.maps_memory:
                continue
            stage_ns[stage] = round(1e6 * _elapsed_ms(slot.events[begin], slot.events[end]))
        return stage_ns

    def _start(self, slot: Slot) -> None:
        """Enqueue all work of a frame on the streams."""
        if slot.not_finite.device is None:
            slot.not_finite.host[0] = 0
        compute = self._streams[INFERENCE]
        if self._has_copy_streams:
            self._enqueue_upload(slot, _record)
            self._mark(slot, "copied", self._streams[UPLOAD])
            call("Stream.wait_for_event", compute.wait_for_event, slot.events["copied"])
        if slot.graph is not None:
            slot.graph.launch(compute)
        else:
            self._enqueue(slot, _record)
        if self._has_copy_streams:
            self._mark(slot, "computed", compute)
            call("Stream.wait_for_event", self._streams[DOWNLOAD].wait_for_event, slot.events["computed"])
            self._enqueue_download(slot, _record)
        self._mark(slot, "done", self._streams[DOWNLOAD])

    def _mark(self, slot: Slot, name: str, stream: Any) -> None:
        call("Event.record", slot.events[name].record, stream)

    def _enqueue(self, slot: Slot, record: Callable[[Any, Any], None]) -> None:
        """Enqueue on the computing stream what a graph holds: the whole frame, or the part between the copies."""
        if not self._has_copy_streams:
            self._enqueue_upload(slot, record)
        self._enqueue_compute(slot, record)
        if not self._has_copy_streams:
            self._enqueue_download(slot, record)

    def _enqueue_upload(self, slot: Slot, record: Callable[[Any, Any], None]) -> None:
        if self._context.maps_memory:
            return
        stream = self._streams[UPLOAD]
        record(slot.events["upload begins"], stream)
        slot.frame.upload(self._driver, stream)
        record(slot.events["uploaded"], stream)

    def _enqueue_compute(self, slot: Slot, record: Callable[[Any, Any], None]) -> None:
        stream = self._streams[INFERENCE]
        record(slot.events["compute begins"], stream)
        for launch in slot.preprocess:
            self._launch(launch, stream)
        record(slot.events["prepared"], stream)
        self._network.enqueue(self._scratch.addresses, stream)
        record(slot.events["inferred"], stream)
        for target, source, size_bytes in slot.device_copies:
            copy = self._driver.memcpy_dtod_async
            call("pycuda.driver.memcpy_dtod_async", copy, target, source, size_bytes, stream)
        if slot.not_finite.device is not None:
            clear = self._driver.memset_d32_async
            call("pycuda.driver.memset_d32_async", clear, slot.not_finite.device, 0, 1, stream)
        for launch in slot.postprocess:
            self._launch(launch, stream)
        record(slot.events["labelled"], stream)

    def _enqueue_download(self, slot: Slot, record: Callable[[Any, Any], None]) -> None:
        if self._context.maps_memory:
            return
        stream = self._streams[DOWNLOAD]
        record(slot.events["download begins"], stream)
        for buffer in slot.downloads:
            buffer.download(self._driver, stream)
        record(slot.events["downloaded"], stream)

    def _launch(self, launch: Launch, stream: Any) -> None:
        start = self._functions[launch.kernel]
        call(launch.kernel, start, *launch.arguments, block=launch.block, grid=launch.grid, stream=stream)

    # -------------------------------------------------------------------------------------------------------- closing

    def describe(self) -> dict[str, Any]:
        """Return slots, memory, and whether frames are started by a CUDA graph."""
        return {
            "slots": self.request.depth,
            "memory": "mapped" if self._context.maps_memory else "copied",
            "wait": "busy" if self.request.depth == 1 else "blocking",
            "cuda_graph": "yes" if self._graph_problem is None else f"no: {self._graph_problem}",
        }

    def close(self) -> None:
        """Wait for the frames under way, and free all memory of the lane."""
        if not self._is_open:
            return
        with self._context.current(), release_traceback_locals():
            self._is_open = False
            self._on_close(self)
            self._finish_and_release()

    def _finish_and_release(self) -> None:
        """Wait until nothing uses the memory any more, and free it."""
        try:
            for name in self._streams:  # a stream in a local variable would outlive its context after a failure
                call("Stream.synchronize", self._streams[name].synchronize)
        finally:
            self._reset()

    def _reset(self) -> None:
        for slot in self._slots:
            slot.events.clear()
        self._functions.clear()
        self._streams.clear()
        self._slots.clear()
        self._free.clear()
        self._under_way.clear()
        self._resources.release()


def _record(event: Any, stream: Any) -> None:
    if isinstance(event, GraphEvent):
        event.record(stream)  # names its own call
    else:
        call("Event.record", event.record, stream)


def _record_external(event: GraphEvent, stream: Any) -> None:
    event.record_external(stream)


def _elapsed_ms(begin: Any, end: Any) -> float:
    return begin.time_till(end) if isinstance(begin, GraphEvent) else call("Event.time_till", begin.time_till, end)
