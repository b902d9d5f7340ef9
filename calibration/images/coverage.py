"""Choosing images that cover classes, places and light, one greedy step after another.

The score of a set of images is a sum of four parts, each a mean of ln(1 + amount):

    classes    over the classes: its share of pixels, summed over the set, in units of an average image's share
    groups     over the cities or sequences: images from there, in units of an even share of one image
    stretches  the same over stretches of a drive, 1/16 of a group each: neighbouring frames show the same street
    light      the same over thirds of the split by mean luma: dark, middle, bright

So a rare class counts for as much as road, however few its pixels, and by the logarithm a second helping of
anything is worth less than the first. Such a score is monotone and submodular, for which greedy steps reach at
least 1 - 1/e of the best score of any set as large (Nemhauser, Wolsey and Fisher, "An analysis of approximations
for maximizing submodular set functions", 1978).

Nothing depends on the order of the input, nor on a machine's arithmetic: images are taken in the order of their
names, and gains are compared to nine decimals, far coarser than what another build of NumPy makes of a sum or a
logarithm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Hashable, Sequence

import numpy as np

LIGHT_BINS = ("dark", "middle", "bright")
"""Thirds of a split by mean luma."""

STRETCHES_PER_GROUP = 16

_DECIMALS = 9


@dataclass(frozen=True)
class ImageFacts:
    """What a choice needs to know of an image.

    Attributes:
        name: unique in its split; names are in the order of the drive.
        group: city or sequence.
        luma: mean luma, 0 to 255, rounded.
        class_pixels: pixels of each class, by train id; None without a label map.
        pixel_count: pixels of the label map, those that count for nothing too; 0 without one.
    """

    name: str
    group: str
    luma: int
    class_pixels: tuple[int, ...] | None = None
    pixel_count: int = 0


def light_of(facts: Sequence[ImageFacts]) -> list[str]:
    """Return which third of a split each image belongs to by its mean luma.

    Images of equal luma are in the same third, that of the middle of their ranks.

    Returns:
        One of LIGHT_BINS per image.
    """
    lumas = np.sort(np.array([image.luma for image in facts], np.int64))
    ranks = {
        luma: int(np.searchsorted(lumas, luma, "left") + np.searchsorted(lumas, luma, "right"))
        for luma in {image.luma for image in facts}
    }
    return [LIGHT_BINS[ranks[image.luma] * len(LIGHT_BINS) // (2 * len(facts))] for image in facts]


def choose_images(facts: Sequence[ImageFacts], count: int) -> list[int]:
    """Choose the images that cover most; a smaller choice is always part of a larger one.

    Args:
        facts: of all images of a split, in any order.
        count: how many; all where there are fewer.

    Returns:
        Indices into `facts`, in the order of their choice.
    """
    by_name = sorted(range(len(facts)), key=lambda index: facts[index].name)
    ordered = [facts[index] for index in by_name]
    shares = _class_shares(ordered)
    facets = [
        _bin_numbers([image.group for image in ordered]),
        _bin_numbers(_stretches(ordered)),
        _bin_numbers(light_of(ordered)),
    ]
    class_amounts = np.zeros(shares.shape[1])
    facet_amounts = [np.zeros(bin_numbers.max(initial=0) + 1) for bin_numbers in facets]
    is_free = np.ones(len(ordered), bool)
    chosen: list[int] = []
    for _ in range(min(count, len(ordered))):
        gains = np.log1p(shares / (1.0 + class_amounts)).sum(1) / max(1, shares.shape[1])
        for bin_numbers, amounts in zip(facets, facet_amounts):
            # An even share of one image is 1 / bins, so an image is worth `bins` of them where it lies.
            gains += (np.log1p(amounts.size / (1.0 + amounts)) / amounts.size)[bin_numbers]
        # argmax takes the first of equals: the one whose name comes first.
        best = int(np.argmax(np.where(is_free, np.round(gains, _DECIMALS), -1.0)))
        is_free[best] = False
        class_amounts += shares[best]
        for bin_numbers, amounts in zip(facets, facet_amounts):
            amounts[bin_numbers[best]] += amounts.size
        chosen.append(by_name[best])
    return chosen


def _class_shares(facts: list[ImageFacts]) -> np.ndarray:
    """Return (images, classes) float64: the share of pixels, in units of that of an average image.

    Classes that no image has are left out, and an image without a label map has none of any.
    """
    labelled = [image for image in facts if image.class_pixels is not None and image.pixel_count]
    if not labelled:
        return np.zeros((len(facts), 0))
    classes = len(labelled[0].class_pixels)
    shares = np.array(
        [
            np.array(image.class_pixels, np.float64) / image.pixel_count
            if image.class_pixels is not None and image.pixel_count
            else np.zeros(classes)
            for image in facts
        ]
    )
    averages = shares.sum(0) / len(labelled)
    seen = averages > 0.0
    return shares[:, seen] / averages[seen]


def _stretches(facts: list[ImageFacts]) -> list[tuple[str, int]]:
    """Return the stretch of a drive that each image lies in, of images in the order of their names."""
    members: dict[str, int] = {}
    places = []
    for image in facts:
        places.append(members.setdefault(image.group, 0))
        members[image.group] += 1
    return [
        (image.group, place * min(STRETCHES_PER_GROUP, members[image.group]) // members[image.group])
        for image, place in zip(facts, places)
    ]


def _bin_numbers(keys: Sequence[Hashable]) -> np.ndarray:
    """Return (images,) int64: the number of each key among the different ones, in their sorted order."""
    numbers = {key: number for number, key in enumerate(sorted(set(keys)))}
    return np.array([numbers[key] for key in keys], np.int64)


def spread_evenly(groups: Sequence[str], count: int) -> list[int]:
    """Choose images by their place alone: evenly over groups, and evenly within each.

    Args:
        groups: city or sequence of each image, images in the order of the drive.
        count: how many; all where there are fewer.

    Returns:
        Indices in rising order.
    """
    members: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    # Small groups give all they have; what they lack is shared out over the larger ones.
    chosen: list[int] = []
    left = min(count, len(groups))
    ordered = sorted(members.values(), key=len)
    for position, indices in enumerate(ordered):
        share = min(len(indices), -(-left // (len(ordered) - position)))
        chosen.extend(indices[step * len(indices) // share] for step in range(share))
        left -= share
    return sorted(chosen)
