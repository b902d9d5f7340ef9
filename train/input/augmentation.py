"""What is varied in a training pair, and how much of it each sample gets.

Source: Fast-SCNN section 4.1 (random resizing 0.5 to 2, translation/crop, flip, colour and brightness noise); PSPNet
section 5.1 for blur. The same set serves all models.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from train.input.order import VARIATION, random_words
from train.recipe import Recipe

BLUR_SIGMA = (0.3, 1.3)
"""Smallest and largest standard deviation of a blur, in pixels of the crop; the kernel has 5x5."""


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random variations of a training pair; the same fields as in a recipe.

    Attributes:
        scale_min: Smallest random zoom; 1 is the size at which the network will see whole frames.
        scale_max: Largest random zoom.
        flip: Probability that a pair is mirrored.
        brightness: Largest change of brightness, as a share of 255.
        contrast: Largest relative change of contrast.
        saturation: Largest relative change of saturation.
        blur: Probability that a frame is blurred.
    """

    scale_min: float = 0.5
    scale_max: float = 2.0
    flip: float = 0.5
    brightness: float = 0.15
    contrast: float = 0.25
    saturation: float = 0.25
    blur: float = 0.0

    @classmethod
    def of_recipe(cls, recipe: Recipe) -> Augmentation:
        """Return the ranges that a recipe asks for."""
        return cls(
            recipe.scale_min,
            recipe.scale_max,
            recipe.flip,
            recipe.brightness,
            recipe.contrast,
            recipe.saturation,
            recipe.blur,
        )


@dataclass(frozen=True)
class Variation:
    """What was drawn for one sample.

    Attributes:
        zoom: Factor of the frame's size at which the network will see whole frames.
        row: Place of the crop between the highest (0) and the lowest possible one (below 1).
        column: Place of the crop between the leftmost (0) and the rightmost possible one (below 1).
        is_mirrored: Whether left and right are exchanged.
        brightness: Number in levels of 0 to 255 that is added to all colours.
        contrast: Factor of the distance of each colour from the mean of the crop.
        saturation: Factor of the distance of each colour from the grey of its pixel.
        blur_sigma: Standard deviation of the blur in pixels of the crop; 0 for none.
    """

    zoom: float = 1.0
    row: float = 0.0
    column: float = 0.0
    is_mirrored: bool = False
    brightness: float = 0.0
    contrast: float = 1.0
    saturation: float = 1.0
    blur_sigma: float = 0.0


def draw_variation(augmentation: Augmentation, seed: int, sample: int) -> Variation:
    """Draw the variation of one sample, which follows from the seed and the number of the sample alone.

    Every range has a random number of its own, whether it is used or not: a changed range leaves the others' draws as
    they were.

    Args:
        augmentation: Ranges of the variations.
        seed: Seed of the training.
        sample: Number of the sample, from 0.
    """
    words = random_words(VARIATION, seed, sample, 9)
    zoom, row, column, flip, brightness, contrast, saturation, blur, sigma = (
        (int(word) >> 11) * 2.0**-53 for word in words
    )
    # Logarithmic, so that halving is as likely as doubling.
    low, high = math.log(augmentation.scale_min), math.log(augmentation.scale_max)
    return Variation(
        zoom=math.exp(_between(low, high, zoom)),
        row=row,
        column=column,
        is_mirrored=flip < augmentation.flip,
        brightness=255.0 * augmentation.brightness * _between(-1.0, 1.0, brightness),
        contrast=1.0 + augmentation.contrast * _between(-1.0, 1.0, contrast),
        saturation=1.0 + augmentation.saturation * _between(-1.0, 1.0, saturation),
        blur_sigma=_between(*BLUR_SIGMA, sigma) if blur < augmentation.blur else 0.0,
    )


def _between(low: float, high: float, share: float) -> float:
    return low + (high - low) * share
