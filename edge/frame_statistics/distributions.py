"""Shares and quantiles of the binomial, Beta, normal and Student's t distribution, with NumPy and Python alone."""

from __future__ import annotations

import functools
import math
from statistics import NormalDist
from typing import Callable


def beta_share(x: float, a: float, b: float) -> float:
    """Return the share of a Beta distribution below x, 0 to 1: the regularised incomplete beta function.

    Args:
        x: Point on the distribution, 0 to 1.
        a: First shape, over 0.
        b: Second shape, over 0.

    Source: NIST Digital Library of Mathematical Functions, 8.17.22, the continued fraction, by Lentz's method; 8.17.4
    for the half where it converges slowly.
    """
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - beta_share(1.0 - x, b, a)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    if log_front < -740.0:
        return 0.0  # below the smallest float
    return math.exp(log_front) / (a * _beta_fraction(x, a, b))


def _beta_fraction(x: float, a: float, b: float) -> float:
    """Return the continued fraction 1 + d1 / (1 + d2 / (1 + ...)) by the modified Lentz method."""
    tiny = 1e-300
    value = numerator = 1.0
    denominator = 0.0
    for step in range(1, 100_000):
        m, is_odd = divmod(step, 2)
        if is_odd:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        denominator = 1.0 + term * denominator
        denominator = 1.0 / (denominator if abs(denominator) > tiny else tiny)
        numerator = 1.0 + term / (numerator if abs(numerator) > tiny else tiny)
        factor = numerator * denominator
        value *= factor
        if abs(factor - 1.0) < 1e-14:
            break
    return value


def beta_quantile(share: float, a: float, b: float) -> float:
    """Return the point of a Beta distribution below which a share of it lies, to 1e-12.

    Args:
        share: Share of the distribution, 0 to 1.
        a: First shape, over 0.
        b: Second shape, over 0.
    """
    return root_of_rising(lambda x: beta_share(x, a, b) - share, 0.0, 1.0)


def binomial_tail(successes: float, trials: float, chance: float) -> float:
    """Return the chance of at least so many successes, 0 to 1; numbers need not be whole.

    Between whole numbers it is continued by the Beta distribution, as for an effective number of trials.

    Source: DLMF 8.17.5.
    """
    if successes <= 0.0:
        return 1.0
    return beta_share(chance, successes, trials - successes + 1.0) if successes < trials + 1.0 else 0.0


def normal_share(z: float) -> float:
    """Return the share of the standard normal distribution below a point, 0 to 1."""
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


def normal_quantile(share: float) -> float:
    """Return the point below which a share of the standard normal distribution lies."""
    return NormalDist().inv_cdf(share)


@functools.lru_cache(maxsize=256)
def student_quantile(share: float, freedom: float) -> float:
    """Return the point below which a share of Student's t distribution lies.

    Args:
        share: Share of the distribution, over 0.5 and below 1.
        freedom: Degrees of freedom, over 0; they need not be whole.

    Source: DLMF 8.17 and Abramowitz and Stegun 26.7.1: the t distribution by the incomplete beta function.
    """
    if freedom > 1e7:
        return normal_quantile(share)
    x = beta_quantile(2.0 * (1.0 - share), freedom / 2.0, 0.5)
    return math.sqrt(freedom * (1.0 - x) / x)


def root_of_rising(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where a function that never falls goes through 0, to 1e-12; an end where it does not.

    Every second step halves what is left, and the others go where a straight line would cross 0.
    """
    below, above = function(low), function(high)
    if below >= 0.0 or above <= 0.0:
        return low if below >= 0.0 else high
    is_halving = False
    while high - low > 1e-12 * max(1.0, high):
        line = low + (high - low) * below / (below - above)
        point = (low + high) / 2.0 if is_halving or not low < line < high else line
        value = function(point)
        if value < 0.0:
            low, below = point, value
        elif value > 0.0:
            high, above = point, value
        else:
            return point
        is_halving = not is_halving
    return (low + high) / 2.0
