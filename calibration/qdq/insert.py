"""Q/DQ insertion: a float graph and its ranges become an explicitly quantised graph.

Two forms, from the same ranges:

    tensorrt      symmetric int8 with zero point 0, as TensorRT 8.5 to 11 demands; Q/DQ in front of
                  weighted layers and on the residual input of an Add, and nowhere between a
                  convolution and its activation (TensorRT developer guide, "Explicit Quantization").
                  It is the form that is kept as model.int8.onnx.
    onnxruntime   the form that ONNX Runtime's CPU kernels run end to end: uint8 activations (zero
                  point 0 behind a ReLU, else 128), every stored activation quantised, int32 biases. The
                  modules of calibration/qdq_ort rewrite the graph for its kernels, one step each:
                  integer_input, stem_packing, pointwise_matmul and pooling_matmul.

Weights are symmetric int8 per output channel in both, of 127 steps on either side of zero, or of 63 for CPUs whose
sums saturate. calibration.qdq.placement decides where pairs are.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Mapping

import numpy as np

from calibration.onnx_graph.editable import EditableGraph
from calibration.onnx_graph.file import import_onnx
from calibration.onnx_graph.mac_count import count_macs
from calibration.onnx_graph.node import WEIGHTED, attribute_of, group_of, weight_axis
from calibration.qdq.bias_correction import bias_shift
from calibration.qdq.placement import Placement
from calibration.qdq.quantization_config import FLOAT, INT8, QuantizationConfig
from calibration.qdq.weight_reconstruction import fits, reconstruct_weight
from calibration.qdq.weights import LARGEST_INTEGER, quantize_weight, weight_scales
from calibration.qdq_ort.cpu_saturation import REDUCED_WEIGHT_LEVELS
from calibration.qdq_ort.integer_input import take_integer_input
from calibration.qdq_ort.pointwise_matmul import pointwise_as_matmul
from calibration.qdq_ort.pooling_matmul import pool_as_matmul
from calibration.qdq_ort.stem_packing import pack_stem_columns
from calibration.ranges.record import Ranges
from calibration.results import LayerReport
from edge.errors import GraphError, InputError

QDQ_GRAPH_FILE = "model.int8.onnx"
FORMS = ("tensorrt", "onnxruntime")

ALL_LEVELS = 255
"""Steps of a uint8."""

_BIAS_LIMIT = 2.0**30
"""Largest integer that a bias may become; int32 sums of products have to find room beside it."""


@dataclass(frozen=True)
class QuantizedGraph:
    """A Q/DQ graph, with the precision of its layers.

    Attributes:
        data: content of the ONNX file.
        layers: precision of every layer with multiply-adds, and the reason for it, in graph order.
    """

    data: bytes
    layers: tuple[LayerReport, ...]

    @property
    def int8_mac_share(self) -> float:
        """Share of multiply-adds whose operands are both quantised, 0 to 1."""
        total = sum(layer.multiply_adds for layer in self.layers)
        return sum(layer.multiply_adds for layer in self.layers if layer.precision == INT8) / total if total else 0.0


def quantize(
    model: Any,
    ranges: Ranges,
    config: QuantizationConfig,
    form: str,
    unsigned_levels: int = 255,
    moments: Mapping[str, np.ndarray] | None = None,
) -> QuantizedGraph:
    """Return a graph with Q/DQ pairs, made from a float graph and its ranges.

    Args:
        model: float graph (onnx.ModelProto); left as it is.
        ranges: ranges of the graph's activations.
        config: quantisation config: range methods, and the layers that stay in float.
        form: form of the quantised graph, "tensorrt" or "onnxruntime".
        unsigned_levels: largest uint8 that weights of 127 steps can be multiplied by and summed on the CPU: 255 (all),
            or fewer where its 8-bit multiply-add saturates at 16 bits (x86 without VNNI). In that case weights have
            REDUCED_WEIGHT_LEVELS steps and activations keep all 255.
        moments: name of a layer -> second moments of what it reads in this graph, as
            calibration.qdq.weight_reconstruction.second_moments returns them; None if the config rounds weights to the
            nearest. A layer without moments, or whose moments do not fit its weight, is rounded to the nearest.

    Raises:
        GraphError: the graph is quantised already.
        InputError: a range is missing, the form is unknown, the config names a layer that is not there, or it asks for
            reconstructed weights without moments.
    """
    view, ranges, placement = place_pairs(model, ranges, config, form)
    layers = _layers(view, placement)
    write_pairs(view, placement, ranges, config, form, unsigned_levels, moments)
    if form == "onnxruntime":
        pack_stem_columns(view)
        pointwise_as_matmul(view)
        pool_as_matmul(view)
    view.replace_nodes(
        node for node in view.nodes if node.op_type != "DequantizeLinear" or view.is_read(node.output[0])
    )
    view.drop_unread_constants()
    import_onnx().checker.check_model(view.model)
    return QuantizedGraph(view.model.SerializeToString(deterministic=True), layers)


def place_pairs(
    model: Any, ranges: Ranges, config: QuantizationConfig, form: str
) -> tuple[EditableGraph, Ranges, Placement]:
    """Decide where the Q/DQ pairs of a graph go, and write none of them yet.

    Args:
        model: float graph (onnx.ModelProto); left as it is.
        ranges: ranges of the graph's activations.
        config: quantisation config.
        form: form of the quantised graph, "tensorrt" or "onnxruntime".

    Returns:
        A copy of the graph, in which the first convolution reads the frame as integers if the form is that of ONNX
        Runtime and the graph allows it; the ranges of this copy; and the placement of its pairs.

    Raises:
        GraphError: the graph is quantised already.
        InputError: a range is missing, the form is unknown, or the config names a layer that is not there.
    """
    if form not in FORMS:
        raise InputError(f"form is '{form}', expected tensorrt or onnxruntime")
    if any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in model.graph.node):
        raise GraphError(
            "the graph has Q/DQ nodes already, expected a float graph. Next: give the float graph that it was made from"
        )
    target = import_onnx().ModelProto()
    target.CopyFrom(model)
    view = EditableGraph(target, lenient=True)
    unknown = sorted(set(config.float_layers) - {node.name for node in view.nodes})
    if unknown:
        raise InputError(f"no layer is named {', '.join(unknown[:3])}, so it cannot stay in float")
    placement = Placement(view, ranges, config, form)
    if form == "onnxruntime":
        tensors = take_integer_input(view, ranges.tensors, placement.runs_in_int8)
        if tensors is not None:
            ranges = dataclasses.replace(ranges, tensors=tensors)
            placement = Placement(view, ranges, config, form)
    return view, ranges, placement


def write_pairs(
    view: EditableGraph,
    placement: Placement,
    ranges: Ranges,
    config: QuantizationConfig,
    form: str,
    unsigned_levels: int = ALL_LEVELS,
    moments: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write the Q/DQ pairs and the rounded weights and biases into a graph, each node keeping its name.

    Args:
        view: graph that `place_pairs` returned; changed in place.
        placement: placement of its pairs.
        ranges: ranges of its activations.
        config: quantisation config.
        form: form of the quantised graph, "tensorrt" or "onnxruntime".
        unsigned_levels: largest level of unsigned activations, as for `quantize`.
        moments: second moments of the layers' inputs, as for `quantize`.

    Raises:
        InputError: the config asks for reconstructed weights without moments.
    """
    saturates = form == "onnxruntime" and unsigned_levels < ALL_LEVELS
    weight_levels = REDUCED_WEIGHT_LEVELS if saturates else LARGEST_INTEGER
    known_moments = {}
    if config.weight_rounding == "reconstructed":
        if moments is None:
            raise InputError(
                "the config has reconstructed weights and no second moments came with it, expected one of each layer. "
                'Next: collect them with second_moments, or round to the "nearest"'
            )
        known_moments = moments
    _Writer(view, placement, ranges, config, form, weight_levels, known_moments).run()


