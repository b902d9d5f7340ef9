"""Progress of a TensorRT build while it runs, and the way in which Ctrl-C ends it.

A build is one call into C++ that takes minutes. From 10 on TensorRT tells an IProgressMonitor of its phases and steps,
and stops when a step is answered with False. Before 10 nothing is told and nothing stops it: a line says every now and
then how long it has been running.

Python's own handler of Ctrl-C runs between two of its instructions, and there are none while C++ works; inside a
callback its exception would be lost, since TensorRT swallows it. So while a build runs the signal only sets a flag,
and a thread hears of it through `signal.set_wakeup_fd`, which C writes to at once. With a monitor the build ends at its
next step. Before 10 the first Ctrl-C says that the build ends by itself and that nothing is kept, and the second one
ends the process at once: no file is open during a build, so there is none to leave half-written. KeyboardInterrupt is
raised when the build has come back. SIGTERM and SIGHUP are handled alike, but before 10 the first one ends the process:
who sends them does not wait for minutes, and sends SIGKILL then.

Sources: TensorRT Python API, class IProgressMonitor (phases nest; stepComplete returns whether to go on; calls may come
from several threads); Python documentation, signal.set_wakeup_fd.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Callable, TextIO

from edge.console import Progress, format_seconds
from edge.interruption import ENDING_SIGNALS, Terminated, interrupted_exit_code, interruption_name

_TICK_S = 1.0


@dataclass
class _Phase:
    name: str
    parent: str | None
    steps: int
    done: int = 0


class BuildProgress:
    """Shows the progress that TensorRT reports of one build, and handles Ctrl-C; a context manager around the build.

    Args:
        trt: the tensorrt module.
        what: text of the progress line, such as "build engine".
        on_interrupt: function that is called once, at the first Ctrl-C, from the main thread.
        stream: stream that the progress line is written to; None for stderr.
        leave: function that ends the process with an exit code, for the second Ctrl-C before TensorRT 10.

    Attributes:
        is_interrupted: True once Ctrl-C was pressed.
    """

    def __init__(
        self,
        trt: Any,
        what: str = "build engine",
        on_interrupt: Callable[[], None] = lambda: None,
        stream: TextIO | None = None,
        leave: Callable[[int], Any] = os._exit,
    ) -> None:
        self._trt, self._what, self._on_interrupt, self._leave = trt, what, on_interrupt, leave
        self._progress = Progress(what, stream=stream)
        self._can_stop = hasattr(trt, "IProgressMonitor")
        self._lock = threading.Lock()
        self._phases: dict[str, _Phase] = {}
        self._phase_start_ns = time.perf_counter_ns()
        self._owned = contextlib.ExitStack()
        self._interrupts, self._signal = 0, 0

    @property
    def is_interrupted(self) -> bool:
        """Return whether Ctrl-C was pressed."""
        return self._signal > 0

    def __enter__(self) -> BuildProgress:
        """Start the thread, and take over Ctrl-C where it would reach this thread."""
        readable, writable = os.pipe()
        for end in (readable, writable):
            os.set_blocking(end, False)
            self._owned.callback(os.close, end)
        # Ignored stays ignored (a job in the background), and what has no handler of Python's ends the process as ever;
        # another thread than the main one is never interrupted.
        if threading.current_thread() is threading.main_thread():
            handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, *ENDING_SIGNALS)}
            handled = {number: handler for number, handler in handlers.items() if callable(handler)}
            for number, handler in handled.items():
                self._owned.callback(signal.signal, number, handler)
                signal.signal(number, self._signalled)
            if handled:
                self._owned.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(writable, warn_on_full_buffer=False))
        ended = threading.Event()
        thread = threading.Thread(target=self._watch, args=(readable, ended), name="build progress", daemon=True)
        thread.start()

        def join() -> None:
            ended.set()
            with contextlib.suppress(OSError):
                os.write(writable, b"\0")
            thread.join()

        self._owned.callback(join)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the thread and the line; print the duration of the build, or raise KeyboardInterrupt if a signal came."""
        self._owned.close()
        done = f"{self._what}: done in {format_seconds(self._progress.gone_s)}"
        self._progress.end("" if kind or self.is_interrupted else done)
        if self.is_interrupted and (kind is None or issubclass(kind, Exception)):
            raise _interruption(self._signal) from None

    def monitor(self) -> Any:
        """Return the tensorrt.IProgressMonitor of this build; None before TensorRT 10, which has none."""
        trt = self._trt
        if not self._can_stop:
            return None
        progress = self

        class Monitor(trt.IProgressMonitor):
            def __init__(self) -> None:
                trt.IProgressMonitor.__init__(self)

            def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
                progress._started(phase_name, parent_phase, num_steps)

            def step_complete(self, phase_name: str, step: int) -> bool:
                return progress._stepped(phase_name, step)

            def phase_finish(self, phase_name: str) -> None:
                progress._finished(phase_name)

        return Monitor()

    def _started(self, name: str, parent: str | None, steps: int) -> None:
        with self._lock:
            if not self._phases:
                self._phase_start_ns = time.perf_counter_ns()
            self._phases[name] = _Phase(name, parent, max(steps, 1))
        self._show()

    def _stepped(self, name: str, step: int) -> bool:
        """Count a step, the first being 0, and return whether TensorRT continues."""
        with self._lock:
            if name in self._phases:
                self._phases[name].done = step + 1
        self._show()
        return not self.is_interrupted

    def _finished(self, name: str) -> None:
        with self._lock:
            self._phases.pop(name, None)

    def _share(self) -> tuple[float, _Phase] | None:
        """Return the finished share of the outermost phase, 0 to 1, and the innermost phase."""
        phases = list(self._phases.values())
        if not phases:
            return None
        shares: dict[str, float] = {}
        for phase in reversed(phases):  # a phase starts after the one that it is part of
            inner = max(
                [shares[other.name] for other in phases if other.parent == phase.name and other.name in shares],
                default=0.0,
            )
            shares[phase.name] = min((phase.done + inner) / phase.steps, 1.0)
        return shares[phases[0].name], phases[-1]

    def _show(self) -> None:
        if not self._can_stop:
            self._progress.show(note="(no progress before TensorRT 10)")
            return
        with self._lock:
            found = self._share()
        if found is None:
            self._progress.show()
            return
        share, innermost = found
        phase_s = (time.perf_counter_ns() - self._phase_start_ns) / 1e9
        left_s = phase_s / share - phase_s if share > 0 else None
        self._progress.show(share, f"{innermost.name} {innermost.done}/{innermost.steps}", left_s)

    def _watch(self, readable: int, ended: threading.Event) -> None:
        """Draw the line once a second, and receive signals; runs in a thread of its own."""
        while not ended.is_set():
            ready, _, _ = select.select([readable], [], [], _TICK_S)
            if ended.is_set():
                return
            if ready:
                for number in os.read(readable, 64):
                    if number == signal.SIGINT or number in ENDING_SIGNALS:
                        self._interrupted(number)
            self._show()

    def _signalled(self, number: int, frame: Any) -> None:
        """Handle Ctrl-C in the main thread: during a callback, or when the build has returned."""
        is_first, self._signal = not self._signal, self._signal or number
        if is_first:
            self._on_interrupt()

    def _interrupted(self, number: int) -> None:
        """Handle a signal at once, in the thread that watches."""
        self._interrupts += 1
        error = _interruption(number)
        if self._can_stop:
            self._signal = self._signal or number
            self._progress.say(f"{interruption_name(error)}: TensorRT ends the build at its next step")
        elif number != signal.SIGINT:
            self._progress.say(f"{interruption_name(error)}: nothing is kept of the build")
            self._leave(interrupted_exit_code(error))
        elif self._interrupts == 1:
            self._signal = self._signal or number
            self._progress.say(
                f"interrupted: TensorRT {self._trt.__version__} cannot be stopped; the build ends by itself, and "
                "nothing is kept of it. Ctrl-C again ends the process at once"
            )
        elif self._interrupts > 1:
            self._leave(interrupted_exit_code(error))


def _interruption(number: int) -> KeyboardInterrupt:
    """Return the exception that a signal becomes when the build has come back."""
    return KeyboardInterrupt() if number == signal.SIGINT else Terminated(number)
