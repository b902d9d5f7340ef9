"""Intervals of figures that are counted over images: what other images of the same kind might have given.

Sources: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), section 13.3, percentile interval; Hesterberg,
"What Teachers Should Know About the Bootstrap" (2015), section 4.4, the expanded percentile interval for few images;
Wilson, "Probable Inference, the Law of Succession, and Statistical Inference" (1927), for counted shares.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from edge.frame_statistics.distributions import normal_share, student_quantile

DRAWS = 2000
SEED = 2026
CONFIDENCE = 0.95

LEAST_IMAGES = 5
"""Number of images below which no interval is given: a bootstrap of fewer knows a handful of outcomes."""


@functools.lru_cache(maxsize=4)
def image_draws(count: int) -> np.ndarray:
    """Return how often each image is drawn in each set of the bootstrap, (DRAWS, count) int64; always alike."""
    draws = np.random.default_rng(SEED).multinomial(count, np.full(count, 1.0 / count), DRAWS)
    draws.flags.writeable = False  # it is shared
    return draws


def interval(values: np.ndarray, image_count: int, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """Return the expanded percentile interval of a figure that was counted on each of the bootstrap's sets.

    Args:
        values: figure of each set, (draws,) float64; NaN where a set does not have it.
        image_count: number of images that the figure rests on; an image without the class does not count.
        confidence: share of intervals that hold the true figure, 0 to 1.

    Returns:
        Lower and upper end; None with fewer than LEAST_IMAGES images, or where no set has the figure.
    """
    known = values[np.isfinite(values)]
    if image_count < LEAST_IMAGES or not known.size:
        return None
    tail = normal_share(
        -math.sqrt(image_count / (image_count - 1.0)) * student_quantile(0.5 + confidence / 2.0, image_count - 1)
    )
    low, high = np.quantile(known, [tail, 1.0 - tail])
    return float(low), float(high)


def share_high(events: int, count: int, confidence: float = CONFIDENCE) -> float | None:
    """Return the upper end of Wilson's interval of a share, 0 to 1, with events seen in count trials; None of none."""
    if not count:
        return None
    z = student_quantile(0.5 + confidence / 2.0, 10**9)
    share, square = events / count, z * z / count
    width = z * math.sqrt(share * (1.0 - share) / count + square / (4.0 * count))
    return min((share + square / 2.0 + width) / (1.0 + square), 1.0)


def share_low(events: int, count: int, confidence: float = CONFIDENCE) -> float | None:
    """Return the lower end of Wilson's interval of a share, 0 to 1, with events seen in count trials; None of none."""
    high = share_high(count - events, count, confidence)
    return None if high is None else 1.0 - high
