"""An ONNX graph that is changed in place."""

from __future__ import annotations

from typing import Any, Iterable

import numpy as np

from calibration.onnx_graph.file import import_onnx
from calibration.onnx_graph.graph import IN_BODY, OnnxGraph
from calibration.onnx_graph.node import bodies_of, reads_in_bodies


class EditableGraph(OnnxGraph):
    """A graph whose nodes have names of their own, and whose nodes and constants can be changed.

    After nodes were changed by hand or by `bypass` and `rename`, `refresh` looks at them again. Shapes that were
    inferred are kept then, since a rewrite that keeps the numbers keeps the shape of every tensor that it leaves; what
    changes one calls `forget_shapes`.

    Args:
        model: onnx.ModelProto, changed in place. The constructor names each node that has no name, or that of another
            node, after its output.
        lenient: True to infer shapes leniently, as calibration/onnx_graph/shapes.py describes.
    """

    def __init__(self, model: Any, lenient: bool = False) -> None:
        _name_nodes(model.graph)
        super().__init__(model, lenient)

    def refresh(self) -> None:
        """Update the producers and readers of each tensor after nodes were changed."""
        self._look_at_nodes()

    def forget_shapes(self) -> None:
        """Let shapes be inferred anew when they are next needed, because a tensor has another shape now."""
        self._inferred = None

    def replace_nodes(self, nodes: Iterable[Any]) -> None:
        """Replace the nodes by others, in their order; nodes that give constants stay, in front of them."""
        rebuilt = [*self.constant_nodes, *nodes]
        del self.proto.node[:]
        self.proto.node.extend(rebuilt)
        _name_nodes(self.proto)
        self.refresh()
        self.forget_shapes()

    def rename(self, old: str, new: str) -> None:
        """Rename a tensor that a node gives, there and wherever it is read."""
        producer = self.producers[old]
        producer.output[:] = [new if name == old else name for name in producer.output]
        self._read_instead(old, new)

    def bypass(self, node: Any, source: str) -> None:
        """Remove a node whose output equals the tensor `source`."""
        target = node.output[0]
        if target in self.outputs:
            self.rename(source, target)
        else:
            self._read_instead(target, source)
        self.proto.node.remove(node)

    def _read_instead(self, old: str, new: str) -> None:
        for node, index in self.readers.get(old, ()):
            if index == IN_BODY:
                _rename_in_bodies(node, old, new)
            else:
                node.input[index] = new

    # Constants

    def add_constant(self, name: str, value: np.ndarray) -> str:
        """Add an initializer under a free name, and return that name."""
        free, number = name, 1
        while free in self.constants or free in self.producers or free in self.inputs:
            free, number = f"{name}_{number}", number + 1
        self.proto.initializer.append(import_onnx().numpy_helper.from_array(np.asarray(value), free))
        self.constants[free] = self.proto.initializer[-1]
        return free

    def set_constant(self, name: str, value: np.ndarray) -> None:
        """Replace the value of a constant, for all nodes that read it."""
        onnx = import_onnx()
        tensor = onnx.numpy_helper.from_array(value, name)
        node = next((node for node in self.constant_nodes if node.output[0] == name), None)
        if node is None:
            self.constants[name].CopyFrom(tensor)
            return
        del node.attribute[:]
        node.attribute.append(onnx.helper.make_attribute("value", tensor))
        self.constants[name] = node.attribute[0].t

    def drop_unread_constants(self) -> None:
        """Remove initializers and Constant nodes that nothing reads and that are no outputs of the graph."""
        drop_unread_constants(self.proto)
        self._look_at_initializers()
        self._look_at_nodes()


def drop_unread_constants(graph: Any) -> None:
    """Drop initializers and Constant nodes that nothing reads and the graph does not give.

    Args:
        graph: onnx.GraphProto, changed in place.
    """
    read = {value.name for value in graph.output}
    for node in graph.node:
        read.update(node.input)
        read.update(reads_in_bodies(node))
    for node in [node for node in graph.node if node.op_type == "Constant" and node.output[0] not in read]:
        graph.node.remove(node)
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    if len(kept) < len(graph.initializer):
        del graph.initializer[:]
        graph.initializer.extend(kept)


def _name_nodes(graph: Any) -> None:
    seen: set[str] = set()
    for node in graph.node:
        if not node.name or node.name in seen:
            node.name = node.output[0]
        seen.add(node.name)


def _rename_in_bodies(node: Any, old: str, new: str) -> None:
    for body in bodies_of(node):
        for inner in body.node:
            inner.input[:] = [new if name == old else name for name in inner.input]
            _rename_in_bodies(inner, old, new)
        for value in body.output:
            value.name = new if value.name == old else value.name
