"""Uncertainty as a heat map: dark where the network is sure, bright where it is not."""

from __future__ import annotations

import numpy as np

from edge.contract import OutputTensor
from edge.opencv import cv2
from edge.stream.painter import Painter
from edge.stream.uncertainty import UncertaintyScale

COLOR_MAP = cv2.COLORMAP_INFERNO
"""Colour map whose lightness grows evenly, so that the order also holds for eyes that see few colours."""


class HeatMapPainter(Painter):
    """Paints the uncertainty of the labels over grey frames, so that every colour belongs to the scale.

    Args:
        output: Output of the network that holds the uncertainty.
        coordinates: Coordinate rule of the upsampling, "half_pixel" or "align_corners".
        alpha: Share of the scale's colour, 0 (grey frame alone) to 1 (heat map alone).
        legend: Whether the bar of colours is drawn.
        color_order: Channel order of the frames and of the result, "bgr" or "rgb".

    Raises:
        InputError: A number is out of range.

    Example:
        >>> painter = HeatMapPainter(uncertainty_output(contract), contract.coordinates)
        >>> picture_bgr = painter.paint(frame_bgr, labels, ["24.0 fps"], segmentation.uncertainty)
    """

    def __init__(
        self,
        output: OutputTensor,
        coordinates: str = "half_pixel",
        alpha: float = 0.55,
        legend: bool = True,
        color_order: str = "bgr",
    ) -> None:
        super().__init__(alpha, legend, color_order)
        self._scale = UncertaintyScale(output, coordinates)
        colors_bgr = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], COLOR_MAP)  # (256, 1, 3)
        self._colors = colors_bgr if color_order == "bgr" else np.ascontiguousarray(colors_bgr[..., ::-1])
        self._to_grey = cv2.COLOR_BGR2GRAY if color_order == "bgr" else cv2.COLOR_RGB2GRAY

    def _fill(self, picture: np.ndarray, frame: np.ndarray, labels: np.ndarray, uncertainty: np.ndarray | None) -> None:
        level = self._scale(uncertainty, *frame.shape[:2])
        grey = cv2.cvtColor(cv2.cvtColor(frame, self._to_grey), cv2.COLOR_GRAY2BGR)
        cv2.applyColorMap(cv2.convertScaleAbs(level, alpha=255.0), self._colors, picture)
        cv2.addWeighted(grey, 1.0 - self._alpha, picture, self._alpha, 0.0, picture)

    def _explain(self, picture: np.ndarray, labels: np.ndarray, caption_height: int) -> None:
        self._scale.draw_bar(
            picture,
            caption_height,
            lambda level: cv2.applyColorMap(cv2.convertScaleAbs(level, alpha=255.0), self._colors),
        )
