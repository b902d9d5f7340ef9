"""Streaming statistics of a tensor's values: a histogram whose range grows, and statistics of each channel.

The memory does not depend on the number of images, and no values of a tensor are kept.
"""

from __future__ import annotations

import numpy as np

from edge.errors import InputError
from edge.opencv import cv2

BINS = 4096
"""Number of histogram bins over (0, limit]; at least half of them lie below the largest magnitude seen."""

_BLOCK = 1 << 16
"""Values that are processed at a time: with what is computed from them, they fit into the cache of a core."""

_BATCH = 1 << 18
"""Bin numbers that OpenCV counts at a time; it counts in float32 in the end, which is exact up to 2^24."""

_LANES = np.tile(np.array([0, BINS + 1], np.uint16), _BATCH // 2)
"""Offsets of bin numbers: every other value has bins of its own, since a processor that increments the same bin
twice in a row, such as that of zero, has to wait."""

_SQUARABLE = 1e15
"""Magnitude up to which the squares of a block have a sum in float32."""

_SMALLEST_LIMIT = 2.0**-100
"""Below it, the factor from a value to its bin would leave float32; no scale of INT8 is that small."""


class RangeHistogram:
    """Streamed statistics of one tensor: minimum, maximum and a histogram of its magnitudes.

    The histogram covers (0, limit] with a limit that is a power of two. A larger value doubles the
    limit and adds neighbouring bins in pairs, so nothing is counted twice and no count moves into a
    wrong bin. Signs are not kept apart, since INT8 is symmetric; zeros are, since they are exact at
    any scale and say nothing about a range.

    Attributes:
        counts: number of magnitudes above bin * width and up to (bin + 1) * width, (BINS,) int64.
        limit: magnitude that the bins cover; 0 while only zeros were seen.
        minimum: smallest value seen.
        maximum: largest value seen.
        zero_count: number of values that are exactly zero; they are in no bin.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(BINS, np.int64)
        self.limit = 0.0
        self.minimum, self.maximum = float("inf"), float("-inf")
        self.zero_count = 0

    def update(self, values: np.ndarray, tensor: str, image: str | None = None) -> None:
        """Count one tensor.

        Args:
            values: values of the tensor, float32, any shape.
            tensor: name of the tensor, for messages.
            image: name of the image that the tensor was computed from, for messages.

        Raises:
            InputError: a value is NaN or infinite; the tensor is then counted in part.
        """
        counter = _BlockCounter(self, values.size)
        for start in range(0, values.size, _BLOCK):
            block = values.reshape(-1)[start : start + _BLOCK]
            low, high = float(block.min()), float(block.max())
            _require_finite(low, high, tensor, image)
            counter.add(block, low, high)
        counter.finish()

    def grow(self, magnitude: float) -> None:
        """Double the limit until it is at least as large as a magnitude."""
        wanted = max(2.0 ** float(np.ceil(np.log2(magnitude))), _SMALLEST_LIMIT)
        self.limit = self.limit or wanted
        while self.limit < wanted:
            merged = self.counts.reshape(-1, 2).sum(1)
            self.counts[: BINS // 2] = merged
            self.counts[BINS // 2 :] = 0
            self.limit *= 2.0

    def magnitudes(self) -> tuple[np.ndarray, float]:
        """Return the histogram of absolute values.

        Returns:
            Counts without zeros, (BINS,) int64, and the width of a bin.
        """
        return self.counts, self.limit / BINS

    @property
    def zero_share(self) -> float:
        """Return the share of values that are exactly zero, 0 to 1."""
        total = self.zero_count + int(self.counts.sum())
        return self.zero_count / total if total else 0.0


class _BlockCounter:
    """Counts the blocks of one tensor: gathers bin numbers, and has OpenCV count many of them at once.

    Args:
        histogram: histogram that gets the counts.
        size: number of values that will be added.
    """

    def __init__(self, histogram: RangeHistogram, size: int) -> None:
        self._histogram = histogram
        self._scaled = np.empty(min(size, _BLOCK), np.float32)
        self._bins = np.empty(min(size, _BATCH), np.uint16)
        self._filled = 0

    def add(self, block: np.ndarray, low: float, high: float) -> None:
        """Count one block.

        Args:
            block: values of the block, float32, any shape, at most _BLOCK values.
            low: smallest value of the block, finite.
            high: largest value of the block, finite.
        """
        histogram = self._histogram
        histogram.minimum, histogram.maximum = min(histogram.minimum, low), max(histogram.maximum, high)
        magnitude = max(-low, high)
        if magnitude == 0.0:
            histogram.zero_count += block.size
            return
        if magnitude > histogram.limit:
            self.finish()
            histogram.grow(magnitude)
        if self._filled + block.size > self._bins.size:
            self.finish()
        # A power of two, so the product is exact. Zeros alone become 0, and bin k becomes k + 1.
        factor = np.float32(BINS / histogram.limit)
        scaled = self._scaled[: block.size].reshape(block.shape)
        np.multiply(block, factor if high > 0.0 else -factor, out=scaled)
        if low < 0.0 < high:
            np.abs(scaled, out=scaled)
        np.ceil(scaled, out=scaled)
        np.copyto(self._bins[self._filled : self._filled + block.size].reshape(block.shape), scaled, casting="unsafe")
        self._filled += block.size

    def finish(self) -> None:
        """Add the gathered bin numbers to the histogram."""
        if not self._filled:
            return
        bins = self._bins[: self._filled]
        bins += _LANES[: self._filled]
        # OpenCV counts whole numbers several times faster than floats, and a row of them faster than a 1-D array.
        size = 2 * (BINS + 1)
        lanes = cv2.calcHist([bins.reshape(1, -1)], [0], None, [size], [0, size])
        counted = lanes.reshape(2, -1).sum(axis=0)
        self._histogram.zero_count += int(counted[0])
        self._histogram.counts += counted[1:].astype(np.int64)
        self._filled = 0


class ChannelStatistics:
    """Largest magnitude, mean and mean square of each channel of an NCHW tensor, over all images.

    Args:
        channels: number of channels.
        with_means: True to keep the sum of each channel as well.

    Attributes:
        maxima: largest magnitude of each channel, (channels,) float64.
        sums: sum of all values of each channel, (channels,) float64; 0 without means.
        squares: sum of the squares of all values of each channel, (channels,) float64; 0 without means.
        positions: number of values that were counted in each channel.
        with_means: True if sums are kept.
    """

    def __init__(self, channels: int, with_means: bool = True) -> None:
        self.maxima, self.sums, self.squares = np.zeros((3, channels))
        self.positions = 0
        self.with_means = with_means

    def update(self, values: np.ndarray, histogram: RangeHistogram, tensor: str, image: str | None = None) -> None:
        """Count one tensor by channel, and in a histogram too: each value is fetched from memory once.

        Args:
            values: values of the tensor, (batch, channels, height, width) float32.
            histogram: histogram of the same tensor, which is updated too.
            tensor: name of the tensor, for messages.
            image: name of the image that the tensor was computed from, for messages.

        Raises:
            InputError: a value is NaN or infinite; the tensor is then counted in part.
        """
        batch, channels, height, width = values.shape
        counter = _BlockCounter(histogram, values.size)
        at_once = max(1, _BLOCK // (height * width))
        for planes in values.reshape(batch, channels, -1):
            for first in range(0, channels, at_once):
                some = slice(first, min(first + at_once, channels))
                for start in range(0, height * width, _BLOCK):
                    block = planes[some, start : start + _BLOCK]
                    low, high = block.min(axis=1), block.max(axis=1)
                    smallest, largest = float(low.min()), float(high.max())
                    _require_finite(smallest, largest, tensor, image)
                    np.maximum(self.maxima[some], np.maximum(-low, high), out=self.maxima[some])
                    # NumPy adds float32 pairwise: the error of a sum is some 1e-7 of it, the figures have six digits.
                    if self.with_means:
                        self.sums[some] += block.sum(axis=1)
                        wide = block if max(-smallest, largest) < _SQUARABLE else block.astype(np.float64)
                        self.squares[some] += np.einsum("ij,ij->i", wide, wide)
                    counter.add(block, smallest, largest)
        counter.finish()
        self.positions += batch * height * width

    def means(self) -> np.ndarray:
        """Return the mean of each channel, (channels,) float64."""
        return self.sums / self.positions

    def mean_squares(self) -> np.ndarray:
        """Return the mean of the squares of each channel, (channels,) float64."""
        return self.squares / self.positions


class TensorCounter:
    """Histogram and channel statistics of one tensor.

    Args:
        by_channel: True to keep statistics of each channel as well, if the tensor has the axes NCHW.
        with_means: True to keep the mean of each channel too, and not its largest magnitude alone.

    Attributes:
        histogram: histogram of all values.
        channels: statistics of each channel; None where there are none.
        with_means: True if the statistics of channels have means.
    """

    def __init__(self, by_channel: bool = False, with_means: bool = True) -> None:
        self.histogram = RangeHistogram()
        self.channels: ChannelStatistics | None = None
        self._by_channel, self.with_means = by_channel, with_means

    def update(self, values: np.ndarray, tensor: str, image: str | None = None) -> None:
        """Count one tensor.

        Args:
            values: values of the tensor, float32, any shape.
            tensor: name of the tensor, for messages.
            image: name of the image that the tensor was computed from, for messages.

        Raises:
            InputError: a value is NaN or infinite; the tensor is then counted in part.
        """
        if self._by_channel and values.ndim == 4 and values.size:
            if self.channels is None:
                self.channels = ChannelStatistics(values.shape[1], self.with_means)
            self.channels.update(values, self.histogram, tensor, image)
        else:
            self.histogram.update(values, tensor, image)


def _require_finite(low: float, high: float, tensor: str, image: str | None) -> None:
    if np.isfinite(low) and np.isfinite(high):
        return
    found = "NaN" if np.isnan(low) or np.isnan(high) else "infinite values"
    where = f" on image {image}" if image is not None else ""
    raise InputError(
        f"activation {tensor} holds {found}{where}, expected finite values: it has no range. "
        "Next: check the weights, they may come from a training that diverged"
    )
