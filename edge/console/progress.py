"""Progress of a command on stderr, with the time left."""

from __future__ import annotations

import sys
import threading
import time
from typing import TextIO


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
