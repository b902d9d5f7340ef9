"""docs/training.md has every recipe, and every field with its limits, as the code has them."""

from __future__ import annotations

import dataclasses
import importlib
import re
import sys
from pathlib import Path

import pytest

from edge.console import CommandParser
from edge.record_schema import field_descriptions
from train.recipe import Recipe
from train.recipe_options import add_recipe_arguments

DOCS = Path(__file__).resolve().parents[3] / "docs"


def _load_script():
    sys.path.insert(0, str(DOCS))
    try:
        return importlib.import_module("write_recipes")
    finally:
        sys.path.remove(str(DOCS))


SCRIPT = _load_script()
PAGE = SCRIPT.PAGE.read_text(encoding="utf-8")


def test_tables_are_current():
    assert SCRIPT.page() == PAGE, "Next: python docs/write_recipes.py"


@pytest.mark.parametrize("name", sorted(SCRIPT.TABLES))
def test_page_has_each_table_once(name):
    assert PAGE.count(f"<!-- {name} -->\n|") == 1 and PAGE.count(f"|\n<!-- /{name} -->") == 1


def test_every_field_is_described():
    assert list(field_descriptions(Recipe)) == [each.name for each in dataclasses.fields(Recipe)]


def test_every_option_of_a_recipe_stands_on_the_page():
    parser = CommandParser(prog="train")
    add_recipe_arguments(parser)
    options = {action.option_strings[-1] for action in parser._actions} - {"--help"}
    assert sorted(options - set(re.findall(r"--[a-z-]+", PAGE))) == []
