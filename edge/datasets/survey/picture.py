"""Twelve frames of a dataset with their labels painted, and a legend, as one picture.

Frames are chosen so that every class is seen as far as twelve can show it: for the rarest class first, the frame that
has most of it. Pixels that count for nothing stay without a colour, and dark.
"""

from __future__ import annotations

import numpy as np

from edge.datasets.survey.splits import DatasetSurvey, SplitSurvey
from edge.labels import IGNORE_ID
from edge.opencv import cv2
from edge.stream.text_overlay import TextStyle, darken, text_style_of_size

FRAME_COUNT = 12

_COLUMNS = 4
_CELL_WIDTH, _GAP = 480, 6
_SHARE = 0.55  # of the label's colour, as edge-demo paints
_DARK = 0.3  # of the light of a pixel that counts for nothing
_BACKGROUND = 24
_SWATCH = 22


def survey_picture(survey: DatasetSurvey) -> np.ndarray:
    """Return the picture, (height, width, 3) uint8 RGB; a dataset of fewer labelled frames gives a smaller one."""
    chosen = choose_frames(survey.splits)
    cells = [_cell(survey.splits[split], index) for split, index in chosen]
    columns = min(_COLUMNS, max(len(cells), 1))
    width = columns * (_CELL_WIDTH + _GAP) + _GAP
    parts = [_header(survey, width)]
    for first in range(0, len(cells), columns):
        parts.append(_row(cells[first : first + columns], width))
    parts.append(_legend(survey, width))
    return np.concatenate(parts)


def choose_frames(splits: dict[str, SplitSurvey], count: int = FRAME_COUNT) -> list[tuple[str, int]]:
    """Return the splits and indices of frames that show the classes, in the order of splits and frames."""
    labels = {
        (split, index): {train_id: pixels for train_id, pixels in finding.label_counts if train_id != IGNORE_ID}
        for split, survey in splits.items()
        for index, finding in enumerate(survey.findings)
        if finding.label_counts is not None
    }
    frames = np.sum([survey.class_frames for survey in splits.values()], axis=0)
    chosen: list[tuple[str, int]] = []
    for train_id in sorted(np.flatnonzero(frames).tolist(), key=lambda one: frames[one]):
        if len(chosen) < count and not any(train_id in labels[frame] for frame in chosen):
            chosen.append(max(labels, key=lambda frame: (labels[frame].get(train_id, 0), frame)))
    left = [frame for frame in labels if frame not in chosen]
    wanted = min(count - len(chosen), len(left))
    chosen += [left[place * len(left) // wanted] for place in range(wanted)]
    order = list(splits)
    return sorted(chosen, key=lambda frame: (order.index(frame[0]), frame[1]))


def _cell(survey: SplitSurvey, index: int) -> np.ndarray:
    """Return a frame with its labels painted and its name, (height, _CELL_WIDTH, 3) uint8 RGB."""
    frame, labels = survey.dataset.read_pair(index)
    height = max(round(_CELL_WIDTH * frame.shape[0] / frame.shape[1]), 1)
    frame = cv2.resize(frame, (_CELL_WIDTH, height), interpolation=cv2.INTER_AREA)
    labels = cv2.resize(labels, (_CELL_WIDTH, height), interpolation=cv2.INTER_NEAREST)
    palette = np.zeros((256, 3), np.uint8)
    palette[: survey.dataset.table.class_count] = survey.dataset.table.painted_rgb
    painted = cv2.addWeighted(frame, 1.0 - _SHARE, palette[labels], _SHARE, 0.0)
    is_void = labels == IGNORE_ID
    painted[is_void] = (frame[is_void] * _DARK).astype(np.uint8)
    style = text_style_of_size(9)
    name = f"{survey.dataset.split}/{survey.dataset.samples[index].name}"
    darken(painted, 0, 0, style.line + style.pad, style.width(name) + 2 * style.pad)
    style.write(painted, name, style.pad, style.baseline(style.pad // 2, 0))
    return painted


def _row(cells: list[np.ndarray], width: int) -> np.ndarray:
    height = max(cell.shape[0] for cell in cells)
    row = _blank(height + _GAP, width)
    for place, cell in enumerate(cells):
        left = _GAP + place * (_CELL_WIDTH + _GAP)
        row[: cell.shape[0], left : left + _CELL_WIDTH] = cell
    return row


def _header(survey: DatasetSurvey, width: int) -> np.ndarray:
    style = text_style_of_size(12)
    counts = ", ".join(f"{split} {len(one.dataset)}" for split, one in survey.splits.items())
    header = _blank(style.line + 2 * style.pad, width)
    style.write(header, f"{survey.any_split.name}: {counts} frames", _GAP, style.baseline(style.pad, 0))
    return header


def _legend(survey: DatasetSurvey, width: int) -> np.ndarray:
    """Return the colours and names of all classes, with the share of the pixels and the frames that have them."""
    table = survey.any_split.table
    splits = survey.splits.values()
    pixels = np.sum([one.class_pixels for one in splits], axis=0)
    frames = np.sum([one.class_frames for one in splits], axis=0)
    ignored = sum(one.ignored_pixels for one in splits)
    total = max(int(pixels.sum()) + ignored, 1)
    entries = [
        (color, f"{name}  {_share(count, total)}, {seen} {'frame' if seen == 1 else 'frames'}")
        for name, color, count, seen in zip(table.class_names, table.painted_rgb, pixels.tolist(), frames.tolist())
    ]
    entries.append(((int(255 * _DARK),) * 3, f"counts for nothing  {_share(ignored, total)}"))
    style = text_style_of_size(10)
    entry_width = max(style.width(text) for _, text in entries) + _SWATCH + 4 * style.pad
    return _columns_of(entries, style, entry_width, width)


def _share(pixels: int, total: int) -> str:
    return f"{100 * pixels / total:.2g} %" if pixels else "0 %"


def _columns_of(
    entries: list[tuple[tuple[int, int, int], str]], style: TextStyle, entry_width: int, width: int
) -> np.ndarray:
    columns = max((width - 2 * _GAP) // entry_width, 1)
    rows = -(-len(entries) // columns)
    line = _SWATCH + style.pad
    legend = _blank(rows * line + 2 * style.pad, width)
    for place, (color, text) in enumerate(entries):
        column, row = divmod(place, rows)
        left, top = _GAP + column * entry_width, style.pad + row * line
        legend[top : top + _SWATCH, left : left + _SWATCH] = color
        style.write(legend, text, left + _SWATCH + style.pad, top + (_SWATCH + style.capital) // 2)
    return legend


def _blank(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), _BACKGROUND, np.uint8)
