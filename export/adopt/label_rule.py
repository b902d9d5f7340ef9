"""The rule by which an output becomes labels: settled from a contract and its graph, applied by its definition.

The definition is applied to the output of the graph as it was given, at full size: a probability over a threshold, say.
What the adopted graph has instead (planes whose largest is the label) is held to it by the comparison of an adoption.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

import numpy as np

from edge.decision import ARGMAX, BINARY, LOGIT, PER_CLASS, PROBABILITY, Decision
from edge.errors import ContractError, GraphError
from edge.postprocess.bilinear import axis_cells
from export.adopt.contract import ForeignContract
from export.adopt.decision_planes import Planes
from export.adopt.graph_ending import SIGMOID, SOFTMAX, Ending

DEFAULT_THRESHOLDS = {PROBABILITY: 0.5, LOGIT: 0.0}


@dataclass(frozen=True)
class LabelRule:
    """Rule that turns the values of an output into labels.

    Attributes:
        decision: decision for the contract of the adopted graph; its thresholds are in units of the values.
        channels: index of the channel of each class, without the background's own and void.
        source: operator that the values come from, "Sigmoid" or "Softmax"; "" for any other.
        is_pair: True if the values have a channel for the background of a binary decision too.
    """

    decision: Decision
    channels: tuple[int, ...]
    source: str = ""
    is_pair: bool = False

    @property
    def is_plain(self) -> bool:
        """Return whether a label is the largest of all channels, as for a graph of which the contract says nothing."""
        return self.decision.kind == ARGMAX and self.decision.void_channel is None

    @property
    def passes(self) -> tuple[str, ...]:
        """Return the operators that may be cut off behind the last upsampling: labels follow from what they read."""
        if self.decision.kind == ARGMAX:
            return (SOFTMAX, "LogSoftmax", SIGMOID)  # the largest stays the largest
        return (SOFTMAX, "LogSoftmax") if self.is_pair else (SIGMOID,)

    def planes(self, cut: str = "") -> Planes:
        """Return the planes whose largest is the label.

        Args:
            cut: operator, "Sigmoid" or "Softmax", that the planes are to be made in front of; "" to make them of the
                values themselves.
        """
        thresholds = self.decision.thresholds
        if self.decision.kind == ARGMAX:
            return Planes(self.channels, (0.0,) * len(self.channels))
        if cut in (SIGMOID, SOFTMAX):  # of a pair, Softmax is the Sigmoid of the difference
            thresholds = tuple(map(log_odds, thresholds))
        if not self.is_pair:
            return Planes(self.channels, thresholds, has_zeros=True)
        (threshold,) = thresholds
        # Both shares have the sum 1: one is over p where it exceeds the other by more than 2 p - 1.
        is_share = self.source == SOFTMAX and not cut
        return Planes((0, 1), (0.0, 2 * threshold - 1 if is_share else threshold))

    def agreement(self, values: np.ndarray, labels: np.ndarray, cut: str = "", mask: np.ndarray | None = None) -> float:
        """Return the share of pixels whose label is what the definition says.

        Args:
            values: values of the graph as it was given, (channels, height, width) float32, at full size.
            labels: labels, (height, width) uint8.
            cut: operator that the planes were made in front of, as for `planes`. Where several classes are over their
                thresholds, the distance is then that of its inputs.
            mask: decision of the graph itself, (channels, height, width) bool; None where it takes none.

        Returns:
            Share from 0 to 1. Where values tie exactly, as probabilities do that are rounded to 1, each is right.
        """
        scores = self._scores(values, cut, mask)  # (labels, height, width)
        given = np.take_along_axis(scores, labels[np.newaxis].astype(np.int64), axis=0)[0]
        return float(np.mean(given == scores.max(axis=0)))

    def _scores(self, values: np.ndarray, cut: str, mask: np.ndarray | None) -> np.ndarray:
        """Return a number for each label and pixel whose largest is right by definition."""
        decision = self.decision
        if decision.kind == ARGMAX:
            return values if self.channels == tuple(range(len(values))) else values[list(self.channels)]
        thresholds = np.reshape(decision.thresholds, (-1, 1, 1))
        if mask is not None:
            is_over = mask[list(self.channels)]
            distances = np.ones(is_over.shape)
        else:
            chosen = values[list(self.channels)].astype(np.float64)
            if self.is_pair and self.source != SOFTMAX:
                chosen = chosen - values[:1]
            is_over = chosen > thresholds
            distances = chosen - thresholds
            if cut == SIGMOID:
                with np.errstate(divide="ignore"):
                    distances = np.log(chosen) - np.log1p(-chosen) - log_odds(thresholds)
        classes = np.where(is_over, distances, -np.inf)
        return np.concatenate([np.where(is_over.any(axis=0), -np.inf, 0.0)[np.newaxis], classes])


def log_odds(probability: float | np.ndarray) -> float | np.ndarray:
    """Return ln(p / (1 - p)), the input of a Sigmoid that gives p."""
    if isinstance(probability, np.ndarray):
        return np.log(probability) - np.log1p(-probability)
    return math.log(probability) - math.log1p(-probability)


def settle_rule(path: Path, given: ForeignContract, ending: Ending, values: np.ndarray) -> LabelRule:
    """Return the rule that a contract and its graph agree on.

    Args:
        path: path of the graph, for messages.
        given: contract of its owner.
        ending: end of the graph.
        values: values that the graph gave for a frame, (1, channels, height, width) with a number of channels that fits
            the contract.

    Raises:
        ContractError: the contract contradicts the graph, or lacks a decision that the graph needs.
    """
    asked, channel_count = given.decision, values.shape[1]
    kind = _kind(path, given, ending, channel_count)
    channels = tuple(index for index in range(channel_count) if index != asked.void_channel)
    if kind == ARGMAX:
        return LabelRule(Decision(ARGMAX, void_channel=asked.void_channel), channels, ending.source)
    is_pair = kind == BINARY and channel_count == 2
    if is_pair and ending.source == SIGMOID:
        raise ContractError(
            f"'{ending.values}' of {path} is a Sigmoid for each of 2 channels, expected one channel, or a Softmax or "
            'logits of two. Next: "decision": "per-class", with the background as "void_channel"'
        )
    channels = channels[1:] if is_pair else channels
    unit = PROBABILITY if ending.source else LOGIT
    thresholds = _thresholds(path, given, ending, channels, values)
    decision = Decision(kind, thresholds, unit, asked.background, asked.void_channel)
    return LabelRule(decision, channels, ending.source, is_pair)


def _kind(path: Path, given: ForeignContract, ending: Ending, channel_count: int) -> str:
    """Return the kind of decision; a graph whose largest channel means nothing needs one in its contract."""
    kind, name = given.decision.kind, ending.values
    is_alone = channel_count == 1
    wanted = '"decision": "binary"' if is_alone else '"decision": "per-class" and "background": NAME'
    if ending.is_decided and kind not in (BINARY, PER_CLASS):
        raise ContractError(
            f"{path} gives labels: {ending.node} compares '{name}' with {_spell(ending.thresholds)}, the contract has "
            f"the decision {kind or 'argmax'}, expected one by thresholds. Next: add {wanted}; the threshold is read "
            "from the graph"
        )
    if kind is not None:
        return kind
    if is_alone:
        raise ContractError(
            f"'{name}' of {path} has one channel, and the largest of one channel is label 0 everywhere, expected a "
            f"decision in the contract. Next: add {wanted}, and its threshold if that is not "
            f"{DEFAULT_THRESHOLDS[PROBABILITY if ending.source else LOGIT]:g}"
        )
    if ending.source == SIGMOID:
        raise ContractError(
            f"'{name}' of {path} is a Sigmoid for each of {channel_count} channels, expected a decision in the "
            f'contract. Next: add {wanted} for the label of pixels over no threshold, or "decision": "argmax"'
        )
    return ARGMAX


def _thresholds(
    path: Path, given: ForeignContract, ending: Ending, channels: tuple[int, ...], values: np.ndarray
) -> tuple[float, ...]:
    """Return the threshold of each class: the contract's, the graph's own, or the default of its unit."""
    asked, own = given.decision.thresholds, ending.thresholds
    if own:
        own = own if len(own) == 1 else tuple(own[channel] for channel in channels)
        if asked is not None and not np.allclose(asked, own, rtol=1e-6, atol=0):
            raise ContractError(
                f"{path} compares '{ending.values}' with {_spell(own)}, its contract has the threshold "
                f"{_spell(asked)}, expected the same. Next: leave threshold out, or add "
                f'"output_name": "{ending.values}"'
            )
        asked = own
    if asked is None:
        low, high = float(values.min()), float(values.max())
        if not ending.source and low >= 0 and high <= 1:
            raise ContractError(
                f"'{ending.values}' of {path} gives {low:.3g} to {high:.3g} and comes from no Sigmoid, which no "
                'threshold is known for, expected one in the contract. Next: add "threshold"'
            )
        asked = (DEFAULT_THRESHOLDS[PROBABILITY if ending.source else LOGIT],)
    if ending.source and not all(0 < number < 1 for number in asked):
        raise ContractError(
            f"'{ending.values}' of {path} is a probability (from a {ending.source}), its threshold is "
            f"{_spell(asked)}, expected numbers between 0 and 1. Next: the probability over which a pixel is the class"
        )
    return asked * len(channels) if len(asked) == 1 else asked


def check_mask(path: Path, ending: Ending, mask: np.ndarray | None, height: int, width: int) -> None:
    """Refuse a graph that takes its decision at a stride: its labels are then no interpolated values over a threshold.

    Args:
        path: path of the graph, for messages.
        ending: end of the graph, which takes the decision itself.
        mask: its decision, (1, channels, height, width) bool; None if that has another number of pixels.
        height: rows of the input.
        width: columns of the input.

    Raises:
        GraphError: the decision has another size than the input.
    """
    if mask is None or mask.shape[2:] != (height, width):
        raise GraphError(
            f"{path} gives labels at another size than {height}x{width}: {ending.node} compares '{ending.values}' with "
            f'{_spell(ending.thresholds)}, expected the values. Next: add "output_name": "{ending.values}", '
            f'"threshold": {_spell(ending.thresholds)}, and "coordinates" of the upsampling to the contract'
        )


def resized(values: np.ndarray, height: int, width: int, coordinates: str) -> np.ndarray:
    """Return channels at full size by the definition of bilinear interpolation.

    Args:
        values: (channels, h, w) float32.
        height: rows of the result.
        width: columns of the result.
        coordinates: coordinate rule, "half_pixel" or "align_corners".

    Returns:
        (channels, height, width) float64.
    """
    planes = values.astype(np.float64)
    for axis, pixels in ((1, height), (2, width)):
        cells = axis_cells(planes.shape[axis], pixels, coordinates)
        cell = cells.cell_of_pixel()
        side = [1, 1, 1]
        side[axis] = pixels
        low, high = (weight.reshape(side) for weight in (cells.low_weight, cells.high_weight))
        planes = (low * np.take(planes, cells.low[cell], axis) + high * np.take(planes, cells.high[cell], axis)) / (
            low + high
        )
    return planes


def _spell(thresholds: Sequence[float]) -> str:
    """Return thresholds as they stand in a contract."""
    words = [f"{value:.7g}" for value in thresholds]
    return words[0] if len(set(words)) == 1 else f"[{', '.join(words)}]"
