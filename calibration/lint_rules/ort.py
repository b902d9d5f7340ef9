"""The linter's rules for ONNX Runtime's form alone: unsigned activations, int8 weights, int32 biases.

Sources, by the names that the rules use for them:

    ONNX Runtime    its documentation, "Quantize ONNX models" ("Data type selection"); its operator list (QLinearConv);
                    and the selectors of its optimiser (qdq_transformer/selectors_actions), which say what becomes an
                    integer kernel
    docs/int8.md    its section "Versions of ONNX Runtime": what each version from 1.19 to 1.32 made of small graphs
"""

from __future__ import annotations

import numpy as np

from calibration.lint_rules.graph import MOVING, Found, QdqGraph, first_not_zero, rule
from calibration.onnx_graph.node import WEIGHTED, input_of, interpolates, name_of

ONLY = ("onnxruntime",)

_BIAS_TOLERANCE = 1e-6
"""Relative; a product of two float32 numbers, rounded to float32, is off by 6e-8, and twice that if rounded between."""


@rule("error", "Put a QuantizeLinear in front, or store the constant as integers.", ONLY)
def dequantizer_reads_integers(graph: QdqGraph) -> Found:
    """What a DQ node reads begins at a Q node, an integer constant or an integer input, and was moved at most.

    A frame that comes in as uint8 needs no Q; Transpose, Reshape, Slice and Concat have integer kernels.

    Source: ONNX, DequantizeLinear (types of x); ONNX Runtime, its operator list.
    """
    for node in graph.of("DequantizeLinear"):
        for source in graph.integer_sources(node.input[0]):
            kind = graph.type_of(source) if source in graph.constants or source in graph.inputs else ""
            is_bias = kind == "INT32" and graph.is_bias_dequantizer(node)
            if not is_bias and kind not in ("INT8", "UINT8") and graph.producer(source, "QuantizeLinear") is None:
                yield (
                    name_of(node),
                    f"reads {source} ({kind or 'computed'}), expected a QuantizeLinear or int8 or uint8",
                )


@rule("error", "Read the DequantizeLinear of the pair instead.", ONLY)
def integers_are_only_moved(graph: QdqGraph) -> Found:
    """Between a Q node and its DQ nothing computes; what moves integers may stand there.

    Source: ONNX Runtime, selectors (an operator becomes an integer kernel between DQ and Q, not between Q and DQ).
    """
    for node in graph.of("QuantizeLinear"):
        waiting = [node.output[0]]
        while waiting:
            for reader, _ in graph.readers.get(waiting.pop(), ()):
                if reader.op_type in MOVING:
                    waiting.extend(reader.output)
                elif reader.op_type != "DequantizeLinear":
                    yield (
                        name_of(node),
                        f"is read by {reader.op_type} {name_of(reader)}, expected DequantizeLinear nodes",
                    )


@rule("warning", "Quantise the input too, or leave the weight in float.", ONLY)
def quantized_weight_has_quantized_input(graph: QdqGraph) -> Found:
    """A weight is quantised only where the input is; else the layer runs in float with rounded weights.

    Source: ONNX Runtime, selectors of Conv and MatMul (a DequantizeLinear on every input).
    """
    for node in graph.of(*WEIGHTED):
        if graph.weight_quantizers(node) and not graph.is_dequantized(node.input[0]):
            yield (
                name_of(node),
                f"has a quantised weight, but its input {node.input[0]} is float; expected both or neither",
            )


def _other_bias_scale(graph: QdqGraph) -> Found:
    """Yield the layers whose bias is counted in other steps than the products of input and weight."""
    for node in graph.of(*WEIGHTED):
        bias = graph.producer(input_of(node, 2), "DequantizeLinear")
        data = graph.producer(node.input[0], "DequantizeLinear")
        weight = graph.weight_quantizers(node)
        if bias is None or data is None or not weight:
            continue
        scales = [graph.scales(item) for item in (bias, data, weight[0])]
        if any(scale is None for scale in scales):
            continue
        product = scales[1] * scales[2]
        found = np.broadcast_to(scales[0], product.shape) if scales[0].size == 1 else scales[0]
        if found.shape != product.shape:
            yield name_of(node), f"its bias has {found.size} scales, expected {product.size}"
            continue
        wrong = np.flatnonzero(~np.isclose(found, product, rtol=_BIAS_TOLERANCE, atol=0))
        if wrong.size:
            at = int(wrong[0])
            yield name_of(node), f"scale {at} of its bias is {found[at]:g}, expected {product[at]:g} (input * weight)"


@rule("error", "Round the bias in steps of input scale times weight scale.", ONLY, before="1.27")
def bias_scale_is_the_product(graph: QdqGraph) -> Found:
    """The scale of an int32 bias is input scale times weight scale.

    Up to version 1.26 the integer kernel adds the bias to its sums and never looks at the scale, so another one changes
    the result. From 1.27 on such a layer runs in float (bias_scale_keeps_the_kernel).

    Source: ONNX Runtime, QLinearConv in its operator list (B: "quantized using scale = x_scale * w_scale");
    docs/int8.md, "Versions of ONNX Runtime".
    """
    yield from _other_bias_scale(graph)


@rule(
    "warning",
    "Round the bias in steps of input scale times weight scale.",
    ONLY,
    since="1.27",
    unknown_version=None,  # bias_scale_is_the_product says more
)
def bias_scale_keeps_the_kernel(graph: QdqGraph) -> Found:
    """The scale of an int32 bias is input scale times weight scale, or the layer runs in float from version 1.27 on.

    Source: docs/int8.md, "Versions of ONNX Runtime".
    """
    yield from _other_bias_scale(graph)


