"""Small float graphs and their ranges, for the tests of this folder."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from calibration.ranges.collector import activation_tensors, channel_tensors, tensor_range
from calibration.ranges.histogram import TensorCounter
from calibration.ranges.record import PREPROCESSING, Ranges, ranges_code
from calibration.ranges.record import TensorRange as TensorRange
from calibration.ranges.thresholds import CALIBRATION_METHODS as CALIBRATION_METHODS
from edge.runtime.onnxruntime import import_onnxruntime

IR_VERSION = 8


def node(kind, inputs, output, **attributes):
    return helper.make_node(kind, list(inputs), [output], name=output, **attributes)


def make_model(nodes, constants, inputs, outputs, opset=17):
    """Return a checked ModelProto; inputs and outputs are {name: (shape, element type)}."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(name, kind, shape) for name, (shape, kind) in inputs.items()],
        [helper.make_tensor_value_info(name, kind, shape) for name, (shape, kind) in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return model


def make_network(size=16, zero_channel=False, classes=5):
    """Return a graph with the shape of the project's: frame in, stem, residual block, pyramid, logits out."""
    generator = np.random.default_rng(2)

    def weight(*shape):
        return generator.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)

    constants = {
        "scale": np.full((1, 1, 1, 3), 1 / 64, np.float32),
        "offset": np.full((1, 1, 1, 3), -2, np.float32),
        "stem_w": weight(8, 3, 3, 3),
        "stem_b": generator.normal(0, 0.1, 8).astype(np.float32),
        "deep_w": weight(8, 1, 3, 3),
        "deep_b": generator.normal(0, 0.1, 8).astype(np.float32),
        "point_w": weight(8, 8, 1, 1) * np.linspace(0.05, 4, 8, dtype=np.float32).reshape(8, 1, 1, 1),
        "point_b": generator.normal(0, 0.1, 8).astype(np.float32),
        "head_w": weight(classes, 16, 1, 1),
        "head_b": generator.normal(0, 0.1, classes).astype(np.float32),
        "sizes": np.array([1, 8, size // 2, size // 2], np.int64),
        "empty": np.zeros(0, np.float32),
    }
    if zero_channel:
        constants["point_w"][3] = 0
    same = {"pads": [1, 1, 1, 1]}
    half_pixel = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    nodes = [
        node("Cast", ["frame"], "cast", to=TensorProto.FLOAT),
        node("Mul", ["cast", "scale"], "scaled"),
        node("Add", ["scaled", "offset"], "normalised"),
        node("Transpose", ["normalised"], "nchw", perm=[0, 3, 1, 2]),
        node("Conv", ["nchw", "stem_w", "stem_b"], "stem", strides=[2, 2], **same),
        node("Relu", ["stem"], "stem_relu"),
        node("Conv", ["stem_relu", "deep_w", "deep_b"], "deep", group=8, **same),
        node("Relu", ["deep"], "deep_relu"),
        node("Conv", ["deep_relu", "point_w", "point_b"], "point"),
        node("Add", ["point", "stem_relu"], "residual"),
        node("GlobalAveragePool", ["residual"], "pooled"),
        node("Resize", ["pooled", "empty", "empty", "sizes"], "resized", **half_pixel),
        node("Concat", ["residual", "resized"], "merged", axis=1),
        node("Conv", ["merged", "head_w", "head_b"], "logits"),
    ]
    return make_model(
        nodes,
        constants,
        {"frame": ((1, size, size, 3), TensorProto.UINT8)},
        {"logits": ((1, classes, size // 2, size // 2), TensorProto.FLOAT)},
    )


def with_constant_nodes(model):
    """Return a model whose constants are Constant nodes, as some exporters write them, and no initializers."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    nodes = [
        helper.make_node("Constant", [], [tensor.name], name=f"{tensor.name}/node", value=tensor)
        for tensor in model.graph.initializer
    ]
    del changed.graph.node[:], changed.graph.initializer[:]
    changed.graph.node.extend([*nodes, *model.graph.node])
    onnx.checker.check_model(changed, full_check=True)
    return changed


def with_operator(network, name, domain, behind="deep_relu"):
    """Return a network with a node of another operator set behind one of its tensors."""
    model = onnx.ModelProto()
    model.CopyFrom(network)
    nodes = list(model.graph.node)
    for node in nodes:
        node.input[:] = [f"{behind}/other" if source == behind else source for source in node.input]
    place = next(index for index, node in enumerate(nodes) if node.output[0] == behind) + 1
    model.graph.node.insert(place, helper.make_node(name, [behind], [f"{behind}/other"], name, domain=domain))
    model.opset_import.append(helper.make_opsetid(domain, 1))
    return model


def run(model, feeds, outputs=None, optimised_path=None):
    """Run a ModelProto or bytes in ONNX Runtime; optimised_path keeps the graph that it makes of it."""
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    if optimised_path is None:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    else:
        # Everything but the rewrites into layouts of one CPU, which the file format cannot hold.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(optimised_path)
    data = model if isinstance(model, bytes) else model.SerializeToString()
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return session.run(outputs, feeds)


def ranges_of(model, feeds_list, **changes):
    """Return the Ranges of a model over some inputs."""
    tensors = activation_tensors(model)
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    present = {value.name for value in model.graph.output}
    exposed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors if name not in present)
    by_channel = channel_tensors(model)
    counters = {name: TensorCounter(name in by_channel, by_channel.get(name, False)) for name in tensors}
    for feeds in feeds_list:
        for name, value in zip(tensors, run(exposed, feeds, tensors)):
            counters[name].update(value, name)
    fields = {
        "graph_sha256": "0" * 64,
        "manifest_sha256": "1" * 64,
        "image_count": len(feeds_list),
        "images_from": "test frames",
        "preprocessing": PREPROCESSING,
        "code_sha256": ranges_code(),
        "tensors": {name: tensor_range(counter) for name, counter in counters.items()},
    }
    return Ranges(**{**fields, **changes})


def frames(count=3, size=16):
    generator = np.random.default_rng(11)
    return [{"frame": generator.integers(0, 256, (1, size, size, 3)).astype(np.uint8)} for _ in range(count)]
