"""Every field of a recipe reaches the training: each is changed by itself, and what is then trained differs.

`CHANGED` has a changed value for every field, and a field without one turns a test red.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
from typing import Any

import keras
import pytest
import tensorflow as tf

import train.preparation as preparation
import train.run_training as run_training
import train.train as train_command
import train.training as training_module
from edge.datasets import open_dataset
from edge.metrics import ConfusionMatrix
from tests.train import street_set
from train.conv_blocks import batch_norm
from train.engine.strategies import open_strategy
from train.models import MODELS
from train.models.base import LOGITS, ModelSpec, normalize
from train.options import OPTIONS, Option
from train.preparation import Preparation
from train.recipe import Recipe
from train.run_training import Task, begin_training

BASE = Recipe(
    epochs=2,
    batch_size=4,
    height=32,
    width=64,
    optimizer="sgd",
    learning_rate=0.1,
    warmup_steps=1,
    weight_decay=1e-2,
    crop_height=16,
    crop_width=32,
    scale_min=0.75,
    scale_max=1.5,
    brightness=0.2,
    contrast=0.2,
    saturation=0.2,
)
"""Recipe that each change starts from: no field is at a value at which another has no effect."""

CHANGED: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 2,
    "height": 48,
    "width": 96,
    "optimizer": "adam",
    "learning_rate": 0.2,
    "momentum": 0.0,
    "schedule": "cosine",
    "power": 2.0,
    "warmup_steps": 0,
    "backbone_rate": 0.1,
    "weight_decay": 0.0,
    "weight_decay_kind": "decoupled",
    "decay_norms": True,
    "decay_depthwise": True,
    "clip_norm": 1e-3,
    "class_weighting": "enet",
    "hardest_share": 0.25,
    "auxiliary_weights": {"auxiliary": 0.9},
    "crop_height": 24,
    "crop_width": 48,
    "scale_min": 1.0,
    "scale_max": 3.0,
    "flip": 0.0,
    "brightness": 0.0,
    "contrast": 0.0,
    "saturation": 0.0,
    "blur": 1.0,
    "batch_norm": "synchronised",
    "precision": "mixed_float16",
    "xla": True,
    "accumulation": 2,
    "ema": 0.9,
    "init": "imagenet",
    "validate_every": 2,
    "patience": 1,
    "options": {"dropout": 0.5},
}
"""Field -> value that differs from that of `BASE` and has to be seen in what `observe` returns."""


def build_network(height: int, width: int, class_count: int, dropout: float) -> keras.Model:
    """Build a network that has whatever a field of a recipe acts on."""
    layers = keras.layers
    frame = keras.Input((height, width, 3), name="frame")
    x = layers.Conv2D(4, 8, 8, name="backbone_conv")(normalize(frame))
    x = layers.ReLU(name="backbone_relu")(batch_norm("backbone_bn")(x))
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    auxiliary = layers.Conv2D(class_count, 1, name="auxiliary", dtype="float32")(x)
    logits = layers.Conv2D(class_count, 1, name=LOGITS, dtype="float32")(layers.Dropout(dropout, name="dropout")(x))
    return keras.Model(frame, {LOGITS: logits, "auxiliary": auxiliary}, name="every")


EVERY = ModelSpec("every", "Every", "none", build_network, 8, 8, auxiliary_weights={"auxiliary": 0.4})


@pytest.fixture(scope="module")
def observe(tmp_path_factory):
    """Return a function recipe -> what a training by it does, as plain values that can be compared.

    It runs the training: the first batches, the rates, the weights and losses of all epochs, the epochs that were
    validated and how many there were. Two fields are asked for in another way, since one process computes the same:
    synchronised BatchNorm by the layers, XLA by what is compiled.
    """
    camvid = street_set.write_camvid(tmp_path_factory.mktemp("every") / "camvid")
    splits = [open_dataset("camvid", camvid, split) for split in ("train", "val")]
    compiled = []
    function = tf.function

    def noted_function(*arguments, **options):
        compiled.append(options.get("jit_compile"))
        return function(*arguments, **options)

    def observed(recipe: Recipe) -> dict[str, Any]:
        compiled.clear()
        # So many epochs that patience ends some, with one score for all.
        recipe = dataclasses.replace(recipe, epochs=recipe.epochs + 1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(MODELS, "every", EVERY)
            patch.setitem(OPTIONS, "every", {"dropout": Option(0.0, (), "rate", most=1)})
            patch.setattr(preparation, "backbone_layers", lambda *_: frozenset({"backbone_conv"}))
            patch.setattr(tf, "function", noted_function)
            folder = tmp_path_factory.mktemp("run") / "run"
            task = Task("every", *splits, folder, open_strategy("one"))
            given = prepared_by(patch)
            run = begin_training(task, recipe, seed=1, options=recipe.options)
        prepared = given[0]
        batches = [prepared.batches.read(sample) for sample in range(2 * recipe.batch_size)]
        norms = [layer for layer in prepared.network.layers if isinstance(layer, keras.layers.BatchNormalization)]
        return {
            "input": [hashlib.sha256(frame.tobytes() + labels.tobytes()).hexdigest() for frame, labels in batches],
            "epochs": [(entry["step"], entry["loss"], entry["learning_rate"]) for entry in run.history],
            "validated": [entry["miou"] is not None for entry in run.history],
            "last": [weight.tobytes() for weight in prepared.network.get_weights()],
            "kept": [weight.tobytes() for weight in prepared.evaluator.get_weights()],
            "validation size": prepared.evaluator.input_shape,
            "synchronised": [norm.synchronized for norm in norms],
            "compiled": True in compiled,
            "starts from": train_command.init_of(argparse.Namespace(init=None, init_weights=None), recipe),
        }

    return observed


def prepared_by(patch) -> list[Preparation]:
    """Return a list that gets what is prepared; every validation gives one score."""
    given = []
    prepare = run_training.prepare

    def noted(*arguments, **options):
        given.append(prepare(*arguments, **options))
        return given[-1]

    def one_score(label_frame, dataset, part):
        matrix = ConfusionMatrix(dataset.table.class_count)
        matrix.counts[0, 0] = 1
        return matrix

    patch.setattr(run_training, "prepare", noted)
    patch.setattr(training_module, "measure_validation", one_score)
    return given


@pytest.fixture(scope="module")
def of_base(observe):
    return observe(BASE)


def test_every_field_has_a_changed_value():
    assert set(CHANGED) == {each.name for each in dataclasses.fields(Recipe)}


@pytest.mark.parametrize("name", sorted(CHANGED))
def test_changed_value_is_another_one_and_makes_a_recipe(name):
    changed = dataclasses.replace(BASE, **{name: CHANGED[name]})
    assert changed.check() != BASE.check()


def test_equal_recipes_train_alike(observe, of_base):
    assert observe(dataclasses.replace(BASE)) == of_base


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(CHANGED))
def test_every_field_reaches_the_training(observe, of_base, name):
    assert observe(dataclasses.replace(BASE, **{name: CHANGED[name]})) != of_base
