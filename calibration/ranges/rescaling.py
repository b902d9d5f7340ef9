"""Ranges of a graph whose channels were scaled, from those of the graph before: scaling a channel is exact.

Largest magnitudes and means of channels follow from those of before, for all images. What depends on the whole
distribution of a tensor, such as thresholds that clip, is counted anew, on a few of the images.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from calibration.ranges.record import Ranges, TensorRange
from edge.errors import InputError


def rescaled_ranges(before: Ranges, factors: dict[str, np.ndarray], counted: Ranges, graph_sha256: str) -> Ranges:
    """Return the ranges of a graph whose channels were scaled.

    Args:
        before: ranges of the graph before.
        factors: name of each changed activation -> what its channels were divided by, of the tensor's rank; it
            broadcasts to its shape (see calibration.qdq.channel_equalization).
        counted: ranges of these activations in the scaled graph, on some of the images.
        graph_sha256: SHA-256 of the scaled graph.

    Returns:
        Ranges that describe the images of `before`.

    Raises:
        InputError: a changed activation was not counted.
    """
    tensors = dict(before.tensors)
    for name, own in factors.items():
        if name not in counted.tensors:
            raise InputError(f"tensor {name} has scaled channels and no new range, expected one. Next: collect it")
        tensors[name] = _rescaled(before.tensors[name], own.astype(np.float64), counted.tensors[name])
    return dataclasses.replace(before, graph_sha256=graph_sha256, tensors=tensors)


def _rescaled(seen: TensorRange, factors: np.ndarray, counted: TensorRange) -> TensorRange:
    """Return the range of one tensor: what follows from the range of before, and else what was counted."""
    if factors.min() == factors.max():
        factor = float(factors.min())
        low, high = seen.minimum / factor, seen.maximum / factor
        thresholds = {method: threshold / factor for method, threshold in seen.thresholds.items()}
    else:
        # The channel that had the largest value has at least this one now; so a sign that was seen is not forgotten.
        low = min(counted.minimum, seen.minimum / factors.max()) if seen.minimum < 0 else counted.minimum
        high = max(counted.maximum, seen.maximum / factors.max()) if seen.maximum > 0 else counted.maximum
        thresholds = counted.thresholds
    maxima, means = counted.channel_maxima, counted.channel_means
    if seen.channel_maxima is not None and len(seen.channel_maxima) == factors.size:
        maxima = _quotients(seen.channel_maxima, factors)
        means = _quotients(seen.channel_means, factors)
        largest = max(*maxima, -low, high)
        low, high = (-largest, high) if -low > high else (low, largest)
    low, high = float(low), float(high)
    return dataclasses.replace(
        counted,
        minimum=low,
        maximum=high,
        thresholds={**thresholds, "min-max": max(-low, high)},
        channel_maxima=maxima,
        channel_means=means,
    )


def _quotients(values: tuple[float, ...] | None, factors: np.ndarray) -> tuple[float, ...] | None:
    """Return values divided by factors, to the six digits that ranges have; None without values."""
    if values is None:
        return None
    return tuple(float(f"{value:.6g}") for value in np.asarray(values, np.float64) / factors.reshape(-1))
