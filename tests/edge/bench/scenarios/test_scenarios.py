"""Scenarios on a pretended clock: which frame is sent when, and what its times are."""

from __future__ import annotations

import types

import numpy as np
import pytest

from edge.bench.frame_samples import FrameLog, frame_samples
from edge.bench.scenarios import base, camera, early_stop
from edge.bench.scenarios.choice import SCENARIOS, open_scenario
from edge.bench.scenarios.deadlines import deadline_record
from edge.bench.scenarios.scenario_record import CameraRules
from edge.bench.settings import SCENARIO_NAMES, TURNS, BenchSettings
from edge.errors import InputError
from edge.segmenter import Segmentation

MS = 1_000_000
LABELS = np.zeros((1, 1), np.uint8)


class Clock:
    """A clock that goes on when somebody sleeps or works."""

    def __init__(self):
        self.now_ns = 10**15

    def perf_counter_ns(self):
        return self.now_ns

    def sleep(self, seconds):
        self.now_ns += round(seconds * 1e9)


class Engine:
    """A segmenter that takes a given time for each frame, and does up to `depth` frames one after the other."""

    def __init__(self, clock, services_ms, depth=1):
        self.clock, self.services_ms, self.depth = clock, services_ms, depth
        self.under_way, self.count, self.free_ns, self.most = [], 0, 0, 0

    @property
    def is_full(self):
        return len(self.under_way) >= self.depth

    def submit(self, frame):
        service_ms = self.services_ms[self.count % len(self.services_ms)]
        self.count += 1
        start_ns = self.clock.now_ns
        self.free_ns = max(self.free_ns, start_ns) + round(service_ms * MS)
        self.under_way.append((start_ns, self.free_ns))
        self.most = max(self.most, len(self.under_way))

    def collect(self):
        start_ns, end_ns = self.under_way.pop(0)
        self.clock.now_ns = max(self.clock.now_ns, end_ns)
        total_ns = self.clock.now_ns - start_ns
        return Segmentation(LABELS, {"inference": total_ns}, total_ns)

    def __call__(self, frame):
        self.submit(frame)
        return self.collect()


class Feed:
    """Frames, each of which takes `decode_ms` to decode; None for frames in memory."""

    def __init__(self, clock, decode_ms=None):
        self.clock, self.decode_ms, self.count = clock, decode_ms, 0

    def take(self):
        self.count += 1
        if self.decode_ms is None:
            return self.count, None
        self.clock.now_ns += self.decode_ms * MS
        return self.count, self.decode_ms * MS


@pytest.fixture
def measure(monkeypatch):
    """Return a function that runs a scenario on a pretended clock; gives its columns, the engine and the scenario."""
    clock = Clock()
    for module in (base, camera):
        monkeypatch.setattr(module, "time", clock)

    def run(settings, services_ms, decode_ms=None):
        scenario = open_scenario(settings)
        engine, log, start_ns = Engine(clock, services_ms, scenario.in_flight), FrameLog(), clock.now_ns
        scenario.run(engine, Feed(clock, decode_ms), log, start_ns, lambda now_ns: None)
        return frame_samples(log, start_ns), engine, scenario

    return run


def rules(frames, seconds=0.0, **others):
    return BenchSettings(0, frames, seconds, **others)


def test_every_scenario_has_a_name_that_a_user_can_give():
    assert set(SCENARIOS) == {*SCENARIO_NAMES, TURNS}


def test_single_stream_has_one_frame_under_way_and_no_gap(measure):
    samples, engine, _ = measure(rules(4), [10])
    assert engine.most == 1
    assert samples.start_ns.tolist() == samples.due_ns.tolist() == [0, 10 * MS, 20 * MS, 30 * MS]
    assert samples.latency_ns.tolist() == [10 * MS] * 4
    assert samples.end_ns[-1] == 40 * MS


def test_a_run_is_over_when_both_count_and_time_are_reached(measure):
    assert len(measure(rules(4, 0.1), [10])[0]) == 10
    assert len(measure(rules(12, 0.1), [10])[0]) == 12


def test_pipelined_frames_wait_for_those_before(measure):
    samples, engine, scenario = measure(rules(6, scenario="pipelined"), [10])
    assert (engine.most, scenario.in_flight) == (2, 2)
    assert samples.latency_ns.tolist() == [10 * MS, *[20 * MS] * 5]
    assert len(samples) == 6 and samples.end_ns[-1] == 60 * MS
    assert measure(rules(6, scenario="pipelined", in_flight=3), [10])[1].most == 3


