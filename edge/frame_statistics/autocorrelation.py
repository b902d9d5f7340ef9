"""How much frames that follow one another say of the same: the number of independent frames that are as good.

A slow frame is followed by slow ones: clocks, caches and other programs change more slowly than frames come. A mean
over such frames varies more than one over as many independent ones, and an interval that takes them for independent is
too narrow. By how much is estimated from the series itself: the variance of its mean by the circular block bootstrap,
and by a spectral estimate at frequency 0; the larger one counts.

Sources: Politis and Romano, "A Circular Block-Resampling Procedure for Stationary Data" (1992); Politis and White,
"Automatic Block-Length Selection for the Dependent Bootstrap" (2004), with the correction of Patton, Politis and White
(2009); Korn and Graubard, "Confidence Intervals for Proportions with Small Expected Number of Positive Counts Estimated
from Survey Data" (1998), for an effective count that knows how well the variance itself is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge.frame_statistics.distributions import normal_quantile, student_quantile

MOST_CELLS = 8192
"""Longest series whose every value is looked at: of a longer one neighbours are averaged first, which leaves the
long-run variance of the mean as it is, since dependence over a few frames lies inside a cell then."""

LEAST_FRAMES = 20
"""Number of frames below which nothing is said of dependence, and no interval is given."""


@dataclass(frozen=True)
class Dependence:
    """Dependence of the values of a series on one another.

    Attributes:
        frames: Number of values.
        variance: Variance of one value.
        long_run_variance: Variance of the mean times the number of values; at least `variance`.
        block_frames: Length of the blocks that are drawn as a whole, in frames.
    """

    frames: int
    variance: float
    long_run_variance: float
    block_frames: int

    @property
    def independent_frames(self) -> float:
        """The number of independent values whose mean varies as much."""
        return self.frames * self.variance / self.long_run_variance if self.long_run_variance > 0 else self.frames

    @property
    def freedom(self) -> float:
        """The degrees of freedom of the long-run variance: the number of blocks less one."""
        return max(round(self.frames / self.block_frames - 1.0, 1), 1.0)

    def effective_frames(self, tail: float, events: int | None = None) -> float:
        """Return the number of independent values that are as good for an interval.

        It is less than `independent_frames`, since the long-run variance is estimated: with few blocks by much.

        Args:
            tail: Share that an interval leaves out at one side, over 0 and below 0.5.
            events: Number of values that differ from most others in a series of rare events: what is known of their
                dependence rests on them, and on no more of them than are independent. None for a series of numbers.
        """
        freedom = self.freedom
        if events is not None:
            freedom = max(min(freedom, round(events * self.independent_frames / self.frames - 1.0, 1)), 1.0)
        ratio = normal_quantile(1.0 - tail) / student_quantile(1.0 - tail, freedom)
        return max(self.independent_frames * ratio * ratio, 1.0)


def dependence(values: np.ndarray) -> Dependence:
    """Return how much the values of a series depend on one another.

    Negative dependence, with which a mean varies less, is not credited.

    Args:
        values: Series in the order of time, of shape (frames,), bool or a number; at least LEAST_FRAMES values.
    """
    series = np.asarray(values, np.float64)
    frames, variance = len(series), float(np.var(series))
    width = -(-frames // MOST_CELLS)
    cells = series[: frames // width * width].reshape(-1, width).mean(1)
    if not variance > 0.0 or np.ptp(cells) == 0.0:
        return Dependence(frames, variance, variance, width)
    covariances = _autocovariances(cells)
    block, spectral = _block_and_spectral_variance(covariances)
    # The length that is best for the variance leaves some dependence out; with four times the length intervals hold.
    block = min(4 * block + 1, max(len(cells) // 8, 1))
    long_run = width * max(_block_variance(cells, block), spectral)
    return Dependence(frames, variance, max(long_run, variance), block * width)


def _autocovariances(cells: np.ndarray) -> np.ndarray:
    """Return the autocovariances of all lags from 0 on, each divided by the number of cells."""
    count = len(cells)
    size = 1 << (2 * count - 1).bit_length()
    spectrum = np.fft.rfft(cells - cells.mean(), size)
    return np.fft.irfft(np.abs(spectrum) ** 2, size)[:count] / count


def _block_and_spectral_variance(covariances: np.ndarray) -> tuple[int, float]:
    """Return the automatic length of a block in cells, and the long-run variance by a flat-top lag window.

    Source: Politis and White (2004), section 3.2 with its footnote c, and Patton, Politis and White (2009), page 374.
    """
    count = len(covariances)
    correlations = np.abs(covariances[1:] / covariances[0])
    run = max(5, math.ceil(math.sqrt(math.log10(count))))
    most_lag = min(math.ceil(math.sqrt(count)) + run, count - 1)
    is_small = correlations[:most_lag] < 2.0 * math.sqrt(math.log10(count) / count)
    first_of_run = np.flatnonzero(np.convolve(is_small, np.ones(run), "valid") > run - 0.5)
    if first_of_run.size:
        last_lag = int(first_of_run[0])
    else:
        large = np.flatnonzero(~is_small)
        last_lag = int(large[-1]) + 1 if large.size else 1
    lags = np.arange(1, min(2 * max(last_lag, 1), most_lag) + 1)
    window = np.clip(2.0 * (1.0 - lags / lags[-1]), 0.0, 1.0) if len(lags) > 1 else np.ones(1)
    spectral = float(covariances[0] + 2.0 * np.sum(window * covariances[lags]))
    slope = float(2.0 * np.sum(window * lags * covariances[lags]))
    longest = math.ceil(min(3.0 * math.sqrt(count), count / 3.0))
    if spectral <= 0.0:
        return 1, 0.0
    length = (1.5 * (slope / spectral) ** 2 * count) ** (1.0 / 3.0)
    return int(min(max(math.ceil(length), 1), longest)), spectral


def _block_variance(cells: np.ndarray, block: int) -> float:
    """Return the variance of the mean times the number of cells, by the circular block bootstrap.

    The bootstrap of a mean needs no draws: its variance is that of the means of all blocks. Means of blocks lie around
    the mean of all cells more closely than around the true one, which the last factor corrects.
    """
    count = len(cells)
    centred = cells - cells.mean()
    sums = np.concatenate(([0.0], np.cumsum(np.concatenate((centred, centred[: block - 1])))))
    blocks = sums[block:] - sums[:-block]
    return float(np.mean(blocks * blocks)) / block / (1.0 - block / count)
