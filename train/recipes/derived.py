"""Recipes for data that nobody has written one for: each follows from the model's recipe on CamVid by one rule.

What is known of other data are its frames: how many there are to learn from, and how large they are. Everything else
(optimiser, rate, decay, batch, augmentation, weights of the classes) is that of the recipe `adapted` on CamVid, which
every model has. From the frames follow:

- the size of frames: that of the data with its aspect ratio, scaled down to as many pixels as 512x1024 has, each
  side rounded to a multiple of 32, which every model takes;
- the size of crops: as many pixels as the crops on CamVid have, so that a step costs the same, with the aspect ratio of
  the frames; whole frames where they are as small;
- the length: as many steps as on CamVid, times the square root of how many times as many frames there are. More frames
  are worth more steps, but each of them fewer; few frames are seen often, and not for ever;
- validation: at most a hundred times.

No score of such a recipe was measured; it is a start that --set and --recipe FILE change.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from dataclasses import dataclass

from edge.datasets import Dataset
from edge.imaging import read_file_header
from train.recipe import Recipe

DERIVED = "derived"
"""Name of the recipe that follows from the frames."""

MOST_PIXELS = 512 * 1024
"""Most pixels of a frame; the size of an engine where nothing says another."""

SIDE_MULTIPLE = 32
"""Number of pixels that each side is a multiple of."""

SMALLEST_SIDE = 64
"""Smallest side of a frame in pixels, at which the deepest layers still have more than one position."""

MOST_VALIDATIONS = 100

_MEASURED_FRAMES = 64
"""Number of frames whose size is looked up; most datasets have one size alone."""


@dataclass(frozen=True)
class DataShape:
    """What a recipe is derived from.

    Attributes:
        frames: number of frames to learn from.
        height: rows of a frame, in pixels.
        width: columns of a frame, in pixels.
    """

    frames: int
    height: int
    width: int


CAMVID_SHAPE = DataShape(367, 360, 480)
"""Frames of the training that every derived recipe starts from."""

NOMINAL_SHAPES: dict[str, DataShape] = {
    "cityscapes-infrastructure": DataShape(2975, 1024, 2048),
    "voc": DataShape(1464, 375, 500),
    "railsem19": DataShape(6800, 1080, 1920),
    "synthetic-infrastructure": DataShape(96, 512, 1024),
    "synthetic-rail": DataShape(96, 512, 1024),
}
"""Dataset -> its training split when it is whole, for the table; a training looks at the frames that are there.

Sources: Cordts et al., arXiv 1604.01685, section 2.2; Everingham et al., "The PASCAL Visual Object Classes Challenge: A
Retrospective" (2015), table 1, most of whose pictures have 500 columns; Zendel et al., "RailSem19" (CVPR Workshops
2019), of whose 8,500 frames 6,800 are learnt from; `python -m edge.synthetic`, 96 scenes by default.
"""


def shape_of(dataset: Dataset) -> DataShape:
    """Return what a recipe for a split is derived from; of frames of several sizes the median of each side."""
    step = max(1, len(dataset) // _MEASURED_FRAMES)
    headers = [read_file_header(sample.image_path) for sample in dataset.samples[::step]]
    sizes = [header.upright_size for header in headers if min(header.upright_size) > 0]
    if not sizes:  # the check of the frames refuses them
        return dataclasses.replace(CAMVID_SHAPE, frames=len(dataset))
    height, width = (int(statistics.median(sides)) for sides in zip(*sizes))
    return DataShape(len(dataset), height, width)


def derive_recipe(base: Recipe, shape: DataShape) -> Recipe:
    """Return the recipe of a model for data of a shape.

    Args:
        base: recipe of the model on CamVid.
        shape: frames of the data.
    """
    height, width = _scaled(shape, MOST_PIXELS)
    crop_height, crop_width = _scaled(shape, math.prod(base.crop_size))
    steps = base.epochs * _steps_per_epoch(CAMVID_SHAPE, base) * math.sqrt(shape.frames / CAMVID_SHAPE.frames)
    epochs = max(1, round(steps / _steps_per_epoch(shape, base)))
    return dataclasses.replace(
        base,
        height=height,
        width=width,
        crop_height=min(height, crop_height),
        crop_width=min(width, crop_width),
        epochs=epochs,
        validate_every=max(base.validate_every, math.ceil(epochs / MOST_VALIDATIONS)),
    )


def derivation_words(model: str, shape: DataShape) -> str:
    """Return where a derived recipe comes from, as the record of a run says it."""
    return f"{DERIVED} from {model}'s on camvid for {shape.frames} frames of {shape.height}x{shape.width}"


def _scaled(shape: DataShape, most_pixels: int) -> tuple[int, int]:
    """Return height and width of a frame with at most so many pixels, before both are rounded to a multiple."""
    scale = min(1.0, math.sqrt(most_pixels / (shape.height * shape.width)))
    height, width = (
        max(SMALLEST_SIDE, SIDE_MULTIPLE * round(side * scale / SIDE_MULTIPLE)) for side in (shape.height, shape.width)
    )
    return height, width


def _steps_per_epoch(shape: DataShape, recipe: Recipe) -> int:
    return max(1, shape.frames // recipe.batch_size)
