"""The order of frames: whole passes, out of file order from the first batch on, and a function of the seed alone."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from train.input.order import ORDER, VARIATION, frame_of, permutation, random_words

FRAMES = 2975  # Cityscapes' training split


def frames_of(seed, samples, frame_count=FRAMES) -> np.ndarray:
    return np.array([frame_of(seed, frame_count, sample) for sample in samples])


@pytest.mark.parametrize("frame_count", [1, 2, 7, 367])
def test_every_pass_has_every_frame_once(frame_count):
    for number in range(3):
        samples = range(number * frame_count, (number + 1) * frame_count)
        assert sorted(frames_of(5, samples, frame_count)) == list(range(frame_count))


@pytest.mark.parametrize("seed", range(5))
def test_order_has_nothing_of_the_file_order(seed):
    order = frames_of(seed, range(FRAMES))
    assert abs(np.corrcoef(order, np.arange(FRAMES))[0, 1]) < 0.08  # four standard deviations of 1 / sqrt(FRAMES)
    assert np.mean(np.abs(np.diff(order)) == 1) < 0.01  # neighbours on disk do not come one after the other


@pytest.mark.parametrize("seed", range(5))
def test_first_batches_come_from_the_whole_split(seed):
    first = frames_of(seed, range(64))
    assert first.min() < 0.15 * FRAMES and first.max() > 0.85 * FRAMES
    assert np.histogram(first, 4, (0, FRAMES))[0].min() >= 4


def test_passes_differ_from_each_other():
    orders = [permutation(0, FRAMES, number) for number in range(4)]
    for index, order in enumerate(orders):
        for other in orders[:index]:
            assert np.mean(order == other) < 0.01
            assert abs(np.corrcoef(order, other)[0, 1]) < 0.08


def test_equal_seeds_give_equal_orders_and_others_do_not():
    first, again, other = (frames_of(seed, range(FRAMES)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert np.mean(first == other) < 0.01


def test_seed_and_pass_cannot_be_exchanged():
    assert not np.array_equal(permutation(1, 100, 2), permutation(2, 100, 1))


def test_order_is_that_of_every_numpy():
    # Raw words of Philox, so that a training goes on alike after an update; these are written down.
    assert random_words(ORDER, 0, 0, 2).tolist() == [213000021201967259, 4455796210202625458]
    assert permutation(0, 8, 0).tolist() == [0, 2, 1, 5, 4, 3, 6, 7]


def test_any_sample_is_found_without_those_before():
    sample = 10**12 * FRAMES + 17
    assert frame_of(0, FRAMES, sample) == permutation(0, FRAMES, 10**12)[17]


def test_order_and_variations_have_words_of_their_own():
    assert not np.intersect1d(random_words(ORDER, 0, 7, 100), random_words(VARIATION, 0, 7, 100)).size


def test_memory_is_a_few_numbers_a_frame_however_long_the_training():
    permutation.cache_clear()
    tracemalloc.start()
    for number in range(40):
        frame_of(0, FRAMES, number * FRAMES)
    held_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held_bytes < 4 * 8 * FRAMES


def test_order_that_is_shared_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        permutation(0, 10, 0)[0] = 3


def test_order_variation_and_crop_need_no_tensorflow(run_python):
    script = "import sys, train.input.order, train.input.crop; sys.exit('tensorflow' in sys.modules)"
    assert run_python("-c", script).returncode == 0
