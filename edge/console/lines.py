"""Lines that a command prints: its result on stdout, everything else on stderr."""

from __future__ import annotations

import io
import json
import math
import os
import sys
from typing import Any, Callable, TextIO


class KeptStdout(io.TextIOBase):
    """Stands in the place of stdout while it is kept for a result, and writes to stderr."""

    encoding = "utf-8"

    def __init__(self, kept: TextIO) -> None:
        self.kept = kept

    def write(self, text: str) -> int:
        """Write a text to stderr, and return its length."""
        return sys.stderr.write(text)

    def flush(self) -> None:
        """Flush what stderr still holds."""
        sys.stderr.flush()


def print_result(text: str) -> None:
    """Print the result of a command on stdout, also while stdout is kept for it."""
    print(text, file=getattr(sys.stdout, "kept", sys.stdout), flush=True)


def print_json(value: Any) -> None:
    """Print a result as JSON on stdout: a value of dicts, lists, texts and numbers; NaN and infinity become null."""
    print_result(json.dumps(_without_nan(value), indent=2, allow_nan=False))


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def one_line(text: str) -> str:
    """Return a text without line breaks, and with single spaces alone."""
    return " ".join(text.split())


def print_warning(text: str) -> None:
    """Print a line on stderr that says what may spoil the result; the command goes on."""
    print(f"warning: {one_line(text)}", file=sys.stderr, flush=True)


def print_note(text: str) -> None:
    """Print a line on stderr that says what the user may not expect; nothing is wrong."""
    print(f"note: {one_line(text)}", file=sys.stderr, flush=True)


_said: set[str] = set()


def print_note_once(text: str) -> None:
    """Print a note on stderr, unless this process has printed the same one before."""
    if text not in _said:
        _said.add(text)
        print_note(text)


def print_warning_once(text: str) -> None:
    """Print a warning on stderr, unless this process has printed the same one before."""
    if text not in _said:
        _said.add(text)
        print_warning(text)


Say = Callable[[str], None]
"""Function that takes one line on what a step does, as `print_status` does."""


def print_status(text: str) -> None:
    """Print a line on stderr that says what the command does or has done, in the form "work: state"."""
    print(text, file=sys.stderr, flush=True)


def stand_out(text: str, stream: TextIO | None = None) -> str:
    """Return a line that nobody should miss: bold on a terminal, between asterisks in a log.

    Args:
        text: Line of text.
        stream: Stream that the line is meant for; None for stderr.
    """
    stream = stream if stream is not None else sys.stderr
    is_bold = stream.isatty() and os.environ.get("TERM") != "dumb" and "NO_COLOR" not in os.environ
    return f"\x1b[1m{text}\x1b[0m" if is_bold else f"*** {text} ***"
