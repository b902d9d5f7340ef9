"""What the loop takes frames from, and what it hands finished pictures to."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Frame:
    """One frame as a source gave it.

    Attributes:
        pixels_bgr: (height, width, 3) uint8.
        number: 0 for the source's first frame; dropped frames are counted too.
        arrival_ns: perf_counter_ns when its pixels were in host memory.
        name: of a picture file without its suffix, or "frame_000012".
    """

    pixels_bgr: np.ndarray
    number: int
    arrival_ns: int
    name: str


class FrameSource(abc.ABC):
    """Gives frames until it ends. A `with` block opens and closes it.

    Attributes:
        description: what it is, for messages; never holds a password.
        is_live: frames come whether they are read or not, and only the latest is kept.
        shows_pictures: each frame is a picture of its own, to be looked at one by one.
        fps: frames a second that it claims; None where it claims nothing.
        size: (height, width) of its frames, None before they are known.
        length: number of frames; None where it is not known.
        dropped: frames that came and were replaced by a later one before they were read.
        files: files that it reads, resolved; a sink must not write over them.
        end_note: what a user should know about its end; None if all was well.
    """

    is_live = False
    shows_pictures = False

    def __init__(self, description: str) -> None:
        self.description = description
        self.fps: float | None = None
        self.size: tuple[int, int] | None = None
        self.length: int | None = None
        self.dropped = 0
        self.files: frozenset[Path] = frozenset()
        self.end_note: str | None = None

    def __enter__(self) -> FrameSource:
        self.open()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @abc.abstractmethod
    def open(self) -> None:
        """Make it ready.

        Raises:
            SourceError: it cannot be opened.
        """

    @abc.abstractmethod
    def read(self) -> Frame | None:
        """Return the next frame, the latest one of a live source, or None at the end.

        Raises:
            SourceError: it opened and gives nothing.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Give everything back; harmless when closed."""


class Sink(abc.ABC):
    """Takes finished pictures, and keeps what it was given whatever happens later."""

    @abc.abstractmethod
    def show(self, frame: Frame, picture_bgr: np.ndarray) -> bool:
        """Show or write one picture.

        Args:
            frame: what it was made from.
            picture_bgr: (height, width, 3) uint8; may be overwritten after the call.

        Returns:
            False when the user wants no more.

        Raises:
            StorageError: it cannot be written.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Finish what was begun; harmless when closed.

        Raises:
            StorageError: what was begun cannot be finished.
        """

    @property
    @abc.abstractmethod
    def result(self) -> str | None:
        """Where the pictures lie; None when there is nothing to find."""
