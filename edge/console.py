"""What all commands share: types of options, one line for an error, an exit code, progress with the time left."""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import json
import math
import os
import re
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, NoReturn, TextIO

from edge import __version__
from edge.errors import SegEdgeError, SizeError, StorageError
from edge.interruption import (
    ending_signals_interrupt,
    interrupted_exit_code,
    interruption_behind,
    interruption_name,
    kept_results,
)

EXIT_BAD_INPUT = 2


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
            _KeptStdout(sys.stdout) if json_alone else sys.stdout
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
        print(f"error: {_one_line(str(error))}", file=sys.stderr)
        return error.exit_code
    if not isinstance(error, OSError) or error.errno not in _STORAGE_ERRNOS:
        raise error
    _let_go_of_stdout()
    print(f"error: {_one_line(str(storage_error(error)))}", file=sys.stderr)
    return EXIT_BAD_INPUT


def _end_interrupted(error: KeyboardInterrupt) -> int:
    kept = "; ".join(kept_results(error)) or "nothing half-written was kept"
    if sys.unraisablehook is sys.__unraisablehook__:
        # What a library was importing is half there, and its finalisers print tracebacks while Python exits.
        sys.unraisablehook = lambda _: None
    with contextlib.suppress(OSError):  # after SIGHUP there may be no terminal
        print(f"\n{interruption_name(error)}: {_one_line(kept)}", file=sys.stderr, flush=True)
    return interrupted_exit_code(error)


class _KeptStdout(io.TextIOBase):
    """Stands in the place of stdout while it is kept for a result, and writes to stderr."""

    encoding = "utf-8"

    def __init__(self, kept: TextIO) -> None:
        self.kept = kept

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
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


_STORAGE_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


def storage_error(error: OSError, path: str | os.PathLike | None = None) -> StorageError:
    """Return the StorageError that says what could not be written, and why."""
    where = os.fspath(path) if path is not None else (error.filename or "the output")
    if error.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR):
        in_the_way = _in_the_way(where)
        if in_the_way:
            return StorageError(f"cannot write {where}: {in_the_way}. Next: name another")
    hint = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "choose a folder you may write to"
    if error.errno == errno.ENAMETOOLONG:
        where, hint = f"{where[:60]}...", "name a shorter one"
    return StorageError(f"cannot write {where}: {error.strerror or error}. Next: {hint} and run the command again")


def _in_the_way(where: str) -> str:
    """Return what stands in the way of a file or folder that is to be written; "" where nothing does."""
    for path in (Path(where), *Path(where).parents):
        if path.is_file():
            return f"{path} is a file, expected a folder"
    return f"{where} is a folder, expected the name of a file" if Path(where).is_dir() else ""


def _let_go_of_stdout() -> None:
    # Python writes what is left when it exits, and would fail on it once more.
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _one_line(text: str) -> str:
    return " ".join(text.split())


def print_warning(text: str) -> None:
    """Print a line on stderr that says what may spoil the result; the command goes on."""
    print(f"warning: {_one_line(text)}", file=sys.stderr, flush=True)


def print_note(text: str) -> None:
    """Print a line on stderr that says what the user may not expect; nothing is wrong."""
    print(f"note: {_one_line(text)}", file=sys.stderr, flush=True)


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
        self.exit(EXIT_BAD_INPUT, f"error: {_one_line(message)}. Next: {self.prog} --help\n")


MOST_PIXELS = 2**28
"""Most pixels of a frame; a float tensor of one channel at this size has 1 GiB."""


def add_version_argument(parser: argparse.ArgumentParser) -> None:
    """Add --version, which prints the command's name and the version of segedge."""
    parser.add_argument(
        "--version", action="version", version=f"%(prog)s {__version__}", help="print the version of segedge and exit"
    )


def parse_size(text: str) -> tuple[int, int]:
    """Read a size written `HEIGHTxWIDTH`.

    Returns:
        (height, width) in pixels.

    Raises:
        SizeError: the text has another form, a side is zero, or the frame has more than MOST_PIXELS.
    """
    match = re.fullmatch(r"([0-9]{1,5})[xX]([0-9]{1,5})", text.strip())
    if not match or int(match[1]) == 0 or int(match[2]) == 0:
        raise SizeError(f"size is '{text}', expected HEIGHTxWIDTH in pixels, for example 512x1024")
    if int(match[1]) * int(match[2]) > MOST_PIXELS:
        raise SizeError(f"size is '{text}', expected at most {MOST_PIXELS} pixels in all, such as 16384x16384")
    return int(match[1]), int(match[2])


