"""The linter's rules about Q/DQ nodes and the layers that read them: types, scales, zero points, axes, biases.

calibration/lint_rules/trt_placement.py has the rules about the positions of pairs, and calibration/lint_rules/ort.py
those of ONNX Runtime's form alone.

Sources, by the names that the rules use for them:

    the guide       TensorRT 8.5 developer guide, chapter 7.4 "Explicit Quantization": 7.4.1 Quantized Weights, 7.4.2
                    ONNX Support, 7.4.3 TensorRT Processing of Q/DQ Networks, 7.4.4 Q/DQ Layer-Placement
                    Recommendations, 7.4.5 Q/DQ Limitations. From 10 on: "Working with Quantized Types"
    the reference   TensorRT operator reference, pages Quantize and Dequantize (of 8.6.1, which says what 8.5.3 leaves
                    open)
    the page        docs/operators.md of github.com/onnx/onnx-tensorrt, branch 8.5-GA
    the importer    builtin_op_importers.cpp there, QuantDequantLinearHelper for Q/DQ
"""

from __future__ import annotations

import numpy as np

from calibration.lint_rules.graph import BOTH, Found, QdqGraph, first_not_zero, rule
from calibration.onnx_graph.node import WEIGHTED, attribute_of, group_of, has_attribute, input_of, name_of

INTEGER_OPERATORS = (
    "QLinearConv",
    "QLinearMatMul",
    "ConvInteger",
    "MatMulInteger",
    "DynamicQuantizeLinear",
    "QGemm",
    "QLinearAdd",
    "QLinearMul",
    "QLinearConcat",
    "QLinearSigmoid",
    "QLinearAveragePool",
    "QLinearGlobalAveragePool",
)

_SMALLEST_SCALE = float(np.finfo(np.float32).tiny)


# Scales and zero points


@rule("error", "Store the scale as an initializer; run the exporter's constant folding if it is computed.", BOTH)
def scale_is_constant(graph: QdqGraph) -> Found:
    """The scale is known when the engine is built.

    Source: the reference, inputs ("must be a build-time constant").
    """
    for node in graph.parameters():
        if not graph.constant_kind(input_of(node, 1)):
            yield name_of(node), f"scale {input_of(node, 1)} is computed, expected a constant"


@rule(
    "error", "Collect the range of this tensor again; a tensor that is always zero may have any scale, such as 1.", BOTH
)
def scale_is_positive(graph: QdqGraph) -> Found:
    """Scales are above zero and finite; a subnormal one is zero on a GPU that flushes them.

    Source: the importer ("Scale coefficients must all be positive").
    """
    for node in graph.parameters():
        scales = graph.scales(node)
        if scales is None:
            continue
        wrong = scales[~(np.isfinite(scales) & (scales >= _SMALLEST_SCALE))]
        if wrong.size or not scales.size:
            what = (
                f"{wrong[0]:g}" + (f" (and {wrong.size - 1} more)" if wrong.size > 1 else "") if wrong.size else "empty"
            )
            yield name_of(node), f"scale is {what}, expected a finite number above {_SMALLEST_SCALE:.3g}"


def _other_scale_kind(graph: QdqGraph) -> Found:
    """Yield the first Q/DQ node whose scale is no float32, with the number of others, since tools store all alike."""
    found = [(node, graph.constant_kind(input_of(node, 1))) for node in graph.parameters()]
    other = [(node, kind) for node, kind in found if kind not in ("", "FLOAT")]
    if other:
        node, kind = other[0]
        others = f", and so are {len(other) - 1} others" if len(other) > 1 else ""
        yield name_of(node), f"scale is {kind}{others}; expected FLOAT"


@rule(
    "error",
    "Store the scales as float32 for TensorRT up to 8.6; later versions read them as they are (--target 9.0).",
    before="9.0",
    unknown_version="warning",
)
def scale_is_float32(graph: QdqGraph) -> Found:
    """Scales are float32: the importers of TensorRT 8.5 and 8.6 read them as such without looking at their type.

    From 9.0 on they may be float16 or bfloat16, as nvidia-modelopt writes them.

    Source: the reference, data types (T2); the importer (scaleVal), and the same in branches 8.6-GA and 9.0-GA.
    """
    yield from _other_scale_kind(graph)


