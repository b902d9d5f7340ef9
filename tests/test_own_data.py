"""Data of a user's own, and rails, go the whole way: trained, built as INT8, measured, and painted over a picture."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge.bench.bench_record import BenchRecord
from edge.bench.cli import main as bench
from edge.datasets import class_table, open_dataset
from edge.datasets.reference import dataset_reference
from edge.imaging import read_rgb
from edge.network_class import network_classes
from edge.records import read_record
from edge.stream.cli import main as demo
from tests.own_data import write_rail, write_yard

REPOSITORY = Path(__file__).resolve().parents[1]
SIZE = "64x128"
YARD_COLORS = {"ground": (120, 120, 120), "rail": (250, 10, 20), "worker": (20, 240, 30)}


def run(folder: Path, *command: str) -> str:
    """Run a command in a folder of its own and return what it printed."""
    finished = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def write_data(folder: Path, dataset: str) -> tuple[str, list[str]]:
    """Write a dataset, and return what --dataset takes and the folder that has to be named beside it."""
    if dataset == "yard":
        return str(write_yard(folder / "yard", train=8, val=5)), []
    return "railsem19", ["--data-dir", str(write_rail(folder / "rs19", train=8, val=5))]


def held_out_frame(option: str, place: list[str]) -> Path:
    return open_dataset(option, place[1] if place else None, "val").samples[0].image_path


@pytest.fixture
def yard_engine(make_engine, tmp_path):
    """Write the yard with its description, and an engine of its classes; return both."""
    path = write_yard(tmp_path / "yard", height=16, width=32)
    reference = dataset_reference(str(path))
    classes = reference.classes()
    names = tuple(each.name for each in classes)
    changes = {"dataset": "yard", "class_names": names, "classes": classes, "described": reference.described()}
    return path, make_engine(**changes)


def test_engine_of_own_data_is_measured_by_class_and_group_without_naming_the_data(yard_engine, tmp_path, capsys):
    _, engine = yard_engine
    assert (
        bench(["run", str(engine), "--accuracy", "--frames", "2", "--seconds", "0", "--output", str(tmp_path / "o")])
        == 0
    )
    assert "mIoU of groups: infrastructure " in capsys.readouterr().out
    accuracy = read_record(BenchRecord, tmp_path / "o" / "record.json").accuracy
    assert (accuracy.dataset, list(accuracy.class_iou)) == ("yard", list(YARD_COLORS))
    assert accuracy.groups["infrastructure"] == accuracy.class_iou["rail"]
    assert accuracy.groups["people"] == accuracy.groups["alarm"] == accuracy.class_iou["worker"]
    assert accuracy.groups["vehicles"] is None
    assert bench(["show", str(tmp_path / "o")]) == 0
    assert accuracy.group_sentence() in capsys.readouterr().out
    page = (tmp_path / "o" / "report.html").read_text()
    assert "mIoU of groups of classes" in page and "worker" in page


def test_engine_paints_and_names_its_classes_where_nobody_has_the_description(yard_engine, tmp_path, capsys):
    path, engine = yard_engine
    picture = path.parent / "val" / "frames" / "f0.png"
    moved = path.rename(tmp_path / "moved.json")
    assert (
        demo(
            [str(engine), "--source", str(picture), "--alpha", "1", "--no-legend", "--output", str(tmp_path / "p.png")]
        )
        == 0
    )
    painted = {tuple(color) for color in np.unique(read_rgb(tmp_path / "p.png").reshape(-1, 3), axis=0).tolist()}
    assert painted & set(YARD_COLORS.values())
    run_it = ["run", str(engine), "--accuracy", "--frames", "1", "--seconds", "0"]
    assert bench(run_it) == 2
    assert f"dataset description of yard not found: {path}, where" in capsys.readouterr().err
    assert bench([*run_it, "--dataset", str(moved), "--data-dir", str(path.parent)]) == 0
    assert "warning" not in capsys.readouterr().err
    moved.write_text(moved.read_text().replace('"name": "rail"', '"name": "track"'))
    assert bench([*run_it, "--dataset", str(moved), "--data-dir", str(path.parent)]) == 2
    told = capsys.readouterr().err
    assert "says something else than at the export of this network" in told
    assert "class 1 of yard is 'track', that of the engine for yard is 'rail', expected the same classes" in told


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["yard", "railsem19"])
def test_dataset_goes_the_whole_way(dataset, tmp_path):
    option, place = write_data(tmp_path, dataset)
    named = ["--model", "fast_scnn", "--dataset", option, *place]
    train = str(REPOSITORY / "train/train.py")
    steps = ("--size", SIZE, "--epochs", "30", "--batch-size", "4", "--set", "validate_every=30")
    trained = json.loads(run(tmp_path, train, *named, *steps, "--json"))["run"]
    table = class_table(option)
    assert (trained["dataset"], trained["class_count"]) == (dataset, table.class_count)
    assert [each["name"] for each in trained["classes"]] == list(table.class_names)
    assert trained["recipe_origin"].startswith("derived from fast_scnn's on camvid for 8 frames of 64x128")
    assert trained["best_miou"] > 0.6, "colours of their own are learnt in a few steps"

    # Neither the dataset nor its folder is named: the run remembers both.
    build = [str(REPOSITORY / "export/build_engine.py"), "--model", "fast_scnn", "--int8", "--backend", "onnxruntime"]
    person = "worker" if dataset == "yard" else "human"
    built = json.loads(run(tmp_path, *build, "--search-minutes", "0.5", "--class-budget", f"{person}=30", "--json"))
    card, artefact = built["card"], Path(f"artifacts/fast_scnn-{dataset}-{SIZE}")
    contract = card["contract"]
    assert contract["classes"] == trained["classes"] and contract["described"] == trained["described"]
    assert (contract["described"] is None) == (dataset == "railsem19")
    assert card["check"]["images_from"] == f"{dataset} val" and card["calibration"]["images_from"] == f"{dataset} train"
    assert abs(card["check"]["miou_float"] - card["check"]["miou_engine"]) < 0.02

    measure = ["-m", "edge.bench.cli", "run", str(artefact), "--accuracy", "--frames", "2", "--seconds", "0"]
    measured = json.loads(run(tmp_path, *measure, *place, "--output", "out", "--json"))["accuracy"]
    assert measured["miou"] == pytest.approx(card["check"]["miou_engine"])
    assert measured["groups"]["people"] == measured["class_iou"][person] > 0.5
    assert "mIoU of groups: " in run(tmp_path, "-m", "edge.bench.cli", "show", "out")

    frame = held_out_frame(option, place)
    paint = ("-m", "edge.stream.cli", str(artefact), "--source", str(frame), "--alpha", "1", "--no-legend")
    run(tmp_path, *paint, "--output", "painted.png")
    painted = {tuple(color) for color in np.unique(read_rgb(tmp_path / "painted.png").reshape(-1, 3), axis=0).tolist()}
    wanted = {each.name: each.painted_rgb for each in network_classes(table)}
    assert wanted[person] in painted
