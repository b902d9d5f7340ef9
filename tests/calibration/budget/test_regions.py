"""Connected regions are counted one by one, so that a small one counts as much as a large one."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.budget.regions import FOUND, REGIONS, count_regions
from edge.errors import InputError

ROAD, PERSON = 0, 1


def drawn(*boxes, size=(120, 160)):
    """A road with persons in boxes of top, left, height, width."""
    labels = np.full(size, ROAD, np.uint8)
    for top, left, height, width in boxes:
        labels[top : top + height, left : left + width] = PERSON
    return labels


def persons(before, after):
    return tuple(count_regions(before, after, 3)[PERSON])


def test_equal_maps_find_every_region_and_add_none():
    labels = drawn((10, 10, 20, 8), (10, 60, 5, 5), (80, 100, 30, 40))
    np.testing.assert_array_equal(count_regions(labels, labels, 3), [[1, 1, 0], [3, 3, 0], [0, 0, 0]])


def test_small_region_that_is_gone_counts_as_much_as_a_large_one():
    large, small = (60, 20, 50, 100), (10, 10, 4, 4)
    assert persons(drawn(large, small), drawn(large)) == (2, 1, 0)
    assert persons(drawn(large, small), drawn(small)) == (2, 1, 0)


def test_region_that_only_the_other_network_has_is_new():
    assert persons(drawn((10, 10, 8, 8)), drawn((10, 10, 8, 8), (70, 70, 9, 9))) == (1, 1, 1)


@pytest.mark.parametrize(("rows", "found"), [(4, 0), (5, 1)])
def test_region_is_found_from_half_of_its_pixels_on(rows, found):
    assert persons(drawn((20, 20, 10, 10)), drawn((20, 20, rows, 10)))[FOUND] == found


def test_region_that_falls_apart_is_still_found():
    assert persons(drawn((20, 20, 10, 10)), drawn((20, 20, 10, 4), (20, 25, 10, 5))) == (1, 1, 0)


def test_two_regions_that_grow_together_are_both_found():
    before = drawn((20, 20, 10, 10), (20, 32, 10, 10))
    assert persons(before, drawn((20, 20, 10, 22))) == (2, 2, 0)


def test_region_that_moves_away_is_lost_and_a_new_one_is_there():
    assert persons(drawn((20, 20, 10, 10)), drawn((20, 26, 10, 10))) == (1, 0, 1)


def test_corners_that_touch_make_one_region():
    assert persons(drawn((10, 10, 6, 6), (16, 16, 6, 6)), drawn())[REGIONS] == 1


def test_specks_below_a_ten_thousandth_of_the_frame_are_not_counted():
    # 1.92 pixels are a ten-thousandth of 120x160, and four pixels are the least.
    assert persons(drawn((10, 10, 1, 3)), drawn()) == (0, 0, 0)
    assert persons(drawn((10, 10, 2, 2)), drawn()) == (1, 0, 0)
    wide = (512, 512)  # a ten-thousandth is 26.2
    assert persons(drawn((10, 10, 5, 5), size=wide), drawn(size=wide)) == (0, 0, 0)
    assert persons(drawn((10, 10, 5, 6), size=wide), drawn(size=wide)) == (1, 0, 0)


def test_region_of_another_class_in_its_place_does_not_find_it():
    before, after = drawn((20, 20, 10, 10)), drawn((20, 20, 10, 10))
    after[after == PERSON] = 2
    np.testing.assert_array_equal(count_regions(before, after, 3)[1:], [[1, 0, 0], [0, 0, 1]])


def test_large_maps_are_thinned_out_and_count_the_same_regions():
    boxes = [(100 + 90 * row, 120 + 130 * column, 31, 17) for row in range(8) for column in range(12)]
    before, after = drawn(*boxes, size=(1024, 2048)), drawn(*boxes[:60], size=(1024, 2048))
    assert persons(before, after) == (96, 60, 0)
    # What is a ten-thousandth of the frame is so whatever the frame is thinned out to: 14x15 of 1024x2048.
    assert persons(drawn((301, 301, 20, 20), size=(1024, 2048)), drawn(size=(1024, 2048))) == (1, 0, 0)
    assert persons(drawn((301, 301, 10, 10), size=(1024, 2048)), drawn(size=(1024, 2048))) == (0, 0, 0)


def test_maps_of_two_sizes_are_refused():
    with pytest.raises(InputError, match=r"label maps are \(120, 160\) and \(10, 10\), expected the same size"):
        count_regions(drawn(), drawn(size=(10, 10)), 3)
