"""The scenario offline: all frames are there at the start, and only the rate counts."""

from __future__ import annotations

from edge.bench.scenarios.base import BackToBackScenario
from edge.bench.settings import OFFLINE

_LEAST_IN_FLIGHT = 4


class OfflineScenario(BackToBackScenario):
    """Keeps the device as busy as it can be; a frame's age is counted from the start of the measurement.

    Source: MLPerf Inference rules (mlcommons/inference_policies), scenario "Offline".
    """

    name = OFFLINE
    has_all_at_start = True

    @property
    def in_flight(self) -> int:
        """Number of frames that are to be under way at once: 4, or more where that was asked for."""
        return max(self.settings.in_flight, _LEAST_IN_FLIGHT)

    def clock_sentence(self) -> str:
        """Return what the figures cover."""
        return (
            f"rate: frames over the whole time, from {self._begin_words()} to its label map in host memory; latencies "
            "hold the wait for frames before, and are not what this scenario is about"
        )
