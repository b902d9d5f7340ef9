"""Random numbers that are the same on every machine, NumPy and Python: exact arithmetic on 64-bit words."""

from __future__ import annotations

from typing import Sequence, TypeVar

import numpy as np

Item = TypeVar("Item")
_MASK = 0xFFFFFFFFFFFFFFFF
_STEP = 0x9E3779B97F4A7C15


def _mix(word: int) -> int:
    """Scramble 64 bits (the finaliser of SplitMix64; Steele, Lea, Flood, OOPSLA 2014)."""
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
    return word ^ (word >> 31)


class SeededRandom:
    """Sequence of random numbers that a key of whole numbers decides.

    Single numbers come from SplitMix64, since a scene opens some hundreds of sequences and a NumPy generator takes
    longer to open than to draw from. Fields of noise come from the raw words of NumPy's PCG64: its distributions may
    change between versions, its raw words may not (NumPy's policy on streams).

    Args:
        key: Whole numbers; equal keys give equal sequences, different keys independent ones.
    """

    def __init__(self, *key: int) -> None:
        state = len(key)
        for part in key:
            state = _mix(((state + _STEP) & _MASK) ^ (part & _MASK))
        self._state = state

    def _word(self) -> int:
        self._state = (self._state + _STEP) & _MASK
        return _mix(self._state)

    def uniform(self, low: float, high: float) -> float:
        """Return a random number in [low, high)."""
        return low + (high - low) * ((self._word() >> 11) * 2.0**-53)

    def integer(self, low: int, high: int) -> int:
        """Return a random whole number from low to high, both included."""
        return low + self._word() % (high - low + 1)

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return self.uniform(0.0, 1.0) < probability

    def choice(self, items: Sequence[Item]) -> Item:
        """Return one of the items, each with the same probability."""
        return items[self._word() % len(items)]

    def weighted(self, items: Sequence[tuple[Item, float]]) -> Item:
        """Return one of the items with a probability that is proportional to its weight."""
        mark = self.uniform(0.0, sum(weight for _, weight in items))
        for item, weight in items:
            mark -= weight
            if mark < 0:
                return item
        return items[-1][0]

    def octets(self, count: int) -> np.ndarray:
        """Return `count` random bytes, (count,) uint8, uniformly distributed."""
        words = np.random.PCG64(self._word()).random_raw((count + 7) // 8)
        return words.astype("<u8").view(np.uint8)[:count]


def wave(phase: float) -> float:
    """Return a smooth wave of period 1 and range -1 to 1, from parabolas: a sine without libm's last bits."""
    part = phase % 1.0
    return 16.0 * part * (0.5 - part) if part < 0.5 else -16.0 * (part - 0.5) * (1.0 - part)


def wave_slope(phase: float) -> float:
    """Return the derivative of `wave`."""
    part = phase % 1.0
    return 8.0 - 32.0 * part if part < 0.5 else -8.0 + 32.0 * (part - 0.5)


def direction(half_tangent: float) -> tuple[float, float]:
    """Return (cosine, sine) of the angle whose half has this tangent, by arithmetic alone."""
    square = half_tangent * half_tangent
    return (1.0 - square) / (1.0 + square), 2.0 * half_tangent / (1.0 + square)
