"""A runner that passes single frames through an engine that takes several in every call."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from edge.runtime.base import Runner
from edge.runtime.layer_time import LayerTime


class BatchedRunner(Runner):
    """Gives an engine for batches one frame after the other, each at the next position of a full batch.

    The other positions hold the frames before it: an engine that mixes frames, or returns them in another order, gives
    other labels than the float graph and is found out.

    Args:
        inner: runner of the engine, not active yet.
    """

    def __init__(self, inner: Runner) -> None:
        super().__init__(dataclasses.replace(inner.contract, batch=1))
        self.backend, self._inner = inner.backend, inner
        self._frames = np.zeros(inner.contract.input_shape, np.uint8)
        self._place = -1

    def describe(self) -> dict[str, Any]:
        """Return the description of the engine's runner."""
        return self._inner.describe()

    def profile(self, frame: np.ndarray, runs: int) -> list[LayerTime]:
        """Measure the time of every layer with a batch that is full of one frame."""
        return self._inner.profile(np.repeat(frame, len(self._frames), axis=0), runs)

    def _activate_impl(self) -> None:
        self._inner.activate()
        self._place = -1

    def _deactivate_impl(self) -> None:
        self._inner.deactivate()

    def _infer_impl(self, frame: np.ndarray) -> dict[str, np.ndarray]:
        self._place = (self._place + 1) % len(self._frames)
        self._frames[self._place] = frame[0]
        outputs = self._inner.infer_all(self._frames)
        return {name: value[self._place : self._place + 1] for name, value in outputs.items()}
