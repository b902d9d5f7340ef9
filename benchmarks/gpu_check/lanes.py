"""Comparison of the labels of lanes, which have several frames in flight, with the labels made on the host.

A lane that gives a frame the labels of another slot is as quick as one that is right; only this comparison tells.
"""

from __future__ import annotations

import contextlib
import itertools
from typing import Iterator

import numpy as np

from benchmarks.gpu_check.record import LaneRun, LanesCheck
from edge.frames import SyntheticFrames
from edge.postprocess import upsample_argmax
from edge.preprocess import prepare_rgb
from edge.runtime import open_engine
from edge.runtime.base import Runner
from edge.runtime.cuda.lane import CudaLane
from edge.segmenter import Segmenter

FRAMES_SEED = 8_100_000
DIFFERENT_FRAMES = 8
ROUNDS = 4
"""Times that all frames go through: every frame meets every slot, and a race has more than one chance to be seen."""

DEPTHS = (1, 2, 3)
NOT_ASKED = "call by call was asked for"


def lanes_check(folder: str) -> LanesCheck:
    """Label the same frames by every kind of lane, and by the network on the GPU with all other work on the host.

    The frames have the size of the network, so that nothing is resized and all ways have to give the same labels.

    Args:
        folder: Folder of the engine.

    Raises:
        BackendError: the engine cannot be run here.
    """
    runner, card = open_engine(folder)
    contract = card.contract
    drawn = SyntheticFrames(DIFFERENT_FRAMES, contract.height, contract.width, FRAMES_SEED)
    tensors = [prepare_rgb(drawn.read(index), contract.height, contract.width) for index in range(DIFFERENT_FRAMES)]
    with runner:
        expected = _labels_by_host(runner, tensors)
        again = _labels_by_host(runner, tensors)
    frames_bgr = [np.ascontiguousarray(tensor[0, ..., ::-1]) for tensor in tensors]
    runs: list[LaneRun] = []
    kernels = "cuda"
    for is_recorded, depth in itertools.product((True, False), DEPTHS):
        runner, _ = open_engine(folder)  # a lane of its own each, in a context of its own
        run, problem = _run_lane(runner, frames_bgr, expected, depth, is_recorded)
        if run is None:
            kernels = problem
            break
        runs.append(run)
    return LanesCheck(
        folder=folder,
        precision=card.precision,
        different_frames=DIFFERENT_FRAMES,
        different_labels=len({labels.tobytes() for labels in expected}),
        host_differing=sum(map(_differing, again, expected)),
        kernels=kernels,
        runs=tuple(runs),
    )


def _labels_by_host(runner: Runner, tensors: list[np.ndarray]) -> list[np.ndarray]:
    contract = runner.contract
    size = (contract.height, contract.width)
    return [upsample_argmax(runner.infer(tensor), *size, contract.coordinates) for tensor in tensors]


def _run_lane(
    runner: Runner, frames_bgr: list[np.ndarray], expected: list[np.ndarray], depth: int, is_recorded: bool
) -> tuple[LaneRun | None, str]:
    """Return the record of a lane and ""; or None and the reason why the host does the work instead of a lane."""
    differing = count = 0
    with runner, contextlib.nullcontext() if is_recorded else _without_graphs():
        segmenter = Segmenter(runner, "bgr", depth)
        for number, labels in enumerate(_labels_in_turn(segmenter, frames_bgr)):
            differing += _differing(labels, expected[number % len(expected)])
            count += 1
        described = runner.describe()
        if not segmenter.is_on_device:
            return None, str(described.get("kernels", "no lane"))
    run = LaneRun(
        depth=depth,
        is_recorded=described["cuda_graph"] == "yes",
        cuda_graph=described["cuda_graph"],
        memory=described["memory"],
        frames=count,
        pixels=count * expected[0].size,
        differing=differing,
    )
    return run, ""


def _labels_in_turn(segmenter: Segmenter, frames_bgr: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the labels of each frame, with as many frames in flight as the segmenter allows."""
    scratch = np.empty_like(frames_bgr[0])
    for number in range(ROUNDS * len(frames_bgr)):
        if segmenter.is_full:
            yield segmenter.collect().labels
        np.copyto(scratch, frames_bgr[number % len(frames_bgr)])
        segmenter.submit(scratch)
        scratch[...] = 77  # the frame was taken when it was submitted, so this must not be seen
    while segmenter.under_way:
        yield segmenter.collect().labels


def _differing(labels: np.ndarray, expected: np.ndarray) -> int:
    return int(np.count_nonzero(labels != expected))


@contextlib.contextmanager
def _without_graphs() -> Iterator[None]:
    """Keep lanes from recording CUDA graphs; only this check needs that, so lanes have no option for it."""
    right = CudaLane._open_graphs

    def open_none(lane: CudaLane) -> None:
        lane._graph_problem = NOT_ASKED

    CudaLane._open_graphs = open_none
    try:
        yield
    finally:
        CudaLane._open_graphs = right


def lanes_problems(checked: LanesCheck) -> list[str]:
    """Return which lanes give wrong labels, in sentences; lanes are not judged where the network itself varies."""
    if checked.host_differing:
        return [f"{checked.host_differing} pixels differ when the same frames go through the engine again, expected 0"]
    return [
        f"{run.name()}: {run.differing} of {run.pixels} pixels differ from the host's way, expected 0"
        for run in checked.runs
        if run.differing
    ]
