"""A training step of this project as it is: train.engine's step, with the losses and kernels of a recipe."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Mapping

import keras
import numpy as np
import tensorflow as tf

from benchmarks.training_contenders.batch import CLASS_COUNT, LEARNING_RATE, WEIGHT_DECAY
from train.engine.network import build_network, judged_part
from train.engine.step import TrainingStep
from train.engine.strategies import ONE, open_strategy
from train.losses import training_losses
from train.models import model_spec
from train.native import without_kernels
from train.optimization.optimization import Optimization
from train.options import training_options
from train.recipe import ADAMW, DECOUPLED, Recipe


def prepare(
    frames: np.ndarray,
    labels: np.ndarray,
    model_name: str,
    precision: str,
    xla: bool,
    use_kernels: bool,
    options: Mapping[str, Any] | None = None,
) -> Callable[[], float]:
    """Return a function that takes one step and gives its loss.

    Args:
        frames: crops (n, height, width, 3) uint8.
        labels: train ids (n, height, width) uint8.
        model_name: key in train.models.MODELS.
        precision: precision of the recipe.
        xla: whether XLA compiles forward and backward pass.
        use_kernels: False for TensorFlow's own operations alone.
        options: options of the architecture that differ from their defaults; None for none.
    """
    spec, options = model_spec(model_name), training_options(model_name, options or {})
    crops, height, width = labels.shape
    recipe = Recipe(
        epochs=1,
        batch_size=crops,
        height=height,
        width=width,
        optimizer=ADAMW,
        learning_rate=LEARNING_RATE,
        weight_decay=WEIGHT_DECAY,
        weight_decay_kind=DECOUPLED,
        precision=precision,
        xla=xla,
    )
    network = build_network(spec, recipe, height, width, CLASS_COUNT, options, seed=0)
    losses, weights = training_losses(
        spec, network.output, CLASS_COUNT, np.ones(CLASS_COUNT, np.float32), spec.coordinates(options)
    )
    model = judged_part(network, losses)
    optimization = Optimization(model, recipe, steps=1000)
    training = TrainingStep(open_strategy(ONE), model, losses, weights, optimization, precision=precision, xla=xla)
    batch = tf.constant(frames), tf.constant(labels)

    def step() -> float:
        with contextlib.nullcontext() if use_kernels else without_kernels():
            return float(training.step(batch).loss)

    return step


def versions() -> str:
    return f"TensorFlow {tf.__version__}, Keras {keras.__version__}"
