"""How sure an IoU is: intervals from frames that are drawn again, since another drive would have shown other frames.

Frames beside each other in a split are often of one drive and show the same things. So blocks of neighbours are drawn,
of a length that grows with the cube root of their number.

Sources: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), section 13.3; Politis and Romano, "A Circular
Block-Resampling Procedure for Stationary Data" (1992).
"""

from __future__ import annotations

from typing import Mapping, Sequence

import numpy as np

from edge.frame_statistics.block_bootstrap import CONFIDENCE, block_draws
from edge.frame_statistics.percentiles import Interval

LEAST_FRAMES = 16
"""Fewest frames that have an interval: with fewer, drawing them again shows too little of what others would show."""

MIOU = "miou"
_DRAWS = 500


def iou_intervals(
    counts: np.ndarray, class_names: Sequence[str], groups: Mapping[str, Sequence[int]], seed: int = 0
) -> dict[str, Interval]:
    """Return the intervals of mIoU, of the mean of each group, and of the IoU of each class.

    Args:
        counts: (frames, classes, classes) whole numbers: pixels of each true class, in rows, and predicted one.
        class_names: Names of the classes.
        groups: Group -> train ids of its classes.
        seed: Seed of the drawing.

    Returns:
        "miou", "miou(GROUP)" or "iou(CLASS)" -> interval, 0 to 1. A figure is absent where the frames are too few, or
        where it has no value in one of the draws: its class is in a few frames alone.
    """
    frames, classes = len(counts), len(class_names)
    if frames < LEAST_FRAMES:
        return {}
    weights = block_draws(frames, round(frames ** (1 / 3)), seed, _DRAWS)
    drawn = (weights @ counts.reshape(frames, -1).astype(np.float64)).reshape(_DRAWS, classes, classes)
    hits = np.diagonal(drawn, axis1=1, axis2=2)
    union = drawn.sum(axis=1) + drawn.sum(axis=2) - hits
    iou = np.divide(hits, union, out=np.full(hits.shape, np.nan), where=union > 0)  # (draws, classes)
    figures = {MIOU: _mean(iou)}
    figures.update((f"miou({name})", _mean(iou[:, list(ids)])) for name, ids in groups.items() if ids)
    figures.update((f"iou({name})", iou[:, train_id]) for train_id, name in enumerate(class_names))
    tail = (1 - CONFIDENCE) / 2
    return {
        name: Interval(*map(float, np.quantile(values, (tail, 1 - tail))), CONFIDENCE)
        for name, values in figures.items()
        if not np.isnan(values).any()
    }


def _mean(iou: np.ndarray) -> np.ndarray:
    """Return the mean over the classes that a draw has; NaN where it has none."""
    known = ~np.isnan(iou)
    count = known.sum(axis=1)
    total = np.where(known, iou, 0.0).sum(axis=1)
    return np.divide(total, count, out=np.full(len(iou), np.nan), where=count > 0)
