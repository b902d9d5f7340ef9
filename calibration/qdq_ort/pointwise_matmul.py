"""Convolutions of single pixels whose result stays float, as products of integer matrices: the network's logits.

ONNX Runtime's integer convolution rounds its result to 8 bits, so one that gives float, as the last of a network does,
would have to run in float altogether. A 1x1 convolution is a matrix product over the channels of each pixel, and for
that there is a kernel from integers to float, which rounds nothing. Channels have to come last for it, which is how the
layer before has them in memory.

Source: ONNX Runtime, selectors of MatMul (qdq_transformer/selectors_actions): DequantizeLinear on both inputs and no
QuantizeLinear behind becomes MatMulIntegerToFloat.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from calibration.onnx_graph.editable import EditableGraph
from calibration.onnx_graph.file import import_onnx
from calibration.onnx_graph.graph import OnnxGraph
from calibration.onnx_graph.node import attribute_of, group_of, has_attribute, input_of, set_attribute


def is_pointwise(view: OnnxGraph, node: Any) -> bool:
    """Return whether a node is a 1x1 convolution over all channels with a constant weight, no stride and no padding."""
    weight = view.weight_of(node)
    return node.op_type == "Conv" and weight is not None and _is_pointwise(node, tuple(weight.dims))


def _is_pointwise(node: Any, shape: tuple[int, ...]) -> bool:
    plain = {"strides": {1}, "pads": {0}}
    return (
        len(shape) == 4
        and shape[2:] == (1, 1)
        and group_of(node) == 1
        and all(set(attribute_of(node, name, ())) <= values for name, values in plain.items())
    )


def pointwise_as_matmul(view: EditableGraph) -> tuple[str, ...]:
    """Turn quantised 1x1 convolutions whose result something reads in float into matrix products.

    Args:
        view: a graph in ONNX Runtime's form; changed in place.

    Returns:
        Names of the nodes that changed; a product has the name of its convolution.
    """
    changed, rebuilt = [], []
    for node in view.nodes:
        weight = _weight_quantizer(view, node)
        if weight is None or _is_rounded(view, node):
            rebuilt.append(node)
            continue
        rebuilt.extend(_product(view, node, weight))
        changed.append(node.name)
    # The pair of the weight has to stand in front of its product; its place in the list stays the same.
    view.replace_nodes(rebuilt)
    return tuple(changed)


def _weight_quantizer(view: OnnxGraph, node: Any) -> Any:
    """Return the DequantizeLinear of the weight of a quantised 1x1 convolution; None for other nodes."""
    if node.op_type != "Conv":
        return None
    data, weight = (view.producer(name, "DequantizeLinear") for name in node.input[:2])
    if data is None or weight is None:
        return None
    is_constant = weight.input[0] in view.constants and len(view.readers[weight.output[0]]) == 1
    bias = input_of(node, 2)
    if bias and bias not in view.constants and view.producer(bias, "DequantizeLinear") is None:
        return None
    if not is_constant or not _is_pointwise(node, tuple(view.constants[weight.input[0]].dims)):
        return None
    return weight


def _is_rounded(view: OnnxGraph, node: Any) -> bool:
    """Return whether every reader of the result of a convolution, or of its Relu, rounds it first."""
    result = view.stored_output(node)
    readers = view.readers.get(result, [])
    return result not in view.outputs and all(reader.op_type == "QuantizeLinear" for reader, _ in readers)


def _product(view: EditableGraph, node: Any, weight: Any) -> list:
    """Return the nodes that replace a convolution: transposed integers, product, bias, transposed back."""
    make, name = import_onnx().helper.make_node, node.name
    data = view.producers[node.input[0]]
    integers = view.value_of(weight.input[0])[:, :, 0, 0]
    weight.input[0] = view.add_constant(f"{weight.input[0]}/columns", np.ascontiguousarray(integers.T))
    if has_attribute(weight, "axis"):
        set_attribute(weight, "axis", 1)
    pixels, result = f"{name}/pixels", f"{name}/product"
    nodes = [
        make("Transpose", [data.input[0]], [pixels], name=f"{pixels}/Transpose", perm=[0, 2, 3, 1]),
        make(
            "DequantizeLinear",
            [pixels, *data.input[1:]],
            [f"{pixels}/dequantized"],
            name=f"{pixels}/DequantizeLinear",
        ),
        make("MatMul", [f"{pixels}/dequantized", node.input[1]], [result], name=name),
    ]
    if len(node.input) < 3 or not node.input[2]:
        return [*nodes, make("Transpose", [result], [node.output[0]], name=f"{name}/Transpose", perm=[0, 3, 1, 2])]
    # Behind the Transpose: an Add right behind a product would be merged with it into a Gemm, which is float.
    planes = f"{name}/planes"
    bias = _float_bias(view, node)
    nodes.append(make("Transpose", [result], [planes], name=f"{name}/Transpose", perm=[0, 3, 1, 2]))
    nodes.append(make("Add", [planes, bias], [node.output[0]], name=f"{name}/bias/Add"))
    return nodes


def _float_bias(view: EditableGraph, node: Any) -> str:
    """Return the name of a convolution's bias in the form that is added to float planes, (channels, 1, 1) float32."""
    dequantize = view.producer(node.input[2])
    if dequantize is None:
        value = view.value_of(node.input[2])
    else:
        value = view.value_of(dequantize.input[0]).astype(np.float64) * view.value_of(dequantize.input[1])
    return view.add_constant(f"{node.name}/bias/of_planes", value.astype(np.float32).reshape(-1, 1, 1))
