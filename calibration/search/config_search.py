"""Finding a recipe that holds the accuracy budget: cheap cures first, then layers back to float.

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

from calibration.qdq.insert import QuantizedGraph, quantize
from calibration.qdq.quantization_config import QuantizationConfig, counted
from calibration.ranges.record import Ranges
from calibration.ranges.thresholds import METHODS
from calibration.results import SearchStep
from calibration.search.accuracy import AccuracySet, Budget, SetLabels, drop_points, graph_runner
from calibration.search.sensitivity import Sensitivity, SensitivityMeter, measure_all, quantized_nodes
from calibration.search.state import SearchState, stored_state
from edge.contract import Contract
from edge.errors import InputError
from edge.preprocess import FramePreparer
from edge.records import write_record

SENSITIVITY_IMAGES = 6
"""Images that layers are measured on one by one; their order by error hardly changes with more."""

_TUNED_TENSORS = 12
"""Most sensitive layers whose input is tried with each range method."""

_PRUNE_TRIES = 8
_SAME_FIGURES = 1e-6
_SMALL_SHARE = 1e-4

Say = Callable[[str], None]


@dataclass(frozen=True)
class SearchOutcome:
    """Where a search ended.

    Attributes:
        recipe: the one to build, or the best one if none holds the budget.
        quantized: its graph.
        labels: what it says on the accuracy images.
        is_met: whether it holds the budget.
        steps: what was tried, in order.
        sensitivities: node -> result; empty if they were not measured.
        is_out_of_time: whether time ended the search.
    """

    recipe: QuantizationConfig
    quantized: QuantizedGraph
    labels: SetLabels
    is_met: bool
    steps: tuple[SearchStep, ...]
    sensitivities: dict[str, Sensitivity]
    is_out_of_time: bool = False


class _SearchEndedError(Exception):
    """Ends a search: the budget holds, or time is up."""


class ConfigSearch:
    """One search.

    Args:
        model: float graph (onnx.ModelProto).
        ranges: of its activations.
        equalized: gives the graph with equalised channels, and its ranges, when first asked; None if no channels
            can be balanced.
        form: "tensorrt" or "onnxruntime".
        unsigned_levels: see calibration.qdq.insert.
        contract: of the graph.
        accuracy: images, and the float graph's labels of them.
        budget: what INT8 may cost.
        key: digest of graph, ranges, images and form, under which results are kept.
        store: file that results are kept in.
        seconds: time for everything beyond the plain recipe.
        say: takes a line for each step.
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
        self._plain, self._equalized = (model, ranges), equalized
        self._balanced: tuple[Any, Ranges] | None = None
        self._asked_to_balance = False
        self._form, self._levels, self._contract = form, unsigned_levels, contract
        self._accuracy, self._budget, self._store, self._seconds, self._say = accuracy, budget, store, seconds, say
        self._state = stored_state(store, key, say)
        self._labels: dict[str, SetLabels] = {}  # digest -> what this search has seen of a recipe
        self._order: list[str] = []  # digests of this search's recipes, as they were tried
        self._recipes: dict[str, QuantizationConfig] = {}
        self._sensitivities: dict[str, Sensitivity] = {}
        self._best: QuantizationConfig | None = None
        self._met: QuantizationConfig | None = None
        self._deadline_s = float("inf")

    def run(self, recipe: QuantizationConfig, measure_layers: bool = False, first: str = "plain") -> SearchOutcome:
        """Search, starting from a recipe.

        Args:
            recipe: the plain one, or one that was found elsewhere.
            measure_layers: measure the sensitivity of every layer even if the budget holds at once.
            first: what the recipe is, in words.
        """
        is_out_of_time = False
        self._deadline_s = time.monotonic() + self._seconds
        try:
            self._try(recipe, first)
            self._cure(recipe)
            self._give_back()
        except _SearchEndedError:
            is_out_of_time = self._met is None
        found = self._met or self._best or recipe
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
                return self.run(recipe, measure_layers, first)
        step = self._step("", found, quantized, labels)
        steps = tuple(known for digest in self._order for known in self._state.steps if known.recipe_sha256 == digest)
        return SearchOutcome(found, quantized, labels, step.within_budget, steps, self._sensitivities, is_out_of_time)

    def _is_outdated(self, recipe: QuantizationConfig, step: SearchStep) -> bool:
        """Say whether the figures that were kept of a recipe are not those that were measured just now."""
        kept = self._known_or_none(recipe)
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

    def quantized(self, recipe: QuantizationConfig) -> QuantizedGraph:
        """Return the graph of a recipe."""
        model, ranges = self.source(recipe)
        return quantize(model, ranges, recipe, self._form, self._levels)

    def source(self, recipe: QuantizationConfig) -> tuple[Any, Ranges]:
        """Return the float graph and the ranges that a recipe starts from.

        Raises:
            InputError: it wants equalised channels, and there are none to balance.
        """
        if not recipe.equalised:
            return self._plain
        if not self._asked_to_balance:
            self._asked_to_balance, self._balanced = True, self._equalized()
        if self._balanced is None:
            raise InputError("the graph has no channels that can be equalised, or their ranges are not here")
        return self._balanced

    # Evaluating

    def _try(self, recipe: QuantizationConfig, what: str) -> SearchStep:
        """Evaluate a recipe, or take what is known of it; stop the search if it holds the budget.

        Raises:
            _SearchEndedError: it does, or time is up.
        """
        digest = recipe.digest()
        self._recipes[digest] = recipe
        step = next((step for step in self._state.steps if step.recipe_sha256 == digest), None)
        if step is None:
            if self._order and time.monotonic() > self._deadline_s:
                raise _SearchEndedError
            quantized = self.quantized(recipe)
            labels = self._labels[digest] = self._evaluate(quantized, what)
            step = self._step(what, recipe, quantized, labels)
            self._keep(steps=(*self._state.steps, step))
        else:
            step = dataclasses.replace(step, within_budget=self._budget.holds(step.drop_points, step.label_agreement))
            self._keep(steps=tuple(step if old.recipe_sha256 == digest else old for old in self._state.steps))
        if digest not in self._order:
            self._order.append(digest)
            self._say(f"{what}: {_figures(step)}")
        if self._best is None or _cost(step) < _cost(self._known(self._best)):
            self._best = recipe
        if step.within_budget:
            self._met = recipe
            raise _SearchEndedError
        return step

    def _evaluate(self, quantized: QuantizedGraph, what: str) -> SetLabels:
        return self._accuracy.evaluate(graph_runner(quantized.data, self._contract, exact=True), what)

    def _step(self, what: str, recipe: QuantizationConfig, quantized: QuantizedGraph, labels: SetLabels) -> SearchStep:
        drop = drop_points(self._accuracy.float_labels, labels)
        holds = self._budget.holds(drop, labels.agreement)
        return SearchStep(what, recipe.digest(), quantized.int8_mac_share, labels.agreement, drop, holds)

    def _known(self, recipe: QuantizationConfig) -> SearchStep:
        digest = recipe.digest()
        return next(step for step in self._state.steps if step.recipe_sha256 == digest)

    def _keep(self, **changes: Any) -> None:
        self._state = dataclasses.replace(self._state, **changes)
        write_record(self._store, self._state)

    # Cures

    def _cure(self, recipe: QuantizationConfig) -> None:
        """Try what costs no speed, one after the other; each is kept if it costs less.

        Raises:
            _SearchEndedError: the budget holds, or time is up.
        """
        for method in METHODS:
            if method != recipe.method:
                self._try(dataclasses.replace(recipe, method=method), f"{method} ranges")
        self._try(dataclasses.replace(self._best, weight_method="mse"), "clipped weights")
        self._try(dataclasses.replace(self._best, bias_correction=True), "corrected biases")
        try:
            self._try(dataclasses.replace(self._best, equalised=True), "equalised channels")
        except InputError:
            self._say("equalised channels: there are none to balance")
        tuned = self._tuned(self._best)
        if tuned != self._best:
            self._try(tuned, f"another method for {counted(len(tuned.tensor_methods), 'tensor')}")

    def _tuned(self, recipe: QuantizationConfig) -> QuantizationConfig:
        """Return a recipe in which the most sensitive layers read ranges by the method that hurts least.

        Raises:
            _SearchEndedError: time is up.
        """
        self._measure_layers(recipe)
        model, ranges = self.source(recipe)
        meter = self._meter(recipe)
        nodes = quantized_nodes(model, ranges, dataclasses.replace(recipe, float_layers={}), self._form)
        inputs = {node.name or node.output[0]: node.input[0] for node in model.graph.node}
        methods = dict(recipe.tensor_methods)
        in_int8 = [item for item in self._sensitivities.items() if item[0] not in recipe.float_layers]
        ranked = sorted(in_int8, key=lambda item: -item[1].output_error)
        for name, before in ranked[:_TUNED_TENSORS]:
            tensor, best = inputs[name], before.output_error
            if tensor not in ranges.tensors:
                continue
            for method in METHODS:
                if method == recipe.method_of(tensor):
                    continue
                other = dataclasses.replace(recipe, tensor_methods={**recipe.tensor_methods, tensor: method})
                key = f"{dataclasses.replace(other, float_layers={}).digest()} {name}"
                if key not in self._state.sensitivities:
                    self._keep_sensitivity(key, meter.measure(other, name, [*nodes[0], *nodes[1]]))
                error = self._state.sensitivities[key].output_error
                if error < 0.95 * best:
                    best, methods[tensor] = error, method
        return dataclasses.replace(recipe, tensor_methods=methods)

    # Layers back to float

    def _give_back(self) -> None:
        """Give layers back to float until the budget holds: as few multiply-adds as that takes.

        Raises:
            _SearchEndedError: the budget holds, or time is up.
        """
        recipe = self._best
        self._measure_layers(recipe)
        order = self._order_of_return(recipe)
        # A graph with nothing left in INT8 is no answer, whatever it keeps of the labels.
        while order and not self.quantized(self._with_float(recipe, order)).int8_mac_share:
            order.pop()
        low, high = 0, 1  # `low` layers are too few
        while not self._holds(recipe, order[:high]):
            if high >= len(order):
                return
            low, high = high, min(2 * high, len(order))
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._holds(recipe, order[:middle]) else (middle, high)
        self._met = self._with_float(recipe, order[:high])
        self._prune(recipe, order[:high])
        raise _SearchEndedError

    def _prune(self, recipe: QuantizationConfig, floats: list[str]) -> None:
        """Take layers back into INT8 that the budget does not need in float, those that help least first."""
        kept = list(floats)
        for name in list(reversed(floats))[:_PRUNE_TRIES]:
            fewer = [other for other in kept if other != name]
            if fewer and self._holds(recipe, fewer):
                kept = fewer
                self._met = self._with_float(recipe, kept)

    def _holds(self, recipe: QuantizationConfig, floats: list[str]) -> bool:
        try:
            self._try(self._with_float(recipe, floats), f"{counted(len(floats), 'layer')} in float")
        except _SearchEndedError:
            if self._known_or_none(self._with_float(recipe, floats)) is None:
                raise
            return self._known(self._with_float(recipe, floats)).within_budget
        return False

    def _known_or_none(self, recipe: QuantizationConfig) -> SearchStep | None:
        digest = recipe.digest()
        return next((step for step in self._state.steps if step.recipe_sha256 == digest), None)

    def _with_float(self, recipe: QuantizationConfig, floats: list[str]) -> QuantizationConfig:
        reasons = dict(recipe.float_layers)
        for name in floats:
            error = self._sensitivities[name].output_error
            reasons[name] = f"over the budget: alone in INT8 it changes the logits by {100 * error:.2g} % (RMS)"
        return dataclasses.replace(recipe, float_layers=reasons)

    def _order_of_return(self, recipe: QuantizationConfig) -> list[str]:
        """Return the layers by the noise power that they add per share of multiply-adds lost with them."""
        before = self.quantized(recipe).int8_mac_share
        gains = {}
        for name, sensitivity in self._sensitivities.items():
            if name in recipe.float_layers:
                continue
            lost = before - self.quantized(self._with_float(recipe, [name])).int8_mac_share
            gains[name] = sensitivity.output_error**2 / (max(lost, 0.0) + _SMALL_SHARE)
        return sorted(gains, key=lambda name: (-gains[name], name))

    # Layers one by one

    def _measure_layers(self, recipe: QuantizationConfig) -> None:
        recipe = dataclasses.replace(recipe, float_layers={})  # a layer is measured with all others in float anyway
        digest = recipe.digest()
        prefix = f"{digest} "
        known = {
            name[len(prefix) :]: value for name, value in self._state.sensitivities.items() if name.startswith(prefix)
        }
        nodes = quantized_nodes(*self.source(recipe), recipe, self._form)
        if set(nodes[0]) <= set(known):
            self._sensitivities = {name: known[name] for name in nodes[0]}
            return
        self._say(f"sensitivity of {counted(len(nodes[0]), 'layer')}, each alone in INT8")

        def each(name: str, value: Sensitivity) -> None:
            self._keep_sensitivity(prefix + name, value)

        self._sensitivities = measure_all(self._meter(recipe), recipe, nodes, known, each)

    def _keep_sensitivity(self, key: str, value: Sensitivity) -> None:
        """Write down one measurement; end the search if time is up."""
        self._keep(sensitivities={**self._state.sensitivities, key: value})
        if time.monotonic() > self._deadline_s:
            raise _SearchEndedError

    def _meter(self, recipe: QuantizationConfig) -> SensitivityMeter:
        model, ranges = self.source(recipe)
        frames, contract = self._accuracy.frames, self._contract
        prepare = FramePreparer(contract.height, contract.width, "rgb")
        count = min(SENSITIVITY_IMAGES, len(frames))
        shown = [prepare(frames.read(index * len(frames) // count)).copy() for index in range(count)]
        return SensitivityMeter(model, ranges, self._form, self._levels, contract, shown)


def _cost(step: SearchStep) -> float:
    """Return points of mIoU lost, if any, and percent of labels changed, together."""
    return max(step.drop_points or 0.0, 0.0) + 100.0 * (1.0 - step.label_agreement)


def _figures(step: SearchStep) -> str:
    parts = [f"{100 * (1 - step.label_agreement):.2f} % of labels changed"]
    if step.drop_points is not None:
        parts.append(f"drop {step.drop_points:+.2f} points")
    parts.append(f"{100 * step.int8_mac_share:.1f} % of multiply-adds in INT8")
    return ", ".join(parts)
