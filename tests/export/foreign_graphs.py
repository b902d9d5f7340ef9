"""Small networks as other projects export them: NCHW, float, normalised by the caller."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HEIGHT, WIDTH = 64, 128
"""The smallest that street scenes are drawn at."""

CLASSES = 11

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

CONTRACT = {
    "name": "guest",
    "dataset": "camvid",
    "mean": list(MEAN),
    "std": list(STD),
    "scale": 255,
    "channel_order": "rgb",
}
"""What the owner of `street_network()` would write."""


@dataclass
class Drawing:
    """A graph that grows node by node.

    Attributes:
        constants_are_nodes: constants are Constant nodes, as PyTorch writes them, and no initializers.
        names: nodes have names.
    """

    constants_are_nodes: bool = False
    names: bool = True

    def __post_init__(self):
        self.nodes, self.constants = [], {}

    def constant(self, name, value):
        value = np.asarray(value)
        if self.constants_are_nodes:
            tensor = numpy_helper.from_array(value, name)
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        else:
            self.constants[name] = value
        return name

    def node(self, kind, inputs, output, **attributes):
        name = f"net/{output}" if self.names else ""
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=name, **attributes))
        return output

    def batch_norm(self, source, output, channels, generator):
        names = [
            self.constant(f"{output}.{part}", generator.uniform(*bounds, channels).astype(np.float32))
            for part, bounds in (("weight", (0.5, 2)), ("bias", (-1, 1)), ("mean", (-1, 1)), ("var", (0.1, 3)))
        ]
        return self.node("BatchNormalization", [source, *names], output, epsilon=1e-3)

    def model(self, inputs, outputs, opset=17):
        """Return a checked ModelProto; inputs and outputs are {name: (shape, element type)}."""
        describe = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "guest",
            [describe(name, kind, shape) for name, (shape, kind) in inputs.items()],
            [describe(name, kind, shape) for name, (shape, kind) in outputs.items()],
            [numpy_helper.from_array(value, name) for name, value in self.constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        model.ir_version = 8
        onnx.checker.check_model(model)
        return model


def street_network(
    end="resize", coordinates="half_pixel", free_size=False, opset=17, constants_are_nodes=True, names=True, stem=None
):
    """Return a network of stride 4 with every part that an adoption has to handle.

    Args:
        end: "logits" at stride 4, or what follows them: "resize" to full size, "softmax" or "argmax" behind it.
        coordinates: rule of that Resize.
        free_size: batch, height and width are symbolic, and the Resize computes its sizes from the input.
        opset: of the graph.
        constants_are_nodes: see Drawing.
        names: see Drawing.
        stem: function(drawing, "x") -> tensor, for something between the input and the first convolution.
    """
    generator = np.random.default_rng(3)
    drawing = Drawing(constants_are_nodes, names)

    def weight(name, *shape):
        spread = 1 / np.sqrt(np.prod(shape[1:]))
        return drawing.constant(name, generator.normal(0, spread, shape).astype(np.float32))

    node, same = drawing.node, {"pads": [1, 1, 1, 1]}
    source = stem(drawing, "x") if stem else "x"
    node("Conv", [source, weight("stem.weight", 8, 3, 3, 3)], "stem", strides=[2, 2], **same)
    node("Relu", [drawing.batch_norm("stem", "stem_bn", 8, generator)], "stem_relu")
    node("Conv", ["stem_relu", weight("deep.weight", 8, 1, 3, 3)], "deep", strides=[4, 4], group=8, **same)
    node("Relu", [drawing.batch_norm("deep", "deep_bn", 8, generator)], "deep_relu")
    node("ConvTranspose", ["deep_relu", weight("up.weight", 8, 3, 2, 2)], "up", strides=[2, 2], group=2)
    node("Relu", [drawing.batch_norm("up", "up_bn", 6, generator)], "up_relu")
    node("MaxPool", ["stem_relu"], "pool", kernel_shape=[2, 2], strides=[2, 2])
    # Two readers of a convolution: its BatchNorm has to stay.
    node("Conv", ["pool", weight("side.weight", 4, 8, 1, 1)], "side")
    drawing.batch_norm("side", "side_bn", 4, generator)
    node("Concat", ["up_relu", "side", "side_bn"], "joined", axis=1)
    node("Identity", ["joined"], "same")
    node("Dropout", ["same"], "dropped")
    node("Conv", ["dropped", weight("head.weight", CLASSES, 14, 1, 1)], "logits4")
    output, kind, shape = "logits4", TensorProto.FLOAT, [1, CLASSES, HEIGHT // 4, WIDTH // 4]
    if end != "logits":
        sizes = _free_sizes(drawing) if free_size else drawing.constant("sizes", np.array([1, CLASSES, HEIGHT, WIDTH]))
        empty = drawing.constant("empty", np.zeros(0, np.float32))
        output = node(
            "Resize",
            ["logits4", empty, empty, sizes],
            "full",
            mode="linear",
            coordinate_transformation_mode=coordinates,
        )
        shape = [1, CLASSES, HEIGHT, WIDTH]
    if end == "softmax":
        output = node("Softmax", ["full"], "shares", axis=1)
    if end == "argmax":
        node("ArgMax", ["full"], "largest", axis=1, keepdims=0)
        output, kind, shape = node("Identity", ["largest"], "labels"), TensorProto.INT64, [1, HEIGHT, WIDTH]
    free = ["batch", *shape[1:2], "height", "width"] if end != "argmax" else ["batch", "height", "width"]
    frame = ["batch", 3, "height", "width"] if free_size else [1, 3, HEIGHT, WIDTH]
    return drawing.model({"x": (frame, TensorProto.FLOAT)}, {output: (free if free_size else shape, kind)}, opset)


def _free_sizes(drawing):
    """Return sizes as PyTorch computes them in a graph with dynamic axes."""
    node, constant = drawing.node, drawing.constant
    node("Shape", ["logits4"], "logits_shape")
    node("Shape", ["x"], "frame_shape")
    for name, source, first, end in (("kept", "logits_shape", 0, 2), ("sides", "frame_shape", 2, 4)):
        node(
            "Slice",
            [source, constant(f"{name}_from", np.array([first])), constant(f"{name}_to", np.array([end]))],
            name,
        )
    return node("Concat", ["kept", "sides"], "sizes", axis=0)
