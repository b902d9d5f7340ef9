"""Search for a quantisation config that holds the accuracy budget: cheap cures first, then layers back to float.

    plain -> cures, each chosen by what it does to the logits of a few images:
             range methods, equalised channels, another method per tensor, weights clipped or rounded by
             reconstruction, corrected biases
          -> layers in float, in order of noise removed per multiply-add lost, as few as the budget needs

A cure is a forward pass of a few images, where an evaluation labels all images of the search: so cures are compared by
the change of the logits and of their labels, and only what they give together is evaluated. Every result is written
down, so that a search that was stopped goes on.
"""

from __future__ import annotations

import dataclasses
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from calibration.budget.limits import Budget, excess
from calibration.qdq.insert import QuantizedGraph, quantize
from calibration.qdq.quantization_config import QuantizationConfig, counted
from calibration.ranges.record import Ranges
from calibration.ranges.thresholds import CALIBRATION_METHODS
from calibration.results import LabelCost, SearchStep
from calibration.search.accuracy import AccuracySet, covering_images, graph_runner
from calibration.search.estimates import (
    CLASS_LOSS,
    MEASURED_LAYERS,
    choose_methods,
    measure_sensitivities,
    with_methods,
)
from calibration.search.noise_gain import predicted_noise
from calibration.search.sensitivity import LogitComparison, Sensitivity
from calibration.search.state import stored_state
from calibration.search.steps import figures, step_of
from calibration.search.switchboard import Switchboard
from edge.console import Say
from edge.contract import Contract
from edge.errors import InputError
from edge.preprocess import FramePreparer
from edge.records import write_record

LOCAL_IMAGES = 2
"""Number of images on which cures and layers are compared with each other by the logits."""

MARGIN = 0.5
"""Share of a limit that a figure may reach where the images of the search are too few to show that it is held."""

FAR_OFF_CHANGE = 0.02
"""Share of changed labels that goes with a lost point of mIoU: 0.01 to 0.02 in the networks of docs/results.md."""

_KEPT_BELOW = 0.97
"""Share of the score of before that a cure has to stay below; a smaller gain is noise."""

TUNED_LAYERS = 8
"""Number of most sensitive layers whose inputs are tried with each calibration method."""

_PRUNE_TRIES = 8

_AIM = 0.7
"""Share of a limit that the first number of float layers is chosen for; what a forecast says is off by about as much."""

_WORTHWHILE_SHARE = 0.005
"""Share of the multiply-adds from which on it is worth an evaluation to bring them back into INT8."""

_SMALL_SHARE = 1e-4
_ALL_LAYERS = "*"


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


class _SearchEndedError(Exception):
    """Ends a search: the budget holds, or time is up."""


