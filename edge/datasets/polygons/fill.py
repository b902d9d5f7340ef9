"""Filling of polygons in a label map, pixel by pixel as Pillow's ImageDraw.polygon(corners, fill=value) does it.

Cityscapes' label maps are drawn by that function. OpenCV's fillPoly sets other pixels along most edges, 0.3 % of a map.
Pillow is no requirement of the project, so its rule is followed here, of versions 11.3 to 12.0; up to 10.4 it draws
tips of slanted polygons otherwise.

    crossings  an edge crosses every row from its upper to its lower end, both included, at a column in float32. At its
               lower end it counts twice, unless that is the last row of the polygon
    tips       where two edges meet at the upper end of one, or in the last row, and both lead to the same side by more
               than a pixel a row, the crossing of the later edge moves to a pixel beside the nearer of them in the next
               row
    spans      the crossings of a row, in order, are beginnings and ends of spans; they are rounded to the nearest
               pixel, halves outwards at a beginning and inwards at an end, seen from column 0
    level      an edge along a row is a span of its own

`tests/edge/datasets/polygons/` holds it to pixels that Pillow set, and to Pillow itself where it is installed.
"""

from __future__ import annotations

from typing import Sequence

import numpy as np

from edge.datasets.polygons.edges import Corners, Edges, Spans, edges_of

_HALF, _ONE = np.float32(0.5), np.float32(1.0)


def fill_polygons(labels: np.ndarray, polygons: Sequence[Corners], values: Sequence[int]) -> None:
    """Fill polygons in a label map, each over those before it.

    Args:
        labels: (height, width) uint8 with the pixels of a row, and the rows, side by side; it is changed.
        polygons: Corners of each polygon, at least two; they may lie outside of the map.
        values: Value of each polygon, 0 to 255.
    """
    if not len(polygons):
        return
    height, width = labels.shape
    edges, level = edges_of(polygons)
    steep = _spans_of(edges, height, _last_rows(edges, level, len(polygons), height))
    polygon, row, first, last = (
        np.concatenate([getattr(level, name), getattr(steep, name)]) for name in Spans.__dataclass_fields__
    )
    first, end = np.maximum(first, 0), np.minimum(last, width - 1) + 1
    shown = np.flatnonzero((first < end) & (row >= 0) & (row < height))
    shown = shown[np.argsort(polygon[shown], kind="stable")]
    pixels = labels.reshape(-1)
    before = row[shown] * width
    fills = np.asarray(values, np.uint8)[polygon[shown]]
    for begin, stop, value in zip((before + first[shown]).tolist(), (before + end[shown]).tolist(), fills.tolist()):
        pixels[begin:stop] = value


def _last_rows(edges: Edges, level: Spans, count: int, height: int) -> np.ndarray:
    """Return the last row of each polygon, (polygons,) int64, at most the row below the picture."""
    last = np.zeros(count, np.int64)
    np.maximum.at(last, edges.polygon, edges.bottom)
    np.maximum.at(last, level.polygon, level.row)
    return np.minimum(last, height)


def _spans_of(edges: Edges, height: int, last_rows: np.ndarray) -> Spans:
    """Return the spans between the crossings of edges with the rows of the picture."""
    top = np.maximum(edges.top, 0)
    edge, place = _counted(np.maximum(np.minimum(edges.bottom, height - 1) - top + 1, 0))
    row = top[edge] + place
    column = edges.columns_at(edge, row)
    is_bottom = row == edges.bottom[edge]
    counts_twice = is_bottom & (row < last_rows[edges.polygon[edge]])
    is_end = is_bottom | (row == edges.top[edge])
    tips = np.flatnonzero(is_end & ~counts_twice & (edges.slope[edge] != 0))
    column[tips] = _moved_tips(edges, edge[tips], row[tips], column[tips])
    line = edges.polygon[edge] * (height + 1) + row
    line, column = (np.concatenate([values, values[counts_twice]]) for values in (line, column))
    order = np.lexsort((column, line))
    line, column = line[order], column[order]
    _, begins, counts = np.unique(line, return_index=True, return_counts=True)
    ends = np.flatnonzero((np.arange(len(line)) - np.repeat(begins, counts)) % 2 == 1)
    polygon, row = np.divmod(line[ends], height + 1)
    return Spans(polygon, row, _nearest(column[ends - 1]).astype(np.int64), _inwards(column[ends]).astype(np.int64))


def _moved_tips(edges: Edges, edge: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Return the columns of crossings at the ends of edges, moved where the edge makes a tip with an earlier one."""
    tip, other = _meeting(edges, edge, row, column)
    next_row = row + np.where(row == edges.bottom[edge], -1, 1)
    fits = (other < edge[tip]) & (next_row[tip] >= edges.top[other]) & (next_row[tip] <= edges.bottom[other])
    tip, other = tip[fits], other[fits]
    order = np.lexsort((other, tip))
    tip, firsts = np.unique(tip[order], return_index=True)
    other = other[order][firsts]
    at = column[tip]
    own, others = edges.columns_at(edge[tip], next_row[tip]), edges.columns_at(other, next_row[tip])
    leads_left = (at > own + _ONE) & (at > others + _ONE)
    leads_right = (at < own - _ONE) & (at < others - _ONE)
    moved = column.copy()
    moved[tip[leads_left]] = _nearest(np.maximum(own, others)[leads_left]) + _ONE
    moved[tip[leads_right]] = _nearest(np.minimum(own, others)[leads_right]) - _ONE
    return moved


def _meeting(edges: Edges, edge: np.ndarray, row: np.ndarray, column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of a crossing and an edge of the same polygon that ends in the same pixel, by their indices."""
    slanted = np.flatnonzero(edges.slope != 0)
    others = np.concatenate([slanted, slanted])
    end_rows = np.concatenate([edges.top[slanted], edges.bottom[slanted]])

    def pixels(of_edge: np.ndarray, at_row: np.ndarray, at_column: np.ndarray) -> np.ndarray:
        # One number a pixel and polygon, which holds rows and columns up to half a million outside of the picture.
        wide = _nearest(at_column).astype(np.int64) + (1 << 19)
        return edges.polygon[of_edge] << 40 | (at_row + (1 << 19)) << 20 | wide

    ends = pixels(others, end_rows, edges.columns_at(others, end_rows))
    order = np.argsort(ends, kind="stable")
    ends, others = ends[order], others[order]
    wanted = pixels(edge, row, column)
    low = np.searchsorted(ends, wanted, "left")
    crossing, place = _counted(np.searchsorted(ends, wanted, "right") - low)
    return crossing, others[low[crossing] + place]


def _counted(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, for `counts` things of each index, the index of every thing and its number among those of the index."""
    index = np.repeat(np.arange(len(counts)), counts)
    return index, np.arange(len(index)) - np.repeat(np.cumsum(counts) - counts, counts)


def _nearest(columns: np.ndarray) -> np.ndarray:
    """Round to whole numbers, halves away from 0."""
    return np.copysign(np.floor(np.abs(columns) + _HALF), columns)


def _inwards(columns: np.ndarray) -> np.ndarray:
    """Round to whole numbers, halves towards 0."""
    return np.copysign(np.ceil(np.abs(columns) - _HALF), columns)
