"""The rest between two measurements, so that one does not begin with the heat of the other."""

from __future__ import annotations

import time

from edge.errors import BackendError
from edge.telemetry import open_power_source
from edge.telemetry.base import PowerSource

MOST_S = 300.0
"""Longest rest in s: a machine that is not cool by then does not become so, and its run says that it was not steady."""

WARMER_C = 3.0
"""Degrees Celsius above the first look from which a machine still cools down."""

_LOOK_S = 2.0


class CoolDown:
    """Waits until a machine is about as cool as it was at the beginning, where it says how warm it is.

    Args:
        least_s: Shortest rest in s.
        source: Name of the power source, one of edge.telemetry.power_choices().
        is_on_gpu: Whether a GPU does the measured work.
    """

    def __init__(self, least_s: float, source: str, is_on_gpu: bool) -> None:
        self._least_s, self._source, self._is_on_gpu = least_s, source, is_on_gpu
        self._first_c = self._warmest_c()

    def wait(self) -> float:
        """Rest, and return for how long, in s."""
        start_s = time.monotonic()
        time.sleep(self._least_s)
        while self._first_c is not None and time.monotonic() - start_s < MOST_S:
            warmest_c = self._warmest_c()
            if warmest_c is None or warmest_c <= self._first_c + WARMER_C:
                break
            time.sleep(_LOOK_S)
        return time.monotonic() - start_s

    def _warmest_c(self) -> float | None:
        """Return the temperature of the warmest sensor in degrees Celsius; None where no source tells."""
        opened: PowerSource | None = None
        try:
            opened, _ = open_power_source(self._source, self._is_on_gpu)
            seen = [] if opened is None else [*opened.read().temperatures_c.values()]
        except BackendError:  # a rest is no reason to end a suite
            return None
        finally:
            if opened is not None:
                opened.close()
        return max((value for value in seen if value is not None), default=None)
