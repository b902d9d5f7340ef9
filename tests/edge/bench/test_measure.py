from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

import edge.bench.measure as measure
import edge.bench.measured_record as measured_record
from edge.accuracy import measure_accuracy
from edge.bench.bench_record import RECORD_FILE, BenchRecord
from edge.bench.frame_feed import MAX_DISTINCT_FRAMES
from edge.bench.frame_samples import FrameLog, FrameTimes
from edge.bench.measure import BenchSettings, run_benchmark
from edge.bench.scenarios import base
from edge.bench.settings import SINGLE_STREAM
from edge.datasets import open_dataset
from edge.errors import DatasetError, InputError
from edge.frame_statistics.percentiles import summarise
from edge.frames import FrameSet
from edge.provenance import WeightsProvenance
from edge.records import read_record, record_from_json, record_to_json, write_record
from edge.runtime import open_engine
from edge.runtime.base import Runner
from edge.runtime.lane import Lane, LaneResult
from edge.segmenter import STAGES, Segmenter

QUICK = BenchSettings(warmup_frames=2, frames=5, seconds=0.0)


class MadeFrames(FrameSet):
    """Frames of noise; remembers which were read."""

    def __init__(self, count, size=(20, 44)):
        super().__init__("made frames", [f"made_{index}" for index in range(count)])
        self.size, self.was_read = size, []

    def read(self, index):
        self.was_read.append(index)
        size = self.size(index) if callable(self.size) else self.size
        return np.random.default_rng(index).integers(0, 256, (*size, 3), np.uint8)

    def digest(self, index):
        return str(index)


class CountingRunner(Runner):
    """Gives one class everywhere; remembers the frames that it was asked for."""

    backend = "onnxruntime"

    def __init__(self, contract):
        super().__init__(contract)
        self.asked, self.activations = [], 0

    def describe(self):
        return {"backend": self.backend, "version": "1", "device": "cpu", "threads": 1}

    def _activate_impl(self):
        self.activations += 1

    def _deactivate_impl(self):
        pass

    def _infer_impl(self, frame):
        self.asked.append(frame.copy())
        return {name: np.zeros(shape, np.float32) for name, shape in self.contract.output_shapes.items()}


def test_warm_up_is_not_counted(contract, card):
    runner = CountingRunner(contract)
    record = run_benchmark(runner, card, MadeFrames(3), BenchSettings(warmup_frames=4, frames=6, seconds=0.0))
    assert len(runner.asked) == 4 + 6
    assert record.warmup_frames == 4
    assert record.end_to_end.sample_count == 6
    assert {stage: len(values) for stage, values in record.samples_ms.items()} == dict.fromkeys(STAGES, 6)
    assert runner.activations == 1
    assert not runner._active


def test_statistics_are_those_of_the_samples(contract, card, monkeypatch):
    times = {stage: [int(x) for x in np.random.default_rng(i).integers(1e6, 9e6, 5)] for i, stage in enumerate(STAGES)}
    totals = [sum(parts) for parts in zip(*times.values())]
    log = FrameLog()
    for index, total in enumerate(totals):
        start_ns = 10**15 + 250_000_000 * index
        stages = {stage: values[index] for stage, values in times.items()}
        log.add(FrameTimes(start_ns, start_ns, start_ns + 250_000_000, total, stages))
    monkeypatch.setattr(measure, "_measure", lambda *_arguments: measured_record.Measured(log, 10**15))
    record = run_benchmark(CountingRunner(contract), card, MadeFrames(1), QUICK)
    assert record.stages == {stage: summarise(values) for stage, values in times.items()}
    assert record.end_to_end == summarise(totals)
    assert record.end_to_end.mean_ms == pytest.approx(sum(stage.mean_ms for stage in record.stages.values()))
    assert record.fps == pytest.approx(1000 / record.end_to_end.mean_ms)
    assert record.duration_s == 1.25
    assert record.scenario.name == SINGLE_STREAM
    for stage in STAGES:
        assert record.samples_ms[stage] == pytest.approx([value / 1e6 for value in times[stage]], abs=1e-4)


class PretendedLane(Lane):
    """Takes two frames at once; by its clock the network needs 3 ms of each."""

    def __init__(self, request):
        super().__init__(request)
        self.under_way, self.most = 0, 0

    def submit(self, frame):
        self.under_way += 1
        self.most = max(self.most, self.under_way)

    def collect(self):
        self.under_way -= 1
        labels = np.zeros((self.request.height, self.request.width), np.uint8)
        return LaneResult(labels, {"upload": 1_000_000, "inference": 3_000_000}, {}, None)

    def describe(self):
        return {"cuda_graph": "yes"}

    def close(self):
        pass


class LaneRunner(CountingRunner):
    def open_lane(self, request):
        self.lane = PretendedLane(request)
        return self.lane


@pytest.mark.parametrize("in_flight", [1, 2])
def test_frames_in_flight_are_kept_up_and_every_one_is_counted(contract, card, in_flight):
    runner = LaneRunner(contract)
    record = run_benchmark(runner, card, MadeFrames(3), BenchSettings(2, 7, 0.0, in_flight))
    assert runner.lane.most == record.frames_in_flight == in_flight
    assert runner.lane.under_way == 0
    assert record.end_to_end.sample_count == len(record.latencies_ms()) == 7
    assert set(record.stages) == {"upload", "inference"}
    assert record.stages["inference"].mean_ms == 3.0
    assert record.postprocess == "cuda"
    if in_flight == 1:
        assert record.network_share() == pytest.approx(3.0 / record.end_to_end.mean_ms)
    else:
        assert record.fps == pytest.approx(7 / record.duration_s)
        assert record.network_share() is None


