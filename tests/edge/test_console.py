from __future__ import annotations

import argparse
import errno
import io
import os
from pathlib import Path

import pytest

import edge.console as console
from edge.console import (
    CommandParser,
    Progress,
    format_seconds,
    parse_size,
    positive_int,
    print_note,
    print_status,
    print_warning,
    run_command,
    size_argument,
    stand_out,
)
from edge.errors import AccuracyBudgetError, DatasetError, SizeError


def raising(error):
    def command():
        raise error

    return command


def test_code_of_the_command_is_kept():
    assert run_command(lambda: 0) == 0
    assert run_command(lambda: 7) == 7


def test_error_of_the_tree_is_one_line_on_stderr_and_code_2(capsys):
    assert run_command(raising(DatasetError("folder is\n empty.\tNext: fill it"))) == 2
    captured = capsys.readouterr()
    assert captured.err == "error: folder is empty. Next: fill it\n"
    assert captured.out == ""


def test_missed_accuracy_budget_is_one_line_and_code_3(capsys):
    assert run_command(raising(AccuracyBudgetError("over\nthe budget"))) == 3
    assert capsys.readouterr().err == "error: over the budget\n"


def test_interrupt_is_code_130(capsys):
    assert run_command(raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err.strip() == "interrupted: nothing half-written was kept"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_is_one_line_that_says_to_free_space(capsys, number):
    assert run_command(raising(OSError(number, os.strerror(number), "out/record.json"))) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "out/record.json" in line
    assert os.strerror(number) in line
    assert "free some space" in line


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_folder_without_permission_is_one_line(capsys, number):
    assert run_command(raising(OSError(number, os.strerror(number), "out"))) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "choose a folder you may write to" in line


@pytest.mark.parametrize("defect", [ValueError("x"), ZeroDivisionError(), OSError(errno.EIO, "x"), TypeError("x")])
def test_defect_keeps_its_traceback(defect):
    with pytest.raises(type(defect)):
        run_command(raising(defect))


def test_reader_that_left_ends_the_command_quietly(run_python):
    # The pipe is closed before anything is written; 100 kB do not fit into any buffer of Python's.
    script = (
        "import os, sys\n"
        "from edge.console import run_command\n"
        "reading, writing = os.pipe(); os.dup2(writing, 1); os.close(reading); os.close(writing)\n"
        "sys.exit(run_command(lambda: print('x' * int(sys.argv[1])) or 0))\n"
    )
    for size in (10, 100_000):
        result = run_python("-c", script, size)
        assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("size", [10, 100_000])
def test_output_onto_a_full_disk_is_one_line_and_code_2(run_python, one_line, size):
    script = (
        "import sys\nfrom edge.console import run_command\n"
        "sys.exit(run_command(lambda: print('x' * int(sys.argv[1])) or 0))\n"
    )
    with open("/dev/full", "w") as full:
        result = run_python("-c", script, size, stdout=full)
    assert result.returncode == 2
    assert "free some space" in one_line(result.stderr)


@pytest.mark.parametrize(
    ("text", "size"), [("512x1024", (512, 1024)), (" 64X128 ", (64, 128)), ("1x99999", (1, 99999))]
)
def test_size_is_height_then_width(text, size):
    assert parse_size(text) == size
    assert size_argument(text) == size


@pytest.mark.parametrize("text", ["", "512", "512x", "x512", "0x10", "10x0", "-1x4", "1.5x2", "512*1024", "100000x1"])
def test_size_of_another_form_is_refused(text):
    with pytest.raises(SizeError, match="expected HEIGHTxWIDTH"):
        parse_size(text)
    with pytest.raises(argparse.ArgumentTypeError, match="expected HEIGHTxWIDTH"):
        size_argument(text)


def test_positive_int_takes_whole_numbers_from_1():
    assert positive_int("1") == 1
    for text in ("0", "-3", "two", "1.5", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="expected"):
            positive_int(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.7, "1 h 00 min"),
        (7800, "2 h 10 min"),
    ],
)
def test_duration_reads_as_a_person_says_it(seconds, text):
    assert format_seconds(seconds) == text


class Clock:
    """Stands in for the module time: a second goes by at every look."""

    def __init__(self):
        self.now_ns = 0

    def perf_counter_ns(self):
        self.now_ns += 1_000_000_000
        return self.now_ns


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_in_a_log_is_a_line_for_every_tenth(monkeypatch):
    monkeypatch.setattr(console, "time", Clock())
    stream = io.StringIO()
    with Progress("count", 100, "frame", stream) as progress:
        for _ in range(100):
            progress.step()
    lines = stream.getvalue().splitlines()
    assert [int(line.split("/")[0].split()[-1]) for line in lines] == list(range(10, 101, 10))
    assert lines[0] == "count: 10/100 frame (10 s gone, 1 min 30 s left)"
    assert lines[-1] == "count: 100/100 frame (1 min 40 s gone, 0 s left)"


@pytest.mark.parametrize("total", [1, 3, 7])
def test_progress_of_few_steps_is_a_line_for_each(total):
    stream = io.StringIO()
    with Progress("count", total, "frame", stream) as progress:
        for _ in range(total):
            progress.step("note")
    lines = stream.getvalue().splitlines()
    assert len(lines) == total
    assert all(line.endswith(" note") for line in lines)


