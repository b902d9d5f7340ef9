"""Weights and frames out of a formula, equal to the last bit on every machine.

Whether a network here computes what a published one does is tested with the same weights in both.
Weights are large, so none are stored: both sides make each tensor from its name in the published
network's state_dict and its shape in PyTorch's order, (out, in, height, width). Only what the
published network made of them is kept, a few hundred logits each in tests/train/models/parity/.

Element i of the tensor `name`, counted in PyTorch's order, comes from one 64-bit hash:

    x = i + crc32(name) * 2**32          modulo 2**64
    h = splitmix64(x)                    its output for the state x
    u = (h >> 40) / 2**23 - 1            24 bits, in [-1, 1), exact in float32

All of it is integers, and every float32 operation behind it rounds once: nothing depends on the
library, its version, or the order of a sum. What becomes of u follows He et al. (arXiv 1502.01852)
so that signals keep their size from layer to layer, with three additions, each of them because
without it some weights would hardly show in the logits:

    - Kernels over more than three channels have the mean 0 for each output. Behind a ReLU the mean
      of every channel is positive, and what kernels make of that common part would bury what
      differs from place to place.
    - GAINS below.
    - Norms have other statistics and biases than 0 and 1, or swapping them would not be noticed.

Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014
(SplitMix64; constants and shifts of its variant 13 by Stafford, as in java.util.SplittableRandom).
"""

from __future__ import annotations

import math
import re
import zlib

import numpy as np

GAINS = (
    # The last norm of a residual block: at 1 the variance doubles in each of ResNet-101's 33 blocks.
    (r"\.bn3\.weight$", 0.25),
    # SegNet's convolutions that read an unpooled map, three quarters of which are zeros.
    (r"^up\d\.conv1\.cbr_unit\.0\.weight$", 2.0),
    # EncNet's smoothing factors: at 1 each position belongs to one codeword, at 1/4 to about eight.
    (r"\.encoding\.3\.scale$", 0.25),
)
"""Pattern of tensor names, and the factor (a power of 2) that their weights have on top."""


def hash_numbers(name: str, indices: np.ndarray) -> np.ndarray:
    """Return one 64-bit hash for each index.

    Args:
        name: of the tensor; another name gives unrelated numbers.
        indices: integers of at least 0, in one axis or more.

    Returns:
        Same shape, uint64.
    """
    key = np.uint64(zlib.crc32(name.encode()) << 32)
    mixed = indices.astype(np.uint64) + key + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def seeded_uniform(name: str, shape: tuple[int, ...], centred: bool = False) -> np.ndarray:
    """Return a tensor of multiples of 2**-23 in [-1, 1), float32.

    Args:
        name: of the tensor.
        shape: of the tensor; () for a scalar.
        centred: whether each slice along the first axis has the mean 0 (to 2**-23). Values then
            reach a little beyond 1 on either side.
    """
    steps = (hash_numbers(name, np.arange(math.prod(shape))) >> np.uint64(40)).astype(np.int64) - 2**23
    if centred:
        steps = steps.reshape(shape[0], -1)
        steps -= steps.sum(axis=1, keepdims=True) // steps.shape[1]
    return (steps.astype(np.float32) * np.float32(2.0**-23)).reshape(shape)


def seeded_tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the weights of one tensor.

    Args:
        name: in the published network's state_dict, such as "layer1.0.conv1.weight".
        shape: in PyTorch's order; () for a scalar.

    Returns:
        int64 zeros for "num_batches_tracked", else float32. With u as above and its gain on top:

            two axes or more             u sqrt(6 / product of all axes but the first)
            "weight", "running_var"      1 + 0.1 u
            "bias", "running_mean"       0.1 u
            "scale"                      0.5 u - 0.5

    Raises:
        ValueError: the tensor is none of these.
    """
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    gain = np.float32(math.prod(gain for pattern, gain in GAINS if re.search(pattern, name)))
    if len(shape) >= 2:
        uniform = seeded_uniform(name, shape, centred=shape[1] > 3)
        return uniform * (gain * np.float32(math.sqrt(6.0 / math.prod(shape[1:]))))
    uniform = seeded_uniform(name, shape)
    tenth = np.float32(0.1) * uniform
    kind = name.rsplit(".", 1)[-1]
    if kind in ("weight", "running_var"):
        return gain * (np.float32(1.0) + tenth)
    if kind in ("bias", "running_mean"):
        return tenth
    if kind == "scale":
        return gain * (np.float32(0.5) * uniform - np.float32(0.5))
    raise ValueError(f"tensor {name} {shape} is of no known kind")


def seeded_image(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return a frame with edges at three scales: squares of 64 and of 16 pixels, and noise.

    No channel ever reaches 0 or 255, and no two neighbours are equal by saturation, so that a
    maximum among them is where it is for a reason.

    Args:
        height: rows. A smaller frame of the same seed is the upper left corner of a larger one.
        width: columns, below 2**16.
        seed: another one gives another frame.

    Returns:
        (height, width, 3) uint8 RGB in 16..237.
    """
    rows, columns, channels = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    frame = np.full((height, width, 3), 16, np.uint64)
    for cell, share in ((64, 96), (16, 64), (1, 64)):  # side in pixels, contrast in 256ths of the full range
        cells = (rows // cell * 2**16 + columns // cell) * 3 + channels
        frame += (hash_numbers(f"image{seed}.{cell}", cells) >> np.uint64(56)) * np.uint64(share) >> np.uint64(8)
    return frame.astype(np.uint8)
