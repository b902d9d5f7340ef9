"""Rows of values with fewer points that look the same: of each column of a chart the extremes stay."""

from __future__ import annotations

from typing import Sequence

import numpy as np


def thinned(
    places: Sequence[float], values: Sequence[float | None], columns: int
) -> tuple[list[float], list[float | None]]:
    """Return so many points of a curve that it looks the same on so many columns of pixels.

    Args:
        places: Place of each value on the horizontal axis, rising.
        values: Value at each place; None where nothing was measured, which stays a gap.
        columns: Columns of pixels, or of any finer raster.

    Returns:
        Places and values of the points: all of them where they are at most two a column, else the lowest and the
        highest of each column, and the first that was not measured.
    """
    if len(values) <= 2 * columns:
        return list(places), list(values)
    x = np.asarray(places, np.float64)
    y = np.array([np.nan if value is None else value for value in values], np.float64)
    width = (x[-1] - x[0]) / columns or 1.0
    column = np.minimum(((x - x[0]) / width).astype(np.int64), columns - 1)
    starts = np.concatenate(([0], np.flatnonzero(np.diff(column)) + 1, [len(x)]))
    kept: list[int] = []
    for first, last in zip(starts, starts[1:]):
        part = y[first:last]
        is_missing = np.isnan(part)
        found = {int(first + np.argmax(is_missing))} if is_missing.any() else set()
        if not is_missing.all():
            found |= {int(first + np.nanargmin(part)), int(first + np.nanargmax(part))}
        kept += sorted(found)
    return x[kept].tolist(), [None if np.isnan(value) else float(value) for value in y[kept]]
