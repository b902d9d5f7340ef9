"""Share of values that a Relu or its kind lets through, from the moments that ranges have: noise passes where they do.

The values in front of it are taken to be normal, of mean m and standard deviation s. Both shares are functions of m / s
alone that grow with it, so that they are looked up in a table.
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
