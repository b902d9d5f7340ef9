"""Intervals of figures that are counted over images: what other images of the same kind might have given.

Sources: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), section 13.3, percentile interval; Hesterberg,
"What Teachers Should Know About the Bootstrap" (2015), section 4.4, the expanded percentile interval for few images;
Wilson, "Probable Inference, the Law of Succession, and Statistical Inference" (1927), for counted shares.
"""

from __future__ import annotations

import functools
import math
from typing import Callable

import numpy as np

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
        -math.sqrt(image_count / (image_count - 1.0)) * student_t(0.5 + confidence / 2.0, image_count - 1)
    )
    low, high = np.quantile(known, [tail, 1.0 - tail])
    return float(low), float(high)


def share_high(events: int, count: int, confidence: float = CONFIDENCE) -> float | None:
    """Return the upper end of Wilson's interval of a share, 0 to 1, with events seen in count trials; None of none."""
    if not count:
        return None
    z = student_t(0.5 + confidence / 2.0, 10**9)
    share, square = events / count, z * z / count
    width = z * math.sqrt(share * (1.0 - share) / count + square / (4.0 * count))
    return min((share + square / 2.0 + width) / (1.0 + square), 1.0)


def share_low(events: int, count: int, confidence: float = CONFIDENCE) -> float | None:
    """Return the lower end of Wilson's interval of a share, 0 to 1, with events seen in count trials; None of none."""
    high = share_high(count - events, count, confidence)
    return None if high is None else 1.0 - high


def normal_share(z: float) -> float:
    """Return the share of a standard normal distribution below z, 0 to 1."""
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


@functools.lru_cache(maxsize=None)
def student_t(share: float, freedom: int) -> float:
    """Return the quantile of Student's t distribution, to 1e-6 of itself.

    Args:
        share: share of the distribution below the quantile, 0.5 to 1.
        freedom: degrees of freedom, at least 1.

    Source: the distribution by numerical integration of its density, inverted by bisection; NumPy has none.
    """
    if freedom > 10**6:
        return _bisect(normal_share, share)
    # The substitution t = sqrt(f) tan(a) leaves the integral of cos(a)^(f - 1), which is smooth.
    angles = np.linspace(0.0, math.pi / 2, 20001)
    density = np.cos(angles) ** (freedom - 1)
    area = np.concatenate(([0.0], np.cumsum((density[1:] + density[:-1]) / 2.0)))
    angle = np.interp(2.0 * share - 1.0, area / area[-1], angles)
    return math.sqrt(freedom) * math.tan(angle)


def _bisect(share_below: Callable[[float], float], share: float) -> float:
    low, high = 0.0, 40.0
    for _ in range(80):
        middle = (low + high) / 2.0
        low, high = (middle, high) if share_below(middle) < share else (low, middle)
    return (low + high) / 2.0
