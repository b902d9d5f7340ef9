"""A run without an engine, at a fixed rate: what the benchmarks of the runs database write.

As a script it records until it is killed: `python benchmarks/pretended_run.py RUNS.DB TIMES`. The end of each frame in
ns goes to the file TIMES as a little-endian int64 before the recording can know of it, and outlives the process.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any, Callable

if __name__ == "__main__":  # run by its path: the checkout, not this folder, is where packages are
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from edge.bench.frame_samples import FrameLog, FrameTimes
from edge.card import EngineCard
from edge.contract import Contract
from edge.labels import CAMVID
from edge.machine import Machine
from edge.provenance import WeightsProvenance
from edge.records import record_to_json
from edge.run_store.store import RunStore
from edge.telemetry.base import PowerSample

FRAME_NS = 1_000_000
"""Time in ns from one frame to the next: 1,000 frames a second."""

STAGES = ("preprocess", "inference", "postprocess")


def description() -> dict[str, Any]:
    """Return what is known of the pretended run before it, as edge-bench run gives it to the database."""
    nothing = "0" * 64
    contract = Contract(
        model="pretended",
        dataset="camvid",
        class_names=CAMVID.class_names,
        height=512,
        width=1024,
        stride=8,
        coordinates="half_pixel",
        input_name="frame",
        output_name="logits",
        graph_sha256=nothing,
        weights=WeightsProvenance("random", "seed 0", nothing),
        source_sha256=nothing,
        opset=17,
        versions={},
    )
    machine = Machine("Linux", "x86_64", "cpu", 1)
    card = EngineCard(
        contract=contract,
        backend="onnxruntime",
        backend_version="1",
        precision="float32",
        engine_file="engine.onnx",
        engine_sha256=nothing,
        engine_bytes=1,
        built_from_sha256=nothing,
        machine=machine,
        built_utc="2026-01-01T00:00:00+00:00",
        build_seconds=0.0,
    )
    return {"engine": record_to_json(card), "machine": record_to_json(machine), "input": "pretended"}


def run_frames(log: FrameLog, count: int, work: Callable[[], object], done: Callable[[int], object] = bool) -> None:
    """Add frames to a log at a fixed rate; a frame that is late moves those behind it.

    Args:
        log: Log that frames are added to.
        count: Number of frames.
        work: Function that stands for the engine.
        done: Function that is called with the end of each frame in ns before it is added.
    """
    due_ns = time.perf_counter_ns()
    for _ in range(count):
        due_ns = max(due_ns + FRAME_NS, time.perf_counter_ns())
        while due_ns > time.perf_counter_ns():
            time.sleep(max(due_ns - time.perf_counter_ns(), 0) / 1e9)
        start_ns = time.perf_counter_ns()
        work()
        end_ns = time.perf_counter_ns()
        done(end_ns)
        third = (end_ns - start_ns) // 3
        log.add(FrameTimes(start_ns, start_ns, end_ns, end_ns - start_ns, dict.fromkeys(STAGES, third)))


def samples_until_now(start_ns: int, interval_ns: int = 50_000_000) -> list[PowerSample]:
    """Return the samples of a board with some sensors from a moment until now, in ns, 20 a second."""
    return [
        PowerSample(
            time_ns=time_ns,
            rails_mw={"GPU": 5000.0, "CPU": 2000.0, "SOC": 1500.0},
            total_mw=8500.0,
            temperatures_c={"GPU": 50.0, "CPU": 48.0, "AUX": 45.0},
            gpu_load_percent=90.0,
            gpu_clock_mhz=900.0,
        )
        for time_ns in range(start_ns, time.perf_counter_ns(), interval_ns)
    ]


def _record_until_killed(database: Path, times: Path) -> None:
    with open(times, "wb", buffering=0) as file, RunStore(database) as store:
        recording, log, start_ns = store.begin(description()), FrameLog(), time.perf_counter_ns()
        recording.start(log, lambda: samples_until_now(start_ns))
        print(recording.run_id, flush=True)
        run_frames(
            log,
            1_000_000,
            lambda: time.sleep(2e-4),
            lambda end_ns: os.write(file.fileno(), end_ns.to_bytes(8, "little")),
        )


if __name__ == "__main__":
    _record_until_killed(Path(sys.argv[1]), Path(sys.argv[2]))
