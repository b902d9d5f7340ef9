"""The scenario pipelined: several frames under way, so that copies and computing overlap."""

from __future__ import annotations

from edge.bench.scenarios.base import BackToBackScenario
from edge.bench.settings import PIPELINED

_LEAST_IN_FLIGHT = 2


class PipelinedScenario(BackToBackScenario):
    """Keeps a fixed number of frames under way, each of which waits for those before it."""

    name = PIPELINED

    @property
    def in_flight(self) -> int:
        """Number of frames that are to be under way at once: 2, or more where that was asked for."""
        return max(self.settings.in_flight, _LEAST_IN_FLIGHT)

    def clock_sentence(self) -> str:
        """Return what the latency of a frame covers."""
        return f"latency: from {self._begin_words()} to its label map in host memory, with the wait for frames before"
