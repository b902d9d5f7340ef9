"""Random numbers of a graph: drawn inside, or given from outside so that two runs can be compared.

A Monte Carlo network draws the noise of its dropouts anew in every call. The Keras model takes that
noise as inputs; in the graph that is kept, each such input is the output of a RandomUniform node,
which TensorRT (from 8.5 on) and ONNX Runtime have.
"""

from __future__ import annotations

from typing import Any, Iterable

from calibration.onnx_graph.file import import_onnx
from calibration.onnx_graph.node import attribute_of
from edge.errors import GraphError


def draw_noise(model: Any, names: Iterable[str]) -> None:
    """Replace inputs by RandomUniform nodes of the same name and shape, without a seed.

    Args:
        model: onnx.ModelProto, changed in place.
        names: names of the inputs, which are float32 with static shapes.

    Raises:
        GraphError: there is no such input, or its shape is not static.
    """
    onnx, graph = import_onnx("drawing noise in a graph"), model.graph
    inputs = {value.name: value for value in graph.input}
    nodes = []
    for name in names:
        if name not in inputs:
            raise GraphError(f"the graph has no input '{name}', it has {', '.join(inputs)}")
        shape = [dim.dim_value for dim in inputs[name].type.tensor_type.shape.dim]
        if not all(shape):
            raise GraphError(f"input '{name}' has the shape {shape}, expected a static one")
        nodes.append(
            onnx.helper.make_node(
                "RandomUniform",
                [],
                [name],
                name=f"{name}/RandomUniform",
                low=0.0,
                high=1.0,
                shape=shape,
                dtype=onnx.TensorProto.FLOAT,
            )
        )
        graph.input.remove(inputs[name])
    drawn = [*nodes, *graph.node]
    del graph.node[:]
    graph.node.extend(drawn)


def noise_as_inputs(model: Any) -> list[str]:
    """Replace the RandomUniform nodes of `draw_noise` by inputs again.

    Args:
        model: onnx.ModelProto, changed in place.

    Returns:
        Names of the new inputs.
    """
    onnx, graph = import_onnx("drawing noise in a graph"), model.graph
    names = []
    for node in [node for node in graph.node if node.op_type == "RandomUniform"]:
        shape = attribute_of(node, "shape", [])
        graph.input.append(onnx.helper.make_tensor_value_info(node.output[0], onnx.TensorProto.FLOAT, shape))
        graph.node.remove(node)
        names.append(node.output[0])
    return names
