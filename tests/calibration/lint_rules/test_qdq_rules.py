"""Each rule of the linter finds the graph that breaks it, names the node, and is silent on the graph that keeps it."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper, shape_inference

from calibration.lint_rules.linter import RULES, lint
from edge.errors import InputError
from tests.calibration import graph_drawing as drawing

FLOAT, INT8 = TensorProto.FLOAT, TensorProto.INT8
CHANNELS = 4
MIDDLE = np.uint8(128)
SHAPE = (1, CHANNELS, 6, 6)


class Draft:
    """A small quantised graph in the making; it reads x (1, 4, 6, 6) float32."""

    def __init__(self, form="tensorrt"):
        self.form, self.nodes, self.constants = form, [], {}
        self.inputs = {"x": (SHAPE, FLOAT)}

    def add(self, kind, inputs, output, **attributes):
        self.nodes.append(drawing.node(kind, inputs, output, **attributes))
        return output

    def constant(self, name, value):
        self.constants[name] = np.asarray(value)
        return name

    def pair(self, tensor, scale=0.1, name=None, zero=None, dq_scale=None, dq_zero=None, **attributes):
        """Add NAME_q and NAME_dq behind a tensor; Q and DQ read the same constants if nothing else is asked for."""
        name = name or tensor
        zero = np.full(np.shape(scale), 0, np.int8 if self.form == "tensorrt" else np.uint8) if zero is None else zero
        names = [self.constant(f"{name}_s", np.float32(scale)), self.constant(f"{name}_z", zero)]
        second = list(names)
        if dq_scale is not None:
            second[0] = self.constant(f"{name}_dq_s", np.float32(dq_scale))
        if dq_zero is not None:
            second[1] = self.constant(f"{name}_dq_z", dq_zero)
        self.add("QuantizeLinear", [tensor, *names], f"{name}_q", **attributes)
        return self.add("DequantizeLinear", [f"{name}_q", *second], f"{name}_dq", **attributes)

    def integers(self, name, shape, scales=None, axis=0, stored=np.int8, zero=None):
        """Add the DequantizeLinear NAME_dq of an integer constant, by default with one scale a channel."""
        scales = np.full(shape[axis], 0.02, np.float32) if scales is None else np.float32(scales)
        zero = np.zeros(scales.shape, stored) if zero is None else np.asarray(zero, stored)
        names = [
            self.constant(name, np.arange(np.prod(shape)).reshape(shape).astype(stored) % 100),
            self.constant(f"{name}_s", scales),
            self.constant(f"{name}_z", zero),
        ]
        attributes = {} if axis is None else {"axis": axis}
        return self.add("DequantizeLinear", names, f"{name}_dq", **attributes)

    def conv(self, tensor, output, kind="Conv", bias=None, **weight):
        """Add a quantised 1x1 convolution of what its caller has dequantised."""
        kernel = self.integers(f"{output}_w", (CHANNELS, CHANNELS, 1, 1), **weight)
        return self.add(kind, [tensor, kernel, *([bias] if bias else [])], output)

    def model(self, *outputs, check=True):
        """Return the ModelProto; check=False for one whose types onnx would refuse."""
        outputs = outputs or (self.nodes[-1].output[0],)
        describe = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "test",
            [describe(name, kind, shape) for name, (shape, kind) in self.inputs.items()],
            [describe(name, FLOAT, None) for name in outputs],
            [numpy_helper.from_array(value, name) for name, value in self.constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        if not check:
            return model
        inferred = shape_inference.infer_shapes(model, strict_mode=True).graph.output
        shapes = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in inferred}
        described = {name: (shapes[name], FLOAT) for name in outputs}
        return drawing.make_model(self.nodes, self.constants, self.inputs, described)


CASES = []


def case(rule, node, severity="error", form="tensorrt", text=""):
    """Register draw(draft, broken) -> model, with what is to be found in it if it is broken."""

    def register(draw):
        CASES.append(pytest.param(draw, rule, node, severity, form, text, id=f"{rule}:{draw.__name__}"))
        return draw

    return register


# Scales and zero points


@case("scale-is-constant", "x_q")
def scale_that_is_computed(draft, broken):
    draft.conv(draft.pair("x"), "y")
    if broken:
        draft.nodes[0].input[1] = "computed"
        draft.nodes.insert(0, drawing.node("Abs", ["x_s"], "computed"))
    return draft.model("y")


def with_scale(draft, broken, scale):
    draft.conv(draft.pair("x", scale if broken else 0.1), "y")
    return draft.model()


for value in (0.0, -0.1, np.nan, np.inf, 2.0**-130):

    @case("scale-is-positive", "x_q", text=f"scale is {value:g},")
    def scale_of_an_activation(draft, broken, value=value):
        return with_scale(draft, broken, value)


@case("scale-is-positive", "y_w_dq", text="scale is 0 (and 1 more)")
def scales_of_a_weight(draft, broken):
    draft.conv(draft.pair("x"), "y", scales=[0.1, 0, 0, 0.1] if broken else None)
    return draft.model()


@case("scale-is-float32", "x_q", "warning", text="FLOAT16")
@case("scale-fits-the-kernels", "x_q", "warning", "onnxruntime", text="FLOAT16")
def scale_in_half_precision(draft, broken):
    draft.conv(draft.pair("x"), "y")
    if broken:
        draft.constant("x_s", np.float16(0.1))
    return draft.model(check=not broken)


@case("zero-point-is-zero", "x_q", text="zero point is 3, expected 0")
def zero_point_of_three(draft, broken):
    draft.conv(draft.pair("x", zero=np.int8(3 if broken else 0)), "y")
    return draft.model()


@case("zero-point-is-zero", "y_w_dq", text="no zero point")
def zero_point_that_is_missing(draft, broken):
    draft.conv(draft.pair("x"), "y")
    if broken:
        del draft.nodes[2].input[2]
    return draft.model()


@case("zero-point-is-zero", "x_q", text="computed")
def zero_point_that_is_computed(draft, broken):
    draft.conv(draft.pair("x"), "y")
    if broken:
        draft.nodes[0].input[2] = "computed"
        draft.nodes.insert(0, drawing.node("Abs", ["x_z"], "computed"))
    return draft.model("y")


@case("zero-point-is-zero", "x_q", text="zero point is INT16")
def zero_point_of_16_bits(draft, broken):
    draft.conv(draft.pair("x", zero=np.int16(0) if broken else None), "y")
    return draft.model(check=not broken)


@case("integers-are-signed", "x_q", text="uint8, and so are 1 other")
def unsigned_activation(draft, broken):
    draft.conv(draft.pair("x", zero=np.uint8(0) if broken else None), "y")
    return draft.model()


@case("zero-point-has-the-shape-of-the-scale", "y_w_dq", text="1 zero points and 4 scales")
def single_zero_point(draft, broken):
    draft.conv(draft.pair("x"), "y", zero=0 if broken else None)
    return draft.model(check=not broken)


@case("activation-has-one-scale", "x_q", text="4 scales")
def activation_per_channel(draft, broken):
    draft.conv(draft.pair("x", [0.1] * CHANNELS, axis=1) if broken else draft.pair("x"), "y")
    return draft.model()


# Pairs


@case("dequantizer-reads-quantized-values", "y_w2_dq", text="no QuantizeLinear gives")
def integers_from_outside(draft, broken):
    draft.inputs["integers"] = (SHAPE, INT8)
    source = draft.pair("x")
    if broken:
        names = [draft.constant("s", np.float32(0.1)), draft.constant("z", np.int8(0))]
        source = draft.add("DequantizeLinear", ["integers", *names], "y_w2_dq")
    draft.conv(source, "y")
    return draft.model()


@case("dequantizer-reads-quantized-values", "y_w2_dq", text="INT32")
def large_integers(draft, broken):
    stored = np.int32 if broken else np.int8
    draft.conv(draft.pair("x"), "c")
    draft.add("Mul", ["c", draft.integers("y_w2", (1, CHANNELS, 1, 1), scales=0.1, axis=1, stored=stored)], "y")
    return draft.model()


@case("quantizer-is-read-by-dequantizers", "x_q", text="MaxPool pooled")
def integers_that_are_pooled(draft, broken):
    draft.conv(draft.pair("x"), "y")
    if broken:
        draft.add("MaxPool", ["x_q"], "pooled", kernel_shape=[2, 2])
        draft.add("Cast", ["pooled"], "z", to=FLOAT)
    return draft.model("y", *(["z"] if broken else []))


@case("pair-has-one-scale", "x_dq", text="scale 0.2 and x_q has 0.1")
def pair_of_two_scales(draft, broken):
    draft.conv(draft.pair("x", dq_scale=0.2 if broken else None), "y")
    return draft.model()


@case("pair-has-one-scale", "x_dq", text="zero points")
def pair_of_two_zero_points(draft, broken):
    draft.conv(draft.pair("x", dq_zero=np.int8(1) if broken else None), "y")
    return draft.model()


def float_weight(draft, q_scale, dq_scale, q_axis=0):
    weight = draft.constant("w", np.ones((CHANNELS, CHANNELS, 1, 1), np.float32))
    draft.pair("x")
    draft.pair(weight, [q_scale] * CHANNELS, dq_scale=[dq_scale] * CHANNELS, axis=0)
    draft.nodes[2].attribute[0].i = q_axis
    draft.add("Conv", ["x_dq", "w_dq"], "y")
    return draft.model()


@case("pair-has-one-scale", "w_dq", text="axes")
def pair_of_two_axes(draft, broken):
    return float_weight(draft, 0.02, 0.02, q_axis=1 if broken else 0)


@case("pair-has-one-scale", "w_dq")
def weight_that_was_integers_before(draft, broken):
    # The guide's form for such weights: Q with scale 1.
    return float_weight(draft, 0.5 if broken else 1.0, 0.02)


@case("operators-are-float", "sums", text="ConvInteger")
def integer_convolution(draft, broken):
    draft.conv(draft.pair("x"), "y")
    if broken:
        draft.add("ConvInteger", ["x_q", "y_w"], "sums")
        draft.add("Cast", ["sums"], "z", to=FLOAT)
    return draft.model("y", *(["z"] if broken else []))


@case("control-flow-is-absent", "z", "warning")
def conditional(draft, broken):
    draft.conv(draft.pair("x"), "y")
    if broken:
        body = helper.make_graph(
            [drawing.node("Neg", ["x_dq"], "negative")],
            "body",
            [],
            [helper.make_tensor_value_info("negative", FLOAT, None)],
        )
        condition = draft.constant("condition", np.array(True))
        draft.nodes.append(helper.make_node("If", [condition], ["z"], name="z", then_branch=body, else_branch=body))
    return draft.model("y", *(["z"] if broken else []))


# Weights


@case("layer-is-quantized-whole", "y", text="its weight w is float")
def float_weights(draft, broken):
    weight = draft.constant("w", np.ones((CHANNELS, CHANNELS, 1, 1), np.float32))
    draft.pair("x")
    draft.add("Conv", ["x_dq", weight if broken else draft.integers("i", (CHANNELS, CHANNELS, 1, 1))], "y")
    return draft.model()


@case("layer-is-quantized-whole", "y", text="its input x is float")
def float_input(draft, broken):
    draft.pair("x")
    draft.conv("x_dq", "first")
    draft.conv("x" if broken else "x_dq", "y")
    return draft.model("first", "y")


@case("layer-is-quantized-whole", "y")
def product_of_two_activations(draft, broken):
    draft.inputs["other"] = (SHAPE, FLOAT)
    draft.add("MatMul", [draft.pair("x"), "other" if broken else draft.pair("other")], "y")
    return draft.model()


def layer(draft, kind, axis, shape, transposed=False, scales=None, **attributes):
    weight = draft.integers("w", shape, axis=axis, scales=scales)
    if transposed:
        weight = draft.add("Transpose", [weight], "turned")
    source = "x"
    if kind == "Gemm":
        draft.inputs["x"] = ((3, CHANNELS), FLOAT)
    elif kind == "MatMul":
        draft.inputs["x"] = ((1, 3, CHANNELS), FLOAT)
    draft.add(kind, [draft.pair(source), weight], "y", **attributes)
    return draft.model(check=scales is None)


WEIGHTS = {
    "Conv": (0, (4, 4, 1, 1), {}),
    "ConvTranspose": (1, (4, 4, 2, 2), {}),
    "Gemm": (1, (4, 4), {}),
    "Gemm transposed": (0, (4, 4), {"transB": 1}),
    "MatMul": (1, (4, 4), {}),
    "MatMul of a Transpose": (0, (4, 4), {"transposed": True}),
}

for kind, (right, shape, options) in WEIGHTS.items():

    @case("weight-axis-counts-output-channels", "y", text=f"along axis {1 - right}, expected {right}")
    def axis_of(draft, broken, kind=kind, right=right, shape=shape, options=options):
        return layer(draft, kind.split()[0], 1 - right if broken else right, shape, **options)


@case("weight-axis-counts-output-channels", "y", text="has 3 scales, expected 4")
def too_few_scales(draft, broken):
    return layer(draft, "Conv", 0, (4, 4, 1, 1), scales=[0.1] * (3 if broken else 4))


@case("axis-is-given", "w_dq")
def axis_that_is_left_out(draft, broken):
    # Without the attribute, ONNX means axis 1, the right one of this weight.
    return layer(draft, "MatMul", None if broken else 1, (4, 4), scales=[0.1] * 4)


@case("weight-has-a-scale-per-channel", "y", "warning", text="one scale, expected 4")
def weight_per_tensor(draft, broken):
    return layer(draft, "Conv", 0, (4, 4, 1, 1), scales=0.1 if broken else [0.1] * 4)


@case("bias-is-float", "y", text="b_dq")
def integer_bias(draft, broken):
    bias = draft.integers("b", (CHANNELS,), stored=np.int32) if broken else draft.constant("b", np.ones(CHANNELS, "f4"))
    draft.conv(draft.pair("x"), "y", bias=bias)
    return draft.model()


# Where pairs stand


@case("layer-and-activation-are-together", "first_q", "warning", text="between Conv first and Relu relu")
def pair_in_front_of_the_activation(draft, broken):
    draft.conv(draft.pair("x"), "first")
    draft.add("Relu", [draft.pair("first") if broken else "first"], "relu")
    draft.conv(draft.pair("relu"), "y")
    return draft.model()


def batch_norm(draft, source, output):
    names = [draft.constant(f"{output}_{part}", np.ones(CHANNELS, np.float32)) for part in ("a", "b", "m", "v")]
    return draft.add("BatchNormalization", [source, *names], output)


@case("layer-and-activation-are-together", "first_q", "warning", text="BatchNormalization norm")
def pair_in_front_of_the_norm(draft, broken):
    draft.conv(draft.pair("x"), "first")
    source = batch_norm(draft, draft.pair("first"), "norm") if broken else "first"
    draft.conv(draft.pair(draft.add("Relu", [source], "relu")), "y")
    return draft.model()


@case("batch-norm-is-folded", "norm", "warning", text="quantised first")
def norm_behind_a_convolution(draft, broken):
    draft.conv(draft.pair("x"), "first")
    draft.add("Relu", [batch_norm(draft, "first", "norm") if broken else "first"], "y")
    return draft.model()


@case("residual-is-quantized", "y", "warning", text="fused with c, but its other input x is float")
def float_residual(draft, broken):
    draft.conv(draft.pair("x"), "c")
    draft.add("Add", ["c", "x" if broken else "x_dq"], "y")
    return draft.model()


@case("residual-is-quantized", "y", "warning", text="fused with b, but its other input a")
def sum_of_two_convolutions(draft, broken):
    draft.pair("x")
    draft.conv("x_dq", "a")
    draft.conv("x_dq", "b")
    residual = "a" if broken else draft.pair(draft.add("Relu", ["a"], "relu"))
    draft.add("Add", [residual, "b"], "y")
    return draft.model()


@case("fused-branch-is-float", "y", "warning", text="convolution c through a Q/DQ pair")
def fused_branch_behind_a_pair(draft, broken):
    draft.conv(draft.pair("x"), "c")
    draft.add("Add", [draft.pair("c") if broken else "c", "x_dq"], "y")
    return draft.model()


@case("passed-on-values-keep-their-scale", "pooled", "warning", text="x_dq at scale 0.1 and gives pooled at 0.2")
def pooling_between_two_scales(draft, broken):
    draft.add("MaxPool", [draft.pair("x")], "pooled", kernel_shape=[2, 2])
    draft.conv(draft.pair("pooled", 0.2 if broken else 0.1), "y")
    return draft.model()


@case("passed-on-values-keep-their-scale", "pooled", "warning", text="reads x at scale 0.1")
def pooling_beside_another_reader(draft, broken):
    draft.conv(draft.pair("x"), "first")
    draft.add("MaxPool", ["x"], "pooled", kernel_shape=[2, 2])
    draft.add("Transpose", ["pooled"], "turned", perm=[0, 1, 3, 2])
    draft.conv(draft.pair("turned", 0.2 if broken else 0.1), "y")
    return draft.model("first", "y")


def resize(draft, source, output, mode="linear"):
    names = [draft.constant("empty", np.zeros(0, "f4")), draft.constant("factors", np.array([1, 1, 2, 2], "f4"))]
    return draft.add("Resize", [source, names[0], names[1]], output, mode=mode)


@case("passed-on-values-keep-their-scale", "large", "warning")
def interpolation_between_pairs(draft, broken):
    draft.conv(draft.pair("x"), "first")
    # An interpolation without a pair in front is float, and has the scale of its own range behind it.
    resize(draft, "x_dq" if broken else "x", "large")
    draft.conv(draft.pair("large", 0.05), "y")
    return draft.model("first", "y")


def concat(draft, scales, output_scale):
    draft.conv(draft.pair("x"), "a")
    draft.add("Sigmoid", ["x"], "b")
    draft.add("Concat", [draft.pair("a", scales[0]), draft.pair("b", scales[1])], "joined", axis=2)
    draft.conv(draft.pair("joined", output_scale), "y")
    return draft.model()


@case("concat-has-one-scale", "joined", "warning", text="a_dq at scale 0.1 and b_dq at 0.2")
def concat_of_two_scales(draft, broken):
    return concat(draft, (0.1, 0.2 if broken else 0.1), 0.1)


@case("concat-has-one-scale", "joined", "warning", text="joined at 0.3")
def concat_with_another_scale_behind(draft, broken):
    return concat(draft, (0.1, 0.1), 0.3 if broken else 0.1)


@case("concat-ranges-are-alike", "joined", "warning", text="a_dq at scale 0.1 and b_dq at 2.5, a factor of 25")
def concat_of_hostile_ranges(draft, broken):
    return concat(draft, (0.1, 2.5 if broken else 0.1), 0.1)


@case("tensor-is-quantized-at-one-scale", "other_q", "warning", text="x at scale 0.2, and x_q at 0.1")
def tensor_at_two_scales(draft, broken):
    draft.conv(draft.pair("x"), "first")
    draft.conv(draft.pair("x", 0.2 if broken else 0.1, name="other"), "y")
    return draft.model("first", "y")


@case("network-output-is-float", "c_dq", "warning", text="on the output c_dq")
def pair_on_the_output(draft, broken):
    draft.conv(draft.pair("x"), "c")
    return draft.model(draft.pair("c") if broken else "c")


@case("network-output-is-float", "soft_dq", "warning", text="on the output soft_dq")
def pair_on_probabilities(draft, broken):
    draft.conv(draft.pair("x"), "c")
    draft.add("Softmax", ["c"], "soft", axis=1)
    return draft.model(draft.pair("soft") if broken else "soft")


@case("network-output-is-float", "c_q", "warning", text="on the output c_q")
def integers_as_output(draft, broken):
    draft.conv(draft.pair("x"), "c")
    return draft.model("c_q" if broken and draft.pair("c") else "c", check=not broken)


for activation in ([], ["Relu"]):

    @case("network-output-is-float", "last_dq", "warning", text="right behind the layer that gives the output y")
    def pair_behind_the_last_layer(draft, broken, activation=activation):
        draft.conv(draft.pair("x"), "last" if not activation else "c")
        if activation:
            draft.add("Relu", ["c"], "last")
        resize(draft, draft.pair("last") if broken else "last", "y")
        return draft.model()


@case("pair-is-not-repeated", "x_dq_q", "warning", text="x_dq has just dequantised")
def pair_behind_a_pair(draft, broken):
    source = draft.pair("x")
    draft.conv(draft.pair(source) if broken else source, "y")
    return draft.model()


@case("pair-serves-integers", "x_q", "warning", text="only y reads, in float")
def pair_for_a_float_operator(draft, broken):
    draft.conv(draft.pair("x", name="other"), "c")
    draft.add("Softplus", [draft.pair("x") if broken else "x"], "y")
    return draft.model("c", "y")


@case("pair-serves-integers", "x_q", "warning", text="only pooled reads")
def pooling_without_a_pair_behind(draft, broken):
    draft.add("GlobalAveragePool", [draft.pair("x")], "pooled")
    draft.add("Relu", ["pooled"], "relu")
    weight = draft.constant("w", np.ones((CHANNELS, CHANNELS, 1, 1), np.float32))
    if broken:
        draft.add("Conv", ["relu", weight], "y")
    else:
        draft.conv(draft.pair("relu"), "y")
    return draft.model()


@case("pair-serves-integers", "c_q", "warning", text="nothing reads")
def pair_that_nothing_reads(draft, broken):
    draft.conv(draft.pair("x"), "c")
    draft.add("Relu", ["c"], "y")
    if broken:
        draft.pair("c")
    return draft.model("y")


# ONNX Runtime's form


def onnxruntime_layer(draft, zero=MIDDLE, bias_scale=None, bias_kind=np.int32, bias_zero=None, **weight):
    scales = np.float32([0.01, 0.02, 0.03, 0.04])
    product = np.float32(0.1) * scales if bias_scale is None else bias_scale
    bias = draft.integers("b", (CHANNELS,), scales=product, stored=bias_kind, zero=bias_zero)
    draft.conv(draft.pair("x", zero=zero), "y", bias=bias, scales=scales, **weight)
    return draft.model()


def onnxruntime_case(rule, severity="error", node="y", **broken_options):
    text = broken_options.pop("text", "")

    @case(rule, node, severity, "onnxruntime", text)
    def draw(draft, broken):
        return onnxruntime_layer(draft, **(broken_options if broken else {}))


onnxruntime_case("bias-scale-is-the-product", bias_scale=np.float32([1e-3, 2e-3, 3e-3, 5e-3]), text="expected 0.004")
onnxruntime_case("bias-scale-is-the-product", bias_scale=np.float32(1e-3), text="scale 1 of its bias is 0.001")
onnxruntime_case("bias-is-int32", bias_kind=np.int8, text="its bias is INT8")
onnxruntime_case("bias-is-int32", bias_zero=[0, 1, 0, 0])
onnxruntime_case("activation-is-unsigned", node="x_q", zero=np.int8(0), text="INT8, expected UINT8")
onnxruntime_case("activation-is-unsigned", node="x_q", zero=np.uint8(113), text="113, expected 0 or 128")
onnxruntime_case("weight-is-symmetric-int8", stored=np.uint8, text="its weight is UINT8")


@case("weight-is-symmetric-int8", "y", form="onnxruntime", text="zero point of its weight is 2")
def weight_with_a_zero_point(draft, broken):
    draft.conv(draft.pair("x"), "y", zero=[0, 2, 0, 0] if broken else None)
    return draft.model()


@case("bias-is-quantized-with-its-layer", "y", "warning", "onnxruntime", text="its bias b is float")
def float_bias(draft, broken):
    if not broken:
        return onnxruntime_layer(draft)
    draft.conv(draft.pair("x"), "y", bias=draft.constant("b", np.ones(CHANNELS, np.float32)))
    return draft.model()


@case("interpolation-has-its-own-scale", "large", form="onnxruntime", text="two pairs of the scale 0.1,")
def interpolated_integers(draft, broken):
    scale = np.float32(0.1)
    resize(draft, draft.pair("x", scale), "large")
    draft.conv(draft.pair("large", scale if broken else np.nextafter(scale, np.float32(1))), "y")
    return draft.model()


@case("pad-is-float", "padded", "warning", "onnxruntime", text="runs in float")
def padding_between_pairs(draft, broken):
    source = "x" if not broken else draft.pair("x")
    draft.add("Pad", [source, draft.constant("pads", np.array([0, 0, 1, 1, 0, 0, 1, 1]))], "padded")
    draft.conv(draft.pair("padded"), "y")
    return draft.model()


@case("quantized-weight-has-quantized-input", "y", "warning", "onnxruntime", text="its input x is float")
def rounded_weight_of_a_float_layer(draft, broken):
    draft.conv("x" if broken else draft.pair("x"), "y")
    return draft.model()


def frame_as_integers(kind=TensorProto.UINT8, moved="Transpose"):
    """Return a draft whose convolution reads a frame of integers that was moved, and whose result is moved too."""
    draft = Draft("onnxruntime")
    draft.inputs["frame"] = (SHAPE, kind)
    draft.add(moved, ["frame"], "planes")
    scale, zero = draft.constant("s", np.float32(0.1)), draft.constant("z", MIDDLE)
    draft.conv(draft.add("DequantizeLinear", ["planes", scale, zero], "frame_dq"), "c")
    return draft


@case("dequantizer-reads-integers", "frame_dq", form="onnxruntime", text="reads planes (computed)")
def integers_that_are_computed(draft, broken):
    return frame_as_integers(moved="BitwiseNot" if broken else "Transpose").model(check=not broken)


@case("dequantizer-reads-integers", "frame_dq", form="onnxruntime", text="reads frame (INT32)")
def frame_of_large_integers(draft, broken):
    return frame_as_integers(TensorProto.INT32 if broken else TensorProto.UINT8).model(check=not broken)


@case("integers-are-only-moved", "x_q", form="onnxruntime", text="MaxPool pooled")
def integers_that_are_pooled_in_onnxruntime(draft, broken):
    return integers_that_are_pooled(draft, broken)


@pytest.mark.parametrize(("draw", "rule", "node", "severity", "form", "text"), CASES)
def test_broken_graph_is_found_with_its_node_and_the_sound_one_is_clean(draw, rule, node, severity, form, text):
    findings = lint(draw(Draft(form), True), form)
    found = [finding for finding in findings if finding.rule == rule]
    assert [(finding.node, finding.severity) for finding in found] == [(node, severity)], findings
    assert text in found[0].message
    assert "\n" not in found[0].line() and found[0].line().startswith(f"{severity} {node}: {rule}: ")
    assert lint(draw(Draft(form), False), form) == ()


def test_every_rule_has_a_case_in_every_form_that_it_is_the_only_one_of():
    drawn = {(values.values[1], values.values[4]) for values in CASES}
    for rule in RULES:
        if rule.unknown_version is not None:
            assert any((rule.name, form) in drawn for form in rule.forms), rule.name


# Versions of a backend


def found_for(model, form, target):
    return {finding.rule: finding.severity for finding in lint(model, form, target)}


@pytest.mark.parametrize(
    ("target", "found"),
    [("8.5.2", {"scale-is-float32": "error"}), ("8.6", {"scale-is-float32": "error"}), ("9.0", {}), ("10.13.3", {})],
)
def test_scales_in_half_precision_are_an_error_of_old_tensorrt_alone(target, found):
    assert found_for(scale_in_half_precision(Draft(), True), "tensorrt", target) == found


@pytest.mark.parametrize(
    ("target", "found"),
    [
        (None, {"bias-scale-is-the-product": "error"}),
        ("1.19.2", {"bias-scale-is-the-product": "error"}),
        ("1.26.0", {"bias-scale-is-the-product": "error"}),
        ("1.27.0", {"bias-scale-keeps-the-kernel": "warning"}),
        ("1.32", {"bias-scale-keeps-the-kernel": "warning"}),
    ],
)
def test_a_bias_in_other_steps_is_wrong_in_old_versions_and_slow_in_new_ones(target, found):
    model = onnxruntime_layer(Draft("onnxruntime"), bias_scale=np.float32([1e-3, 2e-3, 3e-3, 5e-3]))
    assert found_for(model, "onnxruntime", target) == found


@pytest.mark.parametrize(("target", "rules"), [("1.26", 1), ("1.27", 0)])
def test_integers_are_interpolated_by_old_versions_alone(target, rules):
    assert len(found_for(interpolated_integers(Draft("onnxruntime"), True), "onnxruntime", target)) == rules


def test_an_interpolation_may_not_change_its_scale_by_more_than_the_last_digit():
    draft = Draft("onnxruntime")
    resize(draft, draft.pair("x", 0.1), "large")
    draft.conv(draft.pair("large", 0.10001), "y")
    assert [finding.rule for finding in lint(draft.model(), "onnxruntime")] == ["passed-on-values-keep-their-scale"]


def test_what_is_no_version_is_refused():
    with pytest.raises(InputError, match="'new' is no version, expected numbers"):
        lint(onnxruntime_layer(Draft("onnxruntime")), "onnxruntime", "new")


# What is allowed


def clean(draft, *outputs):
    assert lint(draft.model(*outputs), draft.form) == ()


def test_pooling_between_a_pair_and_a_quantised_layer_is_no_half_quantised_layer():
    draft = Draft()
    draft.conv(draft.add("MaxPool", [draft.pair("x")], "pooled", kernel_shape=[2, 2]), "y")
    clean(draft)


def test_interpolation_gives_no_integers_without_a_pair_behind():
    draft = Draft()
    draft.conv(resize(draft, draft.pair("x"), "large"), "y")
    assert {("layer-is-quantized-whole", "y")} <= {(item.rule, item.node) for item in lint(draft.model())}
    draft = Draft()
    draft.conv(resize(draft, draft.pair("x"), "large", mode="nearest"), "y")
    clean(draft)


def test_average_pooling_has_its_own_scales_on_both_sides():
    draft = Draft()
    draft.add("GlobalAveragePool", [draft.pair("x")], "pooled")
    draft.conv(draft.pair("pooled", 0.01), "y")
    clean(draft)


def test_hostile_ranges_are_not_asked_to_share_a_scale():
    assert [finding.rule for finding in lint(concat(Draft(), (0.1, 2.5), 0.1))] == ["concat-ranges-are-alike"]


def test_pair_on_an_output_is_found_once():
    assert [finding.rule for finding in lint(pair_on_the_output(Draft(), True))] == ["network-output-is-float"]


@pytest.mark.parametrize("dequantizers", [1, 2])
def test_branch_that_another_layer_reads_through_the_same_pair_is_not_fused(dequantizers):
    draft = Draft()
    draft.conv(draft.pair("x"), "c")
    source = draft.pair("c")
    if dequantizers == 2:
        source = draft.add("DequantizeLinear", ["c_q", "c_s", "c_z"], "c_dq_too")
    draft.conv(source, "further")
    draft.add("Add", ["c_dq", "x_dq"], "y")
    draft.add("Relu", ["y"], "relu")
    draft.conv(draft.pair("relu"), "z")
    clean(draft, "further", "z")


def test_pair_that_a_body_reads_is_not_called_useless():
    draft = Draft()
    draft.pair("x", name="other")
    conditional(draft, True)
    body = draft.nodes[-1].attribute
    for branch in body:
        branch.g.node[0].input[0] = "other_dq"
    assert [finding.rule for finding in lint(draft.model("y", "z"))] == ["control-flow-is-absent"]


def test_one_tensor_may_have_several_pairs_of_one_scale():
    draft = Draft()
    draft.conv(draft.pair("x"), "first")
    draft.conv(draft.pair("x", name="other"), "y")
    clean(draft, "first", "y")


def test_transposed_convolution_in_groups_is_quantised_per_tensor():
    draft = Draft()
    weight = draft.integers("w", (4, 2, 2, 2), scales=0.1, axis=1)
    draft.add("ConvTranspose", [draft.pair("x"), weight], "y", group=2)
    clean(draft)


def test_layer_with_neither_side_quantised_is_no_business_of_the_linter():
    draft = Draft()
    draft.conv(draft.pair("x"), "c")
    draft.add("Conv", ["c", draft.constant("w", np.ones((CHANNELS, CHANNELS, 1, 1), np.float32))], "y")
    clean(draft)


def test_convolution_that_others_read_too_is_not_fused_with_an_add():
    draft = Draft()
    draft.conv(draft.pair("x"), "c")
    draft.add("Relu", ["c"], "relu")
    draft.add("Add", ["c", "relu"], "y")
    clean(draft)


def test_scales_may_be_constant_nodes():
    draft = Draft()
    draft.conv(draft.pair("x"), "y")
    scale = numpy_helper.from_array(draft.constants.pop("x_s"))
    draft.nodes.insert(0, helper.make_node("Constant", [], ["x_s"], value=scale))
    clean(draft, "y")
    draft.nodes[0] = helper.make_node("Constant", [], ["x_s"], value_float=-0.5)
    assert [(item.rule, item.node) for item in lint(draft.model("y"))] == [("scale-is-positive", "x_q")]


def test_constant_that_went_through_identity_is_a_constant():
    draft = Draft()
    draft.conv(draft.pair("x"), "y")
    draft.nodes[2].input[0] = "shared"
    draft.nodes.insert(0, drawing.node("Identity", ["y_w"], "shared"))
    clean(draft, "y")


def test_scale_that_both_nodes_of_a_pair_read_is_found_once():
    draft = Draft()
    draft.conv(draft.pair("x", 0.0), "y")
    assert len(lint(draft.model())) == 1


def test_node_without_a_name_is_called_by_its_output():
    draft = Draft()
    draft.conv(draft.pair("x", dq_scale=0.2), "y")
    for node in draft.nodes:
        node.name = ""
    assert [finding.node for finding in lint(draft.model())] == ["x_dq"]


def test_frame_of_integers_and_moved_integers_are_sound_in_onnxruntime_s_form():
    draft = frame_as_integers()
    draft.pair("c")
    dequantize = draft.nodes.pop()
    dequantize.input[0] = draft.add("Transpose", ["c_q"], "moved")
    draft.nodes.append(dequantize)
    draft.conv("c_dq", "y")
    clean(draft)
    # TensorRT has uint8 nowhere, and pairs are pairs there.
    found = {(finding.rule, finding.node) for finding in lint(draft.model())}
    assert {("dequantizer-reads-quantized-values", "frame_dq"), ("quantizer-is-read-by-dequantizers", "c_q")} <= found


def test_moved_integers_keep_their_scale():
    draft = frame_as_integers()
    draft.pair("c", dq_scale=0.2)
    dequantize = draft.nodes.pop()
    dequantize.input[0] = draft.add("Transpose", ["c_q"], "moved")
    draft.nodes.append(dequantize)
    draft.conv("c_dq", "y")
    assert [(item.rule, item.node) for item in lint(draft.model(), "onnxruntime")] == [("pair-has-one-scale", "c_dq")]
