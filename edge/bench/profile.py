"""The measurement of a profile: the whole network, then layer by layer, then the whole network again."""

from __future__ import annotations

import datetime
import time
from typing import Sequence

import numpy as np

from edge.bench.profile_record import LayerProfile, ProfileRecord
from edge.card import EngineCard
from edge.console import Progress
from edge.errors import BackendError, InputError
from edge.frame_statistics.percentiles import summarise
from edge.frames import FrameSet
from edge.machine import this_machine
from edge.machine_load import LoadWatch
from edge.preprocess import FramePreparer
from edge.runtime.base import Runner
from edge.runtime.layer_time import OTHER, WARMUP_RUNS, LayerTime

CLOCKS = {
    "onnxruntime": "ONNX Runtime's profiler: host time of each kernel, with all its threads, in whole microseconds",
    "tensorrt": "TensorRT's IProfiler: CUDA events around each layer",
}
"""Backend -> text that names the profiler of layers and its clock."""


def run_profile(runner: Runner, card: EngineCard, frames: FrameSet, runs: int) -> ProfileRecord:
    """Measure the layers of one engine on the first of some frames.

    Args:
        runner: Runner of the engine, which is not active yet.
        card: Card of the engine.
        frames: Frames of which the first is used: layers take the same time whatever it shows.
        runs: Number of measured inferences, with the profiler and without it.

    Raises:
        InputError: There are no frames, or fewer than one run.
        BackendError: The backend failed, or its profiler reported nothing.
    """
    if runs < 1:
        raise InputError(f"a profile was asked for in {runs} runs, expected at least 1")
    if not len(frames):
        raise InputError(f"no frames to profile with in {frames.description}")
    contract = card.contract
    prepared = FramePreparer(contract.height, contract.width, "rgb")(frames.read(0))
    tensor = np.repeat(prepared, contract.batch, axis=0)
    started_utc = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    watch = LoadWatch()
    with runner, Progress("profile", 2 * runs, "run") as progress:
        for _ in range(WARMUP_RUNS):
            runner.infer_all(tensor)
        # Half before and half after: a machine that grows slower meanwhile makes the profiler look neither cheap nor
        # dear.
        network_ns = _time(runner, tensor, (runs + 1) // 2, progress)
        layers = runner.profile(tensor, runs)
        for _ in range(runs):
            progress.step()
        if runs > 1:
            runner.infer_all(tensor)
            network_ns += _time(runner, tensor, runs // 2, progress)
        described = runner.describe()
    return ProfileRecord(
        engine=card,
        machine=this_machine(),
        runner=described,
        clock=CLOCKS.get(runner.backend, runner.backend),
        input=frames.description,
        frame_name=frames.names[0],
        warmup_runs=WARMUP_RUNS,
        runs=runs,
        layers=_profiles(layers),
        layer_sum=summarise([_ns(sum(run)) for run in zip(*(layer.milliseconds for layer in layers))]),
        network=summarise(network_ns),
        network_middle_mean_ms=_mean([network_ns[run] for run in middle_runs(network_ns)]) / 1e6,
        notes=(*_notes(card, layers), *_left_out(frames)),
        started_utc=started_utc,
        load=watch.load(),
    )


def middle_runs(totals: Sequence[float]) -> list[int]:
    """Return the numbers of the runs in the middle half by their totals, at least one: neither held up nor lucky."""
    order = sorted(range(len(totals)), key=totals.__getitem__)
    outer = len(totals) // 4
    return order[outer : len(totals) - outer]


def _time(runner: Runner, tensor: np.ndarray, runs: int, progress: Progress) -> list[int]:
    """Return the time of each run in nanoseconds; a run ends when every output is in host memory."""
    samples_ns = []
    for _ in range(runs):
        start_ns = time.perf_counter_ns()
        runner.infer_all(tensor)
        samples_ns.append(time.perf_counter_ns() - start_ns)
        progress.step()
    return samples_ns


def _profiles(layers: Sequence[LayerTime]) -> tuple[LayerProfile, ...]:
    middle = middle_runs([sum(run) for run in zip(*(layer.milliseconds for layer in layers))])
    means_ms = [_mean([layer.milliseconds[run] for run in middle]) for layer in layers]
    whole_ms = sum(means_ms)
    if not whole_ms:
        raise BackendError(f"the profiler gave {len(layers)} layers and no time of any. Next: measure more runs")
    return tuple(
        LayerProfile(
            name=" ".join(layer.name.split()),
            kind=layer.kind,
            precision=layer.precision,
            middle_mean_ms=mean_ms,
            p50_ms=summarise([_ns(value) for value in layer.milliseconds]).p50_ms,
            share=mean_ms / whole_ms,
        )
        for layer, mean_ms in zip(layers, means_ms)
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _ns(milliseconds: float) -> int:
    return round(milliseconds * 1e6)


def _left_out(frames: FrameSet) -> tuple[str, ...]:
    return (f"{len(frames.skipped)} of the pictures cannot be read and were left out",) if frames.skipped else ()


def _notes(card: EngineCard, layers: Sequence[LayerTime]) -> tuple[str, ...]:
    notes = []
    joined = sum("{ForeignNode[" in layer.name or layer.kind == "DLA" for layer in layers)
    if joined:
        where = f"the DLA, core {card.dla_core}, or" if card.dla_core is not None else "the DLA, or"
        notes.append(
            f"{_count(joined, 'line is', 'lines are')} each many layers that run as one, on {where} compiled together "
            "by TensorRT: it gives no time within {ForeignNode[first...last]}"
        )
    if card.backend == "tensorrt" and all(layer.precision is None for layer in layers):
        unknown = sum(layer.kind == OTHER for layer in layers)
        notes.append(
            f"the engine keeps only names of its layers, so kinds are read from these ({unknown} of {len(layers)} stay "
            "unknown) and precisions are not known. Next: build it again with --verbose-layers"
        )
    return tuple(notes)


def _count(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"
