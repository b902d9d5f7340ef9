from __future__ import annotations

import dataclasses
import json
import sys

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from edge import machine
from edge.card import CARD_FILE
from edge.contract import CENTRE_HEATMAP, OFFSETS, UNCERTAINTY, OutputTensor
from edge.errors import BackendError, EngineMismatchError, GraphError, InputError, MissingDependencyError
from edge.runtime import open_engine
from edge.runtime.onnxruntime import OnnxRuntimeRunner, import_onnxruntime, open_session
from edge.runtime.tensorrt import TensorRtRunner

FRAME = np.random.default_rng(1).integers(0, 256, (1, 16, 32, 3), np.uint8)
PANOPTIC = (OutputTensor("centre", 1, CENTRE_HEATMAP), OutputTensor("offset", 2, OFFSETS, "positions"))
ENTROPY = OutputTensor("entropy", 1, UNCERTAINTY, "nats", float(np.log(11)))


@pytest.fixture
def runner(make_engine):
    made, _ = open_engine(make_engine())
    return made


def expected_logits(path, frame):
    """The tiny graph by hand: mean of blocks, centred, then one score for each class."""
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(str(path)).graph
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    blocks = frame[0].astype(np.float64).reshape(4, 4, 8, 4, 3).mean((1, 3)) - 127.5
    return np.einsum("kc,yxc->kyx", weights["weight"][:, :, 0, 0], blocks) + weights["bias"][:, None, None]


def test_logits_are_those_of_the_graph(make_engine):
    folder = make_engine()
    with open_engine(folder)[0] as runner:
        logits = runner.infer(FRAME)
    assert logits.shape == (11, 4, 8)
    assert logits.dtype == np.float32
    # float32 sums of a few hundred.
    np.testing.assert_allclose(logits, expected_logits(folder / "engine.onnx", FRAME), atol=1e-3)


def test_graph_in_memory_gives_what_its_file_gives(make_engine, contract):
    path = make_engine() / "engine.onnx"
    with OnnxRuntimeRunner(path, contract) as of_file, OnnxRuntimeRunner(path.read_bytes(), contract) as in_memory:
        np.testing.assert_array_equal(in_memory.infer(FRAME), of_file.infer(FRAME))


def test_damaged_graph_in_memory_has_no_file_to_name(make_engine, contract):
    data = (make_engine() / "engine.onnx").read_bytes()
    with pytest.raises(GraphError, match="the graph cannot be loaded, it is truncated or not ONNX: ") as caught:
        OnnxRuntimeRunner(data[:-20], contract).activate()
    assert "\n" not in str(caught.value)
    with pytest.raises(GraphError, match=r"the graph takes \[.*\] and gives"):
        OnnxRuntimeRunner(data, dataclasses.replace(contract, stride=8)).activate()


def test_every_output_comes_by_name_and_the_logits_first(make_engine):
    runner, _ = open_engine(make_engine(extra_outputs=(*PANOPTIC, ENTROPY)))
    with runner:
        outputs = runner.infer_all(FRAME)
        logits = runner.infer(FRAME)
    assert {name: value.shape for name, value in outputs.items()} == {
        "logits": (11, 4, 8),
        "centre": (1, 4, 8),
        "offset": (2, 4, 8),
        "entropy": (1, 4, 8),
    }
    assert next(iter(outputs)) == "logits"
    assert all(value.dtype == np.float32 for value in outputs.values())
    np.testing.assert_array_equal(outputs["logits"], logits)
    # Entropy by hand from the logits; float32 against float64, on values up to ln(11).
    shares = np.exp(logits.astype(np.float64) - logits.max(0))
    shares /= shares.sum(0)
    entropy = -(shares * np.log(np.maximum(shares, 1e-300))).sum(0)
    np.testing.assert_allclose(outputs["entropy"][0], entropy, atol=1e-4)
    assert entropy.max() > 0.1


def test_network_of_logits_alone_has_one_output(runner):
    with runner:
        outputs = runner.infer_all(FRAME)
        assert list(outputs) == ["logits"]
        np.testing.assert_array_equal(outputs["logits"], runner.infer(FRAME))


