"""What every architecture file gives: a ModelSpec.

A model is a Keras functional model over one frame size, in Keras 3 layers and ops alone. Its input
is the frame as a camera gives it, (batch, height, width, 3) RGB in 0..255; scaling and
normalisation are its first layers, so that no caller can get them wrong. Its outputs are a dict:
`"logits"` at the network's own stride, and one entry more for each auxiliary head that only
training uses. Upsampling belongs to the loss in training and to edge.postprocess afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

import keras

from edge.errors import SizeError

LOGITS = "logits"
"""Name of the output that inference uses."""

PRESENCE = "presence"
"""Name of an auxiliary output (N, classes) that says which classes the frame holds (EncNet's SE loss)."""

IMAGENET_MEAN_RGB = (123.675, 116.28, 103.53)
IMAGENET_STD_RGB = (58.395, 57.12, 57.375)
"""Statistics of ImageNet's training pixels in 0..255, as torchvision and most papers' code use them."""


@dataclass(frozen=True)
class ModelSpec:
    """One architecture.

    Attributes:
        name: key in train.models.MODELS, and the first part of an artefact folder's name.
        title: how the paper writes it.
        paper: arXiv number or DOI.
        build: (height, width, class_count, **options) -> keras.Model with a dict of outputs.
        stride: logits are (height / stride, width / stride).
        size_multiple: height and width must be multiples of this.
        auxiliary_weights: loss weight of each auxiliary output, as in the paper.
    """

    name: str
    title: str
    paper: str
    build: Callable[..., keras.Model]
    stride: int
    size_multiple: int
    auxiliary_weights: dict[str, float]

    def check_size(self, height: int, width: int) -> None:
        """Refuse a size that the network cannot take.

        Raises:
            SizeError: a side is no multiple of `size_multiple`; the message names the nearest that is.
        """
        multiple = self.size_multiple
        if height % multiple or width % multiple:
            near_height = max(multiple, round(height / multiple) * multiple)
            near_width = max(multiple, round(width / multiple) * multiple)
            raise SizeError(
                f"{self.name} takes sizes that are multiples of {multiple}, got {height}x{width}. "
                f"Next: --size {near_height}x{near_width}"
            )


def normalise(frame: keras.KerasTensor) -> keras.KerasTensor:
    """Scale 0..255 RGB to zero mean and unit variance over ImageNet.

    Args:
        frame: (batch, height, width, 3), uint8 or float32 in 0..255.

    Returns:
        (batch, height, width, 3) float32.
    """
    scale = [1.0 / std for std in IMAGENET_STD_RGB]
    offset = [-mean / std for mean, std in zip(IMAGENET_MEAN_RGB, IMAGENET_STD_RGB)]
    return keras.layers.Rescaling(scale, offset, name="normalise")(frame)


def inference_model(model: keras.Model) -> keras.Model:
    """Return the part of a model that inference needs: from the frame to the logits."""
    return keras.Model(model.input, model.output[LOGITS], name=model.name)