@rule("error", "Store the bias as int32 behind a DequantizeLinear with zero point 0.", ONLY)
def bias_is_int32(graph: QdqGraph) -> Found:
    """A bias behind a DQ node is int32 with zero point 0, as the integer kernels add it.

    Source: ONNX Runtime, QLinearConv in its operator list (B: int32, zero point 0).
    """
    for node in graph.of(*WEIGHTED):
        dequantize = graph.producer(input_of(node, 2), "DequantizeLinear")
        if dequantize is None:
            continue
        kind, zero_point = graph.constant_kind(dequantize.input[0]), graph.value_of(input_of(dequantize, 2))
        if kind != "INT32" or (zero_point is not None and zero_point.any()):
            yield name_of(node), f"its bias is {kind or 'computed'} or has a zero point, expected INT32 and 0"


@rule("warning", "Store the bias as int32 in steps of input scale times weight scale.", ONLY)
def bias_is_quantized_with_its_layer(graph: QdqGraph) -> Found:
    """A layer that is quantised has its bias quantised too, or what runs depends on version and session.

    With a float bias it runs in float in sessions of this project and up to version 1.21. From 1.22 on, the optimiser
    of other sessions rounds the bias by itself, and the layer runs on integers (WeightBiasQuantization, which
    edge.runtime.onnxruntime.open_session turns off).

    Source: ONNX Runtime, selector of Conv (the bias comes from a DequantizeLinear of int32); docs/int8.md, "Versions of
    ONNX Runtime".
    """
    for node in graph.of("Conv", "Gemm"):
        bias = input_of(node, 2)
        if bias and graph.is_quantized(node) and graph.producer(bias, "DequantizeLinear") is None:
            yield name_of(node), f"is quantised, but its bias {bias} is float; expected int32 behind a DequantizeLinear"


@rule(
    "error",
    "Give the pair behind it a scale of its own; the next larger float32 rounds to the same integers.",
    ONLY,
    before="1.27",
)
def interpolation_has_its_own_scale(graph: QdqGraph) -> Found:
    """The pairs on both sides of a Resize that interpolates differ in their scale.

    Where they do not, versions up to 1.26 interpolate the integers, and cut the result instead of rounding it: values
    are up to half a step too small on average, and "cubic" fails when it runs. From 1.27 on it runs in float in any
    case.

    Source: docs/int8.md, "Versions of ONNX Runtime"; calibration/qdq/placement.py.
    """
    for node in graph.of("Resize"):
        dequantize = graph.producer(node.input[0], "DequantizeLinear")
        quantize = graph.only_reader(node.output[0], "QuantizeLinear")
        if not interpolates(node) or dequantize is None or quantize is None:
            continue
        scale = graph.only_scale(dequantize)
        if scale is not None and scale == graph.only_scale(quantize):
            yield name_of(node), f"interpolates between two pairs of the scale {scale:g}, expected two scales"


@rule("warning", "Fold the Pad into the layer behind it, or pad before the values are quantised.", ONLY)
def pad_is_float(graph: QdqGraph) -> Found:
    """No Pad stands between two pairs: ONNX Runtime pads floats there, in all versions from 1.19 to 1.32.

    Source: docs/int8.md, "Versions of ONNX Runtime".
    """
    for node in graph.of("Pad"):
        if graph.producer(node.input[0], "DequantizeLinear") and graph.quantizing_readers(node.output[0]):
            yield name_of(node), "is a Pad between two pairs, which runs in float; expected none"


@rule("error", "Quantise activations as uint8 with zero point 0 (never negative) or 128.", ONLY)
def activation_is_unsigned(graph: QdqGraph) -> Found:
    """Activations are uint8 with zero point 0 or 128, the form whose labels the project's simulation vouches for.

    Source: ONNX Runtime, "Data type selection" (unsigned activations, signed weights are the fast kernels of x86);
    calibration/qdq/insert.py.
    """
    for node in graph.parameters(activations_only=True):
        kind, zero_point = graph.zero_point_kind(node) or "UINT8", graph.value_of(input_of(node, 2))
        values = np.zeros(1) if zero_point is None else zero_point
        if kind != "UINT8":
            yield name_of(node), f"zero point of an activation is {kind}, expected UINT8"
        elif not np.isin(values, (0, 128)).all():
            yield name_of(node), f"zero point of an activation is {first_not_zero(values)}, expected 0 or 128"


@rule("error", "Quantise weights symmetrically as int8.", ONLY)
def weight_is_symmetric_int8(graph: QdqGraph) -> Found:
    """Weights are int8 with zero point 0.

    Source: ONNX Runtime, "Data type selection"; calibration/qdq/insert.py.
    """
    for layer in graph.of(*WEIGHTED):
        for node in graph.weight_quantizers(layer):
            zero_point = graph.value_of(input_of(node, 2))
            kind = graph.zero_point_kind(node) or graph.constant_kind(node.input[0]) or "UINT8"
            if kind != "INT8":
                yield name_of(layer), f"its weight is {kind}, expected INT8"
            elif zero_point is not None and zero_point.any():
                yield name_of(layer), f"zero point of its weight is {first_not_zero(zero_point)}, expected 0"


ONNXRUNTIME_RULES = (
    dequantizer_reads_integers,
    integers_are_only_moved,
    quantized_weight_has_quantized_input,
    bias_scale_is_the_product,
    bias_scale_keeps_the_kernel,
    bias_is_int32,
    bias_is_quantized_with_its_layer,
    interpolation_has_its_own_scale,
    pad_is_float,
    activation_is_unsigned,
    weight_is_symmetric_int8,
)
