"""The stand-in of TensorRT, with its work on the streams of the host-memory driver."""

from __future__ import annotations

from tests.edge.runtime import tensorrt_stand_in as stand_in


class StreamedGpu(stand_in.Gpu):
    """The stand-in's ledger, with the work of its engines on the driver's streams."""

    def __init__(self, driver) -> None:
        super().__init__()
        self._driver, self._contexts = driver, {}

    def current(self):
        handle = self._driver.current_context()
        return self._contexts.setdefault(handle, f"context {handle}") if handle else None

    def enqueue(self, stream_handle, work):
        assert self._driver.enqueue(stream_handle, work) == 0
