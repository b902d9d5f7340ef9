"""Every output of a model that training judges has its loss and weight."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from edge.errors import InputError
from tests.train.losses.formulas import CLASSES, drawn_logits, mixed_labels
from train.losses import CellCrossEntropy, CrossEntropy, PresenceLoss, training_losses
from train.models import MODELS

WEIGHTS = np.ones(CLASSES, np.float32)


def outputs(*names):
    return {name: keras.KerasTensor((None, CLASSES) if name == "presence" else (None, 4, 6, CLASSES)) for name in names}


def test_every_output_of_a_model_has_its_loss_and_weight():
    spec = MODELS["fastfcn"]
    losses, weights = training_losses(spec, outputs("logits", *spec.auxiliary_weights), CLASSES, WEIGHTS)
    assert list(losses) == list(weights) == ["logits", *spec.auxiliary_weights]
    assert weights == {"logits": 1.0, **spec.auxiliary_weights}
    assert isinstance(losses["logits"], CrossEntropy)
    assert isinstance(losses["presence"], PresenceLoss)
    losses, weights = training_losses(
        MODELS["fast_scnn"], outputs("logits", "auxiliary_high", "auxiliary_low"), CLASSES, WEIGHTS
    )
    assert weights == {"logits": 1.0, "auxiliary_high": 0.4, "auxiliary_low": 0.4}
    assert isinstance(losses["auxiliary_low"], CellCrossEntropy)


def test_auxiliary_head_is_judged_at_the_size_of_its_own_map():
    losses, _ = training_losses(MODELS["fast_scnn"], outputs("logits", "auxiliary_high"), CLASSES, WEIGHTS)
    labels = tf.constant(np.zeros((2, 32, 48), np.uint8))
    assert float(losses["auxiliary_high"].normaliser(labels)) == 2 * 4 * 6
    assert float(losses["logits"].normaliser(labels)) == 2 * 32 * 48


def test_outputs_that_an_option_leaves_out_or_training_has_no_loss_for_have_none():
    losses, weights = training_losses(MODELS["fastfcn"], outputs("logits", "auxiliary"), CLASSES, WEIGHTS)
    assert set(losses) == set(weights) == {"logits", "auxiliary"}
    losses, _ = training_losses(MODELS["panoptic_deeplab"], outputs("logits", "centre", "offset"), CLASSES, WEIGHTS)
    assert set(losses) == {"logits"}


def test_weights_of_the_recipe_replace_those_of_the_architecture():
    names = outputs("logits", "auxiliary_high", "auxiliary_low")
    own = {"auxiliary_high": 0.7, "auxiliary_low": 0.0}
    losses, weights = training_losses(MODELS["fast_scnn"], names, CLASSES, WEIGHTS, auxiliary_weights=own)
    assert weights == {"logits": 1.0, "auxiliary_high": 0.7}
    assert set(losses) == set(weights)


def test_weight_of_an_output_that_is_not_there_is_refused():
    with pytest.raises(
        InputError, match="names auxiliary_hihg, but the auxiliary outputs of fast_scnn are: auxiliary_high,"
    ):
        training_losses(
            MODELS["fast_scnn"], outputs("logits"), CLASSES, WEIGHTS, auxiliary_weights={"auxiliary_hihg": 1.0}
        )


def test_class_weights_coordinates_and_hardest_share_reach_the_loss_of_the_logits():
    labels, logits = tf.constant(mixed_labels()), tf.constant(drawn_logits(3, 4, 6))
    own = np.arange(1, CLASSES + 1, dtype=np.float32)

    def mean(*settings):
        loss = training_losses(MODELS["unet"], outputs("logits"), CLASSES, *settings)[0]["logits"]
        return float(loss.total(labels, logits) / loss.normaliser(labels))

    settings = (
        (WEIGHTS, "half_pixel", 1.0),
        (own, "half_pixel", 1.0),
        (WEIGHTS, "align_corners", 1.0),
        (WEIGHTS, "half_pixel", 0.5),
    )
    values = [mean(*each) for each in settings]
    assert len({round(value, 3) for value in values}) == 4
    assert values[3] > values[0]
