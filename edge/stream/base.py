"""The protocols of the stream loop: sources that give frames, and sinks that take finished pictures."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Frame:
    """One frame of a source.

    Attributes:
        pixels_bgr: (height, width, 3) uint8.
        number: Number of the frame, 0 for the source's first one; dropped frames are counted too.
        arrival_ns: Value of perf_counter_ns when the pixels were in host memory.
        name: Name of the picture file without its suffix, or a number such as "frame_000012".
        time_s: Time in s at which a video file shows the frame, from its first frame on; None where there is none.
    """

    pixels_bgr: np.ndarray
    number: int
    arrival_ns: int
    name: str
    time_s: float | None = None


class FrameSource(abc.ABC):
    """Gives frames until it ends; a `with` block opens and closes it.

    Attributes:
        description: Name of the source for messages; it never contains a password.
        is_live: Whether frames come whether they are read or not, so that only the latest one is kept.
        shows_pictures: Whether each frame is a picture of its own, which is looked at one by one.
        fps: Frames per second that the source reports; None where it reports nothing.
        size: Height and width of the frames in pixels; None before they are known.
        length: Number of frames; None where it is not known.
        dropped: Number of frames that a later one replaced before they were read.
        files: Resolved paths of the files that are read; a sink must not write over them.
        end_note: Sentence that a user should know about the end of the source; None if all was well.
        skipped: Names of the picture files that were left out since they cannot be read.
        is_lost: Whether the source ended although it should not have: a camera or stream that went away.
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
        self.skipped: tuple[str, ...] = ()
        self.is_lost = False

    def __enter__(self) -> FrameSource:
        self.open()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @abc.abstractmethod
    def open(self) -> None:
        """Open the source, so that frames can be read.

        Raises:
            SourceError: The source cannot be opened.
        """

    @abc.abstractmethod
    def read(self) -> Frame | None:
        """Return the next frame, the latest one of a live source, or None at the end.

        Raises:
            SourceError: The source is open, but gives no frame.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Close the source; a second call does nothing."""


class Sink(abc.ABC):
    """Takes finished pictures; what was written stays, whatever happens later."""

    @abc.abstractmethod
    def show(self, frame: Frame, picture_bgr: np.ndarray) -> bool:
        """Show or write one picture.

        Args:
            frame: Frame that the picture was made from.
            picture_bgr: (height, width, 3) uint8, which may be overwritten after the call.

        Returns:
            False when the user wants no more pictures.

        Raises:
            StorageError: The picture cannot be written.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Finish what was begun; a second call does nothing.

        Raises:
            StorageError: What was begun cannot be finished.
        """

    @property
    @abc.abstractmethod
    def result(self) -> str | None:
        """Path where the pictures lie; None where there is none."""
