"""Small networks that plain INT8 is too coarse for, and the labels that their float form gives."""

from __future__ import annotations

import numpy as np

from edge.contract import Contract
from edge.frames import FrameSet
from edge.labels import CAMVID
from edge.provenance import WeightsProvenance
from tests.calibration.graph_drawing import TensorProto, make_model, node

SIZE = 32
CLASSES = len(CAMVID.class_names)
RATIO = 400.0
"""The outlier channel of `wide` over the others: more than the steps of INT8, so those vanish beside it."""


def hostile_network(readers=2, ratio=RATIO, is_pinned=True):
    """Return a graph of stride 2 in which one channel of one tensor is far larger than all others.

        frame -> stem -> wide (one huge channel) -> narrow [and side] -> head -> logits

    Args:
        readers: convolutions that read the hostile tensor; with 1 it can be equalised, with 2 it cannot, since a
            Softsign reads it too; what follows from that changes no value.
        ratio: of the huge channel to the others.
        is_pinned: False to leave that Softsign out.
    """
    generator = np.random.default_rng(6)

    def weight(*shape):
        return generator.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)

    channel = np.ones(8, np.float32)
    channel[3] = ratio
    names = ["narrow", "side"][:readers]
    constants = {
        "scale": np.full((1, 1, 1, 3), 1 / 64, np.float32),
        "offset": np.full((1, 1, 1, 3), -2, np.float32),
        "stem_w": weight(8, 3, 3, 3),
        "stem_b": generator.normal(0, 0.1, 8).astype(np.float32),
        "wide_w": np.abs(weight(8, 8, 1, 1)) * channel.reshape(8, 1, 1, 1),
        "wide_b": generator.normal(0, 0.1, 8).astype(np.float32),
        "head_w": weight(CLASSES, 8 * readers, 1, 1),
        "head_b": generator.normal(0, 0.1, CLASSES).astype(np.float32),
    }
    same = {"pads": [1, 1, 1, 1]}
    nodes = [
        node("Cast", ["frame"], "cast", to=TensorProto.FLOAT),
        node("Mul", ["cast", "scale"], "scaled"),
        node("Add", ["scaled", "offset"], "normalised"),
        node("Transpose", ["normalised"], "nchw", perm=[0, 3, 1, 2]),
        node("Conv", ["nchw", "stem_w", "stem_b"], "stem", strides=[2, 2], **same),
        node("Relu", ["stem"], "stem_relu"),
        node("Conv", ["stem_relu", "wide_w", "wide_b"], "wide"),
        node("Relu", ["wide"], "wide_relu"),
    ]
    for name in names:
        # What reads the tensor takes the huge channel back to the size of the others.
        constants[f"{name}_w"] = weight(8, 8, 3, 3) / channel.reshape(1, 8, 1, 1)
        constants[f"{name}_b"] = generator.normal(0, 0.1, 8).astype(np.float32)
        nodes.append(node("Conv", ["wide_relu", f"{name}_w", f"{name}_b"], name, **same))
        nodes.append(node("Relu", [name], f"{name}_relu"))
    joined = f"{names[0]}_relu"
    if readers == 2:
        side = "side_relu"
        if is_pinned:
            nodes.append(node("Softsign", ["wide_relu"], "squeezed"))
            nodes.append(node("Neg", ["squeezed"], "negative"))
            nodes.append(node("Max", ["side_relu", "negative"], "side_again"))  # side_relu is 0 or more
            side = "side_again"
        nodes.append(node("Concat", ["narrow_relu", side], "joined", axis=1))
        joined = "joined"
    nodes.append(node("Conv", [joined, "head_w", "head_b"], "logits"))
    return make_model(
        nodes,
        constants,
        {"frame": ((1, SIZE, SIZE, 3), TensorProto.UINT8)},
        {"logits": ((1, CLASSES, SIZE // 2, SIZE // 2), TensorProto.FLOAT)},
    )


def street_frames(count, seed=9, size=SIZE):
    """Return frames of blocks with noise on them, (size, size, 3) uint8 each."""
    generator = np.random.default_rng(seed)
    blocks = generator.integers(0, 256, (count, size // 8, size // 8, 3)).repeat(8, 1).repeat(8, 2)
    return np.clip(blocks + generator.integers(-25, 26, blocks.shape), 0, 255).astype(np.uint8)


class ArrayFrames(FrameSet):
    """Frames that are in memory."""

    def __init__(self, frames, description="test frames"):
        super().__init__(description, [f"frame_{index}" for index in range(len(frames))])
        self._frames = frames

    def read(self, index):
        return self._frames[index]

    def digest(self, index):
        return f"{index:064x}"


def contract_of(model, size=SIZE, stride=2, kind="trained", **changes):
    """Return the contract of a drawn network; nothing checks its hash."""
    fields = {
        "model": "drawn",
        "dataset": "camvid",
        "class_names": CAMVID.class_names,
        "height": size,
        "width": size,
        "stride": stride,
        "coordinates": "half_pixel",
        "input_name": "frame",
        "output_name": "logits",
        "graph_sha256": "0" * 64,
        "weights": WeightsProvenance(kind, "runs/drawn", "1" * 64),
        "source_sha256": "2" * 64,
        "opset": 17,
        "versions": {},
    }
    return Contract(**{**fields, **changes})
