"""Counts are those of NumPy, of any layout in memory, and exact however many pixels there are."""

from __future__ import annotations

import numpy as np
import pytest

import edge.pixel_counts as pixel_counts
from edge.pixel_counts import count_pairs, count_values

MAPS = np.random.default_rng(0).integers(0, 256, (2, 60, 80)).astype(np.uint8)


def pairs_by_numpy(first, second):
    codes = first.astype(np.int64).ravel() * 256 + second.ravel()
    return np.bincount(codes, minlength=65536).reshape(256, 256)


@pytest.mark.parametrize("view", [np.s_[:], np.s_[::-1], np.s_[:, 3:50], np.s_[::2, ::-3], np.s_[:0], np.s_[:, :0]])
def test_counts_are_those_of_numpy(view):
    first, second = MAPS[0][view], MAPS[1][view]
    assert count_values(first).dtype == count_pairs(first, second).dtype == np.int64
    np.testing.assert_array_equal(count_values(first), np.bincount(first.ravel(), minlength=256))
    np.testing.assert_array_equal(count_pairs(first, second), pairs_by_numpy(first, second))


def test_every_row_of_a_large_map_is_counted_once(monkeypatch):
    monkeypatch.setattr(pixel_counts, "_MOST_PIXELS", 7 * 80 + 3)
    np.testing.assert_array_equal(count_values(MAPS[0]), np.bincount(MAPS[0].ravel(), minlength=256))
    np.testing.assert_array_equal(count_pairs(*MAPS), pairs_by_numpy(*MAPS))


def test_counts_beyond_the_whole_numbers_of_float32_are_exact():
    large = np.zeros((4097, 4097), np.uint8)  # 2**24 + 8193 pixels
    large[-1, -1] = 3
    assert count_values(large)[[0, 3]].tolist() == [large.size - 1, 1]
    assert count_pairs(large, large)[[0, 3], [0, 3]].tolist() == [large.size - 1, 1]
