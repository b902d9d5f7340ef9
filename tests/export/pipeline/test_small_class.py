"""A class of few pixels that INT8 would lose is cured, or the build is refused and names it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from calibration.results import EXCEEDED, HELD, NOT_SHOWN, REPORT_FILE, Int8Report
from edge.card import read_card
from edge.imaging import list_images, read_rgb, write_image
from edge.records import read_record
from edge.runtime import open_engine
from edge.segmenter import Segmenter
from export.build_engine import main
from tests.calibration.graph_drawing import TensorProto, make_model, node
from tests.export import small_device as device

SIZE = 64
NAMES = ("road", "bright", "person")
ENGINE = Path("artifacts") / f"crossing-own-{SIZE}x{SIZE}" / "engines" / "onnxruntime-int8"
REFUSED = ENGINE.with_name(f"{ENGINE.name}-refused")
COMMAND = [
    *("--onnx", "crossing.onnx", "--contract", "crossing.json", "--int8", "--images", "pictures"),
    *("--backend", "onnxruntime", "--calibration-images", "8", "--accuracy-images", "10"),
]


def crossing_network(ratio):
    """Return a graph that tells persons by a colour whose tensor is `ratio` times smaller than that of the brightness.

        x -> mixed (brightness, and red less green `ratio` times smaller) -> kept, smoothed -> logits

    One scale for `mixed` is too coarse for the colour if the ratio is more than the steps of INT8. Two layers read the
    tensor, so that its channels cannot be balanced.
    """
    mixed = np.zeros((2, 3, 1, 1), np.float32)
    mixed[0] = 1 / 3
    mixed[1, :2, 0, 0] = 1 / ratio, -1 / ratio
    smooth = np.zeros((2, 2, 3, 3), np.float32)
    smooth[0, 0], smooth[1, 1] = 1 / 9, ratio / 9
    head = np.zeros((3, 4, 1, 1), np.float32)
    head[1, 0], head[1, 2] = 4, 4
    head[2, 1], head[2, 3] = 10, 10
    same = {"pads": [1, 1, 1, 1]}
    nodes = [
        node("Conv", ["x", "mixed_w", "zeros"], "mixed"),
        node("Relu", ["mixed"], "mixed_relu"),
        node("Conv", ["mixed_relu", "kept_w", "zeros"], "kept"),
        node("Conv", ["mixed_relu", "smooth_w", "zeros"], "smoothed", **same),
        node("Concat", ["kept", "smoothed"], "joined", axis=1),
        node("Conv", ["joined", "head_w", "head_b"], "logits"),
    ]
    constants = {
        "mixed_w": mixed,
        "zeros": np.zeros(2, np.float32),
        "kept_w": np.diag([1, ratio]).astype(np.float32)[:, :, None, None],
        "smooth_w": smooth,
        "head_w": head,
        "head_b": np.array([2.6, -2.0, -6.0], np.float32),
    }
    shape = (1, 3, SIZE, SIZE)
    return make_model(nodes, constants, {"x": (shape, TensorProto.FLOAT)}, {"logits": (shape, TensorProto.FLOAT)})


def write_crossing(ratio, count=20, persons=None):
    """Write network, contract and pictures: grey ground, a bright stripe, and a red person of 1 % of the pixels."""
    Path("crossing.onnx").write_bytes(crossing_network(ratio).SerializeToString())
    described = {
        "name": "crossing",
        "class_names": NAMES,
        "mean": [0, 0, 0],
        "std": [1, 1, 1],
        "scale": 255,
        "channel_order": "rgb",
    }
    Path("crossing.json").write_text(json.dumps(described))
    generator = np.random.default_rng(8)
    for index in range(count):
        frame = np.repeat(generator.integers(40, 110, (SIZE, SIZE, 1)), 3, 2)
        frame[40:56] = generator.integers(230, 256)
        if persons is None or index in persons:
            top, left = generator.integers(0, (32, SIZE - 8))
            frame[top : top + 8, left : left + 5] = 250, 30, 40
        write_image(Path("pictures") / f"crossing_{index:02}.png", frame.astype(np.uint8))


def shares(folder):
    """Return the share of the pixels of all pictures that an engine gives each class, in percent."""
    runner, card = open_engine(folder)
    counts = np.zeros(len(NAMES))
    with runner:
        segmenter = Segmenter(runner, "rgb")
        for path in list_images("pictures"):
            labels = segmenter(read_rgb(path), card.contract.height, card.contract.width).labels
            counts += np.bincount(labels.ravel(), minlength=len(NAMES))
    return dict(zip(NAMES, 100 * counts / counts.sum()))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    return device.prepare(tmp_path, monkeypatch)


def test_class_that_plain_int8_loses_is_cured(capsys):
    write_crossing(ratio=600)
    assert main(COMMAND) == 0
    report = read_record(Int8Report, ENGINE / REPORT_FILE)
    plain = report.looks[0]
    assert plain.verdict == EXCEEDED and plain.worst.startswith("person is lost")
    assert plain.label_agreement > 0.98, "an average would have let it pass"
    assert (report.verdict, report.looks[-1].verdict) == (HELD, HELD)
    assert shares(ENGINE)["person"] == pytest.approx(1.0, abs=0.3)
    card = read_card(ENGINE)
    assert card.check.verdict == HELD and 0.5 < card.int8_mac_share <= 1
    assert "equalised channels" in report.recipe or "in float" in report.recipe
    assert "Accuracy budget met" in capsys.readouterr().out


def test_class_that_nothing_cures_in_time_refuses_the_build_and_is_named(capsys):
    write_crossing(ratio=600)
    assert main([*COMMAND, "--search-minutes", "0"]) == 3
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: INT8 of crossing") and "person is lost: 100.00 % unlike the float network" in error
    assert "no engine was kept" in error and "--class-budget" in error
    assert not ENGINE.exists()
    assert "person is lost" in (REFUSED / "int8-report.html").read_text()


def test_class_that_int8_keeps_costs_no_layer():
    write_crossing(ratio=1)
    assert main(COMMAND) == 0
    report = read_record(Int8Report, ENGINE / REPORT_FILE)
    assert (report.verdict, report.int8_mac_share, report.steps) == (HELD, 1.0, ())
    assert {each.name for each in report.cost.classes if each.regions_found} == set(NAMES)


def test_class_that_the_images_of_the_search_do_not_show_is_named_too(capsys):
    """Persons are on judging pictures alone: the search is content with what loses them, and is asked for more."""
    judging = {index for index in range(20) if index % 2}
    write_crossing(ratio=600, persons=judging)
    assert main(COMMAND) == 3
    error = capsys.readouterr().err.splitlines()[-1]
    assert "person is lost" in error
    assert error.endswith("Next: calibration images that show person, of which the search has none; or --fp16")
    report = read_record(Int8Report, REFUSED / REPORT_FILE)
    assert report.steps and all(step.cost.classes[2].float_share == 0 for step in report.steps)


def test_class_on_one_picture_is_not_shown_with_exit_code_0(capsys):
    write_crossing(ratio=1, persons={5})
    assert main([*COMMAND, "--class-budget", "person=1"]) == 0
    printed = capsys.readouterr().out
    assert "Accuracy budget not shown to hold: too few images." in printed
    assert "10 images are too few to show it for person (" in printed
    assert read_card(ENGINE).check.verdict == NOT_SHOWN
    assert 'class="banner good"' not in (ENGINE / "int8-report.html").read_text()
