"""The losses equal their formulas, written out in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from edge.labels import IGNORE_ID
from edge.postprocess import upsample_argmax
from train.losses import MaskedCrossEntropy, PresenceLoss, balanced_class_weights, training_losses
from train.models import MODELS
from train.models.layers import resize_bilinear

CLASSES = 5
GENERATOR = np.random.default_rng(2)
LABELS = GENERATOR.integers(0, CLASSES, (2, 16, 24)).astype(np.uint8)
LABELS[:, :4] = IGNORE_ID
WEIGHTS = GENERATOR.uniform(0.5, 5, CLASSES).astype(np.float32)


def log_softmax(logits):
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def naive_cross_entropy(labels, logits, weights):
    total = weight_sum = 0.0
    scores = log_softmax(logits.astype(np.float64))
    for position in np.ndindex(labels.shape):
        label = labels[position]
        if label != IGNORE_ID:
            total -= weights[label] * scores[position][label]
            weight_sum += weights[label]
    return total / weight_sum


@pytest.mark.parametrize("weights", [np.ones(CLASSES, np.float32), WEIGHTS])
def test_cross_entropy_is_the_weighted_mean_over_pixels_that_count(weights):
    logits = GENERATOR.normal(0, 3, (*LABELS.shape, CLASSES)).astype(np.float32)
    loss = MaskedCrossEntropy(weights, upsample=True)
    assert float(loss(LABELS, logits)) == pytest.approx(naive_cross_entropy(LABELS, logits, weights), rel=1e-5)


def test_logits_are_brought_to_the_size_of_the_labels():
    cv2 = pytest.importorskip("cv2")
    logits = GENERATOR.normal(0, 3, (2, 2, 3, CLASSES)).astype(np.float32)
    large = np.stack([cv2.resize(item, (24, 16), interpolation=cv2.INTER_LINEAR) for item in logits])
    loss = MaskedCrossEntropy(WEIGHTS, upsample=True)
    assert float(loss(LABELS, logits)) == pytest.approx(naive_cross_entropy(LABELS, large, WEIGHTS), rel=1e-4)


def test_auxiliary_loss_takes_the_labels_at_the_middle_of_each_cell():
    logits = GENERATOR.normal(0, 3, (2, 2, 3, CLASSES)).astype(np.float32)
    loss = MaskedCrossEntropy(WEIGHTS, upsample=False)
    sampled = LABELS[:, 4::8, 4::8]
    assert sampled.shape == logits.shape[:3]
    assert float(loss(LABELS, logits)) == pytest.approx(naive_cross_entropy(sampled, logits, WEIGHTS), rel=1e-5)


@pytest.mark.parametrize("upsample", [True, False])
def test_crop_where_nothing_counts_has_loss_zero(upsample):
    logits = GENERATOR.normal(0, 3, (2, 2, 3, CLASSES)).astype(np.float32)
    loss = MaskedCrossEntropy(WEIGHTS, upsample)
    assert float(loss(np.full_like(LABELS, IGNORE_ID), logits)) == 0.0


def test_ignored_pixels_have_no_gradient():
    import tensorflow as tf

    logits = tf.Variable(GENERATOR.normal(0, 3, (*LABELS.shape, CLASSES)).astype(np.float32))
    with tf.GradientTape() as tape:
        value = MaskedCrossEntropy(WEIGHTS, upsample=True)(LABELS, logits)
    gradient = tape.gradient(value, logits).numpy()
    assert not gradient[LABELS == IGNORE_ID].any()
    assert np.abs(gradient[LABELS != IGNORE_ID]).sum(-1).min() > 0


def test_presence_loss_is_the_binary_cross_entropy_of_the_classes_in_a_crop():
    logits = GENERATOR.normal(0, 2, (2, CLASSES)).astype(np.float32)
    labels = LABELS.copy()
    labels[0][labels[0] == 3] = IGNORE_ID
    there = np.array([[np.any(item == index) for index in range(CLASSES)] for item in labels], np.float64)
    assert not there[0, 3] and there[1].all()
    probability = 1 / (1 + np.exp(-logits.astype(np.float64)))
    expected = -np.mean(there * np.log(probability) + (1 - there) * np.log(1 - probability))
    assert float(PresenceLoss(CLASSES)(labels, logits)) == pytest.approx(expected, rel=1e-5)


def test_every_output_of_a_model_has_its_loss_and_weight():
    outputs = {"logits", *MODELS["fastfcn"].auxiliary_weights}
    losses, weights = training_losses(MODELS["fastfcn"], outputs, CLASSES, WEIGHTS)
    assert set(losses) == set(weights) == {"logits", *MODELS["fastfcn"].auxiliary_weights}
    assert weights["logits"] == 1.0
    assert isinstance(losses["presence"], PresenceLoss)
    outputs = {"logits", "auxiliary_high", "auxiliary_low"}
    losses, weights = training_losses(MODELS["fast_scnn"], outputs, CLASSES, WEIGHTS)
    assert weights == {"logits": 1.0, "auxiliary_high": 0.4, "auxiliary_low": 0.4}


def test_outputs_that_an_option_leaves_out_or_training_has_no_loss_for_have_none():
    losses, weights = training_losses(MODELS["fastfcn"], {"logits", "auxiliary"}, CLASSES, WEIGHTS)
    assert set(losses) == set(weights) == {"logits", "auxiliary"}
    losses, _ = training_losses(MODELS["panoptic_deeplab"], {"logits", "centre", "offset"}, CLASSES, WEIGHTS)
    assert set(losses) == {"logits"}


def test_auxiliary_labels_are_those_in_the_middle_of_cells_that_do_not_divide_the_frame():
    labels = np.arange(15, dtype=np.uint8)[None, :, None].repeat(15, axis=2) % CLASSES
    logits = np.zeros((1, 4, 4, CLASSES), np.float32)
    for row, pixel in enumerate((1, 5, 9, 13)):  # 15 pixels in 4 cells of 3.75
        logits[0, row, :, pixel % CLASSES] = 50.0
    loss = MaskedCrossEntropy(np.ones(CLASSES), upsample=False)
    assert float(loss(labels, logits)) < 1e-6


def test_balanced_weights_are_those_of_enet():
    weights = balanced_class_weights(np.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(weights, 1 / np.log([1.02, 1.52, 2.02]), rtol=1e-6)
    assert weights.dtype == np.float32
    assert 1.4 < weights[2] < weights[1] < weights[0] < 50.6


def test_loss_upsamples_by_the_rule_of_the_contract():
    logits = np.random.default_rng(2).normal(0, 4, (1, 3, 5, CLASSES)).astype(np.float32)
    for coordinates in ("half_pixel", "align_corners"):
        labels = upsample_argmax(logits[0].transpose(2, 0, 1).copy(), 24, 40, coordinates)[None]
        resized = np.asarray(resize_bilinear(logits, 24, 40, coordinates))
        assert np.array_equal(resized.argmax(axis=-1).astype(np.uint8), labels)
        loss = MaskedCrossEntropy(np.ones(CLASSES), True, coordinates)
        probabilities = np.exp(resized - resized.max(-1, keepdims=True))
        probabilities /= probabilities.sum(-1, keepdims=True)
        expected = -np.log(np.take_along_axis(probabilities, labels[..., None].astype(int), -1)).mean()
        assert float(loss(labels, logits)) == pytest.approx(expected, rel=1e-4)
