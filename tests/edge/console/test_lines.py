from __future__ import annotations

import io

from edge.console import print_note, print_status, print_warning, stand_out


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_warnings_notes_and_status_are_one_line_each_on_stderr(capsys):
    print_warning("the disk\n is nearly full")
    print_note("one frame at a time")
    print_status("manifest: out.json")
    captured = capsys.readouterr()
    lines = ["warning: the disk is nearly full", "note: one frame at a time", "manifest: out.json"]
    assert captured.err.splitlines() == lines
    assert captured.out == ""


def test_line_that_nobody_should_miss_is_bold_on_a_terminal_and_marked_in_a_log(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert stand_out("mind this", Terminal()) == "\x1b[1mmind this\x1b[0m"
    assert stand_out("mind this", io.StringIO()) == "*** mind this ***"
    for name, value in (("TERM", "dumb"), ("NO_COLOR", "")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert stand_out("mind this", Terminal()) == "*** mind this ***"
