"""The presence loss equals its formula."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from edge.labels import IGNORE_ID
from tests.train.losses.formulas import CLASSES, mixed_labels
from train.losses import PresenceLoss


def test_presence_loss_is_the_binary_cross_entropy_of_the_classes_in_a_crop():
    logits = np.random.default_rng(2).normal(0, 2, (3, CLASSES)).astype(np.float32)
    labels = mixed_labels()
    labels[0][labels[0] == 3] = IGNORE_ID
    there = np.array([[np.any(item == index) for index in range(CLASSES)] for item in labels], np.float64)
    assert not there[0, 3] and there[1].all()
    probability = 1 / (1 + np.exp(-logits.astype(np.float64)))
    expected = -np.mean(there * np.log(probability) + (1 - there) * np.log(1 - probability), axis=1).sum()
    loss = PresenceLoss(CLASSES)
    assert float(loss.total(tf.constant(labels), tf.constant(logits))) == pytest.approx(expected, rel=1e-5)
    assert float(loss.normaliser(tf.constant(labels))) == 3