def size_argument(text: str) -> tuple[int, int]:
    """Read a size `HEIGHTxWIDTH` for argparse; a wrong one raises the error type that argparse expects."""
    try:
        return parse_size(text)
    except SizeError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


LARGEST_COUNT = 1_000_000_000
"""Largest whole number that an option takes: more frames, epochs or seconds than any machine will see."""


class WholeNumber:
    """Type of an option that takes a whole number; argparse calls it with the text.

    Args:
        least: Smallest number.
        most: Largest number.
        unit: Unit behind the default in a help text, such as "MiB"; "" for a count.
    """

    def __init__(self, least: int, most: int = LARGEST_COUNT, unit: str = "") -> None:
        self.least, self.most, self.unit = least, most, unit

    def __call__(self, text: str) -> int:
        """Return the number.

        Raises:
            argparse.ArgumentTypeError: The text is no whole number, or the number is out of range.
        """
        number = None
        if re.fullmatch(r"[+-]?[0-9]+", text.strip()):
            number = int(text) if len(text) < 19 else (-math.inf if "-" in text else math.inf)
        if number is None or not self.least <= number <= self.most:
            is_open = self.most == LARGEST_COUNT and (number is None or number < self.least)
            limits = f"of at least {self.least}" if is_open else f"from {self.least} to {self.most}"
            raise argparse.ArgumentTypeError(f"got '{text}', expected a whole number {limits}")
        return number


class RealNumber:
    """Type of an option that takes a finite number; argparse calls it with the text.

    Args:
        least: Smallest number.
        most: Largest number.
        unit: Unit of the number, behind the default in a help text; "share" for one from 0 to 1, "" for a plain factor.
        above: Whether the number has to be more than `least`, such as a step that may not be 0.
    """

    def __init__(self, least: float, most: float, unit: str, above: bool = False) -> None:
        self.least, self.most, self.unit, self.above = least, most, unit, above

    def __call__(self, text: str) -> float:
        """Return the number.

        Raises:
            argparse.ArgumentTypeError: The text is no number, is NaN, or the number is out of range.
        """
        try:
            value = float(text) if "_" not in text else math.nan
        except ValueError:
            value = math.nan
        if not self.least <= value <= self.most or (self.above and value == self.least):
            least = f"over {self.least:g} and at most" if self.above else f"from {self.least:g} to"
            most = f"{self.most:.0f}" if self.most == int(self.most) else f"{self.most:g}"
            unit = f" ({self.unit})" if self.unit else ""
            raise argparse.ArgumentTypeError(f"got '{text}', expected a number {least} {most}{unit}")
        return value


positive_int = WholeNumber(1)
non_negative_int = WholeNumber(0)
seed_argument = WholeNumber(0, 999_999_999)
share_argument = RealNumber(0.0, 1.0, "share")
positive_seconds = RealNumber(1e-3, 1e9, "s")
seconds_argument = RealNumber(0.0, 1e9, "s")


