from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.artifacts import read_json
from edge.datasets.layouts.splits import listed_names
from edge.errors import InputError
from edge.imaging import read_ids, read_rgb
from edge.labels import RAILSEM19
from edge.synthetic import draw_rail_scene, read_manifest, write_dataset
from edge.synthetic.__main__ import main


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("set") / "lines"
    write_dataset(root, 3, 2, 64, 128, seed=6, world="rail")
    return root


def names_under(root):
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_layout_is_that_of_railsem19(dataset):
    stems = {path.stem for path in (dataset / "jpgs" / "rs19_val").glob("rs?????.jpg")}
    assert len(stems) == 5
    labels = {f"uint8/rs19_val/{stem}.png" for stem in stems}
    frames = {f"jpgs/rs19_val/{stem}.jpg" for stem in stems}
    assert set(names_under(dataset)) == labels | frames | {"rs19-config.json", "synthetic.json"}


def test_splits_are_those_of_the_committed_lists(dataset):
    stems = {path.stem for path in (dataset / "jpgs" / "rs19_val").iterdir()}
    assert len(stems & listed_names("railsem19_val")) == 2
    assert not stems & listed_names("railsem19_test")


def test_label_maps_hold_the_ids_as_drawn_in_one_channel(dataset):
    path = sorted((dataset / "uint8" / "rs19_val").iterdir())[0]
    stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert stored.ndim == 2 and stored.dtype == np.uint8
    scene = draw_rail_scene(6, 0, 64, 128)
    assert path.stem == "rs00000" and np.array_equal(read_ids(path), scene.label_ids)
    frame_rgb = read_rgb(dataset / "jpgs" / "rs19_val" / "rs00000.jpg").astype(int)
    assert np.abs(frame_rgb - scene.frame_rgb).mean() < 8


def test_config_names_the_classes_in_the_order_of_their_ids(dataset):
    labels = read_json(dataset / "rs19-config.json", "config")["labels"]
    assert tuple(label["name"] for label in labels) == RAILSEM19.class_names
    assert tuple(tuple(label["color"]) for label in labels) == RAILSEM19.colors_rgb


def test_set_of_another_world_is_replaced_whole(tmp_path, capsys):
    arguments = ["--train", "1", "--val", "1", "--size", "64x128"]
    assert main([str(tmp_path), *arguments]) == 0
    assert main([str(tmp_path), *arguments, "--world", "rail"]) == 0
    assert "note: the earlier set" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*leftImg8bit.png"))
    assert read_manifest(tmp_path)["kind"] == "segedge synthetic railway lines"
    assert main([str(tmp_path), *arguments]) == 0
    assert not list(tmp_path.rglob("*.jpg")) and not (tmp_path / "rs19-config.json").exists()


def test_interrupted_drawing_leaves_pairs_and_no_manifest(tmp_path, monkeypatch):
    drawn = []

    def draw_then_interrupt(seed, index, height, width):
        drawn.append(index)
        if len(drawn) == 3:
            raise KeyboardInterrupt
        return draw_rail_scene(seed, index, height, width)

    monkeypatch.setattr("edge.synthetic.railway.files.draw_rail_scene", draw_then_interrupt)
    out = tmp_path / "out"
    assert main([str(out), "--world", "rail", "--train", "4", "--val", "1", "--size", "64x128"]) == 130
    assert len(list(out.rglob("*.jpg"))) == len(list(out.rglob("*.png"))) == 2
    with pytest.raises(InputError):
        read_manifest(out)


def test_more_pictures_than_names_are_refused_before_the_folder_is_made(tmp_path, capsys):
    assert main([str(tmp_path / "out"), "--world", "rail", "--val", "851"]) == 2
    assert "851 railway lines of val cannot be named, expected at most 850" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
