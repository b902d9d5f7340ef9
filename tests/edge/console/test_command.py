from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from edge.console import run_command
from edge.errors import AccuracyBudgetError, DatasetError


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


def test_name_that_the_terminal_cannot_show_is_no_traceback(run_python):
    script = "from edge.console import run_command\nraise SystemExit(run_command(lambda: print('Straße 道') or 0))"
    result = run_python("-c", script, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (result.returncode, result.stdout) == (0, "Stra\\xdfe \\u9053\n")
