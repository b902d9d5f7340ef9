"""Nothing that the project loads leaves an identifier behind or an event to send."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge.imaging import write_image
from edge.privacy import OPT_OUTS, opt_out

REPOSITORY = Path(__file__).resolve().parents[1]
ONNX_RUNTIME = "onnxruntime"


@pytest.fixture(scope="module")
def leftovers(tmp_path_factory):
    """Run Python as a new user would, with an empty home; return what the run left there, and its exit code."""

    def run(*arguments: str | Path, **variables: str) -> tuple[list[str], int]:
        folder, home = tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("home")
        # A clean environment: continuous integration names itself in a variable, and libraries then send nothing.
        environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(REPOSITORY), **variables}
        done = subprocess.run(
            [sys.executable, *map(str, arguments)], cwd=folder, env=environment, capture_output=True, timeout=120
        )
        found = sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())
        return [name for name in found if not name.startswith(".cache/segedge/")], done.returncode

    return run


@pytest.fixture(scope="module")
def leaves_identifier(leftovers):
    """Skip where this ONNX Runtime leaves nothing by itself, so that nothing can be seen."""
    pytest.importorskip(ONNX_RUNTIME)
    if not leftovers("-c", f"import {ONNX_RUNTIME}")[0]:
        pytest.skip("this release of ONNX Runtime has no telemetry here")


def test_onnxruntime_leaves_nothing_after_the_package_is_imported(leftovers, leaves_identifier):
    assert leftovers("-c", f"import edge, {ONNX_RUNTIME}") == ([], 0)


def test_benchmark_leaves_nothing(leftovers, leaves_identifier, make_engine):
    engine = make_engine()
    assert leftovers("-m", "edge.bench.cli", "run", engine, "--frames", "3", "--warmup", "1") == ([], 0)


def test_live_view_leaves_nothing(leftovers, leaves_identifier, make_engine, tmp_path):
    engine, picture = make_engine(), tmp_path / "street.png"
    write_image(picture, np.zeros((32, 64, 3), np.uint8))
    command = ("-m", "edge.stream.cli", engine, "--source", picture, "--output", tmp_path / "labels.png")
    assert leftovers(*command) == ([], 0)


def test_user_who_chose_telemetry_keeps_it(leftovers, leaves_identifier):
    chosen = dict.fromkeys(OPT_OUTS, "0")
    assert leftovers("-c", f"import edge, {ONNX_RUNTIME}", **chosen)[0]


@pytest.mark.parametrize("variable", OPT_OUTS)
def test_empty_variable_is_no_choice(monkeypatch, variable):
    monkeypatch.setenv(variable, "")
    opt_out()
    assert os.environ[variable] == OPT_OUTS[variable]


def _imports(body: list[ast.stmt]) -> set[str]:
    found = set()
    for node in body:
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).split(".")[0])
    return found


@pytest.mark.parametrize("room", ["edge", "calibration", "export", "train", "benchmarks"])
def test_modules_import_the_package_before_libraries_with_telemetry(room):
    late = []
    for path in (REPOSITORY / room).rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        anywhere = _imports([node for node in ast.walk(tree) if isinstance(node, ast.stmt)])
        loads_it = bool({ONNX_RUNTIME, "tf2onnx", "mlflow"} & anywhere)  # tf2onnx loads it where it is installed
        ours = _imports(tree.body) & {"edge", "calibration", "export", "train", "benchmarks"}
        if loads_it and room != "edge" and "edge" not in ours:
            late.append(str(path.relative_to(REPOSITORY)))
    assert not late, "import edge first, which opts out of telemetry"