def _layers(view: EditableGraph, placement: Placement) -> tuple[LayerReport, ...]:
    counts = count_macs(view.model)
    return tuple(
        LayerReport(
            node.name,
            node.op_type,
            counts.get(node.output[0], 0),
            INT8 if placement.runs_in_int8(node) else FLOAT,
            placement.float_reasons.get(node.name, ""),
        )
        for node in view.nodes
        if node.op_type in WEIGHTED
    )


class _Writer:
    """One insertion: walks the graph once and rewrites it in place."""

    def __init__(
        self,
        view: EditableGraph,
        placement: Placement,
        ranges: Ranges,
        config: QuantizationConfig,
        form: str,
        weight_levels: int,
        moments: Mapping[str, np.ndarray],
    ) -> None:
        self._onnx, self._view, self._placement = import_onnx(), view, placement
        self._ranges, self._config, self._form, self._weight_levels = ranges, config, form, weight_levels
        self._moments = moments
        self._before: list = []  # Q/DQ nodes in front of the node at hand
        self._scales: dict[str, float] = {}
        self._dequantized: dict[str, str] = {}

    def run(self) -> None:
        rebuilt = []
        for node in self._view.nodes:
            self._before = []
            source = node.input[0] if node.input else ""
            for index, name in enumerate(node.input):
                if (node.name, index) in self._placement.reads:
                    node.input[index] = self._quantized(name)
            if node.op_type in WEIGHTED and self._placement.runs_in_int8(node):
                self._quantize_weight(node, source)
            rebuilt.extend([*self._before, node])
        self._view.replace_nodes(rebuilt)

    def _scale(self, tensor: str) -> tuple[float, str]:
        """Return the scale of an activation and the kind of its integers."""
        threshold = self._placement.threshold(tensor)
        if self._form == "tensorrt":
            return threshold / 127.0, "int8"
        is_signed = self._ranges.tensors[self._placement.range_source(tensor)].is_signed
        scale = np.float32(threshold / (127.0 if is_signed else ALL_LEVELS))
        for _ in range(self._placement.interpolations(tensor)):
            scale = np.nextafter(scale, np.float32(np.inf))
        return float(scale), "uint8 middle" if is_signed else "uint8 zero"

    def _quantized(self, tensor: str) -> str:
        """Return the name of a tensor behind its Q/DQ pair, which is made at the first call."""
        producer = self._view.producers.get(tensor)
        if producer is not None and producer.op_type == "DequantizeLinear":  # the frame is made of integers
            self._scales[tensor] = float(self._view.value_of(producer.input[1]))
            return tensor
        if tensor not in self._dequantized:
            scale, kind = self._scale(tensor)
            self._scales[tensor] = scale
            zero_point = {"int8": np.int8(0), "uint8 middle": np.uint8(128), "uint8 zero": np.uint8(0)}[kind]
            values = {"scale": np.float32(scale), "zero_point": zero_point}
            names = [self._view.add_constant(f"{tensor}/{what}", value) for what, value in values.items()]
            make = self._onnx.helper.make_node
            quantized, result = f"{tensor}/quantized", f"{tensor}/dequantized"
            self._before.append(make("QuantizeLinear", [tensor, *names], [quantized], name=f"{tensor}/QuantizeLinear"))
            self._before.append(
                make("DequantizeLinear", [quantized, *names], [result], name=f"{tensor}/DequantizeLinear")
            )
            self._dequantized[tensor] = result
        return self._dequantized[tensor]

    def _quantize_weight(self, node: Any, source: str) -> None:
        """Replace a float weight by int8 per output channel and its DequantizeLinear (and bias by int32)."""
        axis, weight = weight_axis(node), self._view.value_of(node.input[1]).astype(np.float32)
        bias = self._bias_of(node)
        try:
            scales = weight_scales(weight, axis, self._config.weight_method, self._weight_levels)
        except GraphError as error:  # weights know no names
            raise GraphError(f"{node.name}: {error}") from None
        if node.op_type == "ConvTranspose":
            # Which axis TensorRT takes scales of a deconvolution along differs between its versions
            # (github.com/NVIDIA/TensorRT, issues 1694 and 2380): with one value for all, no axis matters.
            scales = np.full_like(scales, scales.max())
        input_scale = float(np.float32(self._scales[source]))
        if self._form == "onnxruntime" and (bias is not None or self._config.bias_correction):
            # A channel of tiny weights beside a large bias would need more than 32 bits for it.
            largest = np.abs(bias) if bias is not None else 0.0
            scales = np.maximum(scales, largest / (input_scale * _BIAS_LIMIT))
            # And the scale of the bias, a product of two, has to stay a normal number.
            scales = np.maximum(scales, 2.0 * float(np.finfo(np.float32).tiny) / input_scale).astype(np.float32)
        integers = self._rounded(node, source, weight, scales)
        if self._config.bias_correction:
            bias = self._corrected_bias(node, source, weight, integers, scales, bias)
        node.input[1] = self._dequantize_constant(f"{node.name}/weight", integers, scales, axis)
        if bias is None:
            return
        if self._form == "onnxruntime":
            bias_scales = scales.astype(np.float64) * input_scale
            bias_integers = np.clip(np.rint(bias / bias_scales), -(2.0**31 - 1), 2.0**31 - 1).astype(np.int32)
            self._set_bias(
                node,
                self._dequantize_constant(f"{node.name}/bias", bias_integers, bias_scales.astype(np.float32), 0),
            )
        elif self._config.bias_correction:
            self._set_bias(node, self._view.add_constant(f"{node.name}/bias/corrected", bias.astype(np.float32)))

    def _rounded(self, node: Any, source: str, weight: np.ndarray, scales: np.ndarray) -> np.ndarray:
        """Return the integers of a weight, rounded as the config says."""
        axis, moments = weight_axis(node), self._moments.get(node.name)
        # The moments of the first convolution are those of the scaled frame, and not of its integers.
        reads_integers = self._view.producer(source, "DequantizeLinear") is not None
        if reads_integers or node.op_type == "ConvTranspose" or not fits(moments, weight, axis, group_of(node)):
            return quantize_weight(weight, axis, scales, self._weight_levels)
        return reconstruct_weight(weight, axis, scales, moments, group_of(node), self._weight_levels)

    def _bias_of(self, node: Any) -> np.ndarray | None:
        """Return the constant bias of a layer, (channels,) float64; None if it has none that is constant."""
        if node.op_type == "MatMul" or len(node.input) < 3 or node.input[2] not in self._view.constants:
            return None
        bias = self._view.value_of(node.input[2]).astype(np.float64)
        # A Gemm may add a matrix, or a number for all channels.
        return bias.reshape(-1) if bias.size == max(bias.shape, default=0) and bias.size > 1 else None

    def _corrected_bias(
        self,
        node: Any,
        source: str,
        weight: np.ndarray,
        integers: np.ndarray,
        scales: np.ndarray,
        bias: np.ndarray | None,
    ) -> np.ndarray | None:
        means = self._ranges.tensors[source].channel_means
        has_other_bias = len(node.input) > 2 and node.input[2] and bias is None
        if means is None or node.op_type == "MatMul" or has_other_bias or _is_scaled(node):
            return bias
        strides = tuple(attribute_of(node, "strides", ()))
        shift = bias_shift(
            weight, integers, scales, weight_axis(node), np.asarray(means), group_of(node), strides=strides
        )
        return shift if bias is None else bias + shift

    def _set_bias(self, node: Any, name: str) -> None:
        if len(node.input) > 2:
            node.input[2] = name
        else:
            node.input.append(name)

    def _dequantize_constant(self, name: str, integers: np.ndarray, scales: np.ndarray, axis: int) -> str:
        inputs = [
            self._view.add_constant(f"{name}/integers", integers),
            self._view.add_constant(f"{name}/scale", scales),
            self._view.add_constant(f"{name}/zero_point", np.zeros(scales.shape, integers.dtype)),
        ]
        result = f"{name}/dequantized"
        self._before.append(
            self._onnx.helper.make_node(
                "DequantizeLinear", inputs, [result], name=f"{name}/DequantizeLinear", axis=axis
            )
        )
        return result


def _is_scaled(node: Any) -> bool:
    """Return whether a Gemm has an alpha or beta other than 1."""
    return any(attribute_of(node, name, 1.0) != 1.0 for name in ("alpha", "beta"))
