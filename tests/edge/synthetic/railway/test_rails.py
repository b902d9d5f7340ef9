from __future__ import annotations

import math

import numpy as np
import pytest

from edge.labels import RAILSEM19
from edge.synthetic.camera import Course
from edge.synthetic.canvas import Canvas
from edge.synthetic.railway.camera import camera_of
from edge.synthetic.railway.classes import label_ids_of
from edge.synthetic.railway.ground import paint_ground
from edge.synthetic.railway.line import Line, View
from edge.synthetic.railway.rails import draw_rails
from edge.synthetic.railway.track import GAUGE_M, HEAD_M, RAIL_HIGH_M, Track

ID = {name: train_id for train_id, name in enumerate(RAILSEM19.class_names)}
HEIGHT, WIDTH = 512, 1024


def bare_line(tracks, embedded=False):
    """A line on level ground, straight, seen from a cab above its first track."""
    line = Line((1, 1), "tram" if embedded else "open", "cab")
    line.course, line.tracks, line.crossing = Course(0.0, 500.0, 0.0), tuple(tracks), None
    line.platforms, line.tunnel_m, line.bed_half_m = (), None, 2.0
    line.flanks = tuple(flank.__class__(flank.sign, 9.0, "plain", 1.0, 1.0, "bushes", "none") for flank in line.flanks)
    line.view = View("cab", 0.0, 2.5, 0.0, 0.4, 1.0)
    return line


def ground_labels(line):
    canvas = Canvas(camera_of(line, HEIGHT, WIDTH), line.light)
    paint_ground(canvas, line)
    draw_rails(canvas, line)
    return label_ids_of(canvas.tags), canvas.camera


def row_at(camera, ahead_m):
    return int(camera.horizon_px + camera.above_m * camera.focal_px / ahead_m)


@pytest.mark.parametrize("ahead_m", [9.0, 12.0, 24.0, 48.0])
@pytest.mark.any_python
def test_gauge_narrows_with_distance_as_the_camera_says(ahead_m):
    labels, camera = ground_labels(bare_line([Track(0.0, 0.0)]))
    between = np.flatnonzero(labels[row_at(camera, ahead_m)] == ID["rail-track"])
    # The rails' own height and feet hide some centimetres of what lies between them.
    seen_m = (between[-1] - between[0] + 1) * ahead_m / camera.focal_px
    assert GAUGE_M - 0.16 - 2 * ahead_m / camera.focal_px < seen_m <= GAUGE_M + 2 * ahead_m / camera.focal_px


def test_rails_lie_within_the_trackbed_with_the_track_between_them():
    labels, camera = ground_labels(bare_line([Track(0.0, 0.0)]))
    for ahead_m in (9.0, 12.0, 30.0):
        row = labels[row_at(camera, ahead_m)]
        parts = row[np.flatnonzero(np.diff(row)) + 1]
        middle = [ID[name] for name in ("trackbed", "rail-raised", "rail-track", "rail-raised", "trackbed")]
        assert parts[: len(middle)].tolist() == middle


@pytest.mark.any_python
def test_rails_in_a_street_are_embedded_and_the_area_between_is_tram_track():
    labels, _ = ground_labels(bare_line([Track(0.0, 0.0, embedded=True)], embedded=True))
    seen = set(np.unique(labels).tolist())
    assert {ID["tram-track"], ID["rail-embedded"], ID["road"]} <= seen
    assert not {ID["rail-track"], ID["rail-raised"], ID["trackbed"]} & seen


@pytest.mark.any_python
def test_tracks_in_a_level_crossing_are_embedded_there_alone():
    line = bare_line([Track(0.0, 0.0)])
    line.crossing = (14.0, 20.0)
    labels, camera = ground_labels(line)
    inside, before = labels[row_at(camera, 17.0)], labels[row_at(camera, 9.0)]
    assert {ID["rail-embedded"], ID["tram-track"], ID["road"]} <= set(inside.tolist())
    assert ID["rail-raised"] not in inside and ID["rail-embedded"] not in before


@pytest.mark.any_python
def test_switch_leads_from_one_track_to_the_other():
    line = bare_line([Track(0.0, 0.0), Track(4.5, 4.5), Track(0.0, 4.5, 8.0, 25.0, 8.0, 33.0)])
    labels, camera = ground_labels(line)
    middle = labels[row_at(camera, 20.5)]
    starts = np.flatnonzero((middle[1:] == ID["rail-raised"]) & (middle[:-1] != ID["rail-raised"]))
    assert len(starts) == 6
    assert math.isclose(line.tracks[2].middle_m(20.5), 2.25)


@pytest.mark.parametrize("ahead_m", [9.0, 12.0])
@pytest.mark.any_python
def test_inner_faces_of_the_heads_are_the_standard_gauge_apart(ahead_m):
    # EN 13848-1: 1,435 mm between the heads. In the row of a rail's top its outer face lies outermost.
    labels, camera = ground_labels(bare_line([Track(0.0, 0.0)]))
    row = int(camera.horizon_px + (camera.above_m - RAIL_HIGH_M) * camera.focal_px / ahead_m)
    seen = np.flatnonzero(labels[row] == ID["rail-raised"])
    outer_m = (seen[-1] - seen[0]) * ahead_m / camera.focal_px
    assert outer_m - 2 * HEAD_M == pytest.approx(1.435, abs=2 * ahead_m / camera.focal_px)