def test_nv12_frames_are_measured_as_such(contract, card):
    runner = CountingRunner(contract)
    plan = BenchSettings(0, 2, 0.0, frame_format="nv12")
    record = run_benchmark(runner, card, MadeFrames(2, (16, 32)), plan)
    assert (record.frame_format, record.frame_height, record.frame_width) == ("nv12", 16, 32)
    assert runner.asked[0].shape == contract.input_shape
    with pytest.raises(InputError, match="NV12 needs even sides"):
        run_benchmark(runner, card, MadeFrames(2, (15, 32)), plan)


def test_host_does_one_frame_at_a_time_whatever_was_asked(contract, card):
    record = run_benchmark(CountingRunner(contract), card, MadeFrames(3), BenchSettings(0, 3, 0.0, 4))
    assert record.frames_in_flight == 1
    assert record.latencies_ms() == pytest.approx([sum(parts) for parts in zip(*record.samples_ms.values())], abs=1e-3)


def test_measuring_goes_on_until_the_time_is_reached_too(contract, card, monkeypatch):
    class Clock:
        now_ns = 0

        def perf_counter_ns(self):
            self.now_ns += 100_000_000
            return self.now_ns

    clock = Clock()
    for module in (measure, base):
        monkeypatch.setattr(module, "time", clock)
    record = run_benchmark(CountingRunner(contract), card, MadeFrames(1), BenchSettings(0, 2, 1.0))
    # The clock goes on by 0.1 s at each look: at the start and at the end of a frame, and the first starts the window.
    assert record.end_to_end.sample_count == 6
    assert record.duration_s == pytest.approx(1.1)


def test_frames_reach_the_network_as_they_were_in_rgb(contract, card):
    frames = MadeFrames(2, (16, 32))
    runner = CountingRunner(contract)
    run_benchmark(runner, card, frames, BenchSettings(0, 3, 0.0))
    for position, index in enumerate((0, 1, 0)):
        np.testing.assert_array_equal(runner.asked[position][0], frames.read(index))


def test_no_more_frames_are_held_than_the_most(contract, card):
    frames = MadeFrames(MAX_DISTINCT_FRAMES + 20)
    record = run_benchmark(CountingRunner(contract), card, frames, QUICK)
    assert frames.was_read == list(range(MAX_DISTINCT_FRAMES))
    assert record.distinct_frames == MAX_DISTINCT_FRAMES
    assert (record.frame_height, record.frame_width, record.input) == (20, 44, "made frames")


def test_frames_of_several_sizes_are_refused_before_any_work(contract, card):
    runner = CountingRunner(contract)
    with pytest.raises(InputError, match="frames of made frames differ in size"):
        run_benchmark(runner, card, MadeFrames(2, lambda index: (20, 40 + index)), QUICK)
    assert runner.activations == 0


def test_no_frames_are_refused(contract, card):
    with pytest.raises(InputError, match="no frames to benchmark with in made frames"):
        run_benchmark(CountingRunner(contract), card, MadeFrames(0), QUICK)


def test_record_of_a_real_engine_comes_back_equal_from_json(make_engine, make_camvid, tmp_path):
    runner, card = open_engine(make_engine())
    labelled = open_dataset("camvid", make_camvid(), "val")
    record = run_benchmark(runner, card, MadeFrames(2), QUICK, labelled)
    write_record(tmp_path / RECORD_FILE, record)
    assert read_record(BenchRecord, tmp_path / RECORD_FILE) == record
    assert record_from_json(BenchRecord, json.loads(json.dumps(record_to_json(record))), "x") == record
    with runner:
        expected = measure_accuracy(Segmenter(runner, "rgb").label_frame, labelled, keeps_frames=True)
    assert record.accuracy is not None
    assert record.accuracy.miou == expected.miou
    assert record.accuracy.class_iou == expected.class_iou
    assert record.engine == card


def test_interrupt_ends_the_runner(contract, card):
    class Interrupted(CountingRunner):
        def _infer_impl(self, frame):
            raise KeyboardInterrupt

    runner = Interrupted(contract)
    with pytest.raises(KeyboardInterrupt):
        run_benchmark(runner, card, MadeFrames(1), QUICK)
    assert not runner._active


def test_accuracy_of_random_weights_is_refused_before_any_work(contract, card, make_camvid):
    contract = dataclasses.replace(contract, weights=WeightsProvenance("random", "seed 0", "0" * 64))
    runner = CountingRunner(contract)
    labelled = open_dataset("camvid", make_camvid(), "val")
    with pytest.raises(InputError, match="random weights, so it has no accuracy"):
        run_benchmark(runner, dataclasses.replace(card, contract=contract), MadeFrames(1), QUICK, labelled)
    assert runner.activations == 0


def test_accuracy_on_other_classes_is_refused_before_any_work(contract, card, make_camvid):
    contract = dataclasses.replace(contract, class_names=("road", "sky"), dataset="cityscapes")
    runner = CountingRunner(contract)
    labelled = open_dataset("camvid", make_camvid(), "val")
    with pytest.raises(DatasetError, match="camvid has 11 classes, the engine has 2 of cityscapes"):
        run_benchmark(runner, dataclasses.replace(card, contract=contract), MadeFrames(1), QUICK, labelled)
    assert runner.activations == 0