def test_progress_on_a_terminal_redraws_one_line(monkeypatch):
    monkeypatch.setattr(console, "time", Clock())
    stream = Terminal()
    with Progress("count", 3, "frame", stream) as progress:
        for _ in range(3):
            progress.step()
    assert stream.getvalue().count("\r") == 3
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().endswith("\n")


def test_share_in_a_log_is_a_line_for_every_tenth_and_starts_anew_with_a_phase():
    stream = io.StringIO()
    with Progress("build", stream=stream) as progress:
        for share in (0.0, 0.05, 0.1, 0.14, 0.19, 0.2, 0.55, 0.56, 1.0, 0.02, 0.1):
            progress.show(share, f"at {share}")
    assert [line.split()[-1] for line in stream.getvalue().splitlines()] == ["0.1", "0.2", "0.55", "1.0", "0.1"]


def test_unknown_share_is_a_line_whenever_the_time_has_doubled(monkeypatch):
    monkeypatch.setattr(console, "time", Clock())
    stream = io.StringIO()
    progress = Progress("build", stream=stream)
    for _ in range(1, 100):  # the clock's own second at every look
        progress.show()
    lines = stream.getvalue().splitlines()
    assert lines == ["build: 10 s gone", "build: 20 s gone", "build: 40 s gone", "build: 1 min 20 s gone"]


def test_steps_without_a_known_end_are_counted(monkeypatch):
    monkeypatch.setattr(console, "time", Clock())
    stream = io.StringIO()
    with Progress("segment", None, "frame", stream) as progress:
        for _ in range(25):
            progress.step("4.0 fps")
    lines = stream.getvalue().splitlines()
    assert lines == ["segment: 10 frames (10 s gone) 4.0 fps", "segment: 20 frames (20 s gone) 4.0 fps"]


def test_log_of_a_long_work_may_have_a_line_every_few_seconds(monkeypatch):
    monkeypatch.setattr(console, "time", Clock())
    stream = io.StringIO()
    with Progress("train", 1000, "step", stream, log_every_s=30.0) as progress:
        for _ in range(100):
            progress.step()
    assert [line.split("/")[0] for line in stream.getvalue().splitlines()] == ["train: 30", "train: 60", "train: 90"]


def test_more_steps_than_there_were_to_be_are_all_shown():
    stream = io.StringIO()
    with Progress("count", 0, "frame", stream) as progress:
        progress.step()
    assert stream.getvalue() == "count: 1/0 frame (0 s gone, 0 s left)\n"


def test_line_on_a_terminal_is_redrawn_and_gives_way_to_what_is_said(monkeypatch):
    monkeypatch.setattr(console, "time", Clock())
    stream = Terminal()
    progress = Progress("build", stream=stream)
    progress.show(0.5, left_s=1.0)
    progress.say("interrupted")
    progress.show(0.6, "more")
    progress.end("done")
    first, second = "build: 50 % (1 s gone, 1 s left)", "build: 60 % (2 s gone) more"
    assert stream.getvalue() == f"\r{first}\x1b[K\r\x1b[Kinterrupted\n\r{second}\x1b[K\r\x1b[Kdone\n"


def test_line_that_is_cleared_leaves_its_place_to_another(monkeypatch):
    monkeypatch.setattr(console, "time", Clock())
    stream = Terminal()
    with Progress("train", 2, "step", stream) as progress:
        progress.step()
        progress.clear()
    assert stream.getvalue() == "\rtrain: 1/2 step (1 s gone, 1 s left)\x1b[K\r\x1b[K"


def test_progress_that_was_never_drawn_leaves_nothing():
    stream = Terminal()
    Progress("build", stream=stream).end()
    assert stream.getvalue() == ""


def test_warnings_notes_and_status_are_one_line_each_on_stderr(capsys):
    print_warning("the disk\n is nearly full")
    print_note("one frame at a time")
    print_status("manifest: out.json")
    captured = capsys.readouterr()
    lines = ["warning: the disk is nearly full", "note: one frame at a time", "manifest: out.json"]
    assert captured.err.splitlines() == lines
    assert captured.out == ""


def test_name_that_the_terminal_cannot_show_is_no_traceback(run_python):
    script = "from edge.console import run_command\nraise SystemExit(run_command(lambda: print('Straße 道') or 0))"
    result = run_python("-c", script, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (result.returncode, result.stdout) == (0, "Stra\\xdfe \\u9053\n")


def test_line_that_nobody_should_miss_is_bold_on_a_terminal_and_marked_in_a_log(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert stand_out("mind this", Terminal()) == "\x1b[1mmind this\x1b[0m"
    assert stand_out("mind this", io.StringIO()) == "*** mind this ***"
    for name, value in (("TERM", "dumb"), ("NO_COLOR", "")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert stand_out("mind this", Terminal()) == "*** mind this ***"


def test_path_of_an_empty_variable_is_refused(capsys):
    parser = CommandParser(prog="edge-bench")
    parser.add_argument("--output", type=Path)
    for arguments in (["--output", ""], ["--output="]):
        with pytest.raises(SystemExit) as caught:
            parser.parse_args(arguments)
        assert caught.value.code == 2
        assert "argument --output: got '', expected a path" in capsys.readouterr().err
    assert parser.parse_args(["--output", "."]).output == Path()
