"""A training step of this project as it was before train.engine: Keras' compile and its own step, losses at label size.

The loss is kept here as it was (train/losses.py), so that the comparison needs no other checkout. The network is
today's, without the kernels of train/native.
"""

from __future__ import annotations

from typing import Callable

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from benchmarks.training_contenders.batch import CLASS_COUNT, LEARNING_RATE, VOID, WEIGHT_DECAY
from train.models import model_spec
from train.models.layers import resize_bilinear
from train.native import without_kernels
from train.options import training_options


class MaskedCrossEntropy(keras.losses.Loss):
    """Softmax cross entropy over the pixels that count: of upsampled logits, or of sampled labels."""

    def __init__(self, upsample: bool, name: str) -> None:
        super().__init__(name=name, reduction="sum")
        self._class_weights = np.ones(CLASS_COUNT, np.float32)
        self._upsample = upsample

    def call(self, y_true, y_pred):
        """Return the mean loss per pixel, a scalar."""
        height, width = y_true.shape[1:3]
        if self._upsample:
            y_pred = resize_bilinear(y_pred, height, width)
        else:
            rows, columns = (
                ((np.arange(new) + 0.5) * old / new).astype(np.int32)
                for old, new in zip((height, width), y_pred.shape[1:3])
            )
            y_true = ops.take(ops.take(y_true, rows, axis=1), columns, axis=2)
        labels = ops.cast(y_true, "int32")
        counted = ops.not_equal(labels, VOID)
        labels = ops.where(counted, labels, 0)
        weights = ops.take(ops.convert_to_tensor(self._class_weights), labels) * ops.cast(counted, "float32")
        losses = keras.losses.sparse_categorical_crossentropy(labels, y_pred, from_logits=True)
        return ops.sum(losses * weights) / ops.maximum(ops.sum(weights), 1e-6)


def prepare(frames: np.ndarray, labels: np.ndarray, model_name: str) -> Callable[[], float]:
    """Return a function that takes one step and gives its loss.

    Args:
        frames: crops (n, height, width, 3) uint8.
        labels: train ids (n, height, width) uint8.
        model_name: key in train.models.MODELS.
    """
    spec = model_spec(model_name)
    keras.utils.set_random_seed(0)
    model = spec.build(*labels.shape[1:], CLASS_COUNT, **training_options(model_name, {}))
    weights = {"logits": 1.0, **{name: spec.auxiliary_weights[name] for name in model.output if name != "logits"}}
    losses = {name: MaskedCrossEntropy(name == "logits", name) for name in weights}
    optimizer = keras.optimizers.AdamW(LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer, losses, loss_weights=weights)
    # Its pipeline gave frames in float32.
    batch = tf.constant(frames.astype(np.float32)), dict.fromkeys(weights, tf.constant(labels))

    def step() -> float:
        with without_kernels():
            return float(model.train_on_batch(*batch, return_dict=True)["loss"])

    return step


def versions() -> str:
    return f"TensorFlow {tf.__version__}, Keras {keras.__version__}"
