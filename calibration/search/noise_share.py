"""Share of the noise that a Relu, a sigmoid or their kind lets through, from the moments that ranges have.

The values in front are taken to be normal. The share of a Relu or PRelu is a function of the mean over the standard
deviation, which grows with it, so that it is looked up in a table; that of a sigmoid is its mean squared slope.
"""

from __future__ import annotations

import math

import numpy as np

_RATIOS = np.linspace(-6.0, 6.0, 481)  # m / s
_DENSITY = np.exp(-np.square(_RATIOS) / 2.0) / math.sqrt(2.0 * math.pi)
_POSITIVE = np.array([0.5 * math.erfc(-ratio / math.sqrt(2.0)) for ratio in _RATIOS])
_MEAN = _RATIOS * _POSITIVE + _DENSITY  # of what a Relu gives, in units of s
_POWER = np.maximum((np.square(_RATIOS) + 1.0) * _POSITIVE + _RATIOS * _DENSITY, 1e-300)


def share_from_rectified(means: np.ndarray, mean_squares: np.ndarray) -> np.ndarray:
    """Return the share of values that are positive, from the moments of what a Relu gives.

    Args:
        means: means behind the Relu, of any shape.
        mean_squares: means of the squares there.

    Returns:
        Share of each, 0 to 1, float64; 0 where all is zero.
    """
    squares = np.asarray(mean_squares, np.float64)
    concentration = np.square(means) / np.where(squares > 0.0, squares, 1.0)
    return np.where(squares > 0.0, np.interp(concentration, np.square(_MEAN) / _POWER, _POSITIVE), 0.0)


def share_from_powers(before: float, after: float, slope_square: float) -> float:
    """Return the share of values that are positive, from the power in front of a LeakyRelu or PRelu and behind it.

    Args:
        before: mean of the squares in front.
        after: mean of the squares behind.
        slope_square: mean of the squared slopes below zero.

    Returns:
        The share, 0 to 1; 0.5 where the powers tell nothing.
    """
    if before <= 0.0 or slope_square >= 1.0:
        return 0.5
    positive_power = (after / before - slope_square) / (1.0 - slope_square)
    return float(np.interp(positive_power, _POWER / (np.square(_RATIOS) + 1.0), _POSITIVE))


def sigmoid_slope_square(power: float) -> float:
    """Return the mean squared slope of a sigmoid over values around 0 with a mean square: at most 1/16."""
    values = _RATIOS * math.sqrt(max(power, 0.0))
    given = 1.0 / (1.0 + np.exp(-np.clip(values, -500.0, 500.0)))
    return float(np.average(np.square(given * (1.0 - given)), weights=_DENSITY))


def hard_sigmoid_slope_square(power: float, slope: float, offset: float) -> float:
    """Return the mean squared slope of max(0, min(1, slope x + offset)) over values around 0 with a mean square."""
    given = slope * _RATIOS * math.sqrt(max(power, 0.0)) + offset
    return slope**2 * float(np.average((given > 0.0) & (given < 1.0), weights=_DENSITY))
