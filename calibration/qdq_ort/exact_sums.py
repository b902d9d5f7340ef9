"""The arithmetic of ONNX Runtime's integer kernels, written with float operators that are exact: for simulations.

A simulation computes Q/DQ pairs as they stand: the convolution of dequantised values sums products of fractions, and
each sum is off by some 1e-7 of itself. Where a sum lies between two steps of the next rounding, it goes to the other
one than in the integer kernel; the layer behind sums what differs, and after twenty layers a tenth of the values differ
by a step or more, and 0.4 % of the labels (Fast-SCNN trained on CamVid, 512x1024, ONNX Runtime 1.32).

Integers have no such error: float32 holds every sum of products of uint8 and int8 below 2 ** 24 exactly, in whatever
order. So layers read integers here, values whose scale is 1, and their sums are multiplied by one number per output
channel and rounded, as the kernels do:

    Conv, Gemm, MatMul   sums * (scale_x * scale_w / scale_y), or sums * (scale_x * scale_w) where nothing is rounded
    Add                  a * (scale_a / scale_y) + (b * (scale_b / scale_y) + constant), rounded once after each plus

all in float32. What remains are sums above 2 ** 24, and an Add on processors without a fused multiply-add: a step,
seldom.

Source: ONNX Runtime, core/providers/cpu/quantization (output scales of QLinearConv, QGemm and QLinearMatMul) and
core/mlas/lib (MlasRequantizeOutput, MlasQLinearAdd).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from calibration.onnx_graph.editable import EditableGraph
from calibration.onnx_graph.file import import_onnx, parse_graph
from calibration.onnx_graph.node import attribute_of

_LAYERS = ("Conv", "Gemm", "MatMul")


def with_exact_sums(data: bytes) -> bytes:
    """Return a Q/DQ graph of ONNX Runtime's form whose simulation gives the integers of its kernels.

    Layers whose inputs are not all dequantised stay as they are, and so do those that no integer kernel computes: a
    convolution that nothing rounds, and a layer with a float bias, as TensorRT's form has them.

    Args:
        data: content of an ONNX file with Q/DQ pairs.

    Returns:
        Content of an ONNX file with the same inputs and outputs, and with inputs besides that need not be fed.

    Raises:
        GraphError: the graph cannot be read.
        MissingDependencyError: onnx is not installed.
    """
    model = parse_graph(data, "simulating a quantised graph")
    view = EditableGraph(model, lenient=True)
    if _Writer(view).run():
        view.drop_unread_constants()
        return model.SerializeToString(deterministic=True)
    return data


class _Writer:
    """Rewrites the layers and additions of one graph in place."""

    def __init__(self, view: EditableGraph) -> None:
        self._onnx, self._view = import_onnx(), view
        self._rebuilt: list = []
        self._integers: dict[tuple[str, bool], str] = {}
        self._factors: dict[str, tuple] = {}  # tensor that is to be rounded -> its layer, factor of each channel

    def run(self) -> int:
        """Rewrite what an integer kernel computes, and return the number of nodes that were rewritten."""
        count = 0
        for node in self._view.nodes:
            sources = [self._dequantizer(name) for name in node.input]
            if node.op_type in (*_LAYERS, "Add") and len(sources) > 1 and None not in sources:
                rewrite = self._add if node.op_type == "Add" else self._layer
                if rewrite(node, sources):
                    count += 1
                    continue
            if node.op_type == "QuantizeLinear" and node.input[0] in self._factors:
                # Here, behind a Relu, since that is part of the convolution's kernel.
                sums = node.input[0]
                node.input[0] = f"{sums}/scaled"
                self._scale(*self._factors[sums], sums, node.input[0])
            self._rebuilt.append(node)
        nodes = [node for node in self._rebuilt if node.op_type != "DequantizeLinear"]
        read = {name for node in nodes for name in node.input} | self._view.outputs
        self._view.replace_nodes(
            node for node in self._rebuilt if node.op_type != "DequantizeLinear" or node.output[0] in read
        )
        return count

    def _dequantizer(self, tensor: str) -> Any:
        """Return the DequantizeLinear with constant parameters that gives a tensor; None for other tensors."""
        node = self._view.producer(tensor, "DequantizeLinear")
        is_constant = node is not None and len(node.input) == 3 and set(node.input[1:]) <= self._view.constants.keys()
        return node if is_constant and self._view.value_of(node.input[1]).dtype == np.float32 else None

    def _quantizer(self, node: Any) -> Any:
        """Return the QuantizeLinear that alone reads the result of a node, or of its Relu; None for other readers."""
        stored = self._view.stored_output(node)
        quantize = self._view.only_reader(stored, "QuantizeLinear")
        is_constant = quantize is not None and set(quantize.input[1:]) <= self._view.constants.keys()
        if not is_constant or len(quantize.input) != 3 or self._view.value_of(quantize.input[1]).size != 1:
            return None
        # A Relu is part of the kernel where the rounding does its work, and only there.
        has_relu, zero = stored != node.output[0], self._view.value_of(quantize.input[2])
        return None if has_relu and zero.any() else quantize

    def _layer(self, node: Any, sources: list) -> bool:
        data, weight = (self._view.value_of(source.input[1]) for source in sources[:2])
        is_scaled = any(attribute_of(node, name, 1.0) != 1.0 for name in ("alpha", "beta"))
        quantize = self._quantizer(node)
        if data.size != 1 or is_scaled or weight.ndim > 1 or (node.op_type == "Conv" and quantize is None):
            return False
        scales = data.reshape(()) * weight
        if len(sources) > 2 and not self._is_in_steps_of(sources[2], scales):
            return False
        node.input[:] = [self._as_integers(source) for source in sources]
        self._rebuilt.append(node)
        if quantize is None:
            result, node.output[0] = node.output[0], f"{node.output[0]}/sums"
            self._scale(node, scales, node.output[0], result)
            return True
        self._factors[quantize.input[0]] = (node, scales / self._view.value_of(quantize.input[1]))
        self._store_integers(quantize)
        return True

    def _scale(self, node: Any, scales: np.ndarray, sums: str, result: str) -> None:
        """Multiply the sums of a node by a number per output channel."""
        factors = (scales.reshape((-1, 1, 1)) if node.op_type == "Conv" else scales).astype(np.float32)
        name = self._constant(f"{sums}/factors", factors)
        # An input that has a value. Of a constant, the optimiser would make part of the weights, whose sums were no
        # integers then, or a convolution of its own.
        self._view.proto.input.append(
            self._onnx.helper.make_tensor_value_info(name, self._onnx.TensorProto.FLOAT, factors.shape)
        )
        self._call("Mul", [sums, name], result)

    def _is_in_steps_of(self, bias: Any, scales: np.ndarray) -> bool:
        """Return whether the integers of a bias can be added to sums: int32 in steps of the products."""
        found, integers = self._view.value_of(bias.input[1]), self._view.value_of(bias.input[0])
        has_zero_point = bool(np.any(self._view.value_of(bias.input[2])))
        if integers is None or integers.dtype != np.int32 or has_zero_point:
            return False
        return bool(np.allclose(found, scales, rtol=1e-6, atol=0.0))

    def _add(self, node: Any, sources: list) -> bool:
        quantize = self._quantizer(node)
        scales = [self._view.value_of(source.input[1]) for source in sources]
        if quantize is None or any(scale.size != 1 for scale in scales):
            return False
        step, zero = (self._view.value_of(name) for name in quantize.input[1:])
        first, second = (np.float32(scale.reshape(()) / step.reshape(())) for scale in scales)
        zeros = [np.float32(self._view.value_of(source.input[2]).reshape(())) for source in sources]
        constant = np.float32(np.float32(zero) - np.float32(first * zeros[0] + second * zeros[1]))
        a, b = (self._as_integers(source, is_raw=True) for source in sources)
        result = node.output[0]
        rest = self._multiply_add(f"{result}/rest", b, second, self._constant(f"{result}/constant", constant))
        self._multiply_add(result, a, first, rest, node)
        self._store_integers(quantize, is_raw=True)
        return True

    def _multiply_add(self, result: str, value: str, factor: np.float32, summand: str, node: Any = None) -> str:
        """Compute value * factor + summand in float64, round it to float32 once, and return its name.

        Args:
            result: name of the sum.
            value: name of a float32 tensor.
            factor: number that the tensor is multiplied by.
            summand: name of the float32 tensor that is added.
            node: Add that takes the sum; None for a new one.
        """
        to_double = {"to": self._onnx.TensorProto.DOUBLE}
        wide, scaled, added, total = (f"{result}/{name}" for name in ("wide", "scaled", "added", "sum"))
        self._call("Cast", [value], wide, **to_double)
        self._call("Mul", [wide, self._constant(f"{result}/factor", np.float64(factor))], scaled)
        self._call("Cast", [summand], added, **to_double)
        if node is None:
            self._call("Add", [scaled, added], total)
        else:
            node.input[:], node.output[0] = [scaled, added], total
            self._rebuilt.append(node)
        self._call("Cast", [total], result, to=self._onnx.TensorProto.FLOAT)
        return result

    def _call(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self._rebuilt.append(
            self._onnx.helper.make_node(operator, inputs, [output], name=f"{output}/{operator}", **attributes)
        )

    def _constant(self, name: str, value: Any) -> str:
        return self._view.add_constant(name, np.asarray(value))

    def _store_integers(self, quantize: Any, is_raw: bool = False) -> None:
        """Let a QuantizeLinear round values that are counted in its steps already."""
        name, zero = quantize.output[0], self._view.value_of(quantize.input[2])
        quantize.input[1] = self._constant(f"{name}/one", np.ones_like(self._view.value_of(quantize.input[1])))
        if is_raw:
            quantize.input[2] = self._constant(f"{name}/none", np.zeros_like(zero))

    def _as_integers(self, dequantize: Any, is_raw: bool = False) -> str:
        """Return the name of the integers behind a DequantizeLinear as float32, less the zero point unless raw."""
        key = (dequantize.output[0], is_raw)
        if key not in self._integers:
            scale, zero = (self._view.value_of(name) for name in dequantize.input[1:])
            name = f"{dequantize.output[0]}/{'raw' if is_raw else 'integers'}"
            node = self._onnx.NodeProto()
            node.CopyFrom(dequantize)
            node.name, node.output[0] = f"{name}/DequantizeLinear", name
            node.input[1] = self._constant(f"{name}/one", np.ones_like(scale))
            if is_raw:
                node.input[2] = self._constant(f"{name}/none", np.zeros_like(zero))
            self._rebuilt.append(node)
            self._integers[key] = name
        return self._integers[key]
