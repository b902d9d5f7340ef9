"""Uncertainty maps: their scale, their size, and the bar that explains the colours of a picture."""

from __future__ import annotations

from typing import Callable

import numpy as np

from edge.contract import OutputTensor
from edge.errors import InputError
from edge.opencv import cv2
from edge.stream.text_overlay import TextStyle, darken, text_style_for_frame, text_style_of_size

TITLE = "uncertainty"

_BAR_CAPITALS = 14
"""Length of the bar, in heights of a capital letter."""


class UncertaintyScale:
    """Brings a network's uncertainty maps to the size of its frames and to 0 (sure) to 1 (top of the scale).

    The top is the largest value that the output can take. Where that is not known it is the largest value so far: it
    never falls, so that within a run nothing looks more certain than it did before without being so.

    Args:
        output: Output of the network that holds the uncertainty.
        coordinates: Coordinate rule of the upsampling, "half_pixel" or "align_corners"; the same as for the logits, so
            that map and labels fit.

    Attributes:
        top: Uncertainty that the level 1 stands for; 0 before the first map.
    """

    def __init__(self, output: OutputTensor, coordinates: str = "half_pixel") -> None:
        self._output, self._coordinates = output, coordinates
        self.top = output.maximum or 0.0
        self._resized = np.empty((0, 0), np.float32)

    def __call__(self, uncertainty: np.ndarray | None, height: int, width: int) -> np.ndarray:
        """Scale and resize one uncertainty map.

        Args:
            uncertainty: (h, w) float32 uncertainty of the labels.
            height: Rows of the frame.
            width: Columns of the frame.

        Returns:
            (height, width) float32 levels, 0 to 1; overwritten by the next call.

        Raises:
            InputError: There is no map, or it has another shape or type.
        """
        if uncertainty is None:
            raise InputError(f"frame came without the output '{self._output.name}', expected (h, w) float32")
        if uncertainty.ndim != 2 or uncertainty.dtype != np.float32 or not uncertainty.size:
            raise InputError(f"uncertainty is {uncertainty.shape} {uncertainty.dtype}, expected (h, w) float32")
        if self._output.maximum is None:
            self.top = max(self.top, float(uncertainty.max(initial=0.0, where=np.isfinite(uncertainty))))
        level = uncertainty / np.float32(self.top or 1.0)
        # What is no number is no certainty either.
        cv2.patchNaNs(level, 1.0)
        np.clip(level, 0.0, 1.0, out=level)
        return self._resize(level, height, width)

    def _resize(self, level: np.ndarray, height: int, width: int) -> np.ndarray:
        if self._resized.shape != (height, width):
            self._resized = np.empty((height, width), np.float32)
        if self._coordinates == "half_pixel":
            return cv2.resize(level, (width, height), self._resized, interpolation=cv2.INTER_LINEAR)
        rows, columns = level.shape
        steps = np.diag(((columns - 1) / max(width - 1, 1), (rows - 1) / max(height - 1, 1), 1.0))[:2]
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(
            level, steps, (width, height), self._resized, flags=flags, borderMode=cv2.BORDER_REPLICATE
        )

    def draw_bar(
        self, picture: np.ndarray, caption_height: int, paint_levels: Callable[[np.ndarray], np.ndarray]
    ) -> int:
        """Draw a bar from 0 to the top of the scale in the lower left corner, if there is space for one.

        Args:
            picture: (height, width, 3) uint8, which is changed in place.
            caption_height: Rows at the top of the picture that are occupied.
            paint_levels: Function from levels, (rows, columns) float32, to their colours, (rows, columns, 3) uint8.

        Returns:
            Height of the bar's backing in pixels; 0 if there was no space.
        """
        height, width = picture.shape[:2]
        style = text_style_for_frame(height)
        while style.capital > 7 and self._bar_width(style) > 2 * width // 3:
            style = text_style_of_size(style.capital - 1)
        block_width, block_height = self._bar_width(style), style.line + style.pad
        if block_width > 2 * width // 3 or block_height > height - caption_height:
            return 0
        top = height - block_height
        darken(picture, top, 0, block_height, block_width)
        baseline, left = style.baseline(top + style.pad // 2, 0), style.pad
        for words in (TITLE, "0"):
            style.write(picture, words, left, baseline)
            left += style.width(words) + style.pad
        length, thickness = _BAR_CAPITALS * style.capital, style.capital + 2
        levels = np.linspace(0.0, 1.0, length, dtype=np.float32)[None].repeat(thickness, axis=0)
        upper = baseline - style.capital - 1
        picture[upper : upper + thickness, left : left + length] = paint_levels(levels)
        corner = (left + length - 1, upper + thickness - 1)
        cv2.rectangle(picture, (left, upper), corner, (200, 200, 200), 1)
        style.write(picture, self._top_text(), left + length + style.pad, baseline)
        return block_height

    def _bar_width(self, style: TextStyle) -> int:
        # Room for any number, so that the backing stands still while the top grows.
        longest = max(style.width(f"0.0000 {self._output.unit}"), style.width(self._top_text()))
        return style.width(TITLE) + style.width("0") + _BAR_CAPITALS * style.capital + longest + 5 * style.pad

    def _top_text(self) -> str:
        return f"{self.top:.3g} {self._output.unit}".strip()
