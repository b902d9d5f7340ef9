"""What goes wrong in a command becomes one line on stderr and an exit code."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Callable

from edge.console.lines import KeptStdout, one_line
from edge.console.storage import STORAGE_ERRNOS, storage_error
from edge.errors import SegEdgeError
from edge.interruption import (
    ending_signals_interrupt,
    interrupted_exit_code,
    interruption_behind,
    interruption_name,
    kept_results,
)

EXIT_BAD_INPUT = 2
"""Exit code for what was given and cannot be used, or for something that is missing."""


def run_command(command: Callable[[], int], json_alone: bool = False) -> int:
    """Run a command and turn what goes wrong into one line on stderr and an exit code.

    Args:
        command: Function that does the work and returns an exit code.
        json_alone: True where a program reads stdout (--json): only `print_json` and `print_result` write there then,
            and whatever else is printed, by a library too, goes to stderr.

    Returns:
        The command's own code; 2 for an error of the SegEdgeError tree and for a full or read-only
        disk; 130 for Ctrl-C, 143 for SIGTERM and 129 for SIGHUP, which end a command as Ctrl-C does. Any other
        exception is a defect of the project and keeps its traceback.
    """
    if getattr(sys.stdout, "errors", None) == "strict" and hasattr(sys.stdout, "reconfigure"):
        # A terminal in another encoding than UTF-8 shows the names of classes that it lacks as \xdf.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with ending_signals_interrupt(), contextlib.redirect_stdout(
            KeptStdout(sys.stdout) if json_alone else sys.stdout
        ):
            code = command()
        sys.stdout.flush()  # a full disk or a closed pipe shows here, not while Python exits
        return code
    except BrokenPipeError:
        # The reader of stdout left (`edge-bench run ... | head`); nobody is there to be told.
        _let_go_of_stdout()
        return 0
    except (Exception, KeyboardInterrupt) as error:
        interruption = interruption_behind(error)
        return _end_interrupted(interruption) if interruption is not None else _end_failed(error)


def _end_failed(error: BaseException) -> int:
    """Say what went wrong and return the exit code; raise an exception again that is a defect of the project."""
    if isinstance(error, SegEdgeError):
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return error.exit_code
    if not isinstance(error, OSError) or error.errno not in STORAGE_ERRNOS:
        raise error
    _let_go_of_stdout()
    print(f"error: {one_line(str(storage_error(error)))}", file=sys.stderr)
    return EXIT_BAD_INPUT


def _end_interrupted(error: KeyboardInterrupt) -> int:
    kept = "; ".join(kept_results(error)) or "nothing half-written was kept"
    if sys.unraisablehook is sys.__unraisablehook__:
        # What a library was importing is half there, and its finalisers print tracebacks while Python exits.
        sys.unraisablehook = lambda _: None
    with contextlib.suppress(OSError):  # after SIGHUP there may be no terminal
        print(f"\n{interruption_name(error)}: {one_line(kept)}", file=sys.stderr, flush=True)
    return interrupted_exit_code(error)


def _let_go_of_stdout() -> None:
    # Python writes what is left when it exits, and would fail on it once more.
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
