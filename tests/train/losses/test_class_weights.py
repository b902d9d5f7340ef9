"""The weights of the classes are those of their papers."""

from __future__ import annotations

import numpy as np
import pytest

from train.losses import class_weights
from train.recipe import CHOICES

PIXELS = np.array([600, 300, 100])
FRAME_PIXELS = np.array([1200, 1200, 400])  # three frames of 400 pixels; the last class is in one of them


def test_enets_weights_are_those_of_the_paper():
    weights = class_weights("enet", PIXELS, FRAME_PIXELS)
    np.testing.assert_allclose(weights, 1 / np.log([1.62, 1.32, 1.12]), rtol=1e-6)
    assert weights.dtype == np.float32


def test_median_frequency_divides_by_the_pixels_of_the_frames_that_hold_a_class():
    weights = class_weights("median_frequency", PIXELS, FRAME_PIXELS)
    np.testing.assert_allclose(weights, [0.25 / 0.5, 1.0, 1.0], rtol=1e-6)  # frequencies 0.5, 0.25 and 0.25
    assert weights.dtype == np.float32


def test_class_that_no_frame_holds_has_a_finite_weight_and_changes_no_other():
    weights = class_weights("median_frequency", np.append(PIXELS, 0), np.append(FRAME_PIXELS, 0))
    np.testing.assert_allclose(weights, [0.5, 1.0, 1.0, 1.0], rtol=1e-6)
    assert class_weights("enet", np.append(PIXELS, 0), FRAME_PIXELS)[3] == pytest.approx(1 / np.log(1.02), rel=1e-5)


@pytest.mark.parametrize("weighting", CHOICES["class_weighting"])
def test_split_without_a_labelled_pixel_gives_finite_weights(weighting):
    weights = class_weights(weighting, np.zeros(3), np.zeros(3))
    assert np.isfinite(weights).all() and (weights > 0).all()


def test_no_weighting_is_one_for_all():
    assert class_weights("none", PIXELS, FRAME_PIXELS).tolist() == [1, 1, 1]
