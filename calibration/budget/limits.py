"""The accuracy budget of INT8: limits for the whole network and for every class, judged by what was measured.

    the network    points of mIoU lost, with labels; else labels changed
    every class    points of IoU with the truth lost, with labels; else the IoU with the float network's labels
                   its connected regions that are not found any more
                                  none that the float network sees is lost, unless its limit is 100

A limit is held where the upper end of the interval over the images is within it. Where the figure is within and the end
is not, the images are too few to tell, which is said with the number that would do.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Iterator

from calibration.budget.intervals import share_high, share_low
from calibration.results import (
    CLASS_CHANGE,
    CLASS_DROP,
    EXCEEDED,
    HELD,
    LABEL_CHANGE,
    LOST_CLASS,
    LOST_REGIONS,
    MIOU_DROP,
    NOT_SHOWN,
    STATES,
    ClassCost,
    Judgement,
    LabelCost,
)

DEFAULT_CLASS_DROP = 5.0
"""Points of IoU with the truth that a class may lose unless the user says otherwise: one class of ten that loses as
much costs half a point of mIoU."""

DEFAULT_CLASS_CHANGE = 50.0
"""Percent by which a class may be unlike the float network's (100 less the IoU) where there are no labels."""

DEFAULT_REGION_LOSS = 50.0
"""Percent of the regions of a class that may be lost, of a class that the user did not name."""

NAMED_REGION_LOSS = 10.0
"""Percent of the regions of a class that may be lost, of a class that the user gave a budget of its own."""

COMMON_SHARE = 1e-3
"""Share of the pixels below which a class that nobody named is judged, without labels, by whether it is lost alone.
What a network calls by a rare name on pictures that are not its own is often something else."""

LARGEST_LOSS = 0.5
"""Share of its IoU that a class may lose at most where the user gave it no limit of its own: few points are much of a
class that the float network hardly finds."""

SEEN_SHARE = 1e-4
"""Share of all pixels that the float network gives a class at least where that class is judged."""

SEEN_IMAGE_SHARE = 5e-3
"""The same share of a single image, so that a class on one image of many is judged too: as much as SEEN_SHARE is of
fifty images where one of them has it all."""

LOST_IOU = 0.1
"""IoU with the float network's labels below which a class is lost."""

LOST_WEIGHT = 100.0
"""Weight of a lost class beside a figure that exceeds its limit."""

BLIND_IOU = 0.01
"""IoU with the truth below which the float network itself does not find a class: there is nothing to lose."""

_TINY = 1e-9


