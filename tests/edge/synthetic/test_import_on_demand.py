"""The modules that draw scenes are loaded when a scene is drawn, and by no command that draws none."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edge.imaging import write_image

RUN = """
import json, sys
sys.argv[1:] = json.loads(sys.argv[1])
try:
    {statement}
except SystemExit as end:
    assert not end.code, end.code
print("loaded:", [name for name in sys.modules if name.startswith("edge.synthetic")])
"""

BENCH = "from edge.bench.cli import main; assert main(sys.argv[1:]) == 0"
DEMO = "from edge.stream.cli import main; assert main(sys.argv[1:]) == 0"
QUICK = ("--frames", "2", "--seconds", "0", "--warmup", "1")


@pytest.fixture
def loaded(run_python):
    """Runs a statement in a process of its own; gives the line that says which drawing modules it loaded."""

    def run(statement: str, *arguments) -> str:
        script = RUN.format(statement=statement)
        result = run_python("-c", script, json.dumps([str(argument) for argument in arguments]))
        assert result.returncode == 0, result.stderr
        return result.stdout.splitlines()[-1]

    return run


@pytest.fixture
def pictures(tmp_path):
    for index in range(2):
        frame_rgb = np.random.default_rng(index).integers(0, 256, (64, 128, 3)).astype(np.uint8)
        write_image(tmp_path / "pictures" / f"{index}.png", frame_rgb)
    return tmp_path / "pictures"


@pytest.mark.parametrize(
    "module",
    [
        "edge.bench.cli",
        "edge.stream.cli",
        "edge.frames",
        "edge.doctor",
        "calibration.images.selection",
        "export.build_engine",
        "export.pipeline.build",
        "export.adopt.adoption",
    ],
)
def test_importing_a_device_module_loads_no_drawing(loaded, module):
    assert loaded(f"import {module}") == "loaded: []"


@pytest.mark.parametrize("arguments", [("run", "--help"), ("profile", "--help"), ("doctor", "--help")])
def test_help_of_the_benchmark_loads_no_drawing(loaded, arguments):
    assert loaded(BENCH, *arguments) == "loaded: []"


def test_benchmark_on_a_folder_of_pictures_loads_no_drawing(loaded, make_engine, pictures):
    assert loaded(BENCH, "run", make_engine(), "--images", pictures, *QUICK) == "loaded: []"


def test_demo_on_a_folder_of_pictures_loads_no_drawing(loaded, make_engine, pictures, tmp_path):
    assert loaded(DEMO, make_engine(), "--source", pictures, "--output", tmp_path / "out") == "loaded: []"


def test_benchmark_without_images_draws_them(loaded, make_engine):
    assert "edge.synthetic.scene" in loaded(BENCH, "run", make_engine(), *QUICK)


def test_demo_with_the_synthetic_source_draws_a_drive(loaded, make_engine, tmp_path):
    drawn = loaded(DEMO, make_engine(), "--source", "synthetic:64x128", "--output", tmp_path / "o.avi", "--frames", 2)
    assert "edge.synthetic.video" in drawn
