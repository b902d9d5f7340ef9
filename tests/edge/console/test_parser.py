from __future__ import annotations

from pathlib import Path

import pytest

from edge.console import CommandParser


def test_path_of_an_empty_variable_is_refused(capsys):
    parser = CommandParser(prog="edge-bench")
    parser.add_argument("--output", type=Path)
    for arguments in (["--output", ""], ["--output="]):
        with pytest.raises(SystemExit) as caught:
            parser.parse_args(arguments)
        assert caught.value.code == 2
        assert "argument --output: got '', expected a path" in capsys.readouterr().err
    assert parser.parse_args(["--output", "."]).output == Path()
