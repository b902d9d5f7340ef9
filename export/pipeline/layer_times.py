"""Times of the layers in INT8 and in float32 on the CPU of this machine, by ONNX Runtime's profiler.

ONNX Runtime fuses nodes and renames what comes of it: a convolution with its activation is one kernel, named after one
of the two and the pass that fused them. Here kernels get their layers back by name, and what belongs to no layer, such
as a change of memory layout between two kernels, is left out.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from calibration.onnx_graph.editable import EditableGraph
from calibration.onnx_graph.file import import_onnx
from calibration.onnx_graph.graph import OnnxGraph
from calibration.results import are_told_apart
from edge.contract import Contract
from edge.errors import InputError
from edge.frames import FrameSet
from edge.preprocess import FramePreparer
from edge.runtime.layer_time import WARMUP_RUNS, LayerTime
from edge.runtime.onnxruntime import open_session
from edge.runtime.onnxruntime_profile import read_kernel_times

RUNS = 4
"""Frames timed in each graph in a round; the time of a round is their median."""

ROUNDS = 5
"""Rounds in which both graphs are timed, one after the other and in turn first: what else a machine does comes and
goes, and hits both. Of five rounds each, all of one graph lie below all of the other by chance in 1 of 126 cases, of
three in 1 of 10. Each round opens its sessions anew: a session's threads spin while they wait, so only one is open at a
time."""


@dataclass(frozen=True)
class TimedPair:
    """Times of one layer, or of the whole network, in both graphs.

    Attributes:
        int8_ms: milliseconds in the quantised graph, the median of each round.
        float_ms: milliseconds in the float graph, the median of each round.
    """

    int8_ms: tuple[float, ...]
    float_ms: tuple[float, ...]

    def medians_ms(self) -> tuple[float, float]:
        """Return the median of the rounds in INT8 and in float."""
        return statistics.median(self.int8_ms), statistics.median(self.float_ms)

    def ranges_ms(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return the shortest and the longest round in INT8 and in float."""
        return (min(self.int8_ms), max(self.int8_ms)), (min(self.float_ms), max(self.float_ms))

    def is_told_apart(self) -> bool:
        """Return whether every round in one graph was faster than every round in the other."""
        return are_told_apart(*self.ranges_ms())


def compare_times(
    int8_graph: bytes, float_graph: bytes, contract: Contract, frames: FrameSet, runs: int = RUNS
) -> tuple[dict[str, TimedPair], TimedPair]:
    """Measure the time of each layer, and of the whole network, in the quantised graph and in the float graph.

    A layer is a node of the float graph, a convolution together with the activation that is fused with it. Its time in
    INT8 includes the rounding of its result and the conversion back to float, where these are kernels of their own. The
    whole network is timed without the profiler, which costs time itself.

    Args:
        int8_graph: content of the ONNX file of the quantised graph.
        float_graph: content of the ONNX file of the float graph, whose names the quantised one keeps.
        contract: contract of both graphs.
        frames: images that the graphs are run on.
        runs: number of frames that are timed in each graph in each of ROUNDS rounds, with the profiler and without it.

    Returns:
        Name of the node -> its times, and the times of the whole network. Layers that are not a kernel of their own in
        both graphs are left out.

    Raises:
        InputError: there are no frames.
        GraphError: ONNX Runtime does not accept one of the graphs.
    """
    feeds, layers = _feeds(contract, frames), _LayerNames(float_graph)
    graphs = (int8_graph, float_graph)
    by_layer: tuple[list[dict[str, float]], list[dict[str, float]]] = ([], [])
    whole: tuple[list[float], list[float]] = ([], [])
    for number in range(ROUNDS):
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            layer_ms, whole_ms = _time_round(graphs[side], feeds, layers, runs)
            by_layer[side].append(layer_ms)
            whole[side].append(whole_ms)
    everywhere = set.intersection(*(set(layer_ms) for side in by_layer for layer_ms in side))
    pairs = {
        name: TimedPair(*(tuple(layer_ms[name] for layer_ms in side) for side in by_layer))
        for name in by_layer[1][0]
        if name in everywhere
    }
    return pairs, TimedPair(tuple(whole[0]), tuple(whole[1]))


def _feeds(contract: Contract, frames: FrameSet) -> list[dict[str, np.ndarray]]:
    """Return the inputs of a few frames, so that reading them is not timed."""
    if not len(frames):
        raise InputError(f"no frames to time layers on in {frames.description}")
    prepare = FramePreparer(contract.height, contract.width, "rgb")
    feeds = []
    for index in range(min(len(frames), RUNS)):
        tensor = prepare(frames.read(index)).copy()
        feeds.append({contract.input_name: np.repeat(tensor, contract.batch, axis=0)})
    return feeds


def _time_round(
    graph: bytes, feeds: list[dict[str, np.ndarray]], layers: _LayerNames, runs: int
) -> tuple[dict[str, float], float]:
    """Return name of the layer -> milliseconds of a frame, and the milliseconds of a frame without the profiler."""
    with tempfile.TemporaryDirectory() as folder:
        session = open_session(graph, profile_folder=Path(folder))
        for index in range(WARMUP_RUNS + runs):
            session.run(None, feeds[index % len(feeds)])
        # Once it has ended, the session runs on without the profiler.
        kernels = read_kernel_times(Path(session.end_profiling()), WARMUP_RUNS, runs)
    whole_ms = []
    for index in range(runs):
        start_ns = time.perf_counter_ns()
        session.run(None, feeds[index % len(feeds)])
        whole_ms.append((time.perf_counter_ns() - start_ns) / 1e6)
    return _of_layers(kernels, layers), statistics.median(whole_ms)


def _of_layers(kernels: list[LayerTime], layers: _LayerNames) -> dict[str, float]:
    """Return name of the layer -> median milliseconds of a frame, over the kernels that belong to it."""
    per_run: dict[str, np.ndarray] = {}
    for kernel in kernels:
        layer = layers.of_kernel(kernel.name)
        if layer is not None:
            per_run[layer] = per_run.get(layer, 0.0) + np.array(kernel.milliseconds)
    return {layer: float(np.median(values)) for layer, values in per_run.items()}


class _LayerNames:
    """Finds the layer of a float graph that a kernel of ONNX Runtime belongs to.

    Args:
        float_graph: content of an ONNX file.
    """

    def __init__(self, float_graph: bytes) -> None:
        view = EditableGraph(import_onnx().load_from_string(float_graph))  # whose nodes all have names
        self._layers: dict[str, str] = {}  # name of a node or of a tensor -> layer
        for node in view.nodes:
            layer = self._fused_into(view, node)
            for name in (*node.output, node.name):
                self._layers[name] = layer

    def of_kernel(self, kernel: str) -> str | None:
        """Return the layer that a kernel belongs to; None if it belongs to no layer.

        A kernel is named after a node or a tensor of the graph, with something behind: a pass of the optimiser
        ("_nchwc", "_token_33"), or a node that quantisation added ("/DequantizeLinear").
        """
        end = len(kernel)
        while end > 0:
            layer = self._layers.get(kernel[:end])
            if layer is not None:
                return layer
            end = max(kernel.rfind("/", 0, end), kernel.rfind("_", 0, end))
        return None

    @staticmethod
    def _fused_into(view: OnnxGraph, node: Any) -> str:
        """Return the layer that a node belongs to: the convolution in front of an activation, else the node itself."""
        producer = view.producer(node.input[0]) if node.op_type == "Relu" else None
        if producer is not None and view.only_reader(producer.output[0], "Relu") is node:
            return producer.name
        return node.name
