from __future__ import annotations

import json

import numpy as np
import pytest

from edge.datasets.__main__ import main
from edge.datasets.survey.picture import choose_frames, survey_picture
from edge.datasets.survey.splits import survey_dataset
from edge.imaging import read_rgb, write_image
from edge.labels import CAMVID
from tests.edge.datasets.description import described
from tests.edge.picture_files import damaged_inside

SKY, ROAD, CAR, VOID = 0, 3, 8, 11


@pytest.fixture
def camvid(tmp_path, monkeypatch):
    """Three training frames of sky and road, two to validate with cars too; 40 x 60 pixels."""
    monkeypatch.setenv("SEGEDGE_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "camvid"
    for split, names in (("train", "abc"), ("val", "de")):
        for place, name in enumerate(names):
            ids = np.full((40, 60), SKY, np.uint8)
            ids[20:] = ROAD
            ids[38:, :10] = VOID
            if split == "val":
                ids[25 : 30 + place, 20:40] = CAR
            write_image(root / split / f"{name}.png", np.full((40, 60, 3), 100, np.uint8))
            write_image(root / f"{split}annot" / f"{name}.png", ids)
    return root


def run(capsys, *arguments):
    code = main(["check", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_classes_are_counted_by_split_and_a_sound_dataset_ends_well(camvid, capsys):
    code, out, _ = run(capsys, "camvid", "--data-dir", camvid, "--json")
    found = json.loads(out)
    assert code == 0 and found["problems"] == []
    assert {split: one["frames"] for split, one in found["splits"].items()} == {"train": 3, "val": 2}
    assert "test" in found["absent"]
    classes = {row["name"]: row for row in found["splits"]["val"]["classes"]}
    assert classes["car"] == {"name": "car", "pixels": 5 * 20 + 6 * 20, "frames": 2}
    assert classes["sky"] == {"name": "sky", "pixels": 2 * 20 * 60, "frames": 2}
    assert classes["fence"] == {"name": "fence", "pixels": 0, "frames": 0}
    assert found["splits"]["val"]["ignored_pixels"] == 2 * 20
    assert found["splits"]["train"]["sizes"] == [{"height": 40, "width": 60, "frames": 3}]
    assert found["classes_that_do_not_train"] == ["car"]


def test_text_says_what_is_there_and_which_class_does_not_train(camvid, capsys):
    code, out, _ = run(capsys, "camvid", "--data-dir", camvid)
    assert code == 0
    assert f"camvid under {camvid}: 5 frames, 11 classes" in out
    assert "train  3 frames of 40x60" in out and "test   not there: " in out
    assert "nothing is wrong" in out and "note: no frame of train has car" in out
    row = next(line for line in out.splitlines() if line.startswith("sky")).split()
    assert row == ["sky", "50.000", "%", "3", "50.000", "%", "2"]


def test_what_is_wrong_is_named_frame_by_frame(camvid, capsys):
    frame = camvid / "train" / "a.png"
    frame.write_bytes(damaged_inside(frame.read_bytes()))
    write_image(camvid / "trainannot" / "b.png", np.full((40, 60), 77, np.uint8))
    (camvid / "valannot" / "e.png").unlink()
    code, out, _ = run(capsys, "camvid", "--data-dir", camvid)
    wrong = [line for line in out.splitlines() if line.startswith("wrong: ")]
    assert code == 1 and "nothing is wrong" not in out
    assert wrong[0].startswith("wrong: train/a: a.png cannot be decoded (it is damaged")
    assert "train/b: label map" in wrong[1] and "unknown ids [77]" in wrong[1]
    assert wrong[2] == "wrong: val: 1 frames have no label map, the first is e"
    assert "train  3 frames of 40x60; 2 bad" in out


def test_file_that_is_in_two_splits_is_named(camvid, capsys):
    (camvid / "val" / "z.png").symlink_to(camvid / "train" / "b.png")
    (camvid / "valannot" / "z.png").symlink_to(camvid / "trainannot" / "b.png")
    code, out, _ = run(capsys, "camvid", "--data-dir", camvid)
    assert code == 1 and "wrong: train and val share 1 frames, the first is z" in out


def test_one_split_alone_is_read_where_it_is_named(camvid, capsys):
    _, out, _ = run(capsys, "camvid", "--data-dir", camvid, "--split", "val", "--json")
    assert list(json.loads(out)["splits"]) == ["val"]
    code, out, err = run(capsys, "camvid", "--data-dir", camvid, "--split", "test")
    assert code == 2 and "has no test" in err and out == ""


def test_description_is_read_like_a_dataset_of_the_project(camvid, capsys):
    description = camvid.parent / "yard.json"
    source = {"images": "camvid/train", "labels": "camvid/trainannot"}
    classes = [{"name": name, "ids": [index]} for index, name in enumerate(("above", "wall", "post", "ground"))]
    description.write_text(
        json.dumps({"name": "yard", "classes": classes, "ignore": {"ids": [11]}, "splits": {"train": source}})
    )
    code, out, _ = run(capsys, description, "--picture", camvid.parent / "yard.png", "--json")
    found = json.loads(out)
    assert code == 0 and found["dataset"] == "yard"
    assert [row["pixels"] > 0 for row in found["splits"]["train"]["classes"]] == [True, False, False, True]
    assert read_rgb(camvid.parent / "yard.png").shape[1] == 3 * 486 + 6


def test_picture_shows_frames_in_their_colours_and_what_counts_for_nothing_dark(camvid, capsys):
    picture = camvid.parent / "out" / "camvid.png"
    assert run(capsys, "camvid", "--data-dir", camvid, "--picture", picture)[0] == 0
    pixels = read_rgb(picture).astype(int)
    top = np.flatnonzero((pixels[:, 6 + 240] != 24).any(axis=1))[0]
    road = 0.45 * 100 + 0.55 * np.array(CAMVID.painted_rgb[ROAD])
    assert abs(pixels[top + 240, 6 + 240] - road).max() <= 1
    assert abs(pixels[top + 316, 6 + 20] - 30).max() <= 1
    for color in (*CAMVID.painted_rgb, (76, 76, 76)):
        assert (pixels[-80:] == color).all(axis=2).sum() >= 22 * 22, color


def test_frames_of_the_picture_show_every_class_the_rarest_first(camvid):
    survey = survey_dataset("camvid", camvid)
    assert choose_frames(survey.splits, count=1) == [("val", 1)]
    assert choose_frames(survey.splits, count=2) == [("train", 0), ("val", 1)]
    assert len(choose_frames(survey.splits)) == 5
    assert survey_picture(survey).shape[1] == 4 * 486 + 6


def test_second_look_reads_no_picture(camvid, capsys, monkeypatch):
    monkeypatch.setattr("edge.picture_check.kept_findings._SETTLED_NS", -1)
    first = run(capsys, "camvid", "--data-dir", camvid, "--json")
    monkeypatch.setattr("edge.picture_check.checked.find_pair", lambda *_: pytest.fail("read again"))
    assert run(capsys, "camvid", "--data-dir", camvid, "--json") == first


@pytest.mark.parametrize(("name", "told"), [("a.gif", "has the suffix '.gif'"), ("camvid", "has the suffix ''")])
def test_picture_that_cannot_be_written_is_refused_before_anything_is_read(camvid, capsys, name, told):
    code, out, err = run(capsys, "camvid", "--data-dir", camvid, "--picture", camvid.parent / name)
    assert code == 2 and told in err and out == ""


def test_split_that_a_description_names_has_to_be_there(tmp_path, capsys):
    described.write_frames(tmp_path / "train")
    splits = {"train": described.source("train"), "val": described.source("val")}
    code, _, err = run(capsys, described.write_description(tmp_path, splits=splits))
    assert code == 2 and "splits.val.images is" in err
