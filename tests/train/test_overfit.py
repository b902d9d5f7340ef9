"""The command that shows whether a model and a dataset fit together, with a trainer of a few lines."""

from __future__ import annotations

import json

import pytest

import train.overfit as overfit
from edge.labels import CAMVID
from tests.train import street_set
from tests.train.journal.runs_made_up import write_run
from train.journal.entries import EpochEntry
from train.runs import RUN_RECORD


class Trainer:
    """Learns a little more each epoch, up to a limit."""

    def __init__(self, limit: float = 1.0) -> None:
        self.limit, self.asked = limit, None

    def __call__(self, model, training, validation, recipe, folder, seed, options, enough, hours):
        self.asked = {
            "training": training,
            "validation": validation,
            "recipe": recipe,
            "folder": folder,
            "seed": seed,
            "hours": hours,
        }
        history = []
        for number in range(1, recipe.epochs + 1):
            iou = min(self.limit, number / 20)
            class_iou = {name: iou if name in ("sky", "road") else None for name in CAMVID.class_names}
            entry = EpochEntry(number, 2.0 / number, 1e-3, 1.0, 20 * number, miou=iou, class_iou=class_iou)
            history.append(entry.to_history())
            if enough(entry):
                break
        return write_run(folder, (), history=tuple(history))


@pytest.fixture
def camvid(tmp_path):
    return street_set.write_camvid(tmp_path / "camvid")


@pytest.fixture
def trainer(monkeypatch):
    trainer = Trainer()
    monkeypatch.setattr(overfit, "import_tensorflow", lambda *_, **__: None)
    monkeypatch.setattr(overfit, "_trainer", lambda: trainer)
    return trainer


def run(camvid, *arguments) -> int:
    return overfit.main(["--model", "unet", "--dataset", "camvid", "--data-dir", str(camvid), *map(str, arguments)])


def test_model_that_learns_its_images_fits(camvid, trainer, capsys):
    assert run(camvid, "--images", 4, "--seed", 5) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == (
        "unet and camvid fit together: mIoU 75.0 % on the images that were learnt, after 300 steps"
    )
    assert "sky: IoU 75.0 %" in out
    assert "learning 4 images of camvid by heart with unet at " in err


def test_images_are_learnt_and_asked_as_they_are(camvid, trainer):
    run(camvid, "--images", 4, "--size", "32x64", "--seed", 5)
    asked = trainer.asked
    assert len(asked["validation"]) == 4
    assert asked["training"].samples == 20 * asked["validation"].samples
    assert (asked["recipe"].crop_size, asked["recipe"].scale_min, asked["recipe"].flip) == ((32, 64), 1.0, 0.0)
    assert asked["seed"] == 5


def test_model_that_does_not_learn_them_is_exit_code_1_with_words(camvid, trainer, capsys):
    trainer.limit = 0.5
    assert run(camvid, "--steps", 800) == 1
    out = capsys.readouterr().out
    assert out.startswith("unet and camvid do not fit together yet: mIoU 50.0 % on the images")


def test_time_reaches_the_trainer(camvid, trainer):
    run(camvid, "--minutes", 3)
    assert trainer.asked["hours"] == 0.05


def test_run_is_thrown_away_unless_it_is_asked_for(camvid, trainer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(camvid)
    assert not trainer.asked["folder"].parent.exists()
    assert not (tmp_path / "runs").exists()
    run(camvid, "--output", tmp_path / "kept")
    assert (tmp_path / "kept" / RUN_RECORD).is_file()


def test_folder_that_holds_a_run_is_refused(camvid, trainer, tmp_path, capsys):
    write_run(tmp_path / "kept")
    assert run(camvid, "--output", tmp_path / "kept") == 2
    assert "holds a run already. Next: another --output" in capsys.readouterr().err
    assert trainer.asked is None


def test_json_is_the_verdict_alone(camvid, trainer, capsys):
    assert run(camvid, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["fits"], found["miou"], found["bound"], found["step"]) == (True, 0.75, 0.75, 300)
    assert found["class_iou"] == {"sky": 0.75, "road": 0.75}


def test_missing_folder_is_one_line(tmp_path, trainer, capsys):
    assert run(tmp_path / "nowhere") == 2
    assert "camvid folder not found" in capsys.readouterr().err
