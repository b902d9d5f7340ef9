"""Bilinear resizing by definition: coordinate rules, exact weights, and the labels that follow from them.

Along an axis of `nodes` logits and `pixels` outputs, the source position of a pixel is

    half_pixel      (pixel + 1/2) * nodes / pixels - 1/2, kept within the first and last node
    align_corners   pixel * (nodes - 1) / (pixels - 1); 0 where there is one pixel

both are fractions of whole numbers, so the two weights of a pixel are kept as whole numbers over a
common denominator. The denominator is positive and the same for all classes: it cannot change an argmax
and is left out. A product of a float32 logit and a weight is then exact in float64.

Source: ONNX operator Resize, mode linear, coordinate_transformation_mode half_pixel and align_corners.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

import numpy as np

from edge.coordinate_rules import COORDINATE_RULES
from edge.errors import InputError, SizeError

MAX_SIDE = 1 << 16
"""Most nodes or pixels along a side; keeps a weight within 17 bits, so that its product with a logit is exact."""


@dataclass(frozen=True)
class AxisCells:
    """Cells of one axis of the output: runs of pixels that lie between the same two logit nodes.

    Attributes:
        start: (cells + 1,) int32: first pixel of each cell, then the number of pixels.
        low: (cells,) int32: index of the node before the pixels of a cell.
        high: (cells,) int32: index of the node behind them; equal to `low` beyond the outermost nodes.
        low_weight: (pixels,) float64 whole numbers: weight of the cell's low node.
        high_weight: (pixels,) float64 whole numbers: weight of its high node.
    """

    start: np.ndarray
    low: np.ndarray
    high: np.ndarray
    low_weight: np.ndarray
    high_weight: np.ndarray

    def cell_of_pixel(self) -> np.ndarray:
        """Return the index of the cell of each pixel, (pixels,) int64."""
        return np.repeat(np.arange(len(self.low)), np.diff(self.start))


def axis_cells(nodes: int, pixels: int, coordinates: str) -> AxisCells:
    """Divide one axis of the output into cells.

    Args:
        nodes: Number of logits along the axis.
        pixels: Number of output pixels along the axis.
        coordinates: Coordinate rule, one of COORDINATE_RULES.

    Returns:
        The cells that hold at least one pixel, in order.

    Raises:
        InputError: The coordinate rule is unknown.
        SizeError: A side is not within 1 to MAX_SIDE.
    """
    if coordinates not in COORDINATE_RULES:
        raise InputError(f"coordinate rule is {coordinates!r}, expected one of {', '.join(COORDINATE_RULES)}")
    if not (1 <= nodes <= MAX_SIDE and 1 <= pixels <= MAX_SIDE):
        raise SizeError(f"cannot resize {nodes} logits to {pixels} pixels, expected 1 to {MAX_SIDE} of each")
    pixel = np.arange(pixels, dtype=np.int64)
    if coordinates == "half_pixel":
        position, denominator = (2 * pixel + 1) * nodes - pixels, 2 * pixels
    elif pixels == 1:
        position, denominator = pixel, 1
    else:
        position, denominator = pixel * (nodes - 1), pixels - 1
    if coordinates == "half_pixel":
        divisor = gcd(gcd(2 * nodes, nodes - pixels), denominator)
    else:
        divisor = gcd(nodes - 1, denominator)
    position, denominator = position // divisor, denominator // divisor
    # Beyond the outermost nodes both corners are the node itself, and the weight lies on the low one.
    before, behind = position < 0, position >= (nodes - 1) * denominator
    low = np.where(before, 0, np.where(behind, nodes - 1, position // denominator))
    high = np.where(before | behind, low, low + 1)
    high_weight = np.where(before | behind, 0, position - low * denominator)
    first = np.flatnonzero(np.diff(low, prepend=-1) | np.diff(high, prepend=-1))
    return AxisCells(
        start=np.append(first, pixels).astype(np.int32),
        low=low[first].astype(np.int32),
        high=high[first].astype(np.int32),
        low_weight=(denominator - high_weight).astype(np.float64),
        high_weight=high_weight.astype(np.float64),
    )


def reference_labels(logits: np.ndarray, height: int, width: int, coordinates: str = "half_pixel") -> np.ndarray:
    """Label an image by the plain definition: argmax over classes of the resized logits.

    This is what every faster form has to equal. Each class is resized in float64, vertically and then
    horizontally, with whole-number weights (see the module). Those values are exact, and so is the
    argmax, up to 53 bits: two classes that tie exactly tie here too, and the lower one wins. Where the
    sizes have no large common divisor or the logits of one cell differ by many powers of two, a value may
    round, and classes closer than 2^-51 of the largest logit of the cell may come out as a tie or swapped;
    the faster forms repeat the same operations in the same order and so the same outcome.

    Args:
        logits: (classes, h, w) or (1, classes, h, w) float32, finite, at most 256 classes.
        height: Rows of the label map, in pixels.
        width: Columns of the label map, in pixels.
        coordinates: Coordinate rule, one of COORDINATE_RULES.

    Returns:
        (height, width) uint8 labels.
    """
    planes = np.asarray(logits)
    planes = planes[0] if planes.ndim == 4 else planes
    rows = axis_cells(planes.shape[1], height, coordinates)
    columns = axis_cells(planes.shape[2], width, coordinates)
    row_cell, column_cell = rows.cell_of_pixel(), columns.cell_of_pixel()
    labels = np.zeros((height, width), np.uint8)
    best = np.full((height, width), -np.inf)
    for label, plane in enumerate(planes.astype(np.float64)):
        vertical = (
            rows.low_weight[:, None] * plane[rows.low[row_cell]]
            + rows.high_weight[:, None] * plane[rows.high[row_cell]]
        )  # (height, w)
        value = (
            columns.low_weight * vertical[:, columns.low[column_cell]]
            + columns.high_weight * vertical[:, columns.high[column_cell]]
        )  # (height, width)
        wins = value > best
        labels[wins] = label
        best[wins] = value[wins]
    return labels
