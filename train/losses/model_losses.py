"""The losses of all outputs of a model that training judges."""

from __future__ import annotations

from typing import Mapping

import keras
import numpy as np

from edge.errors import InputError
from train.losses.cross_entropy import CellCrossEntropy, CrossEntropy
from train.losses.head_loss import HeadLoss
from train.losses.presence import PresenceLoss
from train.models.base import LOGITS, PRESENCE, ModelSpec
from train.options import HALF_PIXEL


def training_losses(
    spec: ModelSpec,
    outputs: Mapping[str, keras.KerasTensor],
    class_count: int,
    class_weights: np.ndarray,
    coordinates: str = HALF_PIXEL,
    hardest_share: float = 1.0,
    auxiliary_weights: Mapping[str, float] | None = None,
) -> tuple[dict[str, HeadLoss], dict[str, float]]:
    """Return the loss and its weight for each output that training judges.

    Args:
        spec: the architecture.
        outputs: the model's outputs by name, with their shapes; options decide which auxiliary heads it has.
        class_count: number of classes of the dataset.
        class_weights: weight of each class, (classes,) float.
        coordinates: coordinate rule by which the logits are upsampled.
        hardest_share: share of the labelled pixels of a crop that the loss of the logits counts; 1 for all.
        auxiliary_weights: name of an auxiliary output -> weight of its loss, where it differs from the
            architecture's; a weight of 0 leaves the head out.

    Returns:
        Name of an output -> its loss, and -> the weight of that loss, in the same order, the logits first.

    Raises:
        InputError: a weight is given for an output that is no auxiliary one of the architecture.
    """
    own = dict(auxiliary_weights or {})
    for name in own:
        if name not in spec.auxiliary_weights:
            heads = ", ".join(spec.auxiliary_weights) or "none"
            raise InputError(f"auxiliary_weights names {name}, but the auxiliary outputs of {spec.name} are: {heads}")
    losses: dict[str, HeadLoss] = {LOGITS: CrossEntropy(class_weights, coordinates, hardest_share)}
    weights = {LOGITS: 1.0}
    for name, weight in {**spec.auxiliary_weights, **own}.items():
        if name not in outputs or not weight:
            continue
        weights[name] = weight
        if name == PRESENCE:
            losses[name] = PresenceLoss(class_count)
        else:
            losses[name] = CellCrossEntropy(class_weights, *outputs[name].shape[1:3])
    return losses, weights
