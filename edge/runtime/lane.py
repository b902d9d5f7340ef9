"""The protocol of a lane: whole frames go in, label maps come out, and nothing else crosses to the host."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Blend:
    """Colours that a lane blends with the frame, as edge.stream.overlay does.

    Attributes:
        palette_rgb: (n, 3) uint8 RGB.
        alpha: share of the label's colour, 0 to 1.
    """

    palette_rgb: np.ndarray
    alpha: float


@dataclass(frozen=True)
class LaneRequest:
    """What a lane is made for; everything in it is fixed, so that all memory is taken when it is opened.

    Attributes:
        frame_shape: (h, w, 3), or (h * 3 / 2, w) of NV12.
        color_order: "bgr", "rgb" or "nv12".
        height: rows of the label map.
        width: columns of the label map.
        depth: frames that may be under way at once, 1 or more.
        outputs: outputs of the network, beside the logits, that are wanted on the host.
        blend: colours over the frame; None for labels alone. Needs labels of the frame's size.
    """

    frame_shape: tuple[int, ...]
    color_order: str
    height: int
    width: int
    depth: int = 1
    outputs: tuple[str, ...] = ()
    blend: Blend | None = None


@dataclass(frozen=True)
class LaneResult:
    """What a lane made of one frame. The arrays are views of its memory: valid until the next `submit` or `close`.

    Attributes:
        labels: (height, width) uint8.
        stage_ns: stage -> nanoseconds by the device's own clock, but for "copy": by the host's.
        outputs: those that were asked for, (channels, h, w) float32.
        picture: (height, width, 3) uint8 in the frame's channel order; None without a blend.
    """

    labels: np.ndarray
    stage_ns: dict[str, int]
    outputs: dict[str, np.ndarray]
    picture: np.ndarray | None


class Lane(abc.ABC):
    """Carries frames of one size through a device, in order. One lane serves one thread at a time.

    Attributes:
        request: what it was opened for.
    """

    def __init__(self, request: LaneRequest) -> None:
        self.request = request

    @abc.abstractmethod
    def submit(self, frame: np.ndarray) -> None:
        """Send a frame; returns as soon as it is copied.

        Args:
            frame: uint8 of request.frame_shape.

        Raises:
            BackendError: `depth` frames are under way already, or a call failed.
            InputError: the frame has another shape or dtype.
        """

    @abc.abstractmethod
    def collect(self) -> LaneResult:
        """Wait for the oldest frame under way.

        Raises:
            BackendError: none is, or a call failed.
            InputError: the network gave a logit that is NaN or infinite.
        """

    @abc.abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return what a record has to name."""

    @abc.abstractmethod
    def close(self) -> None:
        """Give its memory back; frames under way are lost. Harmless when closed."""
