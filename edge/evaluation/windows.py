"""Windows that slide over a frame which is larger than a network's input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Iterator

OVERLAP = 1 / 3
"""Share of a window that the next one covers too; two thirds of a window are the step of many evaluations."""


@dataclass(frozen=True)
class Window:
    """A window that slides over a frame.

    Attributes:
        size: Height and width in pixels.
        overlap: Share of a window's side that the next window covers too, at least; 0 and up, below 1.
    """

    size: tuple[int, int]
    overlap: float = OVERLAP

    def __str__(self) -> str:
        return f"{self.size[0]}x{self.size[1]}"

    def places(self, height: int, width: int) -> Iterator[tuple[int, int]]:
        """Yield the top and left of each window of a frame; the last of a row or column ends with the frame.

        Windows are spread evenly, so that none overlaps more than it has to. A frame that is smaller than the window
        has one, at its corner.
        """
        tops, lefts = (_starts(side, own, self.overlap) for side, own in zip((height, width), self.size))
        for top in tops:
            for left in lefts:
                yield top, left


def _starts(side: int, window: int, overlap: float) -> list[int]:
    left_over = side - window
    if left_over <= 0:
        return [0]
    step = max(1, math.floor(window * (1.0 - overlap)))
    count = math.ceil(left_over / step)
    return [round(left_over * index / count) for index in range(count + 1)]
