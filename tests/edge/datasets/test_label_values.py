from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edge.datasets.label_values import read_file_labels
from edge.datasets.sample import LabelCoding, Sample
from edge.errors import DatasetError, ImageError
from edge.imaging import write_image
from edge.labels import CAMVID, CITYSCAPES, CITYSCAPES_RAW_COLORS_RGB, IGNORE_ID, ClassTable
from tests.edge.picture_files import small_png

CAMVID_IDS = np.random.default_rng(1).integers(0, 12, (9, 14), np.uint8)
RAW_IDS = np.tile(np.arange(34, dtype=np.uint8), (3, 1))
OFFICIAL = [CITYSCAPES_RAW_COLORS_RGB[index] for index in range(34)]


def voc_palette(count):
    """PASCAL VOC's palette, whose first colours are written in its paper's figures."""
    colors = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128)]
    colors += [(128, 128, 128), (64, 0, 0), (192, 0, 0), (64, 128, 0), (192, 128, 0)]
    return colors[:count]


@pytest.fixture
def labels_of(tmp_path):
    """Return a function that writes bytes or pixels as a label map, and reads its train ids."""

    def read(data, table, train_ids=False, coding=None, suffix=".png"):
        path = tmp_path / f"labels{suffix}"
        if isinstance(data, bytes):
            path.write_bytes(data)
        else:
            write_image(path, data)
        sample = Sample("a", "g", tmp_path / "a.png", path, labels_are_train_ids=train_ids, coding=coding)
        stored = read_file_labels(sample, table)
        return stored.to_train[stored.values]

    return read


def camvid_train_ids(ids):
    return np.where(ids == 11, IGNORE_ID, ids)


@pytest.mark.parametrize("palette", [voc_palette(12), [*CAMVID.colors_rgb, (0, 0, 0)], [(i,) * 3 for i in range(12)]])
def test_palette_of_a_labelling_tool_says_nothing_against_its_indices(labels_of, palette):
    read = labels_of(small_png(CAMVID_IDS, 8, palette), CAMVID)
    np.testing.assert_array_equal(read, camvid_train_ids(CAMVID_IDS))


def test_palette_of_pascal_voc_is_no_colour_coding_even_where_it_could_be(labels_of):
    ids = np.array([0, 1, 3, 7], np.uint8)[CAMVID_IDS % 4]  # whose colours are also CamVid's void, building, tree, sky
    assert {voc_palette(12)[index] for index in (0, 1, 3, 7)} <= set(CAMVID.file_colors)
    np.testing.assert_array_equal(labels_of(small_png(ids, 8, voc_palette(12)), CAMVID), ids)


def test_palette_of_the_official_colours_leaves_polegroup_ignored(labels_of):
    read = labels_of(small_png(RAW_IDS, 8, OFFICIAL), CITYSCAPES)
    np.testing.assert_array_equal(read, CITYSCAPES.raw_lookup()[RAW_IDS])
    assert (read[RAW_IDS == 18] == IGNORE_ID).all()


def test_colours_that_an_optimiser_packed_into_a_palette_are_read_as_colours(labels_of):
    sky, car, road = (128, 128, 128), (64, 0, 128), (128, 64, 128)
    with pytest.raises(DatasetError, match="can be read in two ways: indices and colours of its palette"):
        labels_of(small_png(CAMVID_IDS % 3, 8, [car, road, sky]), CAMVID)
    # With an index that no class has, the colours alone make sense.
    palette = [car] * 20 + [road, sky]
    read = labels_of(small_png(CAMVID_IDS % 2 + 20, 8, palette), CAMVID)
    np.testing.assert_array_equal(read, np.where(CAMVID_IDS % 2, 0, 3))


def test_greys_that_an_optimiser_packed_into_a_palette_are_not_guessed_at(labels_of):
    packed = small_png(CAMVID_IDS % 2, 8, [(3, 3, 3), (8, 8, 8)])
    with pytest.raises(DatasetError, match="indices and greys of its palette, which an optimiser"):
        labels_of(packed, CAMVID)


def test_original_colours_of_camvid_become_the_eleven_classes(labels_of):
    colors = np.array([list(CAMVID.file_colors)], np.uint8)
    read = labels_of(colors, CAMVID)
    # Written down apart from the table: name, colour and class of some of the 32.
    for color, train_id in {
        (128, 128, 128): 0,  # Sky
        (64, 192, 0): 1,  # Wall
        (0, 0, 64): 2,  # TrafficCone
        (192, 0, 64): 3,  # LaneMkgsNonDriv
        (0, 0, 192): 4,  # Sidewalk
        (192, 192, 0): 5,  # VegetationMisc
        (0, 64, 64): 6,  # TrafficLight
        (64, 64, 128): 7,  # Fence
        (192, 128, 192): 8,  # Truck_Bus
        (192, 128, 64): 9,  # Child
        (192, 0, 192): 10,  # MotorcycleScooter
        (0, 0, 0): IGNORE_ID,  # Void
    }.items():
        np.testing.assert_array_equal(read[(colors == color).all(2)], train_id, err_msg=str(color))
    assert len(CAMVID.file_colors) == 32 and set(read.ravel().tolist()) == {*range(11), IGNORE_ID}


