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
    change = interval(100.0 * (1.0 - draws @ after.agreements / images), images, confidence)
    float_ious = ious = drops = drop = drop_ends = None
    if before.matrices is not None and after.matrices is not None:
        float_ious, ious = (_class_ious(np.ones((1, images)), labels.matrices) for labels in (before, after))
        drawn_before, drawn_after = (_class_ious(draws, labels.matrices) for labels in (before, after))
        drops = 100.0 * (drawn_before - drawn_after)
        if np.isfinite(float_ious).any():  # else every pixel is void
            drop = float(100.0 * (_means(float_ious) - _means(ious))[0])
            drop_ends = interval(100.0 * (_means(drawn_before) - _means(drawn_after)), images, confidence)
    return LabelCost(
        image_count=images,
        label_agreement=after.agreement,
        change_high=change[1] if change else None,
        drop_points=drop,
        drop_low=drop_ends[0] if drop_ends else None,
        drop_high=drop_ends[1] if drop_ends else None,
        confidence=confidence,
        classes=_class_costs(before, after, class_names, confidence, (float_ious, ious, drops), _changes(after, draws)),
    )


def _class_costs(
    before: SetLabels,
    after: SetLabels,
    class_names: tuple[str, ...],
    confidence: float,
    truth_figures: tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None],
    changes: np.ndarray,
) -> tuple[ClassCost, ...]:
    """Return the cost for each class.

    Args:
        before: labels of the float network.
        after: labels of the other form.
        class_names: names of the classes.
        confidence: share of intervals that hold the figure, 0 to 1.
        truth_figures: IoU with the truth of the float network and of the other form, (1, classes) each, and the points
            lost on each of the bootstrap's sets, (draws, classes); None without labels.
        changes: percent by which each class is unlike the float network's on each of the bootstrap's sets.
    """
    float_pixels = after.overlaps[:, :, 0]
    image_pixels = np.maximum(float_pixels.sum(1), 1)
    shares, occurs = float_pixels / image_pixels[:, None], float_pixels > 0
    true_shares: list[float | None] = [None] * len(class_names)
    if before.matrices is not None:
        true_pixels = before.matrices.sum((0, 2))
        true_shares = [float(share) for share in true_pixels / max(int(true_pixels.sum()), 1)]
        occurs = occurs | (before.matrices.sum(2) > 0)
    agreement = _ious(*after.overlaps.sum(0).T)
    regions = after.regions.sum(0)
    float_ious, ious, drops = truth_figures
    classes = []
    for index, name in enumerate(class_names):
        count, alike = int(occurs[:, index].sum()), _known(agreement[index])
        first, second = (_known(each[0, index]) if each is not None else None for each in (float_ious, ious))
        has_drop = first is not None and second is not None
        drop_ends = interval(drops[:, index], count, confidence) if has_drop else None
        change_ends = interval(changes[:, index], count, confidence) if alike is not None else None
        classes.append(
            ClassCost(
                name=name,
                float_share=float(float_pixels[:, index].sum() / image_pixels.sum()),
                most_share=float(shares[:, index].max()),
                true_share=true_shares[index],
                image_count=count,
                float_iou=first,
                iou=second,
                agreement_iou=alike,
                drop_points=100.0 * (first - second) if has_drop else None,
                drop_high=drop_ends[1] if drop_ends else None,
                change_points=100.0 * (1.0 - alike) if alike is not None else None,
                change_high=change_ends[1] if change_ends else None,
                regions=int(regions[index, REGIONS]),
                regions_found=int(regions[index, FOUND]),
                regions_new=int(regions[index, NEW]),
            )
        )
    return tuple(classes)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _changes(after: SetLabels, draws: np.ndarray) -> np.ndarray:
    """Return the percent by which each class is unlike the float network's on each of the drawn sets, (draws, classes).

    A set on which the float network does not see the class has no figure: NaN.
    """
    first, second, both = (draws @ after.overlaps[:, :, column].astype(np.float64) for column in range(3))
    return 100.0 * np.where(first > 0, 1.0 - _ious(first, second, both), np.nan)


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
