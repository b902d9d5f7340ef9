"""Every model has a recipe for every dataset, at sizes that it takes."""

from __future__ import annotations

import pytest

from edge.datasets import LAYOUTS
from edge.errors import InputError
from train.models import MODELS
from train.recipes import RECIPES, find_recipe


def test_every_model_has_a_recipe_for_every_dataset():
    assert set(RECIPES) == {(model, dataset) for model in MODELS for dataset in LAYOUTS}


@pytest.mark.parametrize(("model", "dataset"), sorted(RECIPES))
def test_model_takes_the_sizes_of_its_recipe(model, dataset):
    recipe = RECIPES[model, dataset]
    MODELS[model].check_size(recipe.height, recipe.width)
    MODELS[model].check_size(recipe.crop_height or recipe.height, recipe.crop_width or recipe.width)


@pytest.mark.parametrize(("model", "dataset"), sorted(RECIPES))
def test_numbers_of_a_recipe_make_sense(model, dataset):
    recipe = RECIPES[model, dataset]
    assert recipe.epochs > 0 and recipe.batch_size > 0
    assert 0 < recipe.learning_rate < 1 and recipe.power > 0 and recipe.weight_decay >= 0
    assert 0 < recipe.scale_min <= recipe.scale_max
    assert recipe.optimizer in ("sgd", "adamw")


def test_fast_scnn_on_cityscapes_is_trained_as_in_its_paper():
    recipe = find_recipe("fast_scnn", "cityscapes")
    assert (recipe.optimizer, recipe.batch_size, recipe.learning_rate, recipe.power) == ("sgd", 12, 0.045, 0.9)
    assert (recipe.weight_decay, recipe.epochs) == (4e-5, 1000)
    assert (recipe.scale_min, recipe.scale_max) == (0.5, 2.0)


def test_settings_that_are_none_stay():
    recipe = find_recipe("fast_scnn", "camvid")
    assert recipe.changed(epochs=None, height=None) == recipe
    changed = recipe.changed(epochs=3, height=64, batch_size=None)
    assert (changed.epochs, changed.height, changed.batch_size) == (3, 64, recipe.batch_size)


def test_unknown_pair_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"no recipe for fast_scnn on kitti.*fast_scnn on camvid"):
        find_recipe("fast_scnn", "kitti")
