"""The scenario of two engines that take turns, one frame at a time; `edge.bench.ab` runs it."""

from __future__ import annotations

from typing import Sequence

from edge.bench.scenarios.single_stream import SingleStreamScenario
from edge.bench.settings import TURNS


class TurnsScenario(SingleStreamScenario):
    """Sends the next frame when the labels of the last one are there, in turns with another engine."""

    name = TURNS

    def is_over(self, round_ends: Sequence[int], elapsed_ns: int) -> bool:
        """Return whether enough whole rounds are done.

        Args:
            round_ends: Number of frames of an engine by the end of each round.
            elapsed_ns: Time in ns since the start, with the turns of both engines.
        """
        return self._is_over(round_ends[-1] if round_ends else 0, elapsed_ns)

    def clock_sentence(self) -> str:
        """Return what the latency of a frame covers."""
        return f"{super().clock_sentence()}, in turns with another engine"
