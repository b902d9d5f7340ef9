"""Kernels of ONNX Runtime get their layers back by name, and their times are medians of one frame."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import export.pipeline.layer_times
from calibration.qdq.insert import quantize
from calibration.qdq.quantization_config import QuantizationConfig
from edge.errors import InputError
from edge.frames import FrameSubset, SyntheticFrames
from edge.runtime.onnxruntime import import_onnxruntime
from export.pipeline.layer_times import ROUNDS, WARMUP_RUNS, TimedPair, compare_times
from tests.calibration import graph_drawing as drawing

NETWORK = drawing.make_network(size=64)
FLOAT_GRAPH = NETWORK.SerializeToString()
WEIGHTED = {"stem", "deep", "point", "logits"}


@pytest.fixture(scope="module")
def int8_graph():
    generator = np.random.default_rng(3)
    feeds = [{"frame": generator.integers(0, 256, (1, 64, 64, 3)).astype(np.uint8)} for _ in range(2)]
    return quantize(NETWORK, drawing.ranges_of(NETWORK, feeds), QuantizationConfig(), "onnxruntime", 255).data


@pytest.fixture
def network_contract(contract):
    return dataclasses.replace(contract, height=64, width=64, stride=2, class_names=tuple("abcde"))


@pytest.fixture
def frames():
    return SyntheticFrames(2, 64, 64, seed=5)


def test_every_weighted_layer_has_both_times(int8_graph, network_contract, frames):
    times, _ = compare_times(int8_graph, FLOAT_GRAPH, network_contract, frames, runs=3)
    version = tuple(int(part) for part in import_onnxruntime().__version__.split(".")[:2])
    # 1.19, the last for Python 3.8, gives its quantised convolutions no name, and they are left out.
    assert set(times) >= (WEIGHTED if version > (1, 19) else {"logits"})
    assert set(times) <= {node.name for node in NETWORK.graph.node}
    assert all(min(pair.int8_ms) > 0 and min(pair.float_ms) > 0 for pair in times.values())
    # What INT8 no longer does has no time in it, and an activation is part of its convolution.
    assert not {"cast", "scaled", "normalised", "stem_relu", "deep_relu"} & set(times)


def test_whole_graphs_take_time_too(int8_graph, network_contract, frames):
    _, whole = compare_times(int8_graph, FLOAT_GRAPH, network_contract, frames, runs=2)
    assert len(whole.int8_ms) == len(whole.float_ms) == ROUNDS
    assert min(*whole.int8_ms, *whole.float_ms) > 0


def test_profiles_leave_no_file(int8_graph, network_contract, frames, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    compare_times(int8_graph, FLOAT_GRAPH, network_contract, frames, runs=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kernel", "layer"),
    [
        ("stem", "stem"),
        ("stem_nchwc", "stem"),
        ("stem_relu_nchwc", "stem"),
        ("stem_token_33", "stem"),
        ("stem_relu/QuantizeLinear", "stem"),
        ("stem_relu/DequantizeLinear/duplicated_token_19", "stem"),
        ("logits/Transpose", "logits"),
        ("normalised_q", "normalised"),
        ("residual", "residual"),
        ("ReorderOutput_token_102", None),
        ("gemm_input_reshape", None),
        ("stems", None),
        ("frame/columns/Concat", None),
        ("", None),
    ],
)
def test_kernel_belongs_to_the_layer_that_its_name_starts_with(kernel, layer):
    assert export.pipeline.layer_times._LayerNames(FLOAT_GRAPH).of_kernel(kernel) == layer


def test_relu_of_a_tensor_that_others_read_too_is_a_layer_of_its_own():
    nodes = [
        drawing.node("Neg", ["x"], "a"),
        drawing.node("Relu", ["a"], "b"),
        drawing.node("Add", ["a", "b"], "y"),
    ]
    value = ((1, 2), drawing.TensorProto.FLOAT)
    graph = drawing.make_model(nodes, {}, {"x": value}, {"y": value}).SerializeToString()
    assert export.pipeline.layer_times._LayerNames(graph).of_kernel("b") == "b"


class _Session:
    """Writes a profile in which a kernel takes as many microseconds as the test says, run by run."""

    def __init__(self, folder, kernels):
        self._path, self._kernels, self._events, self._has_ended = folder / "profile.json", kernels, [], False

    def run(self, _names, _feeds):
        if self._has_ended:
            return
        number = sum(event["name"] == "model_run" for event in self._events)
        self._events.append({"cat": "Session", "name": "model_run", "dur": 10**9})
        for kernel, durations in self._kernels:
            self._events.append({"cat": "Node", "name": f"{kernel}_kernel_time", "dur": durations[number]})
            self._events.append({"cat": "Node", "name": f"{kernel}_fence_before", "dur": 10**6})

    def end_profiling(self):
        self._has_ended = True
        self._path.write_text(json.dumps(self._events))
        return str(self._path)


def test_time_is_the_median_of_a_frame_after_the_warm_up(network_contract, frames, monkeypatch):
    warm_up = [10**7] * WARMUP_RUNS
    kernels = [
        ("stem_token_33", [*warm_up, 1000, 3000, 2000, 9000, 2000]),
        ("stem_relu/DequantizeLinear", [*warm_up, 500, 500, 500, 500, 500]),
        ("logits", [*warm_up, 100, 100, 100, 100, 100]),
        ("logits", [*warm_up, 10, 20, 30, 40, 50]),  # a second kernel of one name
        ("ReorderInput", [*warm_up, 7, 7, 7, 7, 7]),
    ]
    monkeypatch.setattr(
        export.pipeline.layer_times, "open_session", lambda _graph, profile_folder: _Session(profile_folder, kernels)
    )
    times, _ = compare_times(b"", FLOAT_GRAPH, network_contract, frames, runs=5)
    assert {name: pair.medians_ms() for name, pair in times.items()} == {
        "stem": pytest.approx((2.5, 2.5)),
        "logits": pytest.approx((0.13, 0.13)),
    }


def test_graphs_take_turns_and_the_one_that_begins_changes(network_contract, frames, monkeypatch):
    opened = []

    def open_session(graph, profile_folder):
        opened.append(graph)
        return _Session(profile_folder, [("stem", [1000] * (WARMUP_RUNS + 1))])

    monkeypatch.setattr(export.pipeline.layer_times, "open_session", open_session)
    monkeypatch.setattr(export.pipeline.layer_times, "_LayerNames", lambda _graph: _OneLayer())
    compare_times(b"int8", b"float", network_contract, frames, runs=1)
    assert len(opened) == 2 * ROUNDS
    assert opened[:4] == [b"int8", b"float", b"float", b"int8"]


class _OneLayer:
    def of_kernel(self, kernel):
        return kernel


def test_a_machine_that_grew_busy_in_one_round_makes_no_speed_up(network_contract, frames, monkeypatch):
    # In the third round, another program holds each graph up in turn: the float graph 24 times as long.
    slow = {(b"float", 2): 24_000, (b"int8", 2): 1100}
    seen = {b"int8": 0, b"float": 0}

    def open_session(graph, profile_folder):
        duration = slow.get((graph, seen[graph]), 1000)
        seen[graph] += 1
        return _Session(profile_folder, [("stem", [duration] * (WARMUP_RUNS + 1))])

    monkeypatch.setattr(export.pipeline.layer_times, "open_session", open_session)
    monkeypatch.setattr(export.pipeline.layer_times, "_LayerNames", lambda _graph: _OneLayer())
    times, _ = compare_times(b"int8", b"float", network_contract, frames, runs=1)
    assert times["stem"].medians_ms() == (1.0, 1.0)
    assert times["stem"].ranges_ms() == ((1.0, 1.1), (1.0, 24.0))
    assert not times["stem"].is_told_apart()
    assert TimedPair((1.0, 1.2), (1.3, 2.0)).is_told_apart()


def test_no_frames_is_an_error(network_contract, frames):
    with pytest.raises(InputError, match="no frames to time layers on in synthetic scenes"):
        compare_times(b"", FLOAT_GRAPH, network_contract, FrameSubset(frames, []))
