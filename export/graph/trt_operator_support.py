"""The support of TensorRT 8.5 for each ONNX operator: types and modes as tables, and rules for single nodes.

Sources: docs/operators.md of github.com/onnx/onnx-tensorrt, branch 8.5-GA ("the page" below; it is of
8.5.3, and the tag of 8.5.1 leaves out HardSwish, Mod and OneHot, whose importers that version has
too), and for what it does not say, builtin_op_importers.cpp and onnx2trt_utils.cpp there ("the
importer"). An operator in no table here is not supported.
"""

from __future__ import annotations

from typing import Iterator, Tuple

from calibration.onnx_graph.graph import OnnxGraph
from calibration.onnx_graph.node import attribute_of, has_attribute, input_of, name_of

HIGHEST_OPSET = 17
"""The highest that the parser of 8.5 reads (the page, first line)."""

_OPERATORS_OF_TYPES = {
    "BOOL": "And Not Or Xor",
    "FP32": "ConstantOfShape",
    "INT8": "DequantizeLinear",
    "FP32 FP16": (
        "Acos Acosh ArgMax ArgMin Asin Asinh Atan Atanh BatchNormalization Ceil Celu Cos Cosh CumSum Dropout Einsum "
        "Erf Exp Floor GRU GridSample ImageScaler InstanceNormalization LRN LSTM Log LogSoftmax LpNormalization "
        "MatMul MeanVarianceNormalization NonMaxSuppression NonZero Pow QuantizeLinear RNN RandomNormal "
        "RandomNormalLike RandomUniform RandomUniformLike Reciprocal ReduceL1 ReduceL2 ReduceLogSum "
        "ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Resize "
        "ReverseSequence RoiAlign Scan Sin Sinh Softmax Sqrt Tan TopK Upsample"
    ),
    "FP32 FP16 INT32": (
        "Abs Add DepthToSpace Div Equal Greater GreaterOrEqual IsNaN Less LessOrEqual Max Mean Min Mod Mul Neg "
        "Range Shrink SpaceToDepth Sub Sum"
    ),
    "FP32 FP16 INT8": (
        "Clip Conv ConvTranspose Elu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool HardSigmoid HardSwish "
        "LeakyRelu LpPool MaxPool PRelu ParametricSoftplus Relu Round ScaledTanh Selu Sigmoid Softplus Softsign "
        "Tanh ThresholdedRelu"
    ),
    "FP32 FP16 INT32 BOOL": "Expand EyeLike Flatten If Loop OneHot Split Tile Where",
    "FP32 FP16 INT8 INT32": "AveragePool Pad Scatter ScatterElements ScatterND Sign",
    "FP32 FP16 INT8 INT32 BOOL": (
        "Cast Concat Constant Gather GatherElements GatherND Identity Reshape Shape Size Slice Squeeze Transpose "
        "Trilu Unsqueeze"
    ),
}

OPERATORS = {
    operator: tuple(types.split()) for types, operators in _OPERATORS_OF_TYPES.items() for operator in operators.split()
}
"""Operator -> types of its data that TensorRT 8.5 takes."""

CONTROL_FLOW = ("If", "Loop", "Scan")

RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")

QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")

POOLS = ("AveragePool", "LpPool", "MaxPool")

RECURRENT = ("GRU", "LSTM", "RNN")

RESIZE_MODES = ("nearest", "linear")
"""Not cubic: the importer takes it, the page does not promise it."""

RESIZE_COORDINATES = ("half_pixel", "pytorch_half_pixel", "tf_half_pixel_for_nn", "asymmetric", "align_corners")

RESIZE_ROUNDINGS = ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")

PAD_MODES = ("constant", "reflect", "edge")

CONSTANT_INPUTS = {
    # Demanded by the page, and for ReduceSum by the importer.
    "CumSum": {1: "axis"},
    "ReduceSum": {1: "axes"},
    "Squeeze": {1: "axes"},
    "TopK": {1: "k"},
    "Unsqueeze": {1: "axes"},
    # Demanded for the axes alone there; the rest is what makes a shape depend on data.
    "Slice": {1: "starts", 2: "ends", 3: "axes", 4: "steps"},
    # Runs there as a shape tensor too, which no graph of static shapes needs.
    "Expand": {1: "shape"},
    "OneHot": {1: "depth"},
    "Pad": {1: "pads"},
    "Reshape": {1: "shape"},
    "Resize": {1: "roi", 2: "scales", 3: "sizes"},
    "Split": {1: "split"},
    "Tile": {1: "repeats"},
}
"""Operator -> {index of an input: its name} that decides shapes and has to be a constant."""

