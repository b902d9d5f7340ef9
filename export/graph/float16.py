"""Conversion of a float32 ONNX graph to a float16 one, for backends that take types from the graph.

TensorRT from 10 on can build strongly typed networks, and 11 builds nothing else: what is float32
in the graph is computed in float32. So a float16 engine, or an INT8 engine whose remaining layers
run in float16, is made from a graph that says so.
Source: TensorRT documentation, "Migrating from Weak Typing to Strong Typing" (10.x to 11.x).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from calibration.onnx_graph.file import import_onnx, parse_graph
from calibration.onnx_graph.graph import OnnxGraph
from calibration.onnx_graph.node import attribute_of, has_bodies
from calibration.onnx_graph.shapes import infer_shapes
from edge.errors import GraphError

# Sums over many elements lose digits or leave the range of float16; so do squares and exponentials.
# MatMul is here because its products in an encoding or attention layer are sums of that kind.
FLOAT32_OPERATORS = frozenset(
    [
        "ReduceSum",
        "ReduceMean",
        "ReduceSumSquare",
        "ReduceL1",
        "ReduceL2",
        "ReduceLogSumExp",
        "Softmax",
        "LogSoftmax",
        "Exp",
        "Log",
        "Pow",
        "InstanceNormalization",
        "LayerNormalization",
        "MatMul",
        "Gemm",
        "Einsum",
        # Noise is drawn in the type that every runtime draws it in, and compared with a rate behind it.
        "RandomUniform",
    ]
)
# What stays float32 too where it stands between such operators: cheap, and it spares casts.
FOLLOWING_OPERATORS = frozenset(
    [
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Neg",
        "Sqrt",
        "Relu",
        "Sigmoid",
        "Identity",
        "GlobalAveragePool",
        "Transpose",
        "Reshape",
        "Squeeze",
        "Unsqueeze",
        "Flatten",
        "Expand",
        "Slice",
        "Concat",
    ]
)
# Q and DQ take float16 scales from opset 19 on. Source: ONNX operators, QuantizeLinear-19.
QUANTIZED_OPSET = 19
# Below it float16 keeps fewer than 7 binary digits of a scale (its smallest step is 2**-24).
SMALLEST_SCALE = 2.0**-17
_LARGEST, _SMALLEST_NORMAL = float(np.finfo(np.float16).max), float(np.finfo(np.float16).tiny)
_QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")


def to_float16(graph: bytes) -> bytes:
    """Return a graph that computes in float16; inputs and outputs keep their names and types.

    Scales of Q/DQ pairs are rounded up, so that nothing saturates that did not before, and INT8
    weights that are stored as such are rounded anew for the new scale.

    Args:
        graph: content of an ONNX file with static types, without control flow.

    Raises:
        MissingDependencyError: onnx is not installed.
        GraphError: the file is no ONNX graph, or a part of it cannot be converted.
    """
    model = parse_graph(graph, "a float16 or int8 engine for TensorRT 10 or later")
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    try:
        if opsets.get("", 0) < QUANTIZED_OPSET and any(node.op_type in _QUANTIZERS for node in model.graph.node):
            model = import_onnx().version_converter.convert_version(model, QUANTIZED_OPSET)
        types = infer_shapes(model, checks_shapes=True).types
    except (RuntimeError, GraphError) as error:
        raise GraphError(f"the graph cannot become float16: {' '.join(str(error).split())[:200]}") from None
    _Conversion(OnnxGraph(model), types).run()
    return model.SerializeToString()


class _Conversion:
    """One pass over the nodes of a graph, in their order.

    Every float tensor has a float16 form, a float32 form, or both; the one that is missing is made
    by a Cast where it is first asked for.
    """

    def __init__(self, view: OnnxGraph, types: dict[str, int]) -> None:
        onnx = import_onnx()
        self._onnx, self._view, self._graph, self._types = onnx, view, view.proto, types
        self._float, self._half = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
        self._constants: dict[str, np.ndarray] = {}
        self._float_form: dict[str, str] = {}
        self._half_form: dict[str, str] = {}
        self._scales: dict[str, tuple[str, np.ndarray]] = {}
        self._nodes: list[Any] = []
        self._outputs = view.outputs

    def run(self) -> None:
        """Convert the graph in place."""
        nodes = self._view.nodes
        self._take_constants()
        float32_nodes = self._find_float32_nodes(nodes)
        for value in self._graph.input:
            if self._types.get(value.name) == self._float:
                self._float_form[value.name] = value.name
        for node in nodes:
            if has_bodies(node):
                raise GraphError(f"the graph cannot become float16: node {node.name} ({node.op_type}) is control flow")
            if node.op_type in _QUANTIZERS:
                self._convert_quantizer(node)
            elif node.output[0] in float32_nodes:
                self._keep(node)
            else:
                self._convert(node)
        for name in sorted(self._outputs):
            if self._types[name] == self._float and self._float_form.get(name) != name:
                self._cast(self._half_form[name], name, self._float)
        self._write()

    def _take_constants(self) -> None:
        self._constants = {name: self._view.value_of(name) for name in self._view.constants}
        for name, value in self._constants.items():
            if value.dtype == np.float32:
                self._types[name] = self._float
                self._float_form[name] = name

    def _is_float(self, name: str) -> bool:
        return self._types.get(name) == self._float

    def _as_float(self, name: str) -> str:
        if name not in self._float_form:
            self._float_form[name] = self._cast(self._half_form[name], f"{name}_float32", self._float)
        return self._float_form[name]

    def _as_half(self, name: str) -> str:
        if name not in self._half_form:
            if name in self._constants:
                value = np.clip(self._constants[name], -_LARGEST, _LARGEST).astype(np.float16)
                self._half_form[name] = self._add_constant(f"{name}_float16", value)
            else:
                self._half_form[name] = self._cast(self._float_form[name], f"{name}_float16", self._half)
        return self._half_form[name]

    def _add_constant(self, name: str, value: np.ndarray) -> str:
        self._constants[name] = value
        return name

    def _cast(self, source: str, target: str, to: int) -> str:
        self._nodes.append(self._onnx.helper.make_node("Cast", [source], [target], name=f"{target}_cast", to=to))
        return target

    def _find_float32_nodes(self, nodes: list[Any]) -> set[str]:
        """Return the first outputs of the nodes that float16 would spoil, and of those between them."""
        kept = {node.output[0] for node in nodes if node.op_type in FLOAT32_OPERATORS or self._has_unfit_constant(node)}
        giver = {name: node.output[0] for name, node in self._view.producers.items()}
        followers = [node for node in nodes if node.op_type in FOLLOWING_OPERATORS]
        size = -1
        while size != len(kept):
            size = len(kept)
            for node in followers:
                sources = [name for name in node.input if self._is_float(name) and name not in self._constants]
                is_after = bool(sources) and all(giver.get(name) in kept for name in sources)
                readers = {reader.output[0] for reader, _ in self._view.readers.get(node.output[0], ())}
                is_before = node.output[0] not in self._outputs and bool(readers) and readers <= kept
                if is_after or is_before:
                    kept.add(node.output[0])
        return kept

    def _has_unfit_constant(self, node: Any) -> bool:
        """Return whether a node computes with a single number that float16 cannot represent."""
        if node.op_type in _QUANTIZERS:
            return False
        for name in node.input:
            value = self._constants.get(name)
            if value is not None and value.dtype == np.float32 and value.size == 1 and np.isfinite(value).all():
                size = float(np.abs(value).max())
                if size > _LARGEST or 0 < size < _SMALLEST_NORMAL:
                    return True
        return False

    def _keep(self, node: Any) -> None:
        for index, name in enumerate(node.input):
            if self._is_float(name):
                node.input[index] = self._as_float(name)
        self._nodes.append(node)
        for index, name in enumerate(node.output):
            if self._is_float(name):
                node.output[index] = name if name in self._outputs else f"{name}_float32"
                self._float_form[name] = node.output[index]

    def _convert(self, node: Any) -> None:
        for index, name in enumerate(node.input):
            if not self._is_float(name):
                continue
            # Resize takes its region and its scales as float32 alone. Source: ONNX operators, Resize-13.
            float_alone = node.op_type == "Resize" and index > 0
            node.input[index] = self._as_float(name) if float_alone else self._as_half(name)
        self._set_types(node)
        self._nodes.append(node)
        self._rename_outputs(node)

    def _rename_outputs(self, node: Any) -> None:
        for index, name in enumerate(node.output):
            if self._is_float(name):
                node.output[index] = f"{name}_float16" if name in self._outputs else name
                self._half_form[name] = node.output[index]

    def _set_types(self, node: Any) -> None:
        """Change the attributes that name float32."""
        for attribute in node.attribute:
            if attribute.name in ("to", "dtype", "output_dtype") and attribute.i == self._float:
                attribute.i = self._half
            elif attribute.HasField("t") and attribute.t.data_type == self._float:
                value = self._onnx.numpy_helper.to_array(attribute.t).astype(np.float16)
                attribute.t.CopyFrom(self._onnx.numpy_helper.from_array(value, attribute.t.name))

    def _convert_quantizer(self, node: Any) -> None:
        data, scale_name = node.input[0], node.input[1]
        if scale_name not in self._constants:
            raise GraphError(f"the graph cannot become float16: the scale of {node.op_type} {node.name} is no constant")
        node.input[1], ratio = self._half_scale(scale_name)
        if self._is_float(data):
            node.input[0] = self._as_half(data)
        elif data in self._constants:
            node.input[0] = self._rounded_anew(data, ratio, attribute_of(node, "axis", 1))
        self._set_types(node)
        self._nodes.append(node)
        self._rename_outputs(node)

    def _half_scale(self, name: str) -> tuple[str, np.ndarray]:
        """Return a scale rounded up to float16, and how much smaller the old one is, 0 to 1."""
        if name not in self._scales:
            scale = self._constants[name].astype(np.float64)
            if not np.all(scale > 0) or np.any(scale > _LARGEST):
                raise GraphError(f"the graph cannot become float16: scale {name} is outside float16's range")
            half = np.maximum(scale, SMALLEST_SCALE).astype(np.float16)
            half = np.where(half < scale, np.nextafter(half, np.float16(np.inf)), half).astype(np.float16)
            self._scales[name] = self._add_constant(f"{name}_float16_scale", half), scale / half.astype(np.float64)
        return self._scales[name]

    def _rounded_anew(self, name: str, ratio: np.ndarray, axis: int) -> str:
        """Return stored integers (any shape) rounded for a scale that became 1 / ratio times larger."""
        value = self._constants[name]
        if ratio.ndim == 1 and ratio.size > 1:
            ratio = ratio.reshape([-1 if index == axis % value.ndim else 1 for index in range(value.ndim)])
        return self._add_constant(f"{name}_rounded", np.rint(value * ratio).astype(value.dtype))

    def _write(self) -> None:
        graph = self._graph
        used = {name for node in self._nodes for name in node.input} | self._outputs
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(self._nodes)
        from_array = self._onnx.numpy_helper.from_array
        graph.initializer.extend(from_array(value, name) for name, value in self._constants.items() if name in used)
