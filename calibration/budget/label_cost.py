"""Cost of quantisation in labels: IoU and regions of every class, with intervals over the images."""

from __future__ import annotations

import math

import numpy as np

from calibration.budget.intervals import CONFIDENCE, image_draws, interval
from calibration.budget.regions import FOUND, NEW, REGIONS
from calibration.budget.set_labels import SetLabels
from calibration.results import ClassCost, LabelCost


def label_cost(
    before: SetLabels, after: SetLabels, class_names: tuple[str, ...], confidence: float = CONFIDENCE
) -> LabelCost:
    """Return what another form of a network costs in labels, as a whole and class by class.

    Intervals draw the same images for both networks. That of a class rests on the images on which it occurs.

    Args:
        before: labels of the float network.
        after: labels of the other form on the same images.
        class_names: names of the classes.
        confidence: share of intervals that hold the figure of all images of the kind, 0 to 1.
    """
    images = len(after.agreements)
    draws = image_draws(images).astype(np.float64)
    occurs = after.overlaps[:, :, 0] > 0
    if before.matrices is not None:
        occurs |= before.matrices.sum(2) > 0
    resting_on = occurs.sum(0)
    changed = 100.0 * (1.0 - draws @ after.agreements / images)
    change = interval(changed, images, confidence)
    agreement = _ious(*after.overlaps.sum(0, keepdims=True).transpose(2, 0, 1))[0]
    changes = 100.0 * (1.0 - _ious(*np.tensordot(draws, after.overlaps, 1).transpose(2, 0, 1)))
    drop = drop_ends = None
    drops = float_ious = ious = [None] * len(class_names)
    if before.matrices is not None and after.matrices is not None:
        float_ious, ious = (_class_ious(np.ones((1, images)), labels.matrices)[0] for labels in (before, after))
        drawn_before, drawn_after = (_class_ious(draws, labels.matrices) for labels in (before, after))
        drops = (100.0 * (drawn_before - drawn_after)).T
        drop = 100.0 * (np.nanmean(float_ious) - np.nanmean(ious))
        drop_ends = interval(100.0 * (_means(drawn_before) - _means(drawn_after)), images, confidence)
    pixels = max(int(after.overlaps[:, :, 0].sum()), 1)
    truth = before.matrices.sum((0, 2)) if before.matrices is not None else None
    classes = []
    for index, name in enumerate(class_names):
        first, second = _known(float_ious[index]), _known(ious[index])
        alike, count = _known(agreement[index]), int(resting_on[index])
        lost = 100.0 * (first - second) if first is not None and second is not None else None
        ends = interval(drops[index], count, confidence) if lost is not None else None
        unlike = interval(changes[:, index], count, confidence) if alike is not None else None
        classes.append(
            ClassCost(
                name=name,
                float_share=float(after.overlaps[:, index, 0].sum() / pixels),
                true_share=float(truth[index] / max(int(truth.sum()), 1)) if truth is not None else None,
                image_count=count,
                float_iou=first,
                iou=second,
                agreement_iou=alike,
                drop_points=lost,
                drop_high=ends[1] if ends else None,
                change_points=100.0 * (1.0 - alike) if alike is not None else None,
                change_high=unlike[1] if unlike else None,
                regions=int(after.regions[:, index, REGIONS].sum()),
                regions_found=int(after.regions[:, index, FOUND].sum()),
                regions_new=int(after.regions[:, index, NEW].sum()),
            )
        )
    return LabelCost(
        image_count=images,
        label_agreement=after.agreement,
        change_high=change[1] if change else None,
        drop_points=float(drop) if drop is not None else None,
        drop_low=drop_ends[0] if drop_ends else None,
        drop_high=drop_ends[1] if drop_ends else None,
        confidence=confidence,
        classes=tuple(classes),
    )


def _known(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def _ious(first: np.ndarray, second: np.ndarray, both: np.ndarray) -> np.ndarray:
    """Return the IoU of two sets of pixels of each class, from three counts of one shape; NaN where both are empty."""
    union = (first + second - both).astype(np.float64)
    return np.divide(both, union, out=np.full(union.shape, np.nan), where=union > 0)


def _class_ious(draws: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Return the IoU of each class with the truth on each of the drawn sets, (draws, classes); NaN where it has none.

    Args:
        draws: how often each image is drawn, (draws, images).
        matrices: confusion matrix of each image, (images, classes, classes).
    """
    hits, truth, predicted = np.einsum("ncc->nc", matrices), matrices.sum(2), matrices.sum(1)
    return _ious(*(draws @ counts.astype(np.float64) for counts in (truth, predicted, hits)))


def _means(ious: np.ndarray) -> np.ndarray:
    """Return the mean over the classes of each set that exist in it, (draws,), as edge.metrics counts an mIoU."""
    exists = np.isfinite(ious)
    return np.where(exists, ious, 0.0).sum(1) / np.maximum(exists.sum(1), 1)
