"""Names of the nodes and tensors of an exported graph, taken from the Keras layers."""

from __future__ import annotations

from typing import Any


def forget_conversion(model: Any) -> None:
    """Drop content that does not describe the network and differs between two exports of it.

    It is the order of the constants, the converter's notes, and operator sets that no node uses.

    Args:
        model: onnx.ModelProto, changed in place.
    """
    graph = model.graph
    graph.initializer.sort(key=lambda tensor: tensor.name)  # in place: a new list would be a copy of the weights
    graph.doc_string = model.doc_string = ""
    domains = {node.domain for node in graph.node}
    used = [opset for opset in model.opset_import if opset.domain in domains]
    del model.opset_import[:]
    model.opset_import.extend(used)


def name_after_layers(model: Any, layer_names: list[str]) -> None:
    """Give nodes, tensors and weights the names of the Keras layers that they come from.

    A converter's names (`fast_scnn_1/downsample_conv_bn_1/batchnorm/mul_1:0`) change with every
    export; cards, ranges and reports need names that a person knows and that stay. A Conv with its
    BatchNorm and bias folded in is named after the convolution.

    Args:
        model: onnx.ModelProto, changed in place; names of graph inputs and outputs stay.
        layer_names: names of the Keras layers.
    """
    known = set(layer_names)
    graph = model.graph
    fixed = {value.name for value in (*graph.input, *graph.output)}
    renamed: dict[str, str] = {name: name for name in fixed}
    used: set[str] = set(fixed)

    def layer_of(text: str) -> str | None:
        for part in text.split("/"):
            for candidate in (part, part.rsplit("_", 1)[0]):
                if candidate in known:
                    return candidate
        return None

    def free_name(wanted: str) -> str:
        name, number = wanted, 2
        while name in used:
            name, number = f"{wanted}_{number}", number + 1
        used.add(name)
        return name

    previous = graph.input[0].name
    for node in graph.node:
        # A converter that folds a BatchNorm may invent a new name for the Conv, but keeps its weight's.
        hints = [node.input[1]] if node.op_type == "Conv" else []
        layer = next(filter(None, map(layer_of, [*hints, node.name, node.output[0]])), previous.split("/")[0])
        if node.op_type == "Conv" and layer.endswith("_bn") and layer[: -len("_bn")] in known:
            layer = layer[: -len("_bn")]
        node.name = free_name(f"{layer}/{node.op_type}")
        for index, output in enumerate(node.output):
            if output not in renamed:
                renamed[output] = node.name if index == 0 else free_name(f"{node.name}_{index}")
        previous = node.name
    roles = {1: "weight", 2: "bias"}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name in constants and name not in renamed:
                role = roles.get(index, f"constant{index}") if node.op_type in ("Conv", "Gemm") else f"constant{index}"
                renamed[name] = free_name(f"{node.name}/{role}")
            node.input[index] = renamed.get(name, name)
        for index, name in enumerate(node.output):
            node.output[index] = renamed[name]
    for tensor in graph.initializer:
        tensor.name = renamed.get(tensor.name, tensor.name)
    del graph.value_info[:]
