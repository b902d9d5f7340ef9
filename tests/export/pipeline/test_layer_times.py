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
from export.pipeline.layer_times import WARMUP_RUNS, layer_times, total_times
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
    times = layer_times(int8_graph, FLOAT_GRAPH, network_contract, frames, runs=3)
    version = tuple(int(part) for part in import_onnxruntime().__version__.split(".")[:2])
    # 1.19, the last for Python 3.8, gives its quantised convolutions no name, and they are left out.
    assert set(times) >= (WEIGHTED if version > (1, 19) else {"logits"})
    assert set(times) <= {node.name for node in NETWORK.graph.node}
    assert all(in_int8 > 0 and in_float > 0 for in_int8, in_float in times.values())
    # What INT8 no longer does has no time in it, and an activation is part of its convolution.
    assert not {"cast", "scaled", "normalised", "stem_relu", "deep_relu"} & set(times)


def test_whole_graphs_take_time_too(int8_graph, network_contract, frames):
    in_int8, in_float = total_times(int8_graph, FLOAT_GRAPH, network_contract, frames, runs=2)
    assert in_int8 > 0 and in_float > 0


def test_profiles_leave_no_file(int8_graph, network_contract, frames, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    layer_times(int8_graph, FLOAT_GRAPH, network_contract, frames, runs=1)
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
        self._path, self._kernels, self._events = folder / "profile.json", kernels, []

    def run(self, _names, _feeds):
        number = sum(event["name"] == "model_run" for event in self._events)
        self._events.append({"cat": "Session", "name": "model_run", "dur": 10**9})
        for kernel, durations in self._kernels:
            self._events.append({"cat": "Node", "name": f"{kernel}_kernel_time", "dur": durations[number]})
            self._events.append({"cat": "Node", "name": f"{kernel}_fence_before", "dur": 10**6})

    def end_profiling(self):
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
    times = layer_times(b"", FLOAT_GRAPH, network_contract, frames, runs=5)
    assert times == {"stem": pytest.approx((2.5, 2.5)), "logits": pytest.approx((0.13, 0.13))}


def test_no_frames_is_an_error(network_contract, frames):
    with pytest.raises(InputError, match="no frames to time layers on in synthetic scenes"):
        layer_times(b"", FLOAT_GRAPH, network_contract, FrameSubset(frames, []))
