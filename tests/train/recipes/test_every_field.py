"""Every field of a recipe reaches the training: each is changed by itself, and what is then trained differs.

A recipe goes the whole way: from a file through the command, to the network, the batches, the learning rates and two
steps; for two fields, through the loop of epochs. A field without a changed value turns a test red.
"""

from __future__ import annotations

import dataclasses
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import train.initial_weights as initial_weights
import train.preparation as preparation
import train.run_training as run_training
import train.training as training
from tests.train import street_set
from tests.train.engine.small_training import SMALL
from train.engine.state import read_variables
from train.models import MODELS
from train.options import OPTIONS, Option
from train.recipe import Recipe
from train.train import main

BASE = Recipe(
    epochs=6,
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
    "epochs": 7,
    "batch_size": 2,
    "height": 24,
    "width": 48,
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
"""Field -> value that differs from that of `BASE`."""

OF_THE_LOOP = ("validate_every", "patience")
"""Fields that decide when to look and when to stop, and no step."""

FACTS = ("start", "layers", "layout", "rates", "batches", "trained")
"""What is looked at, the cheapest first; the last takes two steps."""

BACKBONE = frozenset({"stem"})
"""Layers that count as the backbone of the network of these tests."""


class _BegunError(Exception):
    """Stands for the training that the command would have begun."""


class Observed:
    """What a training by a recipe does, as plain values."""

    def __init__(self, recipe: Recipe, data_dir: Path, folder: Path) -> None:
        self._begun: dict[str, Any] = {}
        folder.mkdir()
        path = folder / "recipe.json"
        path.write_text(json.dumps(recipe.to_json()))
        command = ["--model", "fast_scnn", "--dataset", "camvid", "--data-dir", str(data_dir)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(initial_weights, "find_initial_weights", self._find_initial_weights)
            patch.setattr(run_training, "begin_training", self._begin_training)
            with pytest.raises(_BegunError):
                main([*command, "--recipe", str(path), "--output", str(folder / "run")])

    def _find_initial_weights(self, model: str, init: str | None, path: Path | None, given: dict) -> None:
        self._begun["start"] = init

    def _begin_training(self, task, recipe, seed, options, initial, origin) -> None:
        self._begun.update(task=task, recipe=recipe, options=options)
        raise _BegunError

    @cached_property
    def _prepared(self) -> preparation.Preparation:
        task = self._begun["task"]
        splits, options = (task.training, task.validation), self._begun["options"]
        return preparation.prepare("fast_scnn", *splits, self._begun["recipe"], task.strategy, options=options)

    @property
    def start(self) -> str:
        """What the network starts from."""
        return self._begun["start"]

    @property
    def layers(self) -> list[Any]:
        """Settings of the layers, and whether the step is compiled."""
        compiled = isinstance(self._prepared.step._compute, tf.types.experimental.GenericFunction)
        return [compiled, *(layer.get_config() for layer in self._prepared.network.layers)]

    @property
    def layout(self) -> dict[str, Any]:
        """Everything that a step changes, by its shape."""
        return {name: (variable.shape, variable.dtype) for name, variable in self._prepared.variables().items()}

    @property
    def rates(self) -> list[float]:
        """Learning rate of each step."""
        optimization = self._prepared.optimization
        step, rates = optimization.variables["step"], []
        for number in range(optimization.steps):
            step.assign(number)
            rates.append(optimization.learning_rate())
        step.assign(0)
        return rates

    @property
    def batches(self) -> list[np.ndarray]:
        """First two batches."""
        batches = self._prepared.strategy.batches(self._prepared.batches, 0)
        return [np.asarray(part) for _ in range(2) for part in next(batches)]

    @property
    def validated(self) -> tuple[int, int]:
        """Size at which the network is validated."""
        return self._prepared.evaluator.input_shape[1:3]

    @property
    def trained(self) -> list[np.ndarray]:
        """Losses of two steps, and everything that they changed."""
        batches = self._prepared.strategy.batches(self._prepared.batches, 0)
        results = [self._prepared.step.step(next(batches)) for _ in range(2)]
        losses = [np.asarray(result.loss) for result in results]
        return [*losses, *read_variables(self._prepared.variables()).values()]

    @property
    def loop(self) -> list[Any]:
        """Scores and end of a training."""
        run = run_training.begin_training(self._begun["task"], self._begun["recipe"])
        return [entry["miou"] is None for entry in run.history]


@pytest.fixture(scope="module")
def observe(tmp_path_factory):
    """Give a function that observes a recipe, on a network with a backbone, a norm, a depthwise layer and two heads."""
    root = tmp_path_factory.mktemp("every-field")
    data_dir = street_set.write_camvid(root / "camvid")
    count = iter(range(1000))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "fast_scnn", SMALL)
        patch.setitem(OPTIONS, "fast_scnn", {"dropout": Option(0.0, (), "rate", most=1)})
        patch.setattr(preparation, "backbone_layers", lambda *_: BACKBONE)
        yield lambda recipe: Observed(recipe, data_dir, root / str(next(count)))


@pytest.fixture(scope="module")
def base(observe) -> dict[str, Any]:
    """The facts of the unchanged recipe."""
    observed = observe(BASE)
    return {fact: getattr(observed, fact) for fact in FACTS}


def are_equal(one: Any, other: Any) -> bool:
    if isinstance(one, list) and one and isinstance(one[0], np.ndarray):
        return len(one) == len(other) and all(map(np.array_equal, one, other))
    return one == other


def test_every_field_has_a_changed_value():
    assert set(CHANGED) == {each.name for each in dataclasses.fields(Recipe)}


@pytest.mark.parametrize("name", sorted(CHANGED))
def test_changed_value_is_another_one_and_makes_a_recipe(name):
    changed = dataclasses.replace(BASE, **{name: CHANGED[name]})
    assert changed.check() != BASE.check()


@pytest.mark.long
def test_unchanged_recipe_trains_the_same_twice(observe, base):
    again = observe(BASE)
    assert [fact for fact in FACTS if not are_equal(getattr(again, fact), base[fact])] == []


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(set(CHANGED) - set(OF_THE_LOOP)))
def test_every_field_reaches_the_training(name, observe, base):
    changed = observe(dataclasses.replace(BASE, **{name: CHANGED[name]}))
    assert any(not are_equal(getattr(changed, fact), base[fact]) for fact in FACTS)


@pytest.mark.long
def test_size_is_that_of_validation_too(observe):
    changed = {name: CHANGED[name] for name in ("height", "width")}
    assert observe(dataclasses.replace(BASE, **changed)).validated == (CHANGED["height"], CHANGED["width"])


@pytest.mark.long
@pytest.mark.parametrize(
    ("changes", "unscored"),
    [
        ({}, [False, False, False]),
        ({"validate_every": CHANGED["validate_every"]}, [True, False, False]),
        ({"patience": CHANGED["patience"]}, [False, False]),
    ],
)
def test_fields_of_the_loop_decide_when_it_looks_and_ends(changes, unscored, observe, monkeypatch):
    measure = training.accuracy_of
    monkeypatch.setattr(training, "accuracy_of", lambda *counts: dataclasses.replace(measure(*counts), miou=0.5))
    # No score is better than the first one.
    assert observe(dataclasses.replace(BASE, epochs=3, **changes)).loop == unscored
