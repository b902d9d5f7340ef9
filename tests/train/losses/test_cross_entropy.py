"""The cross entropies equal their formulas, written out in NumPy, in both forms of the arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from edge.labels import IGNORE_ID
from edge.postprocess import upsample_argmax
from tests.train.losses import formulas
from tests.train.losses.formulas import CLASSES, drawn_logits, mixed_labels
from train.losses import CellCrossEntropy, CrossEntropy
from train.models.layers import resize_bilinear

WEIGHTS = np.random.default_rng(4).uniform(0.5, 5, CLASSES).astype(np.float32)
ONES = np.ones(CLASSES, np.float32)
COORDINATES = ("half_pixel", "align_corners")


def evaluate(loss, labels, logits):
    """Return total, gradient and normaliser, computed in a graph as in training."""

    @tf.function
    def compute(labels, logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            total = loss.total(labels, logits)
        return total, tape.gradient(total, logits), loss.normaliser(labels)

    total, gradient, normaliser = compute(tf.constant(labels), tf.constant(logits))
    return float(total), gradient.numpy(), float(normaliser)


@pytest.mark.parametrize("weights", [ONES, WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize(
    "size", [(16, 24), (2, 3), (4, 4), (5, 7), (1, 1), (20, 30)], ids=lambda size: "x".join(map(str, size))
)
def test_loss_and_gradient_are_those_of_the_logits_at_the_size_of_the_labels(form, size, coordinates, weights):
    labels, logits = mixed_labels(), drawn_logits(3, *size)
    total, gradient, normaliser = evaluate(CrossEntropy(weights, coordinates), labels, logits)
    expected_total, expected_gradient = formulas.total_and_gradient(labels, logits, weights, coordinates)
    assert total == pytest.approx(expected_total, rel=1e-5)
    # float32: a node's gradient is a sum over up to 384 pixels of either sign.
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-4, atol=2e-5 * np.abs(expected_gradient).max())
    assert normaliser == pytest.approx(formulas.weight_map(labels, weights).sum(), rel=1e-6)


def test_class_weighting_is_not_ignored(form):
    labels, logits = mixed_labels(), drawn_logits(3, 2, 3)
    mean = [
        total / normaliser
        for total, _, normaliser in (evaluate(CrossEntropy(w), labels, logits) for w in (ONES, WEIGHTS))
    ]
    assert abs(mean[0] - mean[1]) > 0.01


def test_void_pixels_have_no_gradient(form):
    labels, logits = mixed_labels(), drawn_logits(*mixed_labels().shape)
    _, gradient, _ = evaluate(CrossEntropy(WEIGHTS), labels, logits)
    assert not gradient[labels == IGNORE_ID].any()
    assert np.abs(gradient[labels != IGNORE_ID]).sum(-1).min() > 0


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_crops_without_a_labelled_pixel_have_loss_and_gradient_zero(form, share):
    labels = np.full((2, 16, 24), IGNORE_ID, np.uint8)
    for loss in (CrossEntropy(WEIGHTS, hardest_share=share), CellCrossEntropy(WEIGHTS, 2, 3)):
        total, gradient, normaliser = evaluate(loss, labels, drawn_logits(2, 2, 3))
        assert total == normaliser == 0
        assert not gradient.any()


def test_logits_far_apart_give_the_exact_loss(form):
    labels = np.zeros((1, 8, 8), np.uint8)
    logits = np.full((1, 1, 1, CLASSES), -300.0, np.float32)
    logits[..., 1] = 500.0
    total, gradient, _ = evaluate(CrossEntropy(ONES), labels, logits)
    assert total == pytest.approx(64 * 800, rel=1e-6)
    np.testing.assert_allclose(gradient[0, 0, 0], [-64, 64, 0, 0, 0], atol=1e-5)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("share", [1.0, 0.3])
def test_logit_that_is_not_finite_is_seen_in_the_loss(form, wrong, share):
    labels, logits = mixed_labels(), drawn_logits(3, 2, 3)
    logits[1, 1, 1, 2] = wrong
    total, _, _ = evaluate(CrossEntropy(ONES, hardest_share=share), labels, logits)
    assert not np.isfinite(total)


def test_loss_upsamples_by_the_rule_of_the_contract(form):
    logits = drawn_logits(1, 3, 5)
    for coordinates in COORDINATES:
        labels = upsample_argmax(logits[0].transpose(2, 0, 1).copy(), 24, 40, coordinates)[None]
        resized = np.asarray(resize_bilinear(logits, 24, 40, coordinates))
        assert np.array_equal(resized.argmax(axis=-1).astype(np.uint8), labels)
        total, _, _ = evaluate(CrossEntropy(ONES, coordinates), labels, logits)
        assert total == pytest.approx(formulas.pixel_losses(labels, resized, ONES).sum(), rel=1e-4)
        other = COORDINATES[coordinates == COORDINATES[0]]
        assert evaluate(CrossEntropy(ONES, other), labels, logits)[0] > 1.05 * total


@pytest.mark.parametrize("weights", [ONES, WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize("share", [0.01, 0.25, 0.7])
def test_the_hardest_share_of_the_labelled_pixels_of_each_crop_counts(form, share, weights):
    labels, logits = mixed_labels(), drawn_logits(*mixed_labels().shape)
    keep = formulas.hardest(labels, formulas.pixel_losses(labels, logits, weights), share)
    expected_total, expected_gradient = formulas.total_and_gradient(labels, logits, weights, keep=keep)
    total, gradient, normaliser = evaluate(CrossEntropy(weights, hardest_share=share), labels, logits)
    assert total == pytest.approx(expected_total, rel=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-5)
    labelled = (labels != IGNORE_ID).sum(axis=(1, 2))
    sums = formulas.weight_map(labels, weights).sum(axis=(1, 2))
    assert normaliser == pytest.approx((keep.sum(axis=(1, 2)) / labelled * sums).sum(), rel=1e-5)


def test_between_equally_hard_pixels_the_first_count(form):
    labels = np.zeros((1, 8, 8), np.uint8)
    labels[0, 0] = IGNORE_ID
    _, gradient, normaliser = evaluate(
        CrossEntropy(ONES, hardest_share=0.25), labels, np.zeros((1, 8, 8, CLASSES), np.float32)
    )
    counted = np.abs(gradient[0]).sum(-1) > 0
    assert normaliser == counted.sum() == 14
    assert counted.ravel()[8:22].all()


def test_seven_hundredths_of_seven_hundred_pixels_are_49():
    labels = np.zeros((1, 7, 100), np.uint8)
    assert (
        float(CrossEntropy(ONES, hardest_share=0.07).normaliser(tf.constant(labels))) == 49
    )  # 0.07 x 700 > 49 in float64


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_totals_and_normalisers_add_up_over_the_pieces_of_a_batch(form, share):
    labels, logits = mixed_labels(), drawn_logits(3, 2, 3)
    loss = CrossEntropy(WEIGHTS, hardest_share=share)
    whole = evaluate(loss, labels, logits)
    pieces = [evaluate(loss, labels[part], logits[part]) for part in (slice(0, 1), slice(1, 3))]
    assert sum(piece[0] for piece in pieces) == pytest.approx(whole[0], rel=1e-5)
    assert sum(piece[2] for piece in pieces) == pytest.approx(whole[2], rel=1e-5)
    np.testing.assert_allclose(np.concatenate([piece[1] for piece in pieces]), whole[1], rtol=1e-5, atol=1e-6)


def test_auxiliary_loss_takes_the_labels_at_the_middle_of_each_cell():
    labels, logits = mixed_labels(), drawn_logits(3, 2, 3)
    sampled = labels[:, 4::8, 4::8]
    assert sampled.shape == logits.shape[:3]
    total, gradient, normaliser = evaluate(CellCrossEntropy(WEIGHTS, 2, 3), labels, logits)
    expected_total, expected_gradient = formulas.total_and_gradient(sampled, logits, WEIGHTS)
    assert total == pytest.approx(expected_total, rel=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-5)
    assert normaliser == pytest.approx(formulas.weight_map(sampled, WEIGHTS).sum(), rel=1e-6)


def test_auxiliary_labels_are_those_in_the_middle_of_cells_that_do_not_divide_the_frame():
    labels = np.arange(15, dtype=np.uint8)[None, :, None].repeat(15, axis=2) % CLASSES
    logits = np.zeros((1, 4, 4, CLASSES), np.float32)
    for row, pixel in enumerate((1, 5, 9, 13)):  # 15 pixels in 4 cells of 3.75
        logits[0, row, :, pixel % CLASSES] = 50.0
    total, _, normaliser = evaluate(CellCrossEntropy(ONES, 4, 4), labels, logits)
    assert total < 1e-5
    assert normaliser == 16