@rule("warning", "Store the scales as float32, and the network in float32.", ("onnxruntime",))
def scale_fits_the_kernels(graph: QdqGraph) -> Found:
    """Scales are float32 for ONNX Runtime's integer kernels: with others, what stands between the pairs runs in float.

    Source: ONNX Runtime, QLinearConv in its operator list (x_scale: float32); docs/int8.md.
    """
    yield from _other_scale_kind(graph)


@rule("error", "Quantise symmetrically: int8 with a zero point of 0 that is written out.")
def zero_point_is_zero(graph: QdqGraph) -> Found:
    """Zero points are given, int8 and 0. Unsigned ones have a rule of their own, and so have biases.

    Source: the page (QuantizeLinear, DequantizeLinear: must be 0); the importer (three inputs, symmetric
    quantization alone). Without a zero point, ONNX means uint8.
    """
    for node in graph.parameters():
        kind, name = graph.zero_point_kind(node), input_of(node, 2)
        if not name:
            yield name_of(node), "has no zero point, expected an int8 zero point of 0"
        elif not kind:
            yield name_of(node), f"zero point {name} is computed, expected a constant 0"
        elif kind not in ("INT8", "UINT8") and not graph.is_bias_dequantizer(node):
            yield name_of(node), f"zero point is {kind}, expected INT8"
        elif kind == "INT8" and graph.value_of(name).any():
            yield name_of(node), f"zero point is {first_not_zero(graph.value_of(name))}, expected 0"


@rule(
    "error",
    'This is the form of ONNX Runtime: check it with --form onnxruntime, or quantise for form "tensorrt".',
)
def integers_are_signed(graph: QdqGraph) -> Found:
    """Nothing is uint8. Said once: a graph for ONNX Runtime has it everywhere.

    Source: the importer (its first check); the guide, 7.4.3 (Q gives INT8).
    """
    unsigned = [node for node in graph.quantizers() if graph.zero_point_kind(node) == "UINT8"]
    if unsigned:
        yield name_of(unsigned[0]), f"is uint8, and so are {len(unsigned) - 1} other Q/DQ nodes; expected int8"


@rule("error", "Give the zero point the shape of the scale.", BOTH)
def zero_point_has_the_shape_of_the_scale(graph: QdqGraph) -> Found:
    """There are as many zero points as scales.

    Source: the importer ("The scale and zero-point must have the same size"); ONNX, QuantizeLinear.
    """
    for node in graph.parameters():
        scales, zero_point = graph.scales(node), graph.value_of(input_of(node, 2))
        if scales is not None and zero_point is not None and scales.size != zero_point.size:
            yield name_of(node), f"has {zero_point.size} zero points and {scales.size} scales, expected as many"


@rule("error", "Quantise activations per tensor; scales per channel are for weights.", BOTH)
def activation_has_one_scale(graph: QdqGraph) -> Found:
    """An activation is quantised per tensor.

    Source: the guide, 7.4.4 (per-tensor for activations, per-channel for weights); the importer
    ("Activations-quantization does not support per-axis quantization").
    """
    for node in graph.parameters(activations_only=True):
        scales = graph.scales(node)
        if scales is not None and scales.size > 1:
            yield name_of(node), f"has {scales.size} scales for an activation, expected 1"


# Pairs


@rule("error", "Put a QuantizeLinear in front, or store the weight as int8.")
def dequantizer_reads_quantized_values(graph: QdqGraph) -> Found:
    """A DQ node reads a Q node or an integer constant, and not integers that are computed or come in.

    Source: the guide, 7.4.2 (graphs with INT8 tensors or quantised operators are not supported).
    """
    for node in graph.of("DequantizeLinear"):
        kind = graph.constant_kind(node.input[0])
        if kind in ("INT8", "UINT8") or (kind == "INT32" and graph.is_bias_dequantizer(node)):
            continue
        if kind or graph.producer(node.input[0], "QuantizeLinear") is None:
            what = (
                f"the constant {node.input[0]} of {kind}" if kind else f"{node.input[0]}, which no QuantizeLinear gives"
            )
            yield name_of(node), f"reads {what}, expected a QuantizeLinear or int8 weights"


