"""Small networks whose output is no logits to take the largest of: masks, probabilities, a void channel."""

from __future__ import annotations

import functools

import numpy as np
import onnx
from onnx import TensorProto

import edge.synthetic
from edge.runtime.onnxruntime import open_session
from tests.export.foreign_graphs import HEIGHT, MEAN, STD, WIDTH, Drawing

draw_scene = functools.lru_cache(maxsize=None)(edge.synthetic.draw_scene)


def ending(drawing, kind, source, channels):
    """Add one part of the end of a network, and return its output."""
    full = [1, channels, HEIGHT, WIDTH]
    if kind in ("half_pixel", "align_corners", "asymmetric", "nearest"):
        empty = drawing.constant("empty", np.zeros(0, np.float32))
        rule = "half_pixel" if kind == "nearest" else kind
        mode = "nearest" if kind == "nearest" else "linear"
        sizes = drawing.constant("sizes", np.array(full))
        return drawing.node(
            "Resize", [source, empty, empty, sizes], "full", mode=mode, coordinate_transformation_mode=rule
        )
    if kind == "beyond":  # more than the image, filled with 5
        region = drawing.constant("region", np.float32([0, 0, -0.5, -0.5, 1, 1, 1.5, 1.5]))
        nothing, sizes = drawing.constant("nothing", np.zeros(0, np.float32)), drawing.constant("all", np.array(full))
        rule = {"coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 5.0}
        return drawing.node("Resize", [source, region, nothing, sizes], "beyond", mode="linear", **rule)
    if kind == "rejoin":
        axis = drawing.constant("channels", np.array([1]))
        ends = [drawing.constant(f"at{index}", np.array([index])) for index in (0, 1, channels)]
        parts = [drawing.node("Slice", [source, *ends[part : part + 2], axis], f"part{part}") for part in range(2)]
        return drawing.node("Concat", parts, "joined", axis=1)
    if kind == "over":
        return drawing.node("Greater", [source, drawing.constant("edge", np.float32(0.3))], "over")
    if kind == "under":
        return drawing.node("Less", [source, drawing.constant("edge", np.float32(0.3))], "over")
    if kind == "edges":
        edges = np.float32([0.3, 0.4, 0.6]).reshape(3, 1, 1)
        return drawing.node("LessOrEqual", [drawing.constant("edges", edges), source], "over")
    if kind == "bytes":
        return drawing.node("Cast", [source], "bytes", to=TensorProto.UINT8)
    if kind == "floats":
        return drawing.node("Cast", [source], "floats", to=TensorProto.FLOAT)
    if kind == "squeeze":
        return drawing.node("Squeeze", [source, drawing.constant("axis", np.array([1]))], "flat")
    attributes = {"axis": 1} if kind in ("Softmax", "LogSoftmax") else {}
    output = f"{source}_{kind.lower()}" if source == kind.lower() else kind.lower()
    return drawing.node(kind, [source], output, **attributes)


def mask_network(channels, *ends, head="Conv", opset=17):
    """Return a network whose logits have mean 0 and spread 1.5 on a scene, at stride 4 (8 before a ConvTranspose)."""
    scene = draw_scene(11, 0, HEIGHT, WIDTH).frame_rgb
    shift, scale = np.zeros(channels), np.ones(channels)
    for _ in range(2):
        model = _drawn(channels, ends, head, opset, shift, scale)
        (found,) = run(model, scene, ["logits4"])
        centre = found[0].reshape(channels, -1)
        shift, scale = -centre.mean(axis=1), 1.5 / centre.std(axis=1)
    return model


def _drawn(channels, ends, head, opset, shift, scale):
    generator = np.random.default_rng(5)
    drawing = Drawing()
    node = drawing.node

    def weight(name, *shape):
        return drawing.constant(name, generator.normal(0, 0.4, shape).astype(np.float32))

    step = 8 if head == "ConvTranspose" else 4
    node("Conv", ["x", weight("stem.weight", 8, 3, 5, 5)], "stem", strides=[step, step], pads=[2, 2, 2, 2])
    node("Relu", ["stem"], "stem_relu")
    scale, bias = scale.astype(np.float32), (shift * scale).astype(np.float32)
    if head == "ConvTranspose":
        values = generator.normal(0, 0.4, (8, channels, 2, 2)).astype(np.float32) * scale.reshape(1, -1, 1, 1)
        inputs = ["stem_relu", drawing.constant("up.weight", values), drawing.constant("up.bias", bias)]
        node("ConvTranspose", inputs, "logits4", strides=[2, 2])
    elif head == "grouped":
        node("Conv", ["stem_relu", weight("wide.weight", 4 * channels, 8, 1, 1)], "wide")
        values = generator.normal(0, 0.4, (channels, 4, 1, 1)).astype(np.float32) * scale.reshape(-1, 1, 1, 1)
        inputs = ["wide", drawing.constant("head.weight", values), drawing.constant("head.bias", bias)]
        node("Conv", inputs, "logits4", group=channels)
    else:
        values = generator.normal(0, 0.4, (channels, 8, 1, 1)).astype(np.float32) * scale.reshape(-1, 1, 1, 1)
        inputs = ["stem_relu", drawing.constant("head.weight", values), drawing.constant("head.bias", bias)]
        node("Conv", inputs, "inner" if head == "add" else "logits4")
        if head == "add":
            node("Add", ["inner", node("Tanh", ["inner"], "bent")], "logits4")
    output = "logits4"
    for kind in ends:
        output = ending(drawing, kind, output, channels)
    kind = TensorProto.BOOL if {"over", "under", "edges"}.intersection(ends) else TensorProto.FLOAT
    kind = TensorProto.UINT8 if "bytes" in ends else TensorProto.FLOAT if "floats" in ends else kind
    shape = ["batch", "height", "width"] if "squeeze" in ends else ["batch", channels, "height", "width"]
    return drawing.model({"x": ([1, 3, HEIGHT, WIDTH], TensorProto.FLOAT)}, {output: (shape, kind)}, opset)


def run(model, frame_rgb, names=None):
    """Run a user's graph as its owner would, and return its output or the tensors of these names."""
    normal = (frame_rgb.astype(np.float64) / 255 - np.array(MEAN)) / np.array(STD)
    tensor = np.ascontiguousarray(normal.transpose(2, 0, 1)[None], np.float32)
    if names is None:
        return open_session(model.SerializeToString()).run(None, {"x": tensor})[0]
    inner = onnx.ModelProto()
    inner.CopyFrom(model)
    del inner.graph.output[:]
    inner.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return open_session(inner.SerializeToString()).run(names, {"x": tensor})
