"""Q/DQ insertion: a float graph and its ranges become an explicitly quantised graph.

Two forms, from the same ranges:

    tensorrt      symmetric int8 with zero point 0, as TensorRT 8.5 to 11 demands; Q/DQ in front of
                  weighted layers and on the residual input of an Add, and nowhere between a
                  convolution and its activation (TensorRT developer guide, "Explicit Quantization").
                  It is the form that is kept as model.int8.onnx.
    onnxruntime   the form that ONNX Runtime's CPU kernels run end to end: uint8 activations (zero
                  point 0 behind a ReLU, else 128), every stored activation quantised, int32 biases.

Weights are symmetric int8 per output channel in both.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from calibration.ranges import Ranges
from edge.errors import GraphError, InputError, MissingDependencyError

QDQ_GRAPH_FILE = "model.int8.onnx"

WEIGHTED = ("Conv", "Gemm")
"""Operators with a constant weight whose multiply-adds are worth INT8."""

STORED = (*WEIGHTED, "Add", "Relu", "Concat", "Resize", "MaxPool", "AveragePool", "GlobalAveragePool")
"""Operators that ONNX Runtime has on uint8 in the Q/DQ form."""

KEEPS_RANGE = ("Resize", "MaxPool", "Slice", "Reshape", "Transpose")
"""Operators whose output lies within the range of their input; they share one scale."""


@dataclass(frozen=True)
class QuantizedGraph:
    """A Q/DQ graph, and what share of the work is in INT8.

    Attributes:
        data: the ONNX file.
        int8_mac_share: share of multiply-adds whose operands are both quantised, 0 to 1.
    """

    data: bytes
    int8_mac_share: float


def import_onnx() -> Any:
    """Return the onnx module, or raise MissingDependencyError."""
    try:
        import onnx
    except ModuleNotFoundError:
        raise MissingDependencyError("onnx", "quantising a graph", "pip install onnx") from None
    return onnx


def load_graph(path: Path) -> Any:
    """Read an ONNX file.

    Returns:
        onnx.ModelProto.

    Raises:
        GraphError: the file is missing, truncated or no ONNX.
    """
    onnx = import_onnx()
    if not path.is_file():
        raise GraphError(f"graph not found: {path}")
    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf and onnx raise errors of several unrelated types here
        reason = " ".join(str(error).split())[:160]
        raise GraphError(f"{path} ({path.stat().st_size} bytes) is truncated or not ONNX: {reason}") from None
    return model


def quantize(model: Any, ranges: Ranges, method: str, form: str, unsigned_levels: int = 255) -> QuantizedGraph:
    """Insert Q/DQ pairs.

    Args:
        model: float graph (onnx.ModelProto); left as it is.
        ranges: of its activations.
        method: which thresholds, "min-max", "percentile" or "entropy".
        form: "tensorrt" or "onnxruntime".
        unsigned_levels: steps that a uint8 activation uses, 255, or 127 for CPUs whose 8-bit
            multiply-add saturates at 16 bits (x86 without VNNI).

    Raises:
        GraphError: the graph is quantised already.
        InputError: a range is missing, or the form is unknown.
    """
    onnx = import_onnx()
    if form not in ("tensorrt", "onnxruntime"):
        raise InputError(f"form is '{form}', expected tensorrt or onnxruntime")
    if any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in model.graph.node):
        raise GraphError("the graph has Q/DQ nodes already, expected a float graph")
    target = onnx.ModelProto()
    target.CopyFrom(model)
    writer = _Writer(onnx, target.graph, ranges, method, form, unsigned_levels)
    writer.run()
    onnx.checker.check_model(target)
    return QuantizedGraph(target.SerializeToString(deterministic=True), writer.int8_mac_share())


class _Writer:
    """One insertion: walks the graph once and rewrites it in place."""

    def __init__(self, onnx: Any, graph: Any, ranges: Ranges, method: str, form: str, unsigned_levels: int) -> None:
        self._onnx, self._graph, self._ranges, self._method, self._form = onnx, graph, ranges, method, form
        self._unsigned_levels = unsigned_levels
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._producers = {output: node for node in graph.node for output in node.output}
        self._readers: dict[str, list] = {}
        for node in graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)
        self._outputs = {value.name for value in graph.output}
        self._before: list = []  # Q/DQ nodes in front of the node at hand
        self._scales: dict[str, float] = {}
        self._dequantized: dict[str, str] = {}
        self._macs = multiply_adds(onnx, graph)
        self._int8_macs = 0

    def run(self) -> None:
        nodes = list(self._graph.node)
        wanted = self._tensorrt_tensors(nodes) if self._form == "tensorrt" else self._onnxruntime_tensors(nodes)
        rebuilt = []
        for node in nodes:
            self._before = []
            for index, name in enumerate(node.input):
                if (node.name, index) in wanted:
                    node.input[index] = self._quantized(name)
            if self._weight_of(node) is not None and node.input[0] in self._dequantized.values():
                self._quantize_weight(node)
                if self._runs_in_int8(node, wanted):
                    self._int8_macs += self._macs.get(node.output[0], 0)
            rebuilt.extend([*self._before, node])
        del self._graph.node[:]
        self._graph.node.extend(rebuilt)
        read = {name for node in self._graph.node for name in node.input}
        kept = [tensor for tensor in self._graph.initializer if tensor.name in read]
        del self._graph.initializer[:]
        self._graph.initializer.extend(kept)

    def int8_mac_share(self) -> float:
        total = sum(self._macs.values())
        return self._int8_macs / total if total else 0.0

    def _runs_in_int8(self, node: Any, wanted: set[tuple[str, int]]) -> bool:
        """Say whether a backend computes a weighted node with integers.

        TensorRT needs Q/DQ on its inputs alone. ONNX Runtime's kernel writes integers, so what it
        writes, or the Relu behind it, must be read through a Q/DQ pair too.
        """
        if self._form == "tensorrt":
            return True
        output = node.output[0]
        readers = self._readers.get(output, [])
        if [reader.op_type for reader in readers] == ["Relu"]:
            output = readers[0].output[0]
            readers = self._readers.get(output, [])
        # A reader that was rewritten already reads the dequantised tensor, a later one still the tensor itself.
        names = (output, f"{output}/dequantized")
        return any(
            (reader.name, index) in wanted
            for reader in readers
            for index, name in enumerate(reader.input)
            if name in names
        )

    def _is_weighted(self, tensor: str) -> bool:
        producer = self._producers.get(tensor)
        return producer is not None and self._weight_of(producer) is not None

    def _weight_of(self, node: Any) -> Any:
        return self._constants.get(node.input[1]) if node.op_type in WEIGHTED and len(node.input) > 1 else None

    def _tensorrt_tensors(self, nodes: list) -> set[tuple[str, int]]:
        """Return the (node, input) pairs that read a Q/DQ pair."""
        wanted = set()
        for node in nodes:
            if self._weight_of(node) is not None:
                wanted.add((node.name, 0))
            elif node.op_type == "Add" and not any(name in self._constants for name in node.input):
                residual = self._residual_input(node)
                if residual is not None:
                    wanted.add((node.name, residual))
        return wanted

    def _residual_input(self, node: Any) -> int | None:
        """Return the input of an Add that is not the convolution it is fused with; None if neither is one."""
        fused = [
            index
            for index, name in enumerate(node.input)
            if name in self._producers
            and self._producers[name].op_type == "Conv"
            and len(self._readers[name]) == 1
            and name not in self._outputs
        ]
        return 1 - fused[-1] if fused else None

    def _onnxruntime_tensors(self, nodes: list) -> set[tuple[str, int]]:
        """Return all reads of every tensor that a uint8 kernel stores or reads."""
        stored = set()
        for node in nodes:
            if node.op_type not in STORED or any(name in self._ranges.tensors for name in node.input) is False:
                continue
            if node.op_type in WEIGHTED and self._weight_of(node) is None:
                continue
            stored.update(name for name in node.input if name in self._ranges.tensors)
            stored.update(name for name in node.output if name in self._ranges.tensors)
        # The kernel of a convolution writes integers, whatever reads them.
        stored.update(node.output[0] for node in nodes if node.op_type == "Relu" and self._is_weighted(node.input[0]))
        stored &= set(self._ranges.tensors)
        stored -= self._outputs
        return {(node.name, index) for node in nodes for index, name in enumerate(node.input) if name in stored}

    def _scale(self, tensor: str) -> tuple[float, str]:
        """Return the scale of an activation and the kind of its integers."""
        source = tensor
        # Where a value only passes through, both ends share the scale of the start.
        while self._form == "onnxruntime":
            producer = self._producers.get(source)
            passes = producer is not None and producer.op_type in KEEPS_RANGE
            if not passes or producer.input[0] not in self._ranges.tensors:
                break
            source = producer.input[0]
        threshold = self._ranges.threshold(source, self._method)
        if self._form == "tensorrt":
            return threshold / 127.0, "int8"
        if self._ranges.tensors[source].is_signed:
            return threshold / 127.0, "uint8 middle"
        return threshold / self._unsigned_levels, "uint8 zero"

    def _quantized(self, tensor: str) -> str:
        """Return the name of a tensor behind its Q/DQ pair, which is made at the first call."""
        if tensor not in self._dequantized:
            scale, kind = self._scale(tensor)
            self._scales[tensor] = scale
            zero_point = {"int8": np.int8(0), "uint8 middle": np.uint8(128), "uint8 zero": np.uint8(0)}[kind]
            names = [self._add(f"{tensor}/scale", np.float32(scale)), self._add(f"{tensor}/zero_point", zero_point)]
            make = self._onnx.helper.make_node
            quantized, result = f"{tensor}/quantized", f"{tensor}/dequantized"
            self._before.append(make("QuantizeLinear", [tensor, *names], [quantized], name=f"{tensor}/QuantizeLinear"))
            self._before.append(
                make("DequantizeLinear", [quantized, *names], [result], name=f"{tensor}/DequantizeLinear")
            )
            self._dequantized[tensor] = result
        return self._dequantized[tensor]

    def _quantize_weight(self, node: Any) -> None:
        """Replace a float weight by int8 per output channel and its DequantizeLinear (and bias by int32)."""
        axis = self._weight_axis(node)
        weight = self._onnx.numpy_helper.to_array(self._constants[node.input[1]]).astype(np.float32)
        other = tuple(index for index in range(weight.ndim) if index != axis)
        largest = np.abs(weight).max(axis=other)
        # A channel without weights gets any scale; its products are zero.
        scales = np.where(largest > 0, largest / 127.0, 1.0).astype(np.float32)
        scales = np.maximum(scales, np.finfo(np.float32).tiny)
        shape = [1] * weight.ndim
        shape[axis] = -1
        integers = np.clip(np.rint(weight / scales.reshape(shape)), -127, 127).astype(np.int8)
        node.input[1] = self._dequantize_constant(f"{node.name}/weight", integers, scales, axis)
        has_bias = len(node.input) > 2 and node.input[2] in self._constants
        if self._form == "onnxruntime" and has_bias:
            tensor = next(name for name, result in self._dequantized.items() if result == node.input[0])
            bias = self._onnx.numpy_helper.to_array(self._constants[node.input[2]]).astype(np.float64)
            bias_scales = scales.astype(np.float64) * np.float32(self._scales[tensor])
            limit = float(np.iinfo(np.int32).max)
            bias_integers = np.clip(np.rint(bias / bias_scales), -limit, limit).astype(np.int32)
            node.input[2] = self._dequantize_constant(
                f"{node.name}/bias", bias_integers, bias_scales.astype(np.float32), 0
            )

    def _weight_axis(self, node: Any) -> int:
        if node.op_type == "Conv":
            return 0
        transposed = next((attribute.i for attribute in node.attribute if attribute.name == "transB"), 0)
        return 0 if transposed else 1

    def _dequantize_constant(self, name: str, integers: np.ndarray, scales: np.ndarray, axis: int) -> str:
        inputs = [
            self._add(f"{name}/integers", integers),
            self._add(f"{name}/scale", scales),
            self._add(f"{name}/zero_point", np.zeros(scales.shape, integers.dtype)),
        ]
        result = f"{name}/dequantized"
        self._before.append(
            self._onnx.helper.make_node(
                "DequantizeLinear", inputs, [result], name=f"{name}/DequantizeLinear", axis=axis
            )
        )
        return result

    def _add(self, name: str, value: Any) -> str:
        self._graph.initializer.append(self._onnx.numpy_helper.from_array(np.asarray(value), name))
        return name


def multiply_adds(onnx: Any, graph: Any) -> dict[str, int]:
    """Count the multiply-adds of each convolution and matrix product of a graph with static shapes.

    Args:
        onnx: the onnx module.
        graph: onnx.GraphProto.

    Returns:
        Output tensor of the node -> multiply-adds for one frame.
    """
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    inferred = onnx.shape_inference.infer_shapes(model).graph
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*inferred.value_info, *inferred.input, *inferred.output)
    }
    shapes.update({tensor.name: list(tensor.dims) for tensor in graph.initializer})
    counts = {}
    for node in graph.node:
        output = shapes.get(node.output[0], [])
        if node.op_type in ("Conv", "ConvTranspose"):
            weight = shapes[node.input[1]]
            spatial = output if node.op_type == "Conv" else shapes.get(node.input[0], [])
            counts[node.output[0]] = int(np.prod(spatial[2:]) * np.prod(weight) * output[0])
        elif node.op_type in ("MatMul", "Gemm") and output:
            counts[node.output[0]] = int(np.prod(output) * shapes[node.input[0]][-1])
    return counts
