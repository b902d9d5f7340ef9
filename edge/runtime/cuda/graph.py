"""CUDA graphs: work that is recorded once on a stream and started again by one call.

pycuda has no calls for them, and no handle of its events, so the driver is called directly, on the handles of pycuda's
streams.
Source: CUDA Driver API, sections "Stream Management" (capture), "Graph Management" and "Event Management"; all calls
are there from CUDA 11.4 on.
"""

from __future__ import annotations

import ctypes
from typing import Any, Callable

from edge.errors import BackendError

_THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: other users of CUDA in the process are not disturbed
_EXTERNAL = 1  # CU_EVENT_RECORD_EXTERNAL: the event is recorded at every start, not at the capture
_CALLS = (
    "cuStreamBeginCapture_v2",
    "cuStreamEndCapture",
    "cuGraphInstantiateWithFlags",
    "cuGraphLaunch",
    "cuGraphDestroy",
    "cuGraphExecDestroy",
    "cuEventCreate",
    "cuEventRecord",
    "cuEventRecordWithFlags",
    "cuEventElapsedTime",
    "cuEventDestroy_v2",
)


class GraphDriver:
    """Calls of the CUDA driver for graphs and their events.

    Raises:
        BackendError: There is no driver, or it is older than CUDA 11.4.
    """

    def __init__(self) -> None:
        try:
            self._driver = ctypes.CDLL("libcuda.so.1")
        except OSError as error:
            raise BackendError(f"libcuda cannot be loaded: {error}") from None
        missing = [name for name in _CALLS if not hasattr(self._driver, name)]
        if missing:
            raise BackendError(f"the driver has no {missing[0]}, CUDA 11.4 or later has")

    def capture(self, stream: Any, enqueue: Callable[[], None]) -> CudaGraph:
        """Record the work that a function enqueues on a stream.

        Args:
            stream: pycuda stream that has no work left.
            enqueue: Function that enqueues work on this stream and on no other; none of it runs during the capture.

        Raises:
            BackendError: Some of the work cannot be recorded; the stream can be used again.
        """
        handle = ctypes.c_void_p(stream.handle)
        graph = ctypes.c_void_p()
        self.call("cuStreamBeginCapture_v2", handle, _THREAD_LOCAL)
        try:
            enqueue()
            self.call("cuStreamEndCapture", handle, ctypes.byref(graph))
        except BaseException:
            if not graph:
                # Takes the stream out of the capture, whose graph is of no use; what it says does not matter.
                self._driver.cuStreamEndCapture(handle, ctypes.byref(graph))
            if graph:
                self._driver.cuGraphDestroy(graph)
            raise
        executable = ctypes.c_void_p()
        try:
            self.call("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, ctypes.c_ulonglong(0))
        finally:
            self._driver.cuGraphDestroy(graph)
        return CudaGraph(self, executable)

    def make_event(self) -> GraphEvent:
        """Create an event with timing in the current context."""
        handle = ctypes.c_void_p()
        self.call("cuEventCreate", ctypes.byref(handle), 0)
        return GraphEvent(self, handle)

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function of the CUDA driver by its name.

        Raises:
            BackendError: The call failed; the message has its name and the error.
        """
        status = getattr(self._driver, name)(*arguments)
        if status:
            text = ctypes.c_char_p()
            self._driver.cuGetErrorName(status, ctypes.byref(text))
            raise BackendError(f"{name} failed: {(text.value or b'error').decode()} ({status})")


class CudaGraph:
    """Recorded work that one call starts again."""

    def __init__(self, driver: GraphDriver, executable: ctypes.c_void_p) -> None:
        self._driver, self._executable = driver, executable

    def launch(self, stream: Any) -> None:
        """Start the recorded work on a stream, after the work that is already there."""
        self._driver.call("cuGraphLaunch", self._executable, ctypes.c_void_p(stream.handle))

    def free(self) -> None:
        """Free the graph, which must not be running."""
        self._driver.call("cuGraphExecDestroy", self._executable)


class GraphEvent:
    """Mark on a stream that keeps the time at which it was passed, also within a graph."""

    def __init__(self, driver: GraphDriver, handle: ctypes.c_void_p) -> None:
        self._driver, self._handle = driver, handle

    def record(self, stream: Any) -> None:
        """Record the event on a stream, after the work that is already there."""
        self._driver.call("cuEventRecord", self._handle, ctypes.c_void_p(stream.handle))

    def record_external(self, stream: Any) -> None:
        """Record the event on a stream in capture, so that each start of the graph records it anew."""
        self._driver.call("cuEventRecordWithFlags", self._handle, ctypes.c_void_p(stream.handle), _EXTERNAL)

    def time_till(self, later: GraphEvent) -> float:
        """Return the milliseconds from this event to a later one; both must have been passed."""
        milliseconds = ctypes.c_float()
        self._driver.call("cuEventElapsedTime", ctypes.byref(milliseconds), self._handle, later._handle)
        return milliseconds.value

    def free(self) -> None:
        """Destroy the event of the driver."""
        self._driver.call("cuEventDestroy_v2", self._handle)
