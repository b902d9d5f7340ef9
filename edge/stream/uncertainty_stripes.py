"""Labels and their uncertainty in one picture: stripes replace the colour where the network is unsure.

Darkening would hide just what an operator has to look at: something on the track that the network does not know. So the
label's colour is withdrawn there, the camera's own picture is visible, and black and white stripes, as the zebra
pattern of a video camera, draw the eye on any background.
"""

from __future__ import annotations

from typing import Sequence

import numpy as np

from edge.contract import OutputTensor
from edge.opencv import cv2
from edge.stream.overlay import OverlayPainter
from edge.stream.uncertainty import UncertaintyScale

STRIPE_SHARE = 0.9
"""Share of a stripe's black or white at the top of the scale."""

_BAR_GREY = 110  # stands for the frame in the bar


class UncertaintyStripesPainter(OverlayPainter):
    """Paints label maps whose colours fade into the frame under stripes where the labels are unsure.

    At a level u of the scale, 0 to 1, the share of the label's colour is alpha * (1 - u). That of the stripes grows
    with u * u, so that the thin uncertain lines along every boundary between two classes stay quiet.

    Args:
        class_names: Names of the classes, one for each label.
        palette_rgb: Colours of the labels, (n, 3) uint8 RGB, n at least the number of classes; further labels are
            black.
        output: Output of the network that holds the uncertainty.
        coordinates: Coordinate rule of the upsampling, "half_pixel" or "align_corners".
        alpha: Share of a sure label's colour, 0 to 1.
        legend: Whether the visible classes are listed, and the bar of the scale is drawn.
        color_order: Channel order of the frames and of the result, "bgr" or "rgb".

    Raises:
        InputError: A number or shape is out of range.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        palette_rgb: np.ndarray,
        output: OutputTensor,
        coordinates: str = "half_pixel",
        alpha: float = 0.55,
        legend: bool = True,
        color_order: str = "bgr",
    ) -> None:
        super().__init__(class_names, palette_rgb, alpha, legend, color_order)
        self._scale = UncertaintyScale(output, coordinates)
        self._stripes = _StripePattern(0, 0, 1)

    @property
    def blend(self) -> None:
        """Always None, since the share of a colour depends on the uncertainty."""
        return None

    def _fill(self, picture: np.ndarray, frame: np.ndarray, labels: np.ndarray, uncertainty: np.ndarray | None) -> None:
        height, width = frame.shape[:2]
        level = self._scale(uncertainty, height, width)
        if self._stripes.weight.shape != (height, width):
            self._stripes = _StripePattern(height, width, _stripe_width(height))
        cv2.applyColorMap(np.ascontiguousarray(labels), self._palette, picture)
        self._stripes.blend(picture, frame, level, self._alpha)

    def _explain(self, picture: np.ndarray, labels: np.ndarray, caption_height: int) -> None:
        stripe_width = _stripe_width(picture.shape[0])

        def paint_levels(level: np.ndarray) -> np.ndarray:
            bar = np.empty((*level.shape, 3), np.uint8)
            bar[:] = self._palette[0, 0]
            _StripePattern(*level.shape, stripe_width).blend(bar, np.full_like(bar, _BAR_GREY), level, self._alpha)
            return bar

        bar_height = self._scale.draw_bar(picture, caption_height, paint_levels)
        self._draw_legend(picture, labels, caption_height, picture.shape[0] - bar_height)


class _StripePattern:
    """Stripes for pictures of one size: one white, one black, and space for four between them.

    Shares are bytes, 255 for the whole: a step of 1/255 cannot be seen, bytes are twice as fast as cv2.blendLinear, and
    OpenCV 4.5.1 has no blendLinear in Python. The buffers are allocated once, since fresh memory costs more than the
    arithmetic.

    Attributes:
        weight: (height, width) float32, 255 * STRIPE_SHARE on a stripe and 0 between stripes.
    """

    def __init__(self, height: int, width: int, stripe_width: int) -> None:
        stripe = (np.arange(height)[:, None] + np.arange(width)) // stripe_width % 6
        self.weight = np.where(stripe < 2, np.float32(255.0 * STRIPE_SHARE), np.float32(0.0))
        self._is_white = np.where(stripe == 0, np.uint8(255), np.uint8(0))
        self._numbers = np.empty((height, width), np.float32)
        self._share, self._white = (np.empty((height, width), np.uint8) for _ in range(2))
        self._factors, self._frame_part = (np.empty((height, width, 3), np.uint8) for _ in range(2))

    def blend(self, colors: np.ndarray, frame: np.ndarray, level: np.ndarray, alpha: float) -> None:
        """Blend the colours of labels with the frame and the stripes, in place.

        Args:
            colors: (height, width, 3) uint8 colours of the labels, which become the picture.
            frame: (height, width, 3) uint8.
            level: (height, width) float32 uncertainty, 0 to 1.
            alpha: Share of a sure label's colour.
        """
        cv2.convertScaleAbs(level, self._share, alpha=-255.0 * alpha, beta=255.0 * alpha)
        self._multiply(colors, self._share, colors)
        cv2.bitwise_not(self._share, self._share)
        self._multiply(frame, self._share, self._frame_part)
        cv2.add(colors, self._frame_part, colors)
        np.multiply(level, level, out=self._numbers)
        np.multiply(self._numbers, self.weight, out=self._numbers)
        cv2.convertScaleAbs(self._numbers, self._share)
        cv2.bitwise_and(self._share, self._is_white, self._white)
        cv2.bitwise_not(self._share, self._share)
        self._multiply(colors, self._share, colors)
        cv2.add(colors, cv2.cvtColor(self._white, cv2.COLOR_GRAY2BGR, self._factors), colors)

    def _multiply(self, picture: np.ndarray, share: np.ndarray, result: np.ndarray) -> None:
        cv2.cvtColor(share, cv2.COLOR_GRAY2BGR, self._factors)
        cv2.multiply(picture, self._factors, result, scale=1.0 / 255.0)


def _stripe_width(height: int) -> int:
    return max(round(height / 170), 1)
