"""Each rewrite fires where it may, leaves the graph alone where it may not, and keeps the numbers."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import TensorProto, helper, numpy_helper

from edge.runtime.onnxruntime import import_onnxruntime
from export.graph.fusions import RULES, simplify
from export.graph.layer_names import forget_conversion, name_after_layers

SHAPE = (1, 4, 6, 6)
GENERATOR = np.random.default_rng(3)
DATA = GENERATOR.normal(0, 1, SHAPE).astype(np.float32)
KERNEL = GENERATOR.normal(0, 0.3, (4, 4, 3, 3)).astype(np.float32)
DEPTHWISE = GENERATOR.normal(0, 0.3, (4, 1, 3, 3)).astype(np.float32)
BIAS = GENERATOR.normal(0, 1, 4).astype(np.float32)
PER_CHANNEL = GENERATOR.normal(0, 1, (4, 1, 1)).astype(np.float32)


def node(kind, inputs, output, **attributes):
    return helper.make_node(kind, list(inputs), [output], name=output, **attributes)


def conv(data, output, *constants, **attributes):
    return node("Conv", [data, *(constants or ("kernel",))], output, pads=[1, 1, 1, 1], **attributes)


def make_model(nodes, constants, outputs=("y",), opset=17):
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    return model


def run(model):
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, {"x": DATA})))


def simplified(nodes, constants, outputs=("y",), opset=17):
    """Return (which rules fired, operator counts, the model), with the numbers checked."""
    model = make_model(nodes, constants, outputs, opset)
    expected = run(model)
    fired = simplify(model)
    onnx.checker.check_model(model, full_check=True)
    actual = run(model)
    assert list(actual) == list(outputs) and set(expected) == set(actual)
    for name in outputs:
        # Folding multiplies weights instead of sums: float32 rounding, relative to sums of some 36 products.
        np.testing.assert_allclose(actual[name], expected[name], rtol=1e-5, atol=1e-5)
    read = {name for item in model.graph.node for name in item.input}
    assert {tensor.name for tensor in model.graph.initializer} <= read
    return {name: count for name, count in fired.items() if count}, Counter(n.op_type for n in model.graph.node), model


def test_every_rule_has_its_name_in_the_result():
    assert [rule.__name__ for rule in RULES] == [
        "fold_scale_into_conv",
        "fold_shift_into_conv",
        "fold_pad_into_pool",
        "resize_to_sizes",
        "drop_identity",
    ]


# resize_to_sizes


def resize(scales, **attributes):
    constants = {"scales": np.array(scales, np.float32)}
    return [node("Resize", ["x", "", "scales"], "y", mode="linear", **attributes)], constants


@pytest.mark.parametrize("coordinates", ["half_pixel", "align_corners"])
def test_scales_become_the_sizes_that_they_mean(coordinates):
    fired, _, model = simplified(*resize([1, 1, 2, 0.5], coordinate_transformation_mode=coordinates))
    assert fired == {"resize_to_sizes": 1}
    (only,) = model.graph.node
    assert list(only.input[:3]) == ["x", "", ""]
    assert numpy_helper.to_array(model.graph.initializer[0]).tolist() == [1, 4, 12, 3]


def test_quotient_that_was_rounded_down_still_means_its_size():
    # 6 times float32(5/6) is less than 5, so by its scales this Resize gives 4 columns.
    nodes, constants = resize([1, 1, 1, 5 / 6])
    model = make_model(nodes, constants)
    simplify(model)
    assert run(model)["y"].shape == (1, 4, 6, 5)


def test_size_that_a_rewrite_corrects_is_known_to_the_others():
    # Of the 5 columns that the scales mean 4 are kept; by the scales themselves there would be 4, and nothing to cut.
    nodes = [
        node("Resize", ["x", "", "scales"], "resized", mode="linear"),
        node("Slice", ["resized", "starts", "ends", "axes"], "y"),
    ]
    constants = {"starts": np.array([0]), "ends": np.array([4]), "axes": np.array([3])}
    model = make_model(nodes, {"scales": np.float32([1, 1, 1, 5 / 6]), **constants})
    assert simplify(model)["drop_identity"] == 0
    assert run(model)["y"].shape == (1, 4, 6, 4)


def test_sizes_that_are_named_already_are_left_alone():
    nodes = [node("Resize", ["x", "", "", "sizes"], "y", mode="linear")]
    assert simplified(nodes, {"sizes": np.array([1, 4, 9, 9])})[0] == {}


# fold_scale_into_conv, fold_shift_into_conv


@pytest.mark.parametrize("constant", [PER_CHANNEL, PER_CHANNEL[None], np.float32(2.5), np.full(1, 2.5, np.float32)])
@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize(("kind", "rule"), [("Mul", "fold_scale_into_conv"), ("Add", "fold_shift_into_conv")])
def test_constant_per_channel_is_folded(kind, rule, with_bias, swapped, constant):
    inputs = ["c", "constant"][:: -1 if swapped else 1]
    names = ("kernel", "bias") if with_bias else ("kernel",)
    nodes = [conv("x", "c", *names), node(kind, inputs, "y")]
    constants = {"kernel": KERNEL, "constant": constant, **({"bias": BIAS} if with_bias else {})}
    fired, counts, _ = simplified(nodes, constants)
    assert fired == {rule: 1}
    assert counts == {"Conv": 1}


@pytest.mark.parametrize(("kind", "rule"), [("Mul", "fold_scale_into_conv"), ("Add", "fold_shift_into_conv")])
def test_constant_of_a_constant_node_is_folded_too_and_the_node_is_gone(kind, rule):
    nodes = [
        node("Constant", [], "kernel", value=numpy_helper.from_array(KERNEL)),
        node("Constant", [], "constant", value_float=2.5),
        conv("x", "c"),
        node(kind, ["c", "constant"], "y"),
    ]
    fired, counts, _ = simplified(nodes, {})
    assert fired == {rule: 1} and counts["Conv"] == 1 and not counts[kind]


def test_batch_norm_behind_a_depthwise_conv_is_folded_whole():
    nodes = [
        conv("x", "c", "depthwise", group=4),
        node("Mul", ["c", "scale"], "scaled"),
        node("Add", ["shift", "scaled"], "shifted"),
        node("Relu", ["shifted"], "y"),
    ]
    constants = {"depthwise": DEPTHWISE, "scale": PER_CHANNEL, "shift": PER_CHANNEL[::-1].copy()}
    fired, counts, _ = simplified(nodes, constants)
    assert fired == {"fold_scale_into_conv": 1, "fold_shift_into_conv": 1}
    assert counts == {"Conv": 1, "Relu": 1}


def test_weight_that_two_convs_share_is_scaled_for_one_alone():
    nodes = [conv("x", "c"), node("Mul", ["c", "scale"], "scaled"), conv("scaled", "y")]
    fired, counts, _ = simplified(nodes, {"kernel": KERNEL, "scale": PER_CHANNEL})
    assert (fired, counts) == ({"fold_scale_into_conv": 1}, {"Conv": 2})


@pytest.mark.parametrize("kind", ["Mul", "Add"])
@pytest.mark.parametrize(
    "constant",
    [
        GENERATOR.normal(0, 1, (6,)).astype(np.float32),  # per column
        GENERATOR.normal(0, 1, (6, 1)).astype(np.float32),  # per row
        GENERATOR.normal(0, 1, (1, 6, 6)).astype(np.float32),  # per position
    ],
)
def test_constant_per_position_is_not_folded(kind, constant):
    fired, counts, _ = simplified([conv("x", "c"), node(kind, ["c", "constant"], "y")], locals_of(constant))
    assert (fired, counts) == ({}, {"Conv": 1, kind: 1})


def locals_of(constant):
    return {"kernel": KERNEL, "constant": constant}


@pytest.mark.parametrize("kind", ["Mul", "Add"])
def test_conv_that_others_read_too_is_left_alone(kind):
    nodes = [conv("x", "c"), node(kind, ["c", "constant"], "m"), node("Sub", ["m", "c"], "y")]
    fired, counts, _ = simplified(nodes, locals_of(PER_CHANNEL))
    assert (fired, counts) == ({}, {"Conv": 1, kind: 1, "Sub": 1})


@pytest.mark.parametrize("kind", ["Mul", "Add"])
def test_conv_that_is_an_output_is_left_alone(kind):
    fired, counts, _ = simplified(
        [conv("x", "c"), node(kind, ["c", "constant"], "y")], locals_of(PER_CHANNEL), outputs=("c", "y")
    )
    assert (fired, counts) == ({}, {"Conv": 1, kind: 1})


@pytest.mark.parametrize("kind", ["Mul", "Add"])
def test_two_tensors_are_not_folded(kind):
    nodes = [conv("x", "c"), conv("x", "d"), node(kind, ["c", "d"], "y")]
    assert simplified(nodes, {"kernel": KERNEL})[0] == {}


@pytest.mark.parametrize("kind", ["Mul", "Add"])
def test_other_producers_than_conv_are_left_alone(kind):
    fired, counts, _ = simplified(
        [node("Relu", ["x"], "r"), node(kind, ["r", "constant"], "y")], {"constant": PER_CHANNEL}
    )
    assert (fired, counts) == ({}, {"Relu": 1, kind: 1})


# drop_identity


@pytest.mark.parametrize(
    ("kind", "inputs", "constants", "attributes"),
    [
        ("Identity", [], {}, {}),
        ("Reshape", ["shape"], {"shape": np.array(SHAPE, np.int64)}, {}),
        ("Slice", ["from", "to", "axes"], {"from": [0, 0], "to": [6, 99], "axes": [2, 3]}, {}),
        ("Slice", ["from", "to", "axes", "steps"], {"from": [0], "to": [6], "axes": [2], "steps": [1]}, {}),
        ("Transpose", [], {}, {"perm": [0, 1, 2, 3]}),
    ],
)
@pytest.mark.parametrize("at_the_end", [False, True])
def test_node_that_changes_nothing_is_dropped(kind, inputs, constants, attributes, at_the_end):
    constants = {name: np.array(value, np.int64) for name, value in constants.items()}
    first, last = ("r", "y") if at_the_end else ("r", "s")
    nodes = [node("Relu", ["x"], "r"), node(kind, [first, *inputs], last, **attributes)]
    if not at_the_end:
        nodes.append(node("Sigmoid", ["s"], "y"))
    fired, counts, _ = simplified(nodes, constants)
    assert fired == {"drop_identity": 1}
    assert counts == ({"Relu": 1} if at_the_end else {"Relu": 1, "Sigmoid": 1})


@pytest.mark.parametrize(
    ("kind", "inputs", "constants", "attributes"),
    [
        ("Reshape", ["shape"], {"shape": [1, 6, 4, 6]}, {}),
        ("Slice", ["from", "to", "axes"], {"from": [1], "to": [6], "axes": [2]}, {}),
        ("Slice", ["from", "to", "axes", "steps"], {"from": [5], "to": [-99], "axes": [2], "steps": [-1]}, {}),
        ("Transpose", [], {}, {"perm": [0, 1, 3, 2]}),  # the shape stays, the values move
        ("Transpose", [], {}, {}),  # without perm it reverses the axes
    ],
)
def test_node_that_changes_something_is_kept(kind, inputs, constants, attributes):
    constants = {name: np.array(value, np.int64) for name, value in constants.items()}
    nodes = [node("Relu", ["x"], "r"), node(kind, ["r", *inputs], "y", **attributes)]
    fired, counts, _ = simplified(nodes, constants)
    assert (fired, counts) == ({}, {"Relu": 1, kind: 1})


def test_identity_of_the_input_is_kept():
    assert simplified([node("Identity", ["x"], "y")], {})[1] == {"Identity": 1}


def test_identity_between_two_outputs_is_kept():
    nodes = [node("Relu", ["x"], "r"), node("Identity", ["r"], "y")]
    assert simplified(nodes, {}, outputs=("r", "y"))[1] == {"Relu": 1, "Identity": 1}


def test_other_readers_of_a_renamed_tensor_follow():
    nodes = [node("Relu", ["x"], "r"), node("Sigmoid", ["r"], "z"), node("Identity", ["r"], "y")]
    assert simplified(nodes, {}, outputs=("z", "y"))[1] == {"Relu": 1, "Sigmoid": 1}


def test_slice_of_channels_behind_a_mean_is_kept():
    # ReduceMean has its axes in an attribute here, and in an input from opset 18 on.
    nodes = [
        node("ReduceMean", ["x"], "mean", axes=[2, 3]),
        node("Slice", ["mean", "from", "to", "axes"], "y"),
    ]
    constants = {name: np.array([value], np.int64) for name, value in (("from", 1), ("to", 2), ("axes", 1))}
    fired, counts, _ = simplified(nodes, constants)
    assert (fired, counts) == ({}, {"ReduceMean": 1, "Slice": 1})


# fold_pad_into_pool

AMOUNTS = np.array([0, 0, 1, 1, 0, 0, 1, 0], np.int64)
POOL = {"kernel_shape": [3, 3], "strides": [2, 2]}


def pad_and_pool(first="Relu", amounts=AMOUNTS, mode="constant", value=None, **pool):
    padding = ["r", "amounts"] if value is None else ["r", "amounts", "value"]
    nodes = [
        node(first, ["x"], "r"),
        node("Pad", padding, "padded", mode=mode),
        node("MaxPool", ["padded"], "y", **{**POOL, **pool}),
    ]
    constants = {"amounts": amounts}
    if value is not None:
        constants["value"] = np.float32(value)
    return nodes, constants


@pytest.mark.parametrize("changes", [{}, {"value": 0.0}, {"pads": [0, 0, 0, 0]}, {"auto_pad": "VALID"}])
def test_zeros_around_a_pool_behind_a_relu_are_its_own_padding(changes):
    fired, counts, model = simplified(*pad_and_pool(**changes))
    assert fired == {"fold_pad_into_pool": 1}
    assert counts == {"Relu": 1, "MaxPool": 1}
    pads = [list(a.ints) for n in model.graph.node for a in n.attribute if a.name == "pads"]
    assert pads == [[1, 1, 1, 0]]


@pytest.mark.parametrize(
    "changes",
    [
        {"first": "Neg"},  # zeros would win over negative values
        {"value": 1.0},
        {"mode": "edge"},
        {"mode": "reflect"},
        {"pads": [1, 1, 1, 1]},
        {"auto_pad": "SAME_UPPER"},
        {"amounts": np.array([0, 1, 1, 1, 0, 0, 1, 1], np.int64)},  # channels too
        {"amounts": np.array([0, 0, -1, 0, 0, 0, 0, 0], np.int64)},  # crops
        {"amounts": np.array([0, 0, 3, 3, 0, 0, 3, 3], np.int64)},  # windows of nothing but padding
    ],
)
def test_other_paddings_are_kept(changes):
    fired, counts, _ = simplified(*pad_and_pool(**changes))
    assert fired == {}
    assert counts["Pad"] == 1


def test_padding_that_others_read_too_is_kept():
    nodes, constants = pad_and_pool()
    nodes.append(node("Sigmoid", ["padded"], "z"))
    assert simplified(nodes, constants, outputs=("y", "z"))[0] == {}


# Names


def converted():
    """Return a graph with names as a converter gives them."""
    names = {
        "c1": "net_1/stem_1/convolution:0",
        "r1": "net_1/stem_relu_1/Relu:0",
        "c2": "Conv__12:0",
        "up": "net_1/resize_1/Resize:0",
        "out": "Transpose__3:0",
    }
    nodes = [
        helper.make_node("Conv", ["x", "net_1/stem_1/kernel"], [names["c1"]], name="Conv__7", pads=[1] * 4),
        helper.make_node("Relu", [names["c1"]], [names["r1"]], name="net_1/stem_relu_1/Relu"),
        helper.make_node(
            "Conv", [names["r1"], "net_1/head_bn_1/mul", "Bias__3"], [names["c2"]], name="Conv__12", pads=[1] * 4
        ),
        helper.make_node("Sigmoid", [names["c2"]], [names["up"]], name="Sigmoid__2"),
        helper.make_node("Transpose", [names["up"]], ["y"], name=names["out"], perm=[0, 1, 3, 2]),
    ]
    constants = {"net_1/stem_1/kernel": KERNEL, "net_1/head_bn_1/mul": KERNEL, "Bias__3": BIAS}
    return make_model(nodes, constants)


LAYERS = ["stem", "stem_relu", "head", "head_bn", "resize"]


def test_nodes_tensors_and_weights_are_named_after_layers():
    model = converted()
    expected = run(model)["y"]
    name_after_layers(model, LAYERS)
    onnx.checker.check_model(model, full_check=True)
    assert [item.name for item in model.graph.node] == [
        "stem/Conv",
        "stem_relu/Relu",
        "head/Conv",  # and not head_bn, which is folded in
        "resize/Sigmoid",
        "resize/Transpose",  # nothing says whose it is, so it belongs to what came before
    ]
    assert [item.output[0] for item in model.graph.node] == [*(item.name for item in model.graph.node[:-1]), "y"]
    assert {tensor.name for tensor in model.graph.initializer} == {
        "stem/Conv/weight",
        "head/Conv/weight",
        "head/Conv/bias",
    }
    np.testing.assert_array_equal(run(model)["y"], expected)


def test_names_are_unique_where_a_layer_has_several_nodes():
    nodes = [
        helper.make_node("Relu", ["x"], ["net/block_1/a"], name="a"),
        helper.make_node("Relu", ["net/block_1/a"], ["net/block_1/b"], name="b"),
        helper.make_node("Relu", ["net/block_1/b"], ["y"], name="c"),
    ]
    model = make_model(nodes, {})
    name_after_layers(model, ["block"])
    assert [item.name for item in model.graph.node] == ["block/Relu", "block/Relu_2", "block/Relu_3"]


def test_input_and_output_keep_their_names():
    model = converted()
    name_after_layers(model, LAYERS)
    assert ([v.name for v in model.graph.input], [v.name for v in model.graph.output]) == (["x"], ["y"])


def test_order_of_constants_notes_and_unused_opsets_are_forgotten():
    first, second = converted(), converted()
    expected = run(first)["y"]
    second.graph.doc_string = "converted from network_3064"
    second.opset_import.append(helper.make_opsetid("ai.onnx.ml", 2))
    backwards = list(second.graph.initializer)[::-1]
    del second.graph.initializer[:]
    second.graph.initializer.extend(backwards)
    for model in (first, second):
        forget_conversion(model)
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)
    np.testing.assert_array_equal(run(second)["y"], expected)
