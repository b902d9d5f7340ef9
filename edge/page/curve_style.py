"""How curves of one chart are told apart: by colour, and without it by marks of different shapes along each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

from edge.page.svg import BLUE, GREEN, ORANGE, RED, disc, polygon, rectangle

_COLORS = (BLUE, ORANGE, GREEN, RED)

_SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down")
"""Shapes by plotly's names. Their number and that of the colours have no common factor: twenty curves differ."""

_RADIUS = 3.6


@dataclass(frozen=True)
class CurveStyle:
    """Colour and marks of one curve.

    Attributes:
        color: Colour "#rrggbb".
        shape: Shape of the marks, by plotly's name.
    """

    color: str
    shape: str

    def mark(self, x: float, y: float, size: float = _RADIUS) -> str:
        """Draw one mark around a place; `size` is half of its width in pixels."""
        if self.shape == "circle":
            return disc(x, y, size, self.color)
        if self.shape == "square":
            return rectangle(x - size, y - size, 2 * size, 2 * size, self.color)
        corners: Sequence[tuple[float, float]]
        if self.shape == "diamond":
            corners = ((x, y - 1.4 * size), (x + 1.4 * size, y), (x, y + 1.4 * size), (x - 1.4 * size, y))
        else:
            tip = -1.3 * size if self.shape == "triangle-up" else 1.3 * size
            corners = ((x, y + tip), (x + 1.25 * size, y - 0.7 * tip), (x - 1.25 * size, y - 0.7 * tip))
        return polygon(corners, self.color)


def curve_style(index: int) -> CurveStyle:
    """Return the style of a chart's curve by its position."""
    return CurveStyle(_COLORS[index % len(_COLORS)], _SHAPES[index % len(_SHAPES)])


def marked_positions(count: int, index: int, curves: int, marks: int = 7) -> list[int]:
    """Return which values of a curve have a mark: a few, at other places than those of the other curves.

    Args:
        count: Number of values of the curve.
        index: Position of the curve in its chart.
        curves: Number of curves of the chart.
        marks: Most marks of a curve.
    """
    if count <= marks:
        return list(range(count))
    shift = (index + 0.5) / curves
    return [min(count - 1, int(count * (place + shift) / marks)) for place in range(marks)]
