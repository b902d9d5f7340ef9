"""Augmentation of training pairs, in TensorFlow ops so that tf.data runs it in parallel.

Source: Fast-SCNN section 5 (random resizing 0.5 to 2, translation/crop, flip, colour and
brightness noise); the same set serves the other models.
"""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from edge.labels import IGNORE_ID


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random variations of a training pair.

    Attributes:
        scale_min: smallest random zoom; 1 is the size at which the network will see whole frames.
        scale_max: largest random zoom.
        brightness: largest change of brightness, as a share of 255.
        contrast: largest relative change of contrast.
        saturation: largest relative change of saturation.
    """

    scale_min: float = 0.5
    scale_max: float = 2.0
    brightness: float = 0.15
    contrast: float = 0.25
    saturation: float = 0.25


def augment_pair(
    frame_rgb, labels, height: int, width: int, settings: Augmentation, seed, network_size: tuple[int, int]
):
    """Zoom, crop, flip and recolour a frame with its labels.

    Args:
        frame_rgb: frame (h, w, 3) uint8.
        labels: label map (h, w) uint8 of train ids.
        height: rows of the result.
        width: columns of the result.
        settings: ranges of the random variations.
        seed: seed (2,) int64; equal seeds give equal results.
        network_size: (height, width) of frames at zoom 1.

    Returns:
        Frame (height, width, 3) float32 in 0..255 and labels (height, width) uint8. Pixels beyond the
        original frame are mean grey, with the label IGNORE_ID.
    """
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 7))
    # The zoom is relative to the network's size, whatever that of the crop, so that objects are as
    # large as they will be in use; and frames of any size serve.
    frame_height, frame_width = tf.unstack(tf.cast(tf.shape(labels), tf.float32))
    fit = tf.minimum(network_size[0] / frame_height, network_size[1] / frame_width)
    log_scale = tf.random.stateless_uniform(
        (), seeds[0], tf.math.log(settings.scale_min), tf.math.log(settings.scale_max)
    )
    scale = fit * tf.exp(log_scale)
    size = tf.cast(tf.round(tf.stack([frame_height, frame_width]) * scale), tf.int32)

    frame = tf.image.resize(tf.cast(frame_rgb, tf.float32), size, antialias=False)
    labels = tf.image.resize(labels[..., None], size, method="nearest")

    missing = tf.maximum(tf.constant([height, width]) - size, 0)
    before = tf.cast(tf.random.stateless_uniform((2,), seeds[1]) * tf.cast(missing + 1, tf.float32), tf.int32)
    padding = tf.stack([[before[0], missing[0] - before[0]], [before[1], missing[1] - before[1]], [0, 0]])
    frame = tf.pad(frame, padding, constant_values=114.0)
    labels = tf.pad(labels, padding, constant_values=IGNORE_ID)

    room = tf.shape(labels)[:2] - tf.constant([height, width])
    corner = tf.cast(tf.random.stateless_uniform((2,), seeds[2]) * tf.cast(room + 1, tf.float32), tf.int32)
    frame = frame[corner[0] : corner[0] + height, corner[1] : corner[1] + width]
    labels = labels[corner[0] : corner[0] + height, corner[1] : corner[1] + width]

    if tf.random.stateless_uniform((), seeds[3]) < 0.5:
        frame, labels = frame[:, ::-1], labels[:, ::-1]

    frame += 255.0 * tf.random.stateless_uniform((), seeds[4], -settings.brightness, settings.brightness)
    grey = tf.reduce_mean(frame, axis=-1, keepdims=True)
    frame = grey + (frame - grey) * tf.random.stateless_uniform(
        (), seeds[5], 1 - settings.saturation, 1 + settings.saturation
    )
    mean = tf.reduce_mean(frame)
    frame = mean + (frame - mean) * tf.random.stateless_uniform(
        (), seeds[6], 1 - settings.contrast, 1 + settings.contrast
    )
    frame = tf.clip_by_value(frame, 0.0, 255.0)
    return tf.ensure_shape(frame, (height, width, 3)), tf.ensure_shape(labels[..., 0], (height, width))
