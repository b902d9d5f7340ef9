"""Graphs that ONNX Runtime saved after its optimisations, and graphs that are newer than the packages here."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

import edge.synthetic
from calibration.onnx_graph.file import load_graph
from edge.contract import GRAPH_FILE
from edge.errors import GraphError
from export.adopt.adoption import adopt
from export.adopt.ort_saved import standard_operators
from tests.export.foreign_graphs import CONTRACT, street_network

draw_scene = functools.lru_cache(maxsize=None)(edge.synthetic.draw_scene)


@pytest.fixture
def adopted(tmp_path, monkeypatch):
    monkeypatch.setattr(edge.synthetic, "draw_scene", draw_scene)
    (tmp_path / "guest.json").write_text(json.dumps(CONTRACT))
    return lambda name: adopt(tmp_path / name, tmp_path / "guest.json", tmp_path / "artifacts")


@pytest.fixture
def saved(tmp_path):
    """Return a function that lets ONNX Runtime save a graph at a level, and gives the name of the file."""

    def save(level):
        options = ort.SessionOptions()
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
        options.optimized_model_filepath = str(tmp_path / "guest.onnx")
        options.log_severity_level = 3
        ort.InferenceSession(street_network().SerializeToString(), options, providers=["CPUExecutionProvider"])
        return "guest.onnx"

    return save


@pytest.mark.parametrize("level", ["ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED"])
def test_graph_that_onnx_runtime_saved_is_read(adopted, saved, level):
    adoption = adopted(saved(level))
    assert adoption.report.label_agreement == 1 and adoption.contract.stride == 4
    model = onnx.load(adoption.folder / GRAPH_FILE)
    assert {node.domain for node in model.graph.node} == {""}
    assert {opset.domain for opset in model.opset_import} == {""}
    assert adoption.report.tensorrt_findings == ()


def test_extended_level_still_fuses(saved, tmp_path):
    # Else the test above would say nothing.
    assert any(node.op_type == "FusedConv" for node in onnx.load(tmp_path / saved("ORT_ENABLE_EXTENDED")).graph.node)


@pytest.mark.parametrize(
    ("domain", "operator"),
    [("com.microsoft.nchwc", "Conv"), ("com.ms.internal.nhwc", "Conv"), ("com.microsoft", "NhwcFusedConv")],
)
def test_graph_of_one_machines_layout_is_refused_with_its_level(adopted, tmp_path, domain, operator):
    model = street_network()
    node = next(node for node in model.graph.node if node.op_type == "Conv")
    node.domain, node.op_type = domain, operator
    onnx.save(model, tmp_path / "guest.onnx")
    with pytest.raises(GraphError) as refused:
        adopted("guest.onnx")
    message = str(refused.value)
    assert "was saved by ONNX Runtime at its layout level (ORT_ENABLE_ALL, its default)" in message
    assert f"is a {operator} of {domain}" in message
    assert message.endswith("Next: give the graph that it was made from, or save it at ORT_ENABLE_BASIC")


def contrib(operator, inputs, **attributes):
    return helper.make_node(operator, inputs, ["y"], domain="com.microsoft", **attributes)


CONV = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
FUSED = {
    "conv relu": contrib("FusedConv", ["x", "w", "b"], activation="Relu", **CONV),
    "conv alone": contrib("FusedConv", ["x", "w"], **CONV),
    "conv sum": contrib("FusedConv", ["x", "w", "b", "x"], activation="Tanh", **CONV),
    "conv leaky": contrib("FusedConv", ["x", "w"], activation="LeakyRelu", activation_params=[0.2], **CONV),
    "conv clip": contrib("FusedConv", ["x", "w"], activation="Clip", activation_params=[-0.1, 0.2], **CONV),
    "conv hard": contrib("FusedConv", ["x", "w"], activation="HardSigmoid", activation_params=[0.3, 0.6], **CONV),
    "quick gelu": contrib("QuickGelu", ["x"], alpha=1.3),
    "quick gelu of 1": contrib("QuickGelu", ["x"], alpha=1.0),
    "gelu": contrib("Gelu", ["x"]),
    "bias gelu": contrib("BiasGelu", ["x", "row"]),
    "matmul": contrib("FusedMatMul", ["x", "square"], alpha=0.5),
}


def _run_as_it_is(model, feed):
    # Version 1.19 lays a convolution of 3 channels with a sum out in blocks of 8, and then cannot run it.
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    return session.run(None, feed)[0]


@pytest.mark.parametrize("fused", FUSED.values(), ids=FUSED)
def test_fused_operator_and_its_parts_give_the_same(fused):
    generator = np.random.default_rng(4)
    shapes = {"w": (3, 3, 3, 3), "b": (3,), "row": (6,), "square": (6, 6)}
    constants = [
        numpy_helper.from_array(generator.normal(size=shape).astype(np.float32), name)
        for name, shape in shapes.items()
        if name in fused.input
    ]
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 6, 6]) for name in ("x", "y")]
    graph = helper.make_graph([fused], "one", tensors[:1], tensors[1:], constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    plain = standard_operators(model)
    onnx.checker.check_model(plain)
    assert {node.domain for node in plain.graph.node} == {""}
    feed = {"x": generator.normal(size=(1, 3, 6, 6)).astype(np.float32)}
    results = [_run_as_it_is(each, feed) for each in (model, plain)]
    np.testing.assert_allclose(results[1], results[0], rtol=1e-5, atol=1e-6)


def test_fused_operator_that_is_not_known_stays():
    node = contrib("FusedConv", ["x", "w"], activation="Other", **CONV)
    model = helper.make_model(helper.make_graph([node], "one", [], []))
    assert standard_operators(model).graph.node[0] == node


# Newer than the packages, and other files that are whole and not known


@pytest.mark.parametrize("read", ["adoption", "command"])
@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda m: setattr(m, "ir_version", 99), "has version 99 of the file format, onnx {} reads "),
        (lambda m: setattr(m.opset_import[0], "version", 99), "has opset 99, onnx {} knows "),
        (
            lambda m: setattr(m.graph.node[-1], "op_type", "Foo"),
            "onnx {} knows: No Op registered for Foo",
        ),
        (lambda m: m.opset_import.pop(), "is no graph that onnx {} knows: model with IR version"),
    ],
    ids=["file format", "opset", "operator", "no opset"],
)
def test_whole_file_is_never_called_truncated(adopted, tmp_path, change, line, read):
    model = street_network()
    change(model)
    onnx.save(model, tmp_path / "guest.onnx")
    with pytest.raises(GraphError) as refused:
        adopted("guest.onnx") if read == "adoption" else load_graph(tmp_path / "guest.onnx")
    message = str(refused.value)
    assert line.format(onnx.__version__) in message and "truncated" not in message
    assert "opset 17" in message


def test_missing_file_of_weights_is_named(tmp_path):
    beside = {"save_as_external_data": True, "location": "guest.weights", "size_threshold": 0}
    onnx.save(street_network(constants_are_nodes=False), str(tmp_path / "guest.onnx"), **beside)
    (tmp_path / "guest.weights").unlink()
    with pytest.raises(GraphError, match=r"has weights in a file beside it, .*guest\.weights.* Next: copy that file"):
        load_graph(tmp_path / "guest.onnx")
