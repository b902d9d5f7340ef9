"""A network, losses and batches that are small enough for hundreds of steps, for the tests of this folder."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from train.engine.network import build_network
from train.engine.step import TrainingStep
from train.engine.strategies import ONE, TrainingStrategy, open_strategy
from train.models.base import LOGITS, ModelSpec, normalize
from train.optimization.averaged_weights import AveragedWeights
from train.optimization.optimization import Optimization
from train.recipe import Recipe

SIDE, CLASSES, VOID = 16, 4, 255
AUXILIARY = "auxiliary"


def build_small(height: int, width: int, class_count: int, norm: bool = True, dropout: float = 0.0) -> keras.Model:
    frame = keras.Input((height, width, 3), name="frame")
    features = keras.layers.Conv2D(8, 4, 4, name="stem")(normalize(frame))
    if norm:
        features = keras.layers.BatchNormalization(momentum=0.9, name="stem_bn")(features)
    features = keras.layers.ReLU(name="stem_relu")(features)
    other = keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="mix_depthwise")(features)
    if dropout:
        other = keras.layers.Dropout(dropout, name="mix_dropout")(other)
    outputs = {
        LOGITS: keras.layers.Conv2D(class_count, 1, dtype="float32", name=LOGITS)(other),
        AUXILIARY: keras.layers.Conv2D(class_count, 1, dtype="float32", name=AUXILIARY)(features),
    }
    return keras.Model(frame, outputs, name="small")


SMALL = ModelSpec("small", "Small", "none", build_small, stride=4, size_multiple=4, auxiliary_weights={AUXILIARY: 0.4})


class CrossEntropy:
    """Softmax cross entropy at the positions of the logits, void left out: a stand-in for train.losses."""

    def _counted(self, labels: tf.Tensor) -> tf.Tensor:
        return tf.cast(labels[:, ::4, ::4] != VOID, tf.float32)

    def normaliser(self, labels: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(self._counted(labels))

    def total(self, labels: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
        classes = tf.cast(labels[:, ::4, ::4], tf.int32)
        known = tf.where(classes == VOID, 0, classes)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(known, output)
        return tf.reduce_sum(losses * self._counted(labels))


class Batches:
    """The batches of a training as a function of seed and step; void lies on some crops alone."""

    def __init__(self, batch_size: int, seed: int = 0) -> None:
        self.batch_size, self._seed = batch_size, seed

    def whole(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        generator = np.random.default_rng((self._seed, step))
        labels = generator.integers(0, CLASSES, (self.batch_size, SIDE, SIDE), np.uint8)
        noise = generator.integers(0, 60, (self.batch_size, SIDE, SIDE, 3), np.uint8)
        frames = noise + (labels[..., None] * np.array([40, 20, 45], np.uint8))
        for crop in range(self.batch_size // 2):
            labels[crop, : 4 * (1 + crop % 4)] = VOID
        labels[0] = VOID
        return frames, labels

    def batches(self, first_step: int = 0, replicas: int = 1, worker: int = 0, workers: int = 1) -> tf.data.Dataset:
        size = self.batch_size // (replicas * workers)

        def part(number):
            step, replica = divmod(int(number), replicas)
            frames, labels = self.whole(first_step + step)
            start = (worker * replicas + replica) * size
            return frames[start : start + size], labels[start : start + size]

        def element(number):
            frames, labels = tf.numpy_function(part, [number], [tf.uint8, tf.uint8])
            return tf.ensure_shape(frames, (size, SIDE, SIDE, 3)), tf.ensure_shape(labels, (size, SIDE, SIDE))

        return tf.data.Dataset.range(1 << 40).map(element)


class SmallTraining:
    """A training of the small network, ready for its first step."""

    def __init__(
        self,
        recipe: Recipe,
        strategy: TrainingStrategy | None = None,
        *,
        seed: int = 3,
        steps: int = 20,
        first_step: int = 0,
        xla: bool = False,
        **options: object,
    ) -> None:
        self.strategy = strategy or open_strategy(ONE)
        self.strategy.check_batch(recipe.batch_size, recipe.accumulation)
        with self.strategy.scope():
            self.model = build_network(SMALL, recipe, SIDE, SIDE, CLASSES, options, seed)
            self.optimization = Optimization(self.model, recipe, steps)
            self.ema = AveragedWeights(self.model, recipe.ema) if recipe.ema else None
            losses = {name: CrossEntropy() for name in self.model.output}
            self.stepper = TrainingStep(
                self.strategy,
                self.model,
                losses,
                {LOGITS: 1.0, AUXILIARY: 0.4},
                self.optimization,
                ema=self.ema,
                accumulation=recipe.accumulation,
                precision=recipe.precision,
                xla=xla,
            )
        self.batches = self.strategy.batches(Batches(recipe.batch_size), first_step)

    def run(self, steps: int) -> list[float]:
        return [float(self.stepper.step(next(self.batches)).loss) for _ in range(steps)]

    def weights(self) -> dict[str, np.ndarray]:
        return {variable.path: variable.numpy() for variable in self.model.weights}


def recipe(**changes: object) -> Recipe:
    """Return SGD with momentum and coupled decay over batches of eight crops."""
    return Recipe(1, 8, SIDE, SIDE, "sgd", 0.05, weight_decay=1e-2).changed(**changes)
