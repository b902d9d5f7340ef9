"""Draw docs/synthetic-rail.jpg, twelve drawn railway scenes with their labels: `python docs/draw_rail_sheet.py`.

Every scene is that of its number in a set of seed 1 (`python -m edge.synthetic OUT --world rail --seed 1`).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))  # a checkout need not be installed

from edge.artifacts import write_bytes  # noqa: E402
from edge.labels import RAILSEM19  # noqa: E402
from edge.opencv import cv2  # noqa: E402
from edge.synthetic import RailScene, draw_rail_scene  # noqa: E402

SHEET = DOCS / "synthetic-rail.jpg"
SEED, NUMBERS = 1, (2, 7, 30, 0, 13, 18, 19, 28, 31, 26, 9, 21)
COLUMNS, HEIGHT, WIDTH = 3, 160, 320


def cell_rgb(scene: RailScene) -> np.ndarray:
    """Return a picture with its labels below it, (2 * HEIGHT, WIDTH, 3) uint8 RGB."""
    size_wh = (WIDTH, HEIGHT)
    frame_rgb = cv2.resize(scene.frame_rgb, size_wh, interpolation=cv2.INTER_AREA)
    labels = cv2.resize(scene.label_ids, size_wh, interpolation=cv2.INTER_NEAREST)
    return np.vstack([frame_rgb, RAILSEM19.palette_rgb()[labels]])


def sheet_rgb() -> np.ndarray:
    """Return the whole sheet, (height, width, 3) uint8 RGB."""
    cells = [cell_rgb(draw_rail_scene(SEED, number, 512, 1024)) for number in NUMBERS]
    return np.vstack([np.hstack(cells[first : first + COLUMNS]) for first in range(0, len(cells), COLUMNS)])


def main() -> int:
    """Write the sheet, and return the exit code."""
    _, data = cv2.imencode(".jpg", cv2.cvtColor(sheet_rgb(), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 78])
    write_bytes(SHEET, data.tobytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
