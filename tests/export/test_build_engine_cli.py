"""The command `python export/build_engine.py`, from nothing but a model's name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import export.build_steps as build_module
import export.tensorrt_builder as tensorrt_builder
from edge.card import read_card
from edge.contract import read_contract
from edge.datasets import DATA_ROOT_VARIABLE
from export.build_engine import build_parser, main

CHECKOUT = Path(__file__).resolve().parents[2]
COMMAND = ["--model", "fast_scnn", "--int8", "--size", "64x128", "--calibration-images", "2", "--check-images", "2"]


@pytest.fixture
def clean_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(DATA_ROOT_VARIABLE, raising=False)
    monkeypatch.setattr(tensorrt_builder, "tensorrt_problem", lambda: "no GPU")
    return tmp_path


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Run the command once, with nothing there: no weights, no dataset, no artefact."""
    pytest.importorskip("tensorflow")
    pytest.importorskip("tf2onnx")
    folder = tmp_path_factory.mktemp("clean")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv(DATA_ROOT_VARIABLE, raising=False)
        patch.setattr(tensorrt_builder, "tensorrt_problem", lambda: "no GPU")
        code = main(COMMAND)
    return folder, code


def test_options_are_those_that_are_documented():
    arguments = build_parser().parse_args(["--model", "fastfcn"])
    assert vars(arguments) == {
        "model": "fastfcn", "dataset": None, "data_dir": None, "weights": None, "size": (512, 1024), "fp16": False,
        "int8": False, "backend": "auto", "calibration_images": None, "calibrator": "percentile", "check_images": 50,
        "option": [], "output": None, "dry_run": False, "json": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "precision"), [([], "float32"), (["--fp16"], "float16"), (["--int8", "--fp16"], "int8")]
)
def test_flags_decide_the_precision(clean_folder, capsys, flags, precision):
    assert main(["--model", "fast_scnn", *flags, "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["precision"] == precision
    assert plan["output"] == f"artifacts/fast_scnn-cityscapes-512x1024/engines/onnxruntime-{precision}"


def test_dry_run_says_what_would_be_done_and_writes_nothing(clean_folder, capsys):
    assert main([*COMMAND, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "onnxruntime" in printed and "TensorRT cannot build here: no GPU" in printed
    assert "synthetic scenes" in printed and "nothing was done" in printed
    assert not list(clean_folder.iterdir())


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_tensorrt_without_a_gpu_is_one_line_before_any_work(clean_folder, capsys, dry):
    assert main([*COMMAND, "--backend", "tensorrt", *dry]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == (
        "error: TensorRT cannot build here: no GPU. Next: --backend onnxruntime, or run this on the device\n"
    )
    assert not list(clean_folder.iterdir())


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--weights", "none.weights.h5"], "weights not found"),
        (["--data-dir", "none"], "folder not found: none"),
    ],
)
def test_missing_input_is_one_line_before_any_work(clean_folder, capsys, options, problem):
    assert main([*COMMAND, *options]) == 2
    error = capsys.readouterr().err
    assert problem in error and error.count("\n") == 1
    assert not list(clean_folder.iterdir())


def test_interruption_returns_130(clean_folder, monkeypatch, capsys):
    def interrupt(request):
        raise KeyboardInterrupt

    monkeypatch.setattr("export.build_engine.plan_build", interrupt)
    assert main([*COMMAND, "--dry-run"]) == 130
    assert not list(clean_folder.iterdir())


def test_command_without_anything_there_makes_a_complete_engine(built):
    folder, code = built
    assert code == 0
    artifact = folder / "artifacts" / "fast_scnn-cityscapes-64x128"
    names = {path.name for path in artifact.iterdir()}
    assert names == {
        "model.onnx", "contract.json", "parity.json", "calibration.json", "ranges.json", "model.int8.onnx", "engines",
    }  # fmt: skip
    card = read_card(artifact / "engines" / "onnxruntime-int8")
    assert card.contract == read_contract(artifact)
    assert card.contract.weights.kind == "random"
    assert card.contract.weights.sentence() in card.notes
    assert card.int8_mac_share > 0.9
    assert not list(folder.rglob(".writing-*"))


def test_second_command_reuses_all_and_prints_the_card(built, capsys, monkeypatch):
    folder, _ = built
    monkeypatch.chdir(folder)
    monkeypatch.delenv(DATA_ROOT_VARIABLE, raising=False)
    monkeypatch.setattr(tensorrt_builder, "tensorrt_problem", lambda: "no GPU")
    monkeypatch.setattr("export.to_onnx._keras_network", None)
    monkeypatch.setattr(build_module, "collect_ranges", None)
    assert main([*COMMAND, "--json"]) == 0
    output = capsys.readouterr()
    printed = json.loads(output.out)
    assert printed["card"]["precision"] == "int8"
    assert printed["backend_reason"] == "TensorRT cannot build here: no GPU"
    assert printed["parity"]["label_agreement"] >= 0.9999
    assert "random weights: only the speed" in output.err
    assert main(COMMAND) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "random weights: only the speed of this engine means anything" in lines
    assert lines[-1].startswith("next: edge-bench run artifacts/")


def test_script_runs_by_its_path_from_any_folder(tmp_path):
    done = subprocess.run(
        [sys.executable, str(CHECKOUT / "export" / "build_engine.py"), "--help"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert "--calibration-images" in done.stdout
