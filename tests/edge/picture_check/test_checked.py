from __future__ import annotations

import numpy as np
import pytest

from edge.datasets import open_dataset
from edge.errors import DatasetError, ImageError
from edge.frames import FolderFrames
from edge.imaging import write_image
from edge.picture_check import checked_dataset
from tests.edge.datasets.description import described
from tests.edge.picture_files import encoded, exif, jpeg_with_exif, png_with_chunk


def truncate(path):
    path.write_bytes(path.read_bytes()[:-30])


@pytest.fixture
def folder(tmp_path, frame_rgb):
    for name in "abcdef":
        write_image(tmp_path / "pictures" / f"{name}.png", frame_rgb)
    return tmp_path / "pictures"


@pytest.fixture
def camvid(make_camvid):
    return make_camvid(count=6)


def test_all_bad_pictures_of_a_folder_are_counted_and_the_first_are_named(folder):
    for name in "abde":
        truncate(folder / f"{name}.png")
    with pytest.raises(ImageError) as error:
        FolderFrames(folder, skip_bad=False)
    assert str(error.value) == (
        f"4 of 6 pictures of {folder} are bad: a.png cannot be decoded (it is truncated); "
        "b.png cannot be decoded (it is truncated); d.png cannot be decoded (it is truncated); and 1 more. "
        "Next: mend or remove them, or add --skip-bad to leave them out"
    )


def test_step_that_a_problem_names_is_no_second_step_of_the_message(folder):
    (folder / "a.png").write_bytes(b"GIF89a")
    with pytest.raises(ImageError) as error:
        FolderFrames(folder)
    assert str(error.value).count("Next: ") == 1 and "it is a GIF, convert it to PNG" in str(error.value)


def test_bad_pictures_are_left_out_and_counted(folder, frame_rgb):
    truncate(folder / "b.png")
    frames = FolderFrames(folder, skip_bad=True)
    assert (frames.names, frames.skipped) == (["a", "c", "d", "e", "f"], ("b.png",))
    assert frames.subset([1]).skipped == ("b.png",)
    np.testing.assert_array_equal(frames.read(1), frame_rgb)


def test_option_that_a_command_does_not_have_is_not_named(folder):
    truncate(folder / "b.png")
    with pytest.raises(ImageError, match=r"Next: mend or remove them$"):
        FolderFrames(folder)


def test_frames_without_label_maps_are_named_where_labels_are_optional(camvid, capsys):
    (camvid / "trainannot" / "t1_001.png").rename(camvid / "trainannot" / "t1_001_x.png")
    checked_dataset(open_dataset("camvid", camvid, "train", labelled=False), needs_labels=False)
    err = capsys.readouterr().err
    assert "1 of 6 frames of camvid train under" in err and "expected t1_001.png in" in err and "t1_001_x.png" in err


def test_folder_without_a_sound_picture_is_refused_whatever_was_asked(folder):
    for path in folder.iterdir():
        truncate(path)
    with pytest.raises(ImageError, match="6 of 6 pictures"):
        FolderFrames(folder, skip_bad=True)


def test_sound_dataset_passes_as_it_is(camvid, capsys):
    dataset = open_dataset("camvid", camvid, "train")
    assert checked_dataset(dataset, needs_labels=True) == dataset
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("needs_labels", [True, False])
def test_bad_frames_and_label_maps_of_a_dataset_are_named(camvid, needs_labels):
    truncate(camvid / "train" / "t0_000.png")
    truncate(camvid / "trainannot" / "t1_001.png")
    write_image(camvid / "trainannot" / "t0_002.png", np.zeros((5, 5), np.uint8))
    (camvid / "trainannot" / "t1_003.png").write_bytes(encoded(".jpg", np.zeros((20, 44), np.uint8)))
    dataset = open_dataset("camvid", camvid, "train")
    with pytest.raises(DatasetError) as error:
        checked_dataset(dataset, needs_labels, skip_bad=False)
    message = str(error.value)
    assert "4 of 6 pictures of camvid train under" in message and "--skip-bad" in message
    assert ": t0_000.png cannot be decoded (it is truncated); label map " in message
    assert "t0_002.png is 5x5, its frame is 20x44, expected the same size; " in message
    assert "; label map t1_001.png cannot be decoded (it is truncated); and 1 more. Next" in message
    kept = checked_dataset(dataset, needs_labels, skip_bad=True)
    assert [sample.name for sample in kept.samples] == ["t0_004", "t1_005"]
    assert kept.skipped == ("t0_000", "t0_002", "t1_001", "t1_003")


def test_label_map_with_unknown_ids_is_found_where_all_are_needed(make_camvid):
    root = make_camvid(count=40)
    write_image(root / "trainannot" / "t1_001.png", np.full((20, 44), 40, np.uint8))
    dataset = open_dataset("camvid", root, "train")
    with pytest.raises(DatasetError, match=r"1 of 40 pictures .*t1_001\.png has unknown ids \[40\]"):
        checked_dataset(dataset, needs_labels=True)
    assert checked_dataset(dataset, needs_labels=True, skip_bad=True).skipped == ("t1_001",)