TYPES = {"FLOAT": "FP32", "FLOAT16": "FP16", "INT8": "INT8", "INT32": "INT32", "BOOL": "BOOL"}
"""Element types of ONNX that TensorRT 8.5 has, and the page's names for them."""

Found = Iterator[Tuple[str, str]]
"""What a rule yields: the name of a node or tensor, and a message."""


def shapes_come_from_constants(graph: OnnxGraph) -> Found:
    """What decides a shape is a constant, as the page wants of axes, and static shapes of the rest.

    The parser could run some of them as shape tensors; then sizes are computed anew for every frame.
    """
    for node in graph.of(*CONSTANT_INPUTS):
        for index, role in CONSTANT_INPUTS[node.op_type].items():
            name = input_of(node, index)
            if name and name not in graph.constants:
                yield name_of(node), f"{role} of {node.op_type} is computed ({name}), expected a constant"


def weights_are_constant(graph: OnnxGraph) -> Found:
    """Weights and biases of convolutions and of InstanceNormalization are constants, behind Q/DQ or not.

    The page demands it of the latter; computed ones of a convolution take another way through the
    parser (convMultiInput in the importer), and none of this project's networks has any.
    """
    for node in graph.of("Conv", "ConvTranspose", "InstanceNormalization"):
        for role, name in zip(("weight", "bias"), node.input[1:]):
            if name and not _is_constant(graph, name):
                yield name_of(node), f"{role} of {node.op_type} is computed ({name}), expected a constant"


def _is_constant(graph: OnnxGraph, tensor: str) -> bool:
    """Return whether a tensor is a constant, or one behind Q/DQ nodes."""
    while tensor in graph.producers and graph.producers[tensor].op_type in QUANTIZERS:
        tensor = graph.producers[tensor].input[0]
    return tensor in graph.constants


def resize_is_supported(graph: OnnxGraph) -> Found:
    """Resize has the page's modes, coordinates and roundings, and linear only on the last three axes (importer)."""
    for node in graph.of("Resize"):
        mode = attribute_of(node, "mode", "nearest")
        coordinates = attribute_of(node, "coordinate_transformation_mode", "half_pixel")
        rounding = attribute_of(node, "nearest_mode", "round_prefer_floor")
        # The importer takes no other rounding with these coordinates.
        roundings = ("round_prefer_floor",) if coordinates == "tf_half_pixel_for_nn" else RESIZE_ROUNDINGS
        for what, value, wanted in (
            ("mode", mode, RESIZE_MODES),
            ("coordinate_transformation_mode", coordinates, RESIZE_COORDINATES),
            ("nearest_mode", rounding, roundings),
        ):
            if value not in wanted:
                yield name_of(node), f"{what} of Resize is {value}, expected {' or '.join(wanted)}"
        before, after = graph.shapes.get(node.input[0], ()), graph.shapes.get(node.output[0], ())
        if mode == "linear" and before[:-3] != after[:-3]:
            yield name_of(node), f"linear Resize goes from {before} to {after}, expected changes on the last three axes"


def pooling_is_supported(graph: OnnxGraph) -> Found:
    """Pools are 2D or 3D and MaxPool gives no indices (the page); they have no dilations (importer)."""
    for node in graph.of(*POOLS):
        kernel, dilations = attribute_of(node, "kernel_shape", ()), attribute_of(node, "dilations", ())
        if any(node.output[1:]):
            yield name_of(node), f"{node.op_type} gives indices ({node.output[1]}), expected its values alone"
        if len(kernel) not in (2, 3):
            yield name_of(node), f"{node.op_type} is over {len(kernel)} axes, expected 2 or 3"
        if any(size != 1 for size in dilations):
            yield name_of(node), f"{node.op_type} has dilations {list(dilations)}, expected none"


def pad_mode_is_supported(graph: OnnxGraph) -> Found:
    """Pad fills, reflects or repeats the edge (importer)."""
    for node in graph.of("Pad"):
        mode = attribute_of(node, "mode", "constant")
        if mode not in PAD_MODES:
            yield name_of(node), f"mode of Pad is {mode}, expected {' or '.join(PAD_MODES)}"


