"""How pictures of 16 bits become frames of 8 bits: one rule for all pictures of a folder.

Industrial cameras write 10, 12 or 14 bits into files of 16, mostly without saying so, and a division by 256 would
make such pictures black. A stretch of each picture by itself would change the brightness from frame to frame. So the
range is that of the whole folder: the fewest bits of 8, 10, 12, 14 and 16 that hold the largest value of any of its
pictures. The lower bits are then left out, and the full range becomes 0 to 255:

    frame = value >> (bits - 8)

A folder of dark pictures alone may use fewer bits than its camera has: $SEGEDGE_PICTURE_BITS says how many it has.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Callable, Sequence

import numpy as np

from edge.console import Progress, print_note
from edge.errors import ImageError, InputError
from edge.imaging import read_file_header, read_samples

PICTURE_BITS_VARIABLE = "SEGEDGE_PICTURE_BITS"
CAMERA_BITS = (8, 10, 12, 14, 16)
"""Numbers of bits that cameras and files have."""

_QUIET_S = 2.0
"""Time in s that passes before progress is shown."""

_BATCH = 16
"""Pictures that are read before the largest value is looked at."""


class SampleDepth:
    """The number of bits that the 16-bit pictures of a set use; the first such picture that is read finds it out.

    Args:
        list_paths: Function that lists all pictures of the set, whatever their depth; it is called at most once.
        where: Name of the set for the note: its folder, or the picture.
    """

    def __init__(self, list_paths: Callable[[], Sequence[Path]], where: str) -> None:
        self._list_paths, self._where = list_paths, where
        self._lock = threading.Lock()
        self._bits: int | None = None

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """Return uint16 samples of a picture of the set as uint8 of the same shape."""
        shift = self.bits() - 8
        return np.minimum(samples >> shift, 255).astype(np.uint8)

    def bits(self) -> int:
        """Return the number of bits, one of CAMERA_BITS; the first call reads the pictures of 16 bits, and says it.

        Raises:
            InputError: $SEGEDGE_PICTURE_BITS is no such number.
        """
        with self._lock:
            if self._bits is None:
                self._bits = self._find_bits()
            return self._bits

    def _find_bits(self) -> int:
        given = os.environ.get(PICTURE_BITS_VARIABLE, "").strip()
        if given:
            if given not in map(str, CAMERA_BITS):
                raise InputError(
                    f"{PICTURE_BITS_VARIABLE} is '{given}', expected one of: {', '.join(map(str, CAMERA_BITS))}"
                )
            return int(given)
        paths = self._list_paths()
        deep = [path for path in paths if read_file_header(path).bits == 16]
        largest = self._largest_value(deep)
        bits = next(bits for bits in CAMERA_BITS if largest < 1 << bits)
        pictures = f"{len(deep)} pictures of {self._where} have" if len(paths) > 1 else f"{self._where} has"
        values = f"above {(1 << CAMERA_BITS[-2]) - 1}" if bits == CAMERA_BITS[-1] else f"up to {largest}"
        print_note(
            f"{pictures} 16 bits a sample, with values {values}: read as {bits} bits, so that {(1 << bits) - 1} is "
            f"white. Next: {PICTURE_BITS_VARIABLE}=BITS if the camera has another number of bits"
        )
        return bits

    def _largest_value(self, paths: list[Path]) -> int:
        """Return the largest value of any picture; one that needs all 16 bits ends the search."""
        largest, start_s = 0, time.perf_counter()
        with Progress("look for the largest value", len(paths), "picture") as progress, ThreadPoolExecutor() as pool:
            for first in range(0, len(paths), _BATCH):
                largest = max([largest, *pool.map(_largest, paths[first : first + _BATCH])])
                if largest >= 1 << CAMERA_BITS[-2]:
                    return largest
                if time.perf_counter() - start_s > _QUIET_S:
                    progress.show(min(1.0, (first + _BATCH) / len(paths)))
        return largest


def _largest(path: Path) -> int:
    try:
        return int(read_samples(path).max())
    except ImageError:  # named where the picture itself is read
        return 0


@functools.lru_cache(maxsize=64)
def shared_depth(paths: tuple[Path, ...], where: str) -> SampleDepth:
    """Return the depth of a list of pictures; equal lists share one object, so that they are read and named once."""
    return SampleDepth(lambda: paths, where)
