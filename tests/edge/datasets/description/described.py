"""Descriptions on disk for tests: tiny frames, label maps, and the file that describes them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from edge.imaging import write_image

FRAME = np.random.default_rng(5).integers(0, 256, (4, 6, 3), np.uint8)
IDS = np.array([[0, 1, 2, 0, 1, 2]] * 4, np.uint8)

CLASSES = [{"name": "other", "ids": [0]}, {"name": "rail", "ids": [1]}, {"name": "trackbed", "ids": [2]}]


def write_frames(root: Path, names=("a", "b"), labels: np.ndarray | None = IDS, end: str = "") -> Path:
    """Write frames below root/frames, and label maps below root/masks."""
    for name in names:
        write_image(root / "frames" / f"{name}.png", FRAME)
        if labels is not None:
            write_image(root / "masks" / f"{name}{end}.png", labels)
    return root


def source(folder: str, **further) -> dict:
    return {"images": f"{folder}/frames", "labels": f"{folder}/masks", **further}


def write_description(root: Path, **fields) -> str:
    """Write root/yard.json with the fields given, and others that are sound; return its path."""
    content = {"name": "yard", "classes": CLASSES, "splits": {"train": source("train")}, **fields}
    path = root / "yard.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not ...}))
    return str(path)
