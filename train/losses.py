"""Losses on label maps: every output of a model takes the same target, the crop's labels.

Keras calls a loss with y_true (N, height, width) uint8 train ids and one output.
"""

from __future__ import annotations

from typing import Collection

import keras
import numpy as np
from keras import ops

from edge.labels import IGNORE_ID
from train.models.base import LOGITS, PRESENCE, ModelSpec
from train.models.layers import resize_bilinear
from train.options import HALF_PIXEL


class MaskedCrossEntropy(keras.losses.Loss):
    """Softmax cross entropy over the pixels that count, weighted by class.

    Args:
        class_weights: weight of each class, (classes,) float; ones for plain cross entropy.
        upsample: True to upsample the logits to the size of the labels; False to sample the labels at the
            positions of the logits, which costs less and is enough for an auxiliary head.
        coordinates: coordinate rule of the upsampling, as in the network's contract.
    """

    def __init__(
        self,
        class_weights: np.ndarray,
        upsample: bool,
        coordinates: str = HALF_PIXEL,
        name: str = "cross_entropy",
    ) -> None:
        super().__init__(name=name, reduction="sum")
        self._coordinates = coordinates
        self._class_weights = np.asarray(class_weights, np.float32)
        self._upsample = upsample

    def call(self, y_true, y_pred):
        """Return the mean loss per pixel, a scalar; 0 where no pixel counts."""
        height, width = y_true.shape[1:3]
        if self._upsample:
            y_pred = resize_bilinear(y_pred, height, width, self._coordinates)
        else:
            rows, columns = (_centres(old, new) for old, new in zip((height, width), y_pred.shape[1:3]))
            y_true = ops.take(ops.take(y_true, rows, axis=1), columns, axis=2)
        labels = ops.cast(y_true, "int32")
        counted = ops.not_equal(labels, IGNORE_ID)
        labels = ops.where(counted, labels, 0)
        weights = ops.take(ops.convert_to_tensor(self._class_weights), labels) * ops.cast(counted, "float32")
        losses = keras.losses.sparse_categorical_crossentropy(labels, y_pred, from_logits=True)
        return ops.sum(losses * weights) / ops.maximum(ops.sum(weights), 1e-6)


def _centres(pixels: int, cells: int) -> np.ndarray:
    """Return the pixel in the middle of each of `cells` cells over an axis; sides need not divide."""
    return ((np.arange(cells) + 0.5) * pixels / cells).astype(np.int32)


class PresenceLoss(keras.losses.Loss):
    """Binary cross entropy that judges which classes a crop holds (Zhang et al., arXiv 1803.08904, section 3).

    Args:
        class_count: number of classes of the dataset.
    """

    def __init__(self, class_count: int, name: str = "presence") -> None:
        super().__init__(name=name, reduction="sum")
        self._class_count = class_count

    def call(self, y_true, y_pred):
        """Return the mean loss per class, a scalar."""
        classes = ops.arange(self._class_count, dtype="int32")
        labels = ops.reshape(ops.cast(y_true, "int32"), (ops.shape(y_true)[0], -1, 1))
        there = ops.cast(ops.any(ops.equal(labels, classes), axis=1), "float32")
        return ops.mean(keras.losses.binary_crossentropy(there, y_pred, from_logits=True))


def training_losses(
    spec: ModelSpec,
    outputs: Collection[str],
    class_count: int,
    class_weights: np.ndarray,
    coordinates: str = HALF_PIXEL,
) -> tuple[dict[str, keras.losses.Loss], dict[str, float]]:
    """Return the loss and its weight for each output that training judges, as keras.Model.compile takes them.

    Args:
        spec: the architecture.
        outputs: names of the model's outputs; options decide which auxiliary heads it has.
        class_count: number of classes of the dataset.
        class_weights: weight of each class, (classes,) float.
        coordinates: coordinate rule by which the logits are upsampled.
    """
    losses: dict[str, keras.losses.Loss] = {LOGITS: MaskedCrossEntropy(class_weights, True, coordinates)}
    weights = {name: weight for name, weight in spec.auxiliary_weights.items() if name in outputs}
    for name in weights:
        if name == PRESENCE:
            losses[name] = PresenceLoss(class_count)
        else:
            losses[name] = MaskedCrossEntropy(class_weights, upsample=False, name=name)
    return losses, {LOGITS: 1.0, **weights}


def balanced_class_weights(shares: np.ndarray) -> np.ndarray:
    """Return weights that lift rare classes: 1 / ln(1.02 + share).

    Source: ENet (Paszke et al., arXiv 1606.02147), section 5.2.

    Args:
        shares: share of the pixels of each class, (classes,) float, 0 to 1.

    Returns:
        Weight of each class, (classes,) float32, between 1.4 and 50.5.
    """
    return (1.0 / np.log(1.02 + np.asarray(shares))).astype(np.float32)
