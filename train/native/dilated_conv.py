"""Dilated convolutions of a training step as products of matrices, one for each tap that meets the map at all.

TensorFlow cuts a map into dilation squared small ones, all of them padded: with a map of 9x12 and a dilation of 18,
whose eight outer taps see nothing but padding, it computes thirty times what is needed. Here a tap is multiplied with
the part of the map that it meets, and one that meets none is left out.
"""

from __future__ import annotations

from typing import Iterator

import tensorflow as tf


def dilated_conv(features: tf.Tensor, taps: tf.Tensor, dilation: int) -> tf.Tensor:
    """Convolve maps with dilated kernels, padded with zeros to the same size.

    Args:
        features: features (N, height, width, channels) float32 of known size.
        taps: kernels (side, side, channels, filters) float32, side odd.
        dilation: spacing of the taps.

    Returns:
        Features (N, height, width, filters) float32, differentiable.
    """
    height, width, channels = features.shape[1:]
    side, filters = taps.shape[0], taps.shape[3]
    rows, columns = (list(_meetings(size, side, dilation)) for size in (height, width))
    parts = []
    for row, top, bottom in rows:
        for column, left, right in columns:
            shift_y, shift_x = (row - side // 2) * dilation, (column - side // 2) * dilation
            met = features[:, top + shift_y : bottom + shift_y, left + shift_x : right + shift_x]
            product = tf.matmul(tf.reshape(met, (-1, channels)), taps[row, column])
            part = tf.reshape(product, (-1, bottom - top, right - left, filters))
            parts.append(tf.pad(part, ((0, 0), (top, height - bottom), (left, width - right), (0, 0))))
    return tf.add_n(parts)


def _meetings(size: int, side: int, dilation: int) -> Iterator[tuple[int, int, int]]:
    """Yield the taps of an axis that meet the map: number, and first and last + 1 place of the output."""
    for tap in range(side):
        shift = (tap - side // 2) * dilation
        first, last = max(0, -shift), min(size, size - shift)
        if first < last:
            yield tap, first, last
