"""A user's own pictures: some calibrate, others judge, and none does both."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from calibration.images.manifest import CalibrationManifest, manifest_note, manifest_warnings
from calibration.images.selection import MANIFEST_FILE
from calibration.results import REPORT_FILE, Int8Report
from edge.errors import AccuracyBudgetError, ImageError
from edge.records import read_record
from export.build_engine import main
from export.pipeline.user_images import picture_manifest, split_pictures
from tests.export import small_device as device
from tests.export.small_device import ARTIFACT, built, hostile


@pytest.fixture
def pictures(tmp_path):
    return device.write_pictures(tmp_path / "mine", 9)


@pytest.mark.parametrize("wanted", [1, 2, 3, 4, 50])
def test_no_picture_both_calibrates_and_judges_and_all_do_one(pictures, wanted):
    calibrating, judging = split_pictures(pictures, wanted)
    assert not set(calibrating.names) & set(judging.names)
    assert sorted([*calibrating.names, *judging.names]) == [f"picture_{index}" for index in range(9)]
    assert len(judging) == min(wanted, 4)  # never more than half


def test_pictures_that_judge_are_spread_over_the_names(tmp_path):
    folder = device.write_pictures(tmp_path / "many", 30)
    names = [f"picture_{index}" for index in range(30)]
    order = sorted(names)
    places = [order.index(name) for name in split_pictures(folder, 5)[1].names]
    assert places == [3, 9, 15, 21, 27]


@pytest.mark.parametrize("count", [2, 3])
def test_few_pictures_still_do_both(tmp_path, count):
    calibrating, judging = split_pictures(device.write_pictures(tmp_path / "few", count), 50)
    assert (len(calibrating), len(judging)) == (count - 1, 1)


def test_one_picture_or_none_is_refused(tmp_path):
    folder = device.write_pictures(tmp_path / "one", 1)
    with pytest.raises(ImageError, match="holds 1 picture, expected at least 2: some calibrate, others judge"):
        split_pictures(folder, 5)
    with pytest.raises(ImageError, match=r"image or folder not found: .*none"):
        split_pictures(tmp_path / "none", 5)


def test_manifest_names_the_pictures_and_their_content(pictures):
    calibrating, _ = split_pictures(pictures, 3)
    chosen, manifest = picture_manifest(calibrating, 4)
    assert manifest.names == tuple(chosen.names) and len(chosen) == 4
    assert manifest.sha256[1] == hashlib.sha256((pictures / f"{chosen.names[1]}.png").read_bytes()).hexdigest()
    assert manifest.images_from == str(pictures)
    assert manifest_warnings(manifest) == () and manifest_note(manifest) is None
    everything, _ = picture_manifest(calibrating, 50)
    assert everything.names == calibrating.names


# Builds

# On frames of 32 pixels a class may be a speck, which the 7-bit weights of a processor without VNNI lose.
SPECKS = {"fence": 100.0}


@pytest.fixture
def here(tmp_path, monkeypatch):
    device.prepare(tmp_path, monkeypatch)
    device.write_pictures(Path("mine"), 9)
    return tmp_path


def test_engine_is_calibrated_and_judged_by_the_users_pictures(here):
    device.write_artifact(hostile.hostile_network(ratio=1.0))
    card = built(images_path=Path("mine"), class_limits=SPECKS)[0].card
    assert (card.calibration.image_count, card.calibration.images_from) == (3, "mine")
    assert (card.check.image_count, card.check.images_from) == (4, "mine")
    assert card.calibration.budget.startswith(
        "at most 5 % of labels changed, 50 % unlike the float network of any class"
    )
    assert card.check.label_agreement >= 0.95
    assert (card.check.miou_float, card.check.drop_low) == (None, None)
    assert not any("synthetic" in note for note in card.notes)
    kept = read_record(CalibrationManifest, ARTIFACT / MANIFEST_FILE)
    judging = split_pictures(Path("mine"), 4)[1]
    assert not set(kept.sha256) & {judging.digest(index) for index in range(len(judging))}


def test_bad_picture_ends_the_build_before_it_begins_or_is_counted_in_every_record(here, capsys):
    device.write_artifact(hostile.hostile_network(ratio=1.0))
    bad = Path("mine/picture_4.png")
    bad.write_bytes(bad.read_bytes()[:-9])
    with pytest.raises(ImageError, match=r"1 of 9 pictures of mine are bad: picture_4\.png cannot be decoded"):
        built(images_path=Path("mine"))
    assert not (ARTIFACT / "engines").exists()
    result, _ = built(images_path=Path("mine"), class_limits=SPECKS, skip_bad=True)
    assert (result.card.calibration.image_count, result.card.check.image_count) == (3, 4)
    assert read_record(CalibrationManifest, ARTIFACT / MANIFEST_FILE).skipped == ("picture_4.png",)
    report = read_record(Int8Report, device.ENGINE / REPORT_FILE)
    assert report.skipped_images == ("picture_4.png",)
    assert any(
        "1 of the images of mine cannot be read and were left out (--skip-bad)" in line for line in report.warnings
    )


def test_copy_of_a_picture_that_calibrates_does_not_judge(here):
    device.write_artifact(hostile.hostile_network(ratio=1.0))
    calibrating, judging = split_pictures(Path("mine"), 4)
    shutil.copy(f"mine/{picture_manifest(calibrating, 3)[0].names[0]}.png", f"mine/{judging.names[1]}.png")
    card = built(images_path=Path("mine"), max_class_drop=100.0)[0].card
    assert (card.calibration.image_count, card.check.image_count) == (3, 3)


def test_users_pictures_go_before_those_of_a_dataset(here):
    model = hostile.hostile_network(ratio=1.0)
    device.write_artifact(model)
    device.write_camvid(model)
    card = built(images_path=Path("mine"), class_limits=SPECKS)[0].card
    assert (card.calibration.images_from, card.check.images_from) == ("mine", "mine")


def test_changed_picture_makes_new_ranges_and_the_same_ones_none(here):
    device.write_artifact(hostile.hostile_network(ratio=1.0))
    first, _ = built(images_path=Path("mine"), class_limits=SPECKS)
    again, lines = built(images_path=Path("mine"), class_limits=SPECKS)
    assert "ranges of 3 images of mine are there and current" in lines
    assert again.card.calibration.ranges_sha256 == first.card.calibration.ranges_sha256
    shutil.rmtree("mine")
    device.write_pictures(Path("mine"), 9, seed=21)
    _, lines = built(images_path=Path("mine"), class_limits=SPECKS)
    assert any(line.startswith("ranges are collected anew: ranges.json is of other images") for line in lines)


def test_share_of_labels_that_may_change_is_the_budget(here):
    device.write_artifact(hostile.hostile_network(readers=2))
    any_class = {"max_class_drop": 100.0}
    with pytest.raises(AccuracyBudgetError, match=r"on 4 images of mine: \d+\.\d+ % of labels changed, at most 1"):
        built(images_path=Path("mine"), max_label_change_percent=1.0, search_minutes=0.0, **any_class)
    card = built(images_path=Path("mine"), max_label_change_percent=3.0, **any_class)[0].card
    assert card.calibration.budget.startswith("at most 3 % of labels changed, 100 % unlike")
    assert card.check.label_agreement_simulated >= 0.97
    assert {layer.name for layer in card.layers if layer.precision == "float"} >= {"narrow", "side"}


def test_channels_are_equalised_over_the_users_pictures(here):
    device.write_artifact(hostile.hostile_network(readers=1))
    result, lines = built(images_path=Path("mine"), max_label_change_percent=3.0, max_class_drop=100.0)
    assert "equalised channels" in result.card.calibration.recipe
    assert "equalised the channels of 3 tensors" in lines


@pytest.mark.any_python
@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--images", "none"], "image or folder not found: none"),
        (["--calibration-manifest", "none.json"], "calibration manifest not found: none.json"),
    ],
)
def test_images_that_are_not_there_are_one_line_before_any_work(here, capsys, options, problem):
    for dry in ([], ["--dry-run"]):
        assert main([*device.COMMAND, *options, *dry]) == 2
        output = capsys.readouterr()
        assert output.out == "" and output.err.count("\n") == 1
        assert output.err.startswith(f"error: {problem}")
    assert [path.name for path in here.iterdir()] == ["mine"]