@dataclass(frozen=True)
class Budget:
    """Accuracy that INT8 may cost; a limit that is None is not enforced.

    Attributes:
        max_drop_points: largest drop of mIoU in points, counted over labelled images.
        min_agreement: smallest share of pixels that keep the label of the float graph, 0 to 1; for images without
            labels.
        max_class_drop: largest drop of a class's IoU with the truth, in points; for labelled images.
        max_class_change: largest difference of a class from the float network's, in percent; for images without labels.
        max_region_loss: largest share of a class's regions that are lost, in percent.
        class_limits: name of a class -> its own limit in place of `max_class_drop` or `max_class_change`. The regions
            of such a class may be lost up to NAMED_REGION_LOSS, by the upper end of their interval.
    """

    max_drop_points: float | None
    min_agreement: float | None
    max_class_drop: float | None = None
    max_class_change: float | None = None
    max_region_loss: float | None = None
    class_limits: dict[str, float] = field(default_factory=dict)

    @property
    def is_enforced(self) -> bool:
        """Return whether anything is limited."""
        return self.max_drop_points is not None or self.min_agreement is not None

    @property
    def has_truth(self) -> bool:
        """Return whether the limits are of mIoU, which takes labels."""
        return self.max_drop_points is not None

    def scaled(self, factor: float) -> Budget:
        """Return a budget whose limits are a share of this one's; less than 1 is stricter."""

        def part(limit: float | None) -> float | None:
            return None if limit is None else factor * limit

        return dataclasses.replace(
            self,
            max_drop_points=part(self.max_drop_points),
            min_agreement=None if self.min_agreement is None else 1.0 - factor * (1.0 - self.min_agreement),
            max_class_drop=part(self.max_class_drop),
            max_class_change=part(self.max_class_change),
            max_region_loss=part(self.max_region_loss),
            class_limits={name: factor * limit for name, limit in self.class_limits.items()},
        )

    def judge(self, cost: LabelCost) -> Verdict:
        """Judge what a quantised network costs."""
        return Verdict(tuple(self._judgements(cost)) if self.is_enforced else ())

    def sentence(self) -> str:
        """Return the budget as a phrase, such as "at most 0.5 points of mIoU"."""
        if not self.is_enforced:
            return "none"
        limit = self.max_class_drop if self.has_truth else self.max_class_change
        unit = "points of IoU" if self.has_truth else "% unlike the float network"
        if self.has_truth:
            parts = [f"at most {self.max_drop_points:g} points of mIoU"]
        else:
            parts = [f"at most {100 * (1 - self.min_agreement):g} % of labels changed"]
        if limit is not None:
            parts.append(f"{limit:g} {unit} of any class")
        parts += [f"{value:g} {unit} of {name}" for name, value in self.class_limits.items()]
        if self.max_region_loss is not None:
            parts.append(f"{self.max_region_loss:g} % of the regions of any class")
            named = min(self.max_region_loss, NAMED_REGION_LOSS)
            parts += [f"{named:g} % of the regions of {name}" for name in self.class_limits]
        return ", ".join(parts)

    def _judgements(self, cost: LabelCost) -> Iterator[Judgement]:
        count = cost.image_count
        if self.max_drop_points is not None:
            # Labels that are not there cannot hold a limit of mIoU.
            drop = math.inf if cost.drop_points is None else cost.drop_points
            yield _judged(MIOU_DROP, "", drop, cost.drop_high, self.max_drop_points, count)
        if self.min_agreement is not None:
            changed, limit = 100.0 * (1.0 - cost.label_agreement), 100.0 * (1.0 - self.min_agreement)
            yield _judged(LABEL_CHANGE, "", changed, cost.change_high, limit, count)
        for each in cost.classes:
            judged = tuple(self._of_class(each, count)) if self._is_seen(each) else ()
            if each.name in self.class_limits and not judged:
                # What the user named is never passed over in silence.
                measure = CLASS_DROP if self.has_truth else CLASS_CHANGE
                yield Judgement(measure, each.name, None, None, self.class_limits[each.name], NOT_SHOWN)
            yield from judged

    def _is_seen(self, cost: ClassCost) -> bool:
        """Return whether the float network sees a class, so that there is something to lose."""
        if self.has_truth and cost.float_iou is not None and cost.float_iou < BLIND_IOU:
            return False  # what the float network calls by this name is something else
        if cost.name in self.class_limits:
            return cost.float_share > 0
        # Else specks; where the truth has the class, its IoU is part of the mean.
        return cost.float_share >= SEEN_SHARE or cost.most_share >= SEEN_IMAGE_SHARE

    def _of_class(self, cost: ClassCost, image_count: int) -> Iterator[Judgement]:
        is_named = cost.name in self.class_limits
        default = self.max_class_drop if self.has_truth else self.max_class_change
        limit = self.class_limits.get(cost.name, default)
        may_be_lost = limit is not None and limit >= 100.0
        if self.has_truth and limit is not None and not is_named and cost.float_iou is not None:
            limit = min(limit, LARGEST_LOSS * 100.0 * cost.float_iou)
        if cost.agreement_iou is not None and cost.agreement_iou < LOST_IOU and not may_be_lost:
            share = 100.0 * cost.agreement_iou
            yield Judgement(LOST_CLASS, cost.name, 100.0 - share, None, 100.0 * (1.0 - LOST_IOU), EXCEEDED)
        if not self.has_truth and not is_named and cost.float_share < COMMON_SHARE:
            return  # too little to say more of without the truth than whether it is lost
        value, high = (cost.drop_points, cost.drop_high) if self.has_truth else (cost.change_points, cost.change_high)
        if limit is not None and value is not None and not may_be_lost:  # a limit of 100 limits nothing
            measure = CLASS_DROP if self.has_truth else CLASS_CHANGE
            yield _judged(measure, cost.name, value, high, limit, image_count)
        if self.max_region_loss is not None and cost.regions:
            yield self._of_regions(cost, image_count, is_named)

    def _of_regions(self, cost: ClassCost, image_count: int, is_named: bool) -> Judgement:
        """Judge the lost regions: by the upper end of the interval for a class that the user named."""
        lost, limit = cost.regions - cost.regions_found, self.max_region_loss
        value = 100.0 * lost / cost.regions
        if not is_named:
            # A few specks of a rare class prove nothing; a class that is gone altogether is lost anyway.
            is_over = 100.0 * share_low(lost, cost.regions) > limit
            state = EXCEEDED if is_over else NOT_SHOWN if value > limit else HELD
            return Judgement(LOST_REGIONS, cost.name, value, None, limit, state)
        limit = min(limit, NAMED_REGION_LOSS)
        high = 100.0 * share_high(lost, cost.regions)
        state = EXCEEDED if value > limit else HELD if high <= limit else NOT_SHOWN
        needed = None
        if state == NOT_SHOWN and value < limit:
            enough = next(
                (times for times in range(1, 200) if 100.0 * share_high(times * lost, times * cost.regions) <= limit),
                None,
            )
            needed = enough * image_count if enough is not None else None
        return Judgement(LOST_REGIONS, cost.name, value, high, limit, state, needed)


