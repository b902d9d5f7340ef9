"""Signals that end a command: SIGTERM and SIGHUP end it as Ctrl-C does, each with an exit code of its own.

A service manager, `docker stop` and `timeout` send SIGTERM, and a terminal that closes sends SIGHUP. Python ends at
once at both, so a recording would not be finished and no file removed. Here they raise Terminated, a KeyboardInterrupt:
whatever cleans up after Ctrl-C also cleans up after them. SIGKILL cannot be handled; edge.artifacts removes what it
leaves.

Sources: POSIX.1-2017, chapter 2.8.2 (a shell reports 128 + the signal's number); Python documentation, module signal.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Callable, Iterator

from edge.errors import StorageError

ENDING_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that are handled as Ctrl-C is; Windows has no SIGHUP."""

_REPEAT_S = 1.0
"""Time in s within which further signals are one and the same: `timeout` signals a process and then its whole group."""

_AGAIN_S = 0.25
"""Time in s between two looks at whether Terminated was lost."""

_endings: list[_Ending] = []


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


def interruption_behind(error: BaseException) -> KeyboardInterrupt | None:
    """Return the interruption that an exception stands for; None where it is about something else.

    Code that cannot pass an interruption on raises an exception of its own in its place: an extension module that is
    being imported an ImportError, a wrapper of a library its message of what failed. Both are untrue then, since
    nothing is missing. An error of the disk is kept, since a clean-up after an interruption can find the disk full.
    """
    if isinstance(error, (OSError, StorageError)):
        return None
    pending, seen = [error], set()
    while pending:
        link = pending.pop()
        if isinstance(link, KeyboardInterrupt):
            return link
        seen.add(id(link))
        pending += [link for link in (link.__context__, link.__cause__) if link is not None and id(link) not in seen]
    return None


@contextlib.contextmanager
def ending_signals_interrupt() -> Iterator[None]:
    """Let ENDING_SIGNALS raise Terminated in the main thread while the block runs.

    A signal that is ignored stays so (`nohup` ignores SIGHUP), and one that has a handler keeps it. In another thread
    than the main one, nothing is changed, since Python delivers signals to the main thread alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ending = _Ending()
    with contextlib.ExitStack() as owned:
        for number in ENDING_SIGNALS:
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, ending.handle)
                owned.callback(signal.signal, number, signal.SIG_DFL)
        _endings.append(ending)
        owned.callback(_endings.remove, ending)
        owned.callback(ending.close)
        yield


def settle_interruption() -> None:
    """Say that an interruption was taken note of: the command ends by itself, and Terminated is not raised again."""
    for ending in _endings:
        ending.is_settled = True


class _Ending:
    """Raises Terminated until it is handled.

    An exception that a signal raises can be lost: Python drops those of `__del__` methods, of which TensorFlow runs
    thousands, and C code those of its callbacks. So the signal is sent again until a clean-up handles the exception.
    """

    def __init__(self) -> None:
        self.is_settled = False
        self._raised_s = float("-inf")
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal in the main thread, between two instructions of any code."""
        if self.is_settled or _is_handled():
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._repeat, args=(number,), name="ending signal", daemon=True)
            self._thread.start()
        now_s = time.monotonic()
        if now_s - self._raised_s < _REPEAT_S or _is_in_finaliser(frame):
            return
        self._raised_s = now_s
        raise Terminated(number)

    def close(self) -> None:
        """Send no more signals."""
        self.is_settled = True
        self._closed.set()
        if self._thread is not None:
            self._thread.join()

    def _repeat(self, number: int) -> None:
        while not self._closed.wait(_AGAIN_S):
            os.kill(os.getpid(), number)


def _is_handled() -> bool:
    """Return whether the code that a signal came to cleans up after Terminated."""
    error = sys.exc_info()[1]
    while error is not None:
        if isinstance(error, Terminated):
            return True
        error = error.__context__
    return False


def _is_in_finaliser(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


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
    except BaseException as error:
        interruption = interruption_behind(error)
        text = describe() if interruption is not None else None
        if text:
            interruption.kept = (*kept_results(interruption), text)  # type: ignore[union-attr]
        raise


def kept_results(error: KeyboardInterrupt) -> tuple[str, ...]:
    """Return what the blocks of `kept_when_interrupted` said that are kept, the innermost first."""
    return getattr(error, "kept", ())


class DeferredInterruption:
    """A request to end that is kept until the work is at a point where it can be kept whole.

    Made by `interruption_deferred`.
    """

    def __init__(self) -> None:
        self._number: int | None = None

    @property
    def is_requested(self) -> bool:
        """Whether Ctrl-C, SIGTERM or SIGHUP came since the block began."""
        return self._number is not None

    def request(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal in the main thread: note the first, and end at once at a second Ctrl-C."""
        if self._number is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._number = number

    def raise_if_requested(self) -> None:
        """Raise what the signal stands for, if one came.

        Raises:
            KeyboardInterrupt: Ctrl-C came.
            Terminated: SIGTERM or SIGHUP came.
        """
        if self._number is None:
            return
        raise KeyboardInterrupt if self._number == signal.SIGINT else Terminated(self._number)


@contextlib.contextmanager
def interruption_deferred() -> Iterator[DeferredInterruption]:
    """Let no signal interrupt the block: the block looks for a request itself, where its work is whole.

    A signal that is ignored stays so. A second Ctrl-C ends the block at once. In another thread than the main one
    nothing is changed, and no request is ever seen.

    Example:
        >>> with interruption_deferred() as interruption:
        ...     for step in range(steps):
        ...         train_step(step)
        ...         if interruption.is_requested:
        ...             write_state()
        ...             interruption.raise_if_requested()
    """
    deferred = DeferredInterruption()
    if threading.current_thread() is not threading.main_thread():
        yield deferred
        return
    with contextlib.ExitStack() as restored:
        for number in (signal.SIGINT, *ENDING_SIGNALS):
            before = signal.getsignal(number)
            if before is not None and before != signal.SIG_IGN:
                signal.signal(number, deferred.request)
                restored.callback(signal.signal, number, before)
        yield deferred
