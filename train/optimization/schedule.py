"""The learning rate of each step: a linear warm-up, then a fall that ends with the training."""

from __future__ import annotations

import math

import tensorflow as tf

from train.recipe import COSINE, POLYNOMIAL, Recipe


def learning_rate(recipe: Recipe, step: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
    """Return the learning rate of a step.

    In the warm-up of W steps the rate is R (step + 1) / W. Afterwards it is R f, with share = (step - W) / (steps - W)
    and f as

        polynomial  (1 - share) ** power    DeepLab's "poly" (Chen et al., arXiv 1606.00915, section 4.1)
        cosine      (1 + cos(pi share)) / 2 SGDR without restarts (Loshchilov, Hutter, arXiv 1608.03983, equation 5)
        constant    1

    Args:
        recipe: settings of the training; R is its `learning_rate`, W its `warmup_steps`.
        step: number of the step, from 0, () int64.
        steps: number of steps of the whole training, () int64. From there on the rate stays as it ended.

    Returns:
        The rate, () float32. It is computed in float64, in which every number of steps is exact.
    """
    position, warmup = tf.cast(step, tf.float64), float(recipe.warmup_steps)
    length = tf.maximum(tf.cast(steps, tf.float64) - warmup, 1.0)
    share = tf.clip_by_value((position - warmup) / length, 0.0, 1.0)
    if recipe.schedule == POLYNOMIAL:
        factor = (1.0 - share) ** recipe.power
    elif recipe.schedule == COSINE:
        factor = 0.5 * (1.0 + tf.cos(math.pi * share))
    else:
        factor = tf.ones_like(share)
    if recipe.warmup_steps:
        factor = tf.where(position < warmup, (position + 1.0) / warmup, factor)
    return tf.cast(recipe.learning_rate * factor, tf.float32)
