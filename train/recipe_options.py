"""Options of a training's command that change its recipe."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any, Iterable

from edge.console import size_argument
from edge.errors import InputError
from edge.json_text import JsonTextError, parse_json
from train.recipe import CHOICES, LIMITS, Recipe

_TYPES = {each.name: str(each.type) for each in dataclasses.fields(Recipe)}

_NUMBERS = {
    "epochs": ("N", "passes over the training split"),
    "batch_size": ("N", "crops in a step, over all devices"),
    "learning_rate": ("RATE", "per step, after the warm-up; the schedule lets it fall"),
    "warmup_steps": ("N", "steps in which the learning rate rises"),
    "weight_decay": ("FACTOR", "L2 regularisation, or AdamW's decay"),
    "hardest_share": ("SHARE", "share of the labelled pixels, the hardest, that the loss counts; 1 for all"),
    "accumulation": ("N", "parts that a batch is computed in, to save memory"),
    "ema": ("DECAY", "per-step decay of the moving average of the weights, which is then kept; 0 for none"),
    "validate_every": ("N", "epochs between two validations"),
    "patience": ("N", "validations without a better score after which the training ends"),
}
"""Field of a recipe that is a number and has an option of its own -> its metavar and help."""

_WORDS = {
    "optimizer": "rule of a step",
    "schedule": "how the learning rate falls",
    "class_weighting": "weights of the classes in the loss",
    "precision": "numbers that the network computes in",
    "batch_norm": "statistics over each device's crops, or over all",
}
"""Field of a recipe that is one of several words and has an option of its own -> its help."""


def add_recipe_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --recipe and the options that change single fields of it, in a group of their own, to a parser."""
    group = parser.add_argument_group("recipe", "settings of the training (docs/training.md has all of them)")
    group.add_argument(
        "--recipe",
        metavar="R",
        help="name of a recipe of train/recipes/, a JSON file of fields, or the folder of a run to train as it did "
        "(default: the first recipe of the model on the dataset)",
    )
    for name, (metavar, text) in _NUMBERS.items():
        group.add_argument(_option(name), type=LIMITS[name], metavar=metavar, help=f"{text} (default: the recipe's)")
    for name, text in _WORDS.items():
        group.add_argument(_option(name), choices=CHOICES[name], help=f"{text} (default: the recipe's)")
    group.add_argument(
        "--size", type=size_argument, metavar="HxW", help="pixels of validation frames (default: the recipe's)"
    )
    group.add_argument(
        "--crop", type=size_argument, metavar="HxW", help="pixels of training crops (default: --size, or the recipe's)"
    )
    group.add_argument(
        "--xla",
        action="store_true",
        default=None,
        help="compile the step by XLA (default: as the recipe says; --set xla=false to switch it off)",
    )
    group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="any field of the recipe, such as clip_norm=5 or patience=none; may be given several times",
    )


def changed_recipe(recipe: Recipe, arguments: argparse.Namespace) -> Recipe:
    """Return a recipe with what the options of a command change, checked as a whole.

    Args:
        recipe: recipe that was found by --recipe.
        arguments: what the parser of `add_recipe_arguments` read.

    Raises:
        InputError: --set names an unknown field, or one that another option sets too; a value has another type or is
            out of range; or the fields contradict each other.
    """
    # Not `changed`, for which None means no change: --set patience=none means None.
    return dataclasses.replace(recipe, **asked_fields(arguments)).check("recipe")


def asked_fields(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return field -> value of what the options of a command ask for, and of nothing else.

    Args:
        arguments: what the parser of `add_recipe_arguments` read.

    Raises:
        InputError: --set names an unknown field, or one that another option sets too, or a value is none of its
            field's.
    """
    fields = {name: getattr(arguments, name) for name in (*_NUMBERS, *_WORDS, "xla")}
    # Crops follow --size unless --crop says otherwise: a recipe's own crop may not fit another size.
    crop = arguments.crop or arguments.size
    fields.update(zip(("height", "width"), arguments.size or ()))
    fields.update(zip(("crop_height", "crop_width"), crop or ()))
    fields = {name: value for name, value in fields.items() if value is not None}
    for name, value in parse_fields(arguments.set).items():
        if name in fields:
            raise InputError(f"--set {name} is given, and so is {_option_of(name, arguments)}, expected one of them")
        fields[name] = value
    return fields


def parse_fields(texts: Iterable[str]) -> dict[str, Any]:
    """Return field -> value of the option `--set FIELD=VALUE`, which may be given several times.

    Numbers are checked against their limits. An object is written as JSON, none as "none".

    Raises:
        InputError: a text has no equals sign, a field is unknown or given twice, or a value is none of its field's.
    """
    fields: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise InputError(f"--set is '{text}', expected FIELD=VALUE, such as clip_norm=5")
        if name not in _TYPES:
            raise InputError(f"--set: unknown field '{name}', expected: {', '.join(_TYPES)}")
        if name in fields:
            raise InputError(f"--set {name} is given twice")
        fields[name] = _parse_value(name, value)
    return fields


def _parse_value(name: str, text: str) -> Any:
    kind = _TYPES[name]
    if kind.endswith(" | None"):
        if text.lower() == "none":
            return None
        kind = kind[: -len(" | None")]
    if kind in ("int", "float"):
        try:
            return LIMITS[name](text)
        except argparse.ArgumentTypeError as error:
            raise InputError(f"--set {name}: {error}") from None
    if kind == "bool":
        # What is neither is refused by the check of the recipe, which names the field.
        return {"true": True, "false": False}.get(text.lower(), text)
    if kind == "str":
        return text
    try:
        return parse_json(text.encode("utf-8"))
    except JsonTextError as problem:
        raise InputError(f"--set {name} is '{text}', expected an object as JSON: {problem}") from None


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _option_of(name: str, arguments: argparse.Namespace) -> str:
    """Return the option that sets a field; a crop follows --size where --crop is not given."""
    if name in ("height", "width"):
        return "--size"
    if name in ("crop_height", "crop_width"):
        return "--crop" if arguments.crop else "--size"
    return _option(name)
