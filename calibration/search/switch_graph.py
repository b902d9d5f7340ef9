"""A graph that holds a float network and its quantised form together, with a switch for every node that rounds.

Each node that reads rounded values becomes an If: one branch has the node with its Q/DQ pairs and its rounded weights,
the other the node as it was. The switches, and the scales of the pairs, are inputs of the graph, so one session runs any
choice of them.

An If instead of a choice between two values, since ONNX Runtime lays out the constant weights of a convolution for its
fast kernels when it loads a graph: with weights that are chosen in a run, a convolution takes several times as long. A
branch that is not taken costs no time and no memory beyond its weights. A Relu that alone reads the node goes into
both branches, where the kernel of the convolution does it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from calibration.onnx_graph.editable import EditableGraph
from calibration.onnx_graph.file import import_onnx
from calibration.onnx_graph.graph import OnnxGraph
from calibration.onnx_graph.node import attribute_of


@dataclass(frozen=True)
class SwitchGraph:
    """A graph with switches.

    Attributes:
        data: content of the ONNX file.
        switches: name of a node -> graph input that takes its switch, a bool: True runs it in INT8.
        scales: name of a rounded tensor -> graph input that takes its scale, a float32.
        steps: name of a rounded tensor -> number of steps of its integers from zero to the threshold, 127 or 255.
    """

    data: bytes
    switches: dict[str, str]
    scales: dict[str, str]
    steps: dict[str, int]


def build_switch_graph(model: Any, pairs: OnnxGraph, output: str) -> SwitchGraph:
    """Return a graph with switches, made of a float graph and its quantised form.

    Args:
        model: float graph (onnx.ModelProto); left as it is.
        pairs: quantised form of it, as calibration.qdq.insert.write_pairs leaves it.
        output: name of the output that the graph gives; the others are left out.
    """
    copy = import_onnx().ModelProto()
    copy.CopyFrom(model)
    return _Builder(EditableGraph(copy, lenient=True), pairs, output).build()


class _Builder:
    """Builds one graph with switches in place of a float graph."""

    def __init__(self, view: EditableGraph, pairs: OnnxGraph, output: str) -> None:
        self._onnx, self._view, self._pairs, self._output = import_onnx(), view, pairs, output
        self._switches: dict[str, str] = {}
        self._scales: dict[str, str] = {}
        self._steps: dict[str, int] = {}

    def build(self) -> SwitchGraph:
        view = self._view
        quantized = {node.name: node for node in self._pairs.nodes}
        own = {node.name for node in view.nodes}
        # What the quantised form does with the frame stands in front of all else, and reads the frame alone.
        rebuilt = [node for node in self._pairs.nodes if node.name not in own and not self._is_written(node)]
        for node in rebuilt:
            self._take_constants(node)
        fused = set()
        for node in view.nodes:
            other = quantized.get(node.name)
            if node.name in fused:
                continue
            if other is None or not any(self._is_rounded(name) for name in other.input):
                rebuilt.append(node)
                continue
            relu = view.only_reader(node.output[0], "Relu") if len(node.output) == 1 else None
            if relu is not None and any(self._is_rounded(name) for name in quantized[relu.name].input):
                relu = None  # it has a switch of its own
            rebuilt.append(self._switched(node, other, relu))
            fused.update([relu.name] if relu is not None else [])
        return self._finished(rebuilt)

    def _finished(self, nodes: list) -> SwitchGraph:
        view, describe, types = self._view, self._onnx.helper.make_tensor_value_info, self._onnx.TensorProto
        view.replace_nodes(nodes)
        kept = [value for value in view.proto.output if value.name == self._output]
        del view.proto.output[:], view.proto.value_info[:]
        view.proto.output.extend(kept)
        view.proto.input.extend(describe(name, types.BOOL, []) for name in self._switches.values())
        view.proto.input.extend(describe(name, types.FLOAT, []) for name in self._scales.values())
        view.refresh()
        view.drop_unread_constants()
        return SwitchGraph(view.model.SerializeToString(), self._switches, self._scales, self._steps)

    # The quantised form

    def _is_written(self, node: Any) -> bool:
        """Return whether a node is part of a pair, or brings a rounded constant back."""
        if node.op_type == "QuantizeLinear":
            return True
        return node.op_type == "DequantizeLinear" and self._is_rounded(node.output[0])

    def _is_rounded(self, name: str) -> bool:
        """Return whether a tensor of the quantised form comes from a pair, or is a rounded constant."""
        dequantize = self._pairs.producer(name, "DequantizeLinear")
        if dequantize is None:
            return False
        source = dequantize.input[0]
        return source in self._pairs.constants or self._pairs.producer(source, "QuantizeLinear") is not None

    def _take_constants(self, node: Any) -> None:
        for name in node.input:
            if name in self._pairs.constants and name not in self._view.constants:
                self._view.add_constant(name, self._pairs.value_of(name))

    # Branches

    def _switched(self, node: Any, other: Any, relu: Any) -> Any:
        """Return the If of a node.

        Args:
            node: node of the float graph.
            other: node of the quantised form.
            relu: Relu that both branches do too; None for none.
        """
        switch = self._switches[node.name] = f"{node.name}/switch"
        outputs = list(relu.output if relu is not None else node.output)
        branches = {
            "then_branch": self._branch(other, relu, self._pairs, f"{node.name}/int8"),
            "else_branch": self._branch(node, relu, self._view, f"{node.name}/float"),
        }
        return self._onnx.helper.make_node("If", [switch], outputs, name=node.name, **branches)

    def _branch(self, node: Any, relu: Any, graph: OnnxGraph, prefix: str) -> Any:
        onnx = self._onnx
        inner, body, constants = onnx.NodeProto(), [], []
        inner.CopyFrom(node)
        for index, name in enumerate(node.input):
            here = f"{prefix}/input_{index}"
            value = self._constant(name, graph)
            if value is not None:
                constants.append(onnx.numpy_helper.from_array(value, here))
            elif graph is self._pairs and self._is_rounded(name):
                body.extend(self._pair(name, here, constants))
            else:
                continue
            inner.input[index] = here
        inner.output[:] = [f"{prefix}/{name}" if name else "" for name in node.output]
        body.append(inner)
        if relu is not None:
            body.append(onnx.helper.make_node("Relu", list(inner.output), [f"{prefix}/Relu/output"], f"{prefix}/Relu"))
        # A type without a shape, which is inferred.
        outputs = [onnx.ValueInfoProto(name=name) for name in body[-1].output]
        for value, name in zip(outputs, node.output):
            value.type.tensor_type.elem_type = onnx.TensorProto.DataType.Value(self._element_type(name))
        return onnx.helper.make_graph(body, prefix, [], outputs, constants)

    def _element_type(self, name: str) -> str:
        kind = self._view.type_of(name)
        return "FLOAT" if kind == "UNDEFINED" else kind

    def _constant(self, name: str, graph: OnnxGraph) -> np.ndarray | None:
        """Return the value of a constant, a rounded one in float; None if a tensor is no constant."""
        if name in graph.constants:
            return graph.value_of(name)
        dequantize = graph.producer(name, "DequantizeLinear")
        if dequantize is None or dequantize.input[0] not in graph.constants:
            return None
        integers, scales = (graph.value_of(part) for part in dequantize.input[:2])
        along = [1] * integers.ndim
        if scales.ndim:
            along[attribute_of(dequantize, "axis", 1)] = -1
            scales = scales.reshape(along)
        return integers.astype(np.float32) * scales

    def _pair(self, name: str, here: str, constants: list) -> list:
        """Return the two nodes of a pair whose scale is an input of the graph."""
        onnx, quantize = self._onnx, self._pairs.producer(self._pairs.producers[name].input[0])
        tensor, zero_point = quantize.input[0], self._pairs.value_of(quantize.input[2])
        self._steps[tensor] = 255 if zero_point.dtype == np.uint8 and zero_point == 0 else 127
        scale = self._scales.setdefault(tensor, f"{tensor}/scale/chosen")
        constants.append(onnx.numpy_helper.from_array(zero_point, f"{here}/zero_point"))
        parameters = [scale, f"{here}/zero_point"]
        return [
            onnx.helper.make_node("QuantizeLinear", [tensor, *parameters], [f"{here}/rounded"], f"{here}/Quantize"),
            onnx.helper.make_node("DequantizeLinear", [f"{here}/rounded", *parameters], [here], f"{here}/Dequantize"),
        ]
