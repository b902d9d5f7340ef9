from __future__ import annotations

import numpy as np
import pytest

from edge.datasets import open_dataset
from edge.errors import DatasetError
from edge.imaging import write_image
from edge.labels import CAMVID, IGNORE_ID

FRAME = np.random.default_rng(3).integers(0, 256, (6, 24, 3), np.uint8)
IDS = np.tile(np.arange(24, dtype=np.uint8) % 12, (6, 1))
TRAIN_IDS = np.where(IDS == 11, IGNORE_ID, IDS)

NAMES = ("Animal", "Archway", "Bicyclist", "Bridge", "Building", "Car", "CartLuggagePram", "Child", "Column_Pole")
NAMES += ("Fence", "LaneMkgsDriv", "LaneMkgsNonDriv", "Misc_Text", "MotorcycleScooter", "OtherMoving", "ParkingBlock")
NAMES += ("Pedestrian", "Road", "RoadShoulder", "Sidewalk", "SignSymbol", "Sky", "SUVPickupTruck", "TrafficCone")
NAMES += ("TrafficLight", "Train", "Tree", "Truck_Bus", "Tunnel", "VegetationMisc", "Void", "Wall")
"""CamVid's 32 classes in alphabetical order, which is that of fastai's codes.txt."""


ORIGINAL_COLORS = ((128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (0, 0, 192), (128, 128, 0))
ORIGINAL_COLORS += ((192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192), (0, 0, 0))
"""Typed in from CamVid's label_colors.txt: Sky, Building, Column_Pole, Road, Sidewalk, Tree, SignSymbol, Fence, Car,
Pedestrian, Bicyclist, Void."""


def original_colors():
    """Return a map in the colours of one original class of each of the 11, and of void."""
    return np.array(ORIGINAL_COLORS, np.uint8)[IDS]


def write_split(root, frames="val", labels="valannot", end="", pixels=IDS, names=("0016E5_1", "0016E5_2")):
    for name in names:
        write_image(root / frames / f"{name}.png", FRAME)
        write_image(root / labels / f"{name}{end}.png", pixels)
    return root


def test_each_original_class_has_a_colour_and_a_name():
    assert len(CAMVID.file_colors) == len(NAMES) == 32
    assert {name.lower() for name in NAMES} <= set(CAMVID.file_class_names)


@pytest.mark.parametrize(
    ("labels", "end"), [("valannot", ""), ("valannot", "_L"), ("val_labels", "_L"), ("val_labels", "")]
)
def test_original_colours_are_read_under_every_name(tmp_path, labels, end):
    dataset = open_dataset("camvid", write_split(tmp_path, "val", labels, end, original_colors()), "val")
    assert [sample.name for sample in dataset.samples] == ["0016E5_1", "0016E5_2"]
    assert dataset.samples[0].group == "0016E5"
    np.testing.assert_array_equal(dataset.read_labels(1), TRAIN_IDS)


def test_class_dict_names_other_colours(tmp_path):
    colors = original_colors()
    colors[IDS == 4] = (60, 40, 222)
    write_split(tmp_path, "val", "val_labels", "_L", colors)
    dataset = open_dataset("camvid", tmp_path, "val")
    with pytest.raises(DatasetError, match=r"\(60, 40, 222\).*class_dict\.csv"):
        dataset.read_labels(0)
    (tmp_path / "class_dict.csv").write_bytes(b"\xef\xbb\xbfname,r,g,b\r\nSidewalk, 60, 40, 222\r\nSky,128,128,128\r\n")
    np.testing.assert_array_equal(open_dataset("camvid", tmp_path, "val").read_labels(0), TRAIN_IDS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,r,g,b\nSidewalk,1,2\n", "has the line 'Sidewalk,1,2', expected name,r,g,b"),
        ("Sidewalk,1,2,300\n", "expected name,r,g,b with numbers up to 255"),
        ("Rail,1,2,3\n", "names the class 'Rail', which CamVid does not have"),
    ],
)
def test_class_dict_that_makes_no_sense_is_refused(tmp_path, text, words):
    (write_split(tmp_path) / "class_dict.csv").write_text(text)
    with pytest.raises(DatasetError, match=words):
        open_dataset("camvid", tmp_path, "val")


