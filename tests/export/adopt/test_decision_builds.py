"""A network whose labels are a decision by thresholds becomes an INT8 engine that gives all of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from calibration.results import PAGE_FILE, Int8Report
from edge.card import read_card
from edge.imaging import write_image
from edge.records import read_record
from edge.runtime import open_engine
from edge.segmenter import Segmenter
from export.build_engine import main
from tests.export import small_device as device
from tests.export.decision_graphs import draw_scene, mask_network, run
from tests.export.foreign_graphs import CONTRACT, HEIGHT, WIDTH

ENGINE = Path("artifacts") / f"guest-own-{HEIGHT}x{WIDTH}" / "engines" / "onnxruntime-int8"
FRAMES = [draw_scene(11, index, HEIGHT, WIDTH).frame_rgb for index in range(8)]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    device.prepare(tmp_path, monkeypatch)
    for index, frame in enumerate(FRAMES):
        write_image(Path("mine") / f"picture_{index}.png", frame)


def build(model, **fields):
    """Build an INT8 engine on the pictures by the command, and return its exit code."""
    Path("net.onnx").write_bytes(model.SerializeToString())
    described = {**CONTRACT, "dataset": None, **fields}
    Path("net.json").write_text(json.dumps(described))
    words = ["--onnx", "net.onnx", "--contract", "net.json", "--int8", "--images", "mine"]
    return main([*words, "--calibration-images", "3", "--accuracy-images", "4", "--max-label-change", "10"])


def logits_and_labels(frames):
    runner, _ = open_engine(ENGINE)
    with runner:
        segmenter = Segmenter(runner, "rgb")
        return [(runner.infer(frame[None]).copy(), segmenter(frame, HEIGHT, WIDTH).labels.copy()) for frame in frames]


@pytest.mark.parametrize("head", ["Conv", "add"])
def test_int8_engine_of_a_mask_gives_both_labels(head, capsys):
    model = mask_network(1, "half_pixel", "Sigmoid", head=head)
    assert build(model, class_names=["road"], decision="binary", threshold=0.6) == 0
    sentence = "a pixel is 'road' where its probability is over 0.6, else 'background'"
    assert f"labels: {sentence}" in capsys.readouterr().out.splitlines()
    assert read_card(ENGINE).contract.decision_sentence() == sentence
    assert read_record(Int8Report, ENGINE / "int8-report.json").decision == sentence
    assert "where its probability is over 0.6" in (ENGINE / PAGE_FILE).read_text()
    for frame, (logits, labels) in zip(FRAMES, logits_and_labels(FRAMES)):
        assert (logits[0] == 0).all()  # rounding leaves the plane of the background as it is
        mask = run(model, frame)[0, 0] > 0.6
        assert set(np.unique(labels)) == {0, 1}
        assert np.mean(labels == mask) > 0.95


def test_int8_engine_of_thresholds_for_each_class_gives_every_label():
    model = mask_network(3, "half_pixel", "Sigmoid")
    fields = {"class_names": ["road", "car", "sky"], "threshold": [0.7, 0.5, 0.6], "background": "none"}
    assert build(model, **fields, decision="per-class") == 0
    shares = np.zeros(4)
    for frame, (_, labels) in zip(FRAMES, logits_and_labels(FRAMES)):
        given = run(model, frame)[0]
        none = (given <= np.reshape(fields["threshold"], (3, 1, 1))).all(axis=0)
        assert np.mean((labels == 0) == none) > 0.95
        shares += np.bincount(labels.ravel(), minlength=4) / labels.size / len(FRAMES)
    assert (shares > 0.01).all()


def test_mask_without_a_decision_ends_with_code_2_and_the_next_step(capsys):
    assert build(mask_network(1, "half_pixel"), class_names=["road"]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and 'Next: add "decision": "binary"' in errors[0]
    assert not Path("artifacts").exists()
