"""A graph with upsampling and argmax at its end, which gives labels, as many networks are passed on.

A network is timed in both forms under the same rules: with this ending, and with edge.postprocess behind it, which
gives the same labels without full-size logits. Interpolation is the backend's, in float: labels may differ where two
interpolated values are equal to the last digits.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from calibration.onnx_graph.file import import_onnx, parse_graph
from edge.contract import Contract
from edge.errors import GraphError

LABELS = "labels"
"""Name of the output of such a graph."""

_UPSAMPLED, _SIZES = "labels_upsampled", "labels_sizes"
_INDICES = "labels_indices"


def label_contract(contract: Contract) -> Contract:
    """Return the contract of a graph with the ending; outputs beside the logits are dropped."""
    return dataclasses.replace(contract, output_name=LABELS, extra_outputs=(), gives_labels=True)


def with_labels(graph: bytes, contract: Contract) -> bytes:
    """Return a graph that gives labels at the size of its input in place of logits.

    Args:
        graph: content of an ONNX file that gives logits for a single frame.
        contract: contract of that graph.

    Returns:
        Content of an ONNX file whose only output is LABELS, (1, height, width) uint8.

    Raises:
        MissingDependencyError: onnx is not installed.
        GraphError: the file is no ONNX graph, or has tensors of these names.
    """
    model = parse_graph(graph, "an engine that gives labels")
    onnx = import_onnx()
    helper, kinds = onnx.helper, onnx.TensorProto
    made = {LABELS, _UPSAMPLED, _SIZES, _INDICES}
    taken = {name for node in model.graph.node for name in node.output} & made
    if taken:
        raise GraphError(f"the graph has the tensor '{min(taken)}', expected a name of none that is added here")
    sizes = np.int64([1, len(contract.class_names), contract.height, contract.width])
    model.graph.initializer.append(onnx.numpy_helper.from_array(sizes, _SIZES))
    model.graph.node.extend(
        [
            helper.make_node(
                "Resize",
                [contract.output_name, "", "", _SIZES],
                [_UPSAMPLED],
                _UPSAMPLED,
                mode="linear",
                coordinate_transformation_mode=contract.coordinates,
            ),
            helper.make_node("ArgMax", [_UPSAMPLED], [_INDICES], _INDICES, axis=1, keepdims=0),
            helper.make_node("Cast", [_INDICES], [LABELS], LABELS, to=kinds.UINT8),
        ]
    )
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(LABELS, kinds.UINT8, [1, contract.height, contract.width]))
    return model.SerializeToString()
