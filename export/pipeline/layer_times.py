"""Times of the layers in INT8 and in float32 on the CPU of this machine, by ONNX Runtime's profiler.

ONNX Runtime fuses nodes and renames what comes of it: a convolution with its activation is one kernel, named after one
of the two and the pass that fused them. Here kernels get their layers back by name, and what belongs to no layer, such
as a change of memory layout between two kernels, is left out; `total_times` measures whole graphs.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from calibration.onnx_graph.editable import EditableGraph
from calibration.onnx_graph.file import import_onnx
from calibration.onnx_graph.graph import OnnxGraph
from edge.contract import Contract
from edge.errors import InputError
from edge.frames import FrameSet
from edge.preprocess import FramePreparer
from edge.runtime.layer_time import WARMUP_RUNS
from edge.runtime.onnxruntime import open_session
from edge.runtime.onnxruntime_profile import read_kernel_times

RUNS = 10
"""Frames timed in each graph; a layer's time is the median."""

ROUNDS = 3
"""Times that a graph is opened: a session's threads spin while they wait, so only one is open at a time."""


def layer_times(
    int8_graph: bytes, float_graph: bytes, contract: Contract, frames: FrameSet, runs: int = RUNS
) -> dict[str, tuple[float, float]]:
    """Measure the time of each layer in the quantised graph and in the float graph.

    A layer is a node of the float graph, a convolution together with the activation that is fused with it. Its time in
    INT8 includes the rounding of its result and the conversion back to float, where these are kernels of their own.

    Args:
        int8_graph: content of the ONNX file of the quantised graph.
        float_graph: content of the ONNX file of the float graph, whose names the quantised one keeps.
        contract: contract of both graphs.
        frames: images that the graphs are run on.
        runs: number of frames that are timed in each graph.

    Returns:
        Name of the node -> milliseconds in INT8 and in float32. Layers that are not a kernel of their own in both
        graphs are left out.

    Raises:
        InputError: there are no frames.
        GraphError: ONNX Runtime does not accept one of the graphs.
    """
    feeds, layers = _feeds(contract, frames), _LayerNames(float_graph)
    in_int8, in_float = (_profile(graph, feeds, layers, runs) for graph in (int8_graph, float_graph))
    return {name: (in_int8[name], in_float[name]) for name in in_float if name in in_int8}


def total_times(
    int8_graph: bytes, float_graph: bytes, contract: Contract, frames: FrameSet, runs: int = RUNS
) -> tuple[float, float]:
    """Measure the time of the whole graphs, without the overhead of the profiler.

    Args:
        int8_graph: content of the ONNX file of the quantised graph.
        float_graph: content of the ONNX file of the float graph.
        contract: contract of both graphs.
        frames: images that the graphs are run on.
        runs: number of frames that are timed in each of ROUNDS rounds.

    Returns:
        Median milliseconds of a frame in INT8 and in float32.

    Raises:
        InputError: there are no frames.
        GraphError: ONNX Runtime does not accept one of the graphs.
    """
    feeds = _feeds(contract, frames)
    samples: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for graph, times_ms in zip((int8_graph, float_graph), samples):
            session = open_session(graph)
            for index in range(WARMUP_RUNS + runs):
                start_ns = time.perf_counter_ns()
                session.run(None, feeds[index % len(feeds)])
                if index >= WARMUP_RUNS:
                    times_ms.append((time.perf_counter_ns() - start_ns) / 1e6)
            del session
    in_int8, in_float = (statistics.median(times_ms) for times_ms in samples)
    return in_int8, in_float


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


def _profile(graph: bytes, feeds: list[dict[str, np.ndarray]], layers: _LayerNames, runs: int) -> dict[str, float]:
    """Return name of the layer -> milliseconds of a frame."""
    with tempfile.TemporaryDirectory() as folder:
        session = open_session(graph, profile_folder=Path(folder))
        for index in range(WARMUP_RUNS + runs):
            session.run(None, feeds[index % len(feeds)])
        kernels = read_kernel_times(Path(session.end_profiling()), WARMUP_RUNS, runs)
    per_run: dict[str, np.ndarray] = {}
    for kernel in kernels:  # a name may be that of several
        per_run[kernel.name] = per_run.get(kernel.name, 0.0) + np.array(kernel.milliseconds)
    times_ms: dict[str, float] = {}
    for name, values in per_run.items():
        layer = layers.of_kernel(name)
        if layer is not None:
            times_ms[layer] = times_ms.get(layer, 0.0) + float(np.median(values))
    return times_ms


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
