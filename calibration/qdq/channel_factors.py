"""Choice of the factors that channels are divided by, from what was seen of each and from the weights that read it.

A channel of a tensor that has a scale of its own has a term: s should be a / sqrt(u), up to a number that all channels
of the tensor share. a is the largest magnitude of the channel, and u in (0, 1] says how much the weights that read it
depend on it: a channel that matters fills the range of the tensor, one that hardly matters leaves room to the weights.
A tensor with pinned channels has its range from these, and the others are to fill it. A channel may be in several
tensors (behind a Relu, in a Concat, in a residual), so the terms are met by least squares in logarithms. A channel that
is nearly silent in one tensor and not in another has no term in the first, or it would be blown up in the second; and
no channel is left larger than what its tensor is to reach.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibration.qdq.weights import largest_magnitudes

FACTOR_LIMITS = (1e-3, 1e3)
"""Bounds of a factor: a channel that was nearly silent in calibration may speak up on another image."""

_BALANCED = 0.01
"""Tensors that are joined by channels, and whose factors are all this close to 1, are left as they are."""

_SMALLEST_IMPORTANCE = 1e-6

_MOST_STEPS = 400


@dataclass(frozen=True)
class StoredChannels:
    """One tensor that is stored with one scale, as the choice of factors sees it.

    Attributes:
        numbers: number of the factor of each channel, (channels,) int64; 0 for those whose factor is 1.
        maxima: largest magnitude of each channel, (channels,) float64.
    """

    numbers: np.ndarray
    maxima: np.ndarray


def channel_importance(maxima: np.ndarray, weight: np.ndarray, group: int, has_one_scale: bool = False) -> np.ndarray:
    """Return how much the rows of a weight depend on each input channel.

    It is the largest contribution |W[o, i]| a_i of a channel to an output channel o, relative to the largest that any
    channel makes to o. Rows have scales of their own, so their size says nothing: that makes factors of a chain
    independent of each other, and gives every channel of a depthwise layer 1.

    Args:
        maxima: largest magnitude of each channel, (in,).
        weight: weight of the layer, (out, in / group, ...).
        group: number of groups of the layer.
        has_one_scale: True if all rows share one scale, so that a row is compared with the largest of all.

    Returns:
        Importance of each channel, (in,) float64, 0 to 1; 0 where no weight reads the channel, or where it is always 0.

    Raises:
        GraphError: a weight is NaN or infinite.
    """
    rows, columns = weight.shape[:2]
    magnitudes = largest_magnitudes(weight.reshape(rows * columns, -1), 0).reshape(group, rows // group, columns)
    contributions = magnitudes * maxima.reshape(group, 1, columns)
    largest = contributions.max(axis=2, keepdims=True)
    if has_one_scale:
        largest = np.full_like(largest, largest.max())
    relative = np.divide(contributions, largest, out=np.zeros_like(contributions), where=largest > 0)
    return relative.max(axis=1).reshape(-1)


def choose_factors(tensors: list[StoredChannels], importance: np.ndarray) -> np.ndarray:
    """Return the number by which each channel is divided.

    Where tensors have no pinned channel, as a whole they keep their ranges. A channel that is always zero is left
    alone; one that no weight reads is made as small as the limits allow.

    Args:
        tensors: the stored tensors.
        importance: importance of each number, (numbers,) float64, 0 to 1; number 0 is that of pinned channels.

    Returns:
        Factor of each number, (numbers,) float64, within FACTOR_LIMITS; 1 for number 0.

    Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019, section 4.1;
    ranges of activations in place of the first weights: Xiao et al., "SmoothQuant", 2023, section 4.
    """
    if not tensors:
        return np.ones(importance.size)
    terms = _Terms(tensors, importance)
    logarithms = terms.centred(terms.solve())
    factors = np.where(terms.is_met, np.exp(logarithms), 1.0)
    factors[terms.is_unread] = FACTOR_LIMITS[1]
    factors = np.clip(factors, *FACTOR_LIMITS)
    return terms.without_small_changes(factors)


class _Terms:
    """The least squares of log s[number] + level[tensor] = log a - log(u) / 2 over all channels that have a say."""

    def __init__(self, tensors: list[StoredChannels], importance: np.ndarray) -> None:
        self.count, self.tensor_count = importance.size, len(tensors)
        sizes = [stored.numbers.size for stored in tensors]
        numbers = np.concatenate([stored.numbers for stored in tensors])
        maxima = np.concatenate([stored.maxima for stored in tensors])
        owners = np.repeat(np.arange(len(tensors)), sizes)
        is_seen = (numbers > 0) & (maxima > 0)
        has_say = is_seen & (importance[numbers] > 0) & ~self._is_quiet(numbers, maxima, owners)
        self.is_unread = np.zeros(self.count, bool)
        self.is_unread[numbers[is_seen & (importance[numbers] <= 0)]] = True
        self.levels = np.full(self.tensor_count, np.nan)
        is_pinned = (numbers == 0) & (maxima > 0)
        pinned = np.zeros(self.tensor_count)
        np.maximum.at(pinned, owners[is_pinned], maxima[is_pinned])
        self.has_pinned = pinned > 0
        self.levels[self.has_pinned] = np.log(pinned[self.has_pinned])
        self.numbers, self.owners = numbers[has_say], owners[has_say]
        # No factor can make up for more than its limit, so channels that are all but silent must not weigh more.
        largest = np.zeros(self.tensor_count)
        np.maximum.at(largest, owners, maxima)
        self.maxima = np.log(np.maximum(maxima, FACTOR_LIMITS[0] * largest[owners])[has_say])
        self.targets = self.maxima - 0.5 * np.log(np.maximum(importance[self.numbers], _SMALLEST_IMPORTANCE))
        self.terms_of_number = np.bincount(self.numbers, minlength=self.count)
        self.terms_of_tensor = np.bincount(self.owners, minlength=self.tensor_count)
        self.is_met = self.terms_of_number > 0
        self._parts = self._joined_tensors()

    def _is_quiet(self, numbers: np.ndarray, maxima: np.ndarray, owners: np.ndarray) -> np.ndarray:
        """Return which channels are next to nothing in their tensor, and more than that in another one."""
        largest = np.zeros(self.tensor_count)
        np.maximum.at(largest, owners, maxima)
        shares = np.divide(maxima, largest[owners], out=np.zeros_like(maxima), where=largest[owners] > 0)
        loudest = np.zeros(self.count)
        np.maximum.at(loudest, numbers, shares)
        return (shares < FACTOR_LIMITS[0]) & (loudest[numbers] >= FACTOR_LIMITS[0])

    def solve(self) -> np.ndarray:
        """Return log s of each number, (numbers,), by conjugate gradients on the levels of the tensors."""
        is_open = np.isnan(self.levels) & (self.terms_of_tensor > 0)
        levels = np.where(np.isnan(self.levels), 0.0, self.levels)
        residual = np.where(is_open, self._gradient(levels, self.targets), 0.0)
        direction, power = residual.copy(), float(residual @ residual)
        first = power
        for _ in range(_MOST_STEPS):
            if power <= 1e-20 * max(first, 1.0):
                break
            applied = np.where(is_open, -self._gradient(direction, 0.0), 0.0)
            curvature = float(direction @ applied)
            if curvature <= 0.0:
                break
            levels = levels + direction * (power / curvature)
            residual = residual - applied * (power / curvature)
            before, power = power, float(residual @ residual)
            direction = residual + direction * (power / before)
        self.levels = levels
        logarithms = self._means(self.targets - levels[self.owners])
        # In none of its tensors may a channel stand out: it would take the range of all others.
        least = np.full(self.count, -np.inf)
        np.maximum.at(least, self.numbers, self.maxima - levels[self.owners])
        return np.where(self.is_met, np.maximum(logarithms, least), 0.0)

    def _means(self, values: np.ndarray) -> np.ndarray:
        """Return the mean over the terms of each number."""
        sums = np.bincount(self.numbers, weights=values, minlength=self.count)
        return np.divide(sums, self.terms_of_number, out=np.zeros(self.count), where=self.is_met)

    def _gradient(self, levels: np.ndarray, targets: np.ndarray | float) -> np.ndarray:
        """Return what is left of each tensor's terms when every number has the mean of its own."""
        left = targets - levels[self.owners]
        left = left - self._means(left)[self.numbers]
        return np.bincount(self.owners, weights=left, minlength=self.tensor_count)

    def centred(self, logarithms: np.ndarray) -> np.ndarray:
        """Return log s such that joined tensors without pinned channels keep their ranges, as a geometric mean."""
        after, before = np.full(self.tensor_count, -np.inf), np.full(self.tensor_count, -np.inf)
        np.maximum.at(after, self.owners, self.maxima - logarithms[self.numbers])
        np.maximum.at(before, self.owners, self.maxima)
        parts = self._parts
        shifts = np.zeros(self.tensor_count)
        for part in np.unique(parts[self.owners]):
            members = (parts == part) & (self.terms_of_tensor > 0)
            if not np.any(self.has_pinned[members]):
                shifts[part] = np.mean(after[members] - before[members])
        part_of_number = np.zeros(self.count, np.int64)
        part_of_number[self.numbers] = parts[self.owners]
        return logarithms + np.where(self.is_met, shifts[part_of_number], 0.0)

    def without_small_changes(self, factors: np.ndarray) -> np.ndarray:
        """Return the factors, with 1 for all of those parts of a graph where they are all close to 1."""
        parts = self._parts
        part_of_number = np.full(self.count, -1)
        part_of_number[self.numbers] = parts[self.owners]
        for part in np.unique(parts[self.owners]):
            members = part_of_number == part
            if np.allclose(factors[members], 1.0, rtol=0.0, atol=_BALANCED):
                factors[members] = 1.0
        return factors

    def _joined_tensors(self) -> np.ndarray:
        """Return a number of the part that each tensor is in: tensors with a channel in common are in one part."""
        parts = np.arange(self.tensor_count)
        while True:
            smallest = np.full(self.count, self.tensor_count)
            np.minimum.at(smallest, self.numbers, parts[self.owners])
            joined = parts.copy()
            np.minimum.at(joined, self.owners, smallest[self.numbers])
            if np.array_equal(joined, parts):
                return parts
            parts = joined
