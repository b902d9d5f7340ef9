"""Options of the command change the recipe, each of them and together, and contradict nobody."""

from __future__ import annotations

import dataclasses

import pytest

from edge.console import CommandParser
from edge.errors import InputError
from train.recipe import Recipe
from train.recipe_options import add_recipe_arguments, asked_fields, changed_recipe, parse_fields

RECIPE = Recipe(
    epochs=2,
    batch_size=4,
    height=512,
    width=1024,
    optimizer="sgd",
    learning_rate=0.1,
    crop_height=256,
    crop_width=512,
    patience=5,
)


def changed(*options: str) -> Recipe:
    parser = CommandParser(prog="train")
    add_recipe_arguments(parser)
    return changed_recipe(RECIPE, parser.parse_args(options))


def test_defaults_leave_the_recipe_alone():
    assert changed() == RECIPE


def test_only_what_was_asked_for_is_asked_for():
    parser = CommandParser(prog="train")
    add_recipe_arguments(parser)
    assert asked_fields(parser.parse_args([])) == {}
    asked = asked_fields(parser.parse_args(["--epochs", "2", "--set", "patience=none"]))
    assert asked == {"epochs": 2, "patience": None}


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ("--epochs 3", {"epochs": 3}),
        ("--batch-size 8", {"batch_size": 8}),
        ("--learning-rate 0.5", {"learning_rate": 0.5}),
        ("--warmup-steps 7", {"warmup_steps": 7}),
        ("--weight-decay 0.01", {"weight_decay": 0.01}),
        ("--weight-decay 0", {"weight_decay": 0.0}),
        ("--hardest-share 0.25", {"hardest_share": 0.25}),
        ("--accumulation 2", {"accumulation": 2}),
        ("--ema 0.999", {"ema": 0.999}),
        ("--validate-every 4", {"validate_every": 4}),
        ("--patience 9", {"patience": 9}),
        ("--optimizer adam", {"optimizer": "adam"}),
        ("--schedule cosine", {"schedule": "cosine"}),
        ("--class-weighting enet", {"class_weighting": "enet"}),
        ("--precision mixed_float16", {"precision": "mixed_float16"}),
        ("--batch-norm synchronised", {"batch_norm": "synchronised"}),
        ("--xla", {"xla": True}),
        ("--set xla=true", {"xla": True}),
        ("--set clip_norm=5 --set patience=none", {"clip_norm": 5.0, "patience": None}),
        ("--set init=imagenet", {"init": "imagenet"}),
        ('--set auxiliary_weights={"low":0.4}', {"auxiliary_weights": {"low": 0.4}}),
        (
            "--optimizer adamw --set weight_decay_kind=decoupled",
            {"optimizer": "adamw", "weight_decay_kind": "decoupled"},
        ),
        ("--crop 64x128", {"crop_height": 64, "crop_width": 128}),
        ("--size 64x128", {"height": 64, "width": 128, "crop_height": 64, "crop_width": 128}),
        ("--size 64x128 --crop 32x64", {"height": 64, "width": 128, "crop_height": 32, "crop_width": 64}),
    ],
)
def test_option_changes_its_field_alone(options, changes):
    assert changed(*options.split()) == dataclasses.replace(RECIPE, **changes)


@pytest.mark.parametrize("name", sorted(each.name for each in dataclasses.fields(Recipe)))
def test_every_field_can_be_set(name):
    value = {"options": '{"depth": 50}', "auxiliary_weights": "{}"}.get(name, str(getattr(RECIPE, name)))
    wanted = {"options": {"depth": 50}}.get(name, getattr(RECIPE, name))
    assert parse_fields([f"{name}={value}"]) == {name: wanted}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--set epochs", "--set is 'epochs', expected FIELD=VALUE, such as clip_norm=5"),
        ("--set epoch=3", "--set: unknown field 'epoch', expected: epochs, batch_size"),
        ("--set epochs=3 --set epochs=4", "--set epochs is given twice"),
        ("--set epochs=3 --epochs 4", "--set epochs is given, and so is --epochs, expected one of them"),
        ("--set crop_width=64 --size 64x128", "--set crop_width is given, and so is --size"),
        ("--set xla=false --xla", "--set xla is given, and so is --xla"),
        ("--set epochs=none", "--set epochs: got 'none', expected a whole number"),
        ("--set learning_rate=nan", "--set learning_rate: got 'nan', expected a number over 0"),
        ("--set decay_norms=yes", "decay_norms is 'yes', expected true or false"),
        ("--set precision=float8", "precision is 'float8', expected float32, "),
        ("--set auxiliary_weights=low:1", "--set auxiliary_weights is 'low:1', expected an object as JSON: line 1"),
        ("--batch-size 5 --accumulation 2", "accumulation is 2, expected a number that divides the batch of 5"),
        ("--optimizer adamw", "weight_decay_kind of adamw is coupled, expected decoupled. Next: --set weight_decay_k"),
        ("--crop 2048x512", "crop is 2048x512, frames of 512x1024 are at most 1024x2048"),
    ],
)
def test_what_cannot_be_is_one_line(options, said):
    with pytest.raises(InputError) as raised:
        changed(*options.split())
    assert said in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "options", ["--epochs 0", "--learning-rate nan", "--ema 1", "--hardest-share 0", "--patience 0"]
)
def test_number_out_of_range_is_an_error_of_the_command_line(options, capsys):
    with pytest.raises(SystemExit):
        changed(*options.split())
    assert options.split()[0] in capsys.readouterr().err
