"""Each rule finds the graph that breaks it, lets the one that keeps it pass, and nothing of it needs TensorRT."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import TensorProto, helper, numpy_helper

from calibration.qdq.insert import quantize
from calibration.qdq.quantization_config import QuantizationConfig
from edge.contract import GRAPH_FILE
from edge.errors import GraphError, MissingDependencyError
from edge.frames import SyntheticFrames
from export import tensorrt_rules
from export.graph.trt_operator_support import CONSTANT_INPUTS, OPERATOR_RULES, OPERATORS
from export.graph.trt_rules import RULES, Finding, check_graph, require, shapes_are_static
from export.tensorrt_rules import main
from tests.calibration import graph_drawing as drawing

node = drawing.node
FLOAT, HALF, UINT8, INT64 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8, TensorProto.INT64
SHAPE = (1, 4, 6, 6)
NETWORK = drawing.make_network()
KERNEL = np.ones((4, 4, 3, 3), np.float32)
LARGE_KERNEL = np.ones((4, 4, 17, 17), np.float32)  # more numbers than shape inference is given


def graph_of(*nodes, constants=None, inputs=None, opset=17, domains=(), output=None):
    """Return a graph that need not be valid; it reads x (1, 4, 6, 6) float32 and gives the last node's output."""
    inputs = inputs or {"x": (SHAPE, FLOAT)}
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(name, kind, shape) for name, (shape, kind) in inputs.items()],
        [output or helper.make_tensor_value_info(nodes[-1].output[0], FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    model = helper.make_model(graph, opset_imports=opsets)
    model.ir_version = drawing.IR_VERSION
    return model


def findings(*nodes, dynamic_batch=False, **options):
    """Return what is found, as {rule: [node, ...]}."""
    found = {}
    for finding in check_graph(graph_of(*nodes, **options), dynamic_batch):
        assert isinstance(finding, Finding) and finding.message and "\n" not in finding.line()
        found.setdefault(finding.rule, []).append(finding.node)
    return found


def changed(model, change):
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    change(copy.graph)
    return copy


def int8_network():
    ranges = drawing.ranges_of(NETWORK, drawing.frames(2))
    return onnx.load_model_from_string(quantize(NETWORK, ranges, QuantizationConfig("min-max"), "tensorrt").data)


# Graphs as the project makes them


def test_float_and_int8_graphs_of_the_project_pass():
    assert check_graph(NETWORK) == []
    assert check_graph(int8_network()) == []


def test_checked_graph_is_left_as_it_is():
    before = NETWORK.SerializeToString(deterministic=True)
    check_graph(NETWORK)
    assert NETWORK.SerializeToString(deterministic=True) == before


@pytest.fixture(scope="module")
def fast_scnn(tmp_path_factory):
    pytest.importorskip("tensorflow")
    pytest.importorskip("tf2onnx")
    from export.from_keras.exporter import ExportRequest, export_model

    folder = tmp_path_factory.mktemp("fast_scnn")
    # The smallest size of whose map at stride 32 all pooling windows differ.
    export_model(ExportRequest("fast_scnn", "camvid", 192, 384), folder, SyntheticFrames(1, 192, 384, 1))
    return folder / GRAPH_FILE


def test_exported_fast_scnn_passes(fast_scnn, capsys):
    count = len(onnx.load(str(fast_scnn)).graph.node)
    assert main([str(fast_scnn)]) == 0
    assert capsys.readouterr().out == f"nothing found: {count} nodes, all run by TensorRT 8.5 by its documentation\n"


def make_cubic(graph):
    resize = next(node for node in graph.node if node.op_type == "Resize")
    next(attribute for attribute in resize.attribute if attribute.name == "mode").s = b"cubic"


def free_the_height(graph):
    graph.input[0].type.tensor_type.shape.dim[1].dim_param = "height"


def transpose_back(graph):
    logits = graph.node[-1]
    name, logits.output[0] = logits.output[0], "before"
    graph.node.extend([node("Transpose", ["before"], "nhwc", perm=[0, 2, 3, 1])])
    graph.node.extend([node("Transpose", ["nhwc"], name, perm=[0, 3, 1, 2])])


def quantize_to_uint8(graph):
    logits = graph.node[-1]
    name, logits.output[0] = logits.output[0], "before"
    graph.initializer.append(numpy_helper.from_array(np.float32(0.1), "scale"))
    graph.initializer.append(numpy_helper.from_array(np.uint8(128), "middle"))
    graph.node.extend([node("QuantizeLinear", ["before", "scale", "middle"], "steps")])
    graph.node.extend([node("DequantizeLinear", ["steps", "scale", "middle"], name)])


@pytest.mark.parametrize(
    ("damage", "rules"),
    [
        (make_cubic, {"resize_is_supported"}),
        (free_the_height, {"shapes_are_static"}),
        (transpose_back, {"layout_changes_once", "transposes_do_not_cancel"}),
        (quantize_to_uint8, {"uint8_is_cast_at_once", "quantization_is_symmetric"}),
    ],
)
def test_damaged_fast_scnn_is_found_out(fast_scnn, damage, rules):
    model = onnx.load(str(fast_scnn))
    damage(model.graph)
    assert {finding.rule for finding in check_graph(model)} == rules
    with pytest.raises(GraphError, match=r"does not run the graph of fast_scnn: .*Next: "):
        require(model, "fast_scnn")


# The tables


def test_every_rule_says_why_and_after_which_source():
    for rule in (*RULES, shapes_are_static):
        assert rule.__doc__ and len(rule.__doc__.split()) > 5, rule.__name__
    names = [rule.__name__ for rule in (*RULES, shapes_are_static)]
    assert len(set(names)) == len(names)
    assert set(OPERATOR_RULES) < set(RULES)


def test_tables_name_operators_and_inputs_that_onnx_has():
    # Three of the page are experimental ones that ONNX dropped, and its parser still takes.
    assert {name for name in OPERATORS if not onnx.defs.has(name)} == {
        "ImageScaler",
        "ParametricSoftplus",
        "ScaledTanh",
    }
    for operator, inputs in CONSTANT_INPUTS.items():
        schema = onnx.defs.get_schema(operator, 17, "")
        for index, role in inputs.items():
            assert schema.inputs[index].name.lower() == role, operator


# Rules on the whole graph


@pytest.mark.parametrize(("opset", "found"), [(16, {}), (17, {}), (18, {"opset_is_read": ["graph"]})])
def test_opset_above_17_is_found(opset, found):
    assert findings(node("Relu", ["x"], "y"), opset=opset) == found


def test_operator_of_another_domain_is_found():
    plugin = helper.make_node("Relu", ["x"], ["y"], name="y", domain="com.example")
    # Its shape is not known either, since nobody knows the operator.
    assert findings(plugin, domains=["com.example"]) == {"operators_are_standard": ["y"], "shapes_are_static": ["y"]}
    model = graph_of(helper.make_node("Relu", ["x"], ["y"], name="y", domain="ai.onnx"))
    model.opset_import[0].domain = "ai.onnx"  # another name of the standard domain
    assert check_graph(model) == []


def test_function_of_the_file_is_found():
    model = graph_of(helper.make_node("Twice", ["x"], ["y"], name="y", domain="com.example"), domains=["com.example"])
    double = helper.make_node("Add", ["a", "a"], ["b"])
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("com.example", "Twice", ["a"], ["b"], [double], opsets))
    # Its shape is known, from the function's body.
    assert [(found.rule, found.node) for found in check_graph(model)] == [
        ("operators_are_standard", "y"),
        ("operators_are_standard", "Twice"),
    ]


def test_control_flow_is_found():
    branch = helper.make_graph(
        [node("Constant", [], "value", value=numpy_helper.from_array(np.ones(SHAPE, np.float32)))],
        "branch",
        [],
        [helper.make_tensor_value_info("value", FLOAT, SHAPE)],
    )
    either = node("If", ["flag"], "y", then_branch=branch, else_branch=branch)
    assert findings(either, constants={"flag": np.array(True)}) == {"control_flow_is_absent": ["y"]}


@pytest.mark.parametrize("operator", ["Relu", "HardSwish"])
def test_supported_operator_passes(operator):
    assert findings(node(operator, ["x"], "y")) == {}


@pytest.mark.parametrize("operator", ["IsInf", "Hardmax", "Mish"])
def test_operator_that_tensorrt_lacks_is_found(operator):
    result = helper.make_tensor_value_info("y", TensorProto.BOOL if operator == "IsInf" else FLOAT, None)
    found = findings(node(operator, ["x"], "y"), opset=18 if operator == "Mish" else 17, output=result)
    assert found.pop("operators_are_supported") == ["y"]
    assert set(found) <= {"opset_is_read"}


def test_type_that_an_operator_lacks_is_found():
    whole, half = {"x": (SHAPE, TensorProto.INT32)}, {"x": (SHAPE, HALF)}
    result = helper.make_tensor_value_info("y", TensorProto.INT32, None)
    assert findings(node("Add", ["x", "x"], "y"), inputs=whole, output=result) == {}
    # An Add of whole numbers runs, a MatMul of them does not.
    found = findings(node("MatMul", ["x", "x"], "y"), inputs=whole, output=result)
    assert found == {"types_are_supported": ["y"]}
    result = helper.make_tensor_value_info("y", HALF, None)
    assert findings(node("MatMul", ["x", "x"], "y"), inputs=half, output=result) == {}


def test_double_is_found_wherever_it_comes_from():
    double = helper.make_tensor_value_info("y", TensorProto.DOUBLE, None)
    found = findings(node("Relu", ["x"], "y"), inputs={"x": (SHAPE, TensorProto.DOUBLE)}, output=double)
    assert found == {"types_are_supported": ["x", "y", "y"]}
    cast = node("Cast", ["x"], "y", to=TensorProto.DOUBLE)
    assert findings(cast, output=double) == {"types_are_supported": ["y"]}


def test_int64_is_for_constants_alone():
    take = node("Gather", ["x", "index"], "y", axis=1)
    assert findings(take, constants={"index": np.array([2, 0])}) == {}
    fill = node("ConstantOfShape", ["sizes"], "ones", value=helper.make_tensor("value", FLOAT, [1], [1.0]))
    assert findings(fill, node("Add", ["x", "ones"], "y"), constants={"sizes": np.array(SHAPE)}) == {}
    best = node("ArgMax", ["x"], "index", axis=1)
    assert findings(best, node("Gather", ["x", "index"], "y", axis=1)) == {"types_are_supported": ["index"]}


def test_bool_is_for_operators_that_have_it():
    compare, choose = node("Greater", ["x", "zero"], "mask"), node("Where", ["mask", "x", "zero"], "y")
    zero = {"zero": np.zeros((1, 1, 1, 1), np.float32)}
    assert findings(compare, choose, constants=zero) == {}
    result = helper.make_tensor_value_info("y", TensorProto.BOOL, None)
    pad = node("Pad", ["mask", "pads"], "y")
    found = findings(compare, pad, constants={**zero, "pads": np.zeros(8, np.int64)}, output=result)
    assert found == {"types_are_supported": ["y"]}


FRAME = {"frame": ((1, 6, 6, 3), UINT8)}


def cast(source, output, to=FLOAT):
    return node("Cast", [source], output, to=to)


def test_uint8_input_is_for_one_cast_to_float():
    assert findings(cast("frame", "y"), inputs=FRAME) == {}
    half = helper.make_tensor_value_info("y", HALF, None)
    assert findings(cast("frame", "y", HALF), inputs=FRAME, output=half) == {}
    whole = helper.make_tensor_value_info("y", TensorProto.INT32, None)
    assert findings(cast("frame", "y", TensorProto.INT32), inputs=FRAME, output=whole) == {
        "uint8_is_cast_at_once": ["y"]
    }


def test_uint8_input_with_two_readers_is_found():
    two = [cast("frame", "a"), cast("frame", "b"), node("Add", ["a", "b"], "y")]
    assert findings(*two, inputs=FRAME) == {"uint8_is_cast_at_once": ["frame"]}


def test_uint8_input_that_is_an_output_too_is_found():
    frame = helper.make_tensor_value_info("frame", UINT8, (1, 6, 6, 3))
    assert findings(cast("frame", "y"), inputs=FRAME, output=frame) == {"uint8_is_cast_at_once": ["frame"]}


def test_uint8_behind_anything_but_the_input_is_found():
    transpose = node("Transpose", ["frame"], "planes", perm=[0, 3, 1, 2])
    # The input's reader is no Cast, and the planes are uint8 within the graph.
    assert findings(transpose, cast("planes", "y"), inputs=FRAME) == {"uint8_is_cast_at_once": ["frame", "planes"]}
    table = {"table": np.zeros((1, 4, 1, 1), np.uint8)}
    assert findings(cast("table", "t"), node("Add", ["x", "t"], "y"), constants=table) == {
        "uint8_is_cast_at_once": ["table"]
    }


# Shapes


def test_symbolic_size_is_found_at_its_origin_alone():
    chain = [node("Relu", ["x"], "a"), node("Sigmoid", ["a"], "y")]
    assert findings(*chain, inputs={"x": ((1, 4, "h", 6), FLOAT)}) == {"shapes_are_static": ["x"]}
    assert findings(*chain, inputs={"x": (None, FLOAT)}) == {"shapes_are_static": ["x"]}
    assert findings(*chain) == {}


def test_symbolic_batch_is_fine_where_it_was_asked_for():
    chain = [node("Relu", ["x"], "a"), node("Sigmoid", ["a"], "y")]
    batch = {"x": (("n", 4, 6, 6), FLOAT)}
    assert findings(*chain, inputs=batch) == {"shapes_are_static": ["x"]}
    assert findings(*chain, inputs=batch, dynamic_batch=True) == {}
    height = {"x": (("n", 4, "h", 6), FLOAT)}
    assert findings(*chain, inputs=height, dynamic_batch=True) == {"shapes_are_static": ["x"]}


def test_shape_that_depends_on_data_is_found():
    result = helper.make_tensor_value_info("y", INT64, None)
    found = findings(node("NonZero", ["x"], "y"), output=result)
    assert found["shapes_are_static"] == ["y"]


def test_shapes_that_the_file_claims_are_not_trusted():
    def where(*nodes):
        model = graph_of(
            *nodes,
            inputs={"x": (SHAPE, FLOAT), "chosen": ((4,), TensorProto.BOOL)},
            output=helper.make_tensor_value_info(nodes[-1].output[0], FLOAT, (1, 2, 6, 6)),
        )
        model.graph.value_info.append(helper.make_tensor_value_info("some", FLOAT, (1, 2, 6, 6)))
        return [finding.node for finding in check_graph(model) if finding.rule == "shapes_are_static"]

    choose = node("Compress", ["x", "chosen"], "some", axis=1)
    assert where(choose) == ["some"]
    assert where(choose, node("Relu", ["some"], "y")) == ["some"]


COMPUTED_SHAPES = {
    "Reshape": ({}, {"shape": [1, 4, 36]}),
    "Slice": ({}, {"starts": [0], "ends": [2], "axes": [1], "steps": [1]}),
    "Pad": ({}, {"pads": [0, 0, 1, 1, 0, 0, 1, 1]}),
    "Expand": ({}, {"shape": [2, 4, 6, 6]}),
    "Tile": ({}, {"repeats": [1, 1, 2, 2]}),
    "ReduceSum": ({}, {"axes": [2, 3]}),
    "Squeeze": ({}, {"axes": [0]}),
    "Unsqueeze": ({}, {"axes": [0]}),
    "Split": ({"axis": 1}, {"split": [4]}),
}


@pytest.mark.parametrize(
    ("operator", "role"), [(operator, role) for operator, (_, roles) in COMPUTED_SHAPES.items() for role in roles]
)
def test_shape_that_is_computed_is_found(operator, role):
    attributes, roles = COMPUTED_SHAPES[operator]
    constants = {name: np.array(value) for name, value in roles.items()}
    consumer = node(operator, ["x", *roles], "y", **attributes)
    assert findings(consumer, constants=constants) == {}
    # The same numbers out of a node: as known to shape inference as before, and no constant any more.
    constants = {f"{name}_constant" if name == role else name: value for name, value in constants.items()}
    consumer = node(
        operator, ["x", *(f"{name}_computed" if name == role else name for name in roles)], "y", **attributes
    )
    found = findings(node("Identity", [f"{role}_constant"], f"{role}_computed"), consumer, constants=constants)
    assert found["shapes_come_from_constants"] == ["y"]


def test_constant_node_counts_as_a_constant():
    sizes = node("Constant", [], "sizes", value_ints=[1, 4, 36])
    assert findings(sizes, node("Reshape", ["x", "sizes"], "y")) == {}


# Rules on one operator


def conv(weight="kernel", *bias, **attributes):
    return node("Conv", ["x", weight, *bias], "y", **attributes)


@pytest.mark.parametrize("kernel", [KERNEL, LARGE_KERNEL], ids=["small", "large"])
def test_weight_that_is_computed_is_found(kernel):
    padded = {"pads": [8, 8, 8, 8]}
    assert findings(conv(**padded), constants={"kernel": kernel}) == {}
    twice = node("Add", ["kernel", "kernel"], "weight")
    assert findings(twice, conv("weight", **padded), constants={"kernel": kernel}) == {"weights_are_constant": ["y"]}
    bias = node("Neg", ["shift"], "bias")
    constants = {"kernel": kernel, "shift": np.ones(4, np.float32)}
    assert findings(bias, conv("kernel", "bias", **padded), constants=constants) == {"weights_are_constant": ["y"]}
    assert findings(conv("kernel", "shift", **padded), constants=constants) == {}


def quantizer(kind, source, output, scale="scale", zero_point="zero", **attributes):
    return node(kind, [name for name in (source, scale, zero_point) if name], output, **attributes)


def test_quantized_weight_counts_as_constant():
    constants = {
        "integers": np.ones((4, 4, 3, 3), np.int8),
        "scale": np.full(4, 0.5, np.float32),
        "zero": np.zeros(4, np.int8),
    }
    assert (
        findings(quantizer("DequantizeLinear", "integers", "weight", axis=0), conv("weight"), constants=constants) == {}
    )
    constants["kernel"] = constants.pop("integers").astype(np.float32)
    pair = [
        quantizer("QuantizeLinear", "kernel", "steps", axis=0),
        quantizer("DequantizeLinear", "steps", "weight", axis=0),
    ]
    assert findings(*pair, conv("weight"), constants=constants) == {}


def resize(**attributes):
    sizes = {"sizes": np.array([1, 4, 12, 12]), "none": np.zeros(0, np.float32)}
    return findings(node("Resize", ["x", "none", "none", "sizes"], "y", **attributes), constants=sizes)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("coordinates", ["half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"])
def test_resize_of_a_supported_kind_passes(mode, coordinates):
    assert resize(mode=mode, coordinate_transformation_mode=coordinates) == {}
    assert resize(mode=mode, coordinate_transformation_mode=coordinates, nearest_mode="floor") == {}


@pytest.mark.parametrize(
    "attributes",
    [
        {"mode": "cubic"},
        {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize"},
        {"mode": "nearest", "nearest_mode": "round_to_even"},
        {"coordinate_transformation_mode": "tf_half_pixel_for_nn", "nearest_mode": "floor"},
    ],
)
def test_resize_that_tensorrt_lacks_is_found(attributes):
    assert resize(**attributes) == {"resize_is_supported": ["y"]}


def test_linear_resize_of_the_batch_is_found():
    scales = {"none": np.zeros(0, np.float32), "scales": np.array([2, 1, 2, 2], np.float32)}
    assert findings(node("Resize", ["x", "none", "scales"], "y", mode="nearest"), constants=scales) == {}
    assert findings(node("Resize", ["x", "none", "scales"], "y", mode="linear"), constants=scales) == {
        "resize_is_supported": ["y"]
    }


def test_pool_with_indices_dilations_or_one_axis_is_found():
    window = {"kernel_shape": [2, 2], "strides": [2, 2]}
    assert findings(node("MaxPool", ["x"], "y", **window)) == {}
    # TensorRT's names for 1 are "no dilation".
    assert findings(node("MaxPool", ["x"], "y", dilations=[1, 1], **window)) == {}
    assert findings(node("MaxPool", ["x"], "y", dilations=[2, 2], **window)) == {"pooling_is_supported": ["y"]}
    line = {"x": ((1, 4, 6), FLOAT)}
    assert findings(node("AveragePool", ["x"], "y", kernel_shape=[2]), inputs=line) == {"pooling_is_supported": ["y"]}
    both = helper.make_node("MaxPool", ["x"], ["y", "where"], name="y", **window)
    assert findings(both)["pooling_is_supported"] == ["y"]


@pytest.mark.parametrize(
    ("mode", "found"),
    [("constant", {}), ("reflect", {}), ("edge", {}), ("wrap", {"pad_mode_is_supported": ["y"]})],
)
def test_pad_mode_that_tensorrt_lacks_is_found(mode, found):
    pads = {"pads": np.array([0, 0, 1, 1, 0, 0, 1, 1])}
    assert findings(node("Pad", ["x", "pads"], "y", mode=mode), constants=pads) == found


def pair(scale, zero_point):
    constants = {"scale": np.float32(scale), "zero": zero_point}
    nodes = [quantizer("QuantizeLinear", "x", "steps"), quantizer("DequantizeLinear", "steps", "y")]
    return findings(*nodes, constants=constants)


def test_symmetric_int8_passes():
    assert pair(0.5, np.int8(0)) == {}


def test_zero_point_other_than_0_is_found():
    assert pair(0.5, np.int8(3)) == {"quantization_is_symmetric": ["steps", "y"]}


def test_uint8_zero_point_is_found():
    found = pair(0.5, np.uint8(0))
    assert found == {"quantization_is_symmetric": ["steps", "y"], "uint8_is_cast_at_once": ["zero", "steps"]}


def test_scale_of_0_is_found():
    assert pair(0.0, np.int8(0)) == {"quantization_is_symmetric": ["steps", "y"]}


def test_computed_scale_is_found():
    constants = {"half": np.float32(0.25), "zero": np.int8(0)}
    scale = node("Add", ["half", "half"], "scale")
    nodes = [quantizer("QuantizeLinear", "x", "steps"), quantizer("DequantizeLinear", "steps", "y")]
    assert findings(scale, *nodes, constants=constants) == {"quantization_is_symmetric": ["steps", "y"]}


def test_missing_zero_point_is_found():
    constants = {"scale": np.float32(1), "zero": np.int8(0)}
    nodes = [
        quantizer("QuantizeLinear", "x", "steps"),
        quantizer("DequantizeLinear", "steps", "y", zero_point=""),
    ]
    assert findings(*nodes, constants=constants) == {"quantization_is_symmetric": ["y"]}


def test_scales_per_channel_of_an_activation_are_found():
    constants = {"scale": np.ones(4, np.float32), "zero": np.zeros(4, np.int8)}
    nodes = [
        quantizer("QuantizeLinear", "x", "steps", axis=1),
        quantizer("DequantizeLinear", "steps", "y", axis=1),
    ]
    assert findings(*nodes, constants=constants) == {"quantization_is_symmetric": ["steps", "y"]}


def test_form_of_onnxruntime_is_not_taken_for_the_one_of_tensorrt():
    ranges = drawing.ranges_of(NETWORK, drawing.frames(2))
    model = onnx.load_model_from_string(quantize(NETWORK, ranges, QuantizationConfig("min-max"), "onnxruntime").data)
    rules = {finding.rule for finding in check_graph(model)}
    # int32 biases, uint8 activations, zero points of 128; how the frame is laid out is another matter.
    assert rules - {"layout_changes_once"} == {
        "types_are_supported",
        "uint8_is_cast_at_once",
        "quantization_is_symmetric",
    }


def test_random_numbers_are_found():
    noise = node("RandomNormalLike", ["x"], "noise")
    assert findings(noise, node("Add", ["x", "noise"], "y")) == {"noise_has_no_seed": ["noise"]}


@pytest.mark.parametrize("seed", [{}, {"seed": 1.0}])
def test_uniform_noise_may_have_no_seed(seed):
    noise = helper.make_node("RandomUniform", [], ["noise"], name="noise", shape=[1], **seed)
    found = findings(noise, node("Add", ["x", "noise"], "y"))
    assert found == ({"noise_has_no_seed": ["noise"]} if seed else {})


def test_dropout_in_training_is_found():
    constants = {"ratio": np.float32(0.5), "off": np.array(False), "on": np.array(True)}
    assert findings(node("Dropout", ["x"], "y")) == {}
    assert findings(node("Dropout", ["x", "ratio", "off"], "y"), constants=constants) == {}
    assert findings(node("Dropout", ["x", "ratio", "on"], "y"), constants=constants) == {"training_is_over": ["y"]}


def test_batch_norm_in_training_is_found():
    constants = {name: np.ones(4, np.float32) for name in ("scale", "shift", "mean", "variance")}
    assert findings(node("BatchNormalization", ["x", *constants], "y"), constants=constants) == {}
    training = helper.make_node(
        "BatchNormalization", ["x", *constants], ["y", "new_mean", "new_variance"], name="y", training_mode=1
    )
    assert findings(training, constants=constants) == {"training_is_over": ["y"]}


def test_instance_norm_of_rank_2_or_with_a_computed_scale_is_found():
    constants = {"scale": np.ones(4, np.float32), "shift": np.zeros(4, np.float32)}
    norm = node("InstanceNormalization", ["x", "scale", "shift"], "y")
    assert findings(norm, constants=constants) == {}
    flat = {"x": ((1, 4), FLOAT)}
    assert findings(norm, constants=constants, inputs=flat) == {"instance_norm_is_of_images": ["y"]}
    computed = node("InstanceNormalization", ["x", "twice", "shift"], "y")
    found = findings(node("Add", ["scale", "scale"], "twice"), computed, constants=constants)
    assert found == {"weights_are_constant": ["y"]}


@pytest.mark.parametrize(
    ("equation", "found"),
    [("bchw,bchw->bhw", False), ("...hw,...hw->...h", True), ("bchh,bchw->bcw", True), ("BCHW,BCHW->B", True)],
)
def test_einsum_that_tensorrt_lacks_is_found(equation, found):
    result = findings(node("Einsum", ["x", "x"], "y", equation=equation))
    assert ("einsum_is_plain" in result) is found


def test_broadcasting_einsum_is_found():
    inputs = {"x": (SHAPE, FLOAT), "z": ((1, 1, 6, 6), FLOAT)}
    found = findings(node("Einsum", ["x", "z"], "y", equation="bchw,bchw->bchw"), inputs=inputs)
    assert "einsum_is_plain" in found


@pytest.mark.parametrize(
    ("activations", "found"),
    [(["Sigmoid", "Tanh"] * 2, {}), (["Sigmoid", "Tanh", "Relu", "Tanh"], {"both_directions_are_alike": ["y"]})],
)
def test_recurrent_layer_with_two_kinds_of_activations_is_found(activations, found):
    constants = {"w": np.ones((2, 9, 4), np.float32), "r": np.ones((2, 9, 3), np.float32)}
    layer = node("GRU", ["x", "w", "r"], "y", hidden_size=3, direction="bidirectional", activations=activations)
    assert findings(layer, constants=constants, inputs={"x": ((5, 1, 4), FLOAT)}) == found


# Transposes


def transpose(source, output, *perm):
    return node("Transpose", [source], output, perm=perm)


NHWC = {"x": ((1, 6, 6, 4), FLOAT)}
SCALE = {"scale": np.full((1, 1, 1, 4), 0.5, np.float32), "kernel": KERNEL}


def test_layout_change_behind_cast_and_normalisation_passes():
    nodes = [
        cast("frame", "float"),
        node("Mul", ["float", "scale"], "scaled"),
        transpose("scaled", "planes", 0, 3, 1, 2),
        node("Relu", ["planes"], "y"),
    ]
    assert findings(*nodes, inputs={"frame": ((1, 6, 6, 4), UINT8)}, constants=SCALE) == {}


def test_second_layout_change_of_an_input_is_found():
    nodes = [transpose("x", "a", 0, 3, 1, 2), transpose("x", "b", 0, 3, 1, 2), node("Add", ["a", "b"], "y")]
    assert findings(*nodes, inputs=NHWC) == {"layout_changes_once": ["b"]}


def test_transpose_behind_a_convolution_is_found():
    assert findings(
        node("Conv", ["x", "kernel"], "map"), transpose("map", "y", 0, 3, 1, 2), constants={"kernel": KERNEL}
    ) == {"layout_changes_once": ["y"]}


def test_transpose_of_an_input_into_another_layout_is_found():
    assert findings(transpose("x", "y", 0, 2, 3, 1)) == {"layout_changes_once": ["y"]}
    assert findings(node("Transpose", ["x"], "y")) == {"layout_changes_once": ["y"]}  # without perm it reverses


def test_transposed_matrix_of_an_encoding_layer_passes():
    sizes = {"sizes": np.array([1, 4, 36])}
    nodes = [node("Reshape", ["x", "sizes"], "rows"), transpose("rows", "columns", 0, 2, 1)]
    assert findings(*nodes, node("MatMul", ["rows", "columns"], "y"), constants=sizes) == {}


@pytest.mark.parametrize("between", [(), ("Relu",), ("Relu", "Sigmoid")])
def test_transposes_that_cancel_are_found(between):
    nodes = [transpose("x", "t0", 2, 0, 1)]
    for number, kind in enumerate(between):
        nodes.append(node(kind, [f"t{number}"], f"t{number + 1}"))
    nodes.append(transpose(f"t{len(between)}", "y", 1, 2, 0))
    matrices = {"x": ((3, 4, 5), FLOAT)}
    assert findings(*nodes, inputs=matrices) == {"transposes_do_not_cancel": ["y"]}
    # The same permutation twice turns on and does not turn back.
    nodes[-1] = transpose(f"t{len(between)}", "y", 2, 0, 1)
    assert findings(*nodes, inputs=matrices) == {}


def test_transpose_that_changes_nothing_is_found():
    assert findings(transpose("x", "y", 0, 1, 2), inputs={"x": ((3, 4, 5), FLOAT)}) == {
        "transposes_do_not_cancel": ["y"]
    }


# What comes of it


def test_contradicting_types_are_an_error_in_one_line():
    model = graph_of(node("Add", ["x", "z"], "y"), inputs={"x": (SHAPE, FLOAT), "z": (SHAPE, INT64)})
    with pytest.raises(GraphError, match="types of the graph cannot be inferred") as caught:
        check_graph(model)
    assert "\n" not in str(caught.value)


def test_require_names_the_first_finding_and_counts_the_others():
    model = graph_of(node("IsInf", ["x"], "y"), output=helper.make_tensor_value_info("y", TensorProto.BOOL, None))
    with pytest.raises(GraphError) as caught:
        require(model, "tiny")
    message = str(caught.value)
    assert message.startswith("TensorRT 8.5 does not run the graph of tiny: y: TensorRT 8.5 has no IsInf")
    assert ", and " not in message and "Next: " in message and "\n" not in message
    model = graph_of(
        node("MaxPool", ["x"], "a", kernel_shape=[2, 2], dilations=[2, 2]), transpose("a", "y", 0, 2, 3, 1)
    )
    with pytest.raises(GraphError, match=r"a: MaxPool has dilations .*, and 1 more\. Next"):
        require(model, "tiny")
    assert require(NETWORK, "network") is None


def test_require_can_allow_a_symbolic_batch():
    model = graph_of(node("Relu", ["x"], "y"), inputs={"x": (("n", 4, 6, 6), FLOAT)})
    assert require(model, "tiny", dynamic_batch=True) is None
    with pytest.raises(GraphError, match=r"shape of x is \(\?, 4, 6, 6\)"):
        require(model, "tiny")


def test_missing_onnx_is_an_error_with_the_install_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingDependencyError, match="pip install onnx"):
        check_graph(NETWORK)


# The command


def saved(path, *nodes, **options):
    result = helper.make_tensor_value_info("y", FLOAT, SHAPE)
    onnx.save(graph_of(*nodes, output=result, **options), str(path))
    return str(path)


def test_command_prints_a_finding_a_line_and_returns_1(tmp_path, capsys):
    path = saved(
        tmp_path / "model.onnx",
        node("Relu", ["x"], "a"),
        transpose("a", "b", 0, 2, 3, 1),
        transpose("b", "y", 0, 3, 1, 2),
    )
    assert main([path]) == tensorrt_rules.EXIT_FINDINGS == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["b", "y", "y"]
    assert lines[0].endswith("[layout_changes_once]")


def test_command_prints_json(tmp_path, capsys):
    path = saved(tmp_path / "model.onnx", node("Relu", ["x"], "y"), inputs={"x": (("n", 4, 6, 6), FLOAT)})
    assert main([path, "--json"]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert (printed["graph"], printed["nodes"]) == (path, 1)
    assert [(found["rule"], found["node"]) for found in printed["findings"]] == [("shapes_are_static", "x")]
    assert main([path, "--json", "--dynamic-batch"]) == 0
    assert json.loads(capsys.readouterr().out)["findings"] == []


def test_command_refuses_what_is_no_graph_in_one_line(tmp_path, capsys, one_line):
    assert main([str(tmp_path / "missing.onnx")]) == 2
    assert "not found" in one_line(capsys.readouterr().err)
    (tmp_path / "noise.onnx").write_bytes(b"no graph at all")
    assert main([str(tmp_path / "noise.onnx")]) == 2
    assert "truncated or not ONNX" in one_line(capsys.readouterr().err)


def test_help_says_what_the_exit_codes_mean(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    assert "1 if something was" in " ".join(capsys.readouterr().out.split())
