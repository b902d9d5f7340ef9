from __future__ import annotations

import numpy as np
import pytest

from edge.datasets import LAYOUTS, class_table, default_data_dir, open_dataset
from edge.errors import DatasetError, ImageError
from edge.imaging import write_image
from edge.labels import CITYSCAPES, IGNORE_ID

FRAME = np.random.default_rng(3).integers(0, 256, (6, 34, 3), np.uint8)


def write_cityscapes(root, split="val", kinds=("labelIds",), ids=None, cities=("aachen", "bochum"), count=2):
    ids = np.tile(np.arange(34, dtype=np.uint8), (6, 1)) if ids is None else ids
    for city in cities:
        for index in range(count):
            stem = f"{city}_{index:06d}_000019"
            write_image(root / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png", FRAME)
            for kind in kinds:
                stored = ids if kind == "labelIds" else CITYSCAPES.raw_lookup().astype(np.uint8)[ids]
                write_image(root / "gtFine" / split / city / f"{stem}_gtFine_{kind}.png", stored)
    return root


def test_cityscapes_files_are_found_city_by_city(tmp_path):
    dataset = open_dataset("cityscapes", write_cityscapes(tmp_path), "val")
    assert [sample.name for sample in dataset.samples] == [
        "aachen_000000_000019",
        "aachen_000001_000019",
        "bochum_000000_000019",
        "bochum_000001_000019",
    ]
    assert [sample.group for sample in dataset.samples] == ["aachen", "aachen", "bochum", "bochum"]
    assert len(dataset) == 4
    np.testing.assert_array_equal(dataset.read_frame(0), FRAME)


def test_cityscapes_label_ids_become_the_19_train_ids(tmp_path):
    # Column r of the map holds file id r; written down here apart from the table under test.
    train_ids = [255] * 34
    for train_id, raw_id in enumerate([7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]):
        train_ids[raw_id] = train_id
    frame, labels = open_dataset("cityscapes", write_cityscapes(tmp_path), "val").read_pair(0)
    assert labels.dtype == np.uint8
    assert frame.shape[:2] == labels.shape
    np.testing.assert_array_equal(labels, np.tile(train_ids, (6, 1)))


def test_train_id_files_are_read_where_there_are_no_label_ids(tmp_path):
    raw = open_dataset("cityscapes", write_cityscapes(tmp_path / "raw"), "val")
    train = open_dataset("cityscapes", write_cityscapes(tmp_path / "train", kinds=("labelTrainIds",)), "val")
    assert train.samples[0].labels_are_train_ids
    assert not raw.samples[0].labels_are_train_ids
    np.testing.assert_array_equal(train.read_labels(0), raw.read_labels(0))


def test_label_ids_go_before_train_ids(tmp_path):
    both = open_dataset("cityscapes", write_cityscapes(tmp_path, kinds=("labelIds", "labelTrainIds")), "val")
    assert both.samples[0].label_path.name.endswith("_labelIds.png")
    assert not both.samples[0].labels_are_train_ids


@pytest.mark.parametrize("kinds", [("labelIds",), ("labelTrainIds",)])
def test_pixels_of_each_class_are_those_of_the_label_map(tmp_path, kinds):
    ids = np.random.default_rng(4).integers(0, 34, (7, 34), np.uint8)
    dataset = open_dataset("cityscapes", write_cityscapes(tmp_path, kinds=kinds, ids=ids), "val")
    counts = dataset.count_labels(1)
    assert (counts.shape, counts.dtype) == ((256,), np.int64)
    np.testing.assert_array_equal(counts, np.bincount(dataset.read_labels(1).ravel(), minlength=256))
    assert counts[IGNORE_ID] > 0


def test_counting_refuses_what_reading_refuses(tmp_path):
    dataset = open_dataset("cityscapes", write_cityscapes(tmp_path, ids=np.full((6, 34), 99, np.uint8)), "val")
    with pytest.raises(DatasetError, match=r"unknown ids \[99\]"):
        dataset.count_labels(0)
    bare = open_dataset("cityscapes", write_cityscapes(tmp_path / "bare", kinds=()), "val", labelled=False)
    with pytest.raises(DatasetError, match="no label map"):
        bare.count_labels(0)


@pytest.mark.parametrize("unknown", [34, 99, 254, 255])
def test_unknown_label_ids_are_named_with_their_file(tmp_path, unknown):
    ids = np.zeros((6, 34), np.uint8)
    ids[2, 3] = unknown
    dataset = open_dataset("cityscapes", write_cityscapes(tmp_path, ids=ids), "val")
    with pytest.raises(DatasetError, match=rf"aachen_0.*_labelIds\.png has unknown ids \[{unknown}\].*0 to 33"):
        dataset.read_labels(0)


def test_unknown_train_ids_are_refused(tmp_path):
    root = write_cityscapes(tmp_path, kinds=("labelTrainIds",))
    path = open_dataset("cityscapes", root, "val").samples[0].label_path
    write_image(path, np.full((6, 34), 19, np.uint8))
    with pytest.raises(DatasetError, match=r"unknown ids \[19\]"):
        open_dataset("cityscapes", root, "val").read_labels(0)


def test_label_map_of_16_bits_is_read_like_one_of_8(tmp_path):
    ids = np.tile(np.arange(34, dtype=np.uint16), (6, 1))
    deep = open_dataset("cityscapes", write_cityscapes(tmp_path / "deep", ids=ids), "val")
    plain = open_dataset("cityscapes", write_cityscapes(tmp_path / "plain"), "val")
    np.testing.assert_array_equal(deep.read_labels(0), plain.read_labels(0))


@pytest.mark.parametrize(("unknown", "likely"), [(26001, "instanceIds"), (2570, "16 bits hold depths")])
def test_values_that_no_8_bit_map_has_are_named_with_what_they_may_be(tmp_path, unknown, likely):
    ids = np.zeros((6, 34), np.uint16)
    ids[0, 0] = unknown
    dataset = open_dataset("cityscapes", write_cityscapes(tmp_path, ids=ids), "val")
    with pytest.raises(
        DatasetError, match=rf"unknown ids \[{unknown}\] in 16 bits, cityscapes has 0 to 33: .*{likely}"
    ):
        dataset.read_labels(0)


def test_label_map_of_another_size_is_refused_with_both_sizes(tmp_path):
    dataset = open_dataset("cityscapes", write_cityscapes(tmp_path, ids=np.zeros((3, 17), np.uint8)), "val")
    with pytest.raises(DatasetError, match="is 3x17, its frame is 6x34"):
        dataset.read_pair(0)


def test_unreadable_frame_is_named(tmp_path):
    dataset = open_dataset("cityscapes", write_cityscapes(tmp_path), "val")
    dataset.samples[1].image_path.write_bytes(b"no picture")
    with pytest.raises(ImageError, match=dataset.samples[1].image_path.name):
        dataset.read_pair(1)


def test_frame_without_label_map_is_refused_only_where_labels_are_needed(tmp_path):
    root = write_cityscapes(tmp_path)
    next((root / "gtFine" / "val" / "bochum").glob("*")).unlink()
    with pytest.raises(DatasetError, match=r"1 of 4 frames of .* have no label map, the first is bochum_"):
        open_dataset("cityscapes", root, "val")
    dataset = open_dataset("cityscapes", root, "val", labelled=False)
    bare = next(index for index, sample in enumerate(dataset.samples) if sample.label_path is None)
    with pytest.raises(DatasetError, match="has no label map"):
        dataset.read_labels(bare)


def test_camvid_reads_frames_labels_and_sequences(make_camvid):
    dataset = open_dataset("camvid", make_camvid(count=4), "val")
    assert [sample.name for sample in dataset.samples] == ["v0_000", "v0_002", "v1_001", "v1_003"]
    assert [sample.group for sample in dataset.samples] == ["v0", "v0", "v1", "v1"]
    frame, labels = dataset.read_pair(0)
    assert frame.shape == (20, 44, 3)
    assert set(np.unique(labels)) <= {*range(11), IGNORE_ID}
    assert IGNORE_ID in labels


def test_camvid_id_11_is_ignored_and_12_unknown(tmp_path):
    write_image(tmp_path / "val" / "a.png", FRAME)
    write_image(tmp_path / "valannot" / "a.png", np.tile(np.arange(34, dtype=np.uint8) % 12, (6, 1)))
    labels = open_dataset("camvid", tmp_path, "val").read_labels(0)
    np.testing.assert_array_equal(labels[0, :12], [*range(11), 255])
    write_image(tmp_path / "valannot" / "a.png", np.full((6, 34), 12, np.uint8))
    with pytest.raises(DatasetError, match=r"unknown ids \[12\], camvid has 0 to 11.*--dataset"):
        open_dataset("camvid", tmp_path, "val").read_labels(0)


@pytest.mark.parametrize(("name", "message"), [("cityscapes", "no leftImg8bit/val"), ("camvid", "no val, expected")])
def test_dataset_of_another_layout_is_refused_with_the_layout_wanted(tmp_path, name, message):
    (tmp_path / "images").mkdir()
    with pytest.raises(DatasetError, match=message):
        open_dataset(name, tmp_path, "val")


def test_camvid_without_its_label_folder_is_refused(tmp_path):
    write_image(tmp_path / "val" / "a.png", FRAME)
    with pytest.raises(DatasetError, match="has no valannot"):
        open_dataset("camvid", tmp_path, "val")


@pytest.mark.parametrize("name", LAYOUTS)
def test_missing_folder_is_refused_with_the_way_to_get_it(tmp_path, name):
    with pytest.raises(DatasetError, match=rf"{name} folder not found: .*none.* Next: --data-dir FOLDER, or "):
        open_dataset(name, tmp_path / "none", "val")


@pytest.mark.parametrize(("name", "folders"), [("cityscapes", ["leftImg8bit/val"]), ("camvid", ["val", "valannot"])])
def test_empty_split_is_refused(tmp_path, name, folders):
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"split 'val' .* is empty"):
        open_dataset(name, tmp_path, "val")


