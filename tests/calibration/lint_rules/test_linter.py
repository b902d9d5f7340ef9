"""What the linter's command and functions say of our own graphs, of broken ones, and of what is no quantised graph."""

from __future__ import annotations

import dataclasses
import json
import sys

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import TensorProto, numpy_helper

from calibration.lint import main
from calibration.lint_rules.linter import RULES, Finding, lint, require_clean
from calibration.qdq.insert import quantize
from calibration.qdq.quantization_config import QuantizationConfig
from edge.errors import GraphError, InputError, MissingDependencyError
from tests.calibration import graph_drawing as drawing

FORMS = ("tensorrt", "onnxruntime")
NETWORK = drawing.make_network()
RANGES = drawing.ranges_of(NETWORK, drawing.frames(4))


def quantized(form="tensorrt", **recipe):
    data = quantize(NETWORK, RANGES, QuantizationConfig(method="min-max", **recipe), form).data
    return onnx.load_model_from_string(data)


def node_of(model, name):
    return next(node for node in model.graph.node if node.name == name)


def with_two_errors():
    """Return our graph with a scale of zero, and a layer whose weight is float again."""
    model = quantized()
    scale = next(tensor for tensor in model.graph.initializer if tensor.name == "nchw/scale")
    scale.CopyFrom(numpy_helper.from_array(np.float32(0), scale.name))
    model.graph.initializer.append(numpy_helper.from_array(np.ones((5, 16, 1, 1), np.float32), "head_float"))
    node_of(model, "logits").input[1] = "head_float"
    return model


def saved(tmp_path, model, name="model.int8.onnx"):
    path = tmp_path / name
    path.write_bytes(model.SerializeToString())
    return str(path)


# Our own graphs


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "recipe",
    [{}, {"classifier": "float"}, {"resize": "float"}, {"bias_correction": True}, {"float_layers": {"deep": "test"}}],
    ids=str,
)
def test_our_own_graph_is_clean_in_its_form(form, recipe):
    assert lint(quantized(form, **recipe), form) == ()
    assert require_clean(quantized(form, **recipe), form, "the network") == ()


def test_form_of_onnxruntime_is_named_once_where_tensorrt_is_asked():
    findings = lint(quantized("onnxruntime"), "tensorrt")
    unsigned = [finding for finding in findings if "uint8" in finding.message]
    assert [finding.rule for finding in unsigned] == ["integers-are-signed"]
    assert "--form onnxruntime" in unsigned[0].line()


def test_form_of_tensorrt_is_found_where_onnxruntime_is_asked():
    found = {finding.rule for finding in lint(quantized("tensorrt"), "onnxruntime")}
    assert found == {"activation-is-unsigned", "bias-is-quantized-with-its-layer"}


# The functions


def test_errors_come_before_warnings():
    findings = lint(quantized("onnxruntime"), "tensorrt")
    severities = [finding.severity for finding in findings]
    assert severities == sorted(severities) and set(severities) == {"error", "warning"}


def test_graph_is_left_as_it_is():
    model = quantized()
    for node in model.graph.node:
        node.name = ""
    before = model.SerializeToString(deterministic=True)
    lint(model)
    assert model.SerializeToString(deterministic=True) == before


def test_findings_are_frozen():
    finding = lint(with_two_errors())[0]
    assert isinstance(finding, Finding)
    with pytest.raises(dataclasses.FrozenInstanceError):
        finding.node = "other"


