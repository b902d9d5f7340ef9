from __future__ import annotations

import hashlib

import numpy as np
import pytest

from edge.datasets import open_dataset
from edge.errors import ImageError
from edge.frames import DatasetFrames, FolderFrames, FrameSubset, SyntheticFrames
from edge.imaging import write_image


def test_dataset_frames_are_those_of_the_split(make_camvid):
    dataset = open_dataset("camvid", make_camvid(), "val")
    frames = DatasetFrames(dataset)
    assert (len(frames), frames.description) == (3, "camvid val")
    for index, sample in enumerate(dataset.samples):
        assert frames.names[index] == sample.name
        np.testing.assert_array_equal(frames.read(index), dataset.read_frame(index))
        assert frames.digest(index) == hashlib.sha256(sample.image_path.read_bytes()).hexdigest()


def test_chosen_frames_of_a_dataset_keep_their_order(make_camvid):
    dataset = open_dataset("camvid", make_camvid(), "val")
    frames = DatasetFrames(dataset, [2, 0])
    assert frames.names == [dataset.samples[2].name, dataset.samples[0].name]
    np.testing.assert_array_equal(frames.read(0), dataset.read_frame(2))
    assert frames.digest(1) == DatasetFrames(dataset).digest(0)


def test_chosen_frames_come_with_their_labels(make_camvid):
    dataset = open_dataset("camvid", make_camvid(), "val")
    chosen = DatasetFrames(dataset, [2, 0]).chosen()
    assert (chosen.name, chosen.split, len(chosen)) == ("camvid", "val", 2)
    np.testing.assert_array_equal(chosen.read_labels(0), dataset.read_labels(2))
    np.testing.assert_array_equal(chosen.read_labels(1), dataset.read_labels(0))
    assert len(DatasetFrames(dataset).chosen()) == len(dataset)


def test_some_frames_of_a_set_are_those_in_the_order_asked_for(tmp_path, frame_rgb):
    for index, name in enumerate("abc"):
        write_image(tmp_path / f"{name}.png", frame_rgb // (index + 1))
    folder = FolderFrames(tmp_path)
    some = FrameSubset(folder, [2, 0])
    assert (some.names, len(some), some.description) == (["c", "a"], 2, folder.description)
    np.testing.assert_array_equal(some.read(0), folder.read(2))
    assert [some.digest(0), some.digest(1)] == [folder.digest(2), folder.digest(0)]
    nested = FrameSubset(some, [1])
    assert (nested.names, nested.digest(0)) == (["a"], folder.digest(0))
    np.testing.assert_array_equal(nested.read(0), folder.read(0))


def test_frames_are_spread_over_a_set():
    frames = SyntheticFrames(10, 64, 128, seed=1)
    assert frames.spread(4).names == [frames.names[index] for index in (0, 2, 5, 7)]
    assert frames.spread(99).names == frames.names


def test_folder_frames_are_its_pictures(tmp_path, frame_rgb):
    write_image(tmp_path / "b.png", frame_rgb)
    write_image(tmp_path / "a.png", frame_rgb[::-1])
    frames = FolderFrames(tmp_path)
    assert frames.names == ["a", "b"]
    np.testing.assert_array_equal(frames.read(1), frame_rgb)
    assert frames.digest(1) == hashlib.sha256((tmp_path / "b.png").read_bytes()).hexdigest()


def test_one_picture_is_a_set_of_one(tmp_path, frame_rgb):
    write_image(tmp_path / "a.png", frame_rgb)
    frames = FolderFrames(tmp_path / "a.png")
    assert (len(frames), frames.names) == (1, ["a"])


def test_pictures_that_differ_in_their_suffix_have_names_of_their_own(tmp_path, frame_rgb):
    for name in ("a.png", "a.bmp", "b.png"):
        write_image(tmp_path / name, frame_rgb)
    assert FolderFrames(tmp_path).names == ["a.bmp", "a.png", "b"]


def test_path_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ImageError, match=r"image or folder not found: .*none\.png"):
        FolderFrames(tmp_path / "none.png")


def test_file_that_is_no_picture_is_one_message_about_it(tmp_path):
    (tmp_path / "notes.txt").write_text("text")
    with pytest.raises(
        ImageError, match=r"^image .*notes\.txt cannot be decoded \(4 bytes\): it is damaged, or no image$"
    ):
        FolderFrames(tmp_path / "notes.txt")


def test_empty_folder_is_refused(tmp_path):
    with pytest.raises(ImageError, match="holds no picture"):
        FolderFrames(tmp_path)


def test_drawn_frames_repeat_and_differ_by_index_and_seed():
    frames = SyntheticFrames(2, 64, 128, seed=4)
    assert len(frames) == 2
    assert frames.read(0).shape == (64, 128, 3)
    np.testing.assert_array_equal(frames.read(0), SyntheticFrames(2, 64, 128, seed=4).read(0))
    assert (frames.read(0) != frames.read(1)).any()
    digests = [
        frames.digest(0),
        frames.digest(1),
        SyntheticFrames(2, 64, 128, seed=5).digest(0),
        SyntheticFrames(2, 128, 128, seed=4).digest(0),
    ]
    assert len(set(digests)) == 4
    assert SyntheticFrames(9, 64, 128, seed=4).digest(0) == digests[0]


@pytest.mark.parametrize(
    ("asked", "drawn"), [((16, 16), (64, 128)), ((360, 96), (360, 128)), ((1536, 4096), (1024, 2048))]
)
def test_size_that_streets_are_not_drawn_at_becomes_the_nearest_that_they_are(asked, drawn):
    frames = SyntheticFrames(1, *asked, seed=4)
    assert frames.read(0).shape == (*drawn, 3)
    # The digest is of what was asked for: ranges of another network's size are never taken for these.
    assert frames.digest(0) != SyntheticFrames(1, *drawn, seed=4).digest(0)