class Progress:
    """A line on stderr that says how far a command is: the work done, the time taken, and the time left.

    On a terminal the line is redrawn at most ten times a second. Elsewhere a log stays short: a line is printed at
    every tenth of the work. Where the amount of work is unknown, a line is printed after 10 s, and then each time that
    twice the time of the last line has passed. Several threads may use one object.

    Args:
        what: Name of the work, with which the line begins.
        total: Number of steps; None where it is unknown.
        unit: Name of a step in the singular, such as "image".
        stream: Stream that the line is written to; None for stderr.
        log_every_s: Time in s between two lines of a log; None to print one at every tenth of the work.

    Example:
        >>> with Progress("collect ranges", total=len(paths), unit="image") as progress:
        ...     for path in paths:
        ...         progress.step()
    """

    def __init__(
        self,
        what: str,
        total: int | None = None,
        unit: str = "step",
        stream: TextIO | None = None,
        log_every_s: float | None = None,
    ) -> None:
        self._what, self._total, self._unit, self._log_every_s = what, total, unit, log_every_s
        self._stream = stream if stream is not None else sys.stderr
        self._is_terminal = self._stream.isatty()
        self._lock = threading.Lock()
        self._done = 0
        self._start_ns = time.perf_counter_ns()
        self._last_draw_ns = 0
        self._next_tenth = 1
        self._next_line_s = 10.0 if log_every_s is None else log_every_s

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        self.end()

    @property
    def gone_s(self) -> float:
        """The time since the work began, in s."""
        return (time.perf_counter_ns() - self._start_ns) / 1e9

    def step(self, note: str = "") -> None:
        """Count one finished step and draw the line, with `note` behind the count."""
        with self._lock:
            self._done += 1
            now_ns = time.perf_counter_ns()
            gone_s = (now_ns - self._start_ns) / 1e9
            gone = f"{format_seconds(gone_s)} gone"
            if self._total is None:
                self._draw(now_ns, f"{self._done} {self._unit}s ({gone})", note)
                return
            left_s = gone_s / self._done * max(self._total - self._done, 0)
            count = f"{self._done}/{self._total} {self._unit} ({gone}, {format_seconds(left_s)} left)"
            tenth = self._done * 10 // max(self._total, 1)
            self._draw(now_ns, count, note, tenth, is_last=self._done >= self._total)

    def show(self, share: float | None = None, note: str = "", left_s: float | None = None) -> None:
        """Draw the line for work whose steps cannot be counted.

        Args:
            share: Share of the work that is done, 0 to 1; it may fall where a new phase begins. None where it is
                unknown.
            note: Text that is shown behind the share.
            left_s: Time left in s; None where it is unknown.
        """
        with self._lock:
            now_ns = time.perf_counter_ns()
            gone = f"{format_seconds((now_ns - self._start_ns) / 1e9)} gone"
            if share is None:
                self._draw(now_ns, gone, note)
            else:
                left = f", {format_seconds(left_s)} left" if left_s is not None else ""
                self._draw(now_ns, f"{100 * share:.0f} % ({gone}{left})", note, int(share * 10))

    def say(self, text: str) -> None:
        """Print a line of text that stays, above the progress line."""
        with self._lock:
            self._clear()
            print(text, file=self._stream, flush=True)

    def clear(self) -> None:
        """Remove the progress line from the terminal, so that another text can be printed in its place."""
        with self._lock:
            self._clear()
            self._stream.flush()

    def end(self, text: str = "") -> None:
        """Finish the progress line; a last text, where there is one, is printed in its place."""
        if text:
            self.say(text)
        elif self._is_terminal and self._last_draw_ns:
            self._last_draw_ns = 0
            print(file=self._stream, flush=True)

    def _clear(self) -> None:
        if self._is_terminal and self._last_draw_ns:
            self._stream.write("\r\x1b[K")
        self._last_draw_ns = 0

    def _draw(self, now_ns: int, state: str, note: str, tenth: int | None = None, is_last: bool = False) -> None:
        """Draw or print the line if it is due; `tenth` is None where the amount of work is unknown."""
        line = f"{self._what}: {state}{' ' if note else ''}{note}"
        if self._is_terminal:
            if is_last or now_ns - self._last_draw_ns > 100_000_000:
                self._last_draw_ns = now_ns
                self._stream.write(f"\r{line}\x1b[K")
                self._stream.flush()
        elif self._is_due((now_ns - self._start_ns) / 1e9, tenth) or is_last:
            print(line, file=self._stream, flush=True)

    def _is_due(self, gone_s: float, tenth: int | None) -> bool:
        if tenth is None or self._log_every_s is not None:
            is_due = gone_s >= self._next_line_s
            if is_due:
                self._next_line_s = 2 * gone_s if self._log_every_s is None else gone_s + self._log_every_s
            return is_due
        is_due = tenth >= self._next_tenth
        if tenth != self._next_tenth - 1:
            self._next_tenth = tenth + 1  # also after a new phase, which starts at nothing
        return is_due


def format_seconds(seconds: float) -> str:
    """Write a duration the way a person reads it: `8 s`, `3 min 05 s`, `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