def test_ids_under_the_original_name_are_not_guessed_at(tmp_path):
    write_split(tmp_path, end="_L")
    with pytest.raises(
        DatasetError, match=r"holds ids, expected colours: .*Next: write them as valannot/0016E5_1\.png"
    ):
        open_dataset("camvid", tmp_path, "val").read_labels(0)
    (tmp_path / "codes.txt").write_text("\n".join([*CAMVID.class_names, "Void"]))
    np.testing.assert_array_equal(open_dataset("camvid", tmp_path, "val").read_labels(0), TRAIN_IDS)


def test_fastai_layout_is_read_by_its_lists(tmp_path):
    ids = np.tile(np.arange(24, dtype=np.uint8), (6, 1)) + 8
    write_split(tmp_path, "images", "labels", "_P", ids, names=("a_1", "a_2", "b_1"))
    (tmp_path / "codes.txt").write_text("\n".join(NAMES))
    (tmp_path / "valid.txt").write_text("b_1.png\n")
    training, validation = (open_dataset("camvid", tmp_path, split) for split in ("train", "val"))
    assert [sample.name for sample in training.samples] == ["a_1", "a_2"]
    assert [sample.name for sample in validation.samples] == ["b_1"]
    wanted = [CAMVID.file_class_names[NAMES[index].lower()] for index in range(8, 32)]
    np.testing.assert_array_equal(validation.read_labels(0)[0], wanted)
    assert wanted[0] == 2 and wanted[-2] == IGNORE_ID and wanted[-1] == 1  # Column_Pole, Void, Wall


def test_fastai_layout_without_a_list_of_validation_frames_is_told_what_is_missing(tmp_path):
    write_split(tmp_path, "images", "labels", "_P")
    with pytest.raises(DatasetError, match=r"fastai's layout .* and has no valid\.txt, .*Next: write"):
        open_dataset("camvid", tmp_path, "val")
    (tmp_path / "valid.txt").write_text("other.png\n")
    with pytest.raises(DatasetError, match=r"valid\.txt names other\.png, which images/ lacks"):
        open_dataset("camvid", tmp_path, "val")
    (tmp_path / "valid.txt").write_text("0016E5_1.png\n")
    with pytest.raises(DatasetError, match="has no split 'test'"):
        open_dataset("camvid", tmp_path, "test")


def test_label_map_that_is_not_there_is_named_with_the_files_like_it(tmp_path):
    write_split(tmp_path, end="_labels")
    with pytest.raises(DatasetError, match=r"expected 0016E5_1\.png in .*valannot, which has 0016E5_1_labels\.png"):
        open_dataset("camvid", tmp_path, "val")


def test_folder_of_another_layout_is_told_all_layouts_and_what_it_has(tmp_path):
    (tmp_path / "frames").mkdir()
    with pytest.raises(DatasetError, match=r"has no val, expected .*SegNet.*Kaggle.*fastai.*original.*; it has frames"):
        open_dataset("camvid", tmp_path, "val")
    write_split(tmp_path / "CamVid")
    with pytest.raises(DatasetError, match=r"has no val, but CamVid/ has\. Next: --data-dir .*CamVid"):
        open_dataset("camvid", tmp_path, "val")


def test_what_macs_and_windows_leave_is_no_frame(tmp_path):
    write_split(tmp_path)
    for folder in ("val", "valannot"):
        (tmp_path / folder / "._0016E5_1.png").write_bytes(b"\x00\x05\x16\x07")
        (tmp_path / folder / "Thumbs.db").write_bytes(b"x")
        (tmp_path / folder / ".DS_Store").write_bytes(b"x")
    assert len(open_dataset("camvid", tmp_path, "val")) == 2


def test_folder_that_is_full_of_something_else_is_not_called_empty(tmp_path):
    (tmp_path / "valannot").mkdir()
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "a.HEIC").write_bytes(b"x")
    with pytest.raises(DatasetError, match=r"val holds no picture \(.*\), it has a\.HEIC\. Next: "):
        open_dataset("camvid", tmp_path, "val")


def test_list_of_all_frames_leaves_none_to_train(tmp_path):
    write_split(tmp_path, "images", "labels", "_P")
    (tmp_path / "valid.txt").write_text("0016E5_1.png\n0016E5_2.png\n")
    with pytest.raises(DatasetError, match=r"valid\.txt names every frame, so none is left to train"):
        open_dataset("camvid", tmp_path, "train")


