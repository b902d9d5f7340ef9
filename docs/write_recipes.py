"""Write the tables of docs/training.md from the recipes: `python docs/write_recipes.py`.

tests/train/recipes/test_page.py holds that they are current.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))  # a checkout need not be installed

from edge.artifacts import write_text  # noqa: E402
from edge.console import LARGEST_COUNT, WholeNumber  # noqa: E402
from edge.record_schema import field_descriptions  # noqa: E402
from train.recipe import CHOICES, LIMITS, Recipe, spell_value  # noqa: E402
from train.recipes import RECIPES  # noqa: E402

PAGE = DOCS / "training.md"


def recipe_table() -> str:
    """Return the table of all recipes, a row each."""
    lines = [
        "| model | dataset | recipe | epochs | batch | frames | crops | optimiser, rate | starts from |",
        "|---|---|---|---:|---:|---|---|---|---|",
    ]
    for (model, dataset), named in RECIPES.items():
        for name, recipe in named.items():
            crop_height, crop_width = recipe.crop_size
            backbone = f", backbone {recipe.learning_rate * recipe.backbone_rate:g}"
            lines.append(
                f"| `{model}` | {dataset} | `{name}` | {recipe.epochs} | {recipe.batch_size} | "
                f"{recipe.height}x{recipe.width} | {crop_height}x{crop_width} | {recipe.optimizer} "
                f"{recipe.learning_rate:g}{backbone if recipe.backbone_rate != 1 else ''} | {recipe.init} |"
            )
    return "\n".join(lines)


def field_table() -> str:
    """Return the table of the fields of a recipe, a row each."""
    described = field_descriptions(Recipe)
    lines = ["| field | default | values | what it is |", "|---|---|---|---|"]
    for each in dataclasses.fields(Recipe):
        text = re.sub(r"^(\w)", lambda first: first[1].upper(), described[each.name]).replace("|", r"\|")
        lines.append(f"| `{each.name}` | {_default(each)} | {_values(each)} | {text} |")
    return "\n".join(lines)


def _default(each: dataclasses.Field) -> str:
    if each.default_factory is not dataclasses.MISSING:
        return "`{}`"
    return "" if each.default is dataclasses.MISSING else f"`{spell_value(each.default)}`".replace("'", "")


def _values(each: dataclasses.Field) -> str:
    kind = str(each.type)
    more = ", `none`" if kind.endswith(" | None") else ""
    if each.name in CHOICES:
        return ", ".join(f"`{choice}`" for choice in CHOICES[each.name])
    if each.name not in LIMITS:
        return "`true`, `false`" if kind == "bool" else "an object"
    limits = LIMITS[each.name]
    if isinstance(limits, WholeNumber):
        open_end = limits.most == LARGEST_COUNT
        return (f"{limits.least} or more" if open_end else f"{limits.least} to {limits.most}") + more
    most = f"{limits.most:.0f}" if limits.most == int(limits.most) else f"{limits.most:g}"
    return f"{'over ' if limits.above else ''}{limits.least:g} to {most}{more}"


TABLES = {"recipes": recipe_table, "fields": field_table}
"""Name of a table, as in the comments of the page around it -> function that returns it."""


def page() -> str:
    """Return the text of docs/training.md with its tables written anew.

    Raises:
        ValueError: the page lacks the comments around a table.
    """
    text = PAGE.read_text(encoding="utf-8")
    for name, table in TABLES.items():
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        first = text.index(start) + len(start)
        text = f"{text[:first]}{table()}\n{text[text.index(end, first) :]}"
    return text


def main() -> None:
    """Write the tables into the page."""
    write_text(PAGE, page())
    print(f"written: {', '.join(TABLES)} in {PAGE.relative_to(DOCS.parent)}")


if __name__ == "__main__":
    main()