def test_labels_of_another_kind_are_one_message_and_cannot_be_left_out(camvid):
    for path in (camvid / "trainannot").iterdir():
        write_image(path, np.full((20, 44), 77, np.uint8))
    for skip_bad in (False, True):
        with pytest.raises(DatasetError, match=r"^label map .*has unknown ids \[77\], camvid has 0 to 11"):
            checked_dataset(open_dataset("camvid", camvid, "train"), needs_labels=False, skip_bad=skip_bad)


def write_cityscapes(root, kind, ids, count=3):
    for index in range(count):
        stem = f"aachen_{index:06d}_000019"
        write_image(root / "leftImg8bit" / "val" / "aachen" / f"{stem}_leftImg8bit.png", np.zeros((4, 6, 3), np.uint8))
        write_image(root / "gtFine" / "val" / "aachen" / f"{stem}_gtFine_{kind}.png", ids)
    return checked_dataset(open_dataset("cityscapes", root, "val"), needs_labels=True)


def test_train_ids_under_the_name_of_label_ids_are_found_out_without_an_unknown_id(tmp_path):
    train_ids = np.array([[0, 0, 0, 0, 0, 1], [0, 0, 1, 1, 2, 8], [10, 10, 13, 2, 2, 2], [0] * 6], np.uint8)
    with pytest.raises(DatasetError, match=r"are named labelIds, .* count for nothing; .*look like labelTrainIds"):
        write_cityscapes(tmp_path, "labelIds", train_ids)


def test_label_ids_under_the_name_of_train_ids_are_doubted(tmp_path, capsys):
    raw = np.array([[7, 7, 8, 11, 11, 17]] * 4, np.uint8)
    write_cityscapes(tmp_path / "doubted", "labelTrainIds", raw)
    assert "named labelTrainIds, but hold ids 7 to 17 alone" in capsys.readouterr().err
    write_cityscapes(tmp_path / "sound", "labelTrainIds", np.array([[0, 1, 2, 8, 10, 255]] * 4, np.uint8))
    write_cityscapes(tmp_path / "raw", "labelIds", np.array([[7, 8, 11, 3, 1, 26]] * 4, np.uint8))
    assert capsys.readouterr().err == ""


def turned_pair(root, frame_rgb, orientation, label_data=None):
    """Write a frame that is turned by its EXIF data, and a label map of 16 x 16 or of `label_data`."""
    (root / "val").mkdir(parents=True)
    (root / "valannot").mkdir()
    (root / "val" / "a.jpg").write_bytes(jpeg_with_exif(encoded(".jpg", frame_rgb), orientation))
    (root / "valannot" / "a.png").write_bytes(label_data)
    return open_dataset("camvid", root, "val")


def test_label_map_is_taken_as_drawn_on_the_upright_frame(tmp_path, capsys):
    frame = np.zeros((20, 44, 3), np.uint8)
    frame[:, :22] = 200
    upright = np.zeros((44, 20), np.uint8)
    upright[:22] = 3  # stored left is above, once the frame is turned by 90 degrees clockwise
    dataset = checked_dataset(turned_pair(tmp_path, frame, 6, encoded(".png", upright)), needs_labels=True)
    shown, labels = dataset.read_pair(0)
    assert (shown[labels == 3] > 150).all() and (shown[labels == 0] < 50).all()
    assert "1 of 1 frames of camvid val under" in capsys.readouterr().err


def test_label_map_as_the_frame_is_stored_is_refused(tmp_path):
    dataset = turned_pair(tmp_path, np.zeros((20, 44, 3), np.uint8), 6, encoded(".png", np.zeros((20, 44), np.uint8)))
    with pytest.raises(DatasetError, match=r"is 20x44, its frame is 44x20, .*turned by 90 degrees"):
        checked_dataset(dataset, needs_labels=True)
    with pytest.raises(DatasetError, match="turned by 90 degrees"):
        dataset.read_pair(0)


def test_frame_and_label_map_with_the_same_tag_are_turned_alike(tmp_path, capsys):
    stored = np.zeros((20, 20), np.uint8)
    stored[:4] = 5
    frame = np.dstack([stored * 40] * 3)
    label = png_with_chunk(encoded(".png", stored), b"eXIf", exif(3))
    dataset = checked_dataset(turned_pair(tmp_path, frame, 3, label), needs_labels=True)
    shown, labels = dataset.read_pair(0)
    assert (labels[-4:] == 5).all() and (shown[-4:] > 150).all() and (shown[:16] < 60).all()
    assert capsys.readouterr().err == ""


def test_train_ids_under_classes_of_cityscapes_in_a_description_are_named(tmp_path):
    described.write_frames(tmp_path / "train", labels=np.array([[0, 1, 2, 8, 10, 255]] * 4, np.uint8))
    dataset = open_dataset(described.write_description(tmp_path, classes="cityscapes"), None, "train")
    with pytest.raises(DatasetError, match=r"look like train ids. Next: list the classes in .*yard.json in the order"):
        checked_dataset(dataset, needs_labels=True)
