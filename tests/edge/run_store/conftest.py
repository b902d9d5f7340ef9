"""Runs without an engine: a log of frames, samples of a machine, and the record that they give."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edge.bench.bench_record import BenchRecord
from edge.bench.frame_samples import FrameLog, FrameTimes, frame_samples
from edge.bench.record_figures import judged_record
from edge.records import record_to_json
from edge.run_store.recomputation import POWER_SOURCE, interrupted_record
from edge.run_store.rows import shifted_samples
from edge.run_store.store import RunStore
from edge.telemetry.base import PowerSample

WINDOW_START_NS = 5_000_000_000_000
SOURCE = {"source": "jtop", "version": "4.3", "covers": "a board", "interval_s": 0.1, "gap_limit_s": 0.3}


@dataclasses.dataclass
class MadeRun:
    """A run as it is when its measurement has ended."""

    description: dict
    log: FrameLog
    samples: list[PowerSample]
    record: BenchRecord


@pytest.fixture
def make_run(card):
    """Return a function that makes a run of some frames, of about 10 ms each, with a sample of power every 100 ms."""

    def make(frames: int = 120, seed: int = 0, **changes: object) -> MadeRun:
        rng = np.random.default_rng(seed)
        log, now_ns = FrameLog(), WINDOW_START_NS
        for _ in range(frames):
            stages = {
                name: int(mean * rng.lognormal(0.0, 0.05))
                for name, mean in (("preprocess", 1_000_000), ("inference", 8_000_000), ("postprocess", 1_000_000))
            }
            end_ns = now_ns + sum(stages.values())
            log.add(FrameTimes(now_ns, now_ns, end_ns, end_ns - now_ns, stages))
            now_ns = end_ns
        samples = [
            PowerSample(
                time_ns=WINDOW_START_NS + index * 100_000_000 - 50_000_001,
                rails_mw={"GPU": 3000.0 + float(rng.normal(0, 50)), "CPU": 1000.0},
                total_mw=4000.0 + index,
                temperatures_c={"GPU": 40.0 + index, "cpu": None},
                gpu_clock_mhz=900.0,
                power_mode="MAXN",
            )
            for index in range((now_ns - WINDOW_START_NS) // 100_000_000 + 2)
        ]
        description = {
            "engine": record_to_json(card),
            "machine": record_to_json(card.machine),
            "runner": {"device": "CPU", "version": "1"},
            "input": "drawn",
            "frame_height": 16,
            "frame_width": 32,
            "distinct_frames": 4,
            "started_utc": "2026-01-01T00:00:00+00:00",
            "frames_asked": frames,
            POWER_SOURCE: SOURCE,
        }
        columns = frame_samples(log, WINDOW_START_NS)
        relative = shifted_samples(samples, -WINDOW_START_NS)
        record = interrupted_record(description, "", columns, relative)
        record = dataclasses.replace(record, **{"is_partial": False, **changes})
        return MadeRun(description, log, samples, judged_record(record, columns))

    return make


@pytest.fixture
def store(tmp_path):
    with RunStore(tmp_path / "runs.db") as opened:
        yield opened


@pytest.fixture
def keep():
    """Return a function that writes a made run to a store at once, and gives its id."""

    def write(store: RunStore, run: MadeRun, status: str = "complete") -> str:
        recording = store.begin(run.description)
        recording.start(run.log, lambda: run.samples, WINDOW_START_NS)
        assert recording.finish(run.record, status)
        return recording.run_id

    return write