def test_rules_have_names_of_their_own_a_severity_and_a_next_step():
    assert len({rule.name for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule.severity in ("error", "warning"), rule.name
        assert rule.next_step.endswith(".") and rule.check.__doc__, rule.name
        assert rule.forms and set(rule.forms) <= set(FORMS), rule.name


def test_rules_name_their_source():
    unsourced = {rule.name for rule in RULES if "Source:" not in rule.check.__doc__}
    assert unsourced == {"control-flow-is-absent"}  # it says what the linter does not see


def test_weights_are_not_read_and_shapes_not_inferred(monkeypatch):
    model = quantized()
    to_array = numpy_helper.to_array

    def small_ones(tensor, *arguments):
        assert np.prod(tensor.dims) <= 16, f"{tensor.name} was read"
        return to_array(tensor, *arguments)

    def refuse(*_arguments, **_options):
        raise AssertionError("shapes were inferred")

    monkeypatch.setattr(onnx.numpy_helper, "to_array", small_ones)
    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", refuse)
    assert lint(model) == ()


def test_unclean_graph_is_refused_with_its_first_errors():
    with pytest.raises(GraphError) as caught:
        require_clean(with_two_errors(), "tensorrt", "model.int8.onnx")
    message = str(caught.value)
    assert message.startswith("model.int8.onnx is not as tensorrt wants it: nchw/QuantizeLinear: scale-is-positive")
    assert "logits: layer-is-quantized-whole" in message and ". Next: " in message and "\n" not in message


def test_refusal_counts_what_it_does_not_show():
    with pytest.raises(GraphError, match=r"; and \d+ more\. Next: "):
        require_clean(quantized("onnxruntime"), "tensorrt", "model.onnx")


def test_warnings_are_no_refusal():
    model = quantized()
    # The Add reads its residual past the pair.
    node_of(model, "residual").input[1] = "stem_relu"
    warnings = require_clean(model, "tensorrt", "model.int8.onnx")
    assert [(finding.severity, finding.rule, finding.node) for finding in warnings] == [
        ("warning", "residual-is-quantized", "residual")
    ]


def test_float_graph_is_refused():
    with pytest.raises(GraphError, match=r"no QuantizeLinear and no DequantizeLinear.*this one is float.*Next: "):
        lint(NETWORK)


def test_graph_of_integer_operators_alone_is_no_float_graph():
    shape = (1, 2, 4, 4)
    nodes = [
        drawing.node("ConvInteger", ["x", "w"], "sums"),
        drawing.node("Cast", ["sums"], "y", to=TensorProto.FLOAT),
    ]
    kernel = np.ones((2, 2, 1, 1), np.int8)
    model = drawing.make_model(
        nodes, {"w": kernel}, {"x": (shape, TensorProto.INT8)}, {"y": (shape, TensorProto.FLOAT)}
    )
    assert [(finding.rule, finding.node) for finding in lint(model)] == [("operators-are-float", "sums")]


def test_unknown_form_is_refused():
    with pytest.raises(InputError, match="form is 'int4', expected tensorrt or onnxruntime"):
        lint(quantized(), "int4")


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingDependencyError, match="pip install onnx"):
        lint(NETWORK)


# The command


def test_command_says_what_it_found_line_by_line(tmp_path, capsys):
    assert main([saved(tmp_path, with_two_errors())]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("error nchw/QuantizeLinear: scale-is-positive: scale is 0, expected ")
    assert ". Next: Collect the range" in lines[0]
    assert lines[-1].startswith("2 errors and 0 warnings in form tensorrt: ")
    assert lines[-1].endswith("3 of 4 layers with multiply-adds in INT8")
    assert len(lines) == 3


def test_command_on_a_clean_graph_is_one_line(tmp_path, capsys):
    model = quantized()
    pairs = sum(node.op_type == "DequantizeLinear" for node in model.graph.node)
    assert main([saved(tmp_path, model)]) == 0
    assert capsys.readouterr().out == (
        f"0 errors and 0 warnings in form tensorrt: {len(model.graph.node)} nodes, {pairs} of them DequantizeLinear; "
        "4 of 4 layers with multiply-adds in INT8\n"
    )


def test_command_with_warnings_alone_succeeds(tmp_path, capsys):
    model = quantized()
    node_of(model, "residual").input[1] = "stem_relu"
    assert main([saved(tmp_path, model)]) == 0
    assert "0 errors and 1 warning " in capsys.readouterr().out


def test_command_takes_the_form(tmp_path):
    path = saved(tmp_path, quantized("onnxruntime"))
    assert main([path]) == 1
    assert main([path, "--form", "onnxruntime"]) == 0


def test_json_has_every_finding(tmp_path, capsys):
    path = saved(tmp_path, with_two_errors())
    assert main([path, "--json"]) == 1
    content = json.loads(capsys.readouterr().out)
    assert (content["graph"], content["form"], content["errors"], content["warnings"]) == (path, "tensorrt", 2, 0)
    assert content["findings"] == [dataclasses.asdict(finding) for finding in lint(with_two_errors())]


def test_unusable_input_is_exit_code_2_and_one_line(tmp_path, capsys):
    text = tmp_path / "text.onnx"
    text.write_text("no graph")
    for path, expected in (
        (str(tmp_path / "absent.onnx"), "graph not found"),
        (str(tmp_path), "is a folder with "),
        (str(text), "not ONNX"),
        (saved(tmp_path, NETWORK, "model.onnx"), "this one is float"),
    ):
        assert main([path]) == 2
        captured = capsys.readouterr()
        assert expected in captured.err and captured.err.count("\n") == 1 and not captured.out


def test_command_without_a_graph_is_refused(capsys):
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 2
    assert "no graph was given" in capsys.readouterr().err


@pytest.mark.parametrize("form", FORMS)
def test_rules_of_a_form_are_listed(form, capsys):
    names = {rule.name for rule in RULES if form in rule.forms}
    assert main(["--rules", "--form", form]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[1].rstrip(":") for line in lines} == names
    assert all("before 1.27" not in line for line in lines) == (form == "tensorrt")
    assert main(["--rules", "--form", form, "--json"]) == 0
    assert {item["rule"] for item in json.loads(capsys.readouterr().out)} == names


def test_rules_of_a_version_are_listed(capsys):
    assert main(["--rules", "--target", "10.0"]) == 0
    assert "scale-is-float32" not in capsys.readouterr().out
    assert main(["--rules", "--target", "8.5.2"]) == 0
    assert "error   scale-is-float32 (before 9.0): " in capsys.readouterr().out


def test_command_takes_the_version(tmp_path, capsys):
    model = quantized()
    for tensor in model.graph.initializer:
        if tensor.name.endswith("/scale"):
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    model.opset_import[0].version = 19
    path = saved(tmp_path, model)
    for options, code in ((["--target", "8.5.2"], 1), (["--target", "10.3"], 0), ([], 0)):
        assert main([path, *options]) == code, options
    assert capsys.readouterr().out.count("TensorRT up to 8.6") == 2
    assert main([path, "--target", "newest"]) == 2
    assert "'newest' is no version" in capsys.readouterr().err