def test_colours_of_cityscapes_are_read_and_shared_ones_are_named(labels_of, capsys):
    palette = np.array(OFFICIAL, np.uint8)
    read = labels_of(palette[RAW_IDS], CITYSCAPES)
    differs = read != CITYSCAPES.raw_lookup()[RAW_IDS]
    assert set(RAW_IDS[differs].tolist()) == {18}  # polegroup has the colour of pole
    assert "pole and polegroup" in capsys.readouterr().err


def test_three_equal_channels_are_ids_unless_they_may_be_colours(labels_of):
    read = labels_of(np.dstack([CAMVID_IDS] * 3), CAMVID)
    np.testing.assert_array_equal(read, camvid_train_ids(CAMVID_IDS))
    with pytest.raises(DatasetError, match="ids in three equal channels and the colours of classes"):
        labels_of(np.zeros((4, 5, 3), np.uint8), CAMVID)  # id 0 is the sky, black is void
    grey = np.full((4, 5, 3), 128, np.uint8)
    assert (labels_of(grey, CAMVID) == 0).all()


def test_unknown_colours_are_named_with_their_cause(labels_of):
    few = np.zeros((6, 6, 3), np.uint8)
    few[2, :3] = (60, 40, 222)
    with pytest.raises(DatasetError, match=r"in colours, of which 1 is unknown, such as \(60, 40, 222\) \(8.33 %"):
        labels_of(few, CAMVID)
    coding = LabelCoding(CAMVID.raw_to_train, CAMVID.file_colors)
    with pytest.raises(DatasetError, match=r"painted in other colours\. Next: name the class of each in .*class_dict"):
        labels_of(few, CAMVID, coding=coding)
    many = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    with pytest.raises(DatasetError, match="resized with interpolation, or saved with loss"):
        labels_of(many, CITYSCAPES)


def test_colours_of_a_dataset_without_any_are_refused(labels_of):
    rails = ClassTable("rails", ("rail", "other"), ((1, 2, 3), (4, 5, 6)), {0: 0, 1: 1})
    with pytest.raises(DatasetError, match="is in colours, and rails says of no colour which class it is"):
        labels_of(np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8), rails)


@pytest.mark.parametrize(
    ("ids", "train_ids", "words"),
    [
        ([0, 8, 255], False, r"unknown ids \[255\], cityscapes has 0 to 33 .*looks like labelTrainIds"),
        ([7, 8, 26], True, r"unknown ids \[26\], cityscapes has 0 to 18 and 255 .*looks like labelIds"),
        ([7, 40], False, r"unknown ids \[40\], .*another dataset's ids"),
        (range(100), False, "resized with interpolation, or is a photo"),
        ([0, 255], False, "labelTrainIds"),
    ],
)
def test_unknown_ids_are_named_with_what_the_map_may_be(labels_of, ids, train_ids, words):
    with pytest.raises(DatasetError, match=words):
        labels_of(np.array([list(ids)], np.uint8), CITYSCAPES, train_ids)


def test_mask_in_black_and_white_is_called_one(labels_of):
    with pytest.raises(DatasetError, match=r"unknown ids \[255\], camvid has 0 to 11 \(50 % .*mask in black and white"):
        labels_of(np.array([[0, 255]], np.uint8), CAMVID)


def test_ids_where_colours_are_expected_are_refused_with_the_hint(labels_of):
    coding = LabelCoding({}, CAMVID.file_colors, "a hint. Next: do it")
    with pytest.raises(DatasetError, match="holds ids, expected colours: a hint"):
        labels_of(CAMVID_IDS, CAMVID, coding=coding)
    with pytest.raises(DatasetError, match="holds ids, expected colours"):
        labels_of(np.dstack([CAMVID_IDS] * 3), CAMVID, coding=coding)


def test_ids_of_a_list_of_names_are_read_by_it(labels_of):
    coding = LabelCoding({0: 5, 30: IGNORE_ID}, {}, source="codes.txt")
    np.testing.assert_array_equal(labels_of(np.array([[0, 30]], np.uint8), CAMVID, coding=coding), [[5, IGNORE_ID]])
    with pytest.raises(DatasetError, match=r"unknown ids \[7\], camvid has 0 and 30 by codes\.txt"):
        labels_of(np.array([[7]], np.uint8), CAMVID, coding=coding)


def test_lossy_label_map_is_refused(labels_of):
    with pytest.raises(ImageError, match="lossy compression"):
        labels_of(CAMVID_IDS, CAMVID, suffix=".jpg")


def test_counts_are_of_the_values_that_were_read(tmp_path):
    write_image(tmp_path / "a.png", CAMVID_IDS)
    sample = Sample("a", "g", tmp_path / "f.png", tmp_path / "a.png")
    stored = read_file_labels(sample, CAMVID)
    np.testing.assert_array_equal(stored.counts, np.bincount(CAMVID_IDS.ravel(), minlength=256))
    colored = np.array(CAMVID.colors_rgb, np.uint8)[CAMVID_IDS % 4]
    write_image(tmp_path / "a.png", colored)
    stored = read_file_labels(dataclasses.replace(sample), CAMVID)
    np.testing.assert_array_equal(stored.counts[:4], np.bincount((CAMVID_IDS % 4).ravel()))
