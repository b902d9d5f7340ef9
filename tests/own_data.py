"""Tiny data of a user's own, with their description, and tiny data in RailSem19's layout."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from edge.datasets.layouts.splits import listed_names
from edge.imaging import write_image
from edge.labels import RAILSEM19

FRAME_COLORS = np.array([[90, 90, 90], [200, 40, 40], [40, 40, 220]], np.uint8)
LABEL_COLORS = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255]], np.uint8)

YARD = {
    "name": "yard",
    "classes": [
        {"name": "ground", "colors": [[0, 0, 0]], "painted": [120, 120, 120]},
        {
            "name": "rail",
            "colors": [[255, 0, 0]],
            "painted": [250, 10, 20],
            "category": "rail",
            "groups": ["infrastructure"],
        },
        {"name": "worker", "colors": [[0, 0, 255]], "painted": [20, 240, 30], "groups": ["people", "alarm"]},
    ],
    "splits": {
        split: {"images": f"{split}/frames", "labels": f"{split}/masks", "label_end": "_mask"}
        for split in ("train", "val")
    },
}


def draw_labels(generator: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return a label map of ground with an upright rail and a worker, (height, width) uint8."""
    labels = np.zeros((height, width), np.uint8)
    left = int(generator.integers(0, width // 4))
    labels[height // 3 :, left : left + width // 4] = 1
    top = int(generator.integers(0, height // 2))
    labels[top : top + height // 3, width // 2 : 3 * width // 4] = 2
    return labels


def draw_frame(generator: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """Return the frame of a label map, (height, width, 3) uint8 RGB: a colour a class, and noise."""
    noise = generator.integers(-15, 16, (*labels.shape, 3))
    return np.clip(FRAME_COLORS[labels] + noise, 0, 255).astype(np.uint8)


def write_yard(root: Path, train: int = 6, val: int = 2, height: int = 64, width: int = 128) -> Path:
    """Write frames and label maps of colours, and the description of both, whose path is returned."""
    generator = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for index in range(count):
            labels = draw_labels(generator, height, width)
            write_image(root / split / "frames" / f"f{index}.png", draw_frame(generator, labels))
            write_image(root / split / "masks" / f"f{index}_mask.png", LABEL_COLORS[labels])
    path = root / "yard.json"
    path.write_text(json.dumps(YARD))
    return path


def write_rail(root: Path, train: int = 6, val: int = 2, height: int = 64, width: int = 128) -> Path:
    """Write frames and label maps of trackbed, rails and people in the layout of RailSem19."""
    generator = np.random.default_rng(0)
    names = ("trackbed", "rail-raised", "human")
    train_ids = np.array([RAILSEM19.class_names.index(name) for name in names], np.uint8)
    held_out = sorted(listed_names("railsem19_val"))
    taken = {*held_out, *listed_names("railsem19_test")}
    free = [name for name in (f"rs{index:05d}" for index in range(200)) if name not in taken]
    for name in (*free[:train], *held_out[:val]):
        labels = draw_labels(generator, height, width)
        write_image(root / "jpgs" / "rs19_val" / f"{name}.jpg", draw_frame(generator, labels))
        write_image(root / "uint8" / "rs19_val" / f"{name}.png", train_ids[labels])
    config = {"labels": [{"name": name} for name in RAILSEM19.class_names]}
    (root / "rs19-config.json").write_text(json.dumps(config))
    return root
