from __future__ import annotations

import itertools

import numpy as np
import pytest

from edge.errors import InputError, SizeError
from edge.labels import CITYSCAPES_RAW_IDS
from edge.synthetic import SyntheticVideo


def test_frame_depends_on_seed_and_index_alone():
    video = SyntheticVideo(96, 192, seed=3)
    later_first = video.frame(20)
    video.read()
    again = SyntheticVideo(96, 192, seed=3).frame(20)
    assert np.array_equal(later_first.frame_rgb, again.frame_rgb)
    assert np.array_equal(later_first.instance_ids, again.instance_ids)
    assert not np.array_equal(SyntheticVideo(96, 192, seed=4).frame(20).frame_rgb, again.frame_rgb)


def test_iterating_gives_consecutive_frames():
    video = SyntheticVideo(64, 128, seed=1)
    frames = list(itertools.islice(video, 3))
    for index, frame_rgb in enumerate(frames):
        assert np.array_equal(frame_rgb, video.frame(index).frame_rgb)


@pytest.mark.parametrize("seed", [1, 4, 8])
@pytest.mark.any_python
def test_consecutive_frames_differ_a_little_and_distant_ones_much(seed):
    video = SyntheticVideo(128, 256, seed=seed)
    now, soon, later = video.frame(0), video.frame(1), video.frame(60)
    step = (now.label_ids != soon.label_ids).mean()
    leap = (now.label_ids != later.label_ids).mean()
    assert 0 < step < 0.06
    assert leap > 2 * step
    assert not np.array_equal(now.frame_rgb, soon.frame_rgb)


def test_objects_keep_their_instance_numbers_from_frame_to_frame():
    video = SyntheticVideo(128, 256, seed=4)
    now, soon = video.frame(10).instance_ids, video.frame(11).instance_ids
    large = [tag for tag in np.unique(now[now >= 1000]) if (now == tag).sum() > 60]
    assert len(large) >= 4
    for tag in large:
        stays = ((now == tag) & (soon == tag)).sum() / (now == tag).sum()
        # A wheel's rim is so thin that it leaves its own place within a frame; a body does not.
        assert stays > (0.5 if tag // 1000 in (24, 26) else 0.0)


def test_an_oncoming_car_grows():
    video = SyntheticVideo(256, 512, seed=4)
    first, last = video.frame(0).instance_ids, video.frame(24).instance_ids
    car = CITYSCAPES_RAW_IDS["car"]
    left = first[:, : first.shape[1] // 2]
    tags = [tag for tag in np.unique(left) if tag // 1000 == car and (left == tag).sum() > 200]
    assert any((last == tag).sum() > 1.3 * (first == tag).sum() for tag in tags)


def test_street_has_no_end():
    video = SyntheticVideo(64, 128, seed=2)
    road = video.frame(10**7).label_ids == CITYSCAPES_RAW_IDS["road"]
    assert road.mean() > 0.05


def test_bad_size_and_rate_are_refused():
    with pytest.raises(SizeError):
        SyntheticVideo(10, 10, seed=0)
    with pytest.raises(InputError, match="0 frames a second"):
        SyntheticVideo(64, 128, seed=0, fps=0)
