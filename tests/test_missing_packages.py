"""Commands without the packages that they need: they explain themselves, and say in one line what to install."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

WITHOUT = """
import importlib.abc, runpy, sys
blocked, error, target = set(sys.argv[1].split(",")), sys.argv[2], sys.argv[3]

class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in blocked:
            raise {"missing": ModuleNotFoundError, "broken": ImportError}[error](
                "libGL.so.1: cannot open shared object file", name=name)

sys.meta_path.insert(0, Blocker())
sys.argv = sys.argv[3:]
(runpy.run_path if target.endswith(".py") else runpy.run_module)(target, run_name="__main__")
"""

COMMANDS = (
    "edge.bench",
    "edge.stream.cli",
    "edge.synthetic",
    "edge.doctor",
    "train.models",
    *(f"{REPOSITORY}/{path}.py" for path in ("export/build_engine", "export/to_onnx", "export/parity")),
    *(f"{REPOSITORY}/{path}.py" for path in ("export/tensorrt_rules", "train/train", "train/import_weights")),
    *(f"{REPOSITORY}/{path}.py" for path in ("train/compare", "train/overfit")),
    *(f"{REPOSITORY}/calibration/{name}.py" for name in ("lint", "select_images", "tensorrt_cache")),
)


@pytest.fixture
def run_without(run_python, tmp_path):
    def run(packages, *arguments, error="missing"):
        return run_python("-c", WITHOUT, packages, error, *arguments, cwd=str(tmp_path))

    return run


def one_line_of(result):
    assert "Traceback" not in result.stderr, result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.returncode == 2
    return line


@pytest.mark.parametrize("command", COMMANDS, ids=[Path(command).stem for command in COMMANDS])
def test_command_explains_itself_without_opencv(run_without, command):
    result = run_without("cv2", command, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("usage: ")


def test_drawing_without_opencv_names_the_install_command(run_without, tmp_path):
    line = one_line_of(run_without("cv2", "edge.synthetic", "out", "--train", "1", "--val", "1", "--size", "64x128"))
    assert "needs the package OpenCV, which is not installed. Next: pip install opencv-python-headless" in line
    assert list(tmp_path.iterdir()) == []


def test_demo_without_opencv_names_the_install_command(run_without):
    line = one_line_of(run_without("cv2", "edge.stream.cli", "engine", "--source", "synthetic"))
    assert "Next: pip install opencv-python-headless" in line


def test_opencv_that_cannot_be_loaded_names_the_reason(run_without):
    line = one_line_of(run_without("cv2", "edge.stream.cli", "engine", "--source", "synthetic", error="broken"))
    assert "OpenCV, which cannot be loaded: libGL.so.1: cannot open shared object file. Next: edge-bench doctor" in line


def test_opencv_is_imported_in_one_place():
    rooms = ("edge", "calibration", "export", "train", "benchmarks")
    importers = [
        str(path.relative_to(REPOSITORY))
        for room in rooms
        for path in sorted((REPOSITORY / room).rglob("*.py"))
        if re.search(r"^\s*(import cv2|from cv2)\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert importers == ["edge/opencv.py"]
