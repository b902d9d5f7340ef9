"""Keras weights as a network that takes frames of any size: the model is built anew for each size."""

from __future__ import annotations

import functools
import warnings
from pathlib import Path
from typing import Any, Mapping

import numpy as np

from edge.errors import WeightsError
from edge.evaluation.networks import Network, Planes

_KEPT_SIZES = 8
"""Sizes whose models are kept; a few scales of one window."""


class KerasNetwork(Network):
    """A Keras model with its weights.

    Args:
        model: key in train.models.MODELS.
        options: options of the architecture, as a training takes them.
        class_names: names of the classes.
        size: height and width in pixels that a whole frame is brought to.
        weights_path: path of the weights file.

    Raises:
        SizeError: the model cannot take the size.
        WeightsError: the weights do not fit the model.
    """

    any_size = True

    def __init__(
        self,
        model: str,
        options: Mapping[str, Any],
        class_names: tuple[str, ...],
        size: tuple[int, int],
        weights_path: Path,
    ) -> None:
        from train.models import model_spec

        self.size, self.class_names = size, class_names
        self._spec, self._options, self._weights_path = model_spec(model), dict(options), weights_path
        self.coordinates, self.size_multiple = self._spec.coordinates(options), self._spec.size_multiple
        self._planes_of = functools.lru_cache(maxsize=_KEPT_SIZES)(self._build)
        self._planes_of(*size)

    def planes(self, frame_rgb: np.ndarray) -> np.ndarray:
        """Return the logits of a frame of any size that the model takes."""
        return self._planes_of(*frame_rgb.shape[:2])(frame_rgb)

    def _build(self, height: int, width: int) -> Planes:
        import tensorflow as tf

        from train.models.base import inference_model

        self._spec.check_size(height, width)
        whole = self._spec.build(height, width, len(self.class_names), **self._options)
        try:
            with warnings.catch_warnings():  # Keras warns of what it then refuses
                warnings.simplefilter("ignore")
                whole.load_weights(self._weights_path)
        except (ValueError, OSError, KeyError) as error:
            reason = " ".join(str(error).split())[:200]
            raise WeightsError(f"{self._weights_path} does not fit {self._spec.name}: {reason}") from None
        model = inference_model(whole)

        @tf.function(input_signature=[tf.TensorSpec((1, height, width, 3), tf.uint8)])
        def logits_of(frames: tf.Tensor) -> tf.Tensor:
            logits = model(frames, training=False)  # (1, h, w, classes), of any float type
            return tf.transpose(tf.cast(logits, tf.float32)[0], (2, 0, 1))

        return lambda frame_rgb: logits_of(tf.constant(frame_rgb[None])).numpy()
