"""The confusion matrix as a chart: which share of each true class is predicted as which."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from edge.page.markup import Html
from edge.page.svg import FAINT, GLYPH, WIDE, in_both_widths, rectangle, shortened, svg, text, title_of

_RIGHT, _WRONG = (59, 111, 182), (200, 54, 47)
_LEAST_WRITTEN = 0.005
"""Share below which a cell has no number, since it would be 0."""

_HEAD = 34


def confusion_chart(confusion: np.ndarray, class_names: Sequence[str], caption: str) -> Html:
    """Draw a confusion matrix; each cell says its share of the row in percent where there is room.

    Args:
        confusion: (classes + 1, classes + 1) pixels; rows are true classes, columns predicted ones.
        class_names: Names of the classes.
        caption: Text above the chart.
    """
    return in_both_widths(caption, lambda width: draw_confusion(confusion, class_names, caption, width))


def chart_height(class_count: int, width: int = WIDE) -> float:
    """Return the height in pixels of the chart of so many classes."""
    return _HEAD + class_count * _cell(class_count, width)[1] + 18


def draw_confusion(confusion: np.ndarray, class_names: Sequence[str], label: str, width: int = WIDE) -> Html:
    """Draw a confusion matrix at one width, as an SVG element."""
    classes = len(class_names)
    pixels = confusion[:classes].astype(np.float64)
    shares = pixels / np.maximum(pixels.sum(1, keepdims=True), 1.0)
    has_rest = bool(confusion[:classes, classes].any())
    names_width, height, cell = _cell(classes, width)
    parts = [text(0, 12, "true class", color=FAINT)]
    # Above the matrix, where it is wide enough for the words.
    words = "predicted class, by its number"
    right = min(width, max(names_width + cell * (classes + has_rest), (len("true class") + len(words) + 3) * GLYPH))
    parts.append(text(right, 12, words, anchor="end", color=FAINT))
    for column in range(classes + has_rest):
        mark = str(column + 1) if column < classes else "none" if cell > 4 * GLYPH else "-"
        if column < classes and len(mark) * GLYPH > cell and column % 2:
            continue
        parts.append(text(names_width + cell * (column + 0.5), _HEAD - 6, mark, anchor="middle", color=FAINT))
    for row, name in enumerate(class_names):
        top = _HEAD + row * height
        shown = shortened(f"{row + 1} {name}", int(names_width / GLYPH))
        parts.append(text(0, top + height / 2 + 4, shown, title=name))
        for column in range(classes + has_rest):
            target = class_names[column] if column < classes else "no evaluated class"
            parts.append(
                _drawn_cell(
                    names_width + cell * column,
                    top,
                    cell,
                    height,
                    shares[row, column],
                    row == column,
                    f"{name} as {target}: {100 * shares[row, column]:.2f} %",
                )
            )
    foot = "percent of each true class; blue is right, red is wrong"
    parts.append(text(0, _HEAD + classes * height + 14, foot, color=FAINT))
    return svg(width, _HEAD + classes * height + 18, parts, label)


def _cell(class_count: int, width: int) -> tuple[int, float, float]:
    """Return the width of the names, and height and width of a cell, in pixels."""
    names = 128 if width == WIDE else 92
    return names, 22.0 if width == WIDE else 16.0, (width - names) / (class_count + 1)


def _drawn_cell(x: float, y: float, width: float, height: float, share: float, is_right: bool, words: str) -> str:
    # The root lets small shares be seen.
    level = float(np.sqrt(share))
    end = _RIGHT if is_right else _WRONG
    color = "#" + "".join(f"{round(255 + (part - 255) * level):02x}" for part in end)
    drawn = rectangle(x + 0.5, y + 0.5, width - 1, height - 1, color) if share > 0 else ""
    number = f"{100 * share:.0f}"
    if share >= _LEAST_WRITTEN and len(number) * GLYPH <= width:
        # On its own ground, light or dark, whatever the page has.
        ink = "on" if level > 0.75 else "in-cell"
        drawn += text(
            x + width / 2,
            y + height / 2 + 4,
            number,
            anchor="middle",
            color="#fff" if level > 0.75 else "#1c2430",
            class_name=ink,
        )
    return f"<g>{title_of(words)}{drawn}</g>" if drawn else ""


def largest_confusions(
    confusion: np.ndarray, class_names: Sequence[str], most: int
) -> list[tuple[str, str, float, int]]:
    """Return what is most often taken for something else.

    Returns:
        True class, predicted class, share of the true class (0 to 1), and pixels; the most pixels first.
    """
    classes = len(class_names)
    names = [*class_names, "no evaluated class"]
    found = [
        (names[row], names[column], float(confusion[row, column] / confusion[row].sum()), int(confusion[row, column]))
        for row in range(classes)
        for column in range(classes + 1)
        if row != column and confusion[row, column]
    ]
    return sorted(found, key=lambda entry: -entry[3])[:most]
