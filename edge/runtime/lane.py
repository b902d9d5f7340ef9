"""The protocol of a lane: whole frames go to a device, label maps come back, and nothing else is copied."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Blend:
    """Colours that a lane blends with the frame, as edge.stream.overlay does.

    Attributes:
        palette_rgb: Colours of the labels, (n, 3) uint8 RGB.
        alpha: Share of the label's colour, 0 to 1.
    """

    palette_rgb: np.ndarray
    alpha: float


@dataclass(frozen=True)
class LaneRequest:
    """Sizes, format and depth of a lane; all of it is fixed, so that all memory is allocated at the opening.

    Attributes:
        frame_shape: Shape of the frames: (h, w, 3), or (h * 3 / 2, w) for NV12.
        color_order: Format of the frames, "bgr", "rgb" or "nv12".
        height: Rows of the label map, in pixels.
        width: Columns of the label map, in pixels.
        depth: Frames that may be under way at once, 1 or more.
        outputs: Names of the network's outputs, beside the logits, that are copied to the host.
        blend: Colours over the frame, which need labels of the frame's size; None for labels alone.
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
    """Result of one frame; the arrays are views of the lane's memory, valid until the next `submit` or `close`.

    Attributes:
        labels: Label map, (height, width) uint8.
        stage_ns: Stage -> time in nanoseconds by the device's clock; "copy" is measured by the host's clock.
        outputs: Requested outputs of the network by name, (channels, h, w) float32.
        picture: (height, width, 3) uint8 in the frame's channel order; None without a blend.
    """

    labels: np.ndarray
    stage_ns: dict[str, int]
    outputs: dict[str, np.ndarray]
    picture: np.ndarray | None


class Lane(abc.ABC):
    """Carries frames of one size through a device, in order; one lane serves one thread at a time.

    Attributes:
        request: Request that the lane was opened for.
    """

    def __init__(self, request: LaneRequest) -> None:
        self.request = request

    @abc.abstractmethod
    def submit(self, frame: np.ndarray) -> None:
        """Send a frame to the device; the call returns as soon as the frame is copied.

        Args:
            frame: Array of shape request.frame_shape, uint8.

        Raises:
            BackendError: `depth` frames are already under way, or a call failed.
            InputError: The frame has another shape or dtype.
        """

    @abc.abstractmethod
    def collect(self) -> LaneResult:
        """Wait for the oldest frame under way, and return its result.

        Raises:
            BackendError: No frame is under way, or a call failed.
            InputError: The network gave a logit that is NaN or infinite.
        """

    @abc.abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return what a record has to name, such as the number of slots and the kind of memory."""

    @abc.abstractmethod
    def close(self) -> None:
        """Free the lane's memory; frames under way are lost, and a second call does nothing."""
