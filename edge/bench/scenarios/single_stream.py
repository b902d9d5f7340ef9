"""The scenario single-stream: one frame at a time, and the next one when its labels are there."""

from __future__ import annotations

from edge.bench.scenarios.base import BackToBackScenario
from edge.bench.settings import SINGLE_STREAM, BenchSettings
from edge.errors import InputError


class SingleStreamScenario(BackToBackScenario):
    """Sends the next frame when the labels of the last one are in host memory.

    Source: MLPerf Inference rules (mlcommons/inference_policies), scenario "Single stream".

    Raises:
        InputError: Several frames are to be in flight.
    """

    name = SINGLE_STREAM

    def __init__(self, settings: BenchSettings) -> None:
        super().__init__(settings)
        if settings.in_flight > 1:
            raise InputError(
                f"{self.name} has one frame in flight, got {settings.in_flight}. Next: --scenario pipelined"
            )

    def clock_sentence(self) -> str:
        """Return what the latency of a frame covers."""
        return f"latency: from {self._begin_words()} to its label map in host memory, one frame at a time"
