"""A float network that was given another input than it was trained with is named before INT8, with a cure."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import export.pipeline.plausibility as plausibility
from calibration.report.text import MET, OPEN, verdict, verdict_words
from calibration.results import Int8Report
from edge.card import read_card
from edge.imaging import write_image
from edge.labels import CAMVID
from edge.provenance import WeightsProvenance
from edge.records import read_record
from export.build_engine import main
from export.pipeline.build import build
from tests.calibration import hostile_graphs as hostile
from tests.export import small_device as device
from tests.export.foreign_graphs import CLASSES, CONTRACT, Drawing, TensorProto

HEIGHT, WIDTH = 64, 128
RIGHT = {"mean": [0.406, 0.456, 0.485], "std": [0.225, 0.224, 0.229], "scale": 255, "channel_order": "bgr"}
"""Input that the network of these tests was made for."""

WRONG = {"mean": [0, 0, 0], "std": [1, 1, 1], "scale": 1, "channel_order": "rgb"}
FAINT = {"mean": [104, 116, 124], "std": [57 * 255, 57 * 255, 58 * 255], "scale": 1, "channel_order": "bgr"}
"""Inputs that a contract may claim: 255 times as large, and 255 times as small."""

ENGINES = Path("artifacts") / f"guest-camvid-{HEIGHT}x{WIDTH}" / "engines"
COLOURS = np.random.default_rng(12).permutation(np.stack(np.meshgrid(*[(20, 120, 230)] * 3), -1).reshape(-1, 3))[
    :CLASSES
]
"""RGB of each class."""


def colour_network():
    """Return a network that gives each pixel the class of the nearest colour, for frames in RIGHT's normalisation."""
    mean, std = np.array(RIGHT["mean"]), np.array(RIGHT["std"])
    # Beside the colours by fractions, so that no pixel is as near to one as to another: a tie is rounding's to decide.
    nearly = COLOURS + np.random.default_rng(5).uniform(-2, 2, COLOURS.shape)
    anchors = (nearly[:, ::-1] / 255 - mean) / std  # (classes, 3), in BGR order
    drawing = Drawing()
    # The largest of 2 a.x - |a|^2 is the nearest a.
    weight = drawing.constant("weight", (2 * anchors).astype(np.float32)[:, :, None, None])
    bias = drawing.constant("bias", (-(anchors**2).sum(1)).astype(np.float32))
    drawing.node("Conv", ["x", weight, bias], "logits")
    float32 = TensorProto.FLOAT
    return drawing.model({"x": ([1, 3, HEIGHT, WIDTH], float32)}, {"logits": ([1, CLASSES, HEIGHT, WIDTH], float32)})


