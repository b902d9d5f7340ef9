"""What holds for docstrings: a reader understands a summary or a field without what stands around it."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Iterator

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

ROOMS = ("benchmarks", "calibration", "edge", "export", "train")
"""Folders whose docstrings hold; a folder is added here once its own do."""

SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Raises")

FRAGMENT = re.compile(
    r"(about|as|at|behind|beside|by|for|from|in|of|on|that|to|under|whose|with|within)\b", re.IGNORECASE
)
"""Words with which a field's text cannot begin: what it belongs to would stand in the field's name or above it."""

MIN_SUMMARY_WORDS = 3


def files() -> list[str]:
    found = sorted(path for room in ROOMS for path in (REPOSITORY / room).rglob("*.py"))
    return [path.relative_to(REPOSITORY).as_posix() for path in found]


def docstrings(source: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the docstring of a module and of everything in it that has one."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            text = ast.get_docstring(node)
            if text is not None:
                yield getattr(node, "name", "the module"), text


def entries(docstring: str) -> Iterator[tuple[str, str]]:
    """Yield the section and the first line of each entry of a docstring's sections, without the entry's name."""
    section = None
    for line in docstring.splitlines():
        if re.match(r"\S", line):
            section = line[:-1] if line[:-1] in SECTIONS and line.endswith(":") else None
            is_first = True
        elif section is not None and re.match(r" {4}\S", line):
            # What is returned has no name: its first line is the entry.
            if section not in ("Returns", "Yields"):
                yield section, re.sub(r"^\*{0,2}[\w.]+:\s*", "", line.strip())
            elif is_first:
                yield section, line.strip()
            is_first = False


def faults(source: str) -> list[str]:
    """Return what is wrong with the docstrings of a source text, one line each."""
    found = []
    for name, text in docstrings(source):
        summary = text.splitlines()[0]
        if len(summary.split()) < MIN_SUMMARY_WORDS:
            found.append(f"{name}: the summary '{summary}' has fewer than {MIN_SUMMARY_WORDS} words")
        if not summary.endswith("."):
            found.append(f"{name}: the summary '{summary}' does not end with a period")
        found += [
            f"{name}: an entry of {section} begins with '{entry}'; say what it is, as in 'Name of the GPU.'"
            for section, entry in entries(text)
            if FRAGMENT.match(entry)
        ]
    return found


@pytest.mark.parametrize("name", files())
def test_docstrings_are_understood_without_their_neighbours(name):
    found = faults((REPOSITORY / name).read_text(encoding="utf-8"))
    assert not found, "\n".join(found)


def test_folders_of_this_test_are_there():
    assert all((REPOSITORY / room).is_dir() for room in ROOMS)


GOOD = '''"""A module with a summary of its own."""
def area(width, *sides):
    """Return the area of a field.

    It goes on: to here, for example.

    Args:
        width: Width of the field in metres,
            of which there is one.
        *sides: Other sides.

    Returns:
        The area,
        in square metres.

    Source: a book.
    """
'''


def test_good_docstrings_have_no_fault():
    assert faults(GOOD) == []


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("width: Width of the field", "width: of the field", "an entry of Args begins with 'of the field"),
        ("*sides: Other sides", "*sides: For the others", "an entry of Args begins with 'For the others"),
        ("        The area,", "        In square metres,", "an entry of Returns begins with 'In square metres"),
        ("Return the area of a field.", "Return the area of a field", "does not end with a period"),
        ("Return the area of a field.", "Its area.", "has fewer than 3 words"),
        ("A module with a summary of its own.", "The module.", "the module: the summary"),
    ],
)
def test_fault_is_found_and_named(right, wrong, said):
    assert right in GOOD
    (fault,) = faults(GOOD.replace(right, wrong))
    assert said in fault
