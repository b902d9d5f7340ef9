"""The share of values that passes a Relu or a PRelu is found from the moments of what it gives."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.search.noise_share import (
    hard_sigmoid_slope_square,
    share_from_powers,
    share_from_rectified,
    sigmoid_slope_square,
)

DRAWN = np.random.default_rng(1).normal(0, 1, 200_000)


@pytest.mark.parametrize("mean", [-2.0, -0.5, 0.0, 0.5, 2.0])
@pytest.mark.parametrize("scale", [1e-3, 50.0])
def test_share_behind_a_relu_is_that_of_its_positive_inputs(mean, scale):
    given = np.maximum((DRAWN + mean) * scale, 0.0)
    found = share_from_rectified(np.array([given.mean()]), np.array([np.square(given).mean()]))
    assert found == pytest.approx([(DRAWN + mean > 0).mean()], abs=0.02)


def test_channel_that_is_always_zero_lets_nothing_through():
    assert share_from_rectified(np.array([0.0, 1.0]), np.array([0.0, 1.0])).tolist() == [
        0.0,
        pytest.approx(1.0, abs=1e-6),
    ]


@pytest.mark.parametrize("mean", [-1.5, 0.0, 0.7])
@pytest.mark.parametrize("slope", [0.0, 0.25])
def test_share_behind_a_prelu_is_that_of_its_positive_inputs(mean, slope):
    value = DRAWN + mean
    given = np.where(value > 0, value, slope * value)
    found = share_from_powers(float(np.square(value).mean()), float(np.square(given).mean()), slope**2)
    assert found == pytest.approx((value > 0).mean(), abs=0.02)


@pytest.mark.parametrize("deviation", [0.01, 1.0, 8.0])
def test_noise_behind_a_sigmoid_follows_its_slope_where_the_values_are(deviation):
    given = 1 / (1 + np.exp(-DRAWN * deviation))
    expected = np.square(given * (1 - given)).mean()
    assert sigmoid_slope_square(deviation**2) == pytest.approx(expected, rel=0.03)
    soft = 0.2 * DRAWN * deviation + 0.5
    expected = 0.2**2 * ((soft > 0) & (soft < 1)).mean()
    assert hard_sigmoid_slope_square(deviation**2, 0.2, 0.5) == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize(("before", "slope_square"), [(0.0, 0.1), (1.0, 1.0), (1.0, 4.0)])
def test_powers_that_tell_nothing_give_one_half(before, slope_square):
    assert share_from_powers(before, 1.0, slope_square) == 0.5
