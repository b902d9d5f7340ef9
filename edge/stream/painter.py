"""The base of all painters of a segmentation: checks, one picture buffer, a caption."""

from __future__ import annotations

import abc
from typing import Sequence

import numpy as np

from edge.errors import InputError
from edge.preprocess import COLOR_ORDERS
from edge.runtime.lane import Blend
from edge.stream.text_overlay import darken, text_style_for_frame, text_style_of_size


class Painter(abc.ABC):
    """Paints the result of a network over its frames, frame after frame; one painter serves one thread.

    Args:
        alpha: Share of the painted colour, 0 (frame alone) to 1 (colours alone).
        legend: Whether the picture explains the colours.
        color_order: Channel order of the frames and of the result, "bgr" or "rgb".

    Raises:
        InputError: A number is out of range, or the channel order is unknown.
    """

    def __init__(self, alpha: float = 0.55, legend: bool = True, color_order: str = "bgr") -> None:
        if not 0.0 <= alpha <= 1.0:
            raise InputError(f"alpha is {alpha}, expected 0 (frame alone) to 1 (colours alone)")
        if color_order not in COLOR_ORDERS:
            raise InputError(f"colour order is '{color_order}', expected one of: {', '.join(COLOR_ORDERS)}")
        self._alpha, self._with_legend, self._color_order = alpha, legend, color_order
        self._picture = np.empty((0, 0, 3), np.uint8)
        self._legend_left_out = False

    @property
    def legend_left_out(self) -> bool:
        """Whether a picture was too small for a legend that was asked for."""
        return self._legend_left_out

    def paint(
        self,
        frame: np.ndarray,
        labels: np.ndarray,
        caption: Sequence[str] = (),
        uncertainty: np.ndarray | None = None,
        blended: np.ndarray | None = None,
    ) -> np.ndarray:
        """Paint one frame and its caption.

        Args:
            frame: (height, width, 3) uint8, which is not changed.
            labels: (height, width) uint8.
            caption: Lines of text for the upper left corner.
            uncertainty: (h, w) float32 uncertainty of the labels at any size; None if the network has no such output.
            blended: Result of a device for `blend`, (height, width, 3) uint8, which is drawn into; None to paint here.

        Returns:
            (height, width, 3) uint8 in the frame's channel order: `blended`, or a buffer that the next call overwrites.

        Raises:
            InputError: A shape or type differs from these, or there is no uncertainty for a painter that needs it.
        """
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise InputError(f"frame is {frame.shape} {frame.dtype}, expected (height, width, 3) uint8")
        if labels.shape != frame.shape[:2] or labels.dtype != np.uint8:
            raise InputError(f"labels are {labels.shape} {labels.dtype}, expected {frame.shape[:2]} uint8")
        if blended is not None and (self.blend is None or blended.shape != frame.shape):
            raise InputError(f"a blended picture of {blended.shape} does not go with a frame of {frame.shape} here")
        picture = blended
        if picture is None:
            if self._picture.shape != frame.shape:
                self._picture = np.empty(frame.shape, np.uint8)
            picture = self._picture
            self._fill(picture, frame, labels, uncertainty)
        caption_height = _draw_caption(picture, [line for line in caption if line])
        if self._with_legend:
            self._explain(picture, labels, caption_height)
        return picture

    @property
    def blend(self) -> Blend | None:
        """Work on every pixel that a device may do in place of this painter; None where it cannot."""
        return None

    @abc.abstractmethod
    def _fill(self, picture: np.ndarray, frame: np.ndarray, labels: np.ndarray, uncertainty: np.ndarray | None) -> None:
        """Paint every pixel of `picture`, which has the frame's shape."""

    @abc.abstractmethod
    def _explain(self, picture: np.ndarray, labels: np.ndarray, caption_height: int) -> None:
        """Draw the legend; rows of the upper left corner down to `caption_height` are occupied."""


def _draw_caption(picture: np.ndarray, lines: list[str]) -> int:
    """Draw the caption, and return the height of its dark backing in pixels."""
    if not lines:
        return 0
    height, width = picture.shape[:2]
    style = text_style_for_frame(height)
    while style.capital > 5 and max(map(style.width, lines)) + 2 * style.pad > width:
        style = text_style_of_size(style.capital - 1)
    block_height = len(lines) * style.line + style.pad
    darken(picture, 0, 0, block_height, max(map(style.width, lines)) + 2 * style.pad)
    for row, line in enumerate(lines):
        style.write(picture, line, style.pad, style.baseline(style.pad // 2, row))
    return block_height