@dataclass(frozen=True)
class Verdict:
    """What the judgements of a budget say together.

    Attributes:
        judgements: every limit, and what was measured; empty where nothing is limited.
    """

    judgements: tuple[Judgement, ...]

    @property
    def state(self) -> str:
        """The worst state of all judgements, one of STATES; HELD where nothing is limited."""
        found = {judgement.state for judgement in self.judgements}
        return next((state for state in reversed(STATES) if state in found), HELD)

    @property
    def is_exceeded(self) -> bool:
        """Whether a figure exceeds its limit."""
        return self.state == EXCEEDED

    def of_state(self, state: str) -> tuple[Judgement, ...]:
        """Return the judgements of one state, the ones that exceed or approach their limits most first."""
        return tuple(sorted((each for each in self.judgements if each.state == state), key=lambda each: -excess(each)))

    @property
    def worst(self) -> Judgement | None:
        """The judgement that exceeds its limit most, or comes closest to it; None where nothing is limited."""
        return max(self.judgements, key=lambda each: (STATES.index(each.state), excess(each)), default=None)

    @property
    def lost_classes(self) -> tuple[str, ...]:
        """Names of the classes that the float network sees and the quantised one does not."""
        return tuple(each.class_name for each in self.judgements if each.measure == LOST_CLASS)

    def holds_well(self, margin: float) -> bool:
        """Return whether every limit is held, or its figure is at most a share `margin` of it, 0 to 1.

        Regions that are too few to tell are left to the images that judge: no graph makes them more.
        """
        told = [each for each in self.judgements if each.state != NOT_SHOWN or each.measure != LOST_REGIONS]
        return not self.is_exceeded and all(each.state == HELD or excess(each) <= margin for each in told)


def excess(judgement: Judgement) -> float:
    """Return a figure as a share of its limit: up to 1 it is within; never negative, and 0 where there is none.

    A lost class weighs LOST_WEIGHT times as much, so that it comes before limits that are exceeded by a little.
    """
    weight = LOST_WEIGHT if judgement.measure == LOST_CLASS else 1.0
    return weight * max(judgement.value or 0.0, 0.0) / max(judgement.limit, _TINY)


def unseen_classes(cost: LabelCost) -> tuple[str, ...]:
    """Return the classes that occur in the truth and that the float network itself does not find, a phrase each."""
    return tuple(
        f"{each.name} ({100 * each.true_share:.2g} % of pixels)"
        for each in cost.classes
        if each.true_share is not None and each.true_share >= SEEN_SHARE and (each.float_iou or 0.0) < BLIND_IOU
    )


def judgement_words(judgement: Judgement) -> str:
    """Return what a judgement found in a few words, such as "person 3.10 points of IoU lost, at most 2"."""
    if judgement.measure == LOST_CLASS:
        return f"{judgement.class_name} is lost: {judgement.value:.2f} % unlike the float network"
    who = f"{judgement.class_name} " if judgement.class_name else ""
    if judgement.value is None:
        return f"{who}is not seen by the float network on these images, at most {judgement.limit:g} {judgement.measure}"
    return f"{who}{judgement.value:.2f} {judgement.measure}, at most {judgement.limit:g}"


def drop_words(drop_points: float, budget_points: float | None = None) -> str:
    """Return a drop as text, such as "0.31 points of mIoU lost"; a negative drop is a gain."""
    return f"{points(abs(drop_points), budget_points)} points of mIoU {'lost' if drop_points >= 0 else 'gained'}"


def points(value: float, budget: float | None = None) -> str:
    """Format points with two decimals, or more where a value that differs from the budget would look equal to it."""
    digits = 2
    while budget is not None and value != budget and digits < 6 and f"{value:.{digits}f}" == f"{budget:.{digits}f}":
        digits += 1
    # Adding 0 turns -0.0 into 0.0.
    return f"{round(value, digits) + 0.0:.{digits}f}"


def _judged(measure: str, name: str, value: float, high: float | None, limit: float, image_count: int) -> Judgement:
    if not value <= limit:  # a NaN exceeds
        return Judgement(measure, name, value, high, limit, EXCEEDED)
    if high is not None and high <= limit:
        return Judgement(measure, name, value, high, limit, HELD)
    needed = None
    if high is not None and value < limit:
        # The width of an interval falls with the square root of the number of images.
        needed = math.ceil(image_count * ((high - value) / (limit - value)) ** 2)
    return Judgement(measure, name, value, high, limit, NOT_SHOWN, needed)
