"""Options of all commands: what a number may be, and what --help says. A new command is found by its build_parser."""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
ROOMS = ("edge", "calibration", "export", "train", "benchmarks")

NO_NUMBERS = ("nan", "inf", "-inf", "1e400", "-1", "-0.5", "9" * 400, "", "x", "1_0", "0x10")
"""Texts that no option takes for a number: there is no negative frame, seed, second or share."""

UNIT_WORDS = {
    "fps": r"\bframes per second\b",
    "ms": r"\bms\b",
    "MHz": r"\bMHz\b",
    "s": r"\bseconds?\b|\d s\b|\bs\)",
    "h": r"\bhours?\b|\bh\b",
    "min": r"\bminutes?\b|\bmin\b|\btime\b",
    "%": r"\bpercent\b|%",
    "points": r"\bpoints\b",
    "share": r"\bshare\b",
    "MiB": r"\bMiB\b",
    "per step": r"\bper step\b",
}
"""Unit of a type -> what a help text says it by."""


def modules_with_parsers() -> list[str]:
    found = []
    for path in sorted(path for room in ROOMS for path in (REPOSITORY / room).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "build_parser" for node in tree.body):
            found.append(".".join(path.relative_to(REPOSITORY).with_suffix("").parts))
    return found


def parsers_of(module: str) -> list[argparse.ArgumentParser]:
    build = importlib.import_module(module).build_parser
    parser = build(**dict.fromkeys(inspect.signature(build).parameters, "command"))
    found = [parser]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found += action.choices.values()
    return found


@pytest.fixture(scope="module")
def options() -> list[tuple[str, argparse.ArgumentParser, argparse.Action]]:
    """Every option and positional argument of every command, as (name for messages, parser, action)."""
    return [
        (f"{module}: {parser.prog} {'/'.join(action.option_strings) or action.dest}", parser, action)
        for module in modules_with_parsers()
        for parser in parsers_of(module)
        for action in parser._actions
        if not isinstance(action, (argparse._HelpAction, argparse._SubParsersAction))
    ]


def help_of(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    if action.help in (None, argparse.SUPPRESS):
        return ""
    formatter = parser._get_formatter()
    return formatter._expand_help(action)


def test_parsers_of_all_commands_are_found():
    found = modules_with_parsers()
    assert {"edge.bench.cli", "edge.stream.cli", "edge.synthetic.__main__", "train.train"} <= set(found)
    assert len(found) >= 20
    made = {
        ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
        for room in ROOMS
        for path in (REPOSITORY / room).rglob("*.py")
        if re.search(r"\b(CommandParser|ArgumentParser)\(\s*[\"')a-z]", path.read_text(encoding="utf-8"))
    }
    assert made - set(found) - {"edge.console.parser"} == set(), "a parser outside of build_parser is not looked at"


def test_every_number_refuses_what_is_none(options):
    taken = []
    for name, _, action in options:
        if action.type is None and isinstance(action.default, (int, float)) and not isinstance(action.default, bool):
            taken.append(f"{name} has a number as its default and no type")
        if action.type in (int, float) and action.choices is None:
            taken.append(f"{name} takes any {action.type.__name__}")
        if action.type is None or action.choices is not None:
            continue
        for text in (*NO_NUMBERS, *(f"person={text}" for text in NO_NUMBERS)):
            try:
                value = action.type(text)
            except (argparse.ArgumentTypeError, ValueError):
                continue
            numbers = value if isinstance(value, (tuple, list)) else [value]
            if any(isinstance(number, (int, float)) for number in numbers):
                taken.append(f"{name} takes '{text}' as {value}")
    assert not taken, "\n".join(taken)


def test_every_number_takes_its_own_default(options):
    for name, _, action in options:
        if isinstance(action.default, (int, float)) and not isinstance(action.default, bool) and action.type:
            assert action.type(str(action.default)) == action.default, name


def test_help_is_there_for_every_option(options):
    lacking = [name for name, _, action in options if not action.help]
    assert not lacking, "\n".join(lacking)


def test_help_shows_a_default_once_and_never_none(options):
    wrong = []
    for name, parser, action in options:
        text = help_of(parser, action)
        if text.count("default") > 1 and "without labels" not in text:
            wrong.append(f"{name} says its default twice: {text}")
        if re.search(r"default:? *(None|False|\[\]|\()", text):
            wrong.append(f"{name} shows a value of Python: {text}")
        has_default = action.default not in (None, False, argparse.SUPPRESS, [])
        if has_default and action.option_strings and text and "default" not in text:
            wrong.append(f"{name} hides its default {action.default}: {text}")
    assert not wrong, "\n".join(wrong)


def test_help_says_the_unit_of_every_number(options):
    lacking = []
    for name, parser, action in options:
        text, unit = help_of(parser, action), getattr(action.type, "unit", "")
        if unit and action.help != argparse.SUPPRESS and not re.search(UNIT_WORDS[unit], text):
            lacking.append(f"{name} ({unit}): {text}")
        if "size_argument" in str(action.type) and not re.search(r"\bpixels\b", text):
            lacking.append(f"{name} (pixels): {text}")
    assert not lacking, "\n".join(lacking)


WITHOUT_JSON = {"benchmarks.gpu_check.__main__"}
"""Commands whose result is a JSON file, which their --output names."""


def test_every_command_has_json(options):
    with_json = {name.split(" ")[0] + prog.prog for name, prog, action in options if "--json" in action.option_strings}
    lacking = [
        f"{module}: {parser.prog}"
        for module in sorted(set(modules_with_parsers()) - WITHOUT_JSON)
        for parser in parsers_of(module)
        if not any(isinstance(action, argparse._SubParsersAction) for action in parser._actions)
        and f"{module}:{parser.prog}" not in with_json
    ]
    assert set(lacking) <= {"edge.bench.cli: edge-bench show"}, "\n".join(lacking)


def test_every_command_keeps_stdout_for_its_json():
    wrong = []
    for module in sorted(set(modules_with_parsers()) - WITHOUT_JSON):
        path = REPOSITORY / f"{module.replace('.', '/')}.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "run_command" and len(node.args) < 2:
                wrong.append(f"{module}:{node.lineno} runs without saying whether stdout is for JSON")
            is_print = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
            if is_print and "json.dumps" in ast.unparse(node) and "indent" in ast.unparse(node):
                wrong.append(f"{module}:{node.lineno} prints JSON, which print_json does")
    assert not wrong, "\n".join(wrong)
