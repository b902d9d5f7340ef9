from __future__ import annotations

import numpy as np
import pytest

from edge.labels import CITYSCAPES_RAW_IDS, IGNORE_ID, RAILSEM19
from edge.synthetic.railway.classes import RAIL_TRACK, label_ids_of
from edge.synthetic.railway.line import Line
from edge.synthetic.railway.render import render
from edge.synthetic.railway.traffic import Traffic
from edge.synthetic.railway.trains import Train

ID = {name: train_id for train_id, name in enumerate(RAILSEM19.class_names)}
SIZE = (128, 256)


@pytest.fixture
def empty_line():
    """An open line by day with two tracks and nobody on it."""
    line = Line((4, 4), "open", "cab")
    traffic = Traffic(line)
    traffic.trains.clear()
    traffic.movers.clear()
    line.crossing = line.bridge_m = line.tunnel_m = None
    return line, traffic


def labels_of(line, traffic, time_s=0.0):
    return render(line, traffic, *SIZE, time_s, 0)[1]


@pytest.mark.any_python
def test_person_on_the_track_is_human_where_the_track_was(empty_line):
    line, traffic = empty_line
    before = labels_of(line, traffic)
    traffic.add("person", 12.0, line.tracks[0].middle_m(12.0), 1.0)
    after = labels_of(line, traffic)
    changed = before != after
    assert changed.sum() > 40
    assert set(np.unique(after[changed]).tolist()) == {ID["human"]}
    assert {ID["rail-track"], ID["rail-raised"]} & set(np.unique(before[changed]).tolist())


@pytest.mark.any_python
def test_somebody_who_walks_is_elsewhere_later_and_comes_back(empty_line):
    line, traffic = empty_line
    traffic.add("person", 14.0, 3.0, -1.0, side_mps=-1.2, from_s=1.0, turns_s=3.0, pause_s=4.0)
    columns = [
        np.flatnonzero((labels_of(line, traffic, at) == ID["human"]).any(0)).mean() for at in (0.0, 1.0, 3.0, 6.0, 9.5)
    ]
    assert columns[0] == columns[1] > columns[2] == columns[3] < columns[4]


@pytest.mark.any_python
def test_train_that_comes_grows_and_is_on_rails(empty_line):
    line, traffic = empty_line
    traffic.trains.append(Train(0, "passenger", 110.0, -20.0, 4, 20.0, 1, (4, 4)))
    sizes = [(labels_of(line, traffic, at) == ID["on-rails"]).sum() for at in (0.0, 2.0, 4.0)]
    assert 0 < sizes[0] < sizes[1] < sizes[2]


@pytest.mark.any_python
def test_boxes_are_void_and_a_fallen_tree_is_vegetation(empty_line):
    line, traffic = empty_line
    before = labels_of(line, traffic)
    for kind, label in (("boxes", IGNORE_ID), ("fallen_tree", ID["vegetation"])):
        traffic.movers.clear()
        traffic.add(kind, 16.0, 0.0)
        after = labels_of(line, traffic)
        assert set(np.unique(after[before != after]).tolist()) == {label}


def test_tags_of_streets_and_of_railways_become_railsem19_ids():
    tags = np.array([[RAIL_TRACK, 26001, 28002, 31003, 24004]], np.uint16)
    tags = np.append(
        tags, [[CITYSCAPES_RAW_IDS[n] for n in ("guard rail", "tunnel", "ego vehicle", "static", "sky")]], 0
    )
    assert label_ids_of(tags.astype(np.uint16)).tolist() == [
        [ID["rail-track"], ID["car"], ID["truck"], ID["on-rails"], ID["human"]],
        [ID["fence"], ID["construction"], IGNORE_ID, IGNORE_ID, ID["sky"]],
    ]
