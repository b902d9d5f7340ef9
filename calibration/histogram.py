"""A histogram of one tensor that grows with what it sees and stays the same size in memory."""

from __future__ import annotations

import cv2
import numpy as np

from edge.errors import InputError

BINS = 8192
"""Bins over [-limit, limit]; at least 2048 of each half lie within the largest value seen."""

_CHUNK = 1 << 22  # cv2.calcHist counts in float32, which is exact up to 2^24 in a bin


class RangeHistogram:
    """Streamed statistics of one tensor: minimum, maximum and a histogram of its values.

    The histogram covers [-limit, limit] with a limit that is a power of two. A larger value
    doubles the limit and adds neighbouring bins in pairs, so nothing is counted twice and nothing
    of the tensors is kept.

    Attributes:
        counts: (BINS,) int64.
        limit: largest magnitude that the bins cover; 0 while only zeros were seen.
        minimum: smallest value seen.
        maximum: largest value seen.
        zero_count: values that are exactly zero; `counts` has them too, once the limit is known.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(BINS, np.int64)
        self.limit = 0.0
        self.minimum, self.maximum = float("inf"), float("-inf")
        self.zero_count = 0

    def update(self, values: np.ndarray, tensor: str) -> None:
        """Count one tensor.

        Args:
            values: float32, any shape.
            tensor: its name, for messages.

        Raises:
            InputError: a value is NaN or infinite.
        """
        flat = values.reshape(-1)
        if not flat.size:
            return
        low, high = float(flat.min()), float(flat.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise InputError(
                f"activation {tensor} holds NaN or infinite values, so it has no range. "
                "Next: check the weights, they may come from a training that diverged"
            )
        self.minimum, self.maximum = min(self.minimum, low), max(self.maximum, high)
        magnitude = max(-low, high)
        if magnitude == 0.0:
            self._count_zeros(flat.size)
            return
        self._grow(magnitude)
        for start in range(0, flat.size, _CHUNK):
            chunk = flat[start : start + _CHUNK].reshape(-1, 1)
            self.zero_count += chunk.size - cv2.countNonZero(chunk)
            counted = cv2.calcHist([chunk], [0], None, [BINS], [-self.limit, self.limit])
            self.counts += counted.reshape(-1).astype(np.int64)

    def _count_zeros(self, size: int) -> None:
        self.zero_count += size
        if self.limit:
            self.counts[BINS // 2] += size

    def _grow(self, magnitude: float) -> None:
        # The upper end of calcHist is exclusive, hence strictly larger.
        wanted = float(2.0 ** (np.floor(np.log2(magnitude)) + 1))
        if not self.limit:
            self.limit = wanted
            self.counts[BINS // 2] += self.zero_count
        while self.limit < wanted:
            merged = self.counts.reshape(-1, 2).sum(1)
            self.counts[:] = 0
            self.counts[BINS // 4 : BINS // 4 * 3] = merged
            self.limit *= 2.0

    def magnitudes(self) -> tuple[np.ndarray, float]:
        """Return the histogram of absolute values.

        Returns:
            (BINS / 2,) int64 counts, and the width of a bin.
        """
        half = BINS // 2
        return self.counts[half:] + self.counts[half - 1 :: -1], self.limit / half
