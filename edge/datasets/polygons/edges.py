"""Edges of polygons, and the columns at which they cross the rows of a picture.

The edges of all polygons of a label map lie in one set of arrays: a map has some hundred polygons of some twenty
corners, too few for each to be worth a call of NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import numpy as np

Corners = Sequence[Sequence[float]]
"""Corners of a polygon, (column, row) each."""


@dataclass(frozen=True)
class Edges:
    """Edges of many polygons, in the order of polygons and corners.

    Attributes:
        polygon: (edges,) int64, number of the polygon.
        column: (edges,) int64, column of the corner that the edge begins at.
        row: (edges,) int64, row of that corner.
        top: (edges,) int64, upper row of the edge.
        bottom: (edges,) int64, lower row.
        slope: (edges,) float32, columns a row; 0 for an edge along a row.
    """

    polygon: np.ndarray
    column: np.ndarray
    row: np.ndarray
    top: np.ndarray
    bottom: np.ndarray
    slope: np.ndarray

    def chosen(self, which: np.ndarray) -> Edges:
        """Return some of the edges, by a mask or indices."""
        return Edges(*(getattr(self, name)[which] for name in self.__dataclass_fields__))

    def columns_at(self, edge: np.ndarray, row: np.ndarray) -> np.ndarray:
        """Return where edges cross rows, (crossings,) float32 columns, by the index of each edge and its row."""
        return (row - self.row[edge]).astype(np.float32) * self.slope[edge] + self.column[edge].astype(np.float32)


@dataclass(frozen=True)
class Spans:
    """Runs of pixels along rows.

    Attributes:
        polygon: (spans,) int64, number of the polygon that a span is of.
        row: (spans,) int64.
        first: (spans,) int64, first column; it may lie outside of the picture.
        last: (spans,) int64, last column.
    """

    polygon: np.ndarray
    row: np.ndarray
    first: np.ndarray
    last: np.ndarray


def edges_of(polygons: Sequence[Corners]) -> tuple[Edges, Spans]:
    """Return the edges of polygons that lead from one row to another, and those along a row, as spans.

    Fractions of coordinates are cut off. An edge leads from each corner to the next, and from the last to the first
    where the two differ.
    """
    begins, ends, numbers = [], [], []
    for number, corners in enumerate(polygons):
        points = [(int(corner[0]), int(corner[1])) for corner in corners]
        begins += points[:-1]
        ends += points[1:]
        if points[-1] != points[0]:
            begins.append(points[-1])
            ends.append(points[0])
        numbers += [number] * (len(begins) - len(numbers))
    x0, y0 = np.array(begins, np.int64).reshape(-1, 2).T
    x1, y1 = np.array(ends, np.int64).reshape(-1, 2).T
    rows = y1 - y0
    slope = (x1 - x0).astype(np.float32) / np.where(rows == 0, 1, rows).astype(np.float32)
    polygon = np.array(numbers, np.int64)
    edges = Edges(polygon, x0, y0, np.minimum(y0, y1), np.maximum(y0, y1), slope)
    is_level = rows == 0
    level = Spans(polygon[is_level], y0[is_level], np.minimum(x0, x1)[is_level], np.maximum(x0, x1)[is_level])
    return edges.chosen(~is_level), level
