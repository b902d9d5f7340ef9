"""The histogram of a stream equals the one of all its values at once."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.ranges.histogram import BINS, ChannelStatistics, RangeHistogram, TensorCounter
from edge.errors import InputError

GENERATOR = np.random.default_rng(5)
# Each larger than what came before, so that every update grows the histogram, some of them many times.
GROWING = [GENERATOR.normal(0, scale, 3000).astype(np.float32) for scale in (1e-6, 0.02, 0.5, 3, 700)]


def counted(*tensors: np.ndarray) -> RangeHistogram:
    histogram = RangeHistogram()
    for values in tensors:
        histogram.update(values, "features")
    return histogram


def assert_equal(first: RangeHistogram, second: RangeHistogram) -> None:
    assert first.limit == second.limit
    assert (first.minimum, first.maximum) == (second.minimum, second.maximum)
    np.testing.assert_array_equal(first.counts, second.counts)
    assert first.zero_count == second.zero_count


def expected_counts(values: np.ndarray, limit: float) -> np.ndarray:
    """Count magnitudes in float64, by NumPy; its bins have their lower end, ours their upper one, hence the signs."""
    magnitudes = np.abs(values[values != 0].astype(np.float64))
    return np.histogram(-magnitudes, BINS, (-limit, 0))[0][::-1]


def test_growing_keeps_every_count():
    histogram = counted(*GROWING)
    assert histogram.counts.sum() == sum(values.size for values in GROWING)
    assert histogram.counts.dtype == np.int64


def test_stream_equals_one_histogram_of_all_values():
    everything = np.concatenate(GROWING)
    histogram = counted(*GROWING)
    assert_equal(histogram, counted(everything))
    np.testing.assert_array_equal(histogram.counts, expected_counts(everything, histogram.limit))


def test_order_of_tensors_does_not_matter():
    assert_equal(counted(*GROWING), counted(*reversed(GROWING)))


def test_shape_does_not_matter():
    values = GROWING[2]
    assert_equal(counted(values), counted(values.reshape(1, 3, 10, 100)))


def test_minimum_and_maximum_are_exact():
    histogram = counted(*GROWING)
    everything = np.concatenate(GROWING)
    assert histogram.minimum == everything.min()
    assert histogram.maximum == everything.max()


def test_limit_is_the_power_of_two_that_covers_the_largest_magnitude():
    for largest in (0.75, 1.0, -1.0, 4.0, 4.0001, 1e-30, 3.4e38):
        histogram = counted(np.array([0.0, largest], np.float32))
        assert np.log2(histogram.limit) % 1 == 0
        assert histogram.limit / 2 < abs(float(np.float32(largest))) <= histogram.limit


def test_memory_does_not_grow_with_the_stream():
    histogram = counted(GROWING[0])
    before = {name: np.asarray(value).nbytes for name, value in vars(histogram).items()}
    for values in GROWING * 4:
        histogram.update(values, "features")
    assert {name: np.asarray(value).nbytes for name, value in vars(histogram).items()} == before


def test_value_on_the_edge_of_bins_is_in_the_lower_one():
    histogram = counted(np.array([1.0, -0.5, 0.25 + 1e-7], np.float32))
    assert np.flatnonzero(histogram.counts).tolist() == [BINS // 4, BINS // 2 - 1, BINS - 1]


def test_zeros_before_values_are_counted_as_zeros():
    zeros, values = np.zeros(500, np.float32), GROWING[3]
    assert_equal(counted(zeros, values), counted(values, zeros))
    histogram = counted(zeros, values)
    assert histogram.zero_count == 500
    assert histogram.counts.sum() == values.size


def test_zeros_alone_have_an_empty_range():
    histogram = counted(np.zeros((2, 3), np.float32))
    assert (histogram.minimum, histogram.maximum, histogram.limit, histogram.zero_count) == (0.0, 0.0, 0.0, 6)


def test_empty_tensor_changes_nothing():
    assert_equal(counted(GROWING[1], np.zeros((0, 4), np.float32)), counted(GROWING[1]))


def test_values_that_no_scale_could_hold_are_counted():
    # Their factor to bins would be infinite in float32.
    tiny = np.array([1e-45, -1e-38, 0.0], np.float32)
    histogram = counted(tiny)
    assert histogram.counts.sum() == 2
    assert (histogram.zero_count, histogram.minimum) == (1, np.float32(-1e-38))
    assert_equal(counted(tiny, GROWING[3]), counted(GROWING[3], tiny))


def test_tensor_that_grows_within_itself_is_counted_in_the_bins_that_it_ends_with():
    values = (GENERATOR.normal(0, 1, 400_000) * np.linspace(1e-3, 50, 400_000)).astype(np.float32)
    histogram = counted(values)
    np.testing.assert_array_equal(histogram.counts, expected_counts(values, histogram.limit))


@pytest.mark.parametrize("sign", [1, -1])
def test_values_of_one_sign_are_counted_by_their_magnitude(sign):
    values = sign * np.abs(GROWING[3])
    histogram = counted(values)
    np.testing.assert_array_equal(histogram.counts, expected_counts(values, histogram.limit))


def test_tensor_longer_than_one_part_is_counted_to_its_end():
    values = GENERATOR.normal(0, 1, 200_003).astype(np.float32)
    values[::3] = 0
    histogram = counted(values)
    np.testing.assert_array_equal(histogram.counts, expected_counts(values, histogram.limit))
    assert histogram.zero_count == np.count_nonzero(values == 0)


@pytest.mark.parametrize(("wrong", "what"), [(np.nan, "NaN"), (np.inf, "infinite values"), (-np.inf, "infinite")])
def test_value_without_a_range_is_refused_and_its_tensor_and_image_named(wrong, what):
    values = GROWING[1].copy()
    values[7] = wrong
    histogram = counted(GROWING[1])
    with pytest.raises(InputError, match=f"stage2/Relu holds {what}.* on image city_7, expected finite.*Next: check"):
        histogram.update(values, "stage2/Relu", "city_7")


PLANES = GENERATOR.normal(0.5, 2, (3, 2, 5, 40, 30)).astype(np.float32)  # images, batch, channels, height, width


def test_channels_have_their_largest_magnitude_mean_and_mean_square():
    figures = ChannelStatistics(5)
    for values in PLANES:
        figures.update(values, RangeHistogram(), "features")
    by_channel = PLANES.astype(np.float64).transpose(2, 0, 1, 3, 4).reshape(5, -1)
    np.testing.assert_array_equal(figures.maxima, np.abs(by_channel).max(1))
    # Sums of one image are float32.
    np.testing.assert_allclose(figures.means(), by_channel.mean(1), rtol=1e-5)
    np.testing.assert_allclose(figures.mean_squares(), np.square(by_channel).mean(1), rtol=1e-5)


def test_mean_square_of_values_whose_squares_leave_float32_is_finite():
    figures = ChannelStatistics(1)
    figures.update(np.full((1, 1, 2, 2), 1e30, np.float32), RangeHistogram(), "features")
    np.testing.assert_allclose(figures.mean_squares(), [1e60], rtol=1e-6)


def test_share_of_zeros_counts_those_of_whole_blocks_and_those_among_others():
    histogram = RangeHistogram()
    assert histogram.zero_share == 0.0
    histogram.update(np.zeros(300, np.float32), "features")
    assert histogram.zero_share == 1.0
    histogram.update(np.array([0, 1, 2, 0], np.float32).repeat(25), "features")
    assert histogram.zero_share == 350 / 400


@pytest.mark.parametrize("size", [(40, 30), (1, 1), (300, 400), (256, 256)])
def test_counting_by_channel_gives_the_same_histogram(size):
    # Several channels, one, or a part of one are looked at at a time.
    both, plain = TensorCounter(by_channel=True), TensorCounter()
    for scale in (1, 3):
        values = GENERATOR.normal(0, scale, (2, 5, *size)).astype(np.float32)
        both.update(values, "features")
        plain.update(values, "features")
        largest = np.abs(values).max((0, 2, 3))
    assert_equal(both.histogram, plain.histogram)
    assert (both.channels.positions, plain.channels) == (2 * 2 * size[0] * size[1], None)
    assert (both.channels.maxima >= largest).all()
    assert both.channels.maxima.max() == max(-plain.histogram.minimum, plain.histogram.maximum)


def test_tensor_without_height_and_width_has_no_channels():
    counter = TensorCounter(by_channel=True)
    counter.update(PLANES[0, :, :, 0, 0], "dense")
    assert counter.channels is None
    assert counter.histogram.counts.sum() == 10


def test_nan_in_one_channel_is_refused():
    wrong = PLANES[1].copy()
    wrong[1, 4, 39, 29] = np.nan
    with pytest.raises(InputError, match="features holds NaN on image b"):
        TensorCounter(by_channel=True).update(wrong, "features", "b")


def test_magnitudes_fold_both_signs():
    values = np.concatenate(GROWING)
    histogram = counted(values)
    counts, width = histogram.magnitudes()
    assert counts.size * width == histogram.limit
    assert counts.sum() == values.size
    expected, _ = np.histogram(np.abs(values).astype(np.float64), counts.size, (0, histogram.limit))
    np.testing.assert_array_equal(counts, expected)
