"""What a recipe becomes before the first step: the network, its losses, its optimiser, its input and its validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

import keras
import numpy as np

from edge.accuracy import LabelFrame
from edge.console import print_status
from edge.datasets import Dataset
from edge.network_class import network_classes
from train.engine.network import build_network, judged_part
from train.engine.state import named_variables
from train.engine.step import TrainingStep
from train.engine.strategies import TrainingStrategy
from train.initial_weights import InitialWeights, transfer
from train.input.augmentation import Augmentation
from train.input.class_pixels import count_class_pixels
from train.input.pipeline import TrainingInput
from train.losses import class_weights, training_losses
from train.models import model_spec
from train.models.base import inference_model
from train.optimization.averaged_weights import AveragedWeights
from train.optimization.backbone_layers import backbone_layers
from train.optimization.optimization import Optimization
from train.options import training_options
from train.recipe import NO_WEIGHTING, Recipe
from train.validation import keras_labeller


@dataclass(frozen=True)
class Preparation:
    """Everything that a training needs, built from a recipe.

    Attributes:
        model_name: key in train.models.MODELS.
        recipe: settings of the training.
        options: every option of the architecture.
        seed: seed of the initial weights, of the order of frames and of the augmentation.
        initial_origin: description of the weights that the network started from.
        training: labelled split to learn from.
        validation: labelled split that decides which epoch is best.
        strategy: what the step is spread over.
        network: the whole network at the size of the crops, with every output.
        evaluator: the network at the size of the validation frames, whose weights are set before each validation.
        label_frame: function that labels a frame by the evaluator.
        batches: the batches of the training.
        optimization: the optimiser with its schedule.
        average: moving average of the weights; None where the recipe has none.
        step: the step itself.
        loss_weights: output -> weight of its loss.
        class_weights: weight of each class in the cross entropy, (classes,) float32.
    """

    model_name: str
    recipe: Recipe
    options: dict[str, Any]
    seed: int
    initial_origin: str
    training: Dataset
    validation: Dataset
    strategy: TrainingStrategy
    network: keras.Model
    evaluator: keras.Model
    label_frame: LabelFrame
    batches: TrainingInput
    optimization: Optimization
    average: AveragedWeights | None
    step: TrainingStep
    loss_weights: dict[str, float]
    class_weights: np.ndarray

    @property
    def steps_per_epoch(self) -> int:
        """Number of steps in an epoch."""
        return steps_per_epoch(len(self.training), self.recipe)

    def variables(self) -> dict[str, keras.Variable]:
        """Return name -> variable of everything that the next step depends on."""
        return named_variables(self.network, self.optimization, self.average, self.step)

    def load_evaluator(self) -> None:
        """Give the evaluator the weights that are validated and kept: the average where there is one."""
        if self.average is None:
            self.evaluator.set_weights(self.network.get_weights())
            return
        values = self.average.values()
        for layer in self.evaluator.layers:
            if layer.name in values:
                layer.set_weights(values[layer.name])


def steps_per_epoch(frames: int, recipe: Recipe) -> int:
    """Return the number of steps in an epoch; the frames that fill no batch come at the start of the next epoch."""
    return max(1, frames // recipe.batch_size)


def prepare(
    model_name: str,
    training: Dataset,
    validation: Dataset,
    recipe: Recipe,
    strategy: TrainingStrategy,
    *,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    initial: InitialWeights | None = None,
    initial_origin: str = "random",
) -> Preparation:
    """Build everything that a training needs.

    Args:
        model_name: key in train.models.MODELS.
        training: labelled split to learn from.
        validation: labelled split that decides which epoch is best.
        recipe: settings of the training.
        strategy: what the step is spread over.
        seed: seed of the initial weights, of the order of frames and of the augmentation.
        options: options of the architecture that the user or the recipe set; ignored with `initial`, which has its
            own.
        initial: weights to start from; None for random ones, or where a state is restored.
        initial_origin: description of the initial weights, where `initial` is None.

    Raises:
        SizeError: the model cannot take the recipe's sizes.
        InputError: the recipe contradicts itself or does not fit the model or the replicas.
        DatasetError: a label map cannot be read.
    """
    spec = model_spec(model_name)
    options = training_options(model_name, initial.options if initial is not None else options or {})
    spec.check_size(recipe.height, recipe.width)
    spec.check_size(*recipe.crop_size)
    strategy.check_batch(recipe.batch_size, recipe.accumulation)
    class_count, coordinates = training.table.class_count, spec.coordinates(options)
    weights = np.ones(class_count, np.float32)
    if recipe.class_weighting != NO_WEIGHTING:
        pixels = count_class_pixels(training)
        weights = class_weights(recipe.class_weighting, pixels.of_class, pixels.of_frames)
    with strategy.scope():
        network = build_network(spec, recipe, *recipe.crop_size, class_count, options, seed)
        if initial is not None:
            transferred = transfer(initial, network, class_count, network_classes(training.table), spec)
            if strategy.is_chief:
                print_status("\n".join(transferred.lines(initial.origin)))
        losses, loss_weights = training_losses(
            spec, network.output, class_count, weights, coordinates, recipe.hardest_share, recipe.auxiliary_weights
        )
        judged = judged_part(network, losses)
        total = recipe.epochs * steps_per_epoch(len(training), recipe)
        backbone = backbone_layers(model_name, options, [layer.name for layer in network.layers])
        optimization = Optimization(judged, recipe, total, backbone)
        average = AveragedWeights(network, recipe.ema) if recipe.ema else None
        step = TrainingStep(
            strategy,
            judged,
            losses,
            loss_weights,
            optimization,
            ema=average,
            accumulation=recipe.accumulation,
            precision=recipe.precision,
            xla=recipe.xla,
        )
    evaluator = spec.build(recipe.height, recipe.width, class_count, **options)
    return Preparation(
        model_name=model_name,
        recipe=recipe,
        options=options,
        seed=seed,
        initial_origin=initial.origin if initial is not None else initial_origin,
        training=training,
        validation=validation,
        strategy=strategy,
        network=network,
        evaluator=evaluator,
        label_frame=keras_labeller(inference_model(evaluator), recipe.height, recipe.width, coordinates),
        batches=TrainingInput(
            training,
            *recipe.crop_size,
            recipe.batch_size,
            Augmentation.of_recipe(recipe),
            seed,
            (recipe.height, recipe.width),
        ),
        optimization=optimization,
        average=average,
        step=step,
        loss_weights=loss_weights,
        class_weights=weights,
    )
