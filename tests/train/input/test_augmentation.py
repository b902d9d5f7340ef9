"""Variations stay in their ranges, cover them, and follow from the seed and the number of the sample alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from train.input.augmentation import Augmentation, Variation, draw_variation
from train.recipe import Recipe

EVERYTHING = Augmentation(blur=0.5)
NOTHING = Augmentation(1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
PARTS = tuple(field.name for field in dataclasses.fields(Variation))


def drawn(part, augmentation=EVERYTHING, seed=0, samples=400) -> np.ndarray:
    return np.array([getattr(draw_variation(augmentation, seed, sample), part) for sample in range(samples)])


def test_every_setting_of_a_recipe_is_the_augmentations():
    values = {"scale_min": 0.6, "scale_max": 1.7, "flip": 0.1, "brightness": 0.2, "contrast": 0.3}
    values.update(saturation=0.4, blur=0.7)
    recipe = Recipe(1, 1, 32, 32, "sgd", 0.1).changed(**values)
    assert dataclasses.asdict(Augmentation.of_recipe(recipe)) == values
    assert Augmentation.of_recipe(Recipe(1, 1, 32, 32, "sgd", 0.1)) == Augmentation()


@pytest.mark.parametrize(
    ("part", "low", "high"),
    [
        ("zoom", 0.5, 2.0),
        ("row", 0.0, 1.0),
        ("column", 0.0, 1.0),
        ("brightness", -0.15 * 255, 0.15 * 255),
        ("contrast", 0.75, 1.25),
        ("saturation", 0.75, 1.25),
    ],
)
def test_ranges_are_held_and_covered(part, low, high):
    values = drawn(part)
    assert low - 1e-9 <= values.min() < low + 0.03 * (high - low)
    assert high + 1e-9 >= values.max() > high - 0.03 * (high - low)


def test_zoom_halves_as_often_as_it_doubles():
    assert 0.42 < np.mean(drawn("zoom") < 1.0) < 0.58


@pytest.mark.parametrize(("low", "high"), [(0.25, 0.5), (1.0, 1.0), (1.5, 3.0)])
def test_zoom_follows_its_range(low, high):
    values = drawn("zoom", Augmentation(scale_min=low, scale_max=high), samples=100)
    assert values.min() == pytest.approx(low, rel=0.05) and values.max() == pytest.approx(high, rel=0.05)


@pytest.mark.parametrize("probability", [0.0, 0.2, 1.0])
def test_flip_and_blur_happen_as_often_as_they_should(probability):
    augmentation = Augmentation(flip=probability, blur=probability)
    assert drawn("is_mirrored", augmentation).mean() == pytest.approx(probability, abs=0.07)
    blurs = drawn("blur_sigma", augmentation)
    assert np.mean(blurs > 0) == pytest.approx(probability, abs=0.07)
    assert not probability or (0.3 <= blurs[blurs > 0].min() < 0.4 and 1.2 < blurs.max() <= 1.3)


def test_without_ranges_nothing_varies_but_the_place():
    for sample in range(20):
        variation = draw_variation(NOTHING, 0, sample)
        assert variation == Variation(row=variation.row, column=variation.column)


def test_equal_seeds_give_equal_variations_and_others_do_not():
    for part in PARTS:
        first, again, other = (drawn(part, seed=seed, samples=30) for seed in (1, 1, 2))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other), part


def test_parts_of_a_variation_are_independent():
    values = np.array([drawn(part).astype(float) for part in PARTS])
    correlations = np.corrcoef(values) - np.eye(len(PARTS))
    assert np.abs(correlations).max() < 0.2


def test_changed_range_leaves_the_other_draws_alone():
    other = dataclasses.replace(EVERYTHING, scale_min=0.9, contrast=0.0, flip=1.0)
    for part in ("row", "column", "brightness", "saturation", "blur_sigma"):
        np.testing.assert_array_equal(drawn(part, samples=30), drawn(part, other, samples=30))
