"""Factors give every channel its share of the range of each tensor that it is in."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.qdq.channel_factors import FACTOR_LIMITS, StoredChannels, channel_importance, choose_factors

MAXIMA = np.geomspace(1e-2, 1, 6)[[3, 0, 5, 1, 2, 4]]


def stored(numbers, maxima):
    return StoredChannels(np.asarray(numbers, np.int64), np.asarray(maxima, np.float64))


def factors_of(tensors, importance=None):
    count = 1 + max(int(tensor.numbers.max()) for tensor in tensors)
    return choose_factors(tensors, np.ones(count) if importance is None else np.asarray(importance, np.float64))


def weight(*shape):
    return np.random.default_rng(1).normal(0, 1, shape).astype(np.float32)


# Importance


def test_importance_does_not_depend_on_the_size_of_rows():
    sizes = np.geomspace(1e-4, 1e4, 5).reshape(-1, 1, 1, 1).astype(np.float32)
    expected = channel_importance(MAXIMA, weight(5, 6, 3, 3), 1)
    np.testing.assert_allclose(channel_importance(MAXIMA, weight(5, 6, 3, 3) * sizes, 1), expected, rtol=1e-5)
    assert 0 < expected.min() < expected.max() == 1


def test_rows_that_share_a_scale_are_compared_with_the_largest():
    value = np.array([[1.0, 0.0], [0.0, 0.1]], np.float32).reshape(2, 2, 1, 1)
    assert channel_importance(np.ones(2), value, 1).tolist() == [1, 1]
    np.testing.assert_allclose(channel_importance(np.ones(2), value, 1, has_one_scale=True), [1, 0.1])


def test_every_channel_matters_to_a_depthwise_layer():
    assert channel_importance(MAXIMA, weight(6, 1, 3, 3), 6).tolist() == [1] * 6


def test_channel_that_no_weight_reads_has_no_importance():
    value = weight(4, 3, 1, 1)
    value[:, 1] = 0
    assert channel_importance(np.array([1.0, 1.0, 0.0]), value, 1).tolist() == [1, 0, 0]


# Factors


def test_factors_balance_range_and_weights():
    # a w = 4 and 1 in one row, so u = 1 and 1/4: s = a / sqrt(u) up to a factor, which keeps the largest activation.
    importance = channel_importance(np.array([4.0, 1.0]), np.ones((1, 2, 1, 1), np.float32), 1)
    factors = factors_of([stored([1, 2], [4, 1])], [0, *importance])
    np.testing.assert_allclose(factors, [1, 1, 0.5])


def test_tensor_keeps_its_range_and_its_channels_fill_it():
    factors = factors_of([stored(range(1, 7), MAXIMA)])
    np.testing.assert_allclose(MAXIMA / factors[1:], 1.0)


def test_pinned_channels_give_the_range_that_the_others_fill():
    factors = factors_of([stored([1, 0, 2, 0], [100, 0.01, 0.5, 2])])
    np.testing.assert_allclose(factors, [1, 50, 0.25])


def test_range_of_pinned_channels_is_handed_on_through_common_channels():
    # Channels 1 and 2 meet a pinned one; channels 2 and 3 are in another tensor, and keep to each other there.
    factors = factors_of([stored([1, 2, 0], [8, 4, 1]), stored([2, 3], [4, 0.5])])
    np.testing.assert_allclose(factors, [1, 8, 4, 0.5])


def test_channel_of_several_tensors_gets_the_mean_of_its_wishes():
    factors = factors_of([stored([1, 2], [1, 0.01]), stored([1, 2], [1, 1])])
    assert factors[2] / factors[1] == pytest.approx(0.1)


def test_chain_of_tensors_is_solved_to_the_end():
    random = np.random.default_rng(3)
    right = np.exp(random.normal(0, 1, 401))
    tensors = [stored([n, n + 1], right[[n - 1, n]] * random.uniform(0.5, 2)) for n in range(1, 401)]
    factors = factors_of(tensors)[1:]
    ratios = factors / right
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-4)


def test_channel_that_is_always_zero_is_left_alone():
    factors = factors_of([stored([1, 2, 3], [0, 1, 0.1])])
    np.testing.assert_allclose(factors, [1, 1, 1, 0.1])


def test_channel_that_nothing_reads_is_made_small():
    factors = factors_of([stored([1, 2, 3], [500, 1, 1])], [0, 0, 1, 0.9])
    assert factors[1] == FACTOR_LIMITS[1]
    assert factors[2] == pytest.approx(1, abs=1e-2)


def test_factors_stay_within_bounds():
    factors = factors_of([stored([1, 2, 3, 4], [1e-12, 1e-30, 1, 5])], [0, 1, 1e-20, 1, 0])
    assert np.isfinite(factors).all()
    assert factors.min() >= FACTOR_LIMITS[0] and factors.max() <= FACTOR_LIMITS[1]
    assert factors_of([stored([1, 2], [0, 0])]).tolist() == [1, 1, 1]
    assert choose_factors([], np.zeros(3)).tolist() == [1, 1, 1]


def test_joined_tensors_that_are_balanced_already_are_left_alone():
    near = stored([1, 2], [1, 0.995])
    assert factors_of([near]).tolist() == [1, 1, 1]
    # But not where one of the tensors that they are joined with is not balanced.
    assert np.all(factors_of([near, stored([2, 3], [0.995, 0.1])])[2:] != 1)


# Channels of several tensors


def test_channel_that_is_silent_in_one_tensor_is_not_blown_up_in_another():
    # Channel 1 is dead in front of an Add and alive behind it: both have one factor.
    before, after = stored([1, 2, 3], [1e-29, 1.0, 0.5]), stored([1, 2, 3], [0.1, 1.0, 0.5])
    factors = factors_of([before, after])
    scaled = after.maxima / factors[after.numbers]
    assert scaled.max() < 2 and scaled[0] <= scaled.max()
    assert (before.maxima / factors[before.numbers]).max() < 2


def test_no_channel_stands_out_in_any_of_its_tensors():
    # Channel 1 is small in the first tensor and large in the second.
    first, second = stored([1, 2, 3], [0.02, 1.0, 1.0]), stored([1, 4, 5], [2.0, 1.0, 1.0])
    factors = factors_of([first, second])
    for tensor in (first, second):
        scaled = tensor.maxima / factors[tensor.numbers]
        assert scaled[0] <= 1.01 * scaled[1:].max()


def test_channel_that_is_all_but_silent_in_one_tensor_does_not_weigh_more_than_its_limit():
    # Channel 2 is as large as 1 and 3 in the first tensor, and nothing in the second, as behind a Relu.
    tensors = [stored([1, 2, 3], [1, 1, 1]), stored([2, 4, 5], [1e-30, 1, 1]), stored([4, 5], [1, 1])]
    factors = factors_of(tensors)
    assert factors[1:].max() / factors[1:].min() < 2000
