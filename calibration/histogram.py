"""What is kept of one tensor's values: a histogram that grows with what it sees, and figures per channel.

All of it stays the same size in memory, however many images are counted, and nothing of a tensor is kept.
"""

from __future__ import annotations

import cv2
import numpy as np

from edge.errors import InputError

BINS = 4096
"""Bins of magnitude over [0, limit]; at least half of them lie within the largest magnitude seen."""

_CHUNK = 1 << 16
"""Values counted at a time: with their copies they fit into a core's cache."""

_LOW_BYTES = 256
_SMALLEST_LIMIT = 2.0**-100
"""Below it, the factor from a value to its bin would leave float32; no scale of INT8 is that small."""


class RangeHistogram:
    """Streamed statistics of one tensor: minimum, maximum and a histogram of its magnitudes.

    The histogram covers [0, limit] with a limit that is a power of two. A larger value doubles the
    limit and adds neighbouring bins in pairs, so nothing is counted twice and no count moves into a
    wrong bin. Signs are not kept apart, since INT8 is symmetric.

    Attributes:
        counts: (BINS,) int64.
        limit: magnitude that the bins cover, exclusive; 0 while only zeros were seen.
        minimum: smallest value seen.
        maximum: largest value seen.
        zero_count: values that are exactly zero; `counts` has them too, once the limit is known.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(BINS, np.int64)
        self.limit = 0.0
        self.minimum, self.maximum = float("inf"), float("-inf")
        self.zero_count = 0

    def update(
        self, values: np.ndarray, tensor: str, image: str | None = None, bounds: tuple[float, float] | None = None
    ) -> None:
        """Count one tensor.

        Args:
            values: float32, any shape.
            tensor: its name, for messages.
            image: name of the image that it is of, for messages.
            bounds: its smallest and largest value, where they are known; NaN if it holds one.

        Raises:
            InputError: a value is NaN or infinite; nothing was counted.
        """
        flat = values.reshape(-1)
        if not flat.size:
            return
        low, high = (float(flat.min()), float(flat.max())) if bounds is None else bounds
        _require_finite(low, high, tensor, image)
        self.minimum, self.maximum = min(self.minimum, low), max(self.maximum, high)
        magnitude = max(-low, high)
        if magnitude == 0.0:
            self._count_zeros(flat.size)
            return
        self._grow(magnitude)
        self._count(flat, may_hold_zeros=low <= 0.0 <= high)

    def _count(self, flat: np.ndarray, may_hold_zeros: bool) -> None:
        # A power of two, so the product is exact; smaller than BINS, since values are smaller than the limit.
        factor = np.float32(BINS / self.limit)
        longest = min(_CHUNK, flat.size)
        scaled, index = np.empty(longest, np.float32), np.empty(longest, "<u2")
        # OpenCV counts pairs of bytes much faster than numbers: column 0 is the low byte, column 1 the high one.
        pairs = index.view(np.uint8).reshape(-1, 1, 2)
        sizes = [_LOW_BYTES, BINS // _LOW_BYTES]
        counted = np.zeros(sizes, np.int64)
        for start in range(0, flat.size, _CHUNK):
            chunk = flat[start : start + _CHUNK]
            part = scaled[: chunk.size]
            np.abs(chunk, out=part)
            if may_hold_zeros:
                self.zero_count += int(np.count_nonzero(part == 0))
            np.multiply(part, factor, out=part)
            np.copyto(index[: chunk.size], part, casting="unsafe")
            # It counts in float32 in the end, which is exact up to 2^24 in a bin.
            seen = cv2.calcHist([pairs[: chunk.size]], [0, 1], None, sizes, [0, sizes[0], 0, sizes[1]])
            counted += seen.astype(np.int64)
        self.counts += counted.T.reshape(-1)

    def _count_zeros(self, size: int) -> None:
        self.zero_count += size
        if self.limit:
            self.counts[0] += size

    def _grow(self, magnitude: float) -> None:
        wanted = max(float(2.0 ** (np.floor(np.log2(magnitude)) + 1)), _SMALLEST_LIMIT)
        if not self.limit:
            self.limit = wanted
            self.counts[0] += self.zero_count
        while self.limit < wanted:
            merged = self.counts.reshape(-1, 2).sum(1)
            self.counts[: BINS // 2] = merged
            self.counts[BINS // 2 :] = 0
            self.limit *= 2.0

    def magnitudes(self) -> tuple[np.ndarray, float]:
        """Return the histogram of absolute values.

        Returns:
            (BINS,) int64 counts, and the width of a bin.
        """
        return self.counts, self.limit / BINS


class ChannelFigures:
    """Largest magnitude and mean of each channel of an NCHW tensor, over all images.

    Attributes:
        maxima: (channels,) float64, largest magnitudes.
        sums: (channels,) float64, sums of all values.
        positions: values that a channel has had.
    """

    def __init__(self, channels: int) -> None:
        self.maxima, self.sums = np.zeros(channels), np.zeros(channels)
        self.positions = 0

    def update(self, values: np.ndarray, tensor: str, image: str | None = None) -> tuple[float, float]:
        """Count one tensor.

        Args:
            values: (batch, channels, height, width) float32.
            tensor: its name, for messages.
            image: name of the image that it is of, for messages.

        Returns:
            Its smallest and largest value.

        Raises:
            InputError: a value is NaN or infinite; nothing was counted.
        """
        planes = values.reshape(*values.shape[:2], -1)
        low, high = planes.min(axis=2).min(axis=0), planes.max(axis=2).max(axis=0)
        bounds = float(low.min()), float(high.max())
        _require_finite(*bounds, tensor, image)
        np.maximum(self.maxima, np.maximum(-low, high), out=self.maxima)
        # NumPy adds float32 pairwise: the error of a sum is some 1e-7 of it, the figures have six digits.
        self.sums += planes.sum(axis=2).astype(np.float64).sum(axis=0)
        self.positions += planes.shape[0] * planes.shape[2]
        return bounds

    def means(self) -> np.ndarray:
        """Return the mean of each channel, (channels,) float64."""
        return self.sums / self.positions


class TensorCounter:
    """All that is counted of one tensor.

    Args:
        by_channel: also keep figures per channel, if the tensor turns out to be NCHW.

    Attributes:
        histogram: of all its values.
        channels: figures per channel; None where there are none.
    """

    def __init__(self, by_channel: bool = False) -> None:
        self.histogram = RangeHistogram()
        self.channels: ChannelFigures | None = None
        self._by_channel = by_channel

    def update(self, values: np.ndarray, tensor: str, image: str | None = None) -> None:
        """Count one tensor.

        Args:
            values: float32, any shape.
            tensor: its name, for messages.
            image: name of the image that it is of, for messages.

        Raises:
            InputError: a value is NaN or infinite; nothing was counted.
        """
        bounds = None
        if self._by_channel and values.ndim == 4 and values.size:
            if self.channels is None:
                self.channels = ChannelFigures(values.shape[1])
            bounds = self.channels.update(values, tensor, image)
        self.histogram.update(values, tensor, image, bounds)


def _require_finite(low: float, high: float, tensor: str, image: str | None) -> None:
    if np.isfinite(low) and np.isfinite(high):
        return
    found = "NaN" if np.isnan(low) or np.isnan(high) else "infinite values"
    where = f" on image {image}" if image is not None else ""
    raise InputError(
        f"activation {tensor} holds {found}{where}, expected finite values: it has no range. "
        "Next: check the weights, they may come from a training that diverged"
    )