def test_label_map_of_another_format_is_found_and_png_goes_first(tmp_path):
    write_split(tmp_path, names=("a", "b", "c"))
    (tmp_path / "valannot" / "a.png").rename(tmp_path / "valannot" / "a.PNG")
    (tmp_path / "valannot" / "b.png").unlink()
    write_image(tmp_path / "valannot" / "b.bmp", IDS)
    write_image(tmp_path / "valannot" / "c.jpg", IDS)
    dataset = open_dataset("camvid", tmp_path, "val")
    assert [sample.label_path.name for sample in dataset.samples] == ["a.PNG", "b.bmp", "c.png"]
    for index in range(3):
        np.testing.assert_array_equal(dataset.read_labels(index), TRAIN_IDS)


def test_frame_in_two_formats_is_named(tmp_path):
    write_split(tmp_path)
    write_image(tmp_path / "val" / "0016E5_1.jpg", FRAME)
    with pytest.raises(DatasetError, match=r"camvid val has the frame 0016E5_1 twice, as .*\.jpg and .*\.png"):
        open_dataset("camvid", tmp_path, "val")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_lists_that_powershell_and_notepad_wrote_are_read(tmp_path, encoding):
    write_split(tmp_path, frames="images", labels="labels", end="_P", names=("a_1", "a_2"))
    (tmp_path / "codes.txt").write_text("\r\n".join(NAMES) + "\r\n", encoding=encoding)
    (tmp_path / "valid.txt").write_text("a_1.png\r\n", encoding=encoding)
    assert [sample.name for sample in open_dataset("camvid", tmp_path, "val").samples] == ["a_1"]


def test_list_that_is_no_text_is_named(tmp_path):
    write_split(tmp_path, frames="images", labels="labels", end="_P", names=("a_1", "a_2"))
    (tmp_path / "valid.txt").write_bytes(b"a_1.png\n\xff\xe9")
    with pytest.raises(DatasetError, match=r"valid\.txt cannot be read as text: line 2"):
        open_dataset("camvid", tmp_path, "val")


PUBLISHED = {
    "train": (
        "0001TP_006690",
        "0001TP_008520",
        "0006R0_f00930",
        "0006R0_f03930",
        "0016E5_00390",
        "0016E5_07920",
        "0016E5_08190",
    ),
    "val": ("0016E5_07959", "0016E5_08159"),
    "test": ("0001TP_008550", "0001TP_010380", "Seq05VD_f00000", "Seq05VD_f05100"),
}
"""First and last frames of each sequence in the lists of the SegNet tutorial."""


def write_original(root, names=()):
    names = names or [name for split in PUBLISHED.values() for name in split]
    return write_split(root, "701_StillsRaw_full", "LabeledApproved_full", "_L", original_colors(), names)


def test_original_archives_are_split_as_published(tmp_path):
    write_original(tmp_path)
    for split, names in PUBLISHED.items():
        dataset = open_dataset("camvid", tmp_path, split)
        assert tuple(sample.name for sample in dataset.samples) == names
        assert dataset.split_source.startswith("split of SegNet")
    np.testing.assert_array_equal(dataset.read_labels(0), TRAIN_IDS)
    assert open_dataset("camvid", write_split(tmp_path / "tutorial"), "val").split_source == ""


def test_original_archives_with_a_list_are_split_by_it(tmp_path):
    write_original(tmp_path, names=("a_1", "a_2"))
    with pytest.raises(
        DatasetError, match=r"has a_1\.png, a_2\.png in 701_StillsRaw_full, of no sequence .*valid\.txt"
    ):
        open_dataset("camvid", tmp_path, "val")
    (tmp_path / "valid.txt").write_text("a_2.png\n")
    assert [sample.name for sample in open_dataset("camvid", tmp_path, "train").samples] == ["a_1"]


@pytest.mark.parametrize("half", ["701_StillsRaw_full", "LabeledApproved_full"])
def test_half_of_the_original_archives_is_named_with_where_it_can_be_had(tmp_path, half):
    write_original(tmp_path, names=("0016E5_07959",))
    (tmp_path / half).rename(tmp_path / "elsewhere")
    with pytest.raises(DatasetError, match=rf"has no {half}, but the other half: .*MotionSegRecData"):
        open_dataset("camvid", tmp_path, "val")
