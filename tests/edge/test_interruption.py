from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edge import interruption
from edge.console import run_command
from edge.errors import MissingDependencyError, StorageError
from edge.interruption import (
    ENDING_SIGNALS,
    Terminated,
    ending_signals_interrupt,
    interruption_deferred,
    kept_when_interrupted,
    settle_interruption,
)

ROOT = Path(__file__).resolve().parents[2]
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.fixture(autouse=True)
def terminal_signals():
    """Let signals mean what they mean in a terminal, also where the tests run under nohup."""
    before = {number: signal.getsignal(number) for number in CODES}
    for number in CODES:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    after = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    for number, handler in before.items():
        signal.signal(number, handler)
    assert set(after.values()) == {signal.SIG_DFL}, "a handler outlived its command"


def _command(number):
    def command():
        os.kill(os.getpid(), number)
        time.sleep(10)
        return 0

    return command


@pytest.mark.parametrize("number", CODES)
def test_signal_ends_a_command_with_its_own_code_and_one_line(number, capsys):
    assert run_command(_command(number)) == CODES[number]
    name = "" if number == signal.SIGINT else f" by {number.name}"
    assert capsys.readouterr().err.strip() == f"interrupted{name}: nothing half-written was kept"


@pytest.mark.parametrize("number", CODES)
def test_signal_runs_the_clean_up(number):
    cleaned = []

    def command():
        try:
            return _command(number)()
        finally:
            cleaned.append(number)

    run_command(command)
    assert cleaned == [number]


def test_message_says_what_is_kept_and_not_that_nothing_is(capsys):
    def command():
        with kept_when_interrupted(lambda: "40 of 100 pictures are kept in out"), kept_when_interrupted(lambda: None):
            raise Terminated(signal.SIGTERM)

    assert run_command(command) == 143
    assert capsys.readouterr().err.strip() == "interrupted by SIGTERM: 40 of 100 pictures are kept in out"


def test_signal_that_comes_twice_does_not_break_the_clean_up():
    # `timeout` signals the process, and then its group.
    cleaned = []

    def command():
        try:
            return _command(signal.SIGTERM)()
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            cleaned.append(True)

    assert run_command(command) == 143
    assert cleaned == [True]


def test_signal_that_python_or_c_code_drops_comes_again(monkeypatch):
    monkeypatch.setattr(interruption, "_REPEAT_S", 0.05)
    monkeypatch.setattr(interruption, "_AGAIN_S", 0.02)
    seen = []

    class Finalised:
        def __del__(self):  # Python drops what is raised here, and says so on stderr
            os.kill(os.getpid(), signal.SIGTERM)
            seen.append("finalised")

    def command():
        item = Finalised()
        del item
        try:
            time.sleep(10)
        except KeyboardInterrupt:
            seen.append("dropped, as in a callback")
        time.sleep(10)
        return 0

    assert run_command(command) == 143
    assert seen == ["finalised", "dropped, as in a callback"]


def test_clean_up_may_take_its_time(monkeypatch):
    monkeypatch.setattr(interruption, "_REPEAT_S", 0.01)
    monkeypatch.setattr(interruption, "_AGAIN_S", 0.005)
    cleaned = []

    def command():
        try:
            return _command(signal.SIGTERM)()
        finally:
            with contextlib.suppress(ValueError):
                time.sleep(0.1)
                int("x")
            time.sleep(0.1)
            cleaned.append(True)

    assert run_command(command) == 143
    assert cleaned == [True]


def test_command_that_took_note_ends_by_itself(monkeypatch):
    monkeypatch.setattr(interruption, "_REPEAT_S", 0.01)
    monkeypatch.setattr(interruption, "_AGAIN_S", 0.005)

    def command():
        try:
            return _command(signal.SIGTERM)()
        except KeyboardInterrupt:
            settle_interruption()
        time.sleep(0.1)
        return 5

    assert run_command(command) == 5


def test_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ending_signals_interrupt():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_command_in_another_thread_changes_no_handler():
    codes = []
    thread = threading.Thread(target=lambda: codes.append(run_command(lambda: 7)))
    thread.start()
    thread.join()
    assert codes == [7]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_drawing_of_a_set_ends_and_says_how_many_pictures_are_kept(tmp_path, number):
    out = tmp_path / "set"
    process = subprocess.Popen(
        [sys.executable, "-m", "edge.synthetic", str(out), "--train", "900", "--size", "64x128"],
        cwd=str(ROOT),
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: [signal.signal(each, signal.SIG_DFL) for each in CODES],
    )
    try:
        deadline_s = time.monotonic() + 60
        while len(list(out.rglob("*leftImg8bit.png"))) < 3 and time.monotonic() < deadline_s:
            time.sleep(0.02)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == CODES[number], err
    kept = len(list(out.rglob("*leftImg8bit.png")))
    assert f"{kept} of 924 pictures are kept in {out}" in err or f"{kept - 1} of 924 pictures are kept" in err
    assert "nothing half-written" not in err and "Traceback" not in err
    assert not list(out.rglob(".writing-*"))


def _interrupted_import():
    try:
        raise Terminated(signal.SIGTERM)
    except KeyboardInterrupt as error:  # as pybind11 does in the initialisation of a module
        raise ImportError("initialization failed") from error


def _wrapped_interrupted_import():
    try:
        _interrupted_import()
    except ImportError:
        raise MissingDependencyError("onnxruntime", "running an engine", "pip install onnxruntime") from None


@pytest.mark.parametrize("work", [_interrupted_import, _wrapped_interrupted_import])
def test_exception_that_stands_for_an_interruption_is_said_as_one(work, capsys):
    def command():
        with kept_when_interrupted(lambda: "model.onnx is whole"):
            work()

    assert run_command(command) == 143
    assert capsys.readouterr().err.strip() == "interrupted by SIGTERM: model.onnx is whole"


def test_finaliser_of_what_was_half_imported_prints_no_traceback():
    code = (
        "import signal, sys\n"
        "from edge.console import run_command\n"
        "class Half:\n"
        "    def __del__(self):\n"
        "        self.missing\n"
        "kept = [Half()]\n"
        "def command():\n"
        "    signal.raise_signal(signal.SIGTERM)\n"
        "    return 0\n"
        "sys.exit(run_command(command))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=str(ROOT), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.strip()) == (143, "interrupted by SIGTERM: nothing half-written was kept")


def test_full_disk_of_a_clean_up_is_not_lost_behind_an_interruption(capsys):
    def command():
        try:
            raise Terminated(signal.SIGTERM)
        finally:
            raise StorageError("cannot write out.mp4: the disk is full")

    assert run_command(command) == 2
    assert capsys.readouterr().err.strip() == "error: cannot write out.mp4: the disk is full"


def test_defect_without_an_interruption_keeps_its_traceback():
    def command():
        raise ImportError("no such module")

    with pytest.raises(ImportError):
        run_command(command)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_deferred_interruption_waits_for_the_work_to_be_whole(number):
    done = []
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt) as caught, interruption_deferred() as request:
        for step in range(5):
            if step == 2:
                os.kill(os.getpid(), number)
            done.append(step)
            request.raise_if_requested()
    assert done == [0, 1, 2]
    assert isinstance(caught.value, Terminated) == (number == signal.SIGTERM)
    assert signal.getsignal(number) == before


def test_a_second_ctrl_c_does_not_wait():
    with pytest.raises(KeyboardInterrupt), interruption_deferred() as request:
        os.kill(os.getpid(), signal.SIGINT)
        assert request.is_requested
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("the second Ctrl-C was kept")
