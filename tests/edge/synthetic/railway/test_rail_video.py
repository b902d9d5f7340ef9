from __future__ import annotations

import itertools

import numpy as np
import pytest

from edge.errors import InputError
from edge.labels import IGNORE_ID, RAILSEM19
from edge.synthetic import RailVideo
from edge.synthetic.railway.video import PERIOD_S

ID = {name: train_id for train_id, name in enumerate(RAILSEM19.class_names)}
TRACK = [ID["rail-track"], ID["rail-raised"]]
FPS = 10.0


@pytest.fixture(scope="module")
def video():
    return RailVideo(128, 256, seed=3, fps=FPS)


@pytest.fixture(scope="module")
def empty(video):
    """Labels of a moment at which nothing happens."""
    return labels_at(video, 0.0)


def labels_at(video, time_s):
    return video.frame(round(time_s * FPS)).label_ids


def incident(video, kind):
    return next(one for one in video.incidents if one.kind == kind)


def test_frame_depends_on_seed_and_index_alone(video):
    again = RailVideo(128, 256, seed=3, fps=FPS).frame(7)
    assert np.array_equal(video.frame(7).frame_rgb, again.frame_rgb)
    for index, frame_rgb in enumerate(itertools.islice(RailVideo(128, 256, seed=3, fps=FPS), 2)):
        assert np.array_equal(frame_rgb, video.frame(index).frame_rgb)


def test_incidents_are_in_order_and_within_a_period(video):
    times = [time_s for one in video.incidents for time_s in (one.start_s, one.end_s)]
    assert times == sorted(times) and times[0] > 0.0 and times[-1] < PERIOD_S
    assert [one.kind for one in video.incidents] == ["train", "person", "object"]


def test_train_is_there_within_its_time_alone(video, empty):
    train = incident(video, "train")
    assert ID["on-rails"] not in empty
    assert ID["on-rails"] not in labels_at(video, train.end_s + 1.0)
    shares = [(labels_at(video, train.end_s - left_s) == ID["on-rails"]).mean() for left_s in (8.0, 5.0, 3.0)]
    assert 0 < shares[0] < shares[1] < shares[2]


def test_person_is_on_the_track_within_the_time_of_the_incident_alone(video, empty):
    on_track = np.isin(empty, TRACK)
    person = incident(video, "person")
    middle = labels_at(video, (person.start_s + person.end_s) / 2) == ID["human"]
    assert middle.sum() > 10 and (middle & on_track).sum() > 0.5 * middle.sum()
    for time_s in (person.start_s - 2.0, person.end_s + 2.0):
        beside = labels_at(video, time_s) == ID["human"]
        feet = np.flatnonzero(beside.any(1))[-1]
        assert beside.any() and not on_track[feet][beside[feet]].any()


def test_boxes_lie_on_the_track_within_their_time_alone(video, empty):
    boxes = incident(video, "object")
    lying = (labels_at(video, boxes.start_s + 0.2) == IGNORE_ID) & (empty != IGNORE_ID)
    assert lying.sum() > 5 and np.isin(empty[lying], TRACK).any()
    assert not ((labels_at(video, boxes.end_s + 0.2) == IGNORE_ID) & (empty != IGNORE_ID)).any()


def test_everything_happens_again(video, empty):
    assert np.array_equal(labels_at(video, PERIOD_S), empty)


def test_bad_rate_is_refused():
    with pytest.raises(InputError, match="0 frames a second"):
        RailVideo(64, 128, seed=0, fps=0)
