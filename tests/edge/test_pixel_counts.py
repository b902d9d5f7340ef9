"""Counts are those of NumPy, of any layout in memory, and exact however many pixels there are."""

from __future__ import annotations

import numpy as np
import pytest

import edge.pixel_counts as pixel_counts
from edge.errors import InputError
from edge.pixel_counts import count_objects, count_pairs, count_values


@pytest.fixture(params=["kernel", "no kernel"], autouse=True)
def _with_and_without_a_kernel(request, monkeypatch):
    if request.param == "no kernel":
        monkeypatch.setattr(pixel_counts, "load_kernels", lambda: None)


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


@pytest.mark.parametrize("height, width", [(1, 1), (1, 7), (13, 40), (5, 8)])
def test_values_pairs_and_objects_are_counted_as_they_are(height, width):
    generator = np.random.default_rng(height * width)
    first = generator.choice(np.array([0, 7, 255], np.uint8), (height, width), p=[0.8, 0.1, 0.1])
    second = generator.choice(np.array([1, 33], np.uint8), (height, width), p=[0.9, 0.1])
    ids = generator.choice(np.array([7, 1000, 24000, 26001, 65535], np.uint16), (height, width))
    ids[:, : width // 2] = 26001  # a run
    assert np.array_equal(count_values(first), np.bincount(first.ravel(), minlength=256))
    pairs = np.zeros((256, 256), np.int64)
    np.add.at(pairs, (first.ravel(), second.ravel()), 1)
    assert np.array_equal(count_pairs(first, second), pairs)
    objects = count_objects(ids, second, 1000)
    assert objects.ids.tolist() == sorted(set(ids[ids > 1000].tolist()))
    for found, counts in zip(objects.ids, objects.counts):
        assert np.array_equal(counts, np.bincount(second[ids == found], minlength=256))


def test_more_objects_than_the_kernel_counts_are_counted_all_the_same():
    ids = np.arange(2000, 4000, dtype=np.uint16).reshape(40, 50)
    objects = count_objects(ids, np.full(ids.shape, 5, np.uint8), 1000)
    assert len(objects.ids) == 2000 and (objects.counts[:, 5] == 1).all() and objects.counts.sum() == 2000


def test_maps_with_gaps_between_their_rows_are_counted():
    whole = np.arange(200, dtype=np.uint8).reshape(10, 20)
    assert count_values(whole[:, 3:9]).sum() == 60 and count_pairs(whole[:, 3:9], whole[:, 4:10]).sum() == 60


def test_maps_that_are_no_bytes_or_differ_in_size_are_refused():
    maps = np.zeros((4, 6), np.uint8)
    with pytest.raises(InputError, match="expected maps of one size"):
        count_pairs(maps, maps[:, :5])
    with pytest.raises(InputError, match="values are int32, expected uint8"):
        count_values(maps.astype(np.int32))
    with pytest.raises(InputError, match="ids of objects are int64, expected uint8 or uint16"):
        count_objects(maps.astype(np.int64), maps, 1000)
