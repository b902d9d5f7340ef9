"""Selecting calibration images that cover classes, places and brightness, by greedy submodular maximisation.

The score of a set of images is a sum of four terms, each a mean of ln(1 + amount):

    classes     mean over the classes; the amount is the share of pixels of the class, summed over the set, in
                units of the share in an average image
    groups      mean over the cities or sequences; the amount is the number of images from there, in units of an
                even share of one image
    stretches   the same over stretches of a drive, 1/16 of a group each: neighbouring frames show the same street
    brightness  the same over thirds of the split by mean luma: dark, middle, bright

So a rare class counts for as much as road, however few its pixels, and because of the logarithm each further
image that shows the same is worth less than the one before. Such a score is monotone and submodular, for which
greedy steps reach at least 1 - 1/e of the best score of any set as large (Nemhauser, Wolsey and Fisher, "An
analysis of approximations for maximizing submodular set functions", 1978).

Nothing depends on the order of the input, nor on a machine's arithmetic: images are taken in the order of their
names, and gains are compared to nine decimals, far coarser than what another build of NumPy makes of a sum or a
logarithm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Hashable, Sequence

import numpy as np

BRIGHTNESS_BINS = ("dark", "middle", "bright")
"""Names of the thirds of a split by mean luma."""

STRETCHES_PER_GROUP = 16
"""Number of stretches that the drive of a city or sequence is divided into."""

_DECIMALS = 9
"""Decimals to which gains are compared."""


@dataclass(frozen=True)
class ImageStatistics:
    """Statistics of one image that the selection of calibration images needs.

    Attributes:
        name: name that is unique in the split; the order of names is the order of the drive.
        group: city or sequence that the image belongs to.
        luma: mean luma, 0 to 255, rounded.
        class_pixels: number of pixels of each class, by train id; None without a label map.
        pixel_count: number of pixels of the label map, ignored ones among them; 0 without a label map.
    """

    name: str
    group: str
    luma: int
    class_pixels: tuple[int, ...] | None = None
    pixel_count: int = 0


def brightness_bins(statistics: Sequence[ImageStatistics]) -> list[str]:
    """Return the third of a split that each image belongs to by its mean luma.

    Images of equal luma are in the same third: the one that the middle of their ranks is in.

    Args:
        statistics: statistics of all images of a split, in any order.

    Returns:
        One of BRIGHTNESS_BINS for each image, in the order of `statistics`.
    """
    lumas = np.sort(np.array([image.luma for image in statistics], np.int64))
    ranks = {
        luma: int(np.searchsorted(lumas, luma, "left") + np.searchsorted(lumas, luma, "right"))
        for luma in {image.luma for image in statistics}
    }
    return [BRIGHTNESS_BINS[ranks[image.luma] * len(BRIGHTNESS_BINS) // (2 * len(statistics))] for image in statistics]


def choose_images(statistics: Sequence[ImageStatistics], count: int) -> list[int]:
    """Select the images that cover the most; a smaller selection is always part of a larger one.

    Args:
        statistics: statistics of all images of a split, in any order.
        count: number of images to select; all where there are fewer.

    Returns:
        Indices into `statistics`, in the order of selection.
    """
    by_name = sorted(range(len(statistics)), key=lambda index: statistics[index].name)
    ordered = [statistics[index] for index in by_name]
    shares = _relative_class_shares(ordered)
    partitions = [
        _bin_numbers([image.group for image in ordered]),
        _bin_numbers(_stretches(ordered)),
        _bin_numbers(brightness_bins(ordered)),
    ]
    class_amounts = np.zeros(shares.shape[1])
    partition_amounts = [np.zeros(bin_numbers.max(initial=0) + 1) for bin_numbers in partitions]
    is_free = np.ones(len(ordered), bool)
    chosen: list[int] = []
    for _ in range(min(count, len(ordered))):
        gains = np.log1p(shares / (1.0 + class_amounts)).sum(1) / max(1, shares.shape[1])
        for bin_numbers, amounts in zip(partitions, partition_amounts):
            # An even share of one image is 1 / bins, so an image is worth `bins` of them where it lies.
            gains += (np.log1p(amounts.size / (1.0 + amounts)) / amounts.size)[bin_numbers]
        # argmax takes the first of equals: the one whose name comes first.
        best = int(np.argmax(np.where(is_free, np.round(gains, _DECIMALS), -1.0)))
        is_free[best] = False
        class_amounts += shares[best]
        for bin_numbers, amounts in zip(partitions, partition_amounts):
            amounts[bin_numbers[best]] += amounts.size
        chosen.append(by_name[best])
    return chosen


def _relative_class_shares(statistics: list[ImageStatistics]) -> np.ndarray:
    """Return the pixel share of each class in units of its share in an average image, (images, classes) float64.

    Classes that no image shows are left out; an image without a label map has a share of 0 of every class.
    """
    labelled = [image for image in statistics if image.class_pixels is not None and image.pixel_count]
    if not labelled:
        return np.zeros((len(statistics), 0))
    classes = len(labelled[0].class_pixels)
    shares = np.array(
        [
            np.array(image.class_pixels, np.float64) / image.pixel_count
            if image.class_pixels is not None and image.pixel_count
            else np.zeros(classes)
            for image in statistics
        ]
    )
    averages = shares.sum(0) / len(labelled)
    seen = averages > 0.0
    return shares[:, seen] / averages[seen]


def _stretches(statistics: list[ImageStatistics]) -> list[tuple[str, int]]:
    """Return the stretch of a drive that each image lies in; the images are in the order of their names."""
    members: dict[str, int] = {}
    positions = []
    for image in statistics:
        positions.append(members.setdefault(image.group, 0))
        members[image.group] += 1
    return [
        (image.group, position * min(STRETCHES_PER_GROUP, members[image.group]) // members[image.group])
        for image, position in zip(statistics, positions)
    ]


def _bin_numbers(keys: Sequence[Hashable]) -> np.ndarray:
    """Return the position of each key in the sorted list of different keys, (images,) int64."""
    numbers = {key: number for number, key in enumerate(sorted(set(keys)))}
    return np.array([numbers[key] for key in keys], np.int64)


def spread_evenly(groups: Sequence[str], count: int) -> list[int]:
    """Select images by their position alone: evenly over groups, and evenly within each group.

    Args:
        groups: city or sequence of each image, for images in the order of the drive.
        count: number of images to select; all where there are fewer.

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
