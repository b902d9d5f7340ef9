"""Cross entropy at the size of the labels, without tensors of classes x height x width of a whole batch.

Upsampled logits, their softmax and the gradient of both would be 80 MB each for eight crops of 256x512 and 19 classes,
many times what the rest of a small network's step moves. The loss and its gradient with respect to the logits, which
are 64 times smaller at stride 8, are computed in one pass instead:

    by the kernel   train/native/cross_entropy.cpp, on the processor
    by TensorFlow   crop after crop, on a GPU, under XLA, and where there is no compiler

Both give the same numbers within rounding.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from edge.postprocess.bilinear import axis_cells
from train.native import kernels, thread_count
from train.options import ALIGN_CORNERS, HALF_PIXEL


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor, weights: np.ndarray, coordinates: str) -> tf.Tensor:
    """Return the sum over all pixels of the weighted cross entropy of the upsampled logits.

    Args:
        logits: logits (crops, h, w, classes) float32.
        labels: train ids (crops, height, width) uint8.
        weights: weight of a pixel by its label, (256,) float32; 0 where a label does not count.
        coordinates: coordinate rule of the upsampling, "half_pixel" or "align_corners".

    Returns:
        Scalar float32, differentiable once with respect to the logits.
    """
    native = kernels()

    @tf.custom_gradient
    def total_of(logits):
        if native is not None:
            total, gradient = native.segedge_cross_entropy(*_kernel_inputs(logits, labels, weights, coordinates))
        else:
            total, gradient = _crop_after_crop(logits, labels, weights, coordinates)
        return total, lambda upstream: upstream * gradient

    return total_of(logits)


def pixel_losses(logits: tf.Tensor, labels: tf.Tensor, weights: np.ndarray, coordinates: str) -> tf.Tensor:
    """Return the weighted cross entropy of each pixel, through which no gradient flows.

    Args:
        logits: logits (crops, h, w, classes) float32.
        labels: train ids (crops, height, width) uint8.
        weights: weight of a pixel by its label, (256,) float32; 0 where a label does not count.
        coordinates: coordinate rule of the upsampling, "half_pixel" or "align_corners".

    Returns:
        Losses (crops, height, width) float32.
    """
    logits = tf.stop_gradient(logits)
    native = kernels()
    if native is not None:
        return native.segedge_pixel_losses(*_kernel_inputs(logits, labels, weights, coordinates))
    losses = tf.map_fn(
        lambda crop: _crop_losses(*crop, weights, coordinates)[0],
        (logits, labels),
        fn_output_signature=tf.float32,
        parallel_iterations=1,
    )
    return tf.stop_gradient(tf.reshape(losses, tf.shape(labels)))


def _kernel_inputs(logits: tf.Tensor, labels: tf.Tensor, weights: np.ndarray, coordinates: str) -> tuple:
    axes = []
    for axis in (1, 2):
        cells = axis_cells(logits.shape[axis], labels.shape[axis], coordinates)
        bounds = np.stack([cells.start, np.append(cells.low, 0), np.append(cells.high, 0)], axis=1)
        fraction = cells.high_weight / (cells.low_weight + cells.high_weight)
        axes += [bounds.astype(np.int32), fraction.astype(np.float32)]
    return (logits, labels, weights, *axes, thread_count())


def _crop_after_crop(logits: tf.Tensor, labels: tf.Tensor, weights: np.ndarray, coordinates: str) -> tuple:
    """Return the sum of the losses, a scalar, and its gradient of the shape of the logits."""
    rule = _resize_rule(coordinates)

    def one_crop(crop):
        logits, labels = crop
        losses, gradient = _crop_losses(logits, labels, weights, coordinates)
        gradient = tf.reshape(gradient, (1, *labels.shape, logits.shape[-1]))
        small = tf.raw_ops.ResizeBilinearGrad(grads=gradient, original_image=logits[None], **rule)
        return tf.reduce_sum(losses), small[0]

    signature = (tf.TensorSpec((), tf.float32), tf.TensorSpec(logits.shape[1:], tf.float32))
    totals, gradient = tf.map_fn(one_crop, (logits, labels), fn_output_signature=signature, parallel_iterations=1)
    return tf.reduce_sum(totals), gradient


def _crop_losses(logits: tf.Tensor, labels: tf.Tensor, weights: np.ndarray, coordinates: str) -> tuple:
    """Return the losses of the pixels of a crop, (pixels,), and their gradient for the upsampled logits."""
    large = tf.raw_ops.ResizeBilinear(images=logits[None], size=labels.shape, **_resize_rule(coordinates))
    flat = tf.cast(tf.reshape(labels, (-1,)), tf.int32)
    weight = tf.gather(weights, flat)
    counted = tf.where(flat < logits.shape[-1], flat, 0)
    losses, gradient = tf.raw_ops.SparseSoftmaxCrossEntropyWithLogits(
        features=tf.reshape(large, (-1, logits.shape[-1])), labels=counted
    )
    return losses * weight, gradient * weight[:, None]


def _resize_rule(coordinates: str) -> dict[str, bool]:
    return {"half_pixel_centers": coordinates == HALF_PIXEL, "align_corners": coordinates == ALIGN_CORNERS}
