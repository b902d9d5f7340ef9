"""Signals that end a command: SIGTERM and SIGHUP end it as Ctrl-C does, each with an exit code of its own.

A service manager, `docker stop` and `timeout` send SIGTERM, and a terminal that closes sends SIGHUP. Python ends at
once at both, so a recording would not be finished and no file removed. Here they raise Terminated, a KeyboardInterrupt:
whatever cleans up after Ctrl-C also cleans up after them. SIGKILL cannot be handled; edge.artifacts removes what it
leaves.

Sources: POSIX.1-2017, chapter 2.8.2 (a shell reports 128 + the signal's number); Python documentation, module signal.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from typing import Any, Callable, Iterator

ENDING_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that are handled as Ctrl-C is; Windows has no SIGHUP."""

_REPEAT_S = 1.0
"""Time in s within which further signals are one and the same: `timeout` signals a process and then its whole group."""


class Terminated(KeyboardInterrupt):
    """A signal other than Ctrl-C asked the command to end.

    Args:
        number: Number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def interrupted_exit_code(error: KeyboardInterrupt) -> int:
    """Return the exit code of a command that was interrupted: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
    return 128 + (error.number if isinstance(error, Terminated) else signal.SIGINT)


def interruption_name(error: KeyboardInterrupt) -> str:
    """Return the words of a message for an interruption: "interrupted", or "interrupted by SIGTERM"."""
    return f"interrupted by {signal.Signals(error.number).name}" if isinstance(error, Terminated) else "interrupted"


@contextlib.contextmanager
def ending_signals_interrupt() -> Iterator[None]:
    """Let ENDING_SIGNALS raise Terminated in the main thread while the block runs.

    A signal that is ignored stays so (`nohup` ignores SIGHUP), and one that has a handler keeps it. In another thread
    than the main one, nothing is changed, since Python delivers signals to the main thread alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    last_s = [float("-inf")]

    def interrupt(number: int, _frame: Any) -> None:
        now_s = time.monotonic()
        is_repeated, last_s[0] = now_s - last_s[0] < _REPEAT_S, now_s
        if not is_repeated:
            raise Terminated(number)

    with contextlib.ExitStack() as owned:
        for number in ENDING_SIGNALS:
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, interrupt)
                owned.callback(signal.signal, number, signal.SIG_DFL)
        yield


@contextlib.contextmanager
def kept_when_interrupted(describe: Callable[[], str | None]) -> Iterator[None]:
    """Let the message of an interrupted command say what is kept of the work in the block.

    Args:
        describe: Function that is called after the clean-up of what is inside the block; it returns what is kept, such
            as "40 of 100 pictures are kept in out", or None where that is nothing.

    Example:
        >>> with kept_when_interrupted(lambda: f"{written} pictures are kept in {folder}"):
        ...     write_pictures()
    """
    try:
        yield
    except KeyboardInterrupt as error:
        text = describe()
        if text:
            error.kept = (*kept_results(error), text)  # type: ignore[attr-defined]
        raise


def kept_results(error: KeyboardInterrupt) -> tuple[str, ...]:
    """Return what the blocks of `kept_when_interrupted` said that are kept, the innermost first."""
    return getattr(error, "kept", ())
