"""Recipes in files: JSON objects whose names are fields of a recipe, and the records of runs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Mapping

from edge.artifacts import read_json
from edge.errors import InputError
from train.recipe import DECOUPLED, ENET, NO_WEIGHTING, Recipe
from train.runs import RUN_RECORD

_FIELDS = {each.name: str(each.type) for each in dataclasses.fields(Recipe)}

_REQUIRED = tuple(
    each.name
    for each in dataclasses.fields(Recipe)
    if each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
)


def read_recipe(path: Path, base: Recipe | None = None) -> Recipe:
    """Read a recipe from a JSON file of fields, or from the record of a run.

    Args:
        path: JSON file of fields, the run.json of a run, or the folder of a run.
        base: recipe that has the fields which a file of fields leaves out; None where it has to name those without a
            default. The record of a run says all, and takes nothing from here.

    Raises:
        InputError: the file is missing, or a field is unknown, lacking, of another type or out of range.
        ContractError: the file is no JSON object.
    """
    path = path / RUN_RECORD if path.is_dir() else path
    where = f"recipe {path}"
    fields = read_json(path, "recipe")
    # The record of a run has its recipe beside much else.
    if isinstance(fields.get("recipe"), dict) and "schema" in fields:
        return recipe_from_fields(_of_today(fields["recipe"]), where)
    return recipe_from_fields(fields, where, base)


def recipe_from_fields(fields: Mapping[str, Any], where: str, base: Recipe | None = None) -> Recipe:
    """Return a recipe with the given fields, whose types and ranges are checked.

    Args:
        fields: name of a field -> value, as JSON has it.
        where: name of the recipe for messages, such as "recipe fine.json".
        base: recipe that has the other fields; None for their defaults.

    Raises:
        InputError: a field is unknown, lacking, of another type or out of range.
    """
    for name in fields:
        if name not in _FIELDS:
            raise InputError(f"{where}: unknown field '{name}', expected: {', '.join(_FIELDS)}")
    missing = [name for name in _REQUIRED if name not in fields] if base is None else []
    if missing:
        raise InputError(f"{where}: lacks {', '.join(missing)}. Next: name them in the file")
    # JSON writes 1 for 1.0; whole numbers stay what they are, so that 2.5 epochs are refused.
    typed = {
        name: float(value)
        if _FIELDS[name].startswith("float") and isinstance(value, int) and not isinstance(value, bool)
        else value
        for name, value in fields.items()
    }
    if base is None:
        return Recipe(**typed).check(where)
    if {"height", "width"} & set(fields) and not {"crop_height", "crop_width"} & set(fields):
        # As with --size: the crop of the other recipe may not fit another size.
        typed.update(crop_height=None, crop_width=None)
    return dataclasses.replace(base, **typed).check(where)


def _of_today(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a run's recipe; a record of before has `balanced`, and decay that was decoupled always."""
    if "balanced" not in fields:
        return dict(fields)
    kept = {name: value for name, value in fields.items() if name != "balanced"}
    return {
        **kept,
        "class_weighting": ENET if fields["balanced"] else NO_WEIGHTING,
        "weight_decay_kind": DECOUPLED,
    }
