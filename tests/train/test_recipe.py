"""A recipe refuses settings that no training can have, in one line that names the field."""

from __future__ import annotations

import dataclasses
import math

import pytest

from edge.errors import InputError
from train.recipe import CHOICES, LIMITS, Recipe

RECIPE = Recipe(epochs=2, batch_size=4, height=32, width=64, optimizer="sgd", learning_rate=0.1)
FIELDS = {each.name: str(each.type) for each in dataclasses.fields(Recipe)}


def changed(**changes) -> Recipe:
    return dataclasses.replace(RECIPE, **changes)


def test_recipe_that_makes_sense_is_given_back():
    assert RECIPE.check() is RECIPE


def test_every_number_has_limits_and_every_word_its_choices():
    numbers = {name for name, kind in FIELDS.items() if kind.split(" ")[0] in ("int", "float")}
    words = {name for name, kind in FIELDS.items() if kind == "str"}
    assert (set(LIMITS), set(CHOICES)) == (numbers, words)


@pytest.mark.parametrize("name", sorted(LIMITS))
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1, 10**30, "3"])
def test_no_number_is_nan_infinite_negative_huge_or_none_at_all(name, value):
    with pytest.raises(InputError, match=rf"^recipe: {name}\b.*, expected a (whole )?number"):
        changed(**{name: value}).check()


@pytest.mark.parametrize("name", sorted(LIMITS))
def test_true_is_no_number(name):
    with pytest.raises(InputError, match=rf"{name} is true, expected a (whole )?number"):
        changed(**{name: True}).check()


@pytest.mark.parametrize("name", sorted(name for name, kind in FIELDS.items() if kind.startswith("int")))
def test_whole_numbers_are_whole(name):
    with pytest.raises(InputError, match=rf"{name}: got '2\.5', expected a whole number"):
        changed(**{name: 2.5}).check()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", 0.0),
        ("hardest_share", 0.0),
        ("hardest_share", 1.01),
        ("momentum", 1.0),
        ("ema", 1.0),
        ("flip", 1.5),
        ("batch_size", 2000),
        ("clip_norm", 0.0),
        ("patience", 0),
    ],
)
def test_number_out_of_range_is_refused(name, value):
    with pytest.raises(InputError, match=rf"{name}: got '{value}', expected"):
        changed(**{name: value}).check()


@pytest.mark.parametrize("name", sorted(CHOICES))
def test_unknown_word_is_refused_with_the_known_ones(name):
    for value in ("other", 3, None):
        with pytest.raises(InputError, match=rf"{name} is .*, expected {', '.join(CHOICES[name])}$"):
            changed(**{name: value}).check()


@pytest.mark.parametrize("name", sorted(name for name, kind in FIELDS.items() if kind == "bool"))
def test_flag_is_true_or_false(name):
    with pytest.raises(InputError, match=rf"{name} is 1, expected true or false"):
        changed(**{name: 1}).check()


def test_weight_of_an_auxiliary_loss_is_a_number_that_is_not_negative():
    assert changed(auxiliary_weights={"low": 0.4}).check()
    for weights in ({"low": -0.4}, {"low": math.nan}, {"low": "0.4"}, ["low"], {3: 0.4}):
        with pytest.raises(InputError, match=r"^recipe: auxiliary_weights"):
            changed(auxiliary_weights=weights).check()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scale_min": 1.5, "scale_max": 1.0}, "scale_min is 1.5, expected at most scale_max, which is 1"),
        ({"batch_size": 6, "accumulation": 4}, "accumulation is 4, expected a number that divides the batch of 6"),
        ({"crop_height": 65}, "crop is 65x64, frames of 32x64 are at most 64x128 after the zoom"),
        ({"height": 16384, "width": 16384 // 2, "crop_height": 8, "scale_max": 1.0}, None),
        ({"height": 16384, "width": 16384 + 1}, "width: got '16385'"),
        ({"optimizer": "adamw"}, "weight_decay_kind of adamw is coupled, expected decoupled"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(changes, said):
    if said is None:
        assert changed(**changes).check()
        return
    with pytest.raises(InputError) as raised:
        changed(**changes).check("recipe fine.json")
    assert str(raised.value).startswith("recipe fine.json: ") and said in str(raised.value)


def test_crop_follows_the_size_unless_it_has_its_own():
    assert RECIPE.crop_size == (32, 64)
    assert changed(crop_width=16).crop_size == (32, 16)


def test_settings_that_are_none_stay():
    assert RECIPE.changed(epochs=None, height=None) == RECIPE
    assert RECIPE.changed(epochs=3, batch_size=None) == changed(epochs=3)
