"""Messages of errors, warnings and notes are written in one style, as edge/errors.py describes it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from edge import errors

REPOSITORY = Path(__file__).resolve().parents[1]
ROOMS = ("edge", "calibration", "export", "train", "benchmarks")

SPEAKERS = {
    *errors.__all__,
    "ArgumentTypeError",
    "StepError",
    "print_warning",
    "print_warning_once",
    "print_note",
    "print_note_once",
}
"""Names of what takes a message as its first argument."""

NAMES = {"Keras"}
"""First words that are names, and look like a sentence's."""

RULES = {
    "is more than one line": re.compile(r"\n"),
    "ends with a period": re.compile(r"\.$"),
    "has a prefix that the command writes": re.compile(r"^(error|warning|note)\b", re.IGNORECASE),
    "begins with a capital letter": re.compile(rf"^(?!({'|'.join(NAMES)})\b)[A-Z][a-z]+\b"),
    "has a next step without '. Next: ' before it": re.compile(r"(?<!\. )(?<!^)\bNext\b|\bNext\b(?!: )"),
    "has an empty next step": re.compile(r"Next: *$"),
    "has two next steps": re.compile(r"Next: .*Next: "),
    "says what is expected in another word": re.compile(r", (wanted|wants|but expected|should|must)\b|\bplease\b"),
}


def faults(message: str) -> list[str]:
    return [fault for fault, pattern in RULES.items() if pattern.search(message)]


def literal(node: ast.expr) -> str:
    """Return a string as it is written, with "{}" in the place of what is known at run time alone."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(literal(value) if isinstance(value, ast.Constant) else "{}" for value in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return literal(node.left) + literal(node.right)
    return "{}"


def messages() -> list[tuple[str, str]]:
    """Return pairs of a place and the message that is written there."""
    found = []
    for path in sorted(path for room in ROOMS for path in (REPOSITORY / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args:
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if name in SPEAKERS:
                    found.append((f"{path.relative_to(REPOSITORY)}:{node.lineno}", literal(node.args[0])))
    return found


def test_messages_are_written_in_one_style():
    found = messages()
    assert len(found) > 400
    wrong = [f"{place} {', '.join(faults(text))}: {text}" for place, text in found if faults(text)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ("folder is\nempty", "is more than one line"),
        ("folder is empty.", "ends with a period"),
        ("folder is empty. Next: fill it.", "ends with a period"),
        ("Error: folder is empty", "has a prefix that the command writes"),
        ("The folder is empty", "begins with a capital letter"),
        ("folder is empty; Next: fill it", "has a next step without '. Next: ' before it"),
        ("folder is empty. Next, fill it", "has a next step without '. Next: ' before it"),
        ("folder is empty. Next:", "has an empty next step"),
        ("folder is empty. Next: fill it. Next: run again", "has two next steps"),
        ("folder has 0 images, wanted 2", "says what is expected in another word"),
    ],
)
def test_message_of_another_style_is_found(message, fault):
    assert fault in faults(message)


@pytest.mark.parametrize(
    "message",
    [
        "folder {} is empty, expected pictures. Next: --data-dir FOLDER",
        "Keras has no such layer",
        "TensorRT {} cannot build here: {}",
        "CUDA kernels need a compiler. {}",
        "got '{}', expected a whole number",
    ],
)
def test_message_of_this_style_is_left_alone(message):
    assert faults(message) == []


def test_progress_and_messages_are_written_by_the_console_alone():
    # A carriage return redraws a line, and that is done in one place.
    drawn = [
        str(path.relative_to(REPOSITORY))
        for room in ROOMS
        for path in (REPOSITORY / room).rglob("*.py")
        if re.search(r"stderr\.write\(|\\x1b\[K", path.read_text(encoding="utf-8"))
    ]
    assert sorted(drawn) == ["edge/console/lines.py", "edge/console/progress.py"]
