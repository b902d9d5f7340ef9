"""A network with the structures that are hard to quantise, each small: of the kinds that published networks have."""

from __future__ import annotations

import numpy as np

from tests.calibration.graph_drawing import TensorProto, make_model, node

SIZE, CLASSES = 32, 11
RATIO = 100.0
"""Features over the picture that a Concat joins them with."""


class _Drawing:
    """Nodes and constants of a graph that grows layer by layer."""

    def __init__(self, seed):
        self.generator = np.random.default_rng(seed)
        self.nodes, self.constants = [], {}

    def add(self, kind, inputs, name, constants=(), **attributes):
        names = [f"{name}/{index}" for index in range(len(constants))]
        self.constants.update(zip(names, (np.asarray(value) for value in constants)))
        self.nodes.append(node(kind, [*inputs, *names], name, **attributes))
        return name

    def conv(self, source, name, inputs, outputs, kernel=1, stride=1, group=1, spread=0.0):
        shape = (outputs, inputs // group, kernel, kernel)
        weight = self.generator.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
        weight *= 10 ** self.generator.uniform(-spread, spread, (outputs, 1, 1, 1))
        constants = [weight.astype(np.float32), self.generator.normal(0, 0.1, outputs).astype(np.float32)]
        pads = [kernel // 2] * 4
        return self.add("Conv", [source], name, constants, strides=[stride] * 2, pads=pads, group=group)

    def prelu(self, source, channels):
        slopes = self.generator.uniform(0.05, 0.4, (channels, 1, 1)).astype(np.float32)
        return self.add("PRelu", [source], f"{source}_prelu", [slopes])

    def relu(self, source):
        return self.add("Relu", [source], f"{source}_relu")


def varied_network(seed=4, blocks=2):
    """Return a graph of stride 2 with the frame in front and 11 classes behind.

    Features are joined with the picture, RATIO times smaller. Blocks have a channel shuffle, a depthwise convolution
    whose channels differ by a factor of ten, dead channels and a residual. Then come an average pooling, a
    deconvolution, a gate by sigmoids, a Split, and an interpolation of the means.
    """
    draw = _Drawing(seed)
    scale, offset = np.full((1, 1, 1, 3), 1 / 64, np.float32), np.full((1, 1, 1, 3), -2, np.float32)
    draw.add("Cast", ["frame"], "cast", to=TensorProto.FLOAT)
    draw.add("Mul", ["cast"], "scaled", [scale])
    draw.add("Add", ["scaled"], "normalised", [offset])
    draw.add("Transpose", ["normalised"], "nchw", perm=[0, 3, 1, 2])
    x = draw.prelu(draw.conv("nchw", "stem", 3, 12, 3, 2), 12)
    large = draw.add("Mul", [x], "large", [np.float32(RATIO)])
    small = draw.add("AveragePool", ["nchw"], "picture", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    draw.add("Concat", [large, small], "joined", axis=1)
    draw.conv("joined", "join", 15, 16)
    draw.constants["join/0"][:, :12] /= RATIO
    x = draw.relu("join")
    for index in range(blocks):
        x = _block(draw, x, f"block_{index}")
    draw.add("AveragePool", [x], "halved", kernel_shape=[2, 2], strides=[2, 2])
    weight = draw.generator.normal(0, 0.3, (16, 16, 2, 2)).astype(np.float32)
    x = draw.relu(draw.add("ConvTranspose", ["halved"], "up", [weight], strides=[2, 2]))
    gate = draw.add("Sigmoid", [draw.conv(draw.add("GlobalAveragePool", [x], "means"), "squeeze", 16, 16)], "gate")
    draw.add("Mul", [x, gate], "gated")
    split = draw.add("Split", ["gated"], "first", [np.array([8, 8], np.int64)], axis=1)
    draw.nodes[-1].output.append("second")
    draw.add("Add", [draw.conv(split, "left", 8, 8, 3), "second"], "sides")
    draw.constants["empty"] = np.zeros(0, np.float32)
    sizes = np.array([1, 16, SIZE // 2, SIZE // 2], np.int64)
    draw.constants["sizes"] = sizes
    half_pixel = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    draw.add("Resize", ["halved", "empty", "empty", "sizes"], "resized", **half_pixel)
    draw.add("Concat", ["sides", "resized"], "merged", axis=1)
    draw.conv("merged", "logits", 24, CLASSES)
    return make_model(
        draw.nodes,
        draw.constants,
        {"frame": ((1, SIZE, SIZE, 3), TensorProto.UINT8)},
        {"logits": ((1, CLASSES, SIZE // 2, SIZE // 2), TensorProto.FLOAT)},
    )


def _block(draw, source, name):
    split = [np.array([1, 2, 8, SIZE // 2, SIZE // 2], np.int64)]
    draw.add("Reshape", [source], f"{name}_halves", split)
    draw.add("Transpose", [f"{name}_halves"], f"{name}_mixed", perm=[0, 2, 1, 3, 4])
    draw.add("Reshape", [f"{name}_mixed"], f"{name}_shuffled", [np.array([1, 16, SIZE // 2, SIZE // 2], np.int64)])
    deep = draw.relu(draw.conv(f"{name}_shuffled", f"{name}_deep", 16, 16, 3, group=16, spread=0.5))
    draw.conv(deep, f"{name}_point", 16, 16)
    draw.constants[f"{name}_point/1"][::5] = -50.0  # channels that the Relu behind the sum leaves dead
    return draw.relu(draw.add("Add", [f"{name}_point", source], f"{name}_sum"))
