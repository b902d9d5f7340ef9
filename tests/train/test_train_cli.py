"""The command `python train/train.py`: a real run of Fast-SCNN on drawn streets, and every way to fail."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import train.preparation as preparation
import train.training as training_module
from edge.artifacts import sha256_file
from edge.datasets import DATA_ROOT_VARIABLE
from edge.frames import SyntheticFrames
from edge.records import read_record
from edge.synthetic import write_dataset
from export.from_keras.exporter import ExportRequest, export_model
from export.graph.parity import PARITY_FILE, ParityReport
from tests.edge.picture_files import damaged_inside
from tests.own_data import write_yard
from tests.train import street_set
from train.models import MODELS
from train.options import OPTIONS
from train.run_choice import find_runs
from train.runs import BEST_WEIGHTS, LAST_WEIGHTS, RUN_RECORD, RUN_STATE, RunRecord
from train.train import build_parser, main

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def clean_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(DATA_ROOT_VARIABLE, raising=False)
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train Fast-SCNN for two epochs on drawn streets, by the command."""
    folder = tmp_path_factory.mktemp("training")
    write_dataset(folder / "data" / "synthetic", 8, 2, 64, 128, seed=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv(DATA_ROOT_VARIABLE, raising=False)
        code = main(
            ["--model", "fast_scnn", "--dataset", "synthetic", "--size", "64x128", "--epochs", "2", "--batch-size", "4"]
        )
    assert code == 0
    return folder


@pytest.mark.long
def test_command_trains_and_leaves_a_run(trained):
    weights = find_runs("fast_scnn", trained / "runs")[0].weights_path
    run = read_record(RunRecord, weights.parent / RUN_RECORD)
    assert {path.name for path in weights.parent.iterdir()} == {
        RUN_RECORD, RUN_STATE, BEST_WEIGHTS, LAST_WEIGHTS, "history.csv", "curves.svg", "tensorboard",
    }  # fmt: skip
    assert (run.status, run.class_count, run.height, run.width, len(run.history)) == ("finished", 19, 64, 128, 2)
    assert run.history[1]["loss"] < run.history[0]["loss"]
    assert run.best_miou == max(entry["miou"] for entry in run.history)
    assert run.weights_sha256 == sha256_file(weights)


@pytest.mark.long
def test_trained_weights_export_with_parity(trained, tmp_path):
    weights = find_runs("fast_scnn", trained / "runs")[0].weights_path
    request = ExportRequest("fast_scnn", "synthetic", 64, 128, weights)
    contract = export_model(request, tmp_path, SyntheticFrames(2, 64, 128, 5))
    assert (contract.weights.kind, contract.weights.source) == ("trained", weights.parent.name)
    assert contract.weights.sha256 == sha256_file(weights)
    # export_model refuses a graph that is not the network; weights have to be the trained ones, too.
    assert read_record(ParityReport, tmp_path / PARITY_FILE).logit_range > 0


def fast(monkeypatch):
    """Put a network that trains in seconds in the place of Fast-SCNN."""
    monkeypatch.setitem(MODELS, "fast_scnn", street_set.TINY)
    monkeypatch.setitem(OPTIONS, "fast_scnn", {})
    monkeypatch.setattr(preparation, "backbone_layers", lambda *_: frozenset())


COMMAND = ["--model", "fast_scnn", "--dataset", "camvid", "--size", "32x64", "--epochs", "2", "--batch-size", "3"]


@pytest.fixture
def camvid(clean_folder, monkeypatch):
    fast(monkeypatch)
    return street_set.write_camvid(clean_folder / "data" / "camvid")


def error_line(capsys) -> str:
    error = capsys.readouterr().err.splitlines()
    lines = [line for line in error if line.startswith("error: ")]
    assert len(lines) == 1 and error[-1] == lines[0] and "Traceback" not in "".join(error)
    return lines[0]


def test_json_is_the_record(camvid, clean_folder, capsys):
    assert main([*COMMAND, "--json", "--output", "here"]) == 0
    out = capsys.readouterr().out
    printed = json.loads(out)
    assert printed["folder"] == "here"
    assert printed["run"] == json.loads((clean_folder / "here" / RUN_RECORD).read_text())


def test_run_folder_that_holds_a_run_is_not_overwritten(camvid, clean_folder, capsys):
    assert main([*COMMAND, "--output", "here"]) == 0
    before = (clean_folder / "here" / RUN_RECORD).read_bytes()
    assert main([*COMMAND, "--output", "here"]) == 2
    assert "run folder here holds a run already" in error_line(capsys)
    assert (clean_folder / "here" / RUN_RECORD).read_bytes() == before


def interrupt_validation(monkeypatch, number, which):
    """Let a signal come at the beginning of a validation."""
    measure, seen = training_module.measure_validation, []

    def interrupted(*arguments):
        seen.append(1)
        if len(seen) == which:
            os.kill(os.getpid(), number)
        return measure(*arguments)

    monkeypatch.setattr(training_module, "measure_validation", interrupted)


def test_interruption_returns_130_and_the_run_goes_on_by_the_command_that_it_names(
    camvid, clean_folder, monkeypatch, capsys
):
    with monkeypatch.context() as patch:
        interrupt_validation(patch, signal.SIGINT, which=2)
        assert main([*COMMAND, "--output", "here"]) == 130
    run = read_record(RunRecord, clean_folder / "here" / RUN_RECORD)
    assert (run.status, run.best_epoch, run.steps_done) == ("interrupted", 1, 4)
    told = capsys.readouterr().err
    assert "interrupted: the state of step 4 of 4 is kept, the best weights are those of epoch 1. " in told
    command = told.strip().splitlines()[-1].split("python train/train.py ")[1]
    assert main(command.split()) == 0
    run = read_record(RunRecord, clean_folder / "here" / RUN_RECORD)
    assert (run.status, len(run.history), [each.step for each in run.resumptions]) == ("finished", 2, [4])


def test_training_that_is_ended_by_sigterm_keeps_the_same(camvid, clean_folder, monkeypatch, capsys):
    interrupt_validation(monkeypatch, signal.SIGTERM, which=1)
    assert main([*COMMAND, "--output", "here"]) == 143
    assert read_record(RunRecord, clean_folder / "here" / RUN_RECORD).status == "interrupted"
    assert "interrupted by SIGTERM: the state of step 2 of 4 is kept. Next: " in capsys.readouterr().err


def test_resume_takes_what_a_run_has_and_nothing_that_is_another_run(camvid, clean_folder, monkeypatch, capsys):
    interrupt_validation(monkeypatch, signal.SIGINT, which=2)
    assert main([*COMMAND, "--limit", "4", "--output", "here"]) == 130
    capsys.readouterr()
    assert main(["--resume", "here", "--epochs", "9"]) == 2
    assert "epochs 2 (run) / 9 (wanted)" in error_line(capsys)
    assert main(["--resume", "here", "--limit", "3"]) == 2
    assert "--limit is not for a run that goes on" in error_line(capsys)
    assert main(["--resume", "here", "--dataset", "synthetic"]) == 2
    assert "dataset camvid (run) / synthetic (wanted)" in error_line(capsys)
    assert main(["--resume", "nowhere"]) == 2
    assert "--resume nowhere is not there" in error_line(capsys)
    # The dataset may have moved.
    camvid.rename(clean_folder / "moved")
    assert main(["--resume", "here", "--data-dir", "moved"]) == 0
    assert read_record(RunRecord, clean_folder / "here" / RUN_RECORD).status == "finished"


@pytest.mark.parametrize("given", [["--model", "fast_scnn"], ["--dataset", "camvid"], []])
def test_command_without_a_model_or_a_dataset_says_what_is_missing(clean_folder, capsys, given):
    assert main(given) == 2
    assert "is missing. Next: --model M --dataset D, or --resume RUN" in error_line(capsys)


def test_several_workers_need_a_folder_that_they_share(camvid, capsys):
    assert main([*COMMAND, "--strategy", "multiworker"]) == 2
    assert "--strategy multiworker needs --output" in error_line(capsys)


def test_unknown_ids_are_one_line(camvid, capsys):
    street_set.spoil(camvid / "trainannot" / "a_2.png")
    assert main(COMMAND) == 2
    assert "a_2.png has unknown ids [77]" in error_line(capsys)


def test_label_map_of_another_size_is_one_line(camvid, capsys):
    street_set.write_image(camvid / "trainannot" / "a_2.png", np.zeros((8, 8), np.uint8))
    assert main(COMMAND) == 2
    assert "is 8x8, its frame is 32x64" in error_line(capsys)


def test_bad_frames_are_named_before_training_or_left_out_and_counted(camvid, clean_folder, capsys):
    for path in (camvid / "train" / "a_1.png", camvid / "valannot" / "a_0.png"):
        path.write_bytes(path.read_bytes()[:-9])
    assert main([*COMMAND, "--output", "here"]) == 2
    assert "1 of 6 pictures of camvid train under data/camvid are bad: a_1.png cannot be decoded" in error_line(capsys)
    assert not (clean_folder / "here").exists()
    assert main([*COMMAND, "--output", "here", "--skip-bad"]) == 0
    run = read_record(RunRecord, clean_folder / "here" / RUN_RECORD)
    assert run.skipped_frames == ("train/a_1", "val/a_0")


def test_check_of_the_data_lists_every_bad_pair_of_both_splits_before_training(camvid, clean_folder, capsys):
    for path in (camvid / "train" / "a_1.png", camvid / "val" / "a_0.png"):
        path.write_bytes(damaged_inside(path.read_bytes()))
    assert main([*COMMAND, "--output", "here", "--check-data"]) == 2
    *listed, error = capsys.readouterr().err.strip().splitlines()
    assert [line.split(": ")[1] for line in listed if line.startswith("bad: ")] == ["train/a_1", "val/a_0"]
    assert "1 of 6 pictures of camvid train" in error and "--skip-bad" in error
    assert not (clean_folder / "here").exists()


def test_size_that_the_model_cannot_take_is_one_line_with_the_nearest(clean_folder, capsys):
    street_set.write_camvid(clean_folder / "data" / "camvid")
    assert main(["--model", "fast_scnn", "--dataset", "camvid", "--size", "70x100"]) == 2
    assert "takes sizes that are multiples of 32, got 70x100. Next: --size 64x96" in error_line(capsys)
    assert not (clean_folder / "runs").exists()


def test_missing_dataset_is_one_line_and_leaves_no_run(clean_folder, capsys):
    assert main(["--model", "fast_scnn", "--dataset", "camvid"]) == 2
    assert "camvid folder not found: data/camvid" in error_line(capsys)
    assert not list(clean_folder.iterdir())


def test_initial_weights_have_to_fit(camvid, clean_folder, capsys):
    assert main([*COMMAND, "--output", "here"]) == 0
    capsys.readouterr()
    weights = clean_folder / "here" / BEST_WEIGHTS
    assert main(["--model", "fastfcn", *COMMAND[2:], "--init-weights", str(weights)]) == 2
    assert "weights of fast_scnn, expected fastfcn" in error_line(capsys)
    assert main([*COMMAND, "--init-weights", "nowhere.weights.h5"]) == 2
    assert "weights not found: nowhere.weights.h5" in error_line(capsys)
    weights.write_bytes(weights.read_bytes()[:-20])
    assert main([*COMMAND, "--init-weights", str(weights)]) == 2
    assert "damaged or was replaced" in error_line(capsys)


def test_classifier_alone_is_made_anew_for_classes_that_the_weights_do_not_know(camvid, clean_folder, capsys):
    assert main([*COMMAND, "--output", "here"]) == 0
    weights = clean_folder / "here" / BEST_WEIGHTS
    write_dataset(clean_folder / "data" / "synthetic", 2, 1, 64, 128, seed=3)
    command = ["--model", "fast_scnn", "--dataset", "synthetic", "--size", "64x128", "--epochs", "1"]
    # The folder of the run stands for its weights.
    assert main([*command, "--init-weights", str(weights.parent), "--output", "there"]) == 0
    told = capsys.readouterr().err
    assert f"taken from {weights}: " in told and "fresh" not in told
    assert "classes taken by name in logits: road, sidewalk (from pavement), building, " in told
    assert "classes made anew there: terrain, truck, bus, motorcycle, bicycle" in told
    assert read_record(RunRecord, clean_folder / "there" / RUN_RECORD).init == str(weights)


@pytest.fixture
def yard(clean_folder, monkeypatch):
    """Write frames of three classes with a description of them, and give its path."""
    fast(monkeypatch)
    return write_yard(clean_folder / "elsewhere", height=32, width=64)


YARD_COMMAND = ["--model", "fast_scnn", "--size", "32x64", "--epochs", "2", "--batch-size", "3", "--output", "here"]


def test_resume_of_own_data_names_a_description_that_changed_or_moved(yard, clean_folder, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        interrupt_validation(patch, signal.SIGINT, which=1)
        assert main([*YARD_COMMAND, "--dataset", str(yard)]) == 130
    assert "(recipe: derived from fast_scnn's on camvid for 6 frames of 32x64)" in capsys.readouterr().err
    content = yard.read_text()
    yard.write_text(content.replace("worker", "visitor"))
    assert main(["--resume", "here"]) == 2
    told = error_line(capsys)
    assert "classes without worker, classes with visitor, another dataset description: " + str(yard) in told
    yard.write_text(content)
    yard.parent.rename(clean_folder / "moved")
    assert main(["--resume", "here"]) == 2
    assert "Next: --dataset FILE, where it is now" in error_line(capsys)
    assert main(["--resume", "here", "--dataset", "moved/yard.json", "--data-dir", "moved"]) == 0
    run = read_record(RunRecord, clean_folder / "here" / RUN_RECORD)
    assert (run.status, run.dataset, run.class_count, run.described.path) == ("finished", "yard", 3, str(yard))
    assert [(each.name, each.painted_rgb, each.groups) for each in run.classes] == [
        ("ground", (120, 120, 120), ()),
        ("rail", (250, 10, 20), ("infrastructure",)),
        ("worker", (20, 240, 30), ("people", "alarm")),
    ]


def test_batch_of_own_data_that_does_not_fit_names_the_largest_that_does(yard, monkeypatch, capsys):
    monkeypatch.setattr("train.engine.memory.available_bytes", lambda: 200_000)
    assert main([*YARD_COMMAND, "--dataset", str(yard), "--batch-size", "6"]) == 2
    assert re.search(r"a step over a batch of 6 crops takes .*Next: --batch-size 3, the largest", error_line(capsys))


def test_defaults_leave_the_recipe_alone():
    arguments = vars(build_parser().parse_args(["--model", "fast_scnn", "--dataset", "camvid"]))
    assert {arguments[name] for name in ("epochs", "batch_size", "learning_rate", "size", "crop")} == {None}
    assert arguments["seed"] is None and arguments["strategy"] == "one"


def test_script_shows_its_options_without_loading_tensorflow(tmp_path):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(CHECKOUT / "train" / "train.py"), "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "--learning-rate" in done.stdout
    assert not re.search(r"\| +tensorflow(\.|$)", done.stderr, re.MULTILINE)