def test_offline_frames_are_all_there_at_the_start(measure):
    samples, engine, _ = measure(rules(8, scenario="offline"), [10])
    assert engine.most == 4 and len(samples) == 8
    assert samples.due_ns.tolist() == [0] * 8
    assert samples.age_ns.tolist() == [10 * MS * (index + 1) for index in range(8)]


def test_decoding_is_part_of_the_latency_where_that_is_asked_for(measure):
    samples, _, scenario = measure(rules(3, includes_decode=True), [10], decode_ms=5)
    assert samples.latency_ns.tolist() == [15 * MS] * 3
    assert samples.stages_ns["decode"].tolist() == [5 * MS] * 3
    assert "from the file of a frame" in scenario.clock_sentence()
    assert "decode" not in measure(rules(3), [10])[0].stages_ns


def camera_rules(frames, seconds=0.0, **others):
    values = {"fps": 10.0, "deadline_ms": 100.0, "stops_early": False, **others}
    return rules(frames, seconds, scenario="camera", camera=CameraRules(**values))


def test_a_camera_does_not_wait_for_the_engine_and_the_engine_waits_for_the_camera(measure):
    samples, _, _ = measure(camera_rules(4), [40])
    assert samples.due_ns.tolist() == samples.start_ns.tolist() == [0, 100 * MS, 200 * MS, 300 * MS]
    assert samples.age_ns.tolist() == [40 * MS] * 4


def test_a_slow_engine_takes_the_newest_frame_and_drops_those_before(measure):
    samples, _, scenario = measure(camera_rules(4), [250])
    # Free at 250 ms, when the frames of 100 and 200 ms are there; at 500 ms those of 300, 400 and 500 ms.
    assert (samples.due_ns / MS).tolist() == [0, 200, 500, 700]
    assert (samples.start_ns / MS).tolist() == [0, 250, 500, 750]
    deadlines = deadline_record(samples, scenario.camera, False)
    assert (deadlines.arrived_frames, deadlines.dropped_frames, deadlines.missed_frames) == (8, 4, 8)


def test_one_slow_frame_costs_the_next_deadlines_and_no_more(measure):
    samples, _, scenario = measure(camera_rules(20), [40, 40, 40, 190, *[40] * 16])
    deadlines = deadline_record(samples, scenario.camera, False)
    # The slow one itself is late; the next is taken 90 ms after it came, and is late too; then all is well again.
    assert (deadlines.dropped_frames, deadlines.missed_frames) == (0, 2)


@pytest.fixture
def looks_at_once(monkeypatch):
    """Let a look at the deadlines be done when it begins."""

    def thread(target, **_):
        return types.SimpleNamespace(start=target, is_alive=lambda: False, join=lambda: None)

    monkeypatch.setattr(early_stop, "threading", types.SimpleNamespace(Thread=thread))


@pytest.mark.parametrize(("service_ms", "is_held"), [(40, True), (140, False)])
def test_a_camera_run_ends_when_its_verdict_is_certain(measure, looks_at_once, service_ms, is_held):
    rules_of_site = camera_rules(5000, 1000.0, stops_early=True, allowed_miss_share=0.1)
    samples, _, scenario = measure(rules_of_site, [service_ms])
    assert scenario.stopped_early and scenario.record().stopped_early
    assert 100 <= len(samples) < 1500
    assert deadline_record(samples, scenario.camera, True).is_held is is_held


def test_a_camera_run_is_whole_where_that_is_asked_for(measure, looks_at_once):
    samples, _, scenario = measure(camera_rules(1500, stops_early=False), [40])
    assert len(samples) == 1500 and not scenario.stopped_early


@pytest.mark.parametrize("scenario", ["single-stream", "camera"])
def test_several_frames_in_flight_contradict_a_scenario_of_one(scenario):
    with pytest.raises(InputError, match=f"{scenario} has one frame in flight, got 2. Next: "):
        open_scenario(rules(1, scenario=scenario, in_flight=2))


def test_unknown_scenario_is_refused_with_those_that_there_are():
    with pytest.raises(InputError, match="scenario is 'server', expected one of: single-stream, pipelined"):
        open_scenario(rules(1, scenario="server"))
