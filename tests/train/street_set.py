"""A tiny dataset in the layout of CamVid, and a network that trains in seconds, for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import cv2
import keras
import numpy as np

from edge.imaging import write_image
from edge.labels import CAMVID
from train.models.base import LOGITS, ModelSpec, normalize

HEIGHT, WIDTH = 32, 64


def write_camvid(root: Path, train: int = 6, val: int = 2, height: int = HEIGHT, width: int = WIDTH) -> Path:
    """Write frames of two classes, sky over road, each in its colour."""
    generator = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for index in range(count):
            labels = np.zeros((height, width), np.uint8)
            labels[generator.integers(height // 4, 3 * height // 4) :] = CAMVID.class_names.index("road")
            frame = CAMVID.palette_rgb()[labels]
            noise = generator.integers(-20, 20, frame.shape)
            write_image(root / split / f"a_{index}.png", np.clip(frame + noise, 0, 255).astype(np.uint8))
            write_image(root / f"{split}annot" / f"a_{index}.png", labels)
    return root


def spoil(path: Path, value: int = 77) -> None:
    """Put an id into a label map that no dataset has."""
    labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    labels[3, 5] = value
    write_image(path, labels)


def build_tiny(height: int, width: int, class_count: int) -> keras.Model:
    TINY.check_size(height, width)
    frame = keras.Input((height, width, 3), name="frame")
    x = keras.layers.Conv2D(8, 8, 8, name="stem")(normalize(frame))
    x = keras.layers.ReLU(name="stem_relu")(keras.layers.BatchNormalization(momentum=0.5, name="stem_bn")(x))
    return keras.Model(frame, {LOGITS: keras.layers.Conv2D(class_count, 1, name=LOGITS)(x)}, name="tiny")


TINY = ModelSpec("tiny", "Tiny", "none", build_tiny, stride=8, size_multiple=8, auxiliary_weights={})