def test_unknown_dataset_is_refused_with_the_known_ones():
    with pytest.raises(DatasetError, match=r"dataset is 'kitti', expected one of: cityscapes, .*FILE.json"):
        open_dataset("kitti", None, "val")
    with pytest.raises(DatasetError):
        class_table("kitti")


@pytest.mark.parametrize(("count", "limit"), [(10, 3), (10, 10), (10, 99), (7, 2), (5, 1), (10, 9)])
def test_limit_keeps_frames_spread_evenly_over_the_split(make_camvid, count, limit):
    root = make_camvid(count=count)
    every = [sample.name for sample in open_dataset("camvid", root, "val").samples]
    kept = [sample.name for sample in open_dataset("camvid", root, "val", limit=limit).samples]
    positions = [every.index(name) for name in kept]
    assert len(kept) == min(count, limit)
    gaps = np.diff([*positions, count])
    assert gaps.min() >= 1
    assert gaps.max() - gaps.min() <= 1


def test_default_folder_follows_the_environment(tmp_path, monkeypatch, make_camvid):
    monkeypatch.delenv("SEGEDGE_DATA", raising=False)
    assert str(default_data_dir("camvid")) == "data/camvid"
    make_camvid()
    monkeypatch.setenv("SEGEDGE_DATA", str(tmp_path))
    assert open_dataset("camvid", None, "val").root == tmp_path / "camvid"
