"""A training on a network that trains in seconds: it learns, keeps the best, and goes on as if never stopped."""

from __future__ import annotations

import contextlib
import os
import signal

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

import train.preparation as preparation
import train.training as training_module
from edge.accuracy import Accuracy, measure_accuracy
from edge.artifacts import sha256_file
from edge.datasets import open_dataset
from edge.errors import DatasetError, InputError, SegEdgeError, SizeError, StorageError
from edge.records import read_record
from tests.train import street_set
from train.engine.strategies import open_strategy
from train.initial_weights import find_initial_weights
from train.models import MODELS
from train.models.base import inference_model
from train.options import OPTIONS
from train.recipe import ADAMW, DECOUPLED, SGD, Recipe
from train.run_training import Task, begin_training, go_on_training
from train.runs import BEST_WEIGHTS, EMA_WEIGHTS, LAST_WEIGHTS, RUN_RECORD, RUN_STATE, RunRecord
from train.training import Course
from train.validation import keras_labeller

RECIPE = Recipe(2, 3, street_set.HEIGHT, street_set.WIDTH, ADAMW, 0.02, weight_decay=1e-4, weight_decay_kind=DECOUPLED)
FILES = {RUN_RECORD, RUN_STATE, BEST_WEIGHTS, LAST_WEIGHTS, "history.csv", "curves.svg", "tensorboard"}


@pytest.fixture(autouse=True)
def tiny_model(monkeypatch):
    monkeypatch.setitem(MODELS, "tiny", street_set.TINY)
    monkeypatch.setitem(OPTIONS, "tiny", {})
    monkeypatch.setattr(preparation, "backbone_layers", lambda *_: frozenset())


@pytest.fixture
def camvid(tmp_path):
    return street_set.write_camvid(tmp_path / "camvid")


def task_of(camvid, folder, course=None):
    splits = [open_dataset("camvid", camvid, split) for split in ("train", "val")]
    return Task("tiny", *splits, folder, open_strategy("one"), course or Course())


def train(camvid, folder, recipe=RECIPE, course=None, **options):
    return begin_training(task_of(camvid, folder, course), recipe, **options)


def resume(camvid, folder, course=None, **wanted):
    return go_on_training(task_of(camvid, folder, course), wanted)


def record_in(folder) -> RunRecord:
    return read_record(RunRecord, folder / RUN_RECORD)