def labels_of(index):
    generator = np.random.default_rng(100 + index)
    return generator.integers(0, CLASSES, (HEIGHT // 8, WIDTH // 8)).astype(np.uint8).repeat(8, 0).repeat(8, 1)


def frame_of(index):
    noise = np.random.default_rng(index).integers(-12, 13, (HEIGHT, WIDTH, 3))
    return np.clip(COLOURS[labels_of(index)] + noise, 0, 255).astype(np.uint8)


def write_contract(path="net.json", **fields):
    Path(path).write_text(json.dumps({**CONTRACT, **RIGHT, **fields}))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    device.prepare(tmp_path, monkeypatch)
    Path("net.onnx").write_bytes(colour_network().SerializeToString())
    write_contract()
    return tmp_path


@pytest.fixture
def camvid():
    for index in range(10):
        split = "train" if index < 4 else "val"
        write_image(Path("data") / "camvid" / split / f"{split}_{index}.png", frame_of(index))
        write_image(Path("data") / "camvid" / f"{split}annot" / f"{split}_{index}.png", labels_of(index))


@pytest.fixture
def pictures():
    for index in range(8):
        write_image(Path("mine") / f"picture_{index}.png", frame_of(index))
    return Path("mine")


def built(**changes):
    """Build the network with its contract; return the result and the lines that were said."""
    lines = []
    fields = {
        "model": "",
        "onnx_path": Path("net.onnx"),
        "contract_path": Path("net.json"),
        "is_size_given": False,
        "accuracy_images": 6,
        "calibration_images": 3,
    }
    return build(device.replaced(**{**fields, **changes}), lines.append), lines


def warned(lines):
    return [line for line in lines if line.startswith("warning: the float network") or "tried" in line]


def advice(sentence):
    """Return the fields of a contract that a sentence names."""
    text = sentence[sentence.index('"mean"') :]
    return json.loads("{" + text[: text.index(" instead of")] + "}")


def test_network_with_its_own_normalisation_has_no_warning(camvid):
    result, lines = built(max_drop_points=100.0)
    assert result.warnings == () and not warned(lines)
    assert result.report.float_figures.miou > 0.95
    assert verdict(result.report) == MET and verdict_words(result.report) == "Accuracy budget met"


def test_wrong_normalisation_is_named_before_anything_is_quantised_with_the_figures(camvid):
    write_contract(**WRONG)
    result, lines = built(max_drop_points=100.0)
    found, tried = result.warnings[:2]
    assert found.startswith("the float network's mIoU is ") and " % on 6 images of camvid val" in found
    assert "one class everywhere has " in found and tried.startswith("tried ")
    said = [index for index, line in enumerate(lines) if line == f"warning: {found}"]
    quantised = [index for index, line in enumerate(lines) if "linter:" in line or line.startswith("build int8")]
    assert len(said) == 1 and said[0] < min(quantised)


@pytest.mark.parametrize("wrong", [WRONG, FAINT], ids=["raw pixels", "one division too many"])
def test_advice_is_true_when_it_is_followed(camvid, wrong):
    write_contract(**wrong)
    tried = built(precision="float32")[0].warnings[1]
    assert tried.endswith("Next: put that into net.json") and "% mIoU with " in tried
    write_contract(**advice(tried))
    result = built(precision="float32")[0]
    assert result.warnings == () and result.card.check.miou_float > 0.9


def test_form_that_is_nearer_and_still_implausible_is_not_to_be_put_into_the_contract(camvid, monkeypatch):
    write_contract(**WRONG)
    monkeypatch.setattr(plausibility, "soundness", lambda *arguments: next(figures))
    figures = iter([plausibility.Soundness(0.0, 0, 0), *[plausibility.Soundness(0.12, 0, 0)] * 40])
    assert "put that into net.json" in built(precision="float32")[0].warnings[1]
    figures = iter([plausibility.Soundness(0.0, 0, 0), *[plausibility.Soundness(0.12, 0, 0)] * 40])
    monkeypatch.setattr(plausibility, "least_miou", lambda images, classes: 0.13)
    tried = built(precision="float32")[0].warnings[1]
    assert tried.endswith("which is nearer, and not right yet. Next: take mean and std from the code that trained it")


def test_warning_stands_on_the_card_in_the_report_and_beside_the_verdict(camvid, capsys):
    write_contract(**WRONG)
    command = ["--onnx", "net.onnx", "--contract", "net.json", "--int8", "--max-miou-drop", "100"]
    assert main([*command, "--calibration-images", "3", "--accuracy-images", "6"]) == 0
    lines = capsys.readouterr().out.splitlines()
    card = read_card(ENGINES / "onnxruntime-int8")
    report = read_record(Int8Report, ENGINES / "onnxruntime-int8" / "int8-report.json")
    assert report.verdict is not None and card.notes[: len(report.float_doubts)] == report.float_doubts
    assert report.warnings[:2] == report.float_doubts[:2] and report.float_doubts[0].startswith("the float network's")
    # A green verdict would be read alone.
    assert verdict(report) == OPEN
    place = lines.index(next(line for line in lines if line.startswith("Accuracy budget met")))
    assert lines[place].startswith("Accuracy budget met, but the float network itself is implausible. ")
    assert lines[place + 1] == f"warning: {report.float_doubts[0]}"
    assert sum(report.float_doubts[0] in line for line in lines) == 1


def test_float_build_warns_too(camvid, capsys):
    write_contract(**WRONG)
    assert main(["--onnx", "net.onnx", "--contract", "net.json", "--accuracy-images", "6"]) == 0
    output = capsys.readouterr().out
    assert output.count("warning: the float network's mIoU is ") == 1 and "warning: tried " in output
    assert read_card(ENGINES / "onnxruntime-float32").notes[0].startswith("the float network's mIoU is ")


def test_dry_run_of_an_adoption_warns_and_builds_nothing(camvid, capsys):
    write_contract(**WRONG)
    command = ["--onnx", "net.onnx", "--contract", "net.json", "--dry-run"]
    assert main(command) == 0
    output = capsys.readouterr().out
    assert "warning: the float network's mIoU is " in output and "warning: tried " in output
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["warnings"][0].startswith("the float network's mIoU is ")
    assert not ENGINES.exists()
    write_contract()
    assert main(command) == 0
    assert "warning" not in capsys.readouterr().out


def test_pictures_without_labels_show_a_network_that_gives_one_class(pictures):
    write_contract(**FAINT)
    result, _ = built(images_path=pictures, precision="float32")
    found, tried = result.warnings
    assert found.startswith("the float network gives one class alone, ") and found.endswith(" images of mine")
    assert "which is a guess, since there are no labels" in tried and "Next: put that into net.json" in tried
    write_contract()
    assert built(images_path=pictures, precision="float32")[0].warnings == ()


def test_labels_that_change_with_the_view_are_taken_for_noise(pictures, monkeypatch):
    shaky = plausibility.Soundness(None, 0.3, 0.1)
    sound = plausibility.Soundness(None, 1.0, 0.8)
    figures = iter([shaky, *[shaky] * 40])
    monkeypatch.setattr(plausibility, "soundness", lambda *arguments: next(figures))
    found, tried = built(images_path=pictures, precision="float32")[0].warnings
    assert found.startswith("the float network takes mine for noise: only 10 % of what its labels say")
    assert "none helps" in tried and "Next: check the weights" in tried
    figures = iter([sound])
    assert built(images_path=pictures, precision="float32")[0].warnings == ()


def test_drawn_scenes_and_random_weights_are_not_judged(camvid):
    write_contract(**WRONG, trained=False)
    assert built(precision="float32")[0].warnings == ()
    Path("data").rename("elsewhere")
    write_contract(**FAINT)
    result, _ = built(precision="float32")
    assert result.card.check.images_from == "synthetic scenes" and result.warnings == ()


def test_logits_that_are_not_finite_are_no_help(monkeypatch, pictures):
    from edge.errors import InputError

    def broken(*arguments):
        raise InputError("logits are not finite")

    monkeypatch.setattr(plausibility, "soundness", broken)
    _, tried = built(images_path=pictures, precision="float32")[0].warnings
    assert "none helps" in tried


def test_classes_in_another_order_are_named(camvid):
    for path in sorted(Path("data/camvid/valannot").iterdir()):
        labels = labels_of(int(path.stem.split("_")[1]))
        write_image(path, ((labels + 1) % CLASSES).astype(np.uint8))
    found, tried, order = built(precision="float32")[0].warnings
    assert "mIoU is 0.00 %" in found and "none helps" in tried
    names = CAMVID.class_names
    assert order.startswith("with the classes in another order the mIoU would be 100.00 %: ")
    assert f"output 0 fits {names[1]}, output 1 fits {names[2]}" in order and "and 8 more" in order


# Networks of this project


def test_exported_network_at_chance_is_named_with_what_can_be_done(camvid):
    trained = WeightsProvenance("trained", "fast_scnn-camvid-1", "1" * 64, 0.5, (hostile.SIZE, hostile.SIZE))
    device.write_artifact(hostile.hostile_network(), dataclasses.replace(trained))
    result, _ = device.built(precision="float32", accuracy_images=6)
    found, tried = result.warnings
    assert "that need no network" in found
    assert tried.startswith("frames in BGR order do not help: ") and "Next: --weights of another run" in tried


def test_exported_network_whose_labels_fit_has_no_warning():
    model = hostile.hostile_network()
    device.write_artifact(model)
    device.write_camvid(model, val=6)
    assert device.built(precision="float32", accuracy_images=6)[0].warnings == ()
