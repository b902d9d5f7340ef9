"""The table of recipes: the settings with which each model is trained on each dataset, one module a model.

A recipe stands below a comment with its source (the paper, and the code that its figures were checked with), the
command that uses it, its time and its score, and where it deviates from the source, and why. A figure is measured,
with its machine, or it is said whose it is. A recipe has one of four names:

    paper     what the paper does, or the code of its authors or of the implementation that our network equals, on a
              dataset that they report
    adapted   the same network where the paper's schedule does not fit: CamVid's few hundred frames, a dataset that the
              paper does not know
    trial     a few minutes on drawn scenes, which show that a model trains; its score says nothing
    derived   what follows from the frames of data that no other recipe is made for: train/recipes/derived.py

The first recipe of a model and a dataset is the one that a training takes unless --recipe says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.errors import InputError
from train.options import resolve_options
from train.recipe import Recipe
from train.recipes import bayesian_segnet, deeplabv3plus, fast_scnn, fastfcn, panoptic_deeplab, unet
from train.recipes.derived import (
    CAMVID_SHAPE,
    DERIVED,
    NOMINAL_SHAPES,
    DataShape,
    derivation_words,
    derive_recipe,
)
from train.recipes.file import read_recipe

__all__ = ["RECIPES", "FoundRecipe", "find_recipe", "read_recipe", "recipe_table"]

_MODELS: dict[str, dict[str, dict[str, Recipe]]] = {
    "fast_scnn": fast_scnn.RECIPES,
    "fastfcn": fastfcn.RECIPES,
    "unet": unet.RECIPES,
    "bayesian_segnet": bayesian_segnet.RECIPES,
    "deeplabv3plus": deeplabv3plus.RECIPES,
    "panoptic_deeplab": panoptic_deeplab.RECIPES,
}

_SAME_FRAMES = {"synthetic-infrastructure": "synthetic", "synthetic-rail": "synthetic"}
"""Dataset of drawn scenes -> one with frames of the same kind, whose recipes show as well that a model trains."""


def recipe_table(model: str, dataset: str, shape: DataShape | None = None) -> dict[str, Recipe]:
    """Return name -> recipe of a model on a dataset; the first is what a training takes by itself.

    Args:
        model: key in train.models.MODELS.
        dataset: key in edge.datasets.LAYOUTS, or any other name for data of a dataset description.
        shape: frames that are there to learn from; None for those of the whole dataset, or of CamVid for data that is
            not known by name.
    """
    if dataset in _MODELS[model]:
        return _MODELS[model][dataset]
    kin = _MODELS[model].get(_SAME_FRAMES.get(dataset, ""), {})
    base = _MODELS[model]["camvid"]["adapted"]
    return {**kin, DERIVED: derive_recipe(base, shape or NOMINAL_SHAPES.get(dataset, CAMVID_SHAPE))}


RECIPES: dict[tuple[str, str], dict[str, Recipe]] = {
    (model, dataset): recipe_table(model, dataset)
    for model, datasets in _MODELS.items()
    for dataset in (*datasets, *NOMINAL_SHAPES)
}
"""Model and dataset -> name of a recipe -> recipe; the first is what a training takes by itself."""


@dataclass(frozen=True)
class FoundRecipe:
    """A recipe, and where it comes from.

    Attributes:
        recipe: the settings.
        origin: words on where they come from, for people and for the record of a run, such as "adapted".
    """

    recipe: Recipe
    origin: str


def find_recipe(model: str, dataset: str, name: str | None = None, shape: DataShape | None = None) -> FoundRecipe:
    """Return a recipe of a model on a dataset.

    Args:
        model: key in train.models.MODELS.
        dataset: key in edge.datasets.LAYOUTS, or the name in a dataset description.
        name: name of a recipe of the table; or path of a JSON file of fields, of a run's record, or of a run's folder;
            None for the recipe that stands first. What a file of fields leaves out is as in that recipe.
        shape: frames that are there to learn from, from which a recipe may be derived; None for those of the whole
            dataset.

    Raises:
        InputError: there is no such recipe, and the message lists those that there are; or a field of the file is
            unknown, of another type or out of range, or an option of the architecture is.
        ContractError: the file is no JSON object.
    """
    table = recipe_table(model, dataset, shape)
    chosen = next(iter(table)) if name is None else name
    if chosen in table:
        shape = shape or NOMINAL_SHAPES.get(dataset, CAMVID_SHAPE)
        return FoundRecipe(table[chosen], derivation_words(model, shape) if chosen == DERIVED else chosen)
    if not _is_path(chosen):
        raise InputError(
            f"{model} on {dataset} has no recipe '{chosen}', expected one of: {', '.join(table)}, or a JSON file"
        )
    recipe = read_recipe(Path(chosen), next(iter(table.values())))
    try:
        resolve_options(model, recipe.options)
    except InputError as error:
        raise InputError(f"recipe {chosen}: options: {error}") from None
    return FoundRecipe(recipe, chosen)


def _is_path(name: str) -> bool:
    """Return whether a name means a file or folder; one that is missing is an error of the reading."""
    return name.endswith(".json") or "/" in name or Path(name).exists()
