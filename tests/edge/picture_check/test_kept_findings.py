from __future__ import annotations

import os
import time

import numpy as np
import pytest

from edge.datasets import open_dataset
from edge.errors import DatasetError
from edge.imaging import write_image
from edge.picture_check import checked, checked_dataset, dataset_findings
from tests.edge.picture_files import damaged_inside

IDS = np.full((20, 44), 3, np.uint8)


@pytest.fixture
def opened(make_camvid, tmp_path, monkeypatch):
    """Return a function that opens a split whose files were changed a minute ago, with a cache folder of its own."""
    monkeypatch.setenv("SEGEDGE_CACHE", str(tmp_path / "cache"))
    root = make_camvid(count=4)

    def settle(*names):
        for path in [path for path in root.rglob("*.png") if not names or path.name in names]:
            os.utime(path, ns=(time.time_ns() - 60_000_000_000,) * 2)

    def open_split():
        return open_dataset("camvid", root, "train")

    settle()
    monkeypatch.setattr("edge.picture_check.kept_findings._SETTLED_NS", -1)  # the times of entries are those of now
    open_split.root, open_split.settle = root, settle
    return open_split


@pytest.fixture
def read_again(monkeypatch):
    """Return the list of the names of pairs that are looked into."""
    names = []
    find_pair = checked.find_pair

    def noted(dataset, index, labels, frames):
        names.append(dataset.samples[index].name)
        return find_pair(dataset, index, labels, frames)

    monkeypatch.setattr(checked, "find_pair", noted)
    return names


def test_second_check_reads_no_file_and_finds_the_same(opened, read_again):
    first = dataset_findings(opened(), needs_labels=True, reads_frames=True)
    assert len(read_again) == 4
    assert dataset_findings(opened(), needs_labels=True, reads_frames=True) == first
    assert dataset_findings(opened(), needs_labels=True) == first
    assert len(read_again) == 4
    assert dict(first[0].file_counts)[11] == dict(first[0].label_counts)[255]
    assert sum(pixels for _, pixels in first[0].file_counts) == 880


def test_check_that_asks_for_more_reads_again(opened, read_again):
    dataset_findings(opened(), needs_labels=True)
    assert dataset_findings(opened(), needs_labels=True, reads_frames=True)[0].has_read_frame
    assert len(read_again) == 8


@pytest.mark.parametrize("folder", ["train", "trainannot"])
def test_file_that_changed_is_read_again_though_size_and_time_are_as_before(opened, read_again, folder):
    dataset_findings(opened(), needs_labels=True)
    read_again.clear()
    path = sorted((opened.root / folder).iterdir())[2]
    state = path.stat()
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(state.st_mtime_ns, state.st_mtime_ns))
    dataset_findings(opened(), needs_labels=True)
    assert read_again == [path.stem]


def test_problem_that_was_mended_is_gone_and_one_that_stays_is_named_again(opened, read_again):
    good, bad = opened.root / "trainannot" / "t0_000.png", opened.root / "trainannot" / "t1_001.png"
    sound = good.read_bytes()
    for path in (good, bad):
        write_image(path, np.full((20, 44), 40, np.uint8))
    for _ in range(2):
        with pytest.raises(DatasetError, match=r"2 of 4 .*t0_000\.png has unknown ids \[40\].*t1_001"):
            checked_dataset(opened(), needs_labels=True)
    assert len(read_again) == 4
    good.write_bytes(sound)
    assert checked_dataset(opened(), needs_labels=True, skip_bad=True).skipped == ("t1_001",)
    assert len(read_again) == 5


def test_what_the_values_mean_is_part_of_what_is_kept(opened, read_again):
    dataset_findings(opened(), needs_labels=True)
    (opened.root / "codes.txt").write_text("Sky\nBuilding\n")
    assert all(finding.is_of_values for finding in dataset_findings(opened(), needs_labels=True))
    assert len(read_again) == 8


@pytest.mark.parametrize("damage", [b"", b"{}", b"abc\n{}", None], ids=["empty", "other", "no checksum", "torn"])
def test_torn_file_of_findings_is_no_error(opened, read_again, tmp_path, damage):
    first = dataset_findings(opened(), needs_labels=True)
    (kept,) = (tmp_path / "cache" / "checked").iterdir()
    kept.write_bytes(kept.read_bytes()[:-40] if damage is None else damage)
    assert dataset_findings(opened(), needs_labels=True) == first
    assert len(read_again) == 8


def test_findings_that_cannot_be_kept_are_no_error(opened, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "checked").write_text("in the way")
    assert len(checked_dataset(opened(), needs_labels=True)) == 4


def test_pair_that_was_changed_just_now_is_not_kept(opened, read_again, monkeypatch):
    monkeypatch.setattr("edge.picture_check.kept_findings._SETTLED_NS", 3_600_000_000_000)
    for _ in range(2):
        dataset_findings(opened(), needs_labels=True)
    assert len(read_again) == 8


def test_frame_that_is_damaged_inside_is_found_where_frames_are_read_and_every_bad_pair_is_listed(opened, capsys):
    frame = opened.root / "train" / "t0_000.png"
    frame.write_bytes(damaged_inside(frame.read_bytes()))
    write_image(opened.root / "trainannot" / "t1_001.png", np.zeros((5, 5), np.uint8))
    with pytest.raises(DatasetError, match="1 of 4"):
        checked_dataset(opened(), needs_labels=True, skip_bad=False)
    capsys.readouterr()
    with pytest.raises(DatasetError, match=r"2 of 4 .*t0_000\.png cannot be decoded \(it is damaged: the checksum"):
        checked_dataset(opened(), needs_labels=True, skip_bad=False, reads_frames=True)
    listed = [line for line in capsys.readouterr().err.splitlines() if line.startswith("bad: train/")]
    assert [line.split(":")[1] for line in listed] == [" train/t0_000", " train/t1_001"]
    kept = checked_dataset(opened(), needs_labels=True, skip_bad=True, reads_frames=True)
    assert kept.skipped == ("t0_000", "t1_001")


def test_frame_without_a_label_map_is_known_too(opened, read_again):
    (opened.root / "trainannot" / "t1_003.png").unlink()

    def find():
        return dataset_findings(open_dataset("camvid", opened.root, "train", labelled=False), needs_labels=True)

    assert find() == find()
    assert len(read_again) == 4
