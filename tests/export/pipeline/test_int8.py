"""Images, ranges and recipes of a build: whose they are, what moves with the artefact, what is refused."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import export.pipeline.calibrate as calibrate
import export.pipeline.int8 as int8
from calibration.images.selection import MANIFEST_FILE
from calibration.lint import main as lint
from calibration.qdq.insert import QDQ_GRAPH_FILE
from calibration.ranges.collector import collect_ranges
from calibration.ranges.record import RANGES_FILE, Ranges, ranges_code, read_ranges
from calibration.results import EXCEEDED
from edge.artifacts import sha256_file
from edge.card import read_card
from edge.contract import CONTRACT_FILE, GRAPH_FILE, read_contract
from edge.errors import AccuracyBudgetError, DatasetError, InputError
from edge.records import read_record, write_record
from export.build_engine import main
from export.pipeline.int8 import EQUALISED_FOLDER, RECIPE_FILE, KeptConfig
from tests.calibration.graph_drawing import helper, numpy_helper
from tests.export import small_device as device
from tests.export.small_device import ARTIFACT, ENGINE, built, hostile

HOSTILE = hostile.hostile_network(readers=2)
ONE_READER = hostile.hostile_network(readers=1)
BENIGN = hostile.hostile_network(ratio=1.0)
CAMVID = Path("data") / "camvid"
BLIND = {"max_label_change_percent": 100.0}
LOOSE = {"max_drop_points": 100.0}
TWELVE = {"max_drop_points": 12.0, "max_class_drop": 100.0}
TEN = {"max_drop_points": 10.0, "max_class_drop": 100.0}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    return device.prepare(tmp_path, monkeypatch)


@pytest.fixture
def network():
    """Return a function that puts a network and its dataset on the device."""

    def put(model, weights=device.TRAINED, **counts):
        device.write_artifact(model, weights)
        device.write_camvid(model, **counts)

    return put


# Which images calibrate, and which judge


def test_manifest_of_validation_images_is_refused_by_the_command(network, capsys):
    network(BENIGN)
    manifest = device.write_manifest(Path("mine.json"), "val", ["val_0", "val_1"])
    assert main([*device.COMMAND, "--calibration-manifest", str(manifest)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(
        "error: calibration manifest mine.json is of camvid val: validation images are what accuracy"
    )
    assert "add --force-validation-images, which the engine's card will say" in error
    assert not (ARTIFACT / RANGES_FILE).exists() and not ENGINE.exists()


def test_validation_images_that_were_forced_are_on_the_card_and_judge_nothing(network):
    network(BENIGN)
    manifest = device.write_manifest(Path("mine.json"), "val", ["val_0", "val_1"])
    card = built(manifest_path=manifest, force_validation_images=True, **LOOSE)[0].card
    assert (card.calibration.image_count, card.calibration.images_from) == (2, "camvid val")
    assert any("forced with --force-validation-images" in note for note in card.notes)
    assert (card.check.image_count, card.check.images_from) == (2, "camvid val")  # of four: the other two
    assert read_card(ENGINE) == card


def test_build_in_which_every_accuracy_image_calibrates_is_refused(network):
    network(BENIGN)
    manifest = device.write_manifest(Path("mine.json"), "val", [f"val_{index}" for index in range(4)])
    with pytest.raises(DatasetError, match="all 4 accuracy images of camvid val calibrate, or are copies"):
        built(manifest_path=manifest, force_validation_images=True, **LOOSE)
    assert not ENGINE.exists()


def test_validation_image_that_is_a_copy_of_a_training_image_does_not_judge(network):
    network(BENIGN)
    shutil.copy(str(CAMVID / "train" / "train_1.png"), str(CAMVID / "val" / "val_2.png"))
    card = built(calibration_images=5, **LOOSE)[0].card
    assert (card.calibration.image_count, card.check.image_count) == (5, 3)


@pytest.mark.any_python
def test_images_by_a_manifest_are_those_that_calibrate(network):
    network(BENIGN)
    manifest = device.write_manifest(Path("mine.json"), "train", ["train_4", "train_1"])
    card = built(manifest_path=manifest, **LOOSE)[0].card
    assert (card.calibration.image_count, card.calibration.images_from) == (2, "camvid train")
    kept = json.loads((ARTIFACT / MANIFEST_FILE).read_text())
    assert kept["names"] == ["train_4", "train_1"]
    assert read_record(Ranges, ARTIFACT / RANGES_FILE).image_count == 2


@pytest.mark.any_python
def test_set_of_a_single_class_is_said_in_one_line(network, capsys):
    network(BENIGN)
    for path in (CAMVID / "trainannot").iterdir():
        device.write_image(path, np.full((device.SIZE, device.SIZE), 3, np.uint8))
    assert main([*device.COMMAND, "--max-miou-drop", "100"]) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "single class" in line]
    assert line.startswith("warning: the calibration images show a single class, road: ")


@pytest.mark.any_python
def test_dead_channels_are_said_of_trained_weights_alone(network):
    model = hostile.hostile_network(ratio=1.0)
    for name in ("stem_w", "stem_b"):
        (tensor,) = [tensor for tensor in model.graph.initializer if tensor.name == name]
        value = numpy_helper.to_array(tensor).copy()
        value[2] = 0
        tensor.CopyFrom(numpy_helper.from_array(value, name))
    network(model)
    result, lines = built(**LOOSE)
    sentence = "1 of 8 channels of tensor stem_relu are zero in all 3 images"
    assert any(line.startswith(f"warning: {sentence}") for line in lines)
    assert any(warning.startswith(sentence) for warning in result.report.warnings)
    network(model, device.RANDOM)
    assert not any("channels of tensor" in line for line in built()[1])


# Ranges


@pytest.mark.any_python
def test_ranges_of_another_graph_are_not_used_and_the_reason_is_said(network):
    network(BENIGN)
    built(**LOOSE)
    shutil.rmtree("data")
    ranges = sha256_file(ARTIFACT / RANGES_FILE)
    result, lines = built(**BLIND)
    assert "no dataset here: use the artefact's ranges of 3 images of camvid train" in lines
    assert result.card.calibration.ranges_sha256 == ranges
    device.write_artifact(ONE_READER)
    result, lines = built(**BLIND)
    assert any(line.startswith("ranges are collected anew: ranges.json is of another graph: got ") for line in lines)
    assert result.card.calibration.images_from == "synthetic scenes"
    assert any("ranges come from synthetic scenes" in note for note in result.card.notes)


@pytest.mark.any_python
def test_whose_images_moved_ranges_are_of_is_still_on_the_card(network):
    network(BENIGN)
    manifest = device.write_manifest(Path("mine.json"), "val", ["val_0", "val_1"])
    built(manifest_path=manifest, force_validation_images=True, **LOOSE)
    shutil.rmtree("data")
    card = built(**BLIND)[0].card
    assert card.calibration.images_from == "camvid val"
    assert any("forced with --force-validation-images" in note for note in card.notes)


# Recipes


def moved_away():
    """Leave what a device without the dataset has: the artefact alone, without its engines."""
    shutil.rmtree("data")
    shutil.rmtree(ARTIFACT / "engines")


@pytest.mark.any_python
def test_recipe_that_held_the_budget_is_kept_with_its_figures(network):
    network(HOSTILE)
    result, lines = built(**TWELVE)
    kept = read_record(KeptConfig, ARTIFACT / RECIPE_FILE)
    assert (kept.graph_sha256, kept.form) == (result.card.contract.graph_sha256, "tensorrt")
    assert (kept.images_from, kept.image_count) == ("camvid val", 4)
    assert kept.drop_points <= 12.0 and kept.label_agreement > 0.9
    assert {"narrow", "side"} <= set(kept.recipe.float_layers)
    assert any(
        note.startswith(f"{QDQ_GRAPH_FILE}, the form for TensorRT, is within the budget, which the images are too few")
        for note in result.card.notes
    )
    assert any(line == f"linter: 0 errors and 0 warnings in {QDQ_GRAPH_FILE}" for line in lines)


@pytest.mark.any_python
def test_recipe_that_came_with_the_artefact_is_used_where_no_images_are(network):
    network(HOSTILE)
    built(**TWELVE)
    kept = read_record(KeptConfig, ARTIFACT / RECIPE_FILE)
    moved_away()
    card = built(calibrator="percentile")[0].card
    assert card.calibration.recipe == kept.recipe.sentence()
    assert card.calibration.budget == "none"  # drawn scenes tell nothing of a trained network
    (note,) = [note for note in card.notes if note.startswith("quantised by the recipe that came with the artefact")]
    assert f"a drop of {kept.drop_points:+.2f} points in the tensorrt form on 4 images of camvid val" in note
    floats = {layer.name for layer in card.layers if layer.precision == "float"}
    assert {"narrow", "side"} <= floats


@pytest.mark.any_python
@pytest.mark.parametrize(("field", "what"), [("graph_sha256", "another graph"), ("ranges_sha256", "other ranges")])
def test_recipe_of_another_graph_or_other_ranges_is_not_used_and_a_line_says_so(network, field, what):
    network(HOSTILE)
    built(**TWELVE)
    moved_away()
    path = ARTIFACT / RECIPE_FILE
    write_record(path, dataclasses.replace(read_record(KeptConfig, path), **{field: "5" * 64}))
    result, lines = built(calibrator="percentile", **BLIND)
    assert result.card.calibration.recipe == "percentile ranges"
    assert not any("recipe that came with" in note for note in result.card.notes)
    assert any(line.startswith(f"{RECIPE_FILE} is not used: it is of {what}: got 555555555555") for line in lines)


@pytest.mark.any_python
def test_recipe_of_other_code_is_used_where_no_images_are_and_a_line_and_the_card_say_so(network):
    network(HOSTILE)
    built(**TWELVE)
    moved_away()
    path = ARTIFACT / RECIPE_FILE
    kept = dataclasses.replace(read_record(KeptConfig, path), code_sha256="5" * 64)
    write_record(path, kept)
    result, lines = built(calibrator="percentile")
    assert result.card.calibration.recipe == kept.recipe.sentence()
    other = f"{RECIPE_FILE} is of other code: got 555555555555, expected"
    assert any(line.startswith(f"no images here: use the artefact's recipe, although {other}") for line in lines)
    assert any(f"{other}" in note and note.startswith("quantised by the recipe") for note in result.card.notes)


@pytest.mark.any_python
def test_recipe_of_an_older_version_is_not_used_and_a_line_says_so(network):
    network(BENIGN)
    built(**LOOSE)
    moved_away()
    (ARTIFACT / RECIPE_FILE).write_text('{"schema": 1}')
    lines = built(calibrator="percentile", **BLIND)[1]
    assert any("the recipe that came with the artefact is not used: kept recipe" in line for line in lines)


def with_other_code(folder):
    """Make the ranges of a folder those of other code."""
    ranges = dataclasses.replace(read_ranges(folder), code_sha256="5" * 64)
    write_record(folder / RANGES_FILE, ranges)
    return ranges


@pytest.mark.any_python
def test_ranges_of_other_code_are_collected_anew_where_the_images_are(network):
    network(BENIGN)
    built(**LOOSE)
    right = read_ranges(ARTIFACT)
    with_other_code(ARTIFACT)
    lines = built(**LOOSE)[1]
    line = f"ranges are collected anew: ranges.json is of other code: got 555555555555, expected {ranges_code()[:12]}"
    assert line in lines
    assert read_ranges(ARTIFACT) == right


@pytest.mark.any_python
def test_ranges_of_real_images_are_used_whatever_collected_them_where_no_images_are(network, monkeypatch):
    network(BENIGN)
    built(**LOOSE)
    moved_away()
    ranges = with_other_code(ARTIFACT)
    monkeypatch.setattr("export.pipeline.calibrate.collect_ranges", None)
    result, lines = built(**BLIND)
    other = "ranges.json is of other code: got 555555555555"
    assert any(line.startswith("no dataset here") and f"although {other}" in line for line in lines)
    assert any(note.startswith(other) for note in result.card.notes)
    assert read_ranges(ARTIFACT) == ranges
    assert result.card.calibration.images_from == ranges.images_from == "camvid train"


@pytest.mark.any_python
def test_recipe_that_the_user_asks_for_goes_before_the_one_that_came_with_the_artefact(network):
    network(HOSTILE)
    built(**TWELVE)
    moved_away()
    card = built(calibrator="entropy", classifier="float", **BLIND)[0].card
    assert card.calibration.recipe == "entropy ranges, classifier in float"


@pytest.mark.any_python
def test_trained_network_without_real_images_or_a_recipe_is_held_to_its_labels_on_drawn_scenes(network):
    network(HOSTILE)
    shutil.rmtree("data")
    with pytest.raises(AccuracyBudgetError, match=r"is lost: .*Next: --data-dir FOLDER or --images"):
        built(search_minutes=0.0)


@pytest.mark.any_python
def test_limit_in_points_without_labels_to_count_them_by_is_refused(network):
    network(BENIGN)
    shutil.rmtree("data")
    with pytest.raises(InputError, match="--max-miou-drop needs label maps, synthetic scenes have none"):
        built(max_drop_points=1.0)


@pytest.mark.any_python
def test_graph_over_the_budget_is_not_handed_out(network):
    network(HOSTILE)
    built(**TWELVE)
    held = sha256_file(ARTIFACT / QDQ_GRAPH_FILE)
    with pytest.raises(AccuracyBudgetError):
        built(max_drop_points=0.0, search_minutes=0.0)
    assert sha256_file(ARTIFACT / QDQ_GRAPH_FILE) == held


@pytest.mark.any_python
def test_search_starts_anew_when_label_maps_were_corrected(network):
    network(HOSTILE)
    right = {path: path.read_bytes() for path in Path("data/camvid/valannot").iterdir()}
    for path in right:
        cv2.imwrite(str(path), np.zeros_like(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)))
    built(max_drop_points=100.0)
    for path, data in right.items():
        path.write_bytes(data)
    report = built(**TWELVE)[0].report
    assert report.verdict != EXCEEDED and len(report.steps) > 1
    assert report.steps[0].drop_points > 12.0


@pytest.mark.any_python
def test_over_the_budget_no_recipe_is_kept(network):
    network(HOSTILE)
    with pytest.raises(Exception, match="no engine was kept"):
        built(search_minutes=0.0)
    assert not (ARTIFACT / RECIPE_FILE).exists()


@pytest.mark.any_python
def test_what_the_user_wants_in_float_is_in_float_for_that_reason(network):
    network(BENIGN)
    card = built(classifier="float", **LOOSE)[0].card
    layers = {layer.name: (layer.precision, layer.reason) for layer in card.layers}
    assert layers["logits"] == ("float", "classifier: asked for")
    assert "classifier in float" in card.calibration.recipe


# Equalised channels


@pytest.mark.any_python
def test_equalised_graph_and_its_ranges_are_kept_in_a_folder_of_their_own(network, monkeypatch):
    network(ONE_READER)
    first, _ = built(**TEN)
    assert "equalised channels" in first.card.calibration.recipe
    names = {path.name for path in (ARTIFACT / EQUALISED_FOLDER).iterdir()}
    assert names == {GRAPH_FILE, CONTRACT_FILE, RANGES_FILE, MANIFEST_FILE}
    plain = read_record(Ranges, ARTIFACT / RANGES_FILE)
    balanced = read_record(Ranges, ARTIFACT / EQUALISED_FOLDER / RANGES_FILE)
    assert plain.graph_sha256 == read_contract(ARTIFACT).graph_sha256
    assert balanced.graph_sha256 == read_contract(ARTIFACT / EQUALISED_FOLDER).graph_sha256 != plain.graph_sha256
    assert balanced.manifest_sha256 == plain.manifest_sha256
    # Small channels have grown to the size of the large one.
    for ranges, is_even in ((plain, False), (balanced, True)):
        maxima = ranges.tensors["wide_relu"].channel_maxima
        assert (min(maxima) > 0.2 * max(maxima)) == is_even
    assert first.card.calibration.ranges_sha256 == sha256_file(ARTIFACT / RANGES_FILE)
    for module in (calibrate, int8):
        monkeypatch.setattr(module, "collect_ranges", None)
    assert built(**TEN)[0].card.engine_sha256 == first.card.engine_sha256


@pytest.mark.any_python
def test_ranges_of_the_equalised_graph_cost_a_few_images(network, monkeypatch):
    network(ONE_READER)
    monkeypatch.setattr(int8, "EQUALISED_IMAGES", 1)
    collected = []

    def noted(folder, frames, manifest_sha256, **options):
        collected.append((folder.name, list(frames.names), set(options["only"])))
        return collect_ranges(folder, frames, manifest_sha256, **options)

    monkeypatch.setattr(int8, "collect_ranges", noted)
    card = built(**TEN)[0].card
    assert "equalised channels" in card.calibration.recipe
    ((folder, names, tensors),) = collected
    assert folder == EQUALISED_FOLDER and len(names) == 1 and "wide_relu" in tensors
    balanced = read_record(Ranges, ARTIFACT / EQUALISED_FOLDER / RANGES_FILE)
    assert balanced.image_count == read_record(Ranges, ARTIFACT / RANGES_FILE).image_count > 1


@pytest.mark.any_python
def test_equalised_recipe_moves_with_its_ranges(network):
    network(ONE_READER)
    first, _ = built(**TEN)
    moved_away()
    result, _ = built(calibrator="percentile")
    assert "equalised channels" in result.card.calibration.recipe
    assert result.card.int8_mac_share == read_share(first)
    shutil.rmtree(ARTIFACT / EQUALISED_FOLDER)
    with pytest.raises(InputError, match="or their ranges are not here"):
        built(calibrator="percentile")


def read_share(result):
    kept = read_record(KeptConfig, ARTIFACT / RECIPE_FILE)
    floats = set(kept.recipe.float_layers)
    counts = {layer.name: layer.multiply_adds for layer in result.card.layers}
    return pytest.approx(sum(n for name, n in counts.items() if name not in floats) / sum(counts.values()))


# What is wrong with a graph


def edited(change):
    model = hostile.hostile_network(ratio=1.0)
    change(model.graph)
    return model


def quantised_already(graph):
    pair = [numpy_helper.from_array(np.float32(0.1), "s"), numpy_helper.from_array(np.uint8(0), "z")]
    graph.initializer.extend(pair)
    (head,) = [node for node in graph.node if node.name == "logits"]
    index = list(graph.node).index(head)
    graph.node.insert(index, helper.make_node("QuantizeLinear", [head.input[0], "s", "z"], ["q"]))
    graph.node.insert(index + 1, helper.make_node("DequantizeLinear", ["q", "s", "z"], ["dq"]))
    graph.node[index + 2].input[0] = "dq"


def nan_weights(graph):
    (tensor,) = [tensor for tensor in graph.initializer if tensor.name == "narrow_b"]
    tensor.CopyFrom(numpy_helper.from_array(np.full(8, np.nan, np.float32), "narrow_b"))


@pytest.mark.any_python
@pytest.mark.parametrize(
    ("change", "problem"),
    [(quantised_already, "the graph has Q/DQ nodes already, expected a float graph"), (nan_weights, "NaN")],
)
def test_graph_that_cannot_be_quantised_is_one_line_and_code_2(network, capsys, change, problem):
    network(BENIGN)
    device.write_artifact(edited(change))
    assert main(device.COMMAND) == 2
    output = capsys.readouterr()
    errors = [line for line in output.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and problem in errors[0] and errors[0] == output.err.splitlines()[-1]
    assert not ENGINE.exists() and not list(ARTIFACT.glob(".unmeasured-*"))


@pytest.mark.any_python
def test_network_of_which_nothing_can_be_in_int8_is_one_line(network, capsys):
    model = hostile.hostile_network(ratio=1.0)
    # Weights that the graph computes: no integers can be made of them before it runs.
    for node in [node for node in model.graph.node if node.op_type == "Conv"]:
        made = helper.make_node("Abs", [node.input[1]], [f"{node.name}_computed"])
        model.graph.node.insert(0, made)
        node.input[1] = made.output[0]
    network(model)
    assert main([*device.COMMAND, "--max-miou-drop", "100"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: nothing of fast_scnn would be in INT8 in the onnxruntime form (stem: ")
    assert error.endswith("Next: --fp16")


@pytest.mark.any_python
def test_kept_graph_passes_the_linter(network, capsys):
    network(HOSTILE)
    built(**TWELVE)
    assert lint([str(ARTIFACT / QDQ_GRAPH_FILE)]) == 0
