"""The table of recipes: the settings with which each model is trained on each dataset, one module a model.

A recipe stands below a comment with its source (the paper, and the code that its figures were checked with), the
command that uses it, its time and its score, and where it deviates from the source, and why. A figure is measured,
with its machine, or it is said whose it is. A recipe has one of three names:

    paper     what the paper does, or the code of its authors or of the implementation that our network equals, on a
              dataset that they report
    adapted   the same network where the paper's schedule does not fit: CamVid's few hundred frames, a dataset that the
              paper does not know
    trial     a few minutes on drawn scenes, which show that a model trains; its score says nothing

The first recipe of a model and a dataset is the one that a training takes unless --recipe says otherwise.
"""

from __future__ import annotations

from pathlib import Path

from edge.errors import InputError
from train.options import resolve_options
from train.recipe import Recipe
from train.recipes import bayesian_segnet, deeplabv3plus, fast_scnn, fastfcn, panoptic_deeplab, unet
from train.recipes.file import read_recipe

__all__ = ["RECIPES", "find_recipe", "read_recipe"]

_MODELS: dict[str, dict[str, dict[str, Recipe]]] = {
    "fast_scnn": fast_scnn.RECIPES,
    "fastfcn": fastfcn.RECIPES,
    "unet": unet.RECIPES,
    "bayesian_segnet": bayesian_segnet.RECIPES,
    "deeplabv3plus": deeplabv3plus.RECIPES,
    "panoptic_deeplab": panoptic_deeplab.RECIPES,
}

RECIPES: dict[tuple[str, str], dict[str, Recipe]] = {
    (model, dataset): named for model, datasets in _MODELS.items() for dataset, named in datasets.items()
}
"""Model and dataset -> name of a recipe -> recipe; the first is what a training takes by itself."""


def find_recipe(model: str, dataset: str, name: str | None = None) -> Recipe:
    """Return a recipe of a model on a dataset.

    Args:
        model: key in train.models.MODELS.
        dataset: key in edge.datasets.LAYOUTS.
        name: name of a recipe of the table; or path of a JSON file of fields, of a run's record, or of a run's folder;
            None for the recipe that stands first. What a file of fields leaves out is as in that recipe.

    Raises:
        InputError: there is no such recipe, and the message lists those that there are; or a field of the file is
            unknown, of another type or out of range, or an option of the architecture is.
        ContractError: the file is no JSON object.
    """
    table = RECIPES.get((model, dataset), {})
    if name in table:
        return table[name]
    if name is not None and _is_path(name):
        recipe = read_recipe(Path(name), next(iter(table.values()), None))
        try:
            resolve_options(model, recipe.options)
        except InputError as error:
            raise InputError(f"recipe {name}: options: {error}") from None
        return recipe
    if not table:
        known = ", ".join(f"{known_model} on {known_dataset}" for known_model, known_dataset in RECIPES)
        raise InputError(f"no recipe for {model} on {dataset}, expected one of: {known}. Next: --recipe FILE.json")
    if name is not None:
        raise InputError(
            f"{model} on {dataset} has no recipe '{name}', expected one of: {', '.join(table)}, or a JSON file"
        )
    return next(iter(table.values()))


def _is_path(name: str) -> bool:
    """Return whether a name means a file or folder; one that is missing is an error of the reading."""
    return name.endswith(".json") or "/" in name or Path(name).exists()
