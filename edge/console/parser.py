"""Parsers of command lines: help texts with defaults and units, one line for an error."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NoReturn

from edge import __version__
from edge.console.command import EXIT_BAD_INPUT
from edge.console.lines import one_line
from edge.console.option_types import size_argument


class HelpFormatter(argparse.HelpFormatter):
    """A formatter of help texts that shows the default of each option once, with its unit, as it would be typed.

    A help text that says "(default" itself is left alone; None, False and an empty list are no default to show.
    """

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text, default = action.help or "", action.default
        if action.help in (None, argparse.SUPPRESS) or "default" in text or not action.option_strings:
            return action.help
        if default is None or default is False or default in ([], argparse.SUPPRESS):
            return action.help
        return f"{text} (default: {spell_default(action).replace('%', '%%')})"


def spell_default(action: argparse.Action) -> str:
    """Return the default of an option as a user would type it, with the unit of a number behind it."""
    default = action.default
    if action.type is size_argument and isinstance(default, tuple):
        default = "x".join(map(str, default))
    elif isinstance(default, float):
        default = f"{default:g}"
    unit = getattr(action.type, "unit", "")
    unit = "" if unit == "share" else unit  # the help text says what it is a share of
    return f"{default} {unit}" if unit else str(default)


class RawHelpFormatter(HelpFormatter, argparse.RawDescriptionHelpFormatter):
    """A HelpFormatter that keeps the lines of a description, such as a module's docstring."""


class CommandParser(argparse.ArgumentParser):
    """A parser of command lines that reports an error in one line, as every command of the project does."""

    def __init__(self, *arguments: object, **options: object) -> None:
        options.setdefault("formatter_class", HelpFormatter)
        super().__init__(*arguments, **options)

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        if action.type is Path and "" in arg_strings:
            # Path("") is the working folder, which nobody means who gives a variable that is not set.
            raise argparse.ArgumentError(action, "got '', expected a path: is a variable empty?")
        return super()._get_values(action, arg_strings)

    def error(self, message: str) -> NoReturn:
        """Print in one line what is wrong with the command line, and exit with code 2."""
        self.exit(EXIT_BAD_INPUT, f"error: {one_line(message)}. Next: {self.prog} --help\n")


def add_version_argument(parser: argparse.ArgumentParser) -> None:
    """Add --version, which prints the command's name and the version of segedge."""
    parser.add_argument(
        "--version", action="version", version=f"%(prog)s {__version__}", help="print the version of segedge and exit"
    )
