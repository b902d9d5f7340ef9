"""Search for a quantisation config that holds the accuracy budget: cheap cures first, then layers back to float.

    plain -> other range methods, clipped weights, corrected biases, equalised channels, another method per tensor
          -> layers in float, in order of error removed per multiply-add lost, as few as the budget needs

A cure is kept where the points of mIoU lost and the percent of labels changed are fewer together: the labels move
smoothly with the rounding noise, the points are what counts. Whether the budget holds is decided by what it limits.
Every evaluation is written down, so that a search that was stopped goes on.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from calibration.onnx_graph.node import name_of
from calibration.qdq.insert import QuantizedGraph, quantize
from calibration.qdq.quantization_config import QuantizationConfig, counted
from calibration.ranges.record import Ranges
from calibration.ranges.thresholds import CALIBRATION_METHODS
from calibration.results import SearchStep
from calibration.search.accuracy import AccuracySet, Budget, SetLabels, drop_points, graph_runner
from calibration.search.sensitivity import Sensitivity, SensitivityMeter, measure_all, quantized_nodes
from calibration.search.state import SearchState, stored_state
from edge.console import Say
from edge.contract import Contract
from edge.errors import InputError
from edge.preprocess import FramePreparer
from edge.records import write_record

SENSITIVITY_IMAGES = 6
"""Number of images that layers are measured on one by one; more images hardly change the order of the layers."""

_TUNED_TENSORS = 12
"""Number of most sensitive layers whose input is tried with each calibration method."""

_PRUNE_TRIES = 8
_SAME_FIGURES = 1e-6
_SMALL_SHARE = 1e-4


@dataclass(frozen=True)
class SearchOutcome:
    """Result of a search.

    Attributes:
        config: quantisation config to build; the best one if none holds the budget.
        quantized: quantised graph of that config.
        labels: labels that this graph gives on the accuracy images.
        is_met: True where it holds the budget.
        steps: evaluated configs, in the order in which they were tried.
        sensitivities: name of a node -> its sensitivity; empty if none was measured.
        is_out_of_time: True where the search ended because its time was up.
    """

    config: QuantizationConfig
    quantized: QuantizedGraph
    labels: SetLabels
    is_met: bool
    steps: tuple[SearchStep, ...]
    sensitivities: dict[str, Sensitivity]
    is_out_of_time: bool = False


class _SearchEndedError(Exception):
    """Ends a search: the budget holds, or time is up."""


class ConfigSearch:
    """One search for the quantisation config of a graph.

    Args:
        model: float graph (onnx.ModelProto).
        ranges: ranges of its activations.
        equalized: function that returns the graph after cross-layer equalization, and its ranges; None instead if no
            channels can be equalised. It is called once at most.
        form: form of the quantised graph, "tensorrt" or "onnxruntime".
        unsigned_levels: largest level of unsigned activations, see calibration.qdq.insert.
        contract: input and output of the graph.
        accuracy: images to judge by, with the float graph's labels of them.
        budget: accuracy that INT8 may cost.
        key: digest of graph, ranges, images and form, under which results are kept.
        store: file that results are kept in.
        seconds: time limit for everything beyond the first config.
        say: function that is called with a line of text for each step.
    """

    def __init__(
        self,
        model: Any,
        ranges: Ranges,
        equalized: Callable[[], tuple[Any, Ranges] | None],
        form: str,
        unsigned_levels: int,
        contract: Contract,
        accuracy: AccuracySet,
        budget: Budget,
        key: str,
        store: Path,
        seconds: float,
        say: Say,
    ) -> None:
        self._plain, self._equalize = (model, ranges), equalized
        self._equalized_graph: tuple[Any, Ranges] | None = None
        self._has_equalized = False
        self._form, self._levels, self._contract = form, unsigned_levels, contract
        self._accuracy, self._budget, self._store, self._seconds, self._say = accuracy, budget, store, seconds, say
        self._state = stored_state(store, key, say)
        self._labels: dict[str, SetLabels] = {}  # digest -> what this search has seen of a config
        self._order: list[str] = []  # digests of this search's configs, as they were tried
        self._sensitivities: dict[str, Sensitivity] = {}
        self._best: QuantizationConfig | None = None
        self._met: QuantizationConfig | None = None
        self._deadline_s = float("inf")

    def run(self, config: QuantizationConfig, measure_layers: bool = False, first: str = "plain") -> SearchOutcome:
        """Search, starting from a config.

        Args:
            config: first config to try: the plain one, or one that was found elsewhere.
            measure_layers: True to measure the sensitivity of every layer even if the first config holds the budget.
            first: words for the first config, for progress and reports.
        """
        is_out_of_time = False
        self._deadline_s = time.monotonic() + self._seconds
        try:
            self._try(config, first)
            self._cure(config)
            self._return_layers_to_float()
        except _SearchEndedError:
            is_out_of_time = self._met is None
        found = self._met or self._best or config
        if measure_layers and not self._sensitivities:
            self._deadline_s = float("inf")
            self._measure_layers(found)
        quantized = self.quantized(found)
        labels = self._labels.get(found.digest())
        if labels is None:  # known from an earlier search, which kept its figures alone
            labels = self._evaluate(quantized, "accuracy in INT8")
            if self._is_outdated(found, self._step("", found, quantized, labels)):
                self._say("what was kept of an earlier search is not what the networks say now: it starts anew")
                self._forget()
                return self.run(config, measure_layers, first)
        step = self._step("", found, quantized, labels)
        steps = tuple(known for digest in self._order for known in self._state.steps if known.recipe_sha256 == digest)
        return SearchOutcome(found, quantized, labels, step.within_budget, steps, self._sensitivities, is_out_of_time)

    def _is_outdated(self, config: QuantizationConfig, step: SearchStep) -> bool:
        """Return whether the stored figures of a config differ from those that were measured just now."""
        kept = self._known_or_none(config)
        return (
            kept is not None
            and abs(kept.label_agreement - step.label_agreement)
            + abs((kept.drop_points or 0.0) - (step.drop_points or 0.0))
            > _SAME_FIGURES
        )

    def _forget(self) -> None:
        self._state = SearchState(self._state.key)
        self._labels, self._order, self._sensitivities = {}, [], {}
        self._best = self._met = None

    def quantized(self, config: QuantizationConfig) -> QuantizedGraph:
        """Return the quantised graph of a config."""
        model, ranges = self.source(config)
        return quantize(model, ranges, config, self._form, self._levels)

    def source(self, config: QuantizationConfig) -> tuple[Any, Ranges]:
        """Return the float graph and the ranges that a config starts from.

        Raises:
            InputError: the config asks for equalised channels, and none can be equalised.
        """
        if not config.equalised:
            return self._plain
        if not self._has_equalized:
            self._has_equalized, self._equalized_graph = True, self._equalize()
        if self._equalized_graph is None:
            raise InputError("the graph has no channels that can be equalised, or their ranges are not here")
        return self._equalized_graph

    # Evaluating

    def _try(self, config: QuantizationConfig, what: str) -> SearchStep:
        """Evaluate a config, or take what is stored of it; stop the search if it holds the budget.

        Raises:
            _SearchEndedError: the config holds the budget, or time is up.
        """
        digest = config.digest()
        step = next((step for step in self._state.steps if step.recipe_sha256 == digest), None)
        if step is None:
            if self._order and time.monotonic() > self._deadline_s:
                raise _SearchEndedError
            quantized = self.quantized(config)
            labels = self._labels[digest] = self._evaluate(quantized, what)
            step = self._step(what, config, quantized, labels)
            self._keep(steps=(*self._state.steps, step))
        else:
            step = dataclasses.replace(step, within_budget=self._budget.holds(step.drop_points, step.label_agreement))
            self._keep(steps=tuple(step if old.recipe_sha256 == digest else old for old in self._state.steps))
        if digest not in self._order:
            self._order.append(digest)
            self._say(f"{what}: {_figures(step)}")
        if self._best is None or _cost(step) < _cost(self._known(self._best)):
            self._best = config
        if step.within_budget:
            self._met = config
            raise _SearchEndedError
        return step

    def _evaluate(self, quantized: QuantizedGraph, what: str) -> SetLabels:
        return self._accuracy.evaluate(graph_runner(quantized.data, self._contract, exact=True), what)

    def _step(self, what: str, config: QuantizationConfig, quantized: QuantizedGraph, labels: SetLabels) -> SearchStep:
        drop = drop_points(self._accuracy.float_labels, labels)
        holds = self._budget.holds(drop, labels.agreement)
        return SearchStep(what, config.digest(), quantized.int8_mac_share, labels.agreement, drop, holds)

    def _known(self, config: QuantizationConfig) -> SearchStep:
        digest = config.digest()
        return next(step for step in self._state.steps if step.recipe_sha256 == digest)

    def _keep(self, **changes: Any) -> None:
        self._state = dataclasses.replace(self._state, **changes)
        write_record(self._store, self._state)

    # Cures

    def _cure(self, config: QuantizationConfig) -> None:
        """Try the changes that cost no speed, one after the other, and keep each that costs less accuracy.

        Raises:
            _SearchEndedError: the budget holds, or time is up.
        """
        for method in CALIBRATION_METHODS:
            if method != config.method:
                self._try(dataclasses.replace(config, method=method), f"{method} ranges")
        self._try(dataclasses.replace(self._best, weight_method="mse"), "clipped weights")
        self._try(dataclasses.replace(self._best, bias_correction=True), "corrected biases")
        try:
            self._try(dataclasses.replace(self._best, equalised=True), "equalised channels")
        except InputError:
            self._say("equalised channels: there are none to balance")
        tuned = self._tuned(self._best)
        if tuned != self._best:
            self._try(tuned, f"another method for {counted(len(tuned.tensor_methods), 'tensor')}")

    def _tuned(self, config: QuantizationConfig) -> QuantizationConfig:
        """Return a config in which the most sensitive layers read ranges by the method that hurts least.

        Raises:
            _SearchEndedError: time is up.
        """
        self._measure_layers(config)
        model, ranges = self.source(config)
        meter = self._meter(config)
        nodes = quantized_nodes(model, ranges, dataclasses.replace(config, float_layers={}), self._form)
        inputs = {name_of(node): node.input[0] for node in model.graph.node}
        methods = dict(config.tensor_methods)
        in_int8 = [item for item in self._sensitivities.items() if item[0] not in config.float_layers]
        ranked = sorted(in_int8, key=lambda item: -item[1].output_error)
        for name, before in ranked[:_TUNED_TENSORS]:
            tensor, best = inputs[name], before.output_error
            if tensor not in ranges.tensors:
                continue
            for method in CALIBRATION_METHODS:
                if method == config.method_of(tensor):
                    continue
                other = dataclasses.replace(config, tensor_methods={**config.tensor_methods, tensor: method})
                key = f"{dataclasses.replace(other, float_layers={}).digest()} {name}"
                if key not in self._state.sensitivities:
                    self._keep_sensitivity(key, meter.measure(other, name, [*nodes[0], *nodes[1]]))
                error = self._state.sensitivities[key].output_error
                if error < 0.95 * best:
                    best, methods[tensor] = error, method
        return dataclasses.replace(config, tensor_methods=methods)

    # Layers back to float

    def _return_layers_to_float(self) -> None:
        """Return layers to float until the budget holds, with as few multiply-adds in float as possible.

        Raises:
            _SearchEndedError: the budget holds, or time is up.
        """
        config = self._best
        self._measure_layers(config)
        order = self._return_order(config)
        # A graph with nothing left in INT8 is no answer, whatever it keeps of the labels.
        while order and not self.quantized(self._with_float(config, order)).int8_mac_share:
            order.pop()
        low, high = 0, 1  # `low` layers are too few
        while not self._holds(config, order[:high]):
            if high >= len(order):
                return
            low, high = high, min(2 * high, len(order))
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._holds(config, order[:middle]) else (middle, high)
        self._met = self._with_float(config, order[:high])
        self._prune(config, order[:high])
        raise _SearchEndedError

    def _prune(self, config: QuantizationConfig, floats: list[str]) -> None:
        """Put those layers back into INT8 that the budget does not need in float, the least helpful first."""
        kept = list(floats)
        for name in list(reversed(floats))[:_PRUNE_TRIES]:
            fewer = [other for other in kept if other != name]
            if fewer and self._holds(config, fewer):
                kept = fewer
                self._met = self._with_float(config, kept)

    def _holds(self, config: QuantizationConfig, floats: list[str]) -> bool:
        try:
            self._try(self._with_float(config, floats), f"{counted(len(floats), 'layer')} in float")
        except _SearchEndedError:
            if self._known_or_none(self._with_float(config, floats)) is None:
                raise
            return self._known(self._with_float(config, floats)).within_budget
        return False

    def _known_or_none(self, config: QuantizationConfig) -> SearchStep | None:
        digest = config.digest()
        return next((step for step in self._state.steps if step.recipe_sha256 == digest), None)

    def _with_float(self, config: QuantizationConfig, floats: list[str]) -> QuantizationConfig:
        reasons = dict(config.float_layers)
        for name in floats:
            error = self._sensitivities[name].output_error
            reasons[name] = f"over the budget: alone in INT8 it changes the logits by {100 * error:.2g} % (RMS)"
        return dataclasses.replace(config, float_layers=reasons)

    def _return_order(self, config: QuantizationConfig) -> list[str]:
        """Return the layers in order of the noise power that each adds, per share of multiply-adds that float costs."""
        before = self.quantized(config).int8_mac_share
        gains = {}
        for name, sensitivity in self._sensitivities.items():
            if name in config.float_layers:
                continue
            lost = before - self.quantized(self._with_float(config, [name])).int8_mac_share
            gains[name] = sensitivity.output_error**2 / (max(lost, 0.0) + _SMALL_SHARE)
        return sorted(gains, key=lambda name: (-gains[name], name))

    # Layers one by one

    def _measure_layers(self, config: QuantizationConfig) -> None:
        config = dataclasses.replace(config, float_layers={})  # a layer is measured with all others in float anyway
        digest = config.digest()
        prefix = f"{digest} "
        known = {
            name[len(prefix) :]: value for name, value in self._state.sensitivities.items() if name.startswith(prefix)
        }
        nodes = quantized_nodes(*self.source(config), config, self._form)
        if set(nodes[0]) <= set(known):
            self._sensitivities = {name: known[name] for name in nodes[0]}
            return
        self._say(f"sensitivity of {counted(len(nodes[0]), 'layer')}, each alone in INT8")

        def each(name: str, value: Sensitivity) -> None:
            self._keep_sensitivity(prefix + name, value)

        self._sensitivities = measure_all(self._meter(config), config, nodes, known, each)

    def _keep_sensitivity(self, key: str, value: Sensitivity) -> None:
        """Store one measurement; end the search if time is up."""
        self._keep(sensitivities={**self._state.sensitivities, key: value})
        if time.monotonic() > self._deadline_s:
            raise _SearchEndedError

    def _meter(self, config: QuantizationConfig) -> SensitivityMeter:
        model, ranges = self.source(config)
        frames, contract = self._accuracy.frames, self._contract
        prepare = FramePreparer(contract.height, contract.width, "rgb")
        count = min(SENSITIVITY_IMAGES, len(frames))
        shown = [prepare(frames.read(index * len(frames) // count)).copy() for index in range(count)]
        return SensitivityMeter(model, ranges, self._form, self._levels, contract, shown)


def _cost(step: SearchStep) -> float:
    """Return the cost of a step: points of mIoU lost, if any, plus percent of labels changed."""
    return max(step.drop_points or 0.0, 0.0) + 100.0 * (1.0 - step.label_agreement)


def _figures(step: SearchStep) -> str:
    parts = [f"{100 * (1 - step.label_agreement):.2f} % of labels changed"]
    if step.drop_points is not None:
        parts.append(f"drop {step.drop_points:+.2f} points")
    parts.append(f"{100 * step.int8_mac_share:.1f} % of multiply-adds in INT8")
    return ", ".join(parts)
