from __future__ import annotations

import io

import pytest

import edge.console.progress as progress_module
from edge.console import Progress, format_seconds


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
    monkeypatch.setattr(progress_module, "time", Clock())
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
    monkeypatch.setattr(progress_module, "time", Clock())
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
    monkeypatch.setattr(progress_module, "time", Clock())
    stream = io.StringIO()
    progress = Progress("build", stream=stream)
    for _ in range(1, 100):  # the clock's own second at every look
        progress.show()
    lines = stream.getvalue().splitlines()
    assert lines == ["build: 10 s gone", "build: 20 s gone", "build: 40 s gone", "build: 1 min 20 s gone"]


def test_steps_without_a_known_end_are_counted(monkeypatch):
    monkeypatch.setattr(progress_module, "time", Clock())
    stream = io.StringIO()
    with Progress("segment", None, "frame", stream) as progress:
        for _ in range(25):
            progress.step("4.0 fps")
    lines = stream.getvalue().splitlines()
    assert lines == ["segment: 10 frames (10 s gone) 4.0 fps", "segment: 20 frames (20 s gone) 4.0 fps"]


def test_log_of_a_long_work_may_have_a_line_every_few_seconds(monkeypatch):
    monkeypatch.setattr(progress_module, "time", Clock())
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
    monkeypatch.setattr(progress_module, "time", Clock())
    stream = Terminal()
    progress = Progress("build", stream=stream)
    progress.show(0.5, left_s=1.0)
    progress.say("interrupted")
    progress.show(0.6, "more")
    progress.end("done")
    first, second = "build: 50 % (1 s gone, 1 s left)", "build: 60 % (2 s gone) more"
    assert stream.getvalue() == f"\r{first}\x1b[K\r\x1b[Kinterrupted\n\r{second}\x1b[K\r\x1b[Kdone\n"


def test_line_that_is_cleared_leaves_its_place_to_another(monkeypatch):
    monkeypatch.setattr(progress_module, "time", Clock())
    stream = Terminal()
    with Progress("train", 2, "step", stream) as progress:
        progress.step()
        progress.clear()
    assert stream.getvalue() == "\rtrain: 1/2 step (1 s gone, 1 s left)\x1b[K\r\x1b[K"


def test_progress_that_was_never_drawn_leaves_nothing():
    stream = Terminal()
    Progress("build", stream=stream).end()
    assert stream.getvalue() == ""
