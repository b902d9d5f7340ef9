"""Data that no recipe was written for are trained by one that follows from their frames."""

from __future__ import annotations

import math

import pytest

from edge.datasets import open_dataset
from tests.train.street_set import write_camvid
from train.models import MODELS
from train.recipes import RECIPES, find_recipe
from train.recipes.derived import CAMVID_SHAPE, DERIVED, MOST_PIXELS, DataShape, derive_recipe, shape_of

SHAPES = [DataShape(7650, 1080, 1920), DataShape(40, 48, 64), DataShape(300, 2048, 600), DataShape(1, 375, 500)]


@pytest.mark.parametrize("model", sorted(MODELS))
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.height}x{shape.width}")
def test_derived_recipe_can_be_trained_by_every_model(model, shape):
    recipe = find_recipe(model, "yard", None, shape).recipe.check()
    for size in ((recipe.height, recipe.width), recipe.crop_size):
        MODELS[model].check_size(*size)
        assert all(side % 32 == 0 for side in size)
    assert recipe.height * recipe.width < 1.1 * max(MOST_PIXELS, 64 * 64)


def test_frames_keep_their_aspect_ratio_and_small_ones_their_size():
    base = RECIPES["fast_scnn", "camvid"]["adapted"]
    rail, yard = derive_recipe(base, DataShape(7650, 1080, 1920)), derive_recipe(base, DataShape(40, 250, 320))
    assert (rail.height, rail.width, *rail.crop_size) == (544, 960, 320, 576)
    assert (yard.height, yard.width, *yard.crop_size) == (256, 320, 256, 320)
    assert math.prod(rail.crop_size) <= math.prod(base.crop_size)


def test_more_frames_are_trained_for_more_steps_and_fewer_epochs():
    base = RECIPES["fast_scnn", "camvid"]["adapted"]
    known = CAMVID_SHAPE
    same = derive_recipe(base, known)
    four = derive_recipe(base, DataShape(4 * known.frames, known.height, known.width))
    few = derive_recipe(base, DataShape(3, known.height, known.width))
    assert (same.epochs, same.validate_every) == (base.epochs, math.ceil(base.epochs / 100))
    assert four.epochs * 4 == pytest.approx(2 * base.epochs, rel=0.05)
    assert few.epochs > base.epochs and math.ceil(few.epochs / few.validate_every) <= 100
    assert (four.optimizer, four.learning_rate, four.class_weighting) == ("adamw", 2e-3, "enet")


def test_shape_is_that_of_the_frames_on_disk(tmp_path):
    training = open_dataset("camvid", write_camvid(tmp_path, 3, 1, 32, 64), "train")
    assert shape_of(training) == DataShape(3, 32, 64)
    found = find_recipe("unet", "yard", None, shape_of(training))
    assert found.origin == "derived from unet's on camvid for 3 frames of 32x64"


def test_drawn_scenes_of_other_classes_have_the_recipes_of_drawn_streets_first():
    named = RECIPES["fast_scnn", "synthetic-rail"]
    assert list(named) == ["adapted", DERIVED]
    assert named["adapted"] is RECIPES["fast_scnn", "synthetic"]["adapted"]
    assert find_recipe("fast_scnn", "synthetic-rail").origin == "adapted"
