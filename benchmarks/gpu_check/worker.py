"""The process that runs steps, so that a step that hangs or crashes ends neither the check nor what it has found.

The process reads a JSON line with a kind and arguments, and answers with a JSON line; whatever else is printed goes to
stderr. `python benchmarks/gpu_check/worker.py` is that process; the class `Worker` starts it and asks it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from edge.errors import SegEdgeError
from edge.records import record_to_json

GRACE_S = 5.0
"""Time that a process has to end after it was asked to."""


class StepError(Exception):
    """The error of a step that failed; the message says why."""


class StepTimeoutError(StepError):
    """The error of a step that was ended because its time was up."""


class Worker:
    """The process that runs steps, which is started when it is needed, and again when it has died.

    Args:
        command: Command line of the process; None to run this file with this Python.
        folder: Working directory of the process.
    """

    def __init__(self, folder: Path, command: list[str] | None = None) -> None:
        self._command = command or [sys.executable, os.path.abspath(__file__)]
        self._folder = folder
        self._process: subprocess.Popen | None = None
        self._pending = b""

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def ask(self, kind: str, arguments: dict[str, Any], limit_s: float) -> dict[str, Any]:
        """Run a step in the process and return the answer.

        Args:
            kind: Kind of the step.
            arguments: Arguments of the step's function, by name.
            limit_s: Time in s after which the step is ended.

        Returns:
            The answer {"result": record as JSON, "problems": [sentence, ...]}.

        Raises:
            StepError: the step failed, or the process ended.
            StepTimeoutError: the time of the step was up.
        """
        end_s = time.monotonic() + limit_s
        try:
            process = self._started()
            process.stdin.write(json.dumps({"kind": kind, "arguments": arguments}).encode() + b"\n")
            process.stdin.flush()
            line = self._line(process, end_s)
        except (BrokenPipeError, OSError) as error:
            self.stop()
            raise StepError(f"its process cannot be asked: {error}") from None
        except BaseException:
            self.stop()
            raise
        try:
            answer = json.loads(line)
        except ValueError:
            self.stop()
            raise StepError(f"its process answered with no JSON: {line[:200]!r}") from None
        if answer.get("error") is not None:
            raise StepError(answer["error"])
        return answer

    def _started(self) -> subprocess.Popen:
        if self._process is None or self._process.poll() is not None:
            self._pending = b""
            self._process = subprocess.Popen(
                self._command, cwd=self._folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
            )
        return self._process

    def _line(self, process: subprocess.Popen, end_s: float) -> bytes:
        handle = process.stdout.fileno()
        while b"\n" not in self._pending:
            left_s = end_s - time.monotonic()
            if left_s <= 0 or not select.select([handle], [], [], left_s)[0]:
                raise StepTimeoutError("no time left: it was ended")
            data = os.read(handle, 1 << 16)
            if not data:
                raise StepError(_death(process.wait()))
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def stop(self) -> None:
        """End the process, and all processes that it started."""
        process, self._process = self._process, None
        if process is None:
            return
        for number in (signal.SIGINT, signal.SIGKILL):  # a build that is interrupted leaves nothing
            if process.poll() is None:
                try:
                    os.killpg(process.pid, number)
                    process.wait(GRACE_S)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    continue
        process.stdin.close()
        process.stdout.close()


def _death(code: int) -> str:
    if code >= 0:
        return f"its process ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"its process ended by {name}"


def run_step(kind: str, arguments: dict[str, Any]) -> tuple[Any, list[str]]:
    """Run one step in this process, and return its record and what is wrong in it, in sentences.

    Raises:
        SegEdgeError: the step cannot be run.
    """
    if kind == "environment":
        from benchmarks.gpu_check.environment import environment_check

        return environment_check(), []
    if kind == "kernels":
        from benchmarks.gpu_check.kernels import check_kernels

        checked = check_kernels(**arguments)
        wrong = [case for case in checked.cases if not case.is_right()]
        return checked, [f"{case.kernel} ({case.case}): {case.differing} of {case.values} differ" for case in wrong]
    from benchmarks.gpu_check.engines import build_check, build_problems, latency_check, soak_check, soak_problems

    if kind == "build":
        built = build_check(**arguments)
        return built, build_problems(built)
    if kind == "lanes":
        from benchmarks.gpu_check.lanes import lanes_check, lanes_problems

        lanes = lanes_check(**arguments)
        return lanes, lanes_problems(lanes)
    if kind == "latency":
        return latency_check(**arguments), []
    soak = soak_check(**arguments)
    return soak, soak_problems(soak)


def serve() -> None:
    """Read requests from stdin and answer them until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer
    for line in sys.stdin:
        request = json.loads(line)
        try:
            record, problems = run_step(request["kind"], request["arguments"])
            answer = {"result": record_to_json(record), "problems": problems, "error": None}
        except SegEdgeError as error:
            answer = {"error": " ".join(str(error).split())}
        except Exception as error:
            # A defect of this project or of a library: told in the JSON, with its way to stderr.
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"}
        answers.write(json.dumps(answer, allow_nan=False) + "\n")
        answers.flush()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):  # its time was up
        serve()
