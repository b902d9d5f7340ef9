"""Drawn frames of the size that a camera has."""

from __future__ import annotations

import numpy as np
import pytest

from edge.bench.cli import main
from edge.bench.frame_source import CameraFrames
from edge.errors import SizeError
from edge.synthetic.camera_size import LEAST_SIDE, CameraSize

SIZES = ["1080x1920", "192x108", "101x203", "64x64", "33x2000", "16x16"]


@pytest.mark.parametrize("size", SIZES)
def test_frames_have_the_size_of_the_camera_and_are_no_plain_colour(size):
    height, width = map(int, size.split("x"))
    frame_rgb = CameraFrames(height, width, seed=3).read(0)
    assert frame_rgb.shape == (height, width, 3) and frame_rgb.dtype == np.uint8
    assert frame_rgb.std() > 5


def test_frames_of_a_portrait_camera_are_drawn_in_its_proportions():
    assert CameraSize(1920, 1080).drawn() == (1024, 576)


def test_number_of_large_frames_is_limited_by_their_memory():
    assert len(CameraFrames(1080, 1920, seed=3)) == 16
    assert len(CameraFrames(8192, 8192, seed=3)) == 2


def test_frames_differ_and_one_seed_gives_them_again():
    first, second = (CameraFrames(108, 48, seed=3) for _ in range(2))
    assert np.array_equal(first.read(1), second.read(1))
    assert not np.array_equal(first.read(0), first.read(1))
    assert first.digest(1) == second.digest(1) != CameraFrames(48, 108, seed=3).digest(1)


@pytest.mark.parametrize("size", [(LEAST_SIDE - 1, 100), (100, 8193)])
def test_size_that_no_camera_has_is_refused(size):
    with pytest.raises(SizeError, match=r"expected sides of 16 to 8192 pixels\. Next: "):
        CameraFrames(*size, seed=3)


@pytest.mark.parametrize("size", ["101x203", "200x96"])
def test_commands_measure_at_the_size_of_the_camera(make_engine, capsys, size):
    pytest.importorskip("onnxruntime")
    engine = str(make_engine())
    assert main(["run", engine, "--frames", "2", "--seconds", "0", "--warmup", "0", "--frame-size", size]) == 0
    assert f"2 frames of {size} (synthetic scenes)" in capsys.readouterr().out
    assert main(["profile", engine, "--runs", "1", "--frame-size", size]) == 0
