"""Recipes in files: every field comes back, and what is wrong is one line with file and field."""

from __future__ import annotations

import dataclasses
import json

import pytest

from edge.errors import ContractError, InputError
from edge.records import write_record
from train.recipe import Recipe
from train.recipes import RECIPES, read_recipe
from train.runs import RUN_RECORD, RunRecord

COMPLETE = {"epochs": 2, "batch_size": 4, "height": 32, "width": 64, "optimizer": "sgd", "learning_rate": 0.1}


@pytest.fixture
def write(tmp_path):
    def write(fields) -> object:
        path = tmp_path / "fine.json"
        path.write_text(fields if isinstance(fields, str) else json.dumps(fields))
        return path

    return write


def test_every_recipe_comes_back_from_a_file(write):
    for named in RECIPES.values():
        for recipe in named.values():
            assert read_recipe(write(recipe.to_json())) == recipe


def test_fields_that_a_file_leaves_out_have_their_defaults_or_those_of_a_base(write):
    assert read_recipe(write(COMPLETE)) == Recipe(**COMPLETE)
    base = Recipe(**COMPLETE, momentum=0.5, crop_height=16, crop_width=16)
    assert read_recipe(write({"ema": 0.99}), base) == dataclasses.replace(base, ema=0.99)


def test_crop_of_the_base_goes_with_its_size(write):
    base = Recipe(**{**COMPLETE, "height": 512, "width": 1024}, crop_height=256, crop_width=512)
    assert read_recipe(write({"height": 32, "width": 64}), base).crop_size == (32, 64)
    assert read_recipe(write({"height": 256, "crop_width": 128}), base).crop_size == (256, 128)


def test_whole_number_is_taken_for_a_real_one(write):
    recipe = read_recipe(write({**COMPLETE, "learning_rate": 1}))
    assert recipe.learning_rate == 1.0 and isinstance(recipe.learning_rate, float)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"learning_rat": 0.1}, "unknown field 'learning_rat', expected: epochs, batch_size, "),
        ({"schema": 1}, "unknown field 'schema', expected: epochs"),
        ({"epochs": "three"}, "epochs is 'three', expected a whole number"),
        ({"epochs": 2.5}, "epochs: got '2.5', expected a whole number"),
        ({"epochs": None}, "epochs is none, expected a whole number"),
        ({"momentum": 1.5}, "momentum: got '1.5', expected a number from 0 to 0.99999"),
        ({"xla": "yes"}, "xla is 'yes', expected true or false"),
        ({"optimizer": "lion"}, "optimizer is 'lion', expected sgd, adam, adamw"),
        ({"auxiliary_weights": {"low": -1}}, "auxiliary_weights.low: got '-1'"),
        ({"options": []}, "options is [], expected an object"),
    ],
)
def test_wrong_field_is_one_line_with_file_and_field(write, fields, said):
    with pytest.raises(InputError) as raised:
        read_recipe(write({**COMPLETE, **fields}))
    text = str(raised.value)
    assert text.startswith("recipe ") and "fine.json: " in text and said in text and "\n" not in text


def test_fields_of_file_and_base_have_to_fit_together(write):
    with pytest.raises(
        InputError, match=r"fine\.json: accumulation is 3, expected a number that divides the batch of 4"
    ):
        read_recipe(write({"accumulation": 3}), Recipe(**COMPLETE))


@pytest.mark.parametrize("number", ["NaN", "Infinity"])
def test_numbers_that_json_has_not_are_refused(write, number):
    with pytest.raises(ContractError, match=rf"fine\.json is not valid JSON: a number is {number}"):
        read_recipe(write(f'{{"learning_rate": {number}}}'))


def test_fields_without_a_default_are_missed(write):
    with pytest.raises(InputError, match=r"fine\.json: lacks height, width, optimizer\. Next: name them"):
        read_recipe(write({"epochs": 1, "batch_size": 2, "learning_rate": 0.1}))


def write_run(folder, recipe: dict):
    run = RunRecord("tiny", "camvid", "data", 11, 32, 64, {}, recipe, "random", 0, "2026-01-01T00:00:00", "finished")
    folder.mkdir()
    write_record(folder / RUN_RECORD, run)
    return folder


def test_run_is_trained_again_as_its_record_says(tmp_path):
    recipe = Recipe(**COMPLETE, ema=0.9, options={"depth": 50})
    folder = write_run(tmp_path / "run", recipe.to_json())
    other = RECIPES["fast_scnn", "camvid"]["adapted"]
    assert read_recipe(folder, other) == read_recipe(folder / RUN_RECORD) == recipe


@pytest.mark.parametrize(("balanced", "weighting"), [(True, "enet"), (False, "none")])
def test_record_of_before_is_read_with_the_decay_that_it_had(tmp_path, balanced, weighting):
    before = {**COMPLETE, "power": 0.9, "weight_decay": 0.01, "balanced": balanced, "options": {}}
    before.update(crop_height=None, crop_width=None, scale_min=0.75, scale_max=2.0, optimizer="adamw")
    recipe = read_recipe(write_run(tmp_path / "run", before))
    assert (recipe.class_weighting, recipe.weight_decay_kind, recipe.weight_decay) == (weighting, "decoupled", 0.01)
    assert (recipe.scale_min, recipe.hardest_share, recipe.precision) == (0.75, 1.0, "float32")
