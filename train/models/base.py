"""ModelSpec: what every file of an architecture defines.

A model is a Keras functional model over one frame size, in Keras 3 layers and ops alone. Its input
is the frame as a camera gives it, (batch, height, width, 3) RGB in 0..255; scaling and
normalisation are its first layers, so that no caller can get them wrong. Its outputs are a dict:
`"logits"` at the network's own stride, what else inference gives (`ModelSpec.extra_outputs`), and
one entry more for each auxiliary head that only training uses. A model that draws random numbers
takes them as further inputs, uniform in 0..1. Upsampling belongs to the loss in training and to
edge.postprocess afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Mapping

import keras

from edge.contract import OutputTensor
from edge.errors import SizeError
from train.options import HALF_PIXEL

LOGITS = "logits"
"""Name of the output that inference uses."""

PRESENCE = "presence"
"""Name of an auxiliary output (N, classes) that says which classes the frame holds (EncNet's SE loss)."""

FRAME = "frame"
"""Name of the input that takes the frame."""

_CAFFE_MEAN_RGB = (123.68, 116.779, 103.939)

NORMALIZATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "caffe": (_CAFFE_MEAN_RGB, (1.0, 1.0, 1.0)),
    "caffe_unit": (_CAFFE_MEAN_RGB, (255.0, 255.0, 255.0)),
    "unit": ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
    "symmetric": ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
}
"""Name -> means to subtract from red, green and blue in 0..255, and standard deviations to divide by.

    imagenet     statistics of ImageNet's pixels, as torchvision and most papers' code use them
    caffe        means alone, as the Caffe models and Keras Applications' ResNet and VGG (in RGB here:
                 their BGR is undone in the first convolution when weights are imported)
    caffe_unit   the same, divided by 255
    unit         0 to 1
    symmetric    -1 to 1, as Keras Applications' MobileNet
"""


def _no_outputs(class_count: int, options: Mapping[str, Any]) -> tuple[OutputTensor, ...]:
    return ()


@dataclass(frozen=True)
class ModelSpec:
    """One architecture, with what training and export need to know of it.

    Attributes:
        name: key in train.models.MODELS, and the first part of an artefact folder's name.
        title: name of the architecture as its paper writes it.
        paper: arXiv number or DOI.
        build: function (height, width, class_count, **options) -> keras.Model with a dict of outputs.
        stride: rows of the frame for one row of the logits, which are (height / stride, width / stride).
        size_multiple: number of pixels that height and width must be multiples of.
        smallest_side: smallest height and width in pixels, so that every pooling has something to pool.
        auxiliary_weights: loss weight of each auxiliary output that an option may bring, as in the paper.
        extra_outputs: function (class_count, options) -> outputs that inference gives beside the logits.
        pooling_indices: names of outputs, channels first, that hold pooling indices as masks of 0 and 1: which
            value of its window each max pooling chose. `build(..., given_pooling_indices=True)` takes them as
            inputs instead. Two runtimes may choose differently between values that are equal but for rounding.
    """

    name: str
    title: str
    paper: str
    build: Callable[..., keras.Model]
    stride: int
    size_multiple: int
    auxiliary_weights: dict[str, float]
    extra_outputs: Callable[[int, Mapping[str, Any]], tuple[OutputTensor, ...]] = _no_outputs
    pooling_indices: tuple[str, ...] = ()
    smallest_side: int = 1

    def coordinates(self, options: Mapping[str, Any]) -> str:
        """Return the coordinate rule by which the logits of a model with these options are upsampled."""
        return options.get("coordinates", HALF_PIXEL)

    def check_size(self, height: int, width: int) -> None:
        """Refuse a size that the network cannot take.

        Raises:
            SizeError: a side is no multiple of `size_multiple`, or smaller than `smallest_side`; the message
                names the nearest that it can take.
        """
        multiple, least = self.size_multiple, max(self.size_multiple, self.smallest_side)
        if height % multiple or width % multiple or min(height, width) < least:
            near_height, near_width = (max(least, round(side / multiple) * multiple) for side in (height, width))
            start = f" from {least} on" if least > multiple else ""
            raise SizeError(
                f"{self.name} takes sizes that are multiples of {multiple}{start}, got {height}x{width}. "
                f"Next: --size {near_height}x{near_width}"
            )


def normalize(frame: keras.KerasTensor, statistics: str = "imagenet") -> keras.KerasTensor:
    """Add the layer that brings a frame in 0..255 to the range that the weights were trained with.

    Args:
        frame: frame (batch, height, width, 3) RGB, uint8 or float32 in 0..255.
        statistics: key in NORMALIZATIONS.

    Returns:
        Normalised frame (batch, height, width, 3) float32.
    """
    mean, std = NORMALIZATIONS[statistics]
    scale = [1.0 / part for part in std]
    offset = [-middle / part for middle, part in zip(mean, std)]
    return keras.layers.Rescaling(scale, offset, name="normalise")(frame)


def inference_model(model: keras.Model, also: tuple[str, ...] = ()) -> keras.Model:
    """Return the part of a model that inference needs: from the frame to the logits.

    Args:
        model: a model that ModelSpec.build returned.
        also: names of further outputs that the result keeps.

    Returns:
        A model that gives the logits, or with `also` a dict of the logits and these outputs, in this order.
    """
    outputs = {name: model.output[name] for name in (LOGITS, *also)} if also else model.output[LOGITS]
    return keras.Model(model.input, outputs, name=model.name)
