"""The frame as it came, and beside it the frame with its labels painted on."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from edge.runtime.lane import Blend
from edge.stream.painter import Painter


class SideBySidePainter(Painter):
    """Paints pictures of twice the frame's width: the frame on the left, what another painter makes of it on the right.

    Args:
        painter: Painter of the right half, which has the legend and the caption.

    Example:
        >>> painter = SideBySidePainter(OverlayPainter(names, palette_for(names)))
        >>> picture_bgr = painter.paint(frame_bgr, labels)  # (height, 2 * width, 3)
    """

    def __init__(self, painter: Painter) -> None:
        super().__init__()
        self._painter = painter

    @property
    def blend(self) -> Blend | None:
        """Work that a device may do for the right half."""
        return self._painter.blend

    @property
    def legend_left_out(self) -> bool:
        """Whether the right half had no space for a legend."""
        return self._painter.legend_left_out

    def paint(
        self,
        frame: np.ndarray,
        labels: np.ndarray,
        caption: Sequence[str] = (),
        uncertainty: np.ndarray | None = None,
        blended: np.ndarray | None = None,
    ) -> np.ndarray:
        """Paint one frame, (height, width, 3) uint8, and return (height, 2 * width, 3), which the next call overwrites.

        Raises:
            InputError: The right half's painter refuses a shape or type.
        """
        painted = self._painter.paint(frame, labels, caption, uncertainty, blended)
        height, width = frame.shape[:2]
        if self._picture.shape != (height, 2 * width, 3):
            self._picture = np.empty((height, 2 * width, 3), np.uint8)
        self._picture[:, :width], self._picture[:, width:] = frame, painted
        return self._picture

    def _fill(self, picture: np.ndarray, frame: np.ndarray, labels: np.ndarray, uncertainty: np.ndarray | None) -> None:
        raise NotImplementedError("the halves are painted by `paint`")

    def _explain(self, picture: np.ndarray, labels: np.ndarray, caption_height: int) -> None:
        raise NotImplementedError("the right half has the legend")
