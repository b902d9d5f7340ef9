"""A graph of another project becomes a measured INT8 engine by one command, and its own file stays as it is."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import helper, numpy_helper

import export.pipeline.calibrate as calibrate
import export.pipeline.images as images_module
import export.pipeline.plan as plan_module
from calibration.results import Int8Report
from edge.artifacts import sha256_file
from edge.card import read_card
from edge.contract import OWN_CLASSES, read_contract
from edge.errors import GraphError
from edge.imaging import read_rgb, write_image
from edge.records import read_record
from edge.runtime import open_engine
from edge.runtime.onnxruntime import open_session
from export.build_engine import main
from export.pipeline.build import build
from tests.export import small_device as device
from tests.export.foreign_graphs import CONTRACT, HEIGHT, WIDTH, street_network

ARTIFACT = Path("artifacts") / f"guest-camvid-{HEIGHT}x{WIDTH}"
ENGINE = ARTIFACT / "engines" / "onnxruntime-int8"
COMMAND = [
    "--onnx",
    "my net.onnx",
    "--contract",
    "net.json",
    "--int8",
    "--calibration-images",
    "3",
    "--accuracy-images",
    "3",
]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    device.prepare(tmp_path, monkeypatch)
    write_guest(street_network())
    return tmp_path


def write_guest(model, **fields):
    Path("my net.onnx").write_bytes(model.SerializeToString())
    described = {name: value for name, value in {**CONTRACT, **fields}.items() if value is not None}
    Path("net.json").write_text(json.dumps(described))


def write_pictures(count=8):
    generator = np.random.default_rng(4)
    for index in range(count):
        blocks = generator.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3)).repeat(8, 0).repeat(8, 1)
        noisy = np.clip(blocks + generator.integers(-20, 21, blocks.shape), 0, 255).astype(np.uint8)
        write_image(Path("mine") / f"picture_{index}.png", noisy)
    return ["--images", "mine"]


def request(**changes):
    fields = {
        "model": "",
        "onnx_path": Path("my net.onnx"),
        "contract_path": Path("net.json"),
        "is_size_given": False,
        "accuracy_images": 3,
        "calibration_images": 3,
        "max_label_change_percent": 20.0,
    }
    return device.replaced(**{**fields, **changes})


def test_given_graph_becomes_an_engine_and_its_file_stays_as_it_is(folder):
    before = sha256_file("my net.onnx")
    lines = []
    result = build(request(), lines.append)
    assert sha256_file("my net.onnx") == before
    assert result.plan.artifact == ARTIFACT and result.plan.output == ENGINE
    card = read_card(ENGINE)
    assert card == result.card
    assert card.contract == read_contract(ARTIFACT)
    assert (card.contract.model, card.contract.adopted_from) == ("guest", ("my net.onnx", "net.json"))
    assert card.int8_mac_share > 0.9 and len(card.layers) == 5
    assert all(layer.reason for layer in card.layers if layer.precision == "float")
    names = {path.name for path in ARTIFACT.iterdir()}
    assert {"model.onnx", "contract.json", "adoption.json", "ranges.json", "model.int8.onnx"} <= names
    assert result.parity is None  # it was compared with the given graph instead
    assert any("upsampling by 4" in line for line in lines)


def test_engine_gives_the_labels_of_the_given_graph():
    write_pictures()
    card = build(request(images_path=Path("mine"))).card
    runner, _ = open_engine(ENGINE)
    frame = read_rgb(Path("mine") / "picture_1.png")
    mean, std = (np.array(CONTRACT[name], np.float32) for name in ("mean", "std"))
    tensor = ((frame / np.float32(255) - mean) / std).transpose(2, 0, 1)[None].astype(np.float32)
    wanted = open_session("my net.onnx").run(None, {"x": tensor})[0][0]  # at full size
    with runner:
        logits = runner.infer(frame[None])
    rows = np.arange(2, HEIGHT, 4), np.arange(2, WIDTH, 4)
    # INT8 of this network changes a few labels, and where four positions meet the size differs by half a pixel.
    given = wanted.argmax(0)[np.ix_(*rows)]
    assert np.mean(logits.argmax(0) == given) > 0.85
    assert card.check.label_agreement > 0.8
    assert card.calibration.budget.startswith("at most 20 % of labels changed, 50 % unlike the float network of any")
    assert (card.calibration.images_from, card.check.images_from) == ("mine", "mine")


WITH_LABELS = [*COMMAND[:4], "--accuracy-images", "3", "--labels-in-graph"]


def test_engine_with_labels_in_its_graph_lies_beside_the_other_and_gives_the_labels_of_the_given_graph():
    assert main([*WITH_LABELS, *write_pictures()]) == 0
    runner, card = open_engine(ARTIFACT / "engines" / "onnxruntime-float32-labels")
    assert card.contract.gives_labels and "--labels-in-graph" in card.rebuild_command()
    assert card.check.label_agreement > 0.9999 and card.parameter_count > 0 and card.multiply_adds > 0
    assert not read_contract(ARTIFACT).gives_labels
    frame = read_rgb(Path("mine") / "picture_1.png")
    mean, std = (np.array(CONTRACT[name], np.float32) for name in ("mean", "std"))
    tensor = ((frame / np.float32(255) - mean) / std).transpose(2, 0, 1)[None].astype(np.float32)
    wanted = open_session("my net.onnx").run(None, {"x": tensor})[0][0]  # at full size
    with runner:
        assert np.mean(runner.infer(frame[None]) == wanted.argmax(0)) > 0.9999


@pytest.mark.parametrize("further", [["--batch", "4"], ["--fp16"]])
def test_labels_in_the_graph_are_for_single_frames_in_float_or_int8(capsys, further):
    try:
        code = main([*WITH_LABELS, *further])
    except SystemExit as ended:
        code = ended.code
    said = capsys.readouterr().err.splitlines()
    assert code == 2 and len(said) == 1 and said[0].startswith("error: ") and "--labels-in-graph" in said[0]


def test_command_says_what_it_did_and_how_to_run_it(capsys):
    assert main([*COMMAND, *write_pictures(), "--max-label-change", "20"]) == 0
    output = capsys.readouterr()
    lines = output.out.splitlines()
    assert lines[0].startswith("guest int8 for onnxruntime")
    assert lines[-1] == f"next: edge-bench run {ENGINE}"
    assert any(line == f"report: {ENGINE / 'int8-report.html'}" for line in lines)
    assert read_record(Int8Report, ENGINE / "int8-report.json").network == f"guest (camvid, {HEIGHT}x{WIDTH})"


@pytest.mark.any_python
def test_rebuild_command_of_the_card_builds_the_same_engine(capsys):
    card = build(request()).card
    words = shlex.split(card.rebuild_command())
    assert words[:2] == ["python", "export/build_engine.py"]
    assert main([*words[2:], "--calibration-images", "3", "--accuracy-images", "3", "--calibrator", "min-max"]) == 0
    assert "artifacts" in capsys.readouterr().out
    assert read_card(ENGINE).engine_sha256 == card.engine_sha256


@pytest.mark.any_python
def test_second_build_adopts_and_collects_nothing(monkeypatch):
    first = build(request()).card
    monkeypatch.setattr(calibrate, "collect_ranges", None)
    lines = []
    assert build(request(), lines.append).card.engine_sha256 == first.engine_sha256
    assert f"{ARTIFACT} is adopted from my net.onnx and current" in lines


@pytest.mark.any_python
def test_engine_over_its_budget_is_code_3(capsys):
    assert main([*COMMAND, *write_pictures(), "--max-label-change", "0", "--search-minutes", "0"]) == 3
    error = capsys.readouterr().err.splitlines()[-1]
    start = f"error: INT8 of guest (camvid, {HEIGHT}x{WIDTH}) is over its budget on 3 images of mine: "
    assert error.startswith(start) and " % of labels changed, at most 0" in error
    assert not (ENGINE / "card.json").exists()


@pytest.mark.any_python
def test_untrained_graph_has_no_budget_and_says_so():
    write_guest(street_network(), trained=False)
    card = build(request(max_label_change_percent=0.0)).card
    assert card.calibration.budget == "none"
    assert any("only the speed of this engine means anything" in note for note in card.notes)


@pytest.mark.any_python
def test_own_classes_need_no_dataset_of_ours():
    write_guest(street_network(), dataset=None, class_names=[f"kind {index}" for index in range(11)])
    write_pictures()
    card = build(request(images_path=Path("mine"))).card
    assert card.contract.class_names[3] == "kind 3"
    assert card.check.images_from == "mine"
    engine = Path("artifacts") / f"guest-{OWN_CLASSES}-{HEIGHT}x{WIDTH}" / "engines" / "onnxruntime-int8"
    assert read_card(engine) == card


@pytest.mark.any_python
def test_frames_that_judge_have_the_size_of_the_given_graph(monkeypatch):
    held_out_frames, sizes = images_module.held_out_frames, []

    def noted(dataset, data_dir, height, width, count, skip_bad):
        sizes.append((height, width))
        return held_out_frames(dataset, data_dir, height, width, count, skip_bad)

    monkeypatch.setattr(images_module, "held_out_frames", noted)
    build(request(precision="float32"))
    assert sizes == [(HEIGHT, WIDTH)]


# What is refused


def with_pairs(model):
    graph = model.graph
    graph.initializer.extend(
        [numpy_helper.from_array(np.float32(0.1), "qs"), numpy_helper.from_array(np.int8(0), "qz")]
    )
    head = next(node for node in graph.node if node.output[0] == "logits4")
    place = list(graph.node).index(head)
    graph.node.insert(place, helper.make_node("QuantizeLinear", [head.input[0], "qs", "qz"], ["quantised"]))
    graph.node.insert(place + 1, helper.make_node("DequantizeLinear", ["quantised", "qs", "qz"], ["back"]))
    head.input[0] = "back"
    onnx.checker.check_model(model)
    return model


@pytest.mark.any_python
def test_folder_of_a_dataset_that_nobody_named_is_refused_before_anything_is_made(capsys, folder):
    write_guest(street_network(), dataset=None, class_names=[f"kind {index}" for index in range(11)])
    assert main([*COMMAND, "--data-dir", "somewhere"]) == 2
    error = capsys.readouterr().err
    assert "--data-dir somewhere: net.json has classes of its own" in error and "Next: --images FOLDER" in error
    assert not (folder / "artifacts").exists()


@pytest.mark.any_python
def test_graph_with_pairs_already_is_one_line(capsys, folder):
    write_guest(with_pairs(street_network()))
    assert main(COMMAND) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "is quantised already: " in error and "expected a float graph" in error
    assert not (folder / "artifacts").exists()


@pytest.mark.any_python
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--onnx", "my net.onnx"], "--onnx and --contract go together"),
        (["--contract", "net.json", "--model", "fast_scnn"], "--onnx and --contract go together"),
        (
            ["--model", "xor", "--onnx", "my net.onnx", "--contract", "net.json"],
            "expected --model NAME, or --onnx FILE",
        ),
        (["--int8"], "expected --model NAME, or --onnx FILE --contract FILE"),
        ([*COMMAND, "--weights", "a.weights.h5"], "--weights, --random-weights and --option belong to --model"),
        ([*COMMAND, "--random-weights"], "--weights, --random-weights and --option belong to --model"),
        ([*COMMAND, "--option", "depth=50"], "--weights, --random-weights and --option belong to --model"),
    ],
)
def test_command_that_contradicts_itself_is_one_line(capsys, folder, arguments, problem):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {problem}") and error.count("\n") == 1
    assert not (folder / "artifacts").exists()


@pytest.mark.any_python
@pytest.mark.parametrize(("name", "problem"), [("my net.onnx", "my net.onnx"), ("net.json", "net.json")])
def test_file_that_is_not_there_is_one_line(capsys, name, problem):
    Path(name).unlink()
    assert main(COMMAND) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and problem in error and "not found" in error and error.count("\n") == 1


@pytest.mark.any_python
def test_dry_run_adopts_and_says_so(capsys):
    assert main([*COMMAND, "--dry-run"]) == 0
    output = capsys.readouterr().out
    assert "dry run: the graph was adopted, nothing else" in output
    assert "my net.onnx" in output and str(ENGINE) in output
    assert not (ARTIFACT / "ranges.json").exists()


@pytest.mark.any_python
def test_dry_run_says_what_a_build_would_say_of_the_graph(capsys):
    network = street_network()
    network.opset_import[0].version = 18
    write_guest(network, dataset=None, class_names=[f"kind {index}" for index in range(11)])
    assert main([*COMMAND, "--dry-run"]) == 0
    said = capsys.readouterr()
    assert "note: TensorRT would not run this graph: graph: opset is 18" in said.err
    assert "synthetic scenes (classes of your own: --images FOLDER takes pictures)" in said.out


@pytest.mark.any_python
def test_finding_of_tensorrt_is_an_error_for_it_and_a_note_elsewhere(monkeypatch):
    adopt = plan_module.adopt

    def with_finding(*arguments):
        import dataclasses

        adoption = adopt(*arguments)
        report = dataclasses.replace(adoption.report, tensorrt_findings=("net/odd: TensorRT has no Odd",))
        return dataclasses.replace(adoption, report=report)

    monkeypatch.setattr(plan_module, "adopt", with_finding)
    lines = []
    plan_module.plan_build(request(), lines.append)
    assert "note: TensorRT would not run this graph: net/odd: TensorRT has no Odd" in lines
    monkeypatch.setattr(plan_module, "choose_backend", lambda requested: ("tensorrt", "asked for"))
    with pytest.raises(GraphError, match=r"TensorRT 8\.5 does not run my net\.onnx: net/odd"):
        plan_module.plan_build(request())
