"""Engines for TensorRT with options of their own, from the command to the card, on a stand-in of TensorRT."""

from __future__ import annotations

import json
import os
import shlex
import signal

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import export.pipeline.verify as verify
from calibration.trt.cache import parse_cache
from edge.card import read_card
from edge.errors import BackendError, GraphError, InputError, ParityError
from edge.runtime.base import Runner
from export.backends.options import EngineOptions
from export.build_engine import main
from export.pipeline.batched_runner import BatchedRunner
from export.pipeline.plan import plan_build
from tests.export import small_device as device
from tests.export.small_device import ARTIFACT, WrappedRunner, built, hostile

ENGINES = ARTIFACT / "engines"
BENIGN = hostile.hostile_network(ratio=1.0)
LOOSE = {"backend": "tensorrt", "max_drop_points": 100.0}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    device.prepare(tmp_path, monkeypatch)
    device.write_artifact(BENIGN)
    device.write_camvid(BENIGN)
    return tmp_path


@pytest.fixture
def install(monkeypatch):
    """Return a function that puts a TensorRT of some version on the device."""
    yield lambda version="10.3.0": device.install_tensorrt(monkeypatch, version)
    device.forget_tensorrt()


# Options


def test_card_names_what_was_asked_for_and_the_command_that_asks_again(install):
    install()
    options = EngineOptions(workspace_mib=64, optimization_level=2, is_version_compatible=True, allows_tf32=True)
    card = built(backend="tensorrt", precision="float16", engine=options)[0].card
    assert read_card(ENGINES / "tensorrt-float16") == card
    assert (card.workspace_mib, card.optimization_level) == (64, 2)
    assert (card.is_version_compatible, card.is_hardware_compatible, card.allows_tf32) == (True, False, True)
    assert card.rebuild_command().endswith(
        "--fp16 --backend tensorrt --workspace 64 --optimization-level 2 --tf32 --version-compatible"
    )
    assert card.check.label_agreement > 0.98


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--workspace", "64"], "--workspace: for TensorRT alone, and onnxruntime builds here. Next: leave it out"),
        (["--batch", "1:2:4", "--verbose-layers"], "--batch MIN:BEST:MAX, --verbose-layers: for TensorRT alone"),
        (["--tf32"], "--tf32: for TensorRT alone"),
        (["--optimization-level", "3"], "--optimization-level: for TensorRT alone"),
        (["--scales", "cache"], "--scales cache is for TensorRT, and onnxruntime builds here"),
    ],
)
def test_what_only_tensorrt_has_is_refused_elsewhere_before_any_work(folder, capsys, options, problem):
    before = sorted(folder.rglob("*"))
    assert main([*device.COMMAND, *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {problem}") and error.count("\n") == 1
    assert sorted(folder.rglob("*")) == before


def test_what_this_tensorrt_lacks_is_refused_before_any_work(install, folder):
    install("8.5.3.1")
    before = sorted(folder.rglob("*"))
    with pytest.raises(BackendError, match="--optimization-level 5 needs TensorRT"):
        plan_build(device.replaced(backend="tensorrt", engine=EngineOptions(optimization_level=5)))
    install("11.0.0.114")
    with pytest.raises(BackendError, match=r"--scales cache: TensorRT 11\.0\.0\.114 takes Q/DQ pairs alone"):
        plan_build(device.replaced(backend="tensorrt", scale_source="cache"))
    assert sorted(folder.rglob("*")) == before


def test_layers_lie_beside_the_engine_and_go_with_the_next_that_has_none(install, monkeypatch):
    install()
    import tensorrt

    class Inspector:
        def get_engine_information(self, layer_format):
            return '{"Layers": []}'

    monkeypatch.setattr(tensorrt.ICudaEngine, "create_engine_inspector", lambda engine: Inspector(), raising=False)
    request = {"backend": "tensorrt", "precision": "float32"}
    card = built(**request, engine=EngineOptions(has_layer_details=True))[0].card
    layers = ENGINES / "tensorrt-float32" / "layers.json"
    assert json.loads(layers.read_text()) == {"Layers": []}
    assert card.rebuild_command().endswith("--verbose-layers")
    built(**request)
    assert not layers.exists()


@pytest.mark.parametrize("version", ["8.5.3.1", "10.3.0"])
def test_interrupted_command_leaves_what_was_there_and_nothing_else(install, folder, capsys, version):
    gpu = install(version)
    command = ["--model", "fast_scnn", "--size", "32x32", "--accuracy-images", "4", "--backend", "tensorrt"]
    assert main(command) == 0
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    gpu.meanwhile = lambda: os.kill(os.getpid(), signal.SIGINT)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert main(command) == 130
        assert main([*command, "--fp16"]) == 130
    finally:
        signal.signal(signal.SIGINT, handler)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in ENGINES.iterdir()) == ["tensorrt-float32"]
    assert "interrupted: nothing half-written was kept" in capsys.readouterr().err


# Scales


@pytest.mark.parametrize("source", ["cache", "dynamic-ranges"])
def test_engine_for_the_gpu_gets_scales_without_pairs(install, source):
    gpu = install("8.6.1")
    card = built(scale_source=source, **LOOSE)[0].card
    assert card.scale_source == source
    assert f"--scales {source}" in card.rebuild_command()
    assert b"QuantizeLinear" not in gpu.built_graph
    threshold = device.read_ranges().threshold("wide_relu", "min-max")
    if source == "cache":
        assert parse_cache(gpu.cache)["wide_relu"] == pytest.approx(threshold / 127, rel=1e-6)
    else:
        tensors = [gpu.network.get_layer(index).get_output(0) for index in range(gpu.network.num_layers)]
        ranges = {tensor.name: tensor.dynamic_range for tensor in tensors}
        assert ranges["wide_relu"] == pytest.approx((-threshold, threshold), rel=1e-6)
        assert gpu.cache is None


def test_pairs_are_what_the_gpu_gets_by_default(install):
    gpu = install("8.6.1")
    card = built(**LOOSE)[0].card
    assert card.scale_source == "qdq" and "--scales" not in card.rebuild_command()
    assert b"QuantizeLinear" in gpu.built_graph


# Batches


@pytest.mark.parametrize("backend", ["tensorrt", "onnxruntime"])
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_engine_for_batches_is_checked_with_full_ones_and_lies_apart(install, backend, precision):
    install()
    built(backend=backend, precision=precision, max_drop_points=100.0)
    card = built(backend=backend, precision=precision, max_drop_points=100.0, engine=EngineOptions(batch=3))[0].card
    assert read_card(ENGINES / f"{backend}-{precision}-batch3") == card
    single = read_card(ENGINES / f"{backend}-{precision}")
    assert single.contract.batch == 1
    assert not any("CUDA kernels" in note for note in single.notes)
    unchecked = (
        "checked in full batches of 3 frames that the CPU prepares and labels: the CUDA kernels had no part in it"
    )
    assert (unchecked in card.notes) == (backend == "tensorrt")
    assert card.contract.batch == 3
    words = shlex.split(card.rebuild_command())
    assert words[words.index("--batch") + 1] == "3"
    assert card.check.image_count == 4
    assert card.check.label_agreement > 0.97


def test_engine_with_a_profile_keeps_a_batch_of_1_in_its_contract(install):
    install()
    card = built(backend="tensorrt", precision="float16", engine=EngineOptions(batch_profile=(1, 4, 8)))[0].card
    assert read_card(ENGINES / "tensorrt-float16-batch1-4-8") == card
    assert (card.contract.batch, card.batch_profile) == (1, (1, 4, 8))
    assert not any("CUDA kernels" in note for note in card.notes)  # single frames check it, with them
    assert card.rebuild_command().endswith("--batch 1:4:8")
    assert card.check.label_agreement > 0.98


def test_calibrator_of_tensorrt_is_shown_full_batches_and_takes_no_profile(install):
    gpu = install("8.6.1")
    options = {"backend": "tensorrt", "calibrator": "tensorrt-entropy", "max_drop_points": 100.0}
    built(**options, engine=EngineOptions(batch=2))
    assert [batch.shape[0] for batch in gpu.batches] == [2, 2]
    with pytest.raises(InputError, match="--calibrator tensorrt-entropy is shown batches of one size"):
        built(**options, engine=EngineOptions(batch_profile=(1, 2, 4)))


def test_network_that_works_across_frames_is_refused_before_its_ranges_are_collected(install, monkeypatch):
    install()

    def refuse(graph, batch):
        raise GraphError("the graph cannot take several frames in a call")

    monkeypatch.setattr("export.pipeline.float_graph.with_batch", refuse)
    with pytest.raises(GraphError, match="several frames"):
        built(**LOOSE, engine=EngineOptions(batch=2))
    assert not (ARTIFACT / "ranges.json").exists() and not ENGINES.exists()


class Swapping(WrappedRunner):
    """An engine for batches that gives the results of two frames back in the wrong order."""

    def _infer_impl(self, frame):
        return {name: self.change(value) for name, value in self._inner.infer_all(frame).items()}

    def change(self, value):
        return value[::-1]


class Negating(Swapping):
    """An engine whose logits come out with the wrong sign."""

    def change(self, value):
        return -(value if value.ndim == 4 else value[None])


def test_full_batches_give_each_frame_its_own_place():
    class Echo(Runner):
        backend = "echo"
        calls: list = []

        def describe(self):
            return {}

        def profile(self, frame, runs):
            raise NotImplementedError

        def _activate_impl(self):
            pass

        def _deactivate_impl(self):
            pass

        def _infer_impl(self, frame):
            self.calls.append(frame[:, 0, 0, 0].tolist())
            return {"logits": frame[:, 0, 0, 0].astype(np.float32).reshape(-1, 1, 1, 1)}

    contract = verify.dataclasses.replace(hostile.contract_of(BENIGN), batch=3)
    with BatchedRunner(Echo(contract)) as runner:
        for value in (1, 2, 3, 4):
            frame = np.full((1, contract.height, contract.width, 3), value, np.uint8)
            assert runner.infer(frame).item() == value
    assert Echo.calls == [[1, 0, 0], [1, 2, 0], [1, 2, 3], [4, 2, 3]]


# An engine that computes something else


@pytest.mark.parametrize(
    ("wrong", "request_of"),
    [
        (Negating, {"precision": "float16"}),
        (Negating, {"precision": "float32"}),
        (Swapping, {"precision": "float32", "engine": EngineOptions(batch=2)}),
    ],
)
def test_float_engine_that_computes_something_else_is_not_kept(install, folder, monkeypatch, wrong, request_of):
    install()
    opened = verify.open_engine
    monkeypatch.setattr(verify, "open_engine", lambda where: (wrong(opened(where)[0]), None))
    with pytest.raises(ParityError, match=r"by tensorrt 10\.3\.0 gives the float graph's labels on .* expected at"):
        built(backend="tensorrt", **request_of)
    assert not ENGINES.exists()
    assert not list(folder.rglob(".unmeasured-*"))


def test_labels_of_random_weights_refuse_nothing(install, monkeypatch):
    install()
    device.write_artifact(BENIGN, device.RANDOM)
    opened = verify.open_engine
    monkeypatch.setattr(verify, "open_engine", lambda where: (Negating(opened(where)[0]), None))
    card = built(backend="tensorrt", precision="float16")[0].card
    assert card.check.label_agreement < 0.5
