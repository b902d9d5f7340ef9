"""How well the pictures of a split carry a mIoU, and a difference of two that were measured on the same pictures.

The pictures are drawn, in blocks, since those of one drive follow one another; a difference is taken on the same draws
for both networks, so that what is hard in a picture is in both.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), section 8.4, for pairs that are drawn as one.
"""

from __future__ import annotations

import numpy as np

from edge.errors import InputError
from edge.frame_statistics.autocorrelation import LEAST_FRAMES, dependence
from edge.frame_statistics.block_bootstrap import CONFIDENCE, block_draws, expanded_tail
from edge.frame_statistics.comparison import Comparison, verdict_of

LESS_ACCURATE = "less accurate"
MORE_ACCURATE = "more accurate"


def miou_interval(
    hits: np.ndarray, unions: np.ndarray, confidence: float = CONFIDENCE, seed: int = 0
) -> tuple[float, float] | None:
    """Return the interval of the mIoU of a split.

    Args:
        hits: Pixels that are of a class and labelled so, of shape (pictures, classes), whole numbers.
        unions: Pixels that are of a class or labelled so, of the same shape.
        confidence: Share of such intervals that hold the true mIoU, over 0 and below 1.
        seed: Seed of the draws.

    Returns:
        Lower and upper end, 0 to 1; None with fewer than LEAST_FRAMES pictures.
    """
    hits, unions = np.asarray(hits, np.float64), np.asarray(unions, np.float64)
    if len(hits) < LEAST_FRAMES:
        return None
    weights, tail = _draws(_miou(hits, unions), confidence, seed)
    low, high = np.quantile(_miou(weights @ hits, weights @ unions), [tail, 1.0 - tail])
    return float(low), float(high)


def compare_miou(
    first: tuple[np.ndarray, np.ndarray],
    second: tuple[np.ndarray, np.ndarray],
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Comparison:
    """Compare the mIoU of two networks on the same pictures.

    Args:
        first: Hits and unions of the first network, each of shape (pictures, classes), as for `miou_interval`.
        second: Hits and unions of the second network on the same pictures in the same order.
        confidence: Share of such intervals that hold the true difference, over 0 and below 1.
        seed: Seed of the draws.

    Raises:
        InputError: There are fewer than LEAST_FRAMES pictures, or not the same number for both.
    """
    arrays = [np.asarray(each, np.float64) for each in (*first, *second)]
    if arrays[0].shape != arrays[2].shape or len(arrays[0]) < LEAST_FRAMES:
        raise InputError(
            f"counts are of {len(arrays[0])} and {len(arrays[2])} pictures, expected the same pictures and classes, at "
            f"least {LEAST_FRAMES} of them. Next: measure both on one split"
        )
    differences = _miou(*arrays[2:]) - _miou(*arrays[:2])
    weights, tail = _draws(differences, confidence, seed)
    before, after = (float(_miou(hits.sum(0), unions.sum(0))) for hits, unions in (arrays[:2], arrays[2:]))
    draws_before, draws_after = (_miou(weights @ hits, weights @ unions) for hits, unions in (arrays[:2], arrays[2:]))
    low, high = (float(end) for end in np.quantile(draws_after - draws_before, [tail, 1.0 - tail]))
    ratios = np.quantile(draws_after / np.maximum(draws_before, 1e-12) - 1.0, [tail, 1.0 - tail])
    return Comparison(
        first=before,
        second=after,
        difference=after - before,
        low=low,
        high=high,
        relative=after / max(before, 1e-12) - 1.0,
        relative_low=float(ratios[0]),
        relative_high=float(ratios[1]),
        confidence=confidence,
        verdict=verdict_of(low, high, (LESS_ACCURATE, MORE_ACCURATE)),
    )


def _draws(series: np.ndarray, confidence: float, seed: int) -> tuple[np.ndarray, float]:
    """Return how often each picture is in each draw, and the share of draws that an interval leaves out at one side."""
    count, seen = len(series), dependence(series)
    # Pictures that do not depend on one another are drawn one by one: blocks would only cost what is known.
    block = seen.block_frames if seen.independent_frames < 0.9 * count else 1
    return block_draws(count, block, seed), expanded_tail(count / block - 1.0, confidence)


def _miou(hits: np.ndarray, unions: np.ndarray) -> np.ndarray:
    """Return the mean over the classes that occur, along the last axis; 0 where none does."""
    occurs = unions > 0
    scores = np.divide(hits, unions, out=np.zeros_like(hits), where=occurs)
    return scores.sum(-1) / np.maximum(occurs.sum(-1), 1)
