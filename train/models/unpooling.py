"""Max pooling with pooling indices, and max unpooling by them, as SegNet has them.

TensorRT has no operator that gives pooling indices. Here the four phases of a 2x2 window (its upper
left, upper right, lower left and lower right pixels) are four tensors. Comparisons tell which of them
holds the first maximum; the pooling indices are four masks of 0 and 1, one for each phase. Unpooling
multiplies by those masks and interleaves the products. Slices, comparisons, Concat and Reshape are all
that it takes. The result equals tf.nn.max_pool_with_argmax and a scatter to its indices, ties
included: of equal values the first in the order of rows wins, and behind a ReLU windows of four zeros
are common.

The masks follow from comparisons among the phases alone, never from "phase equals maximum": each
window has exactly one mask set whatever the precision that the maximum itself is computed in.

Everything is computed channels first: next to ONNX convolutions, which are too, the transpositions
at both ends cancel.
"""

from __future__ import annotations

import keras
from keras import layers, ops

PHASES = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Position (row, column) of each phase within the 2x2 window, in the order in which ties are decided."""


@keras.saving.register_keras_serializable("segedge")
class MaxPoolingWithIndices(layers.Layer):
    """Max pooling over 2x2 windows that also returns pooling indices, as masks.

    An odd last row or column belongs to no window, as in PyTorch's and Keras' pooling.
    """

    receptive_field = ((2, 2), (2, 2))

    def call(self, features):
        """Map (N, h, w, C) to the maxima (N, h//2, w//2, C) and four masks (N, C, h//2, w//2) of 0 and 1.

        The masks are the pooling indices: one for each of PHASES, in that order, and 1 where it holds the maximum.
        """
        channels_first = ops.transpose(features, (0, 3, 1, 2))
        height, width = (size // 2 * 2 for size in channels_first.shape[2:])
        first, second, third, fourth = (channels_first[:, :, row:height:2, column:width:2] for row, column in PHASES)
        upper, lower = ops.maximum(first, second), ops.maximum(third, fourth)
        in_upper = ops.greater_equal(upper, lower)
        left_of_upper, left_of_lower = ops.greater_equal(first, second), ops.greater_equal(third, fourth)
        in_lower = ops.logical_not(in_upper)
        masks = (
            ops.logical_and(in_upper, left_of_upper),
            ops.logical_and(in_upper, ops.logical_not(left_of_upper)),
            ops.logical_and(in_lower, left_of_lower),
            ops.logical_and(in_lower, ops.logical_not(left_of_lower)),
        )
        maxima = ops.transpose(ops.maximum(upper, lower), (0, 2, 3, 1))
        return (maxima, *(ops.cast(mask, features.dtype) for mask in masks))

    def compute_output_shape(self, input_shape):
        """Return the shapes of the maxima and of the four masks."""
        batch, height, width, channels = input_shape
        masks = ((batch, channels, height // 2, width // 2),) * len(PHASES)
        return ((batch, height // 2, width // 2, channels), *masks)


@keras.saving.register_keras_serializable("segedge")
class MaxUnpooling(layers.Layer):
    """Max unpooling: put each value where the pooling found the maximum of its window, and zeros around it.

    Args:
        height: rows of the result, 2 h or 2 h + 1; the odd row is zero.
        width: columns of the result, 2 w or 2 w + 1; the odd column is zero.
    """

    receptive_field = ((1, 1), (0.5, 0.5))

    def __init__(self, height: int, width: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.height, self.width = height, width

    def call(self, features, *masks):
        """Map (N, h, w, C) and the four masks of MaxPoolingWithIndices to (N, height, width, C).

        The masks have the shape (M, C, h, w), with M being N, or 1 where all frames share them.
        """
        channels_first = ops.transpose(features, (0, 3, 1, 2))
        _, channels, height, width = channels_first.shape
        phases = [channels_first * mask for mask in masks]
        rows = [
            ops.reshape(ops.stack(phases[start : start + 2], axis=-1), (-1, channels, height, 2 * width))
            for start in (0, 2)
        ]
        unpooled = ops.reshape(ops.stack(rows, axis=3), (-1, channels, 2 * height, 2 * width))
        bottom, right = self.height - 2 * height, self.width - 2 * width
        if bottom or right:
            unpooled = ops.pad(unpooled, ((0, 0), (0, 0), (0, bottom), (0, right)))
        return ops.transpose(unpooled, (0, 2, 3, 1))

    def compute_output_shape(self, features_shape, *masks_shapes):
        """Return the shape of the unpooled features."""
        return (features_shape[0], self.height, self.width, features_shape[-1])

    def get_config(self) -> dict:
        """Return what `from_config` needs."""
        return {**super().get_config(), "height": self.height, "width": self.width}