def test_batch_gives_what_its_frames_give_one_by_one(make_engine):
    frames = np.concatenate([FRAME, 255 - FRAME, FRAME // 2])
    single, _ = open_engine(make_engine("single", extra_outputs=PANOPTIC))
    several, _ = open_engine(make_engine("several", extra_outputs=PANOPTIC, batch=3))
    with single, several:
        outputs = several.infer_all(frames)
        assert several.infer(frames).shape == (3, 11, 4, 8)
        assert outputs["offset"].shape == (3, 2, 4, 8)
        for index, frame in enumerate(frames):
            for name, value in single.infer_all(frame[None]).items():
                # The same kernel; another batch may be cut into other blocks, so sums may round otherwise.
                np.testing.assert_allclose(outputs[name][index], value, rtol=1e-5, atol=1e-3)
        with pytest.raises(InputError, match=r"tiny takes \(3, 16, 32, 3\) uint8, got \(1, 16"):
            several.infer_all(FRAME)


def test_order_of_outputs_in_the_graph_does_not_matter(make_engine, contract):
    path = make_engine(extra_outputs=PANOPTIC) / "engine.onnx"
    swapped = dataclasses.replace(contract, extra_outputs=PANOPTIC[::-1])
    with OnnxRuntimeRunner(path, swapped) as runner:
        outputs = runner.infer_all(FRAME)
    assert [(name, len(value)) for name, value in outputs.items()] == [("logits", 11), ("offset", 2), ("centre", 1)]


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
    with pytest.raises(BackendError, match=r"onnxruntime runner of tiny is not active\. Next: use it in a with block"):
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
        {"batch": 2},
        {"extra_outputs": (ENTROPY,)},
    ],
)
def test_graph_outside_its_contract_is_refused(make_engine, contract, changes):
    path = make_engine() / "engine.onnx"
    with pytest.raises(GraphError, match=r"takes \[.*\] and gives \[.*\], its contract says"):
        OnnxRuntimeRunner(path, dataclasses.replace(contract, **changes)).activate()


@pytest.mark.parametrize(
    "named", [(), PANOPTIC[:1], (*PANOPTIC, ENTROPY), (PANOPTIC[0], dataclasses.replace(PANOPTIC[1], channels=3))]
)
def test_graph_with_other_outputs_than_its_contract_names_is_refused(make_engine, contract, named):
    path = make_engine(extra_outputs=PANOPTIC) / "engine.onnx"
    with pytest.raises(GraphError, match=r"gives \[.*'offset', \(1, 2, 4, 8\).*\], its contract says"):
        OnnxRuntimeRunner(path, dataclasses.replace(contract, extra_outputs=named)).activate()


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


X86, X86_WITH_VNNI, ARM = (
    "model name\t: Old CPU\nflags\t\t: fpu avx2\n",
    "model name\t: New CPU\nflags\t\t: fpu avx2 avx512_vnni\n",
    "Features\t: fp asimd\n",
)


def pretend_cpu(monkeypatch, cpuinfo):
    real = machine._read_first
    monkeypatch.setattr(machine, "_read_first", lambda *paths: cpuinfo if "/proc/cpuinfo" in paths else real(*paths))
    machine.this_machine.cache_clear()
    monkeypatch.setattr(machine.platform, "processor", lambda: "")


@pytest.fixture
def fresh_machine():
    yield
    machine.this_machine.cache_clear()


def relying_on(folder, *features):
    path = folder / CARD_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "cpu_features": list(features)}))
    return folder


def test_engine_that_relies_on_vnni_is_refused_where_sums_would_saturate(make_engine, monkeypatch, fresh_machine):
    folder = relying_on(make_engine(), "VNNI")
    pretend_cpu(monkeypatch, X86)
    with pytest.raises(EngineMismatchError) as caught:
        open_engine(folder)
    message = str(caught.value)
    assert "built on cpu " in message  # where the engine was made
    assert "Old CPU" in message
    assert "Next: python export/build_engine.py" in message
    assert "\n" not in message


@pytest.mark.parametrize("cpuinfo", [X86_WITH_VNNI, ARM])
def test_engine_that_relies_on_vnni_opens_where_no_sum_saturates(make_engine, monkeypatch, fresh_machine, cpuinfo):
    folder = relying_on(make_engine(), "VNNI")
    pretend_cpu(monkeypatch, cpuinfo)
    open_engine(folder)


def test_card_of_before_opens_on_any_cpu(make_engine, monkeypatch, fresh_machine):
    folder = make_engine()
    path = folder / CARD_FILE
    content = json.loads(path.read_text())
    del content["cpu_features"]
    path.write_text(json.dumps(content))
    pretend_cpu(monkeypatch, X86)
    open_engine(folder)