def quantization_is_symmetric(graph: OnnxGraph) -> Found:
    """Q and DQ have int8 zero points of 0 (the page), which are given, and constant positive scales (importer).

    Scales per channel are for weights alone (a comment of the importer). A DequantizeLinear that
    reads int8 weights is fine here: export/graph/float_weights.py rewrites it before TensorRT 8 sees it.
    """
    for node in graph.of(*QUANTIZERS):
        scale, zero_point = (*node.input, "", "")[1:3]
        if zero_point not in graph.constants or scale not in graph.constants:
            yield name_of(node), f"{node.op_type} has no constant scale and zero point, expected both"
            continue
        kind, scales = graph.type_of(zero_point), graph.value_of(scale)
        if kind != "INT8" or graph.value_of(zero_point).any():
            yield name_of(node), f"the zero point of {node.op_type} is {kind} or not 0, expected INT8 and 0"
        if not (scales > 0).all():
            yield name_of(node), f"a scale of {node.op_type} is {scales.min()}, expected more than 0"
        if scales.size > 1 and not _is_constant(graph, node.input[0]):
            yield name_of(node), f"{node.op_type} has {scales.size} scales for an activation, expected 1"


def noise_has_no_seed(graph: OnnxGraph) -> Found:
    """Random numbers come from RandomUniform without a seed, which TensorRT would ignore (the page).

    It is the form that random_inputs.py turns into inputs, so that a parity check can give both sides the same.
    """
    for node in graph.of(*RANDOM):
        if node.op_type != "RandomUniform":
            yield name_of(node), f"{node.op_type} draws random numbers, expected RandomUniform"
        elif has_attribute(node, "seed"):
            yield name_of(node), "RandomUniform has a seed, which TensorRT ignores, expected none"


def training_is_over(graph: OnnxGraph) -> Found:
    """BatchNormalization and Dropout do what they do after the training (importer)."""
    for node in graph.of("BatchNormalization"):
        if attribute_of(node, "training_mode", 0):
            yield name_of(node), "BatchNormalization is in training mode, expected inference"
    for node in graph.of("Dropout"):
        mode = input_of(node, 2)
        if mode and (mode not in graph.constants or graph.value_of(mode).any()):
            yield name_of(node), "Dropout is in training mode, or that is computed, expected inference"


def instance_norm_is_of_images(graph: OnnxGraph) -> Found:
    """InstanceNormalization takes ranks 3 to 5 (the page)."""
    for node in graph.of("InstanceNormalization"):
        rank = len(graph.shapes.get(node.input[0], (0, 0, 0)))
        if not 3 <= rank <= 5:
            yield name_of(node), f"InstanceNormalization is of rank {rank}, expected 3 to 5"


def einsum_is_plain(graph: OnnxGraph) -> Found:
    """Einsum has small letters, no ellipsis, no diagonal and no broadcasting (the page and the importer)."""
    for node in graph.of("Einsum"):
        equation = attribute_of(node, "equation", "").replace(" ", "")
        terms = equation.split("->")[0].split(",")
        is_plain = set(equation) <= set("abcdefghijklmnopqrstuvwxyz,->") and all(len(set(t)) == len(t) for t in terms)
        sizes: dict[str, set] = {}
        for term, name in zip(terms, node.input):
            for letter, size in zip(term, graph.shape_of(name) or ()):
                sizes.setdefault(letter, set()).add(size)
        if not is_plain or any(len(found) > 1 for found in sizes.values()):
            yield name_of(node), f"Einsum is {equation}, expected no ellipsis, diagonal or broadcasting"


def both_directions_are_alike(graph: OnnxGraph) -> Found:
    """Bidirectional GRU, LSTM and RNN have the same activations both ways (the page)."""
    for node in graph.of(*RECURRENT):
        activations = attribute_of(node, "activations", ())
        half = len(activations) // 2
        if attribute_of(node, "direction", "forward") == "bidirectional" and activations[:half] != activations[half:]:
            yield name_of(node), f"activations of {node.op_type} are {activations}, expected the same both ways"


OPERATOR_RULES = (
    shapes_come_from_constants,
    weights_are_constant,
    resize_is_supported,
    pooling_is_supported,
    pad_mode_is_supported,
    quantization_is_symmetric,
    noise_has_no_seed,
    training_is_over,
    instance_norm_is_of_images,
    einsum_is_plain,
    both_directions_are_alike,
)
