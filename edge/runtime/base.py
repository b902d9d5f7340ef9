"""The protocol of a runtime: one engine, activated once, asked frame after frame."""

from __future__ import annotations

import abc
from typing import Any

import numpy as np

from edge.contract import Contract
from edge.errors import BackendError, InputError


class Runner(abc.ABC):
    """Runs one engine. Nothing touches a device before `activate`; a `with` block does both ends.

    One runner serves one thread at a time.

    Attributes:
        backend: "onnxruntime" or "tensorrt".
        contract: input and outputs of the engine.
    """

    backend: str = ""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self._output_names = tuple(contract.output_shapes)
        self._active = False

    def __enter__(self) -> Runner:
        self.activate()
        return self

    def __exit__(self, *exception: object) -> None:
        self.deactivate()

    def activate(self) -> None:
        """Load the engine and take all memory that it needs.

        Raises:
            BackendError: the backend cannot load it here.
        """
        if not self._active:
            self._activate_impl()
            self._active = True

    def deactivate(self) -> None:
        """Give everything back; harmless when inactive."""
        if self._active:
            self._active = False
            self._deactivate_impl()

    def infer(self, frame: np.ndarray) -> np.ndarray:
        """Run the network on one prepared frame, or on a batch of them.

        Args:
            frame: (batch, height, width, 3) uint8 RGB, C-contiguous.

        Returns:
            Float32 logits, (classes, height / stride, width / stride) of an engine for single frames,
            (batch, classes, height / stride, width / stride) of one for more; valid until the next call.

        Raises:
            BackendError: the runner is not active, or the backend failed.
            InputError: the frame has another shape or dtype.
        """
        return self.infer_all(frame)[self.contract.output_name]

    def infer_all(self, frame: np.ndarray) -> dict[str, np.ndarray]:
        """Run the network, and return everything that it gives.

        Args:
            frame: (batch, height, width, 3) uint8 RGB, C-contiguous.

        Returns:
            Every output of contract.output_shapes by name, the logits first: (channels, h, w) float32 of an
            engine for single frames, (batch, channels, h, w) of one for more; valid until the next call.

        Raises:
            BackendError: the runner is not active, or the backend failed.
            InputError: the frame has another shape or dtype.
        """
        if not self._active:
            raise BackendError(f"{self.backend} runner of {self.contract.model} is not active; use it in a with block")
        if frame.shape != self.contract.input_shape or frame.dtype != np.uint8:
            raise InputError(
                f"{self.contract.model} takes {self.contract.input_shape} uint8, got {frame.shape} {frame.dtype}"
            )
        outputs = self._infer_impl(np.ascontiguousarray(frame))
        return {name: value[0] for name, value in outputs.items()} if self.contract.batch == 1 else outputs

    @abc.abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return what a record has to name: version, device, threads."""

    @abc.abstractmethod
    def _activate_impl(self) -> None: ...

    @abc.abstractmethod
    def _deactivate_impl(self) -> None: ...

    @abc.abstractmethod
    def _infer_impl(self, frame: np.ndarray) -> dict[str, np.ndarray]:
        """Return the outputs of `_output_names` by name and in that order, shaped as in contract.output_shapes."""
