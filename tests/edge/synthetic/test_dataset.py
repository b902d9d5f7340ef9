from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest

from edge.artifacts import read_json
from edge.errors import InputError
from edge.imaging import read_ids, read_rgb
from edge.labels import CITYSCAPES, CITYSCAPES_RAW_IDS
from edge.synthetic import draw_scene, read_manifest, write_dataset
from edge.synthetic.__main__ import main

FRAME = re.compile(r"leftImg8bit/(train|val)/([a-z]+)/\2_\d{6}_\d{6}_leftImg8bit\.png")
LABEL = re.compile(r"gtFine/(train|val)/([a-z]+)/\2_\d{6}_\d{6}_gtFine_(labelIds|instanceIds|color)\.png")


def files_under(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("set") / "streets"
    write_dataset(root, 4, 3, 64, 128, seed=6)
    return root


def test_layout_is_that_of_cityscapes(dataset):
    names = set(files_under(dataset)) - {"synthetic.json"}
    frames = [name for name in names if FRAME.fullmatch(name)]
    labels = [name for name in names if LABEL.fullmatch(name)]
    assert len(frames) == 7 and len(labels) == 21 and len(names) == 28
    assert len({FRAME.fullmatch(name)[2] for name in frames}) > 1
    for frame in frames:
        stem = frame.replace("leftImg8bit/", "gtFine/", 1).replace("_leftImg8bit.png", "_gtFine_")
        assert {stem + kind + ".png" for kind in ("labelIds", "instanceIds", "color")} <= names


def test_files_hold_the_scene_as_drawn(dataset):
    scene = draw_scene(6, 0, 64, 128)
    frame = next((dataset / "leftImg8bit/train").rglob("*_000000_000000_leftImg8bit.png"))
    stem = str(frame).replace("/leftImg8bit/", "/gtFine/").replace("_leftImg8bit.png", "_gtFine_")
    assert np.array_equal(read_rgb(frame), scene.frame_rgb)
    assert np.array_equal(read_ids(stem + "labelIds.png"), scene.label_ids)
    instances = read_ids(stem + "instanceIds.png")
    assert instances.dtype == np.uint16 and np.array_equal(instances, scene.instance_ids)
    road = scene.label_ids == CITYSCAPES_RAW_IDS["road"]
    assert (read_rgb(stem + "color.png")[road] == CITYSCAPES.colors_rgb[0]).all()


def test_training_and_validation_pictures_differ(dataset):
    frames = [data for name, data in files_under(dataset).items() if FRAME.fullmatch(name)]
    assert len(set(frames)) == len(frames)


def test_a_picture_does_not_depend_on_how_many_others_are_drawn(dataset, tmp_path):
    write_dataset(tmp_path / "more", 5, 4, 64, 128, seed=6)
    more, fewer = files_under(tmp_path / "more"), files_under(dataset)
    del fewer["synthetic.json"]
    assert fewer.items() <= more.items()


def test_manifest_says_that_the_set_is_synthetic_and_whole(dataset):
    manifest = read_manifest(dataset)
    assert (manifest["height"], manifest["width"], manifest["seed"]) == (64, 128, 6)
    assert (manifest["train_count"], manifest["val_count"], manifest["schema"]) == (4, 3, 1)


def test_an_earlier_set_is_replaced_whole(tmp_path):
    write_dataset(tmp_path, 3, 1, 64, 128, seed=1)
    write_dataset(tmp_path, 1, 1, 64, 128, seed=2)
    assert len(list((tmp_path / "leftImg8bit").rglob("*.png"))) == 2
    assert read_manifest(tmp_path)["seed"] == 2


def test_earlier_set_unlike_the_new_one_is_named_before_it_goes(tmp_path, capsys):
    for seed, said in ((3, ""), (3, ""), (4, "1 training and 1 validation pictures of 64x128, seed 3")):
        assert main([str(tmp_path), "--train", "1", "--val", "1", "--size", "64x128", "--seed", str(seed)]) == 0
        notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
        assert [line.split("is replaced: ")[1] for line in notes] == ([said] if said else [])


def test_folder_with_other_content_is_refused_and_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="holds no synthetic set"):
        write_dataset(tmp_path, 1, 1, 64, 128, seed=0)
    assert files_under(tmp_path) == {"thesis.txt": b"precious"}
    assert main([str(tmp_path), "--train", "1", "--val", "1", "--size", "64x128"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_folder_with_a_foreign_synthetic_json_is_refused(tmp_path):
    (tmp_path / "synthetic.json").write_text('{"kind": "other"}')
    with pytest.raises(InputError, match="holds no synthetic set"):
        write_dataset(tmp_path, 1, 1, 64, 128, seed=0)


def test_interrupt_leaves_whole_files_and_no_manifest_and_can_be_resumed(tmp_path, capsys, monkeypatch):
    drawn = []

    def draw_then_interrupt(seed, index, height, width):
        drawn.append(index)
        if len(drawn) == 3:
            raise KeyboardInterrupt
        return draw_scene(seed, index, height, width)

    arguments = [str(tmp_path / "out"), "--train", "4", "--val", "1", "--size", "64x128"]
    monkeypatch.setattr("edge.synthetic.street_files.draw_scene", draw_then_interrupt)
    assert main(arguments) == 130
    pictures = list((tmp_path / "out").rglob("*.png"))
    assert len(pictures) == 8
    for path in pictures:
        read_rgb(path)
    with pytest.raises(InputError):
        read_manifest(tmp_path / "out")
    monkeypatch.undo()
    assert main(arguments) == 0
    assert read_manifest(tmp_path / "out")["train_count"] == 4
    assert not list((tmp_path / "out").rglob(".*"))


def test_interrupt_while_a_file_is_written_leaves_nothing_of_it(tmp_path, monkeypatch):
    def replace_then_interrupt(source, target):
        raise KeyboardInterrupt

    monkeypatch.setattr("edge.artifacts.os.replace", replace_then_interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "out", 1, 1, 64, 128, seed=0)
    assert not list((tmp_path / "out").rglob("*.png"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_permission_is_one_line(tmp_path, capsys):
    tmp_path.chmod(0o500)
    try:
        assert main([str(tmp_path / "out"), "--train", "1", "--val", "1", "--size", "64x128"]) == 2
    finally:
        tmp_path.chmod(0o700)
    assert capsys.readouterr().err.startswith("error: cannot write")


def test_output_that_is_a_file_is_refused(tmp_path, capsys):
    (tmp_path / "out").write_text("x")
    assert main([str(tmp_path / "out"), "--train", "1", "--val", "1", "--size", "64x128"]) == 2
    assert "is a file, expected a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--size", "512"], "expected HEIGHTxWIDTH"),
        (["--train", "0"], "expected a whole number of at least 1"),
        (["--val", "many"], "expected a whole number"),
        (["--seed", "-1"], "expected a whole number from 0"),
    ],
)
def test_bad_option_is_named(tmp_path, capsys, options, message):
    with pytest.raises(SystemExit) as stopped:
        main([str(tmp_path / "out"), *options])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_size_out_of_range_is_one_line_and_nothing_is_made(tmp_path, capsys):
    assert main([str(tmp_path / "out"), "--size", "32x64"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: scenes cannot be drawn at 32x64") and captured.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_command_says_what_it_wrote(tmp_path, capsys):
    assert main([str(tmp_path / "out"), "--train", "2", "--val", "1", "--size", "64x128", "--seed", "3"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"2 training and 1 validation pictures of 64x128 in {tmp_path / 'out'}\n"
    assert "3/3 picture" in captured.err
    assert read_json(tmp_path / "out" / "synthetic.json", "manifest")["kind"] == "segedge synthetic streets"


def test_drawing_that_is_interrupted_before_its_first_picture_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("edge.synthetic.street_files.draw_scene", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "set", 1, 1, 64, 128, 0)
    assert list(tmp_path.iterdir()) == []
