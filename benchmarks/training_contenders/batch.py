"""The batch that every contender trains on, and the settings that they share. It needs NumPy alone."""

from __future__ import annotations

import numpy as np

CLASS_COUNT = 19
VOID = 255
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-2
BATCH_NORM_EPSILON = 1e-5
AUXILIARY_WEIGHT = 0.4
"""Weight of the loss of each auxiliary head of Fast-SCNN."""


def draw_batch(crops: int, height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return crops and labels that resemble a street's: areas of one class, with a colour of their own, and noise.

    Args:
        crops: number of crops.
        height: rows of a crop.
        width: columns of a crop.
        seed: seed of the areas, colours and noise.

    Returns:
        Crops (crops, height, width, 3) uint8, and labels (crops, height, width) uint8, a twentieth of them void.
    """
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, CLASS_COUNT + 1, (crops, -(-height // 32), -(-width // 32)))
    labels = coarse.repeat(32, axis=1).repeat(32, axis=2)[:, :height, :width]
    colours = generator.integers(0, 256, (CLASS_COUNT + 1, 3))
    noise = generator.integers(-20, 21, (crops, height, width, 3))
    frames = np.clip(colours[labels] + noise, 0, 255).astype(np.uint8)
    return frames, np.where(labels == CLASS_COUNT, VOID, labels).astype(np.uint8)
