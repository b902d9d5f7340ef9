from __future__ import annotations

import json

import numpy as np
import pytest

from edge.datasets import open_dataset
from edge.datasets.label_files import read_label_header
from edge.datasets.polygons.cityscapes import draw_label_ids
from edge.errors import DatasetError
from edge.imaging import write_image
from edge.picture_check import checked_dataset

SQUARE = [[0, 0], [3, 0], [3, 3], [0, 3]]


def entry(label, polygon=None, **more):
    return {"label": label, "polygon": SQUARE if polygon is None else polygon, **more}


def write_polygons(path, objects, height=5, width=6, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"imgHeight": height, "imgWidth": width, "objects": objects, **more}))
    return path


def drawn(tmp_path, *objects):
    return draw_label_ids(write_polygons(tmp_path / "a_gtFine_polygons.json", list(objects)))


def test_objects_are_drawn_in_their_order_on_unlabeled(tmp_path):
    labels = drawn(tmp_path, entry("road"), entry("car", [[2, 2], [9, 2], [9, 9], [2, 9]]))
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, [[7, 7, 7, 7, 0, 0]] * 2 + [[7, 7, 26, 26, 26, 26]] * 2 + [[0, 0] + [26] * 4])


@pytest.mark.parametrize(
    ("label", "value"), [("cargroup", 26), ("polegroup", 18), ("license plate", 0), ("persongroup", 24)]
)
def test_groups_and_classes_without_an_id(tmp_path, label, value):
    assert drawn(tmp_path, entry(label))[1, 1] == value


def test_deleted_objects_are_not_drawn_whatever_they_are(tmp_path):
    assert not drawn(tmp_path, entry("road", deleted=1), entry("nothing known", deleted=1)).any()
    assert drawn(tmp_path, entry("road", deleted=0))[0, 0] == 7


@pytest.mark.parametrize(
    ("objects", "told"),
    [
        ([entry("tram")], r"has the class 'tram' in object 0, expected one of Cityscapes'"),
        ([entry("treegroup")], r"has the class 'treegroup' in object 0"),
        ([entry("road"), entry("car", [[1, 1]])], r"has no polygon in object 1 \('car'\), expected at least 2 corners"),
        ([entry("road", [[1, "x"], [2, 2]])], r"has no polygon in object 0"),
        ([{"polygon": SQUARE}], r"has no list \"objects\""),
        ("road", r"has no list \"objects\""),
    ],
)
def test_what_cannot_be_drawn_is_one_line(tmp_path, objects, told):
    path = write_polygons(tmp_path / "a_gtFine_polygons.json", objects)
    with pytest.raises(DatasetError, match=rf"^label map .*a_gtFine_polygons\.json {told}"):
        draw_label_ids(path)


@pytest.mark.parametrize(
    ("text", "told"), [("{", "is no JSON: line 1"), ("[]", "is a JSON list"), ("{}", "has imgHei")]
)
def test_file_that_holds_no_polygons_is_bad_before_it_is_drawn(tmp_path, text, told):
    path = tmp_path / "a.json"
    path.write_text(text)
    assert told in read_label_header(path).problem


def write_dataset(root, objects, kinds=("polygons",), height=5):
    write_image(root / "leftImg8bit/val/aachen/aachen_0_0_leftImg8bit.png", np.zeros((5, 6, 3), np.uint8))
    if "polygons" in kinds:
        write_polygons(root / "gtFine/val/aachen/aachen_0_0_gtFine_polygons.json", objects, height)
    if "labelIds" in kinds:
        write_image(root / "gtFine/val/aachen/aachen_0_0_gtFine_labelIds.png", np.full((5, 6), 11, np.uint8))
    return open_dataset("cityscapes", root, "val")


def test_polygons_are_read_where_there_are_no_ids(tmp_path):
    dataset = write_dataset(tmp_path, [entry("road")])
    labels = checked_dataset(dataset, needs_labels=True).read_labels(0)
    assert (labels[:4, :4] == 0).all() and (labels == 255).sum() == 14
    assert dataset.count_labels(0)[0] == 16


def test_ids_go_before_polygons(tmp_path):
    assert (write_dataset(tmp_path, [entry("road")], ("polygons", "labelIds")).read_labels(0) == 2).all()


def test_polygons_of_another_size_are_found_before_work(tmp_path):
    dataset = write_dataset(tmp_path, [entry("road")], height=4)
    with pytest.raises(DatasetError, match=r"polygons\.json is 4x6, its frame is 5x6, expected the same size"):
        checked_dataset(dataset, needs_labels=True)


def test_maps_are_those_of_cityscapes_scripts(tmp_path):
    pytest.importorskip("PIL", minversion="11.3")
    scripts = pytest.importorskip("cityscapesscripts.preparation.json2labelImg")
    from PIL import Image

    rng = np.random.default_rng(1)
    names = ["road", "cargroup", "car", "license plate", "pole", "rail track", "polegroup", "bicyclegroup"]
    objects = [
        entry(names[index % 8], rng.integers(-20, 90, (rng.integers(3, 30), 2)).tolist(), deleted=int(index == 5))
        for index in range(40)
    ]
    path = write_polygons(tmp_path / "a_gtFine_polygons.json", objects, 60, 70)
    scripts.json2labelImg(str(path), str(tmp_path / "theirs.png"))
    np.testing.assert_array_equal(draw_label_ids(path), np.asarray(Image.open(tmp_path / "theirs.png")))
