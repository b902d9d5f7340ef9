"""The main job, typed as a user types it, on a small scale: dataset to picture."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

REPOSITORY = Path(__file__).resolve().parents[1]
SIZE = "128x256"
ARTIFACT = f"artifacts/fast_scnn-synthetic-{SIZE}"


def run(folder: Path, *command: str) -> str:
    """Run a command in a folder of its own and return what it printed."""
    finished = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def script(path: str) -> str:
    return str(REPOSITORY / path)


@pytest.mark.slow
def test_main_job_runs_from_an_empty_folder_to_a_picture(tmp_path):
    run(tmp_path, "-m", "edge.synthetic", "data/synthetic", "--train", "24", "--val", "4", "--size", SIZE)
    run(
        tmp_path,
        script("train/train.py"),
        "--model",
        "fast_scnn",
        "--dataset",
        "synthetic",
        "--size",
        SIZE,
        "--epochs",
        "6",
        "--batch-size",
        "4",
    )
    built = run(tmp_path, script("export/build_engine.py"), "--model", "fast_scnn", "--int8", "--size", SIZE, "--json")
    card = json.loads(built)["card"]
    assert card["contract"]["weights"]["kind"] == "trained"
    assert card["int8_mac_share"] > 0.95
    assert card["check"]["label_agreement"] > 0.9
    assert abs(card["check"]["miou_float"] - card["check"]["miou_engine"]) < 0.02

    measured = run(
        tmp_path,
        "-m",
        "edge.bench.cli",
        "run",
        ARTIFACT,
        "--accuracy",
        "--frames",
        "20",
        "--seconds",
        "0",
        "--output",
        "out",
        "--json",
    )
    record = json.loads(measured)
    assert record["accuracy"]["miou"] == pytest.approx(card["check"]["miou_engine"])
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000

    run(
        tmp_path,
        "-m",
        "edge.stream.cli",
        ARTIFACT,
        "--source",
        "data/synthetic/leftImg8bit/val/synthstadt",
        "--output",
        "overlays",
    )
    assert len(list((tmp_path / "overlays").glob("*.png"))) == len(
        list((tmp_path / "data/synthetic/leftImg8bit/val/synthstadt").glob("*.png"))
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "model", ["unet", "bayesian_segnet", "deeplabv3plus", "fast_scnn", "fastfcn", "panoptic_deeplab"]
)
def test_model_becomes_an_int8_engine_with_nothing_at_hand(model, tmp_path):
    built = run(
        tmp_path,
        script("export/build_engine.py"),
        "--model",
        model,
        "--int8",
        "--size",
        "128x256",
        "--random-weights",
        "--json",
    )
    card = json.loads(built)["card"]
    assert card["contract"]["weights"]["kind"] == "random"
    assert any("only the speed" in note for note in card["notes"])
    assert card["check"]["miou_engine"] is None
    assert card["int8_mac_share"] > 0.9
