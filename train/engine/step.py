"""TrainingStep: one step of a training, the same for any number of replicas and parts of the batch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Mapping, Protocol, Sequence

import keras
import tensorflow as tf

from edge.errors import InputError
from train.engine.memory import check_memory, largest_that_fits, too_little_memory
from train.engine.network import batch_norms
from train.engine.strategies import TrainingStrategy
from train.native import without_kernels
from train.native.training_call import training_outputs
from train.optimization.averaged_weights import AveragedWeights
from train.optimization.loss_scale import LossScale, all_finite
from train.optimization.optimization import Optimization
from train.recipe import FLOAT32, MIXED_FLOAT16

LEAST_NORMALISER = 1e-6
"""Smallest divisor of a loss: crops without a labelled pixel give 0 and not 0 / 0."""

_LOST_WORKER = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.UnavailableError,
)
"""What TensorFlow raises in a step over several processes when one of them is gone: at once or some ten seconds later,
when its heartbeats are missed."""


class HeadLoss(Protocol):
    """The loss of one output of a network; see train.losses.

    The loss of a batch is total / normaliser, each summed over all parts of the batch first: then it does not depend
    on how the batch is cut.
    """

    def normaliser(self, labels: tf.Tensor) -> tf.Tensor:
        """Return what the loss of a batch is divided by, () float32, from labels (N, height, width) uint8 alone."""

    def total(self, labels: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
        """Return the sum of the weighted losses of labels (N, height, width) uint8 and one output, () float32."""


@dataclass(frozen=True)
class StepResult:
    """What a step tells. The values are tensors: reading one waits for the step.

    Attributes:
        loss: weighted sum of the losses of all outputs over the whole batch, before the step, () float32.
        losses: output -> its own loss, unweighted, () float32.
        learning_rate: rate of the step, () float32.
        applied: whether the weights were updated, () bool; a step whose float16 gradients overflow leaves them.
    """

    loss: tf.Tensor
    losses: dict[str, tf.Tensor]
    learning_rate: tf.Tensor
    applied: tf.Tensor


class TrainingStep:
    """One step of a training: gradients of a batch over all replicas, and the update of the weights.

    Every replica computes the gradients of its crops. Losses are divided by the normaliser of the whole batch, so that
    the sum of all gradients is the gradient of the whole batch, however the labelled pixels are spread.

    Attributes:
        loss_scale: the scale of the loss; None unless the precision is mixed_float16.

    Args:
        strategy: what the training is spread over; build the step within its scope.
        model: network to train, which has the outputs of the losses and no others.
        losses: output -> its loss.
        loss_weights: output -> weight of its loss.
        optimization: optimisation of the model.
        ema: moving average of the model's weights; None for none.
        accumulation: parts that each replica computes its crops in, one after the other. Activations of one part are
            in memory at a time. The step is the same but for BatchNorm, which sees the crops of a part.
        precision: precision that the model was built for.
        xla: whether forward and backward pass are compiled by XLA.

    Raises:
        InputError: XLA is asked for together with synchronised BatchNorm over several replicas.
    """

    def __init__(
        self,
        strategy: TrainingStrategy,
        model: keras.Model,
        losses: Mapping[str, HeadLoss],
        loss_weights: Mapping[str, float],
        optimization: Optimization,
        *,
        ema: AveragedWeights | None = None,
        accumulation: int = 1,
        precision: str = FLOAT32,
        xla: bool = False,
    ) -> None:
        if xla and strategy.replicas > 1 and any(norm.synchronized for norm in batch_norms(model)):
            raise InputError(
                f"XLA cannot synchronise BatchNorm over {strategy.replicas} replicas. "
                "Next: batch_norm 'local', or xla false"
            )
        self._strategy, self._model = strategy, model
        self._losses, self._loss_weights = dict(losses), dict(loss_weights)
        self._optimization, self._ema, self._accumulation = optimization, ema, accumulation
        self.loss_scale = LossScale() if precision == MIXED_FLOAT16 else None
        self._fits = False
        self._compute = self._gradients_of_part
        if xla:
            self._compute = tf.function(self._compiled_gradients, autograph=False, jit_compile=True)
        # No Python here asks for the value of a tensor; to find that out takes AutoGraph a third of the trace.
        self._run = tf.function(self._step_of_all, autograph=False)

    def step(self, batch: tuple[Any, Any]) -> StepResult:
        """Take one step; the first one is taken only if there is memory for it.

        Args:
            batch: frames (b, height, width, 3) uint8 and labels (b, height, width) uint8 of each replica, as
                `TrainingStrategy.batches` gives them.

        Returns:
            What the step tells, equal on every worker.

        Raises:
            InputError: the machine or the device has too little memory; the message names the largest batch that fits.
            SegEdgeError: another worker is lost; the message names it.
        """
        if not self._fits:
            self.check_memory(batch)
        try:
            loss, losses, rate, applied = self._run(*batch)
        except tf.errors.ResourceExhaustedError:
            raise self._too_little_memory(batch) from None
        except _LOST_WORKER as error:
            if self._strategy.cluster is None:
                raise
            raise self._strategy.cluster.lost_worker(str(error)) from None
        return StepResult(loss, losses, rate, applied)

    def check_memory(self, batch: tuple[Any, Any], room_bytes: int | None = None) -> None:
        """Refuse a batch whose step takes more memory than there is; see train.engine.memory.

        Args:
            batch: a batch as `step` takes it. The step is traced for it here, and not again.
            room_bytes: memory that there is; None to ask the machine.

        Raises:
            InputError: it does not fit; the message names the largest batch that does.
        """
        if self._strategy.local_replicas == 1 and not tf.config.list_logical_devices("GPU"):
            weights = sum(variable.dtype.size * math.prod(variable.shape) for variable in self._weights())
            (frames,) = self._strategy.distribution.experimental_local_results(batch[0])
            crops, parts = frames.shape[0] // self._accumulation, self._strategy.replicas * self._accumulation
            check_memory(self.graph(batch), weights, crops, parts, self._accumulation, room_bytes)
        self._fits = True

    def graph(self, batch: tuple[Any, Any]) -> tf.Graph:
        """Return the graph of the step, traced for batches like this one; `step` traces no other."""
        return self._run.get_concrete_function(*batch).graph

    def _too_little_memory(self, batch: tuple[Any, Any]) -> InputError:
        frames, labels = (self._strategy.distribution.experimental_local_results(part)[0] for part in batch)
        crops = frames.shape[0] // self._accumulation
        free_shapes = [tf.TensorSpec((None, *part.shape[1:]), part.dtype) for part in (frames, labels)]
        ones = tf.ones((len(self._losses),))
        trial = tf.function(
            lambda *part: self._gradients_of_part(*part, ones), input_signature=free_shapes, autograph=False
        )

        def fits(count: int) -> bool:
            try:
                trial(frames[:count], labels[:count])
            except tf.errors.ResourceExhaustedError:
                return False
            return True

        parts = self._strategy.replicas * self._accumulation
        fitting = largest_that_fits(fits, crops)
        return too_little_memory(crops, fitting, parts, self._accumulation, "more memory than the device has")

    def _step_of_all(self, frames: Any, labels: Any) -> tuple:
        results = self._strategy.distribution.run(self._step_of_replica, args=(frames, labels))
        # Every replica knows the sums over all of them.
        return tf.nest.map_structure(
            lambda value: self._strategy.distribution.experimental_local_results(value)[0], results
        )

    def _step_of_replica(self, frames: tf.Tensor, labels: tf.Tensor) -> tuple:
        normalisers = self._normalisers(labels)
        gradients, totals = self._gradients(frames, labels, normalisers)
        *gradients, totals = _sum_over_replicas([*gradients, totals])
        finite = None
        if self.loss_scale is not None:
            gradients = self.loss_scale.unscaled(gradients)
            finite = all_finite(gradients)
            self.loss_scale.update(finite)
        rate = self._optimization.apply(gradients, finite)
        if self._ema is not None:
            self._ema.update()
        losses = dict(zip(self._losses, tf.unstack(totals / normalisers)))
        loss = tf.add_n([self._loss_weights[name] * value for name, value in losses.items()])
        return loss, losses, rate, tf.constant(True) if finite is None else finite

    def _normalisers(self, labels: tf.Tensor) -> tf.Tensor:
        """Return the divisor of each loss over the whole batch, (losses,) float32."""
        own = tf.stack([loss.normaliser(labels) for loss in self._losses.values()])
        (whole,) = _sum_over_replicas([own])
        return tf.maximum(whole, LEAST_NORMALISER)

    def _gradients(
        self, frames: tf.Tensor, labels: tf.Tensor, normalisers: tf.Tensor
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Return the gradients and the totals of the losses, summed over the parts of a replica's crops."""
        size = frames.shape[0] // self._accumulation
        gradients, totals = self._compute(frames[:size], labels[:size], normalisers)
        for start in range(size, size * self._accumulation, size):
            # A part begins when the one before it is done: TensorFlow would compute them side by side, and hold the
            # activations of all.
            with tf.control_dependencies([*gradients, totals]):
                part = tf.identity(frames[start : start + size])
            more, more_totals = self._compute(part, labels[start : start + size], normalisers)
            gradients = [one + other for one, other in zip(gradients, more)]
            totals = totals + more_totals
        return gradients, totals

    def _compiled_gradients(self, *part: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor]:
        with without_kernels():  # XLA knows TensorFlow's own operations alone
            return self._gradients_of_part(*part)

    def _gradients_of_part(
        self, frames: tf.Tensor, labels: tf.Tensor, normalisers: tf.Tensor
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        with tf.GradientTape() as tape:
            outputs = training_outputs(self._model, frames)
            totals = [loss.total(labels, tf.cast(outputs[name], tf.float32)) for name, loss in self._losses.items()]
            shares = (total / normalisers[index] for index, total in enumerate(totals))
            loss = tf.add_n([self._loss_weights[name] * share for name, share in zip(self._losses, shares)])
            if self.loss_scale is not None:
                loss = self.loss_scale.scaled(loss)
        return tape.gradient(loss, self._weights()), tf.stack(totals)

    def _weights(self) -> list[tf.Variable]:
        return [variable.value for variable in self._model.trainable_variables]


def _sum_over_replicas(values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, list(values))
