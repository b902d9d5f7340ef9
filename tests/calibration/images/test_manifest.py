"""A manifest stands for its images, shows what they cover, and says what a user should know of them."""

from __future__ import annotations

import dataclasses

import pytest

from calibration.images.coverage import ImageStatistics
from calibration.images.manifest import (
    CalibrationManifest,
    ClassCoverage,
    class_coverage,
    manifest_note,
    manifest_warnings,
)
from edge.errors import ContractError
from edge.records import read_record, write_record


@pytest.fixture
def manifest():
    """Four images that show all of three classes."""
    return CalibrationManifest(
        images_from="camvid train",
        split="train",
        method="by hand",
        names=("a", "b", "c", "d"),
        sha256=("1" * 64, "2" * 64, "3" * 64, "4" * 64),
        classes={"road": ClassCoverage(4, 0.5, 9), "car": ClassCoverage(2, 0.1, 5), "train": ClassCoverage(1, 0.01, 1)},
        groups={"a": 4},
        lights={"dark": 4},
    )


def with_images(manifest, **images):
    """Return the manifest with other numbers of images per class, of 5 each in the split."""
    return dataclasses.replace(
        manifest, classes={name: ClassCoverage(count, 0.1 if count else 0.0, 5) for name, count in images.items()}
    )


def test_manifest_survives_a_file(manifest, tmp_path):
    write_record(tmp_path / "calibration.json", manifest)
    assert read_record(CalibrationManifest, tmp_path / "calibration.json") == manifest


def test_manifest_of_the_former_form_is_refused(manifest, tmp_path):
    (tmp_path / "old.json").write_text('{"schema": 1, "images_from": "camvid train", "names": [], "sha256": []}')
    with pytest.raises(ContractError, match="schema 1"):
        read_record(CalibrationManifest, tmp_path / "old.json")


@pytest.mark.parametrize(
    "change",
    [{"names": ("a", "b", "c", "e")}, {"sha256": ("1" * 64, "2" * 64, "3" * 64, "5" * 64)}, {"split": "val"}],
)
def test_digest_follows_names_hashes_and_split(manifest, change):
    assert dataclasses.replace(manifest, **change).digest() != manifest.digest()


def test_digest_does_not_follow_what_is_said_of_the_images(manifest):
    told = dataclasses.replace(manifest, method="greedy", classes={}, groups={}, lights={}, split_files_sha256="5" * 64)
    assert told.digest() == manifest.digest()


def test_cover_counts_images_and_pixels_of_each_class():
    split = [
        ImageStatistics("a", "s", 1, (60, 20, 0), 100),
        ImageStatistics("b", "s", 1, (90, 0, 0), 100),
        ImageStatistics("c", "s", 1, (0, 0, 7), 100),
        ImageStatistics("d", "s", 1),
    ]
    covers = class_coverage(("road", "car", "train"), [split[0], split[1], split[3]], split)
    assert covers == {
        "road": ClassCoverage(2, 0.75, 2),
        "car": ClassCoverage(1, 0.1, 1),
        "train": ClassCoverage(0, 0.0, 1),
    }
    unseen = class_coverage(("road", "car", "train"), split[:1], None)
    assert unseen["road"] == ClassCoverage(1, 0.6, None)


def test_cover_without_label_maps_is_unmeasured_not_zero():
    assert class_coverage(("road",), [ImageStatistics("a", "s", 1)], None) == {"road": ClassCoverage(None, None, None)}


def test_good_set_has_no_warning(manifest):
    assert manifest_warnings(manifest) == ()


def test_classes_that_no_image_shows_are_named(manifest):
    (sentence,) = manifest_warnings(with_images(manifest, road=4, car=1, train=0, bus=0))
    assert "no calibration image shows train, bus, although some of the split do" in sentence


def test_class_that_the_split_lacks_is_told_from_one_that_was_missed(manifest):
    classes = {**manifest.classes, "car": ClassCoverage(0, 0.0, 5), "bus": ClassCoverage(0, 0.0, 0)}
    assert manifest_warnings(dataclasses.replace(manifest, classes=classes)) == (
        "no calibration image shows car, although some of the split do. Next: take more images",
        "no calibration image shows bus, and none of the split does",
    )


def test_missing_class_of_a_split_that_nobody_looked_at_is_named_alone(manifest):
    classes = {**manifest.classes, "train": ClassCoverage(0, 0.0, None)}
    (sentence,) = manifest_warnings(dataclasses.replace(manifest, classes=classes))
    assert sentence == "no calibration image shows train"


def test_set_with_a_single_class_is_warned_of(manifest):
    (sentence,) = manifest_warnings(with_images(manifest, road=4, car=0, train=0))
    assert "show a single class, road" in sentence


def test_images_without_any_class_are_warned_of(manifest):
    (sentence,) = manifest_warnings(with_images(manifest, road=0, car=0, train=0))
    assert "no calibration image shows road, car, train" in sentence


@pytest.mark.parametrize(("count", "words"), [(2, "2 calibration images are fewer"), (1, "1 calibration image is")])
def test_fewer_images_than_classes_are_warned_of(manifest, count, words):
    few = dataclasses.replace(manifest, names=manifest.names[:count], sha256=manifest.sha256[:count])
    (sentence,) = manifest_warnings(few)
    assert sentence.startswith(words)
    assert "the 3 classes" in sentence


def test_split_without_label_maps_is_said_to_be_so(manifest):
    bare = dataclasses.replace(manifest, classes={name: ClassCoverage() for name in manifest.classes})
    (sentence,) = manifest_warnings(bare)
    assert "camvid train has no label maps" in sentence


def test_warnings_are_single_lines(manifest):
    bare = dataclasses.replace(manifest, names=("a",), sha256=("1" * 64,))
    for one in (with_images(bare, road=1, car=0, train=0), with_images(bare, road=1, car=1, train=0)):
        assert len(manifest_warnings(one)) == 2
        assert all("\n" not in sentence for sentence in manifest_warnings(one))


def test_drawn_scenes_have_no_warning_and_no_note(manifest):
    drawn = dataclasses.replace(manifest, split="drawn", classes={}, names=("a",), sha256=("1" * 64,))
    assert (manifest_warnings(drawn), manifest_note(drawn)) == ((), None)


def test_card_is_told_of_validation_images_and_of_nothing_else(manifest):
    assert manifest_note(manifest) is None
    note = manifest_note(dataclasses.replace(manifest, split="val", images_from="camvid val"))
    assert "validation images (camvid val)" in note
    assert "--force-validation-images" in note
    assert "test images" in manifest_note(dataclasses.replace(manifest, split="test"))
