"""What a benchmark in pairs of rounds needs: work that takes a known time, and the cost that the rounds show."""

from __future__ import annotations

import time
from typing import Callable, Sequence

import numpy as np


def sized_work(work_ns: int) -> Callable[[], object]:
    """Return a product of matrices that takes about so many ns, without Python's lock as a network in its runtime."""
    for side in range(32, 2048, 16):
        matrix = np.ones((side, side), np.float32)
        taken_ns = []
        for _ in range(9):
            start_ns = time.perf_counter_ns()
            matrix.dot(matrix)
            taken_ns.append(time.perf_counter_ns() - start_ns)
        if min(taken_ns) >= work_ns:
            break
    return lambda: matrix.dot(matrix)


def added_share(ratios: Sequence[float]) -> dict[str, object]:
    """Return the median of the rounds' ratios less 1, and its 95 % interval by drawing the rounds again."""
    drawn = np.random.default_rng(0).choice(ratios, (2000, len(ratios)))
    ends = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    return {"added_share": float(np.median(ratios)) - 1, "added_share_interval": [float(end) - 1 for end in ends]}
