"""An ONNX graph that is changed in place."""

from __future__ import annotations

from typing import Any

import numpy as np

from calibration.onnx_graph.file import import_onnx
from calibration.onnx_graph.inferred import infer_without_weights


class GraphView:
    """An ONNX graph with its constants, producers and consumers at hand.

    Args:
        model: its graph is changed in place.
    """

    def __init__(self, model: Any) -> None:
        self.graph, self._model = model.graph, model
        self.constants = {tensor.name: import_onnx().numpy_helper.to_array(tensor) for tensor in self.graph.initializer}
        self.refresh()

    def refresh(self) -> None:
        """Look again who produces and who consumes each tensor."""
        self.producers = {output: node for node in self.graph.node for output in node.output}
        self.consumers: dict[str, list[Any]] = {}
        for node in self.graph.node:
            for name in node.input:
                self.consumers.setdefault(name, []).append(node)
        self.outputs = {value.name for value in self.graph.output}
        inferred = infer_without_weights(import_onnx(), self._model, self.graph).graph
        self.shapes = {
            value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
            for value in (*inferred.value_info, *inferred.input, *inferred.output)
            if all(dim.HasField("dim_value") for dim in value.type.tensor_type.shape.dim)
        }

    def only_consumer(self, tensor: str) -> Any | None:
        """Return the one node that reads a tensor; None if there are several or it is an output."""
        readers = self.consumers.get(tensor, [])
        return readers[0] if len(readers) == 1 and tensor not in self.outputs else None

    def add_constant(self, name: str, value: np.ndarray) -> str:
        """Add an initializer under a free name, and return that name."""
        free, number = name, 1
        while free in self.constants:
            free, number = f"{name}_{number}", number + 1
        self.constants[free] = value
        self.graph.initializer.append(import_onnx().numpy_helper.from_array(value, free))
        return free

    def bypass(self, node: Any, source: str) -> None:
        """Remove a node whose output equals the tensor `source`."""
        target = node.output[0]
        if target in self.outputs:
            producer = self.producers[source]
            for reader in self.consumers.get(source, []):
                _rename(reader.input, source, target)
            _rename(producer.output, source, target)
        else:
            for reader in self.consumers.get(target, []):
                _rename(reader.input, target, source)
        self.graph.node.remove(node)


def _rename(names, old: str, new: str) -> None:
    for index, name in enumerate(names):
        if name == old:
            names[index] = new


def _drop_unread_constants(graph: Any) -> None:
    read = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
