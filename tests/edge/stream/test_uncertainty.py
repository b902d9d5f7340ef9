from __future__ import annotations

import numpy as np
import pytest

from edge.contract import UNCERTAINTY, OutputTensor
from edge.errors import InputError
from edge.postprocess.bilinear import axis_cells
from edge.stream.uncertainty import UncertaintyScale

ENTROPY = OutputTensor("entropy", 1, UNCERTAINTY, "nats", 2.0)
UNBOUNDED = OutputTensor("spread", 1, UNCERTAINTY)


def _interpolation(nodes, pixels, coordinates):
    """The weights of an axis by definition, (pixels, nodes)."""
    cells = axis_cells(nodes, pixels, coordinates)
    cell = cells.cell_of_pixel()
    weights = np.zeros((pixels, nodes))
    np.add.at(weights, (np.arange(pixels), cells.low[cell]), cells.low_weight)
    np.add.at(weights, (np.arange(pixels), cells.high[cell]), cells.high_weight)
    return weights / weights.sum(axis=1, keepdims=True)


def _levels(size, seed=3):
    return np.random.default_rng(seed).random(size).astype(np.float32)


@pytest.mark.parametrize(
    # OpenCV places a position of warpAffine on a grid of 1/32 of a node, some releases along each axis.
    ("coordinates", "tolerance"),
    [("half_pixel", 1e-5), ("align_corners", 1 / 32)],
)
@pytest.mark.parametrize("size", [(4, 8), (20, 44), (64, 128), (5, 3), (33, 57)])
def test_map_is_resized_by_the_rule_of_the_logits(coordinates, tolerance, size):
    levels = _levels((4, 8))
    resized = UncertaintyScale(ENTROPY, coordinates)(2.0 * levels, *size)
    rows, columns = (_interpolation(nodes, pixels, coordinates) for nodes, pixels in zip((4, 8), size))
    assert resized.shape == size and resized.dtype == np.float32
    np.testing.assert_allclose(resized, rows @ levels @ columns.T, atol=tolerance)


def test_corners_of_the_map_are_the_corners_of_the_frame_where_the_rule_says_so():
    levels = _levels((3, 4))
    resized = UncertaintyScale(ENTROPY, "align_corners")(2.0 * levels, 30, 40)
    np.testing.assert_allclose(
        resized[[0, 0, -1, -1], [0, -1, 0, -1]], levels[[0, 0, -1, -1], [0, -1, 0, -1]], atol=1e-5
    )


@pytest.mark.parametrize("coordinates", ["half_pixel", "align_corners"])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1)])
def test_side_of_one_pixel_or_one_value_is_no_division_by_zero(coordinates, size):
    scale = UncertaintyScale(ENTROPY, coordinates)
    assert (scale(np.full((4, 8), 1.0, np.float32), *size) == 0.5).all()
    assert (scale(np.full((1, 1), 1.0, np.float32), *size) == 0.5).all()


def test_scale_ends_at_the_largest_value_that_the_output_can_take():
    scale = UncertaintyScale(ENTROPY)
    assert scale.top == 2.0
    levels = scale(np.array([[0.0, 0.5], [2.0, 1.0]], np.float32), 2, 2)
    np.testing.assert_array_equal(levels, [[0.0, 0.25], [1.0, 0.5]])
    assert scale.top == 2.0


def test_scale_without_a_bound_ends_at_the_largest_value_so_far_and_never_falls():
    scale = UncertaintyScale(UNBOUNDED)
    assert scale(np.zeros((2, 2), np.float32), 2, 2).max() == 0.0
    for value, top in ((0.5, 0.5), (4.0, 4.0), (1.0, 4.0)):
        levels = scale(np.full((2, 2), value, np.float32), 2, 2)
        assert scale.top == top
        assert (levels == value / top).all()


def test_what_is_no_number_is_unsure_and_does_not_move_the_scale():
    scale = UncertaintyScale(UNBOUNDED)
    levels = scale(np.array([[np.nan, np.inf], [1.0, 0.5]], np.float32), 2, 2)
    np.testing.assert_array_equal(levels, [[1.0, 1.0], [1.0, 0.5]])
    assert scale.top == 1.0


def test_values_outside_the_scale_are_kept_on_it():
    levels = UncertaintyScale(ENTROPY)(np.array([[-1e-6, 2.5]], np.float32), 1, 2)
    np.testing.assert_array_equal(levels, [[0.0, 1.0]])


def test_map_is_left_as_it_was():
    uncertainty = np.array([[np.nan, 3.0], [-1.0, 1.0]], np.float32)
    kept = uncertainty.copy()
    UncertaintyScale(ENTROPY)(uncertainty, 2, 2)
    np.testing.assert_array_equal(uncertainty, kept)


@pytest.mark.parametrize(
    ("uncertainty", "message"),
    [
        (None, r"frame came without the output 'entropy', expected \(h, w\) float32"),
        (np.zeros((1, 2, 2), np.float32), r"uncertainty is \(1, 2, 2\) float32, expected \(h, w\) float32"),
        (np.zeros((2, 2)), r"uncertainty is \(2, 2\) float64"),
        (np.zeros((0, 2), np.float32), r"uncertainty is \(0, 2\) float32"),
    ],
)
def test_other_forms_are_refused(uncertainty, message):
    with pytest.raises(InputError, match=message):
        UncertaintyScale(ENTROPY)(uncertainty, 4, 4)
