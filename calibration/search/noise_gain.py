"""Predicted output error of each layer in INT8: noise power through the linearised graph, without a run.

Each rounding adds noise whose power the ranges and the weights tell. What becomes of it on the way to the logits
follows from the weights behind: a convolution adds the squares of its weights, a Relu lets through what is active
(calibration.search.gain_rules). One walk from the output to the input gives that gain for every tensor and channel.

It is a forecast for putting layers in order, and right within a factor: channels are taken to be independent, and one
layer's noise small. Rounding is white noise; what a rounded weight or a clipped value adds follows the picture, and its
gain lies between those of white and of even noise. What is decided on is measured (calibration.search.estimates).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from calibration.onnx_graph.editable import EditableGraph
from calibration.onnx_graph.file import import_onnx
from calibration.onnx_graph.graph import OnnxGraph
from calibration.onnx_graph.node import WEIGHTED, group_of, weight_axis
from calibration.qdq.insert import REDUCED_WEIGHT_LEVELS
from calibration.qdq.placement import Placement
from calibration.qdq.quantization_config import QuantizationConfig
from calibration.qdq.weights import LARGEST_INTEGER, quantize_weight, weight_scales
from calibration.qdq_ort.integer_input import find_scaled_frame
from calibration.ranges.record import Ranges, TensorRange
from calibration.ranges.thresholds import STEPS, UNSIGNED_STEPS
from calibration.search.gain_rules import GainRules
from calibration.search.sensitivity import quantized_nodes


class NoiseGains:
    """Gains of all tensors of a graph: the noise power of the output for one unit of variance on one element.

    The power of the output is relative to that of the output itself, so that a gain times a variance times a number of
    elements is a squared relative error.

    Args:
        graph: float graph.
        ranges: ranges of its activations.
        output: name of the output.
        is_even: True for noise that is the same at all positions of a channel, False for white noise.
    """

    def __init__(self, graph: OnnxGraph, ranges: Ranges, output: str, is_even: bool) -> None:
        self._graph, self._rules = graph, GainRules(graph, ranges, is_even)
        shape = graph.static_shape_of(output) or (1, 1, 1, 1)
        power = max(float(self._rules.power(output).mean()), float(np.finfo(np.float32).tiny))
        self._tensors = {output: np.full((1,) * len(shape), 1.0 / (power * np.prod(shape, dtype=np.float64)))}
        self._reads: dict[tuple[str, int], np.ndarray] = {}
        for node in reversed(graph.nodes):
            for place, name in enumerate(node.output):
                if name in self._tensors:
                    self._add_inputs(node, place, self._tensors[name])

    def of_tensor(self, tensor: str) -> np.ndarray:
        """Return the gain of a tensor through all that read it, an array that broadcasts to it; 0 if nothing does."""
        return self._tensors.get(tensor, np.asarray(0.0))

    def of_read(self, node: str, index: int) -> np.ndarray:
        """Return the gain of the input of one node, through that node alone."""
        return self._reads.get((node, index), np.asarray(0.0))

    def _add_inputs(self, node: Any, place: int, gain: np.ndarray) -> None:
        for index, name in enumerate(node.input):
            if not name or name in self._graph.constants:
                continue
            part = self._rules.input_gain(node, index, gain, place)
            before = self._reads.get((node.name, index))
            self._reads[node.name, index] = part if before is None else before + part
            known = self._tensors.get(name)
            self._tensors[name] = part if known is None else known + part


def predicted_noise(
    model: Any,
    ranges: Ranges,
    config: QuantizationConfig,
    form: str,
    output: str | None = None,
    unsigned_levels: int = UNSIGNED_STEPS,
) -> dict[str, float]:
    """Predict the output error that each layer alone in INT8 would cause.

    Args:
        model: float graph (onnx.ModelProto); left as it is.
        ranges: ranges of its activations; best with the powers that ranges of this version have.
        config: quantisation config.
        form: form of the quantised graph, "tensorrt" or "onnxruntime".
        output: name of the output that counts; None for the first.
        unsigned_levels: largest level of unsigned activations, see calibration.qdq.insert.

    Returns:
        Name of a node, for all that quantized_nodes names first -> RMS of the change of the output over the RMS of the
        output.
    """
    copy = import_onnx().ModelProto()
    copy.CopyFrom(model)
    view = EditableGraph(copy, lenient=True)
    forecast = _Forecast(view, ranges, config, form, output or view.proto.output[0].name, unsigned_levels)
    return {name: forecast.error(name) for name in quantized_nodes(model, ranges, config, form)[0]}


class _Forecast:
    """Noise of the nodes of one graph."""

    def __init__(
        self,
        view: EditableGraph,
        ranges: Ranges,
        config: QuantizationConfig,
        form: str,
        output: str,
        unsigned_levels: int,
    ) -> None:
        self._view, self._ranges, self._config, self._form = view, ranges, config, form
        self._placement = Placement(view, ranges, config, form)
        self._white, self._even = (NoiseGains(view, ranges, output, is_even) for is_even in (False, True))
        saturates = form == "onnxruntime" and unsigned_levels < UNSIGNED_STEPS
        self._weight_levels = REDUCED_WEIGHT_LEVELS if saturates else LARGEST_INTEGER
        self._nodes = {node.name: node for node in view.nodes}
        scaled = find_scaled_frame(view) if form == "onnxruntime" else None
        # It reads the frame's own integers, which nothing rounds.
        self._reads_frame = scaled.convolution.name if scaled is not None else ""

    def error(self, name: str) -> float:
        """Return the predicted output error of a node."""
        node, power = self._nodes[name], 0.0
        for index, tensor in enumerate(node.input):
            if (name, index) in self._placement.reads and name != self._reads_frame:
                power += self._power_of_read(name, index, tensor)
        if node.op_type in WEIGHTED and self._placement.runs_in_int8(node):
            power += self._power_of_weight(node)
        return float(np.sqrt(power))

    def _power_of_read(self, name: str, index: int, tensor: str) -> float:
        source = self._placement.range_source(tensor)
        is_unsigned = self._form == "onnxruntime" and not self._ranges.tensors[source].is_signed
        steps = UNSIGNED_STEPS if is_unsigned else STEPS
        threshold = self._placement.threshold(tensor)
        seen = self._ranges.tensors.get(tensor, self._ranges.tensors[source])
        measured = None
        if source == tensor and self._config.method_of(tensor) in seen.square_errors:
            measured = seen.square_errors[self._config.method_of(tensor)][1 if is_unsigned else 0]
        white, following = rounding_noise(seen, threshold, steps, measured)
        gain = self._white.of_read(name, index)
        between = _between(gain, self._even.of_read(name, index))
        return self._total(gain, white, tensor) + self._total(between, following, tensor)

    def _power_of_weight(self, node: Any) -> float:
        axis, weight = weight_axis(node), self._view.value_of(node.input[1]).astype(np.float32)
        scales = weight_scales(weight, axis, self._config.weight_method, self._weight_levels)
        if node.op_type == "ConvTranspose":
            scales = np.full_like(scales, scales.max())  # as calibration.qdq.insert does
        integers = quantize_weight(weight, axis, scales, self._weight_levels)
        steps = np.expand_dims(scales, [place for place in range(weight.ndim) if place != axis])
        errors = integers * steps.astype(np.float64) - weight
        if node.op_type == "ConvTranspose":
            rows = errors.reshape(*errors.shape[:2], -1).transpose(1, 0, 2)  # (out, in, taps)
            rows = rows / np.sqrt(np.prod(self._strides(node)))
        else:
            rows = np.moveaxis(errors, axis, 0)
            rows = rows.reshape(*rows.shape[:2], -1)
        variances = self._weight_noise(rows, node)
        gain = _between(self._white.of_tensor(node.output[0]), self._even.of_tensor(node.output[0]))
        if node.op_type in ("Gemm", "MatMul"):
            return self._total(gain, variances, node.output[0])
        return self._total(gain, variances.reshape(1, -1, *[1] * (weight.ndim - 2)), node.output[0])

    def _weight_noise(self, rows: np.ndarray, node: Any) -> np.ndarray:
        """Return the variance that errors of weights cause on each output channel, (out,) float64.

        Args:
            rows: errors of the weight, (out, in / group, taps) float64.
            node: node of the weight.
        """
        seen = self._ranges.tensors[node.input[0]]
        channels = rows.shape[1] * (group_of(node) if node.op_type == "Conv" else 1)
        squares, means = seen.channel_mean_squares, seen.channel_means
        if squares is None or means is None or len(squares) != channels:
            power = seen.mean_square if seen.mean_square is not None else max(seen.maximum, -seen.minimum) ** 2 / 9.0
            return np.square(rows).sum(axis=(1, 2)) * power
        of_output = np.arange(len(rows)) * (channels // rows.shape[1]) // len(rows)  # group of each output channel
        places = of_output[:, None] * rows.shape[1] + np.arange(rows.shape[1])
        mean = np.asarray(means)[places]
        variance = np.maximum(np.asarray(squares)[places] - mean**2, 0.0)
        shift = (rows.sum(-1) * mean).sum(-1)
        if self._config.bias_correction:
            shift = np.zeros_like(shift)
        return shift**2 + (np.square(rows).sum(-1) * variance).sum(-1)

    def _strides(self, node: Any) -> list[int]:
        return next((list(item.ints) for item in node.attribute if item.name == "strides"), [1])

    def _total(self, gain: np.ndarray, variance: np.ndarray, tensor: str) -> float:
        """Return the noise power of a tensor whose elements have a variance each."""
        shape = self._view.static_shape_of(tensor)
        product = np.asarray(gain * variance)
        return float(product.mean() * (np.prod(shape, dtype=np.float64) if shape is not None else product.size))


def _between(white: np.ndarray, even: np.ndarray) -> np.ndarray:
    """Return the gain of noise that follows the picture: neither independent at each position nor the same at all."""
    return np.sqrt(white * even)


def rounding_noise(
    seen: TensorRange, threshold: float, steps: int, measured: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the variance of the error of rounding and clipping a tensor.

    Zeros are exact. A channel that is small beside a step is lost as a whole, and what is clipped belongs to the
    channels that reach beyond the threshold: both follow the picture.

    Args:
        seen: range of the tensor.
        threshold: largest magnitude that is represented.
        steps: number of steps from zero to the threshold.
        measured: mean squared error over all values if it is known; None to derive it from the step.

    Returns:
        Variance of the white part and of the part that follows the picture, (1, channels, 1, 1) float64 for a tensor
        whose channels were counted, () for others.
    """
    uniform = (threshold / steps) ** 2 / 12.0
    share = 1.0 - (seen.zero_share or 0.0)
    if measured is None:
        measured = uniform * share if seen.mean_square is None else min(uniform * share, seen.mean_square)
    if seen.channel_mean_squares is None or seen.channel_maxima is None:
        return np.asarray(measured), np.asarray(0.0)
    squares, maxima = np.asarray(seen.channel_mean_squares), np.asarray(seen.channel_maxima)
    is_lost = maxima < threshold / steps / 2.0
    rounded = np.minimum(uniform * share, squares)
    excess = measured - rounded.mean()
    following = np.where(is_lost, rounded, 0.0)
    if excess < 0.0:
        scale = measured / rounded.mean()
        rounded, following = rounded * scale, following * scale
    clipped = np.where(maxima > threshold, squares, 0.0)
    if excess > 0.0 and clipped.any():
        following = following + excess * clipped / clipped.mean()
    white = np.where(is_lost, 0.0, rounded)
    return white.reshape(1, -1, 1, 1), following.reshape(1, -1, 1, 1)
