"""Ranges are those of the graph's activations over the images, whatever their order and number."""

from __future__ import annotations

import dataclasses
import hashlib
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
sys.path.insert(0, str(Path(__file__).parent))

import graph_drawing as drawing
from onnx import TensorProto

from calibration.collect import activation_tensors, collect_ranges
from calibration.ranges import PREPROCESSING
from edge.contract import CONTRACT_FILE, GRAPH_FILE, Contract
from edge.errors import GraphError, InputError
from edge.frames import FolderFrames, FrameSet
from edge.imaging import write_image
from edge.provenance import WeightsProvenance
from edge.records import write_record

SIZE = 16
COUNTED = {"nchw", "stem_relu", "deep_relu", "point", "residual", "pooled", "resized", "merged", "logits"}


class ArrayFrames(FrameSet):
    def __init__(self, arrays):
        super().__init__("arrays", [str(index) for index in range(len(arrays))])
        self._arrays = arrays

    def read(self, index):
        return self._arrays[index]

    def digest(self, index):
        return hashlib.sha256(self._arrays[index].tobytes()).hexdigest()


def write_artifact(folder: Path, model) -> Path:
    data = model.SerializeToString()
    (folder / GRAPH_FILE).write_bytes(data)
    contract = Contract(
        model="test", dataset="camvid", class_names=tuple("abcde"), height=SIZE, width=SIZE, stride=2,
        coordinates="half_pixel", input_name="frame", output_name="logits",
        graph_sha256=hashlib.sha256(data).hexdigest(), weights=WeightsProvenance("random", "seed 0", "0" * 64),
        source_sha256="0" * 64, opset=17, versions={},
    )  # fmt: skip
    write_record(folder / CONTRACT_FILE, contract)
    return folder


@pytest.fixture
def artifact(tmp_path):
    return write_artifact(tmp_path, drawing.make_network(SIZE))


FRAMES = [feeds["frame"][0] for feeds in drawing.frames(4, SIZE)]


def collect(artifact, arrays=FRAMES):
    return collect_ranges(artifact, ArrayFrames(arrays), "f" * 64, show_progress=False)


def test_stored_activations_are_counted_and_no_others():
    # Not the frame's scaling, which no backend quantises, nor what lies between a Conv and its Relu.
    assert set(activation_tensors(drawing.make_network(SIZE).graph)) == COUNTED


def test_output_of_a_conv_that_two_nodes_read_is_counted():
    model = drawing.make_model(
        [
            drawing.node("Conv", ["x", "w"], "conv"),
            drawing.node("Relu", ["conv"], "relu"),
            drawing.node("Add", ["conv", "relu"], "y"),
        ],
        {"w": np.ones((1, 1, 1, 1), np.float32)},
        {"x": ((1, 1, 4, 4), TensorProto.FLOAT)},
        {"y": ((1, 1, 4, 4), TensorProto.FLOAT)},
    )
    assert activation_tensors(model.graph) == ["conv", "relu", "y"]


def test_ranges_are_those_of_the_activations(artifact):
    ranges = collect(artifact)
    expected = drawing.ranges_of(drawing.make_network(SIZE), [{"frame": frame[None]} for frame in FRAMES])
    assert set(ranges.tensors) == COUNTED
    for name, seen in ranges.tensors.items():
        # ONNX Runtime optimises one of the two graphs: sums differ in the last digits.
        assert seen.minimum == pytest.approx(expected.tensors[name].minimum, rel=1e-4, abs=1e-5), name
        assert seen.maximum == pytest.approx(expected.tensors[name].maximum, rel=1e-4, abs=1e-5), name
        assert seen.thresholds["min-max"] == max(abs(seen.minimum), abs(seen.maximum))


def test_order_of_images_does_not_matter(artifact):
    assert collect(artifact).tensors == collect(artifact, FRAMES[::-1]).tensors


def test_record_says_what_it_was_made_from(artifact):
    ranges = collect(artifact)
    assert ranges.graph_sha256 == hashlib.sha256((artifact / GRAPH_FILE).read_bytes()).hexdigest()
    assert (ranges.manifest_sha256, ranges.image_count, ranges.images_from) == ("f" * 64, 4, "arrays")
    assert ranges.preprocessing == PREPROCESSING


def test_frames_of_another_size_are_resized(artifact):
    large = [np.repeat(np.repeat(frame, 2, 0), 2, 1) for frame in FRAMES]
    assert set(collect(artifact, large).tensors) == COUNTED


def test_memory_does_not_grow_with_the_images(artifact):
    def peak(count):
        tracemalloc.start()
        collect(artifact, [FRAMES[index % 4] for index in range(count)])
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(2)  # modules and caches of the first run
    few, many = peak(4), peak(32)
    assert many < few * 1.1


def test_no_images_is_an_error(artifact):
    with pytest.raises(InputError, match="no images to calibrate on in arrays"):
        collect(artifact, [])


def test_unreadable_image_is_named(artifact, tmp_path):
    folder = tmp_path / "pictures"
    write_image(folder / "a.png", FRAMES[0])
    (folder / "b.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"b\.png cannot be decoded"):
        collect_ranges(artifact, FolderFrames(folder), "f" * 64, show_progress=False)


def test_activations_that_are_not_finite_name_their_tensor(tmp_path):
    model = drawing.make_network(SIZE)
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "deep_b")
    weight.CopyFrom(drawing.numpy_helper.from_array(np.full(8, np.inf, np.float32), "deep_b"))
    with pytest.raises(InputError, match=r"deep_relu|point"):
        collect(write_artifact(tmp_path, model))


def test_truncated_graph_is_refused(artifact):
    path = artifact / GRAPH_FILE
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(GraphError, match="truncated or was replaced"):
        collect(artifact)


def test_graph_without_activations_is_refused(tmp_path):
    model = drawing.make_model(
        [drawing.node("Cast", ["frame"], "logits", to=TensorProto.FLOAT)],
        {},
        {"frame": ((1, SIZE, SIZE, 3), TensorProto.UINT8)},
        {"logits": ((1, SIZE, SIZE, 3), TensorProto.FLOAT)},
    )
    with pytest.raises(GraphError, match="no activations"):
        collect(write_artifact(tmp_path, model))


def test_collecting_leaves_the_graph_as_it_was(artifact):
    before = {path.name: path.read_bytes() for path in artifact.iterdir()}
    ranges = collect(artifact)
    assert dataclasses.is_dataclass(ranges)
    assert {path.name: path.read_bytes() for path in artifact.iterdir()} == before
