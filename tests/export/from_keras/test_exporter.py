"""The exported graph keeps the contract, is one that TensorRT 8.5 parses, and is never stale."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("tf2onnx")

import onnx

import export.from_keras.exporter as exporter
from edge.artifacts import sha256_file
from edge.code_digest import import_closure
from edge.contract import CONTRACT_FILE, GRAPH_FILE, read_contract
from edge.datasets import DATA_ROOT_VARIABLE
from edge.errors import GraphError, InputError, ParityError, SizeError, WeightsError
from edge.frames import SyntheticFrames
from edge.labels import CAMVID
from edge.provenance import WeightsProvenance
from edge.records import read_record, write_record
from edge.runtime.onnxruntime import OnnxRuntimeRunner, open_session
from export.from_keras.exporter import ExportRequest, export_model, export_of_any_code, export_of_other_code
from export.graph.parity import LABEL_TOLERANCE, LOGIT_TOLERANCE, PARITY_FILE, ParityReport
from export.graph.trt_rules import check_graph
from export.to_onnx import main
from train.options import MODEL_NAMES, resolve_options
from train.runs import BEST_WEIGHTS, RUN_RECORD, RunRecord

# The smallest map at stride 32 whose pooling windows all differ is 6 x 12, as those of real sizes do.
HEIGHT, WIDTH = 192, 384
REQUEST = ExportRequest("fast_scnn", "camvid", HEIGHT, WIDTH)
OPTIONS = resolve_options("fast_scnn", {})
FRAMES = SyntheticFrames(2, HEIGHT, WIDTH, 1)


def current_export(folder, request, provenance, options):
    """Return the contract of an export that would be used again; None if there is none."""
    contract = export_of_any_code(folder, request, provenance, options)
    return contract if contract is not None and export_of_other_code(contract) is None else None


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    folder = tmp_path_factory.mktemp("artifact")
    export_model(REQUEST, folder, FRAMES)
    return folder


@pytest.fixture(scope="module")
def graph(artifact):
    return onnx.load(str(artifact / GRAPH_FILE)).graph


@pytest.fixture
def no_export(monkeypatch):
    def fail(*arguments):
        raise AssertionError("the model was built again")

    monkeypatch.setattr(exporter, "_keras_network", fail)


def operators(graph):
    return [node.op_type for node in graph.node]


def shape_of(value):
    return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)


# The graph


def test_frame_goes_in_as_uint8_nhwc_and_strided_logits_come_out(graph):
    frame, logits = graph.input[0], graph.output[0]
    assert (len(graph.input), len(graph.output)) == (1, 1)
    assert (frame.name, shape_of(frame)) == ("frame", (1, HEIGHT, WIDTH, 3))
    assert frame.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert (logits.name, shape_of(logits)) == ("logits", (1, 11, HEIGHT // 8, WIDTH // 8))
    assert logits.type.tensor_type.elem_type == onnx.TensorProto.FLOAT


def test_graph_has_nothing_that_tensorrt_8_5_does_not_run(artifact):
    assert check_graph(onnx.load(str(artifact / GRAPH_FILE))) == []


def test_graph_that_tensorrt_does_not_run_is_not_kept(tmp_path, monkeypatch):
    class Network:
        name, noise = "fast_scnn", {}

        def to_onnx(self):
            info = onnx.helper.make_tensor_value_info
            node = onnx.helper.make_node("NonZero", ["x"], ["y"], name="odd/NonZero")
            tensors = [info("x", onnx.TensorProto.FLOAT, [1, 4]), info("y", onnx.TensorProto.INT64, [2, 4])]
            graph = onnx.helper.make_graph([node], "odd", tensors[:1], tensors[1:])
            return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])

    monkeypatch.setattr(exporter, "_keras_network", lambda *arguments: Network())
    with pytest.raises(GraphError, match="odd/NonZero"):
        export_model(REQUEST, tmp_path / "artifact", FRAMES)
    assert not (tmp_path / "artifact").exists()


def test_batch_norm_is_folded_away(graph):
    kinds = operators(graph)
    assert "BatchNormalization" not in kinds and "Identity" not in kinds
    assert kinds.count("Add") <= 1 + 1 + 6  # the frame's offset, the fusion, the residuals


def test_names_are_those_of_the_layers(graph):
    names = {node.name for node in graph.node}
    assert len(names) == len(graph.node)
    assert {"downsample_conv/Conv", "global_1_2_add/Add", "pyramid_concat/Concat", "fusion_add/Add"} <= names
    assert {"downsample_conv/Conv/weight", "logits/Conv/weight"} <= {tensor.name for tensor in graph.initializer}
    assert not [name for name in names if ":" in name or "__" in name]


@pytest.mark.slow
def test_second_export_is_the_same_file(artifact, tmp_path):
    export_model(REQUEST, tmp_path, FRAMES)
    assert (tmp_path / GRAPH_FILE).read_bytes() == (artifact / GRAPH_FILE).read_bytes()


# What comes with it


def test_contract_describes_the_graph(artifact):
    contract = read_contract(artifact)
    assert contract.class_names == CAMVID.class_names
    assert (contract.input_shape, contract.output_shape) == ((1, HEIGHT, WIDTH, 3), (1, 11, 24, 48))
    assert (contract.model, contract.dataset, contract.stride, contract.opset) == ("fast_scnn", "camvid", 8, 17)
    assert contract.weights.kind == "random"
    assert set(contract.versions) == {"tensorflow", "keras", "onnx", "tf2onnx"}
    with OnnxRuntimeRunner(artifact / GRAPH_FILE, contract) as runner:
        assert runner.infer(np.zeros(contract.input_shape, np.uint8)).shape == contract.output_shape[1:]


def test_parity_was_measured_and_is_kept(artifact):
    report = read_record(ParityReport, artifact / PARITY_FILE)
    assert report.graph_sha256 == sha256_file(artifact / GRAPH_FILE)
    assert 0 < report.logit_error <= LOGIT_TOLERANCE
    assert report.label_agreement >= LABEL_TOLERANCE
    assert (report.image_count, report.images_from) == (2, "synthetic scenes")


def test_graph_that_is_not_the_network_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(exporter, "_keras_network", lambda *arguments: None)
    monkeypatch.setattr(exporter, "_convert", lambda *arguments: b"graph")
    bad = ParityReport(hashlib.sha256(b"graph").hexdigest(), 2, "synthetic scenes", 0.5, 0.2, 1.0)
    monkeypatch.setattr(exporter, "compare_graph", lambda *arguments: bad)
    with pytest.raises(ParityError):
        export_model(REQUEST, tmp_path / "artifact", FRAMES)
    assert not (tmp_path / "artifact").exists()


# Stale or current


def test_unchanged_export_is_used_again(artifact, no_export):
    assert export_model(REQUEST, artifact, FRAMES) == read_contract(artifact)


@pytest.mark.parametrize(
    "changes", [{"height": 32}, {"width": 64}, {"dataset": "synthetic"}, {"model": "fastfcn"}, {"batch": 2}]
)
def test_other_request_misses(artifact, changes):
    request = dataclasses.replace(REQUEST, **changes)
    provenance = REQUEST.provenance()[0]
    assert current_export(artifact, REQUEST, provenance, OPTIONS) is not None
    assert current_export(artifact, request, provenance, resolve_options(request.model, {})) is None


def test_other_option_misses(artifact):
    request = dataclasses.replace(REQUEST, options={"coordinates": "align_corners"})
    provenance, options = request.provenance()
    assert provenance.sha256 != REQUEST.provenance()[0].sha256
    assert current_export(artifact, request, REQUEST.provenance()[0], options) is None


def test_changed_weights_miss(artifact):
    provenance = dataclasses.replace(REQUEST.provenance()[0], sha256="f" * 64)
    assert current_export(artifact, REQUEST, provenance, OPTIONS) is None


def test_changed_source_misses(artifact, monkeypatch):
    monkeypatch.setattr(exporter, "source_digest", lambda model: "f" * 64)
    assert current_export(artifact, REQUEST, *REQUEST.provenance()) is None


def test_export_of_other_code_is_made_anew_with_one_line(artifact, tmp_path, monkeypatch):
    for path in artifact.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    here = exporter.source_digest(REQUEST.model)
    write_record(tmp_path / CONTRACT_FILE, dataclasses.replace(read_contract(artifact), source_sha256="c" * 64))
    monkeypatch.setattr(exporter, "_keras_network", lambda *_: (_ for _ in ()).throw(InterruptedError))
    lines = []
    with pytest.raises(InterruptedError):
        export_model(REQUEST, tmp_path, FRAMES, lines.append)
    other = f"model.onnx is of other code: got cccccccccccc, expected {here[:12]}"
    assert lines == [f"{REQUEST.model} is exported anew: {other}"]


def test_graph_of_other_weights_makes_way_with_a_warning(artifact, tmp_path, monkeypatch):
    contract = read_contract(artifact)
    held = dataclasses.replace(contract.weights, kind="trained", source="old", sha256="f" * 64)
    write_record(tmp_path / CONTRACT_FILE, dataclasses.replace(contract, weights=held))
    monkeypatch.setattr(exporter, "_keras_network", lambda *_: (_ for _ in ()).throw(InterruptedError))
    lines = []
    with pytest.raises(InterruptedError):
        export_model(REQUEST, tmp_path, FRAMES, lines.append)
    (line,) = lines
    assert line.startswith(f"warning: {tmp_path} held trained weights of old; its graph makes way for that of random")


@pytest.mark.parametrize(
    "name",
    [
        "train/options.py",
        "train/conv_blocks.py",
        "train/models/layers.py",
        "train/models/fastfcn.py",
        "train/backbones/resnet.py",
        "calibration/onnx_graph/shapes.py",
        "export/graph/fusions.py",
        "export/from_keras/network.py",
        "export/from_keras/exporter.py",
    ],
)
def test_every_source_that_decides_what_a_graph_looks_like_counts(name):
    # The default of an option, the rules of the rewrites, a layer: a change of any misses.
    assert Path(name) in import_closure("export.from_keras.exporter", "train.models.fastfcn")


def test_export_of_one_model_does_not_depend_on_another():
    closure = import_closure("export.from_keras.exporter", "train.models.fast_scnn")
    assert Path("train/models/fast_scnn.py") in closure
    assert {Path("train/models/unet.py"), Path("train/models/symbolic_run.py")}.isdisjoint(closure)
    assert exporter.source_digest("fast_scnn") != exporter.source_digest("unet")


def test_random_weights_do_not_replace_others(artifact, tmp_path):
    exporter.refuse_to_lose_weights(artifact)
    exporter.refuse_to_lose_weights(tmp_path)
    contract = read_contract(artifact)
    trained = dataclasses.replace(contract.weights, kind="trained", source="run")
    write_record(tmp_path / CONTRACT_FILE, dataclasses.replace(contract, weights=trained))
    with pytest.raises(WeightsError, match="holds trained weights of run, which random ones do not replace"):
        exporter.refuse_to_lose_weights(tmp_path)


@pytest.mark.parametrize("name", [GRAPH_FILE, CONTRACT_FILE, PARITY_FILE])
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_damaged_artefact_misses(artifact, tmp_path, name, damage):
    for path in artifact.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    if damage == "missing":
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes((artifact / name).read_bytes()[:-50])
    assert current_export(tmp_path, REQUEST, *REQUEST.provenance()) is None


def test_truncated_graph_is_refused_by_its_readers(artifact, tmp_path):
    data = (artifact / GRAPH_FILE).read_bytes()[:-50]
    (tmp_path / GRAPH_FILE).write_bytes(data)
    (tmp_path / CONTRACT_FILE).write_bytes((artifact / CONTRACT_FILE).read_bytes())
    with pytest.raises(GraphError, match="truncated or was replaced"):
        read_contract(tmp_path)
    with pytest.raises(GraphError, match="truncated"):
        open_session(data)


# Refused


def test_size_that_the_model_cannot_take_is_refused_before_any_work(tmp_path):
    with pytest.raises(SizeError, match="--size 64x96"):
        export_model(dataclasses.replace(REQUEST, height=70, width=100), tmp_path / "artifact", FRAMES)
    assert not (tmp_path / "artifact").exists()


def write_run(folder, content, **changes):
    folder.mkdir()
    (folder / BEST_WEIGHTS).write_bytes(content)
    fields = {
        "model": "fast_scnn",
        "dataset": "camvid",
        "data_dir": "/nowhere",
        "class_count": 11,
        "height": HEIGHT,
        "width": WIDTH,
        "options": {},
        "recipe": {},
        "init": "random",
        "seed": 0,
        "started_utc": "2026",
        "status": "finished",
        "weights_sha256": hashlib.sha256(content).hexdigest(),
    }
    write_record(folder / RUN_RECORD, RunRecord(**{**fields, **changes}))
    return folder / BEST_WEIGHTS


def test_weights_of_other_classes_are_refused_with_the_way_out(tmp_path):
    weights = write_run(tmp_path / "run", b"weights", dataset="synthetic", class_count=19)
    with pytest.raises(WeightsError, match=r"19 classes of synthetic, camvid has 11\. Next: --dataset synthetic"):
        dataclasses.replace(REQUEST, weights_path=weights).provenance()


def test_file_that_holds_no_weights_is_refused(tmp_path):
    weights = write_run(tmp_path / "run", b"no weights at all")
    with pytest.raises(WeightsError, match="does not fit fast_scnn") as caught:
        export_model(dataclasses.replace(REQUEST, weights_path=weights), tmp_path / "artifact", FRAMES)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "artifact").exists()


# The command


def test_command_prints_contract_and_parity(artifact, no_export, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(DATA_ROOT_VARIABLE, raising=False)
    command = ["--model", "fast_scnn", "--dataset", "camvid", "--size", f"{HEIGHT}x{WIDTH}", "--output", str(artifact)]
    command.append("--random-weights")
    assert main([*command, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["contract"]["graph_sha256"] == printed["parity"]["graph_sha256"]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "*** random weights: only the speed of this engine means anything ***"
    assert lines[-2].startswith(f"graph: {artifact / GRAPH_FILE}")
    assert lines[-1].startswith("next: python export/build_engine.py --model fast_scnn")


def test_command_without_weights_stops_unless_random_ones_are_asked_for(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["--model", "fastfcn"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: no finished run and no artefact of fastfcn is here; found ")
    assert "or --random-weights" in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_command_does_not_export_random_weights_in_place_of_an_artefact_from_elsewhere(
    artifact, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    contract = read_contract(artifact)
    trained = dataclasses.replace(contract.weights, kind="trained", source="run")
    folder = tmp_path / "artifacts" / f"fast_scnn-camvid-{HEIGHT}x{WIDTH}"
    write_record(folder / CONTRACT_FILE, dataclasses.replace(contract, weights=trained))
    assert main(["--model", "fast_scnn", "--output", "elsewhere"]) == 2
    assert "there is nothing to export. Next: --weights PATH" in capsys.readouterr().err
    assert not (tmp_path / "elsewhere").exists()


def test_command_refuses_an_unknown_model_in_one_line(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(DATA_ROOT_VARIABLE, raising=False)
    assert main(["--model", "alexnet", "--size", "64x128"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"'alexnet', expected one of: {', '.join(MODEL_NAMES)}" in error
    assert not list(tmp_path.iterdir())


def test_adopted_artefact_has_no_keras_model_to_compare_with(tmp_path, artifact):
    contract = dataclasses.replace(
        read_contract(artifact),
        weights=WeightsProvenance("given", "net.onnx", "0" * 64),
        adopted_from=("net.onnx", "net.json"),
    )
    shutil.copytree(artifact, tmp_path / "adopted")
    write_record(tmp_path / "adopted" / CONTRACT_FILE, contract)
    with pytest.raises(InputError, match=r"was adopted from net\.onnx, .* Next: python export/build_engine\.py --onnx"):
        exporter.compare_artifact(tmp_path / "adopted", None, None, 1)


def test_artefact_of_shipped_weights_is_compared_with_those_of_the_checkout(tmp_path, artifact, monkeypatch):
    monkeypatch.setattr(exporter, "CHECKOUT", tmp_path)
    weights = WeightsProvenance("shipped", "net.weights.h5", "0" * 64)
    shutil.copytree(artifact, tmp_path / "artifact")
    write_record(tmp_path / "artifact" / CONTRACT_FILE, dataclasses.replace(read_contract(artifact), weights=weights))
    with pytest.raises(InputError, match=r"weights not found: \S+/weights/net\.weights\.h5"):
        exporter.compare_artifact(tmp_path / "artifact", None, None, 1)
