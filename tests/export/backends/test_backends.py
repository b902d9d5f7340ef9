"""Which backend builds here, why, and what is an error before any work."""

from __future__ import annotations

import sys

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import TensorProto, helper, numpy_helper

import export.backends.trt_builder as tensorrt_builder
from edge.errors import BackendError, GraphError, InputError, MissingDependencyError
from edge.runtime.onnxruntime import open_session
from export.backends.choice import build_engine, choose_backend
from export.backends.options import EngineOptions
from export.backends.ort_builder import EMULATED_FLOAT16


@pytest.fixture
def no_tensorrt(monkeypatch):
    monkeypatch.setattr(tensorrt_builder, "tensorrt_problem", lambda: "no GPU")


@pytest.fixture
def with_tensorrt(monkeypatch):
    monkeypatch.setattr(tensorrt_builder, "tensorrt_problem", lambda: None)


@pytest.fixture(scope="module")
def graph() -> bytes:
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], name="conv")]
    weight = numpy_helper.from_array(np.ones((2, 3, 1, 1), np.float32), "w")
    shapes = {"x": (1, 3, 4, 4), "y": (1, 2, 4, 4)}
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()}
    drawn = helper.make_graph(nodes, "test", [values["x"]], [values["y"]], [weight])
    model = helper.make_model(drawn, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model.SerializeToString()


def test_auto_takes_tensorrt_where_it_can_build(with_tensorrt):
    assert choose_backend("auto") == ("tensorrt", "a GPU and TensorRT are here")


def test_auto_takes_onnxruntime_elsewhere_and_says_why(no_tensorrt):
    assert choose_backend("auto") == ("onnxruntime", "TensorRT cannot build here: no GPU")


def test_wish_is_followed(with_tensorrt):
    assert choose_backend("tensorrt") == ("tensorrt", "asked for")
    assert choose_backend("onnxruntime") == ("onnxruntime", "asked for")


def test_tensorrt_that_cannot_build_here_is_an_error(no_tensorrt):
    with pytest.raises(BackendError, match=r"TensorRT cannot build here: no GPU\. Next: --backend onnxruntime"):
        choose_backend("tensorrt")


def test_onnxruntime_that_is_not_installed_names_the_command(no_tensorrt, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependencyError, match="pip install onnxruntime"):
        choose_backend("auto")


def test_unknown_backend_is_refused():
    with pytest.raises(InputError, match="auto, tensorrt, onnxruntime"):
        choose_backend("openvino")


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_onnxruntime_engine_is_the_graph_itself(graph, precision):
    engine = build_engine("onnxruntime", graph, precision)
    assert (engine.data, engine.suffix, engine.notes) == (graph, ".onnx", ())
    assert engine.version == sys.modules["onnxruntime"].__version__


def test_float16_engine_of_onnxruntime_says_that_its_speed_means_nothing(graph):
    engine = build_engine("onnxruntime", graph, "float16")
    assert engine.notes == (EMULATED_FLOAT16,)
    assert engine.data != graph
    data = np.ones((1, 3, 4, 4), np.float32)
    np.testing.assert_allclose(open_session(engine.data).run(None, {"x": data})[0], 3.0)


def test_graph_that_onnxruntime_refuses_is_one_clear_error(graph):
    with pytest.raises(GraphError, match="truncated or not ONNX") as caught:
        build_engine("onnxruntime", graph[:-20], "float32")
    assert "\n" not in str(caught.value)


def test_tensorrt_gets_the_options_the_calibration_and_the_float_layers(monkeypatch, graph):
    given = []
    monkeypatch.setattr(tensorrt_builder, "build_tensorrt", lambda *arguments: given.append(arguments) or "engine")
    calibration, options = object(), EngineOptions(dla_core=1, workspace_mib=64)
    assert build_engine("tensorrt", graph, "int8", options, calibration, ("stem",)) == "engine"
    build_engine("tensorrt", graph, "float16")
    assert given == [
        (graph, "int8", options, calibration, ("stem",)),
        (graph, "float16", EngineOptions(), None, ()),
    ]


def test_engine_of_onnxruntime_takes_as_many_frames_as_asked_for(graph):
    built = build_engine("onnxruntime", graph, "float32", EngineOptions(batch=3))
    session = open_session(built.data, threads=1)
    assert [value.shape[0] for value in (*session.get_inputs(), *session.get_outputs())] == [3, 3]
