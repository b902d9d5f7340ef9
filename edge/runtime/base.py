"""The protocol of a runtime: an engine is activated once, and then runs frame after frame."""

from __future__ import annotations

import abc
from typing import Any

import numpy as np

from edge.contract import Contract
from edge.errors import BackendError, InputError
from edge.runtime.lane import Lane, LaneRequest
from edge.runtime.layer_time import LayerTime
from edge.runtime.resource_stack import release_traceback_locals


class Runner(abc.ABC):
    """Runs one engine; no device is used before `activate`, and a `with` block activates and deactivates.

    One runner serves one thread at a time.

    Attributes:
        backend: Name of the backend, "onnxruntime" or "tensorrt".
        contract: Contract with the input and outputs of the engine.
        batches: Fewest and most frames that one call takes.
    """

    backend: str = ""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.batches = (contract.batch, contract.batch)
        self._output_names = tuple(contract.output_shapes)
        self._active = False

    def __enter__(self) -> Runner:
        self.activate()
        return self

    def __exit__(self, *exception: object) -> None:
        self.deactivate()

    def activate(self) -> None:
        """Load the engine and allocate all memory that it needs.

        Raises:
            BackendError: The backend cannot load the engine on this machine.
        """
        if not self._active:
            with release_traceback_locals():
                self._activate_impl()
            self._active = True

    def deactivate(self) -> None:
        """Free the engine and its memory; a call on an inactive runner does nothing."""
        if self._active:
            self._active = False
            self._deactivate_impl()

    def infer(self, frame: np.ndarray) -> np.ndarray:
        """Run the network on one prepared frame, or on a batch of them.

        Args:
            frame: (batch, height, width, 3) uint8 RGB, C-contiguous.

        Returns:
            Float32 logits, (classes, height / stride, width / stride) for a single frame, (batch, classes, height /
            stride, width / stride) for more; uint8 labels, (height, width), where the graph gives those. Valid until
            the next call.

        Raises:
            BackendError: The runner is not active, or the backend failed.
            InputError: The frame has another shape or dtype.
        """
        return self.infer_all(frame)[self.contract.output_name]

    def infer_all(self, frame: np.ndarray) -> dict[str, np.ndarray]:
        """Run the network on one prepared frame or a batch of them, and return all outputs.

        Args:
            frame: (batch, height, width, 3) uint8 RGB, C-contiguous.

        Returns:
            Outputs of contract.output_shapes by name, the logits first: (channels, h, w) float32 for a single frame,
            (batch, channels, h, w) for more; valid until the next call.

        Raises:
            BackendError: The runner is not active, or the backend failed.
            InputError: The frame has another shape or dtype.
        """
        self._require_active()
        fewest, most = self.batches
        batch = len(frame) if frame.ndim == 4 else 0
        if frame.shape[1:] != self.contract.input_shape[1:] or not fewest <= batch <= most or frame.dtype != np.uint8:
            wanted = (fewest if fewest == most else f"{fewest} to {most}", *self.contract.input_shape[1:])
            raise InputError(
                f"{self.contract.model} takes ({', '.join(map(str, wanted))}) uint8, got {frame.shape} {frame.dtype}"
            )
        with release_traceback_locals():
            outputs = self._infer_impl(np.ascontiguousarray(frame))
        return {name: value[0] for name, value in outputs.items()} if batch == 1 else outputs

    def open_lane(self, request: LaneRequest) -> Lane | None:
        """Allocate the memory that carries whole frames through the device, from camera frame to label map.

        Args:
            request: Sizes, format and depth of the lane.

        Returns:
            An open lane; None where the host does what comes before and after the network. The runner closes the lane
            when it is deactivated, unless that was done before.

        Raises:
            BackendError: The runner is not active, or a call failed.
            InputError: The parts of the request do not go together.
        """
        self._require_active()
        return None

    def _require_runs(self, runs: int) -> None:
        if runs < 1:
            raise InputError(f"a profile of {self.contract.model} was asked for in {runs} runs, expected at least 1")

    def _require_active(self) -> None:
        if not self._active:
            raise BackendError(
                f"{self.backend} runner of {self.contract.model} is not active. Next: use it in a with block"
            )

    def profile(self, frame: np.ndarray, runs: int) -> list[LayerTime]:
        """Measure the time of every layer as the backend runs it; `infer` runs without the profiler as before.

        Args:
            frame: (batch, height, width, 3) uint8 RGB, C-contiguous.
            runs: Number of measured inferences, at least 1.

        Returns:
            Times of the layers in the order of execution, with `runs` times for each layer.

        Raises:
            BackendError: The runner is not active, or the backend failed.
            InputError: The frame has another shape or dtype, or there are no runs.
        """
        raise BackendError(f"{self.backend} runner of {self.contract.model} tells no times of layers")

    @abc.abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return what a record has to name, such as version, device and threads of the backend."""

    @abc.abstractmethod
    def _activate_impl(self) -> None: ...

    @abc.abstractmethod
    def _deactivate_impl(self) -> None: ...

    @abc.abstractmethod
    def _infer_impl(self, frame: np.ndarray) -> dict[str, np.ndarray]:
        """Return the outputs of `_output_names` by name and in that order, shaped as in contract.output_shapes."""
