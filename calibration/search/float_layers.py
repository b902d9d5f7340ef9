"""Layers that go back to float until the budget holds: in which order, and how many."""

from __future__ import annotations

import dataclasses
import math
from typing import Callable, Mapping

from calibration.qdq.quantization_config import QuantizationConfig
from calibration.search.estimates import CLASS_LOSS
from calibration.search.graph_sources import GraphSources
from calibration.search.sensitivity import Sensitivity

_AIM = 0.7
"""Share of a limit that the first number of float layers is chosen for: a forecast is off by about as much."""

_BETWEEN = 0.6
"""Share of a limit that the numbers of float layers between two that were tried are chosen for: little over what a
search asks for where images are few."""

_WORTHWHILE_SHARE = 0.01
"""Share of the multiply-adds from which on it is worth an evaluation to bring them back into INT8."""

LEAST_SHARE = 0.25
"""Share of the multiply-adds in INT8 below which float16 is the better answer."""

_CHEAP_SHARE = 0.02
"""Share of the multiply-adds that the first layers in float may cost together."""

_PRUNED_SHARE = 0.02
"""Share of the multiply-adds from which on one layer is worth a try without it."""

_PRUNE_TRIES = 6
_SMALL_SHARE = 1e-4

Evaluate = Callable[[QuantizationConfig, int], "tuple[bool, float]"]
"""Evaluates a config with a number of layers in float; returns whether it holds the budget, and its worst figure as a
share of the limit."""


class FloatLayers:
    """Finds the layers of one config that have to be in float.

    Args:
        config: quantisation config, whose own float layers stay in float.
        sensitivities: name of a layer -> its sensitivity.
        sources: float graphs of the search.
        evaluate: function that evaluates a config.
    """

    def __init__(
        self,
        config: QuantizationConfig,
        sensitivities: Mapping[str, Sensitivity],
        sources: GraphSources,
        evaluate: Evaluate,
    ) -> None:
        self._config, self._sensitivities, self._sources, self._evaluate = config, sensitivities, sources, evaluate
        self._seen: dict[int, float] = {}  # number of layers in float -> worst figure as a share of its limit

    def find(self, excess: float, found: Callable[[QuantizationConfig], None]) -> None:
        """Return layers to float until the budget holds, with as few multiply-adds in float as possible.

        Args:
            excess: how far the config is over its budget: its worst figure as a share of the limit.
            found: function that is called with each config that holds the budget, the last one being the best.

        Raises:
            SearchEndedError: time is up.
        """
        order = self.order()
        # A graph with next to nothing left in INT8 is no answer, whatever it keeps of the labels.
        while order and self._share(order) < LEAST_SHARE:
            order.pop()
        if not order:
            return
        self._seen[0] = excess
        # `low` layers are too few. Those that cost next to nothing are tried before more, whatever a forecast says.
        low, high = 0, min(self._likely_count(order, excess), self._cheap_count(order))
        while not self._holds(order[:high], found):
            if high >= len(order):
                return
            low, high = high, min(2 * high, len(order))
        while self._is_worth_halving(order, low, high):
            middle = self._between(order, low, high)
            low, high = (low, middle) if self._holds(order[:middle], found) else (middle, high)
        self._prune(order[:high], found)

    def order(self) -> list[str]:
        """Return the layers in the order in which they go back to float.

        Those that alone change a class go first: little noise, in the channel of a rare class, is all that it takes to
        lose it. The others follow by the noise power that each adds, per share of multiply-adds that float costs.
        """
        before, ranks = self._share([]), {}
        for name, sensitivity in self._sensitivities.items():
            if name in self._config.float_layers:
                continue
            price = max(before - self._share([name]), 0.0) + _SMALL_SHARE
            loses_class = sensitivity.class_change > CLASS_LOSS
            harm = sensitivity.class_change if loses_class else sensitivity.output_error**2
            ranks[name] = (not loses_class, -harm / price, name)
        return sorted(ranks, key=ranks.get)

    def _likely_count(self, order: list[str], excess: float) -> int:
        """Return how many layers have to be in float by the noise power that they leave, at least 1.

        Changed labels and lost points grow with the amplitude of the noise, so it has to fall as much as the worst
        figure.
        """
        wanted = _AIM / max(excess, 1.0)
        powers = [self._sensitivities[name].output_error ** 2 for name in order]
        left, total = sum(powers), sum(powers)
        for count, power in enumerate(powers, 1):
            left -= power
            loses_class = count < len(order) and self._sensitivities[order[count]].class_change > CLASS_LOSS
            if left <= wanted**2 * total and not loses_class:
                return count
        return len(order)

    def _cheap_count(self, order: list[str]) -> int:
        """Return how many layers may be in float for a small share of the multiply-adds, at least 1."""
        whole, low, high = self._share([]), 1, len(order)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if whole - self._share(order[:middle]) <= _CHEAP_SHARE else (low, middle - 1)
        return low

    def _between(self, order: list[str], low: int, high: int) -> int:
        """Return the number of layers between two at which the worst figure is likely to reach what is allowed.

        Figures fall with a power of the noise that is left, so between two of them the line is straight in logarithms.
        """
        powers = [self._sensitivities[name].output_error ** 2 for name in order]
        left = [math.log(max(sum(powers[count:]), 1e-12 * sum(powers), 1e-300)) for count in range(low, high + 1)]
        above, below = (math.log(max(self._seen[count], 0.1)) for count in (low, high))
        part = (above - math.log(_BETWEEN)) / (above - below) if above > below else 0.5
        wanted = left[0] + min(max(part, 0.0), 1.0) * (left[-1] - left[0])
        nearest = next((low + index for index, value in enumerate(left) if value <= wanted), high)
        margin = max((high - low) // 8, 1)
        return min(max(nearest, low + margin), high - margin)

    def _is_worth_halving(self, order: list[str], low: int, high: int) -> bool:
        """Return whether fewer layers in float would matter: half of them, or a share of the multiply-adds."""
        if high - low <= 1:
            return False
        gained = self._share(order[: low + 1]) - self._share(order[:high])
        return gained >= _WORTHWHILE_SHARE or high - low > max(1, high // 2)

    def _prune(self, floats: list[str], found: Callable[[QuantizationConfig], None]) -> None:
        """Put layers back into INT8 that the budget does not need in float, those that cost most of INT8 first."""
        kept, whole = list(floats), self._share(floats)
        gains = {name: self._share([each for each in kept if each != name]) - whole for name in kept}
        costly = sorted((name for name in kept if gains[name] >= _PRUNED_SHARE), key=lambda name: -gains[name])
        for name in costly[:_PRUNE_TRIES]:
            fewer = [other for other in kept if other != name]
            if fewer and self._holds(fewer, found):
                kept = fewer

    def _holds(self, floats: list[str], found: Callable[[QuantizationConfig], None]) -> bool:
        config = self._with_float(floats)
        is_held, self._seen[len(floats)] = self._evaluate(config, len(floats))
        if is_held:
            found(config)
        return is_held

    def _share(self, floats: list[str]) -> float:
        return self._sources.int8_mac_share(self._with_float(floats))

    def _with_float(self, floats: list[str]) -> QuantizationConfig:
        reasons = dict(self._config.float_layers)
        for name in floats:
            seen = self._sensitivities[name]
            reasons[name] = (
                f"over the budget: alone in INT8 it changes the logits by {100 * seen.output_error:.3g} % (RMS)"
            )
            if seen.class_change > CLASS_LOSS:
                reasons[name] += f", and a class by {100 * seen.class_change:.0f} %"
        return dataclasses.replace(self._config, float_layers=reasons)
