"""Search for a quantisation config that holds the accuracy budget: cheap cures first, then layers back to float.

    plain INT8 -> cures, each chosen by what it does to the logits of a few images (calibration.search.cures)
          -> layers in float, in order of noise removed per multiply-add lost (calibration.search.float_layers)

A cure is a forward pass of a few images, where an evaluation labels all images of the search: so cures and layers are
compared by the logits, and only what they give together is evaluated. Every result is written down, so that a search
that was stopped goes on.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path

from calibration.budget.limits import Budget, excess
from calibration.qdq.insert import QuantizedGraph
from calibration.qdq.quantization_config import QuantizationConfig, counted
from calibration.results import SearchStep
from calibration.search.accuracy import AccuracySet
from calibration.search.cures import cured
from calibration.search.estimates import MEASURED_LAYERS
from calibration.search.float_layers import FloatLayers
from calibration.search.graph_sources import GraphSources
from calibration.search.logit_probe import LogitProbe
from calibration.search.sensitivity import Sensitivity
from calibration.search.state import SearchEndedError, SearchStore
from calibration.search.steps import figures, step_of
from edge.console import Say
from edge.contract import Contract

MARGIN = 0.5
"""Share of a limit that a figure may reach where the images of the search are too few to show that it is held."""

FAR_OFF_CHANGE = 0.02
"""Share of changed labels that goes with a lost point of mIoU: 0.01 to 0.02 in the networks of docs/results.md."""

_FAR_OFF = 2.0
"""How many times what is allowed a few images have to show before a config is not worth judging."""


@dataclass(frozen=True)
class SearchOutcome:
    """Result of a search.

    Attributes:
        config: quantisation config to build; the best one if none holds the budget.
        quantized: quantised graph of that config.
        is_met: True where it holds the budget on the images of the search.
        steps: evaluated configs, in the order in which they were tried.
        sensitivities: name of a node -> its sensitivity; empty if none was measured.
        is_out_of_time: True where the search ended because its time was up.
    """

    config: QuantizationConfig
    quantized: QuantizedGraph
    is_met: bool
    steps: tuple[SearchStep, ...]
    sensitivities: dict[str, Sensitivity]
    is_out_of_time: bool = False


class ConfigSearch:
    """One search for the quantisation config of a graph.

    Args:
        sources: float graphs, in the form that is searched.
        contract: input and output of the graph.
        accuracy: images of the search, with the float graph's labels of them.
        key: digest of graph, ranges, images and form, under which results are kept.
        store: file that results are kept in.
        seconds: time limit for everything beyond the first config, over all runs.
        say: function that is called with a line of text for each step.
    """

    def __init__(
        self,
        sources: GraphSources,
        contract: Contract,
        accuracy: AccuracySet,
        key: str,
        store: Path,
        seconds: float,
        say: Say,
    ) -> None:
        self._sources, self._contract, self._accuracy = sources, contract, accuracy
        self._seconds, self._say = seconds, say
        self._store = SearchStore(store, key, say)
        self._probe = LogitProbe(sources, contract, accuracy, self._store, say)
        self._is_started = False
        self._budget = Budget(None, None)
        self._cures: dict[str, QuantizationConfig] = {}
        self._order: list[str] = []  # digests of this search's configs, as they were tried
        self._sensitivities: dict[str, Sensitivity] = {}
        self._best: QuantizationConfig | None = None
        self._met: QuantizationConfig | None = None

    def run(self, config: QuantizationConfig, budget: Budget, first: str = "plain INT8") -> SearchOutcome:
        """Search, starting from a config; a second run, of a stricter budget, starts from what the first one measured.

        Args:
            config: first config to try.
            budget: accuracy that INT8 may cost on the images of the search.
            first: words for the first config, for progress and reports.
        """
        self._start()
        self._budget, self._best, self._met = budget, None, None
        is_out_of_time = False
        try:
            self._try(config, first)
            better = self._cured(config)
            if better != config:
                self._try(better, better.sentence())
            self._return_layers_to_float()
        except SearchEndedError:
            is_out_of_time = self._met is None
        found = self._met or self._best or config
        quantized = self._sources.quantized(found)
        steps = self._store.steps(self._order)
        return SearchOutcome(found, quantized, self._met is not None, steps, self._sensitivities, is_out_of_time)

    def _cured(self, config: QuantizationConfig) -> QuantizationConfig:
        """Return a config with those cures that help, which are tried once."""
        if config.digest() not in self._cures:
            self._cures[config.digest()] = cured(config, self._probe, self._say)
        return self._cures[config.digest()]

    def is_far_off(self, config: QuantizationConfig, budget: Budget) -> bool:
        """Return whether a few images tell that a config is far over a budget, so that judging it would waste time."""
        if not budget.is_enforced or self._seconds <= 0:
            return False
        self._start()
        allowed = FAR_OFF_CHANGE * budget.max_drop_points if budget.has_truth else 1.0 - budget.min_agreement
        try:
            return self._probe.of_config(config).label_change > _FAR_OFF * allowed
        except SearchEndedError:
            return False

    def sensitivities(self, config: QuantizationConfig) -> dict[str, Sensitivity]:
        """Measure every layer of a config, whatever time it takes, and return name of a layer -> its sensitivity."""
        self._store.deadline_s = float("inf")
        return self._probe.of_layers(config, most=len(self._sources.plain[0].graph.node))

    def quantized(self, config: QuantizationConfig) -> QuantizedGraph:
        """Return the quantised graph of a config."""
        return self._sources.quantized(config)

    def _start(self) -> None:
        if not self._is_started:
            self._is_started = True
            self._store.deadline_s = time.monotonic() + self._seconds

    def _try(self, config: QuantizationConfig, what: str) -> SearchStep:
        """Evaluate a config, or take what is stored of it; stop the search if it holds the budget.

        Raises:
            SearchEndedError: the config holds the budget, or time is up.
        """
        step = self._evaluated(config, what)
        if self._best is None or self._cost(step) < self._cost(self._store.step_of(self._best)):
            self._best = config
        if step.within_budget:
            self._met = config
            raise SearchEndedError
        return step

    def _evaluated(self, config: QuantizationConfig, what: str) -> SearchStep:
        known = self._store.step_of(config)
        if known is None:
            if self._order and self._store.is_late:
                raise SearchEndedError
            quantized = self._sources.quantized(config)
            runner = self._sources.runner(quantized.data, self._contract)
            cost, share = self._accuracy.cost(self._accuracy.evaluate(runner, what)), quantized.int8_mac_share
        else:
            what, cost, share = known.what, known.cost, known.int8_mac_share
        verdict = self._budget.judge(cost)
        step = step_of(what, config, share, cost, verdict)
        step = dataclasses.replace(step, within_budget=verdict.holds_well(MARGIN))
        self._store.keep_step(step)
        if step.recipe_sha256 not in self._order:
            self._order.append(step.recipe_sha256)
            self._say(f"{what}: {figures(step)}")
        return step

    def _return_layers_to_float(self) -> None:
        """Return layers of the best config to float.

        Raises:
            SearchEndedError: time is up.
        """
        config = self._best
        self._sensitivities = self._probe.of_layers(config, MEASURED_LAYERS)

        def evaluate(tried: QuantizationConfig, count: int) -> tuple[bool, float]:
            step = self._evaluated(tried, f"{counted(count, 'layer')} in float")
            if self._cost(step) < self._cost(self._store.step_of(self._best)):
                self._best = tried
            return step.within_budget, self._excess(step)

        def found(held: QuantizationConfig) -> None:
            self._met = held

        layers = FloatLayers(config, self._sensitivities, self._sources, evaluate)
        layers.find(self._excess(self._store.step_of(config)), found)

    def _cost(self, step: SearchStep) -> float:
        """Return what orders steps: how far the worst figure is over its limit, and the percent of labels changed."""
        return self._excess(step) + 20.0 * (1.0 - step.label_agreement)

    def _excess(self, step: SearchStep) -> float:
        """Return the worst figure of a step as a share of its limit."""
        worst = self._budget.judge(step.cost).worst
        return excess(worst) if worst is not None else 0.0
