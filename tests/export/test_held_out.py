"""Held-out frames: of the validation split, else drawn, and others than those of calibration."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.images.selection import SYNTHETIC_SEED
from edge.datasets import DATA_ROOT_VARIABLE
from edge.frames import DatasetFrames, SyntheticFrames
from edge.imaging import write_image
from export.held_out import SYNTHETIC_HELD_OUT_SEED, held_out_frames


@pytest.fixture
def camvid(tmp_path):
    for split, count in (("train", 2), ("val", 6)):
        for index in range(count):
            write_image(tmp_path / "camvid" / split / f"{split}_{index}.png", np.full((8, 8, 3), index, np.uint8))
        (tmp_path / "camvid" / f"{split}annot").mkdir()
    return tmp_path / "camvid"


def test_held_out_frames_are_of_the_validation_split_spread_over_it(camvid):
    frames = held_out_frames("camvid", camvid, 64, 128, 3)
    assert isinstance(frames, DatasetFrames)
    assert frames.names == ["val_0", "val_2", "val_4"]


def test_without_a_dataset_held_out_scenes_are_others_than_those_of_calibration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(DATA_ROOT_VARIABLE, raising=False)
    frames = held_out_frames("cityscapes", None, 64, 128, 2)
    assert isinstance(frames, SyntheticFrames)
    assert all(str(SYNTHETIC_HELD_OUT_SEED) in name for name in frames.names)
    assert SYNTHETIC_SEED != SYNTHETIC_HELD_OUT_SEED