@rule("error", "Read the DequantizeLinear of the pair instead; TensorRT makes integers of what can run on them.")
def quantizer_is_read_by_dequantizers(graph: QdqGraph) -> Found:
    """Nothing but a DQ node reads what a Q node gives. An output of the graph is the matter of another rule.

    Source: the guide, 7.4.2 and 7.4.3 (Q/DQ layers in pairs at the inputs of what is quantised).
    """
    for node in graph.of("QuantizeLinear"):
        others = [reader for reader, _ in graph.readers.get(node.output[0], ()) if reader.op_type != "DequantizeLinear"]
        if others:
            what = f"{others[0].op_type} {name_of(others[0])}"
            yield name_of(node), f"is read by {what}, expected DequantizeLinear nodes alone"


@rule("error", "Give both nodes of the pair the same scale, zero point and axis.", BOTH)
def pair_has_one_scale(graph: QdqGraph) -> Found:
    """Both nodes of a pair have the same parameters, or values come out scaled.

    A weight may have a Q with scale 1 in front of its DQ: so the guide passes weights that are integers already.

    Source: the guide, 7.4.3; 7.4.1 (prequantised weights).
    """
    for quantize, dequantize in graph.pairs():
        first, second = graph.scales(quantize), graph.scales(dequantize)
        if first is None or second is None:
            continue
        is_prequantized = bool(graph.constant_root(quantize.input[0])) and (first == 1).all()
        if not is_prequantized and not np.array_equal(first, second):
            at = int(np.argmax(first != second)) if first.shape == second.shape else 0
            yield (
                name_of(dequantize),
                f"has scale {second[at]:g} and {name_of(quantize)} has {first[at]:g}, expected one",
            )
            continue
        zeros = [graph.value_of(input_of(node, 2)) for node in (quantize, dequantize)]
        if all(zero is not None for zero in zeros) and not np.array_equal(*zeros):
            yield name_of(dequantize), f"and {name_of(quantize)} have different zero points, expected one"
        elif first.size > 1 and attribute_of(quantize, "axis", 1) != attribute_of(dequantize, "axis", 1):
            yield name_of(dequantize), f"and {name_of(quantize)} have different axes, expected one"


@rule("error", "Quantise the float graph into Q/DQ form instead (onnxruntime.quantization: QuantFormat.QDQ).")
def operators_are_float(graph: QdqGraph) -> Found:
    """No operator is an integer one; TensorRT makes those itself, of float operators between Q/DQ.

    Source: the guide, 7.4.2 (QLinearConv, QLinearMatmul, ConvInteger, MatmulInteger); the page (N).
    """
    for node in graph.of(*INTEGER_OPERATORS):
        yield name_of(node), f"is {node.op_type}, expected a float operator between Q/DQ nodes"


@rule("warning", "Export the network without control flow.", BOTH)
def control_flow_is_absent(graph: QdqGraph) -> Found:
    """Bodies of If, Loop and Scan are not looked into by these rules."""
    for node in graph.of("If", "Loop", "Scan"):
        yield name_of(node), f"is {node.op_type}, whose body these rules do not check"


# Weights


@rule("error", "Quantise the other input too, or take the pair away and leave the layer in float.")
def layer_is_quantized_whole(graph: QdqGraph) -> Found:
    """Input and weight of a layer are both dequantised, or neither is.

    Source: the guide, 7.4.4 (quantise all inputs of weighted operations) and 7.4.3 (a Q/DQ pair on every input).
    """
    for node in graph.of(*WEIGHTED):
        weight_direct = bool(graph.weight_quantizers(node)) or _behind_pair(graph, node.input[1])
        input_direct = _behind_pair(graph, node.input[0])
        if weight_direct and not graph.is_dequantized(node.input[0]):
            yield (
                name_of(node),
                f"has a quantised weight, but its input {node.input[0]} is float; expected both or neither",
            )
        elif input_direct and not weight_direct and not graph.is_dequantized(node.input[1]):
            yield (
                name_of(node),
                f"has a quantised input, but its weight {node.input[1]} is float; expected both or neither",
            )