class ConfigSearch:
    """One search for the quantisation config of a graph.

    Args:
        model: float graph (onnx.ModelProto).
        ranges: ranges of its activations.
        equalized: function that returns the graph with equalised channels, and its ranges; None instead if no channels
            can be equalised. It is called once at most.
        form: form of the quantised graph, "tensorrt" or "onnxruntime".
        unsigned_levels: largest level of unsigned activations, see calibration.qdq.insert.
        contract: input and output of the graph.
        accuracy: images of the search, with the float graph's labels of them.
        key: digest of graph, ranges, images and form, under which results are kept.
        store: file that results are kept in.
        seconds: time limit for everything beyond the first config, over all runs.
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
        key: str,
        store: Path,
        seconds: float,
        say: Say,
    ) -> None:
        self._plain, self._equalize = (model, ranges), equalized
        self._equalized_graph: tuple[Any, Ranges] | None = None
        self._has_equalized = False
        self._form, self._levels, self._contract = form, unsigned_levels, contract
        self._accuracy, self._store, self._seconds, self._say = accuracy, store, seconds, say
        self._state = stored_state(store, key, say)
        self._budget = Budget(None, None)
        self._order: list[str] = []  # digests of this search's configs, as they were tried
        self._sensitivities: dict[str, Sensitivity] = {}
        self._best: QuantizationConfig | None = None
        self._met: QuantizationConfig | None = None
        self._deadline_s: float | None = None
        self._shown: list | None = None
        self._comparison: LogitComparison | None = None
        self._open_board: tuple[str, Switchboard] | None = None

    def run(self, config: QuantizationConfig, budget: Budget, first: str = "plain") -> SearchOutcome:
        """Search, starting from a config; a second run, of a stricter budget, starts from what the first one measured.

        Args:
            config: first config to try.
            budget: accuracy that INT8 may cost on the images of the search.
            first: words for the first config, for progress and reports.
        """
        is_out_of_time = False
        self._budget, self._best, self._met = budget, None, None
        if self._deadline_s is None:
            self._deadline_s = time.monotonic() + self._seconds
        try:
            self._try(config, first)
            cured = self._cured(config)
            if cured != config:
                self._try(cured, cured.sentence())
            self._return_layers_to_float()
        except _SearchEndedError:
            is_out_of_time = self._met is None
        found = self._met or self._best or config
        steps = tuple(known for digest in self._order for known in self._state.steps if known.recipe_sha256 == digest)
        return SearchOutcome(
            found, self.quantized(found), self._met is not None, steps, self._sensitivities, is_out_of_time
        )

    def is_far_off(self, config: QuantizationConfig, budget: Budget) -> bool:
        """Return whether a few images tell that a config is far over a budget, so that judging it would waste time."""
        if not budget.is_enforced or self._seconds <= 0:
            return False
        allowed = FAR_OFF_CHANGE * budget.max_drop_points if budget.has_truth else 1.0 - budget.min_agreement
        self._deadline_s = self._deadline_s or time.monotonic() + self._seconds
        return self._local(config).label_change > 2.0 * allowed

    def sensitivities(self, config: QuantizationConfig) -> dict[str, Sensitivity]:
        """Measure every layer of a config, whatever time it takes, and return name of a layer -> its sensitivity."""
        self._deadline_s = math.inf
        self._measure_layers(config)
        return self._sensitivities

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
        known = self._known(config)
        if known is None:
            if self._order and time.monotonic() > self._deadline_s:
                raise _SearchEndedError
            quantized = self.quantized(config)
            runner = graph_runner(quantized.data, self._contract, exact=True)
            cost = self._accuracy.cost(self._accuracy.evaluate(runner, what))
            step = self._judged(step_of(what, config, quantized.int8_mac_share, cost, self._budget.judge(cost)))
            self._keep(steps=(*self._state.steps, step))
        else:
            verdict = self._budget.judge(known.cost)
            step = self._judged(step_of(known.what, config, known.int8_mac_share, known.cost, verdict))
            self._keep(steps=tuple(step if old.recipe_sha256 == digest else old for old in self._state.steps))
        if digest not in self._order:
            self._order.append(digest)
            self._say(f"{what}: {figures(step)}")
        if self._best is None or self._step_cost(step) < self._step_cost(self._known(self._best)):
            self._best = config
        if step.within_budget:
            self._met = config
            raise _SearchEndedError
        return step

    def _judged(self, step: SearchStep) -> SearchStep:
        """Return a step whose verdict is that of the search, which leaves a margin where images are few."""
        return dataclasses.replace(step, within_budget=self._holds_well(step.cost))

    def _holds_well(self, cost: LabelCost) -> bool:
        return self._budget.judge(cost).holds_well(MARGIN)

    def _step_cost(self, step: SearchStep) -> float:
        """Return what orders steps: how far the worst figure is over its limit, and the percent of labels changed."""
        return self._step_excess(step) + 20.0 * (1.0 - step.label_agreement)

    def _step_excess(self, step: SearchStep) -> float:
        """Return the worst figure of a step as a share of its limit."""
        worst = self._budget.judge(step.cost).worst
        return excess(worst) if worst is not None else 0.0

    def _known(self, config: QuantizationConfig) -> SearchStep | None:
        digest = config.digest()
        return next((step for step in self._state.steps if step.recipe_sha256 == digest), None)

    def _keep(self, **changes: Any) -> None:
        self._state = dataclasses.replace(self._state, **changes)
        write_record(self._store, self._state)

    # Cures

    def _cured(self, config: QuantizationConfig) -> QuantizationConfig:
        """Return the config with those changes that cost no speed and bring the logits of a few images nearer to float.

        Raises:
            _SearchEndedError: time is up.
        """
        best = config
        for method in CALIBRATION_METHODS:
            if method != config.method:
                best = self._better(best, dataclasses.replace(config, method=method), f"{method} ranges")
        try:
            for method in (best.method, *(name for name in CALIBRATION_METHODS if name != best.method)):
                other = dataclasses.replace(best, equalised=True, method=method)
                best = self._better(best, other, f"equalised channels, {method} ranges")
        except InputError:
            self._say("equalised channels: there are none to balance")
        best = self._better(best, self._tuned(best), "another method for some tensors")
        best = self._better(best, dataclasses.replace(best, weight_method="mse"), "clipped weights")
        return self._better(best, dataclasses.replace(best, bias_correction=True), "corrected biases")

    def _tuned(self, config: QuantizationConfig) -> QuantizationConfig:
        """Return a config in which the most sensitive tensors have the range method that hurts least."""
        ranges = self.source(config)[1]
        sensitivities = self._measured(config, TUNED_LAYERS)
        keep, known = self._kept_under(config)
        methods = choose_methods(self._board(config), sensitivities, config, ranges, TUNED_LAYERS, keep, known)
        return with_methods(config, methods)

    def _better(self, best: QuantizationConfig, other: QuantizationConfig, what: str) -> QuantizationConfig:
        """Return the better of two configs by a few images, and say what the second one does."""
        if other == best:
            return best
        before, after = self._local(best), self._local(other)
        is_better = _score(after) < _KEPT_BELOW * _score(before)
        self._say(
            f"{what}: logits {100 * after.output_error:.2f} % off, {100 * after.label_change:.2f} % of labels changed, "
            f"{100 * before.output_error:.2f} and {100 * before.label_change:.2f} % without: "
            f"{'kept' if is_better else 'left out'}"
        )
        return other if is_better else best

    def _local(self, config: QuantizationConfig) -> Sensitivity:
        """Return what a config does to the logits of a few images."""
        key = f"{config.digest()} {_ALL_LAYERS}"
        if key not in self._state.sensitivities:
            self._keep_sensitivity(key, self._compared(config))
        return self._state.sensitivities[key]

    def _compared(self, config: QuantizationConfig) -> Sensitivity:
        if self._comparison is None:
            self._comparison = LogitComparison(self._logits(self._plain[0].SerializeToString()))
        return self._comparison.of(self._logits(self.quantized(config).data))

    def _logits(self, data: bytes) -> list:
        with graph_runner(data, self._contract, exact=True) as runner:
            return [runner.infer(frame).copy() for frame in self._local_frames()]

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
        while order and not self._share(config, order):
            order.pop()
        if not order:
            return
        low, high = 0, self._likely_count(config, order)  # `low` layers are too few
        while not self._holds(config, order[:high]):
            if high >= len(order):
                return
            low, high = high, min(2 * high, len(order))
        while self._is_worth_halving(config, order, low, high):
            middle = (low + high) // 2
            low, high = (low, middle) if self._holds(config, order[:middle]) else (middle, high)
        self._met = self._with_float(config, order[:high])
        self._prune(config, order[:high])
        raise _SearchEndedError

    def _likely_count(self, config: QuantizationConfig, order: list[str]) -> int:
        """Return how many layers have to be in float, by the noise power that they leave, at least 1.

        Changed labels and lost points grow with the amplitude of the noise, so it has to fall as much as the worst figure.
        """
        wanted = _AIM / max(self._step_excess(self._known(config)), 1.0)
        powers = [self._sensitivities[name].output_error ** 2 for name in order]
        left, total = sum(powers), sum(powers)
        for count, power in enumerate(powers, 1):
            left -= power
            if left <= wanted**2 * total and self._sensitivities[order[count - 1]].class_change <= CLASS_LOSS:
                return count
        return len(order)

    def _is_worth_halving(self, config: QuantizationConfig, order: list[str], low: int, high: int) -> bool:
        """Return whether fewer layers in float would matter: a tenth of them, or a share of the multiply-adds."""
        if high - low <= 1:
            return False
        gained = self._share(config, order[: low + 1]) - self._share(config, order[:high])
        return gained >= _WORTHWHILE_SHARE or high - low > max(1, high // 4)

    def _share(self, config: QuantizationConfig, floats: list[str]) -> float:
        return self.quantized(self._with_float(config, floats)).int8_mac_share

    def _prune(self, config: QuantizationConfig, floats: list[str]) -> None:
        """Put those layers back into INT8 that the budget does not need in float, those that cost most of INT8 first."""
        kept = list(floats)
        whole = self._share(config, kept)
        gains = {name: self._share(config, [each for each in kept if each != name]) - whole for name in kept}
        costly = sorted((name for name in kept if gains[name] >= _WORTHWHILE_SHARE), key=lambda name: -gains[name])
        for name in costly[:_PRUNE_TRIES]:
            fewer = [other for other in kept if other != name]
            if fewer and self._holds(config, fewer):
                kept = fewer
                self._met = self._with_float(config, kept)

    def _holds(self, config: QuantizationConfig, floats: list[str]) -> bool:
        tried = self._with_float(config, floats)
        try:
            self._try(tried, f"{counted(len(floats), 'layer')} in float")
        except _SearchEndedError:
            if self._known(tried) is None:
                raise
            return self._known(tried).within_budget
        return False

    def _with_float(self, config: QuantizationConfig, floats: list[str]) -> QuantizationConfig:
        reasons = dict(config.float_layers)
        for name in floats:
            error = self._sensitivities[name].output_error
            reasons[name] = f"over the budget: alone in INT8 it changes the logits by {100 * error:.2g} % (RMS)"
        return dataclasses.replace(config, float_layers=reasons)

    def _return_order(self, config: QuantizationConfig) -> list[str]:
        """Return the layers in the order in which they go back to float.

        Those that alone change a class go first: little noise, in the channel of a rare class, is all that it takes to
        lose it. The others follow by the noise power that each adds, per share of multiply-adds that float costs.
        """
        before = self.quantized(config).int8_mac_share
        gains = {}
        for name, sensitivity in self._sensitivities.items():
            if name in config.float_layers:
                continue
            lost = before - self.quantized(self._with_float(config, [name])).int8_mac_share
            price = max(lost, 0.0) + _SMALL_SHARE
            loses_class = sensitivity.class_change > CLASS_LOSS
            harm = sensitivity.class_change if loses_class else sensitivity.output_error**2
            gains[name] = (not loses_class, -harm / price, name)
        return sorted(gains, key=gains.get)

    # Layers one by one

    def _measure_layers(self, config: QuantizationConfig) -> None:
        self._sensitivities = self._measured(config, MEASURED_LAYERS)

    def _measured(self, config: QuantizationConfig, most: int) -> dict[str, Sensitivity]:
        """Return the sensitivity of every layer, each alone in INT8; those that matter most are measured."""
        board = self._board(config)
        model, ranges = self.source(config)
        predicted = predicted_noise(
            model,
            ranges,
            dataclasses.replace(config, float_layers={}),
            self._form,
            self._contract.output_name,
            self._levels,
        )
        keep, known = self._kept_under(config)
        if known.keys().isdisjoint(board.nodes):
            self._say(
                f"sensitivity of {counted(len(board.nodes), 'layer')}, {min(most, len(board.nodes))} of them measured"
            )
        return measure_sensitivities(board, predicted, board.nodes, most, keep, known)

    def _board(self, config: QuantizationConfig) -> Switchboard:
        """Return the switchboard of a config, whose layers are all in INT8; it is made at the first call for one."""
        config = dataclasses.replace(config, float_layers={})
        if self._open_board is None or self._open_board[0] != config.digest():
            model, ranges = self.source(config)
            self._open_board = None  # its memory goes first
            board = Switchboard(model, ranges, config, self._form, self._levels, self._contract, self._local_frames())
            self._open_board = (config.digest(), board)
        return self._open_board[1]

    def _kept_under(self, config: QuantizationConfig) -> tuple[Callable[[str, Sensitivity], None], dict]:
        """Return what keeps the runs of a config's switchboard, and what is known of them."""
        prefix = f"{dataclasses.replace(config, float_layers={}).digest()} "
        known = {
            name[len(prefix) :]: value for name, value in self._state.sensitivities.items() if name.startswith(prefix)
        }
        return (lambda key, value: self._keep_sensitivity(prefix + key, value)), known

    def _keep_sensitivity(self, key: str, value: Sensitivity) -> None:
        """Store one measurement; end the search if time is up."""
        self._keep(sensitivities={**self._state.sensitivities, key: value})
        if time.monotonic() > self._deadline_s:
            raise _SearchEndedError

    def _local_frames(self) -> list:
        if self._shown is None:
            frames, contract = self._accuracy.frames, self._contract
            prepare = FramePreparer(contract.height, contract.width, "rgb")
            chosen = covering_images(self._accuracy.float_labels.overlaps[:, :, 0], LOCAL_IMAGES)
            self._shown = [prepare(frames.read(index)).copy() for index in chosen]
        return self._shown


def _score(local: Sensitivity) -> float:
    """Return what cures are compared by: the noise in the logits and the labels that it changes, alike in weight."""
    return math.sqrt(max(local.output_error, 1e-12) * max(local.label_change, 1e-7))
