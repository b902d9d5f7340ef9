"""Every model has a recipe for every dataset, which says where it comes from and does what its paper's code does."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import shlex

import pytest

from edge.datasets import LAYOUTS
from edge.errors import ContractError, InputError
from train.models import MODELS
from train.options import resolve_options
from train.recipes import RECIPES, find_recipe
from train.recipes.derived import DERIVED

ALL = [(model, dataset, name) for (model, dataset), named in sorted(RECIPES.items()) for name in named]
WRITTEN = [each for each in ALL if each[2] != DERIVED]


def test_every_model_has_a_recipe_for_every_dataset():
    assert set(RECIPES) == {(model, dataset) for model in MODELS for dataset in LAYOUTS}


@pytest.mark.parametrize(("model", "dataset", "name"), ALL)
def test_recipe_can_be_trained(model, dataset, name):
    recipe = RECIPES[model, dataset][name].check()
    MODELS[model].check_size(recipe.height, recipe.width)
    MODELS[model].check_size(*recipe.crop_size)
    resolve_options(model, recipe.options)
    assert set(recipe.auxiliary_weights) <= set(MODELS[model].auxiliary_weights)


def comments(model: str) -> dict[str, str]:
    """Return variable of a recipe -> the comment above it, in one line a paragraph."""
    source = inspect.getsource(importlib.import_module(f"train.recipes.{model}"))
    blocks = re.findall(r"((?:^# .*\n)+)^(_[A-Z_]+) = Recipe\(", source, re.MULTILINE)
    return {variable: re.sub(r"\n#     ", " ", text) for text, variable in blocks}


@pytest.mark.parametrize("model", sorted({model for model, _, _ in ALL}))
def test_every_recipe_opens_with_command_source_time_score_and_deviations(model):
    module = importlib.import_module(f"train.recipes.{model}")
    told = comments(model)
    recipes = {name for name, value in vars(module).items() if dataclasses.is_dataclass(value) and name.startswith("_")}
    assert set(told) == recipes
    for variable, text in told.items():
        heads = re.findall(r"^# (\w+): \S", text, re.MULTILINE)
        assert heads == ["Command", "Source", "Time", "Score", "Deviations"], variable
    assert re.search(r"arXiv \d{4}\.\d{5}", module.__doc__)


@pytest.mark.parametrize("model", sorted({model for model, _, _ in ALL}))
def test_command_of_a_recipe_is_the_one_that_uses_it(model):
    module = importlib.import_module(f"train.recipes.{model}")
    for variable, text in comments(model).items():
        words = shlex.split(re.search(r"# Command: (.*)", text)[1])
        given = dict(zip(words[2::2], words[3::2]))
        assert words[:2] == ["python", "train/train.py"] and given["--model"] == model
        assert find_recipe(model, given["--dataset"], given["--recipe"]).recipe is getattr(module, variable)


@pytest.mark.parametrize(("model", "dataset", "name"), WRITTEN)
def test_recipe_of_a_paper_names_its_code(model, dataset, name):
    variables = {id(value): key for key, value in vars(importlib.import_module(f"train.recipes.{model}")).items()}
    text = comments(model)[variables[id(RECIPES[model, dataset][name])]]
    assert ("github.com/" in text) or name != "paper"


def test_decay_of_papers_is_coupled_and_that_of_adamw_is_not():
    for named in RECIPES.values():
        for recipe in named.values():
            assert (recipe.weight_decay_kind == "decoupled") == (recipe.optimizer == "adamw")


def test_trainings_that_need_no_paper_need_no_download():
    for (_, dataset), named in RECIPES.items():
        for name, recipe in named.items():
            assert recipe.init == "random" or name == "paper" or dataset == "cityscapes"


def fields(model: str, dataset: str, name: str, *wanted: str) -> tuple:
    recipe = find_recipe(model, dataset, name).recipe
    return tuple(getattr(recipe, field) for field in wanted)


def test_fast_scnn_on_cityscapes_is_trained_as_in_its_paper():
    recipe = find_recipe("fast_scnn", "cityscapes").recipe
    assert (recipe.optimizer, recipe.batch_size, recipe.learning_rate, recipe.momentum) == ("sgd", 12, 0.045, 0.9)
    assert (recipe.schedule, recipe.power, recipe.warmup_steps, recipe.epochs) == ("polynomial", 0.9, 0, 1000)
    assert (recipe.weight_decay, recipe.weight_decay_kind, recipe.decay_depthwise) == (4e-5, "coupled", False)
    assert (recipe.scale_min, recipe.scale_max, recipe.class_weighting) == (0.5, 2.0, "none")
    assert MODELS["fast_scnn"].auxiliary_weights == {"auxiliary_high": 0.4, "auxiliary_low": 0.4}


def test_heads_learn_ten_times_as_fast_as_backbones_where_the_code_has_it():
    for model in ("fastfcn", "deeplabv3plus"):
        wanted = ("learning_rate", "backbone_rate", "batch_size", "weight_decay", "decay_norms", "init")
        assert fields(model, "cityscapes", "paper", *wanted) == (0.1, 0.1, 16, 1e-4, True, "imagenet")
    assert fields("fastfcn", "cityscapes", "paper", "batch_norm", "epochs") == ("synchronised", 240)


def test_panoptic_deeplab_counts_the_hardest_fifth():
    wanted = ("optimizer", "learning_rate", "hardest_share", "weight_decay", "batch_size")
    assert fields("panoptic_deeplab", "cityscapes", "paper", *wanted) == ("adam", 5e-5, 0.2, 0.0, 8)


def test_bayesian_segnet_is_trained_as_by_its_solver():
    wanted = ("learning_rate", "schedule", "momentum", "weight_decay", "class_weighting", "batch_size", "flip")
    paper = (0.001, "constant", 0.9, 5e-4, "median_frequency", 4, 0.0)
    assert fields("bayesian_segnet", "camvid", "paper", *wanted) == paper


def test_recipes_of_small_sets_keep_what_they_did_before():
    for dataset, rate, epochs in (("camvid", 2e-3, 120), ("synthetic", 3e-3, 24)):
        wanted = ("optimizer", "learning_rate", "weight_decay", "weight_decay_kind", "class_weighting", "epochs")
        assert fields("fast_scnn", dataset, "adapted", *wanted) == ("adamw", rate, 1e-2, "decoupled", "enet", epochs)


def test_first_recipe_is_taken_unless_another_is_named():
    named = RECIPES["bayesian_segnet", "camvid"]
    assert find_recipe("bayesian_segnet", "camvid").recipe is named["paper"]
    assert find_recipe("bayesian_segnet", "camvid", "adapted").recipe is named["adapted"]


def test_unknown_recipe_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"fast_scnn on camvid has no recipe 'papr', expected one of: adapted, or a J"):
        find_recipe("fast_scnn", "camvid", "papr")
    with pytest.raises(
        InputError, match=r"fast_scnn on yard has no recipe 'paper', expected one of: derived, or a JSON"
    ):
        find_recipe("fast_scnn", "yard", "paper")


def test_file_is_found_by_its_path_and_completed_by_the_first_recipe(tmp_path):
    path = tmp_path / "fine.json"
    path.write_text('{"learning_rate": 0.01, "options": {"dropout": 0.3}}')
    recipe = find_recipe("fast_scnn", "camvid", str(path)).recipe
    first = find_recipe("fast_scnn", "camvid").recipe
    assert recipe == dataclasses.replace(first, learning_rate=0.01, options={"dropout": 0.3})


def test_option_that_the_architecture_has_not_is_refused_by_file_and_name(tmp_path):
    path = tmp_path / "fine.json"
    path.write_text('{"options": {"depth": 50}}')
    with pytest.raises(InputError, match=r"^recipe .*fine\.json: options: fast_scnn has no option 'depth', expected"):
        find_recipe("fast_scnn", "camvid", str(path))


def test_missing_and_damaged_files_are_one_line(tmp_path):
    with pytest.raises(InputError, match=r"recipe not found: .*none\.json"):
        find_recipe("fast_scnn", "camvid", str(tmp_path / "none.json"))
    path = tmp_path / "fine.json"
    path.write_text('{"epochs": 3,}')
    with pytest.raises(ContractError, match=r"recipe .*fine\.json is not valid JSON: line 1"):
        find_recipe("fast_scnn", "camvid", str(path))
