"""edge-bench show: network, weights, engine and speed of a record; and what every output says of random weights."""

from __future__ import annotations

import dataclasses
import json

import cv2
import numpy as np
import pytest

import edge
from edge.accuracy import Accuracy
from edge.bench.__main__ import main as bench_module
from edge.bench.bench_record import RECORD_FILE, BenchRecord
from edge.bench.cli import main
from edge.card import BuildCheck
from edge.imaging import write_image
from edge.provenance import RANDOM_SENTENCE, WeightsProvenance
from edge.records import read_record, write_record
from edge.stream.cli import main as demo

QUICK = ("--frames", "3", "--seconds", "0", "--warmup", "1")
TRAINED = WeightsProvenance("trained", "fast_scnn-camvid-1", "1" * 64, 0.5, (16, 32))
RANDOM = WeightsProvenance("random", "seed 0", "0" * 64)
BOLD = f"*** {RANDOM_SENTENCE} ***"


@pytest.fixture
def images(tmp_path, frame_rgb):
    for index in range(2):
        write_image(tmp_path / "images" / f"frame_{index}.png", np.roll(frame_rgb, index, 0))
    return tmp_path / "images"


@pytest.fixture
def measured(make_engine, images, tmp_path, capsys):
    """Return a function that measures an engine with weights of an origin, and gives the output folder and stdout."""

    def measure(weights, **changes):
        output = tmp_path / f"out-{weights.kind}"
        engine = make_engine(weights.kind, weights=weights, **changes)
        assert main(["run", str(engine), "--images", str(images), *QUICK, "--output", str(output)]) == 0
        return output, capsys.readouterr().out

    return measure


def shown(capsys, *arguments):
    assert main(["show", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_show_names_network_weights_engine_machine_and_date(measured, capsys):
    output, _ = measured(TRAINED)
    record = read_record(BenchRecord, output / RECORD_FILE)
    lines = shown(capsys, output).splitlines()
    assert lines[0].startswith("tiny float32 16x32 for camvid (11 classes), onnxruntime ")
    assert lines[1] == "weights: trained weights of fast_scnn-camvid-1, validation mIoU 50.00 % at 16x32"
    (date,) = (line for line in lines if line.startswith("measured "))
    assert record.started_utc in date and record.machine.cpu in date
    assert date.endswith(f"; engine built {record.engine.built_utc}")
    assert not any("INT8" in line or "random" in line for line in lines)


def test_show_as_json_is_json_alone_with_the_same_facts(measured, capsys):
    output, _ = measured(TRAINED)
    record = read_record(BenchRecord, output / RECORD_FILE)
    facts = json.loads(shown(capsys, output, "--json"))
    assert (facts["model"], facts["dataset"], facts["class_count"]) == ("tiny", "camvid", 11)
    assert (facts["height"], facts["width"], facts["precision"], facts["backend"]) == (16, 32, "float32", "onnxruntime")
    assert (facts["weights_sentence"], facts["has_random_weights"]) == (TRAINED.sentence(), False)
    assert (facts["int8_verdict"], facts["miou_engine"]) == (None, None)
    assert (facts["fps"], facts["latency_p50_ms"]) == (record.fps, record.end_to_end.p50_ms)
    assert facts["machine"]["cpu"] == record.machine.cpu
    assert facts["report"] == str(output / "report.html")


@pytest.mark.parametrize(
    ("weights", "check", "verdict"),
    [
        (TRAINED, BuildCheck(16, "camvid val", 0.98, verdict="held"), "held"),
        (TRAINED, None, "nothing was limited, or is known"),
        (RANDOM, BuildCheck(16, "synthetic scenes", 0.98), "nothing was limited, the weights are random"),
    ],
)
def test_show_gives_the_verdict_on_int8(measured, capsys, weights, check, verdict):
    output, _ = measured(weights)
    record = read_record(BenchRecord, output / RECORD_FILE)
    engine = dataclasses.replace(record.engine, precision="int8", check=check)
    write_record(output / RECORD_FILE, dataclasses.replace(record, engine=engine))
    assert json.loads(shown(capsys, output, "--json"))["int8_verdict"] == verdict
    said = "accuracy budget held" if verdict == "held" else f"INT8: {verdict}"
    assert said in shown(capsys, output).splitlines()


def test_every_output_of_random_weights_says_so_first(measured, images, capsys, tmp_path):
    output, printed = measured(RANDOM)
    assert printed.splitlines()[0] == BOLD
    assert shown(capsys, output).splitlines()[0] == BOLD
    page = (output / "report.html").read_text()
    assert page.count(RANDOM_SENTENCE) == 2 and page.index(RANDOM_SENTENCE) < page.index("frames per second")
    engine = next((tmp_path / "random" / "engines").iterdir())
    profiled = tmp_path / "profile"
    assert main(["profile", str(engine), "--images", str(images), "--runs", "2", "--output", str(profiled)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == BOLD
    page = (profiled / "profile.html").read_text()
    assert page.index(RANDOM_SENTENCE) < page.index("sum of layers")


def test_overlays_of_random_weights_bear_it_and_others_do_not(measured):
    pictures = {}
    for weights in (TRAINED, RANDOM):
        output, printed = measured(weights)
        assert (RANDOM_SENTENCE in printed) == weights.is_random
        pictures[weights.kind] = cv2.imread(str(output / "overlays" / "frame_0.png"))
    # The same network labels alike, so only the caption in the upper left corner differs.
    differs = np.any(pictures["trained"] != pictures["random"], axis=2)
    assert differs[0, 0] and not differs[-1].any()


def test_trained_weights_have_no_banner(measured):
    output, _ = measured(TRAINED)
    assert "Random weights" not in (output / "report.html").read_text()


@pytest.mark.parametrize(("command", "name"), [(main, "edge-bench"), (bench_module, "edge-bench"), (demo, "edge-demo")])
def test_version_is_that_of_segedge(capsys, command, name):
    try:
        code = command(["--version"])
    except SystemExit as ended:
        code = ended.code
    assert code == 0
    assert capsys.readouterr().out == f"{name} {edge.__version__}\n"


def test_show_has_the_accuracy_that_was_measured_and_the_pictures_that_were_left_out(measured, capsys):
    output, _ = measured(TRAINED)
    record = read_record(BenchRecord, output / RECORD_FILE)
    assert not any("mIoU" in line for line in shown(capsys, output).splitlines()[2:])
    accuracy = Accuracy("camvid", "val", 7, 0.4321, 0.9, {})
    record = dataclasses.replace(record, accuracy=accuracy, skipped_pictures=("a.png", "b.png"))
    write_record(output / RECORD_FILE, record)
    lines = shown(capsys, output).splitlines()
    assert "mIoU 43.21 % (7 frames of camvid val), measured by this run" in lines
    assert "left out, since they cannot be read: 2 pictures" in lines
    facts = json.loads(shown(capsys, output, "--json"))
    assert (facts["miou_measured"], facts["skipped_picture_count"]) == (0.4321, 2)
