"""Layers that several architectures share, each made of operators that TensorRT runs."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers, ops

from train.options import HALF_PIXEL


@keras.saving.register_keras_serializable("segedge")
class BilinearResize(layers.Layer):
    """Resize feature maps bilinearly to a fixed size.

    Args:
        height: rows of the result.
        width: columns of the result.
        coordinates: coordinate rule, "half_pixel" or "align_corners".
    """

    receptive_field = "resize"

    def __init__(self, height: int, width: int, coordinates: str = HALF_PIXEL, **kwargs) -> None:
        super().__init__(**kwargs)
        self.height, self.width, self.coordinates = height, width, coordinates

    def call(self, features):
        """Map (N, h, w, C) to (N, height, width, C), same dtype."""
        return resize_bilinear(features, self.height, self.width, self.coordinates)

    def get_config(self) -> dict:
        """Return what `from_config` needs."""
        return {**super().get_config(), "height": self.height, "width": self.width, "coordinates": self.coordinates}


def resize_bilinear(features, height: int, width: int, coordinates: str = HALF_PIXEL):
    """Resize feature maps or logits by one of the two coordinate rules of contract.json.

    Args:
        features: feature maps (N, h, w, C), a tensor of any backend.
        height: rows of the result.
        width: columns of the result.
        coordinates: coordinate rule, "half_pixel" or "align_corners".

    Returns:
        Feature maps (N, height, width, C), same dtype.
    """
    size = (height, width)
    if tuple(features.shape[1:3]) == size:
        return features
    if coordinates == HALF_PIXEL:
        return ops.image.resize(features, size, interpolation="bilinear", antialias=False)
    if keras.backend.backend() == "tensorflow":
        # One operator, that the converter turns into one ONNX Resize; Keras' own has no such rule.
        import tensorflow as tf

        resized = tf.raw_ops.ResizeBilinear(images=features, size=size, align_corners=True)
        return tf.cast(resized, features.dtype)
    rows, columns = (
        ops.cast(ops.convert_to_tensor(align_corners_matrix(old, new)), features.dtype)
        for old, new in zip(features.shape[1:3], size)
    )
    return ops.einsum("yh,xw,nhwc->nyxc", rows, columns, features)


def align_corners_matrix(old: int, new: int) -> np.ndarray:
    """Return the (new, old) float32 matrix that interpolates one axis with its end points kept in place."""
    positions = np.linspace(0.0, old - 1.0, new)
    below = np.minimum(positions.astype(int), max(old - 2, 0))
    fractions = positions - below
    matrix = np.zeros((new, old), np.float32)
    matrix[np.arange(new), below] = 1.0 - fractions
    if old > 1:
        matrix[np.arange(new), below + 1] += fractions
    return matrix


@keras.saving.register_keras_serializable("segedge")
class AdaptiveAveragePooling(layers.Layer):
    """Average feature maps into a grid of bins x bins cells, whatever their size.

    Cell i covers rows floor(i h / bins) to ceil((i + 1) h / bins), as in PSPNet's pyramid and
    torch.nn.AdaptiveAvgPool2d. The layer consists of slices, means and concatenations: the sizes are
    static, and every ONNX runtime has these operators.

    Args:
        bins: number of cells on each side.
    """

    receptive_field = "frame"

    def __init__(self, bins: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.bins = bins

    def call(self, features):
        """Map (N, h, w, C) to (N, bins, bins, C), same dtype."""
        for axis in (1, 2):
            size = features.shape[axis]
            cells = []
            for index in range(self.bins):
                start, stop = index * size // self.bins, -(-(index + 1) * size // self.bins)
                window = features[:, start:stop] if axis == 1 else features[:, :, start:stop]
                cells.append(ops.mean(window, axis=axis, keepdims=True))
            features = ops.concatenate(cells, axis=axis) if len(cells) > 1 else cells[0]
        return features

    def get_config(self) -> dict:
        """Return what `from_config` needs."""
        return {**super().get_config(), "bins": self.bins}