@rule(
    "error", "Count the scales along the output channels: axis 0 of Conv, 1 of ConvTranspose, by transB of Gemm.", BOTH
)
def weight_axis_counts_output_channels(graph: QdqGraph) -> Found:
    """The scales of a weight run along its output channels, of which there are as many.

    Conv and Gemm with transB: axis 0; ConvTranspose and Gemm without: axis 1; MatMul: the last. A
    Transpose between the DQ node and the layer is followed.

    Source: the guide, 7.4.2 (the note on Gemm of PyTorch and TensorFlow); the importer (KCRS, "The number
    of scales is not equal to the number of output channels").
    """
    for layer in graph.of(*WEIGHTED):
        for node in graph.weight_quantizers(layer):
            scales = graph.scales(node)
            if scales is None or scales.size <= 1:
                continue
            sizes, axis = graph.weight_layout(layer)
            given = attribute_of(node, "axis", 1)
            given += len(sizes) if given < 0 else 0
            if given != axis:
                yield name_of(layer), f"scales of its weight {sizes} are along axis {given}, expected {axis}"
            elif scales.size != sizes[axis]:
                yield name_of(layer), f"its weight {sizes} has {scales.size} scales, expected {sizes[axis]}"


@rule("error", "Write the axis attribute out.")
def axis_is_given(graph: QdqGraph) -> Found:
    """A node with several scales has an axis: without it ONNX means 1, and the importer of 8.5 takes 0.

    Source: the importer ("Set it to the rank of the input tensor if not provided", then 0 for scales per channel).
    """
    for node in graph.quantizers():
        scales = graph.scales(node)
        if scales is not None and scales.size > 1 and not has_attribute(node, "axis"):
            yield name_of(node), f"has {scales.size} scales and no axis, which ONNX reads as 1 and TensorRT 8.5 as 0"


@rule("warning", "Give the weight one scale for each output channel.", BOTH)
def weight_has_a_scale_per_channel(graph: QdqGraph) -> Found:
    """Weights are quantised per output channel. A ConvTranspose in groups has no such axis and is left out.

    Source: the guide, 7.4.4 (per-channel for weights gives the best accuracy).
    """
    for layer in graph.of(*WEIGHTED):
        quantizers = graph.weight_quantizers(layer)
        if not quantizers or graph.only_scale(quantizers[0]) is None:
            continue
        sizes, axis = graph.weight_layout(layer)
        is_grouped = layer.op_type == "ConvTranspose" and group_of(layer) != 1
        if sizes and sizes[axis] > 1 and not is_grouped:
            yield name_of(layer), f"its weight {sizes} has one scale, expected {sizes[axis]}"


# Biases


@rule("error", "Store the bias as float32; TensorRT makes integers of it itself.")
def bias_is_float(graph: QdqGraph) -> Found:
    """A bias is a float constant, and not behind a DQ node: TensorRT has no int32 there.

    Source: the importer of Conv (a bias that is a tensor is none of weights, convMultiInput); the page
    (DequantizeLinear: INT8).
    """
    for node in graph.of(*WEIGHTED):
        dequantize = graph.producer(input_of(node, 2), "DequantizeLinear")
        if dequantize is not None:
            yield name_of(node), f"its bias comes from {name_of(dequantize)}, expected a float constant"


NODE_RULES = (
    scale_is_constant,
    scale_is_positive,
    scale_is_float32,
    scale_fits_the_kernels,
    zero_point_is_zero,
    integers_are_signed,
    zero_point_has_the_shape_of_the_scale,
    activation_has_one_scale,
    dequantizer_reads_quantized_values,
    quantizer_is_read_by_dequantizers,
    pair_has_one_scale,
    operators_are_float,
    control_flow_is_absent,
    layer_is_quantized_whole,
    weight_axis_counts_output_channels,
    axis_is_given,
    weight_has_a_scale_per_channel,
    bias_is_float,
)


def _behind_pair(graph: QdqGraph, tensor: str) -> bool:
    return graph.producer(tensor, "DequantizeLinear") is not None
