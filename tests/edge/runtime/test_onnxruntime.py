from __future__ import annotations

import dataclasses
import json
import sys

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from edge.card import CARD_FILE
from edge.errors import BackendError, EngineMismatchError, GraphError, InputError, MissingDependencyError
from edge.runtime import open_engine
from edge.runtime.onnxruntime import OnnxRuntimeRunner, import_onnxruntime, open_session
from edge.runtime.tensorrt import TensorRtRunner

FRAME = np.random.default_rng(1).integers(0, 256, (1, 16, 32, 3), np.uint8)


@pytest.fixture
def runner(make_engine):
    made, _ = open_engine(make_engine())
    return made


def expected_logits(runner, frame):
    """The tiny graph by hand: mean of blocks, centred, then one score for each class."""
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(str(runner._path)).graph
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    blocks = frame[0].astype(np.float64).reshape(4, 4, 8, 4, 3).mean((1, 3)) - 127.5
    return np.einsum("kc,yxc->kyx", weights["weight"][:, :, 0, 0], blocks) + weights["bias"][:, None, None]


def test_logits_are_those_of_the_graph(runner):
    with runner:
        logits = runner.infer(FRAME)
    assert logits.shape == (11, 4, 8)
    assert logits.dtype == np.float32
    # float32 sums of a few hundred.
    np.testing.assert_allclose(logits, expected_logits(runner, FRAME), atol=1e-3)


@pytest.mark.parametrize("threads", [0, 1, 2])
def test_description_names_version_device_and_threads(make_engine, threads):
    runner, _ = open_engine(make_engine(), threads)
    described = runner.describe()
    assert described["backend"] == "onnxruntime"
    assert described["version"] == import_onnxruntime().__version__
    assert described["device"] == "cpu"
    assert described["threads"] == threads or (threads == 0 and described["threads"] >= 1)


def test_nothing_is_loaded_before_activation(make_engine):
    folder = make_engine()
    runner, _ = open_engine(folder)
    (folder / "engine.onnx").unlink()
    with pytest.raises(GraphError, match="not found"):
        runner.activate()
    with pytest.raises(BackendError, match="onnxruntime runner of tiny is not active; use it in a with block"):
        runner.infer(FRAME)


def test_runner_can_be_used_again_after_its_end(runner):
    with runner:
        first = runner.infer(FRAME).copy()
    with pytest.raises(BackendError, match="not active"):
        runner.infer(FRAME)
    with runner:
        runner.activate()
        np.testing.assert_array_equal(runner.infer(FRAME), first)
    runner.deactivate()


def test_runner_is_ended_by_an_error_in_its_block(runner):
    with pytest.raises(KeyboardInterrupt), runner:
        raise KeyboardInterrupt
    with pytest.raises(BackendError, match="not active"):
        runner.infer(FRAME)


@pytest.mark.parametrize(
    "frame", [FRAME[0], FRAME.astype(np.float32), FRAME[:, :8], FRAME.transpose(0, 3, 1, 2), FRAME.repeat(2, 0)]
)
def test_frame_of_another_form_is_refused_with_both_forms(runner, frame):
    with runner, pytest.raises(InputError, match=r"tiny takes \(1, 16, 32, 3\) uint8, got \("):
        runner.infer(frame)


def test_frame_that_is_a_view_gives_the_same_logits(runner):
    with runner:
        np.testing.assert_array_equal(runner.infer(FRAME[:, ::-1, ::-1]), runner.infer(FRAME[:, ::-1, ::-1].copy()))


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.95])
def test_truncated_graph_is_one_line(make_engine, contract, share):
    path = make_engine() / "engine.onnx"
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(GraphError, match=r"engine\.onnx cannot be loaded, it is truncated or not ONNX: ") as caught:
        OnnxRuntimeRunner(path, contract).activate()
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_graph_are_refused():
    with pytest.raises(GraphError, match="the graph cannot be loaded"):
        open_session(b"not a graph")


@pytest.mark.parametrize(
    "changes",
    [
        {"height": 32},
        {"stride": 8},
        {"class_names": ("road", "sky")},
        {"input_name": "image"},
        {"output_name": "scores"},
    ],
)
def test_graph_outside_its_contract_is_refused(make_engine, contract, changes):
    path = make_engine() / "engine.onnx"
    with pytest.raises(GraphError, match=r"takes \[.*\] and gives \[.*\], its contract says"):
        OnnxRuntimeRunner(path, dataclasses.replace(contract, **changes)).activate()


def test_failure_while_running_is_a_backend_error(runner):
    class Session:
        def run(self, *_arguments):
            raise RuntimeError("")

    with runner:
        runner._session = Session()
        with pytest.raises(BackendError, match=r"ONNX Runtime failed on .*engine\.onnx: RuntimeError"):
            runner.infer(FRAME)


def test_missing_package_is_named_with_its_install_command(make_engine, monkeypatch):
    runner, _ = open_engine(make_engine())
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependencyError, match=r"onnxruntime.* Next: pip install onnxruntime"):
        runner.activate()


def test_engine_that_does_not_fit_its_card_is_refused_before_it_is_loaded(make_engine):
    folder = make_engine()
    with (folder / "engine.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(EngineMismatchError, match="truncated or was replaced"):
        open_engine(folder)


def test_card_chooses_the_backend(make_engine):
    folder = make_engine()
    assert isinstance(open_engine(folder)[0], OnnxRuntimeRunner)
    card = json.loads((folder / CARD_FILE).read_text())
    (folder / CARD_FILE).write_text(json.dumps({**card, "backend": "tensorrt"}))
    assert isinstance(open_engine(folder)[0], TensorRtRunner)
