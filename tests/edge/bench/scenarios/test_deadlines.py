"""Frames of a camera: when they are there, which miss their deadline, and what may be said of them."""

from __future__ import annotations

import numpy as np
import pytest

from edge.bench.frame_samples import FrameSamples
from edge.bench.scenarios.deadlines import arrived_frames, deadline_record, due_ns, early_verdict, lateness_ns
from edge.bench.scenarios.scenario_record import CameraRules, ScenarioRecord

MS = 1_000_000


def taken(due_ms, age_ms) -> FrameSamples:
    """Frames that were taken at these moments, and done when they had this age."""
    due = np.array(due_ms, np.int64) * MS
    end = due + np.asarray(age_ms, np.int64) * MS
    return FrameSamples(due, due, end, end - due, {})


@pytest.mark.parametrize("fps", [29.97, 30.0, 1000.0, 0.3])
def test_a_frame_is_there_from_its_moment_on(fps):
    for index in (0, 1, 2, 29, 30, 12345):
        moment_ns = due_ns(index, fps)
        assert arrived_frames(moment_ns, fps) == index + 1
        if index:
            assert arrived_frames(moment_ns - 1, fps) == index


def test_dropped_and_late_frames_count_as_misses():
    # A camera of 10 fps: frame 1 is dropped, frame 2 is late.
    samples = taken((0, 200, 300, 400), (90, 120, 90, 100))
    assert (lateness_ns(samples, 10.0, 100.0) > 0).tolist() == [False, True, True, False, False]
    record = deadline_record(samples, CameraRules(10.0, 100.0, stops_early=False), False)
    assert (record.arrived_frames, record.dropped_frames, record.missed_frames) == (5, 1, 2)
    assert record.age.max_ms == 120.0


def test_a_dropped_frame_is_a_miss_even_where_the_next_labels_come_within_its_deadline():
    samples = taken((0, 200), (10, 10))
    late_ns = lateness_ns(samples, 10.0, 500.0)
    assert late_ns[1] == 1.0 and (late_ns > 0).tolist() == [False, True, False]


def test_a_clean_run_holds_and_one_of_many_misses_does_not():
    due_ms = np.arange(2000) * 100
    camera = CameraRules(10.0, 100.0, 0.01, stops_early=False)
    assert deadline_record(taken(due_ms, np.full(2000, 50)), camera, False).is_held is True
    ages_ms = np.where(np.random.default_rng(0).random(2000) < 0.1, 150, 50)
    assert deadline_record(taken(due_ms, ages_ms), camera, False).is_held is False
    few = deadline_record(taken(due_ms[:150], np.full(150, 50)), camera, False)
    assert few.is_held is None and few.bound.upper > 0.01


def test_looks_and_the_end_share_the_error_of_the_confidence():
    samples = taken(np.arange(400) * 100, np.full(400, 50))
    early = CameraRules(10.0, 100.0, 0.01, 0.95, stops_early=True)
    whole = CameraRules(10.0, 100.0, 0.01, 0.95, stops_early=False)
    assert deadline_record(samples, early, False).bound.confidence == pytest.approx(0.975)
    assert deadline_record(samples, whole, False).bound.confidence == 0.95
    assert early_verdict(samples, early) is None  # 400 clean frames are enough for one look, and not for many


def test_certificate_says_what_was_shown():
    rules = CameraRules(10.0, 100.0, 0.01)
    record = ScenarioRecord("camera", "", 1024, 600.0, False, rules)
    many = taken(np.arange(12_000) * 100, np.full(12_000, 50))

    def said(samples, stopped_early):
        deadlines = deadline_record(samples, rules, stopped_early)
        return ScenarioRecord("camera", "", 1, 1.0, False, rules, deadlines, stopped_early).certificate()

    assert record.certificate() == ""
    assert said(many, False) == "misses at most 0.031 % of deadlines, with 95 % confidence; 1 % are allowed"
    assert said(many, True) == "misses at most 1 % of deadlines, with 95 % confidence: certain after 12000 frames"
    assert said(taken(np.arange(150) * 100, np.full(150, 50)), False).endswith("too few to show that it holds")
    late = taken(np.arange(200) * 100, np.full(200, 150))
    assert said(late, False).startswith("misses at least ")
    assert said(late, True).startswith("misses more than 1 % of deadlines")
