"""Labels painted over their frame, with a legend of the classes in sight and a line of text."""

from __future__ import annotations

from typing import Sequence

import cv2
import numpy as np

from edge.errors import InputError
from edge.preprocess import COLOR_ORDERS
from edge.stream.lettering import Lettering, darken, lettering_for, lettering_of

SMALLEST_SHARE = 0.001
"""Share of the pixels below which a class is not listed in the legend."""


class OverlayPainter:
    """Paints label maps over frames, frame after frame. One painter serves one thread.

    Args:
        class_names: one per label.
        palette_rgb: (n, 3) uint8 RGB, n at least the number of classes; further labels are black.
        alpha: share of the label's colour, 0 (frame alone) to 1 (labels alone).
        legend: list the classes in sight, with their share of the pixels.
        color_order: channel order of the frames and of the result, "bgr" or "rgb".

    Raises:
        InputError: a number or shape out of range.

    Example:
        >>> painter = OverlayPainter(contract.class_names, palette_for(contract.class_names))
        >>> picture_bgr = painter.paint(frame_bgr, labels, ["24.0 fps   38 ms"])
    """

    def __init__(
        self,
        class_names: Sequence[str],
        palette_rgb: np.ndarray,
        alpha: float = 0.55,
        legend: bool = True,
        color_order: str = "bgr",
    ) -> None:
        palette_rgb = np.asarray(palette_rgb)
        if palette_rgb.ndim != 2 or palette_rgb.shape[1] != 3 or not len(class_names) <= len(palette_rgb) <= 256:
            raise InputError(f"palette has shape {palette_rgb.shape}, expected ({len(class_names)} to 256, 3)")
        if not 0.0 <= alpha <= 1.0:
            raise InputError(f"alpha is {alpha}, expected 0 (frame alone) to 1 (labels alone)")
        if color_order not in COLOR_ORDERS:
            raise InputError(f"colour order is '{color_order}', expected one of: {', '.join(COLOR_ORDERS)}")
        self._names, self._alpha, self._with_legend = tuple(class_names), alpha, legend
        self._palette = np.zeros((256, 1, 3), np.uint8)  # the shape that cv2.applyColorMap takes
        self._palette[: len(palette_rgb), 0] = palette_rgb if color_order == "rgb" else palette_rgb[:, ::-1]
        self._picture = np.empty((0, 0, 3), np.uint8)

    def paint(self, frame: np.ndarray, labels: np.ndarray, caption: Sequence[str] = ()) -> np.ndarray:
        """Paint one frame.

        Args:
            frame: (height, width, 3) uint8; left as it is.
            labels: (height, width) uint8.
            caption: lines of text for the upper left corner.

        Returns:
            (height, width, 3) uint8 in the frame's channel order; overwritten by the next call.

        Raises:
            InputError: shapes or types other than these.
        """
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise InputError(f"frame is {frame.shape} {frame.dtype}, expected (height, width, 3) uint8")
        if labels.shape != frame.shape[:2] or labels.dtype != np.uint8:
            raise InputError(f"labels are {labels.shape} {labels.dtype}, expected {frame.shape[:2]} uint8")
        if self._picture.shape != frame.shape:
            self._picture = np.empty(frame.shape, np.uint8)
        picture = self._picture
        # A colour map is one look-up a pixel: five times faster than indexing with NumPy.
        cv2.applyColorMap(np.ascontiguousarray(labels), self._palette, picture)
        cv2.addWeighted(frame, 1.0 - self._alpha, picture, self._alpha, 0.0, picture)
        caption_height = self._draw_caption(picture, [line for line in caption if line])
        if self._with_legend:
            self._draw_legend(picture, labels, caption_height)
        return picture

    def _draw_caption(self, picture: np.ndarray, lines: list[str]) -> int:
        """Write the caption; return the height of its backing."""
        if not lines:
            return 0
        height, width = picture.shape[:2]
        text = lettering_for(height)
        while text.capital > 5 and max(map(text.width, lines)) + 2 * text.pad > width:
            text = lettering_of(text.capital - 1)
        block_height = len(lines) * text.line + text.pad
        darken(picture, 0, 0, block_height, max(map(text.width, lines)) + 2 * text.pad)
        for row, line in enumerate(lines):
            text.write(picture, line, text.pad, text.baseline(text.pad // 2, row))
        return block_height

    def _draw_legend(self, picture: np.ndarray, labels: np.ndarray, caption_height: int) -> None:
        height, width = picture.shape[:2]
        # OpenCV 4 gives a column, OpenCV 5 a vector.
        counts = cv2.calcHist([labels], [0], None, [256], [0, 256]).ravel()[: len(self._names)]
        shares = {index: float(count) / labels.size for index, count in enumerate(counts)}
        listed = [index for index, share in shares.items() if share >= SMALLEST_SHARE]
        text = lettering_for(height)
        # The width is that of the longest name of all, so that the legend stands still in a video.
        while text.capital > 7 and self._legend_width(text) > width // 3:
            text = lettering_of(text.capital - 1)
        legend_width = self._legend_width(text)
        top = caption_height if legend_width > width // 3 else 0
        most_rows = (height - top - text.pad) // text.line
        if legend_width > 2 * width // 3 or most_rows < 1 or not listed:
            return
        if len(listed) > most_rows:
            listed = sorted(sorted(listed, key=shares.__getitem__)[-most_rows:])
        left = width - legend_width
        darken(picture, top, left, len(listed) * text.line + text.pad, legend_width)
        for row, index in enumerate(listed):
            self._draw_entry(picture, text, (left + text.pad, text.baseline(top + text.pad // 2, row)), index, shares)

    def _draw_entry(
        self, picture: np.ndarray, text: Lettering, start_xy: tuple[int, int], index: int, shares: dict[int, float]
    ) -> None:
        left, baseline = start_xy
        swatch = _swatch(text)
        upper = baseline - (text.capital + swatch) // 2
        color = tuple(int(part) for part in self._palette[index, 0])
        corner = (left + swatch - 1, upper + swatch - 1)
        cv2.rectangle(picture, (left, upper), corner, color, cv2.FILLED)
        cv2.rectangle(picture, (left, upper), corner, (200, 200, 200), 1)
        text.write(picture, self._names[index], left + swatch + text.pad, baseline)
        share = _share_text(shares[index])
        text.write(picture, share, picture.shape[1] - text.pad - text.width(share), baseline)

    def _legend_width(self, text: Lettering) -> int:
        longest = max(map(text.width, self._names))
        return _swatch(text) + longest + text.width("00 %") + 5 * text.pad


def overlay_rgb(
    frame_rgb: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    palette_rgb: np.ndarray,
    alpha: float = 0.55,
    legend: bool = True,
    caption: str | None = None,
) -> np.ndarray:
    """Paint one picture; for a stream of frames, keep an OverlayPainter.

    Args:
        frame_rgb: (height, width, 3) uint8.
        labels: (height, width) uint8.
        class_names: one per label.
        palette_rgb: (n, 3) uint8 RGB, n at least the number of classes.
        alpha: share of the label's colour, 0 to 1.
        legend: list the classes in sight.
        caption: text for the upper left corner; its lines are kept.

    Returns:
        (height, width, 3) uint8 RGB, a new array.

    Raises:
        InputError: a shape, type or number out of range.
    """
    painter = OverlayPainter(class_names, palette_rgb, alpha, legend, "rgb")
    return painter.paint(frame_rgb, labels, caption.splitlines() if caption else ())


def _swatch(text: Lettering) -> int:
    return round(1.3 * text.capital)


def _share_text(share: float) -> str:
    percent = 100.0 * share
    return f"{percent:.0f} %" if percent >= 9.95 else f"{percent:.1f} %"
