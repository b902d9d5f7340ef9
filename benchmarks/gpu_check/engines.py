"""The steps for one engine: build it and compare it with the float graph, time it, open and close it many times."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import resource
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu_check import bare
from benchmarks.gpu_check.environment import choose_tactics
from benchmarks.gpu_check.record import BuiltCheck, LatencyCheck, PipelinedLatency, SlowLayer, SoakCheck
from edge.bench.bench_record import BenchRecord
from edge.bench.measure import BenchSettings, run_benchmark
from edge.console import print_note
from edge.errors import SegEdgeError, WeightsError
from edge.frames import DatasetFrames, SyntheticFrames
from edge.preprocess import prepare_rgb
from edge.provenance import RANDOM
from edge.runtime import open_engine
from edge.runtime.calls import call
from edge.runtime.cuda.context import CudaContext
from edge.segmenter import Segmenter
from export.pipeline.build import build
from export.pipeline.float_graph import make_float_graph
from export.pipeline.plan import plan_build
from export.pipeline.request import BuildRequest, Int8Request
from export.pipeline.verify import LEAST_FLOAT_AGREEMENT, LEAST_LOOSE_AGREEMENT
from train.options import resolve_options
from train.run_choice import choose_run, find_runs

FRAMES_SEED = 8_000_000
DISTINCT_FRAMES = 4
LEAST_WARMUP_FRAMES = 20
SEVERAL_IN_FLIGHT = (2, 3)
"""Two slots are tight for an engine of a millisecond: the host has to collect and submit within it."""

SHOWN_LAYERS = 8
PROFILE_RUNS = 10
ANYTHING_GOES = 100.0
"""Points of mIoU, and percent of labels, that INT8 may lose here: one that lost much is to be told of, not refused."""

SETTLING_OPENS = 5
"""Opens before memory is compared: libraries, kernels and heaps are taken once for the process."""

LARGEST_GROWTH_BYTES = 16 << 20


def build_check(
    model: str,
    size: tuple[int, int],
    precision: str,
    dataset: str | None,
    data_dir: str | None,
    options: dict[str, Any],
    images: int,
    calibration_images: int | None,
) -> BuiltCheck:
    """Build one engine by export.pipeline.build, as export/build_engine.py does.

    Args:
        model: Name of the architecture.
        size: Height and width of the network, in pixels.
        precision: Precision of the engine, "float32", "float16" or "int8".
        dataset: Key in edge.datasets.LAYOUTS; None to take the dataset of the weights or artefacts that are found.
        data_dir: Folder of the dataset; None for the default one.
        options: Options of the architecture.
        images: Number of images that the engine is compared with the float graph on.
        calibration_images: Number of images for calibration; None for the default of a build.

    Raises:
        SegEdgeError: whatever a build can raise.
    """
    choose_tactics()
    request = BuildRequest(
        model=model,
        height=size[0],
        width=size[1],
        precision=precision,
        backend="tensorrt",
        dataset=dataset,
        data_dir=Path(data_dir) if data_dir else None,
        weights_path=None,
        accuracy_images=images,
        options=options,
    )
    request = with_weights(request)
    if precision == "int8":
        request = _with_int8(request, calibration_images)
    result = build(request)
    card = result.card
    return BuiltCheck(
        folder=str(result.plan.output.resolve()),
        precision=precision,
        build_seconds=card.build_seconds,
        engine_bytes=card.engine_bytes,
        weights=card.contract.weights.kind,
        int8_mac_share=card.int8_mac_share,
        check=card.check,
        notes=card.notes,
    )


def with_weights(request: BuildRequest) -> BuildRequest:
    """Return a request whose build does not stop for lack of weights: speed is checked first, labels where they can be.

    Where no run has the size that is checked, the best run of another size is taken, and random weights without any.
    """
    try:
        plan_build(request)
    except WeightsError as error:
        resolved = resolve_options(request.model, request.options)
        given = {name: resolved[name] for name in request.options}
        choice = choose_run(find_runs(request.model), request.dataset, None, given)
        taken = f"the weights of {choice.run.folder}" if choice.run is not None else "random weights"
        print_note(f"{error}; this check takes {taken}")
        if choice.run is None:
            return dataclasses.replace(request, random_weights=True)
        return dataclasses.replace(request, weights_path=choice.run.folder)
    return request


def _with_int8(request: BuildRequest, calibration_images: int | None) -> BuildRequest:
    """Return a request of an INT8 build that passes whatever it costs: in mIoU, or in labels where mIoU is unknown."""
    plan = plan_build(request)
    graph, frames = make_float_graph(plan), plan.images().held_out()
    has_labels = isinstance(frames, DatasetFrames) and all(
        one.label_path is not None for one in frames.chosen().samples
    )
    has_truth = has_labels and not graph.has_random_weights
    freedom = {"max_drop_points": ANYTHING_GOES} if has_truth else {"max_label_change_percent": ANYTHING_GOES}
    int8 = Int8Request(calibration_images=calibration_images, search_minutes=0.0, **freedom)
    return dataclasses.replace(request, int8=int8)


def build_problems(built: BuiltCheck) -> list[str]:
    """Return what is wrong with the labels of an engine, in sentences; with random weights nothing is judged."""
    if built.check is None or built.weights == RANDOM:
        return []
    least = LEAST_LOOSE_AGREEMENT if built.precision == "int8" else LEAST_FLOAT_AGREEMENT
    agreement = built.check.label_agreement
    if agreement >= least:
        return []
    return [f"the float graph's labels on {100 * agreement:.2f} % of pixels, expected at least {100 * least:g} %"]


class DrawnFrames(SyntheticFrames):
    """Drawn scenes that are kept in memory: drawing one takes longer than all that is measured with it."""

    def read(self, index: int) -> np.ndarray:
        """Return frame `index` as (height, width, 3) uint8 RGB; the caller must not write to it."""
        return _drawn(*self._size, index)


@functools.lru_cache(maxsize=2 * DISTINCT_FRAMES)
def _drawn(height: int, width: int, index: int) -> np.ndarray:
    return SyntheticFrames(DISTINCT_FRAMES, height, width, FRAMES_SEED).read(index)


def latency_check(folder: str, frames: int, seconds: float, warmup_seconds: float) -> LatencyCheck:
    """Time an engine from frame to labels, as edge-bench does, and by itself, without any host code around it.

    A GPU takes some hundred milliseconds to raise its clocks, which is the time of many frames. So each measurement
    warms up for a time, not for a number of frames; a first measurement, which is thrown away, gives this number.

    Args:
        folder: Folder of the engine.
        frames: Least number of measured frames, for each number of frames in flight.
        seconds: Least time of each measurement, in s.
        warmup_seconds: Least time of the warm-up before each measurement, in s.

    Raises:
        BackendError: the engine cannot be run here.
    """
    _, card = open_engine(folder)
    contract, engine = card.contract, Path(folder) / card.engine_file
    drawn = DrawnFrames(DISTINCT_FRAMES, contract.height, contract.width, FRAMES_SEED)

    def measure(warmup_frames: int, wanted_s: float, in_flight: int) -> BenchRecord:
        runner, _ = open_engine(folder)
        return run_benchmark(runner, card, drawn, BenchSettings(warmup_frames, frames, wanted_s, in_flight))

    warmup_frames = frames_that_take(warmup_seconds, measure(LEAST_WARMUP_FRAMES, warmup_seconds, 1))
    alone = measure(warmup_frames, seconds, 1)
    several = [measure(warmup_frames, seconds, in_flight) for in_flight in SEVERAL_IN_FLIGHT]
    tensor = prepare_rgb(drawn.read(0), contract.height, contract.width)
    times = bare.time_bare(engine, card, tensor, frames, warmup_seconds)
    trtexec_ms, trtexec_problem = bare.time_trtexec(engine, seconds, warmup_seconds)
    return LatencyCheck(
        folder=folder,
        precision=card.precision,
        synchronous_ms=alone.end_to_end.mean_ms,
        synchronous_p99_ms=alone.end_to_end.p99_ms,
        inference_ms=alone.stages["inference"].mean_ms,
        pipelined=tuple(PipelinedLatency(one.frames_in_flight, 1e3 / one.fps) for one in several),
        warmup_frames=warmup_frames,
        bare_ms=bare.mean_ms(times),
        trtexec_ms=trtexec_ms,
        trtexec_problem=trtexec_problem,
        cuda_graph=alone.runner.get("cuda_graph"),
        memory=alone.runner.get("memory"),
        kernels=alone.postprocess,
        runner=alone.runner,
        slowest_layers=_slowest_layers(folder, tensor),
        stages_ms={stage: latency.mean_ms for stage, latency in alone.stages.items()},
    )


def frames_that_take(seconds: float, measured: BenchRecord) -> int:
    """Return the number of frames, one at a time, that take `seconds` even if each is as quick as the quickest one."""
    return max(LEAST_WARMUP_FRAMES, math.ceil(1e3 * seconds / min(measured.samples_end_to_end_ms)))


def _slowest_layers(folder: str, tensor: np.ndarray) -> tuple[SlowLayer, ...]:
    runner, _ = open_engine(folder)
    with contextlib.suppress(SegEdgeError):  # a profile explains a figure; without it the figure still stands
        with runner:
            layers = runner.profile(tensor, PROFILE_RUNS)
        slow = [
            SlowLayer(layer.name[:200], layer.kind, layer.precision, statistics.fmean(layer.milliseconds))
            for layer in layers
        ]
        return tuple(sorted(slow, key=lambda layer: -layer.mean_ms)[:SHOWN_LAYERS])
    return ()


def soak_check(folder: str, opens: int, seconds: float) -> SoakCheck:
    """Open an engine, run a frame and close it, many times, and measure the memory before and after.

    Args:
        folder: Folder of the engine.
        opens: Number of opens, after the first SETTLING_OPENS, which are not counted.
        seconds: Time in s after which the soak ends, even with fewer opens.

    Raises:
        BackendError: an open, a frame or a close failed.
    """
    _, card = open_engine(folder)
    frame = np.zeros((card.contract.height, card.contract.width, 3), np.uint8)

    def once() -> None:
        runner, _ = open_engine(folder)
        with runner:
            Segmenter(runner, "bgr", 2)(frame)

    context = CudaContext()
    context.leave()  # this one only asks; the runner has its own
    try:
        for _ in range(SETTLING_OPENS):
            once()
        before, resident = _free_bytes(context), _resident_bytes()
        end_s, done = time.monotonic() + seconds, 0
        while done < opens and time.monotonic() < end_s:
            once()
            done += 1
        return SoakCheck(folder, done, before, _free_bytes(context), resident, _resident_bytes())
    finally:
        context.enter()
        context.detach()


def soak_problems(soak: SoakCheck) -> list[str]:
    """Return what is wrong after a soak, in sentences: an open that is closed again must not keep GPU memory."""
    if soak.grown_bytes() <= LARGEST_GROWTH_BYTES:
        return []
    limit = f"expected at most {LARGEST_GROWTH_BYTES >> 20} MiB"
    return [f"{soak.grown_bytes() / 2**20:.1f} MiB of the GPU are gone after {soak.opens} opens, {limit}"]


def _free_bytes(context: CudaContext) -> int:
    with context.current():
        return int(call("pycuda.driver.mem_get_info", context.driver.mem_get_info)[0])


def _resident_bytes() -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize()
    return None
