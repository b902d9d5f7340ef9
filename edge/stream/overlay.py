"""Labels painted over their frame, with a legend of the visible classes and lines of text."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from edge.errors import InputError
from edge.opencv import cv2
from edge.runtime.lane import Blend
from edge.stream.painter import Painter
from edge.stream.text_overlay import TextStyle, darken, text_style_for_frame, text_style_of_size

MIN_LEGEND_SHARE = 0.001
"""Share of the pixels below which a class is not listed in the legend."""

MAX_LEGEND_SHARE = 0.15
"""Share of a picture that its legend covers at most; classes that do not fit are counted in its last line."""

_WANTED_ROWS = 8

_LEAST_CAPITAL_OF_A_POINT = 10
"""Height of capitals in pixels below which a decimal point melts into its neighbours: 8.2 % is read as 82 %."""


class OverlayPainter(Painter):
    """Paints label maps over frames, frame after frame; one painter serves one thread.

    Args:
        class_names: Names of the classes, one for each label.
        palette_rgb: Colours of the labels, (n, 3) uint8 RGB, n at least the number of classes; further labels are
            black.
        alpha: Share of the label's colour, 0 (frame alone) to 1 (labels alone).
        legend: Whether the visible classes are listed, with their share of the pixels.
        color_order: Channel order of the frames and of the result, "bgr" or "rgb".

    Raises:
        InputError: A number or shape is out of range.

    Example:
        >>> painter = OverlayPainter(contract.class_names, contract.painted_palette())
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
        super().__init__(alpha, legend, color_order)
        palette_rgb = np.asarray(palette_rgb)
        if palette_rgb.ndim != 2 or palette_rgb.shape[1] != 3 or not len(class_names) <= len(palette_rgb) <= 256:
            raise InputError(f"palette has shape {palette_rgb.shape}, expected ({len(class_names)} to 256, 3)")
        self._names = tuple(class_names)
        self._palette = np.zeros((256, 1, 3), np.uint8)  # the shape that cv2.applyColorMap takes
        self._palette[: len(palette_rgb), 0] = palette_rgb if color_order == "rgb" else palette_rgb[:, ::-1]

    @property
    def blend(self) -> Blend | None:
        """Palette of the labels and its share, which a device may blend with the frame."""
        palette = self._palette[:, 0]
        return Blend(palette if self._color_order == "rgb" else palette[:, ::-1], self._alpha)

    def _fill(self, picture: np.ndarray, frame: np.ndarray, labels: np.ndarray, uncertainty: np.ndarray | None) -> None:
        # A colour map is one look-up a pixel: five times faster than indexing with NumPy.
        cv2.applyColorMap(np.ascontiguousarray(labels), self._palette, picture)
        cv2.addWeighted(frame, 1.0 - self._alpha, picture, self._alpha, 0.0, picture)

    def _explain(self, picture: np.ndarray, labels: np.ndarray, caption_height: int) -> None:
        self._draw_legend(picture, labels, caption_height, picture.shape[0])

    def _draw_legend(self, picture: np.ndarray, labels: np.ndarray, caption_height: int, bottom: int) -> None:
        """List the visible classes in the upper right corner, above the row `bottom`."""
        height, width = picture.shape[:2]
        # OpenCV 4 gives a column, OpenCV 5 a vector.
        counts = cv2.calcHist([labels], [0], None, [256], [0, 256]).ravel()[: len(self._names)]
        shares = {index: float(count) / labels.size for index, count in enumerate(counts)}
        listed = [index for index, share in shares.items() if share >= MIN_LEGEND_SHARE]
        # The size is that of the longest name of all, and not of those in sight, so that the legend stands still in a
        # video.
        style = text_style_for_frame(height)
        while style.capital > 7 and not self._has_space(style, height, width):
            style = text_style_of_size(style.capital - 1)
        legend_width = self._legend_width(style)
        top = caption_height if legend_width > width // 3 else 0
        rows_in_share = self._rows_in_share(style, height, width)
        most_rows = min((bottom - top - style.pad) // style.line, rows_in_share)
        if legend_width > 2 * width // 3 or most_rows < 2:
            self._legend_left_out = True
            return
        if not listed:
            return
        more = 0
        if len(listed) > most_rows:
            more = len(listed) - (most_rows - 1)
            listed = sorted(sorted(listed, key=shares.__getitem__)[-(most_rows - 1) :])
        left = width - legend_width
        darken(picture, top, left, (len(listed) + (more > 0)) * style.line + style.pad, legend_width)
        for row, index in enumerate(listed):
            self._draw_entry(
                picture, style, (left + style.pad, style.baseline(top + style.pad // 2, row)), index, shares
            )
        if more:
            indent = left + 2 * style.pad + _swatch(style)
            style.write(picture, f"+ {more} more", indent, style.baseline(top + style.pad // 2, len(listed)))

    def _has_space(self, style: TextStyle, height: int, width: int) -> bool:
        wanted_rows = min(len(self._names), _WANTED_ROWS)
        return self._legend_width(style) <= width // 3 and self._rows_in_share(style, height, width) >= wanted_rows

    def _rows_in_share(self, style: TextStyle, height: int, width: int) -> int:
        return (int(MAX_LEGEND_SHARE * height * width / self._legend_width(style)) - style.pad) // style.line

    def _draw_entry(
        self, picture: np.ndarray, style: TextStyle, start_xy: tuple[int, int], index: int, shares: dict[int, float]
    ) -> None:
        left, baseline = start_xy
        swatch = _swatch(style)
        upper = baseline - (style.capital + swatch) // 2
        color = tuple(int(part) for part in self._palette[index, 0])
        corner = (left + swatch - 1, upper + swatch - 1)
        cv2.rectangle(picture, (left, upper), corner, color, cv2.FILLED)
        cv2.rectangle(picture, (left, upper), corner, (200, 200, 200), 1)
        style.write(picture, self._names[index], left + swatch + style.pad, baseline)
        share = _share_text(shares[index], style.capital >= _LEAST_CAPITAL_OF_A_POINT)
        style.write(picture, share, picture.shape[1] - style.pad - style.width(share), baseline)

    def _legend_width(self, style: TextStyle) -> int:
        longest = max(map(style.width, self._names))
        return _swatch(style) + longest + style.width("00 %") + 5 * style.pad


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
        class_names: Names of the classes, one for each label.
        palette_rgb: Colours of the labels, (n, 3) uint8 RGB, n at least the number of classes.
        alpha: Share of the label's colour, 0 to 1.
        legend: Whether the visible classes are listed.
        caption: Text for the upper left corner; line breaks are kept. None for no text.

    Returns:
        (height, width, 3) uint8 RGB, a new array.

    Raises:
        InputError: A shape, type or number is out of range.
    """
    painter = OverlayPainter(class_names, palette_rgb, alpha, legend, "rgb")
    return painter.paint(frame_rgb, labels, caption.splitlines() if caption else ())


def _swatch(style: TextStyle) -> int:
    return round(1.3 * style.capital)


def _share_text(share: float, has_point: bool) -> str:
    percent = 100.0 * share
    if has_point and percent < 9.95:
        return f"{percent:.1f} %"
    return f"{percent:.0f} %" if percent >= 0.5 else "<1 %"
