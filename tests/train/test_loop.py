"""The training loop on a network that trains in seconds: it learns, keeps the best, and ends cleanly."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import train.loop as loop
from edge.artifacts import sha256_file
from edge.datasets import open_dataset
from edge.errors import DatasetError, InputError, SegEdgeError, SizeError
from edge.records import read_record
from tests.train import street_set
from train.initial_weights import find_initial_weights
from train.models import MODELS
from train.models.base import inference_model
from train.options import OPTIONS
from train.recipes import Recipe
from train.runs import BEST_WEIGHTS, RUN_RECORD, RunRecord

RECIPE = Recipe(2, 3, street_set.HEIGHT, street_set.WIDTH, "adamw", 0.02)


@pytest.fixture(autouse=True)
def tiny_model(monkeypatch):
    monkeypatch.setitem(MODELS, "tiny", street_set.TINY)
    monkeypatch.setitem(OPTIONS, "tiny", {})


@pytest.fixture
def camvid(tmp_path):
    return street_set.write_camvid(tmp_path / "camvid")


def train(camvid, folder, recipe=RECIPE, **options):
    splits = [open_dataset("camvid", camvid, split) for split in ("train", "val")]
    return loop.train("tiny", *splits, recipe, folder, **options)


def record_in(folder) -> RunRecord:
    return read_record(RunRecord, folder / RUN_RECORD)


def test_training_learns_and_leaves_record_and_weights(camvid, tmp_path, capsys):
    folder = tmp_path / "run"
    run = train(camvid, folder, RECIPE.changed(epochs=6))
    assert {path.name for path in folder.iterdir()} == {RUN_RECORD, BEST_WEIGHTS}
    assert record_in(folder) == run
    losses = [entry["loss"] for entry in run.history]
    assert losses[-1] < 0.7 * losses[0]
    assert run.best_miou == max(entry["miou"] for entry in run.history) > 0.7
    assert run.history[run.best_epoch - 1]["miou"] == run.best_miou
    assert run.weights_sha256 == sha256_file(folder / BEST_WEIGHTS)
    assert (run.status, run.model, run.dataset, run.class_count) == ("finished", "tiny", "camvid", 11)
    assert run.validation_frames == 2
    assert (run.init, run.seed, run.data_dir) == ("random", 0, str(camvid))
    rates = [entry["learning_rate"] for entry in run.history]
    assert rates == sorted(rates, reverse=True) and rates[-1] == pytest.approx(0.0, abs=1e-6)
    assert capsys.readouterr().err.count("val mIoU") == 6


def test_kept_weights_give_the_miou_of_the_record(camvid, tmp_path):
    run = train(camvid, tmp_path / "run")
    keras.utils.set_random_seed(99)
    model = street_set.TINY.build(street_set.HEIGHT, street_set.WIDTH, 11)
    model.load_weights(tmp_path / "run" / BEST_WEIGHTS)
    label_frame = loop.keras_labeller(inference_model(model), street_set.HEIGHT, street_set.WIDTH)
    accuracy = loop.measure_accuracy(label_frame, open_dataset("camvid", camvid, "val"))
    assert accuracy.miou == pytest.approx(run.best_miou, abs=1e-6)


@pytest.mark.long
def test_equal_seeds_train_alike(camvid, tmp_path):
    first, again, other = (train(camvid, tmp_path / str(index), seed=seed) for index, seed in enumerate((4, 4, 5)))
    assert [entry["loss"] for entry in first.history] == [entry["loss"] for entry in again.history]
    assert [entry["loss"] for entry in first.history] != [entry["loss"] for entry in other.history]


@pytest.mark.long
def test_training_goes_on_from_given_weights(camvid, tmp_path):
    before = train(camvid, tmp_path / "first", RECIPE.changed(epochs=6))
    recipe = RECIPE.changed(epochs=1, learning_rate=1e-6)
    initial = find_initial_weights("tiny", None, tmp_path / "first" / BEST_WEIGHTS, {})
    after = train(camvid, tmp_path / "second", recipe, initial=initial)
    assert after.init == str(tmp_path / "first" / BEST_WEIGHTS)
    assert after.history[0]["loss"] < 0.7 * before.history[0]["loss"]


def test_crops_may_be_smaller_than_frames_in_validation(camvid, tmp_path):
    run = train(camvid, tmp_path / "run", RECIPE.changed(crop_height=16, crop_width=24, epochs=1))
    assert (run.height, run.width, run.recipe["crop_height"]) == (street_set.HEIGHT, street_set.WIDTH, 16)


@pytest.mark.parametrize("changes", [{"height": 30}, {"crop_width": 30, "crop_height": 32}])
def test_size_that_the_model_cannot_take_is_refused_before_any_work(camvid, tmp_path, changes):
    with pytest.raises(SizeError, match=r"multiples of 8, got \d+x\d+\. Next: --size 32x\d+"):
        train(camvid, tmp_path / "run", RECIPE.changed(**changes))
    assert not (tmp_path / "run").exists()


def test_interruption_keeps_the_best_weights_and_says_so(camvid, tmp_path, monkeypatch):
    seen = []
    measure = loop.measure_accuracy

    def interrupt_in_second_epoch(*arguments):
        seen.append(1)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return measure(*arguments)

    monkeypatch.setattr(loop, "measure_accuracy", interrupt_in_second_epoch)
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(camvid, folder, RECIPE.changed(epochs=5))
    run = record_in(folder)
    assert (run.status, run.best_epoch, len(run.history)) == ("interrupted", 1, 1)
    assert run.weights_sha256 == sha256_file(folder / BEST_WEIGHTS)
    assert {path.name for path in folder.iterdir()} == {RUN_RECORD, BEST_WEIGHTS}


def test_loss_that_is_not_finite_is_one_clear_error(camvid, tmp_path, monkeypatch):
    def nothing(self, y_true, y_pred):
        return tf.reduce_sum(y_pred) * np.nan

    monkeypatch.setattr(loop.training_losses.__globals__["MaskedCrossEntropy"], "call", nothing)
    with pytest.raises(SegEdgeError, match=r"diverged.*epoch 1, step 1\. Next: a smaller --learning-rate than 0\.02"):
        train(camvid, tmp_path / "run")
    assert record_in(tmp_path / "run").status == "failed"
    assert not (tmp_path / "run" / BEST_WEIGHTS).exists()


def test_logits_that_the_last_step_spoilt_are_called_divergence(camvid, tmp_path, monkeypatch):
    def spoilt(*_arguments):
        raise InputError("3 of 9 logits are NaN or infinite, first inf at class 0. Next: check the network's precision")

    monkeypatch.setattr(loop, "measure_accuracy", spoilt)
    with pytest.raises(SegEdgeError, match=r"diverged: logits are NaN or infinite after epoch 1\. Next: a smaller --l"):
        train(camvid, tmp_path / "run")
    assert record_in(tmp_path / "run").status == "failed"


def test_whatever_ends_a_run_its_record_does_not_stay_running(camvid, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(loop, "measure_accuracy", full)
    with pytest.raises(OSError, match="No space left"):
        train(camvid, tmp_path / "run")
    assert record_in(tmp_path / "run").status == "failed"


@pytest.mark.parametrize("split", ["train", "val"])
def test_unknown_id_is_the_readers_own_error(camvid, tmp_path, split):
    street_set.spoil(camvid / f"{split}annot" / "a_1.png")
    # Class shares would read the training labels before tf.data does; without them, it is the first.
    with pytest.raises(DatasetError, match=r"a_1\.png has unknown ids \[77\], camvid has 0 to 11") as caught:
        train(camvid, tmp_path / "run", RECIPE.changed(balanced=False))
    assert "\n" not in str(caught.value)
    assert record_in(tmp_path / "run").status == "failed"


def test_norms_and_depthwise_filters_are_spared_weight_decay():
    model = MODELS["fast_scnn"].build(32, 32, 5)
    for name in ("sgd", "adamw"):
        optimizer = loop._optimizer(Recipe(1, 1, 32, 32, name, 0.1), 10, model)
        optimizer.build(model.trainable_variables)
        decayed = {variable.path for variable in model.trainable_variables if optimizer._use_weight_decay(variable)}
        assert "downsample_conv/kernel" in decayed
        assert not [path for path in decayed if "_bn/" in path or "depthwise/" in path]
