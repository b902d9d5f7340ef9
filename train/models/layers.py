"""Layers that several architectures share, each out of operators that TensorRT runs."""

from __future__ import annotations

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("segedge")
class BilinearResize(layers.Layer):
    """Resize feature maps bilinearly to a fixed size, half-pixel coordinates.

    Args:
        height: output rows.
        width: output columns.
    """

    def __init__(self, height: int, width: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.height, self.width = height, width

    def call(self, features):
        """Map (N, h, w, C) to (N, height, width, C), same dtype."""
        if tuple(features.shape[1:3]) == (self.height, self.width):
            return features
        return ops.image.resize(features, (self.height, self.width), interpolation="bilinear", antialias=False)

    def get_config(self) -> dict:
        """Return what `from_config` needs."""
        return {**super().get_config(), "height": self.height, "width": self.width}


@keras.saving.register_keras_serializable("segedge")
class AdaptiveAveragePooling(layers.Layer):
    """Average feature maps into a grid of bins x bins cells, whatever their size.

    Cell i covers rows floor(i h / bins) to ceil((i + 1) h / bins), as in PSPNet's pyramid and
    torch.nn.AdaptiveAvgPool2d. Written as slices, means and concatenations, because the sizes are
    static and those are operators that every ONNX runtime has.

    Args:
        bins: cells on each side.
    """

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
