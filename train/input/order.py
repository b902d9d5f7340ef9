"""The order of the frames of a training: sample number -> frame, by arithmetic alone.

The samples of a training are numbered through from 0: step s of a batch of B crops has the samples s * B to
s * B + B - 1. The stream of frames is one permutation of the whole split after another, and the permutation of each
pass follows from the seed and the number of the pass alone. So any step can be read without those before it, no frame
has to be decoded to be shuffled, and what is held in memory is one whole number a frame.
"""

from __future__ import annotations

import functools

import numpy as np

ORDER, VARIATION = range(2)
"""Purposes of random words; each has a stream of its own, so that an order and a variation never share their words."""


def random_words(purpose: int, seed: int, number: int, count: int) -> np.ndarray:
    """Return random words that a seed and a number decide.

    They are raw words of Philox, which takes its key as it is, without a sequence before it. NumPy may change its
    distributions from version to version, and keeps raw words (NumPy's policy on streams).

    Args:
        purpose: What the words are for, ORDER or VARIATION.
        seed: Seed of the training, 0 to 2**64 - 1.
        number: Number of the pass or sample, 0 to 2**64 - 1.
        count: Number of words.

    Returns:
        (count,) uint64, uniform over all words of 64 bits.

    Source: Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (SC 2011).
    """
    # NumPy's Philox counts up from the lowest of four words; the highest keeps the purposes apart.
    return np.random.Philox(counter=[0, 0, 0, purpose], key=[seed, number]).random_raw(count)


@functools.lru_cache(maxsize=3)
def permutation(seed: int, frame_count: int, number: int) -> np.ndarray:
    """Return the order of the frames in one pass over a split.

    The three last ones are kept: threads that read ahead cross from one pass to the next at different times.

    Args:
        seed: Seed of the training.
        frame_count: Number of frames in the split.
        number: Number of the pass, from 0.

    Returns:
        (frame_count,) int64, every number below `frame_count` once; read-only.
    """
    order = np.argsort(random_words(ORDER, seed, number, frame_count), kind="stable")
    order.flags.writeable = False
    return order


def frame_of(seed: int, frame_count: int, sample: int) -> int:
    """Return the index of the frame that a sample is cut from.

    Args:
        seed: Seed of the training.
        frame_count: Number of frames in the split, at least 1.
        sample: Number of the sample, from 0.
    """
    number, place = divmod(sample, frame_count)
    return int(permutation(seed, frame_count, number)[place])
