"""Conversion of a uint8 network input to a float32 one, for TensorRT's implicit INT8.

TensorRT documents uint8 as a type of network inputs that cannot represent quantised values (class DataType), and counts
its tensors among those that must have a scale ("Missing scale and zero-point for tensor input",
github.com/NVIDIA/TensorRT, issue 4131). Its calibrator takes histograms of float tensors. So the network takes the same
numbers, 0 to 255, as float32, and the Cast goes; the runner converts each frame.
"""

from __future__ import annotations

from calibration.onnx_graph.file import import_onnx, parse_graph
from calibration.onnx_graph.node import attribute_of
from edge.errors import GraphError


def with_float_input(graph: bytes) -> bytes:
    """Return a graph whose uint8 inputs are float32, without the Cast behind each.

    Args:
        graph: content of a float ONNX file; each uint8 input is read by Casts to float32 alone.

    Returns:
        Content of an ONNX file whose inputs keep their names. Equal values give equal results.

    Raises:
        MissingDependencyError: onnx is not installed.
        GraphError: the file is no ONNX graph, a uint8 input is read as such, or there are Q/DQ pairs, with which
            TensorRT takes no calibration.
    """
    model = parse_graph(graph, "an int8 engine from a calibration")
    if any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in model.graph.node):
        raise GraphError("the graph has Q/DQ pairs, expected a float graph: TensorRT takes its scales from either")
    onnx = import_onnx()
    kinds = onnx.TensorProto
    inputs = {value.name: value for value in model.graph.input if value.type.tensor_type.elem_type == kinds.UINT8}
    renamed: dict[str, str] = {}
    kept = []
    for node in model.graph.node:
        read = [name for name in node.input if name in inputs]
        if not read:
            kept.append(node)
            continue
        if node.op_type != "Cast" or attribute_of(node, "to", None) != kinds.FLOAT:
            raise GraphError(f"uint8 input {read[0]} is read by {node.op_type} {node.name}, expected a Cast to float32")
        renamed[node.output[0]] = read[0]
    for node in kept:
        for index, name in enumerate(node.input):
            node.input[index] = renamed.get(name, name)
    if any(value.name in renamed for value in model.graph.output):
        raise GraphError("a Cast of the input is an output of the graph, expected a network")
    for value in inputs.values():
        value.type.tensor_type.elem_type = kinds.FLOAT
    rewritten = onnx.GraphProto()
    rewritten.CopyFrom(model.graph)
    del rewritten.node[:]
    rewritten.node.extend(kept)
    model.graph.CopyFrom(rewritten)
    return model.SerializeToString()