def weights_in(path):
    arrays = {}
    with h5py.File(path, "r") as file:
        file.visititems(lambda key, item: arrays.update({key: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return arrays


def assert_equal_runs(first, second):
    """Weights, best and last, are equal to the last bit, and so is what was measured of them."""
    names = [name for name in (BEST_WEIGHTS, LAST_WEIGHTS, EMA_WEIGHTS) if (first / name).exists()]
    for name in names:
        wanted, got = weights_in(first / name), weights_in(second / name)
        assert list(wanted) == list(got)
        assert [key for key in wanted if not np.array_equal(wanted[key], got[key])] == [], name
    told = ("epoch", "loss", "head_losses", "learning_rate", "miou", "class_iou", "step")
    histories = [[{key: entry[key] for key in told} for entry in record_in(each).history] for each in (first, second)]
    assert histories[0] == histories[1]


@pytest.mark.parametrize(("scores", "best_epoch"), [((0.6, 0.5), 0), ((0.5, 0.6), 1)])
def test_initial_weights_are_measured_and_kept_where_no_epoch_is_better(
    camvid, tmp_path, capsys, monkeypatch, scores, best_epoch
):
    told = [Accuracy("camvid", "val", 2, score, 1.0, {}) for score in scores]
    monkeypatch.setattr(training_module, "accuracy_of", lambda matrix, dataset: told.pop(0))
    folder = tmp_path / "run"
    run = train(camvid, folder, RECIPE.changed(epochs=1), Course(validate_first=True))
    assert (run.initial_miou, run.best_miou, run.best_epoch) == (scores[0], max(scores), best_epoch)
    assert run.weights_sha256 == sha256_file(folder / BEST_WEIGHTS)
    best, last = (find_initial_weights("tiny", None, folder / name, {}).layers for name in (BEST_WEIGHTS, LAST_WEIGHTS))
    assert np.array_equal(best["stem"][0], last["stem"][0]) == (best_epoch == 1)
    assert f"initial weights: val mIoU {100 * scores[0]:.2f} %" in capsys.readouterr().err


def test_training_learns_and_leaves_record_weights_and_state(camvid, tmp_path, capsys):
    folder = tmp_path / "run"
    run = train(camvid, folder, RECIPE.changed(epochs=12))
    assert {path.name for path in folder.iterdir()} == FILES
    assert record_in(folder) == run
    losses = [entry["loss"] for entry in run.history]
    assert losses[-1] < 0.7 * losses[0]
    assert run.best_miou == max(entry["miou"] for entry in run.history) > 0.7
    assert run.history[run.best_epoch - 1]["miou"] == run.best_miou
    assert run.weights_sha256 == sha256_file(folder / BEST_WEIGHTS)
    assert (run.status, run.end_reason, run.model, run.dataset, run.class_count) == (
        "finished", "", "tiny", "camvid", 11,
    )  # fmt: skip
    assert (run.training_frames, run.validation_frames, run.steps_done, run.steps_planned) == (6, 2, 24, 24)
    assert (run.init, run.seed, run.data_dir) == ("random", 0, str(camvid))
    rates = [entry["learning_rate"] for entry in run.history]
    assert rates == sorted(rates, reverse=True) and rates[-1] == pytest.approx(0.0, abs=1e-6)
    assert run.measurements.training_s > 0 and run.measurements.validation_s > 0
    assert run.measurements.time_to_best_s > 0 and run.measurements.peak_host_bytes > 1e7
    assert capsys.readouterr().err.count("val mIoU") == 12


def test_kept_weights_give_the_miou_of_the_record(camvid, tmp_path):
    run = train(camvid, tmp_path / "run")
    keras.utils.set_random_seed(99)
    model = street_set.TINY.build(street_set.HEIGHT, street_set.WIDTH, 11)
    model.load_weights(tmp_path / "run" / BEST_WEIGHTS)
    label_frame = keras_labeller(inference_model(model), street_set.HEIGHT, street_set.WIDTH)
    accuracy = measure_accuracy(label_frame, open_dataset("camvid", camvid, "val"))
    assert accuracy.miou == pytest.approx(run.best_miou, abs=1e-6)


@pytest.mark.slow
def test_equal_seeds_train_alike(camvid, tmp_path):
    first, again, other = (train(camvid, tmp_path / str(index), seed=seed) for index, seed in enumerate((4, 4, 5)))
    assert [entry["loss"] for entry in first.history] == [entry["loss"] for entry in again.history]
    assert [entry["loss"] for entry in first.history] != [entry["loss"] for entry in other.history]


@pytest.mark.long
def test_training_starts_from_given_weights(camvid, tmp_path):
    before = train(camvid, tmp_path / "first", RECIPE.changed(epochs=6))
    recipe = RECIPE.changed(epochs=1, learning_rate=1e-6)
    initial = find_initial_weights("tiny", None, tmp_path / "first" / BEST_WEIGHTS, {})
    after = train(camvid, tmp_path / "second", recipe, initial=initial)
    assert after.init == str(tmp_path / "first" / BEST_WEIGHTS)
    assert after.history[0]["loss"] < 0.7 * before.history[0]["loss"]


@pytest.mark.parametrize("changes", [{"height": 30}, {"crop_width": 30, "crop_height": 32}])
def test_size_that_the_model_cannot_take_is_refused_before_any_work(camvid, tmp_path, changes):
    with pytest.raises(SizeError, match=r"multiples of 8, got \d+x\d+\. Next: --size 32x\d+"):
        train(camvid, tmp_path / "run", RECIPE.changed(**changes))
    assert not (tmp_path / "run").exists()


# Stop and go on


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the training handles it."""


def killed_after(monkeypatch, steps):
    """Let the training die before a step, without any chance to write."""
    made = []
    step = training_module.Training._step

    def counted(self, batches):
        if len(made) == steps:
            raise Killed
        made.append(1)
        step(self, batches)

    monkeypatch.setattr(training_module.Training, "_step", counted)


@pytest.mark.parametrize(
    ("recipe", "steps"),
    [
        pytest.param(RECIPE.changed(epochs=3), 3, id="within an epoch"),
        pytest.param(RECIPE.changed(epochs=3), 4, id="after an epoch", marks=pytest.mark.slow),
        pytest.param(
            RECIPE.changed(epochs=3, optimizer=SGD, weight_decay_kind="coupled", ema=0.9, validate_every=2),
            3,
            id="sgd with a moving average",
        ),
    ],
)
def test_killed_training_goes_on_to_the_weights_of_an_uninterrupted_one(camvid, tmp_path, monkeypatch, recipe, steps):
    whole = train(camvid, tmp_path / "whole", recipe, seed=3)
    # A state after every step.
    always = Course(checkpoint_s=0.0)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_after(patch, steps)
        train(camvid, tmp_path / "killed", recipe, always, seed=3)
    assert record_in(tmp_path / "killed").status == "running"
    run = resume(camvid, tmp_path / "killed")
    assert_equal_runs(tmp_path / "whole", tmp_path / "killed")
    assert (run.status, run.best_epoch, run.best_miou) == (whole.status, whole.best_epoch, whole.best_miou)
    assert [each.step for each in run.resumptions] == [steps]
    table = (tmp_path / "killed" / "history.csv").read_text().splitlines()
    assert len(table) == 1 + 3


def test_steps_behind_the_last_state_are_made_again(camvid, tmp_path, monkeypatch):
    recipe = RECIPE.changed(epochs=3)
    train(camvid, tmp_path / "whole", recipe)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_after(patch, 5)
        train(camvid, tmp_path / "killed", recipe)  # the last state is that of step 4, the end of an epoch
    assert resume(camvid, tmp_path / "killed").resumptions[0].step == 4
    assert_equal_runs(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM])
def test_signal_ends_after_a_step_with_a_state_to_go_on_from(camvid, tmp_path, monkeypatch, number):
    recipe = RECIPE.changed(epochs=3)
    train(camvid, tmp_path / "whole", recipe)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt), _raising(signal.SIGTERM):
        made = []
        step = training_module.Training._step

        def signalled(self, batches):
            made.append(1)
            if len(made) == 3:
                os.kill(os.getpid(), number)
            step(self, batches)

        patch.setattr(training_module.Training, "_step", signalled)
        train(camvid, tmp_path / "run", recipe)
    run = record_in(tmp_path / "run")
    assert (run.status, run.steps_done, len(run.history), run.best_epoch) == ("interrupted", 3, 1, 1)
    assert run.end_reason == ("interrupted by SIGTERM" if number == signal.SIGTERM else "interrupted")
    resume(camvid, tmp_path / "run")
    assert_equal_runs(tmp_path / "whole", tmp_path / "run")


@contextlib.contextmanager
def _raising(number):
    """Let a signal have a handler, as every command of the project gives it one."""
    before = signal.signal(number, signal.default_int_handler)
    yield
    signal.signal(number, before)


def test_interruption_in_a_validation_costs_the_validation_alone(camvid, tmp_path, monkeypatch):
    recipe = RECIPE.changed(epochs=2)
    train(camvid, tmp_path / "whole", recipe)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        measure, seen = training_module.measure_validation, []

        def interrupted(label_frame, *rest):
            seen.append(1)
            if len(seen) == 2:
                os.kill(os.getpid(), signal.SIGINT)
            return measure(label_frame, *rest)

        patch.setattr(training_module, "measure_validation", interrupted)
        train(camvid, tmp_path / "run", recipe)
    run = record_in(tmp_path / "run")
    assert (run.status, run.steps_done, len(run.history)) == ("interrupted", 4, 1)
    assert resume(camvid, tmp_path / "run").resumptions[0].step == 4
    assert_equal_runs(tmp_path / "whole", tmp_path / "run")


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"recipe": RECIPE.changed(epochs=9).to_json(), "seed": 7}, r"epochs 2 \(run\) / 9 \(wanted\)"),
    ],
)
def test_resume_with_another_configuration_names_what_differs(camvid, tmp_path, monkeypatch, wanted, told):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_after(patch, 3)
        train(camvid, tmp_path / "run", RECIPE)
    with pytest.raises(InputError, match=told):
        resume(camvid, tmp_path / "run", **wanted)
    street_set.write_image(camvid / "train" / "a_9.png", np.zeros((32, 64, 3), np.uint8))
    street_set.write_image(camvid / "trainannot" / "a_9.png", np.zeros((32, 64), np.uint8))
    with pytest.raises(InputError, match="other frames in train than the run's"):
        resume(camvid, tmp_path / "run")


def test_finished_training_does_not_go_on(camvid, tmp_path):
    train(camvid, tmp_path / "run", RECIPE.changed(epochs=1))
    with pytest.raises(InputError, match="has finished: no step is left"):
        resume(camvid, tmp_path / "run")


def test_folder_of_a_run_is_not_trained_in_anew(camvid, tmp_path):
    train(camvid, tmp_path / "run", RECIPE.changed(epochs=1))
    with pytest.raises(InputError, match="holds a run already"):
        train(camvid, tmp_path / "run", RECIPE.changed(epochs=1))


# How long


def test_training_without_a_better_score_ends_by_patience(camvid, tmp_path):
    run = train(camvid, tmp_path / "run", RECIPE.changed(epochs=9, patience=2, learning_rate=1e-9))
    assert run.status == "finished" and len(run.history) == 3
    assert run.end_reason == "no better score in 2 validations"


def test_training_ends_when_its_caller_has_enough(camvid, tmp_path):
    run = train(camvid, tmp_path / "run", RECIPE.changed(epochs=9), Course(enough=lambda entry: entry.epoch == 2))
    assert (run.status, run.end_reason, len(run.history)) == ("finished", "it was enough", 2)


def test_only_some_epochs_are_validated_and_the_last_always(camvid, tmp_path):
    run = train(camvid, tmp_path / "run", RECIPE.changed(epochs=5, validate_every=2))
    assert [entry["miou"] is not None for entry in run.history] == [False, True, False, True, True]


@pytest.mark.slow
def test_training_that_is_given_hours_ends_in_time_with_its_schedule_at_the_end(camvid, tmp_path, monkeypatch):
    monkeypatch.setattr(training_module, "PLANNING_STEPS", 4)
    run = train(camvid, tmp_path / "run", RECIPE.changed(epochs=100_000), Course(hours=8.0 / 3600.0))
    assert run.status == "finished" and "hours were over" in run.end_reason
    assert 4 < run.steps_done == run.steps_planned < 20_000
    assert run.history[-1]["learning_rate"] == pytest.approx(0.0, abs=1e-6)
    assert run.history[-1]["miou"] is not None
    assert run.measurements.training_s + run.measurements.validation_s < 8.0


def test_training_that_is_given_processor_hours_ends_by_the_time_of_the_processor(camvid, tmp_path, monkeypatch):
    monkeypatch.setattr(training_module, "PLANNING_STEPS", 4)
    # A processor that is shared with a hundred other programs: the same steps at a hundredth of the cost.
    monkeypatch.setattr(training_module.StepClock, "processor_s", property(lambda clock: clock.elapsed_s / 100.0))
    one_minute = Course(hours=1.0 / 60.0, processor_hours=0.02 / 3600.0)
    run = train(camvid, tmp_path / "run", RECIPE.changed(epochs=100_000, validate_every=1000), one_minute)
    assert "0.0166667 hours or 5.55556e-06 processor hours were over" in run.end_reason
    assert 4 < run.steps_done < 20_000
    assert 0.0 < run.measurements.processor_s < 0.1


def test_epoch_with_which_the_time_is_found_to_be_over_is_validated(camvid, tmp_path, monkeypatch):
    # Two steps an epoch; the second epoch took so long that there is no third.
    monkeypatch.setattr(
        training_module, "steps_within", lambda steps_done, most, **_: steps_done if steps_done >= 4 else most
    )
    run = train(camvid, tmp_path / "run", RECIPE.changed(epochs=9, validate_every=1000), Course(hours=1.0))
    assert (run.end_reason, run.steps_done, run.best_epoch) == ("1 hours were over", 4, 2)
    assert (tmp_path / "run" / BEST_WEIGHTS).is_file()


# What goes wrong


def nan_loss(monkeypatch):
    class Nothing:
        def normaliser(self, labels):
            return tf.constant(1.0)

        def total(self, labels, output):
            return tf.reduce_sum(output) * np.nan

    monkeypatch.setattr(preparation, "training_losses", lambda *_: ({"logits": Nothing()}, {"logits": 1.0}))


def test_loss_that_is_not_finite_is_one_clear_error_with_the_frames(camvid, tmp_path, monkeypatch):
    nan_loss(monkeypatch)
    with pytest.raises(
        SegEdgeError, match=r"diverged: the loss is nan at step 1 \(epoch 1\), whose frames are a_"
    ) as told:
        train(camvid, tmp_path / "run")
    assert "the state of step 0 is kept. Next: a smaller --learning-rate than 0.02" in str(told.value)
    run = record_in(tmp_path / "run")
    assert run.status == "failed" and run.end_reason.startswith("training diverged")
    assert not (tmp_path / "run" / BEST_WEIGHTS).exists()


def test_divergence_keeps_the_last_good_state(camvid, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_after(patch, 3)
        train(camvid, tmp_path / "run", RECIPE.changed(epochs=3))
    before = (tmp_path / "run" / RUN_STATE).read_bytes()
    nan_loss(monkeypatch)
    with pytest.raises(SegEdgeError, match=r"the loss is nan at step 3 .* the state of step 2 is kept"):
        resume(camvid, tmp_path / "run")
    assert (tmp_path / "run" / RUN_STATE).read_bytes() == before
    assert record_in(tmp_path / "run").weights_sha256 == sha256_file(tmp_path / "run" / BEST_WEIGHTS)


def test_logits_that_the_last_step_spoilt_are_called_divergence(camvid, tmp_path, monkeypatch):
    def spoilt(*_arguments):
        raise InputError("3 of 9 logits are NaN or infinite, first inf at class 0. Next: check the network's precision")

    monkeypatch.setattr(training_module, "measure_validation", spoilt)
    with pytest.raises(SegEdgeError, match=r"diverged: logits are NaN or infinite after epoch 1"):
        train(camvid, tmp_path / "run")
    assert record_in(tmp_path / "run").status == "failed"


def test_batch_that_takes_too_much_memory_is_refused_before_anything_is_written(camvid, tmp_path, monkeypatch):
    import train.engine.memory as memory

    monkeypatch.setattr(memory, "available_bytes", lambda: 10_000)
    with pytest.raises(InputError, match=r"a step over a batch of 3 crops takes .* of memory, .*Next: "):
        train(camvid, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_full_disk_at_a_checkpoint_is_one_line_and_the_last_state_stays(camvid, tmp_path, monkeypatch):
    import train.run_folder.open_run as open_run

    write, seen = open_run.write_state, []

    def full(path, *rest):
        seen.append(1)
        if len(seen) > 2:
            raise StorageError(f"cannot write {path}: No space left on device. Next: free some space")
        write(path, *rest)

    with monkeypatch.context() as patch, pytest.raises(StorageError, match="No space left"):
        patch.setattr(open_run, "write_state", full)
        train(camvid, tmp_path / "run", RECIPE)
    assert record_in(tmp_path / "run").status == "failed"
    train(camvid, tmp_path / "whole", RECIPE)
    resume(camvid, tmp_path / "run")
    assert_equal_runs(tmp_path / "whole", tmp_path / "run")


@pytest.mark.parametrize("split", ["train", "val"])
def test_unknown_id_is_the_readers_own_error(camvid, tmp_path, split):
    street_set.spoil(camvid / f"{split}annot" / "a_1.png")
    with pytest.raises(DatasetError, match=r"a_1\.png has unknown ids \[77\], camvid has 0 to 11") as caught:
        train(camvid, tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert record_in(tmp_path / "run").status == "failed"
