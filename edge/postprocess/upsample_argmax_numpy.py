"""Upsampling and argmax in NumPy: cells of one class are filled, cells on a class boundary are computed.

This runs where there is no C++ compiler for edge/postprocess/native. Cells, arithmetic and labels are the same.
"""

from __future__ import annotations

import numpy as np

from edge.postprocess.bilinear import AxisCells

# Pixels computed at a time: their float64 values then stay in a processor's cache.
_CHUNK_PIXELS = 1 << 15


def label_image(logits: np.ndarray, rows: AxisCells, columns: AxisCells, out: np.ndarray) -> None:
    """Label an image from its logits.

    Args:
        logits: (classes, h, w) float32, finite.
        rows: Cells of the output along its height.
        columns: Cells of the output along its width.
        out: (height, width) uint8 array that receives the labels.
    """
    winner = _argmax(logits)
    low, high = winner[rows.low], winner[rows.high]
    corners = np.stack((low[:, columns.low], low[:, columns.high], high[:, columns.low], high[:, columns.high]))
    filled = np.repeat(corners[0], np.diff(columns.start), axis=1)
    np.take(filled, rows.cell_of_pixel(), axis=0, out=out, mode="clip")
    cell_y, cell_x = np.nonzero((corners[1:] != corners[0]).any(axis=0))
    if not cell_y.size:
        return
    pixel_y, pixel_x = _pixels_of_cells(rows), _pixels_of_cells(columns)
    step = max(1, _CHUNK_PIXELS // (pixel_y.shape[1] * pixel_x.shape[1]))
    for begin in range(0, cell_y.size, step):
        y, x = cell_y[begin : begin + step], cell_x[begin : begin + step]
        labels = _label_cells(logits, rows, columns, y, x, pixel_y[y], pixel_x[x], corners[:, y, x])
        out[pixel_y[y][:, :, None], pixel_x[x][:, None, :]] = labels


def _argmax(logits: np.ndarray) -> np.ndarray:
    """Return the lowest best class of every node, (h, w) uint8; faster than np.argmax over the first axis."""
    best = logits[0].copy()
    winner = np.zeros(best.shape, np.uint8)
    for label in range(1, len(logits)):
        np.copyto(winner, label, where=logits[label] > best, casting="unsafe")
        np.maximum(best, logits[label], out=best)
    return winner


def _pixels_of_cells(axis: AxisCells) -> np.ndarray:
    """Return the pixels of each cell, (cells, most pixels of a cell) int64.

    A smaller cell repeats its last pixel, which then is labelled more than once, alike each time.
    """
    count = np.diff(axis.start)
    return axis.start[:-1, None] + np.minimum(np.arange(count.max()), count[:, None] - 1)


def _label_cells(
    logits: np.ndarray,
    rows: AxisCells,
    columns: AxisCells,
    cell_y: np.ndarray,
    cell_x: np.ndarray,
    pixel_y: np.ndarray,
    pixel_x: np.ndarray,
    winners: np.ndarray,
) -> np.ndarray:
    """Label the pixels of n cells.

    Args:
        logits: (classes, h, w) float32.
        rows: Cells of the output along its height.
        columns: Cells of the output along its width.
        cell_y: (n,) row index of each cell.
        cell_x: (n,) column index of each cell.
        pixel_y: (n, r) rows of each cell's pixels.
        pixel_x: (n, c) columns of each cell's pixels.
        winners: (4, n) uint8, the argmax at each cell's corners.

    Returns:
        (n, r, c) uint8 labels.
    """
    top, bottom = rows.low[cell_y], rows.high[cell_y]
    left, right = columns.low[cell_x], columns.high[cell_x]
    corners = np.stack(
        (logits[:, top, left], logits[:, top, right], logits[:, bottom, left], logits[:, bottom, right])
    )  # (4, classes, n)
    candidate = _candidates(corners, winners)
    top_weight, bottom_weight = rows.low_weight[pixel_y], rows.high_weight[pixel_y]  # (n, r)
    left_weight, right_weight = columns.low_weight[pixel_x][:, None, :], columns.high_weight[pixel_x][:, None, :]
    best = np.full((len(cell_y), pixel_y.shape[1], pixel_x.shape[1]), -np.inf)
    labels = np.zeros(best.shape, np.uint8)
    for label in np.flatnonzero(candidate.any(axis=1)):
        cells = np.flatnonzero(candidate[label])
        corner = corners[:, label, cells].astype(np.float64)[:, :, None]  # (4, m, 1)
        at_left = top_weight[cells] * corner[0] + bottom_weight[cells] * corner[2]
        at_right = top_weight[cells] * corner[1] + bottom_weight[cells] * corner[3]
        value = left_weight[cells] * at_left[:, :, None]
        value += right_weight[cells] * at_right[:, :, None]  # (m, r, c)
        best_so_far = best[cells]
        labels[cells] = np.where(value > best_so_far, np.uint8(label), labels[cells])
        best[cells] = np.maximum(value, best_so_far)
    return labels


def _candidates(corners: np.ndarray, winners: np.ndarray) -> np.ndarray:
    """Return for each class and cell whether the class may win inside the cell.

    A class that one corner winner beats at all four corners is beaten by it everywhere between them.

    Args:
        corners: (4, classes, n) float32 logits.
        winners: (4, n) uint8.

    Returns:
        (classes, n) bool.
    """
    cells = np.arange(corners.shape[2])
    label = np.arange(corners.shape[1])[:, None]
    loses = np.zeros(corners.shape[1:], bool)
    for winner in winners:
        winner_corners = corners[:, winner, cells][:, None, :]
        # A tie goes to the lower class.
        loses |= (corners < winner_corners).all(axis=0)
        loses |= (corners <= winner_corners).all(axis=0) & (label > winner)
    return ~loses
