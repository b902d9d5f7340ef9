"""A graph that holds a float network and its quantised form together, with a switch for every node that rounds.

Each node that reads rounded values becomes an If: one branch has the node with its Q/DQ pairs and its rounded weights,
the other the node as it was. The switches, and the scales of the pairs, are inputs of the graph, so one session runs
any choice of them.

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


def build_switch_graph(model: Any, pairs: OnnxGraph, output: str, corrects_biases: bool = False) -> SwitchGraph:
    """Return a graph with switches, made of a float graph and its quantised form.

    Args:
        model: float graph (onnx.ModelProto); left as it is.
        pairs: quantised form of it, as calibration.qdq.insert.write_pairs leaves it.
        output: name of the output that the graph gives; the others are left out.
        corrects_biases: True if the biases of the quantised form differ from those of the float one by more than
            rounding. What is rounded again for another scale is then the rounded one.
    """
    copy = import_onnx().ModelProto()
    copy.CopyFrom(model)
    return _Builder(EditableGraph(copy, lenient=True), pairs, output, corrects_biases).build()


class _Builder:
    """Builds one graph with switches in place of a float graph."""

    def __init__(self, view: EditableGraph, pairs: OnnxGraph, output: str, corrects_biases: bool) -> None:
        self._onnx, self._view, self._pairs, self._output = import_onnx(), view, pairs, output
        self._corrects_biases = corrects_biases
        self._floats = {node.name: node for node in view.nodes}
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
        return dequantize.input[0] in self._pairs.constants or self._quantizer(name) is not None

    def _quantizer(self, name: str) -> Any:
        """Return the QuantizeLinear of the pair that a tensor comes from; None if it comes from none."""
        dequantize = self._pairs.producer(name, "DequantizeLinear")
        return self._pairs.producer(dequantize.input[0], "QuantizeLinear") if dequantize is not None else None

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
        """Return the graph of a branch.

        Args:
            node: node that it runs.
            relu: Relu behind it; None for none.
            graph: graph that the node is of, the float one or the quantised one.
            prefix: prefix of all names in the branch.
        """
        onnx = self._onnx
        inner, body, constants = onnx.NodeProto(), [], []
        inner.CopyFrom(node)
        moves_bias = graph is self._pairs and self._has_bias_of_products(node)
        if moves_bias:
            del inner.input[2:]
        for index, name in enumerate(inner.input):
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
        if moves_bias:
            body.extend(self._bias_behind(node, inner, prefix, constants))
        if relu is not None:
            last = list(body[-1].output)
            body.append(onnx.helper.make_node("Relu", last, [f"{prefix}/Relu/output"], f"{prefix}/Relu"))
        # A type without a shape, which is inferred.
        outputs = [onnx.ValueInfoProto(name=name) for name in body[-1].output]
        for value, name in zip(outputs, node.output):
            value.type.tensor_type.elem_type = onnx.TensorProto.DataType.Value(self._element_type(name))
        return onnx.helper.make_graph(body, prefix, [], outputs, constants)

    # Biases in steps of products

    def _has_bias_of_products(self, node: Any) -> bool:
        """Return whether the bias of a layer counts in steps of its input's scale, which a run chooses."""
        if node.op_type not in ("Conv", "Gemm") or len(node.input) < 3 or attribute_of(node, "beta", 1.0) != 1.0:
            return False
        return self._is_rounded(node.input[2]) and self._quantizer(node.input[0]) is not None

    def _bias_behind(self, node: Any, inner: Any, prefix: str, constants: list) -> list:
        """Move the bias of a layer behind it, rounded to steps of the scale at hand.

        There, since a convolution whose bias is no constant is as slow as one whose weights are none.

        Returns:
            The nodes behind the layer, the last of which gives its result.
        """
        onnx, make = self._onnx, self._onnx.helper.make_node
        weight = self._pairs.producers[node.input[1]]
        spatial = [1] * (len(self._pairs.shape_of(weight.input[0])) - 2)
        values = {"exact": self._exact_bias(node), "steps": self._pairs.value_of(weight.input[1]).astype(np.float64)}
        exact, steps, scale, unit, number, rounded, value, single, products = (
            f"{prefix}/bias/{what}"
            for what in (*values, "scale", "unit", "number", "rounded", "value", "single", "products")
        )
        for name, array in zip((exact, steps), values.values()):
            constants.append(onnx.numpy_helper.from_array(array.reshape(-1, *spatial), name))
        result, inner.output[0] = inner.output[0], products
        chosen = self._scales[self._quantizer(node.input[0]).input[0]]
        return [
            make("Cast", [chosen], [scale], scale, to=onnx.TensorProto.DOUBLE),
            make("Mul", [steps, scale], [unit], unit),
            make("Div", [exact, unit], [number], number),
            make("Round", [number], [rounded], rounded),
            make("Mul", [rounded, unit], [value], value),
            make("Cast", [value], [single], single, to=onnx.TensorProto.FLOAT),
            make("Add", [products, single], [result], f"{prefix}/bias"),
        ]

    def _exact_bias(self, node: Any) -> np.ndarray:
        """Return the bias before it was rounded, (channels,) float64; the rounded one where it was corrected."""
        before = self._floats[node.name]
        if not self._corrects_biases and len(before.input) > 2 and before.input[2] in self._view.constants:
            return self._view.value_of(before.input[2]).astype(np.float64).reshape(-1)
        rounded = self._pairs.producers[node.input[2]]
        integers, steps = (self._pairs.value_of(name).astype(np.float64) for name in rounded.input[:2])
        return integers * steps

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
        onnx, quantize = self._onnx, self._quantizer(name)
        tensor, zero_point = quantize.input[0], self._pairs.value_of(quantize.input[2])
        self._steps[tensor] = 255 if zero_point.dtype == np.uint8 and zero_point == 0 else 127
        scale = self._scales.setdefault(tensor, f"{tensor}/scale/chosen")
        constants.append(onnx.numpy_helper.from_array(zero_point, f"{here}/zero_point"))
        parameters = [scale, f"{here}/zero_point"]
        return [
            onnx.helper.make_node("QuantizeLinear", [tensor, *parameters], [f"{here}/rounded"], f"{here}/Quantize"),
            onnx.helper.make_node("DequantizeLinear", [f"{here}/rounded", *parameters], [here], f"{here}/Dequantize"),
        ]
