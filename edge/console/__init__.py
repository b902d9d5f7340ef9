"""What all commands share: types of options, one line for an error, an exit code, progress with the time left.

command.py        runs a command: errors become one line and an exit code
lines.py          result, JSON, warnings, notes and status, each on its stream
option_types.py   types of options: sizes, numbers with limits and units
parser.py         parsers of command lines, and their help texts
progress.py       the line that says how far a command is
storage.py        the error for what cannot be written
"""

from __future__ import annotations

from edge.console.command import (
    EXIT_BAD_INPUT,
    run_command,
)
from edge.console.lines import (
    Say,
    print_json,
    print_note,
    print_note_once,
    print_result,
    print_status,
    print_warning,
    print_warning_once,
    stand_out,
)
from edge.console.option_types import (
    LARGEST_COUNT,
    MOST_PIXELS,
    RealNumber,
    WholeNumber,
    non_negative_int,
    parse_size,
    positive_int,
    positive_seconds,
    seconds_argument,
    seed_argument,
    share_argument,
    size_argument,
)
from edge.console.parser import (
    CommandParser,
    HelpFormatter,
    RawHelpFormatter,
    add_version_argument,
    spell_default,
)
from edge.console.progress import (
    Progress,
    format_seconds,
)
from edge.console.storage import (
    storage_error,
)

__all__ = [
    "EXIT_BAD_INPUT",
    "LARGEST_COUNT",
    "MOST_PIXELS",
    "CommandParser",
    "HelpFormatter",
    "Progress",
    "RawHelpFormatter",
    "RealNumber",
    "Say",
    "WholeNumber",
    "add_version_argument",
    "format_seconds",
    "non_negative_int",
    "parse_size",
    "positive_int",
    "positive_seconds",
    "print_json",
    "print_note",
    "print_note_once",
    "print_result",
    "print_status",
    "print_warning",
    "print_warning_once",
    "run_command",
    "seconds_argument",
    "seed_argument",
    "share_argument",
    "size_argument",
    "spell_default",
    "stand_out",
    "storage_error",
]
