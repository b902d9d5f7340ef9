"""Validation beside a training: labels of a Keras model on a split, or on one worker's part of it."""

from __future__ import annotations

import functools

import keras
import numpy as np
import tensorflow as tf

from edge.accuracy import LabelFrame, count_labels
from edge.datasets import Dataset
from edge.metrics import ConfusionMatrix
from edge.postprocess import LabelUpsampler
from edge.preprocess import prepare_rgb
from train.options import HALF_PIXEL

_KEPT_SIZES = 4
"""Sizes of label maps whose tables are kept; the frames of a split mostly have one."""


def keras_labeller(model: keras.Model, height: int, width: int, coordinates: str = HALF_PIXEL) -> LabelFrame:
    """Return a function that labels frames with a Keras model, in the form that edge.accuracy calls.

    The graph is traced once, and reads the model's variables: weights that the model is given later count.

    Args:
        model: Inference model for frames of height x width, which gives the logits alone.
        height: Rows of the model's input.
        width: Columns of the model's input.
        coordinates: Coordinate rule of the upsampling of the logits, as in the network's contract.
    """

    # predict() would build a data pipeline around every single frame.
    @tf.function(input_signature=[tf.TensorSpec((1, height, width, 3), tf.uint8)])
    def planes(frames: tf.Tensor) -> tf.Tensor:
        logits = model(frames, training=False)  # (1, h, w, classes), of any float type
        return tf.transpose(tf.cast(logits, tf.float32)[0], (2, 0, 1))

    @functools.lru_cache(maxsize=_KEPT_SIZES)
    def upsampler(*shape: int) -> LabelUpsampler:
        return LabelUpsampler(*shape, coordinates)

    def label_frame(frame_rgb: np.ndarray, label_height: int, label_width: int) -> np.ndarray:
        logits = planes(tf.constant(prepare_rgb(frame_rgb, height, width))).numpy()
        return upsampler(*logits.shape, label_height, label_width)(logits)

    return label_frame


def measure_validation(
    label_frame: LabelFrame,
    dataset: Dataset,
    part: tuple[int, int] = (0, 1),
    show_progress: bool = False,
    threads: int | None = None,
) -> ConfusionMatrix:
    """Label the frames of a split, or those of one worker's part, and count how they are labelled.

    The counts of all parts add up to those of the split, and `edge.accuracy.accuracy_of` makes figures of them.

    Args:
        label_frame: Function that labels one frame, as `keras_labeller` makes it.
        dataset: Labelled validation split.
        part: Number of this worker, from 0, and number of workers.
        show_progress: Whether progress and the time left are printed on stderr.
        threads: Threads that read frames ahead; None for the number of cores, up to eight.

    Raises:
        DatasetError: A frame or label map cannot be read.
        InputError: The logits are NaN or infinite.
    """
    worker, workers = part
    return count_labels(label_frame, dataset, range(worker, len(dataset), workers), show_progress, threads)
