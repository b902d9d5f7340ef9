"""Ranges are those of the graph's activations over the images, whatever their order and number."""

from __future__ import annotations

import dataclasses
import hashlib
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto

import calibration.ranges.collector as collect_module
from calibration.ranges.collector import activation_tensors, collect_ranges
from calibration.ranges.record import PREPROCESSING, range_warnings, ranges_code
from calibration.ranges.thresholds import CALIBRATION_METHODS
from edge.contract import CONTRACT_FILE, GRAPH_FILE, Contract
from edge.errors import GraphError, InputError
from edge.frames import FolderFrames, FrameSet
from edge.imaging import write_image
from edge.provenance import WeightsProvenance
from edge.records import write_record
from tests.calibration import graph_drawing as drawing

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
        model="test",
        dataset="camvid",
        class_names=tuple("abcde"),
        height=SIZE,
        width=SIZE,
        stride=2,
        coordinates="half_pixel",
        input_name="frame",
        output_name="logits",
        graph_sha256=hashlib.sha256(data).hexdigest(),
        weights=WeightsProvenance("random", "seed 0", "0" * 64),
        source_sha256="0" * 64,
        opset=17,
        versions={},
    )
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
    assert set(activation_tensors(drawing.make_network(SIZE))) == COUNTED


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
    assert activation_tensors(model) == ["x", "conv", "relu", "y"]


FLOAT = TensorProto.FLOAT


def foreign_network():
    """Return a graph that no exporter of the project writes.

    The frame is prepared in NCHW; a split has two outputs, and a resize takes its size from a shape.
    """
    constants = {
        "mean": np.full((1, 3, 1, 1), 100, np.float32),
        "deviation": np.full((1, 3, 1, 1), 50, np.float32),
        "bgr": np.array([2, 1, 0], np.int64),
        "up_w": np.ones((3, 4, 2, 2), np.float32),
        "head_w": np.ones((5, 2, 1, 1), np.float32),
        "parts": np.array([2, 2], np.int64),
        "two": np.array(2, np.float32),
        "half_w": np.ones((1, 2), np.float32),
    }
    nodes = [
        drawing.node("Transpose", ["frame"], "planes", perm=[0, 3, 1, 2]),
        drawing.node("Gather", ["planes", "bgr"], "swapped", axis=1),
        drawing.node("Cast", ["swapped"], "cast", to=FLOAT),
        drawing.node("Sub", ["cast", "mean"], "centred"),
        drawing.node("Div", ["centred", "deviation"], "normalised"),
        drawing.node("ConvTranspose", ["normalised", "up_w"], "up", strides=[2, 2]),
        drawing.helper.make_node("Split", ["up", "parts"], ["left", "right"], name="split", axis=1),
        drawing.node("Conv", ["right", "head_w"], "logits"),
        drawing.node("Shape", ["left"], "shape"),
        drawing.node("Cast", ["shape"], "sizes", to=FLOAT),
        drawing.node("Mul", ["sizes", "two"], "twice"),
        drawing.node("ArgMax", ["left"], "labels", axis=1),
        drawing.node("GlobalAveragePool", ["left"], "pooled"),
        drawing.node("Flatten", ["pooled"], "flat"),
        drawing.node("Gemm", ["flat", "half_w"], "score", transB=1),
    ]
    return drawing.make_model(
        nodes,
        constants,
        {"frame": ((1, SIZE, SIZE, 3), TensorProto.UINT8)},
        {
            "logits": ((1, 5, 2 * SIZE, 2 * SIZE), FLOAT),
            "labels": ((1, 1, 2 * SIZE, 2 * SIZE), TensorProto.INT64),
            "twice": ((4,), FLOAT),
            "score": ((1, 1), FLOAT),
        },
    )


def test_graph_of_another_project_has_all_its_activations_counted():
    # Of the preparation, only what the network reads; of the split, both outputs; of sizes and labels, nothing.
    expected = ["normalised", "up", "left", "right", "logits", "pooled", "flat", "score"]
    assert activation_tensors(foreign_network()) == expected


def test_weights_that_are_large_or_inputs_too_are_no_activations():
    model = foreign_network()
    for tensor in model.graph.initializer:  # as files of IR version 3 list them
        model.graph.input.append(
            drawing.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        )
    large = np.ones((5, 2, 64, 64), np.float32)
    next(t for t in model.graph.initializer if t.name == "head_w").CopyFrom(
        drawing.numpy_helper.from_array(large, "head_w")
    )
    assert activation_tensors(model)[:5] == ["normalised", "up", "left", "right", "logits"]


def test_operator_that_onnx_does_not_know_hides_nothing_behind_it():
    model = foreign_network()
    conv = next(node for node in model.graph.node if node.op_type == "Conv")
    conv.domain = "com.example"
    assert {"right", "logits"} <= set(activation_tensors(model))


def test_relu_input_that_is_an_output_of_the_graph_is_counted():
    model = drawing.make_model(
        [drawing.node("Conv", ["x", "w"], "conv"), drawing.node("Relu", ["conv"], "y")],
        {"w": np.ones((1, 1, 1, 1), np.float32)},
        {"x": ((1, 1, 4, 4), FLOAT)},
        {"y": ((1, 1, 4, 4), FLOAT), "conv": ((1, 1, 4, 4), FLOAT)},
    )
    assert activation_tensors(model) == ["x", "conv", "y"]


def test_foreign_graph_is_collected(tmp_path):
    tensors = collect(write_artifact(tmp_path, foreign_network())).tensors
    assert set(tensors) == {"normalised", "up", "left", "right", "logits", "pooled", "flat", "score"}
    by_channel = {name: len(seen.channel_maxima) for name, seen in tensors.items() if seen.channel_maxima is not None}
    # What Conv and ConvTranspose read, and "up", whose channels can be scaled; what the Gemm reads has no height.
    assert by_channel == {"normalised": 3, "right": 2, "up": 4}
    pixels = np.stack(FRAMES).astype(np.float64)[..., ::-1]
    expected = (pixels - 100) / 50
    np.testing.assert_allclose(tensors["normalised"].channel_maxima, np.abs(expected).max((0, 1, 2)), rtol=1e-5)
    # Six digits are kept; the mean is a difference of numbers of about 1.
    np.testing.assert_allclose(tensors["normalised"].channel_means, expected.mean((0, 1, 2)), rtol=1e-5, atol=1e-6)


def test_ranges_are_those_of_the_activations(artifact):
    ranges = collect(artifact)
    expected = drawing.ranges_of(drawing.make_network(SIZE), [{"frame": frame[None]} for frame in FRAMES])
    assert set(ranges.tensors) == COUNTED
    for name, seen in ranges.tensors.items():
        # ONNX Runtime optimises one of the two graphs: sums differ in the last digits.
        assert seen.minimum == pytest.approx(expected.tensors[name].minimum, rel=1e-4, abs=1e-5), name
        assert seen.maximum == pytest.approx(expected.tensors[name].maximum, rel=1e-4, abs=1e-5), name
        assert seen.thresholds["min-max"] == max(abs(seen.minimum), abs(seen.maximum))
        assert set(seen.thresholds) == set(CALIBRATION_METHODS)


def test_channels_are_those_of_the_activations_that_weighted_layers_read(artifact):
    ranges = collect(artifact)
    read = {"nchw", "stem_relu", "deep_relu", "merged"}
    scaled = {"point", "residual", "pooled", "resized"}  # for these, what channels could be scaled by
    assert {name for name, seen in ranges.tensors.items() if seen.channel_maxima is not None} == read | scaled
    assert {name for name, seen in ranges.tensors.items() if seen.channel_means is not None} == read
    model = drawing.make_network(SIZE)
    model.graph.output.append(drawing.onnx.ValueInfoProto(name="deep_relu"))
    values = np.concatenate([drawing.run(model, {"frame": frame[None]}, ["deep_relu"])[0] for frame in FRAMES])
    seen = ranges.tensors["deep_relu"]
    # Six digits are kept, and ONNX Runtime optimises one of the two graphs.
    np.testing.assert_allclose(seen.channel_maxima, np.abs(values).max((0, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(seen.channel_means, values.astype(np.float64).mean((0, 2, 3)), rtol=1e-4)
    squares = np.square(values, dtype=np.float64)
    np.testing.assert_allclose(seen.channel_mean_squares, squares.mean((0, 2, 3)), rtol=1e-4)
    assert seen.mean_square == pytest.approx(squares.mean(), rel=1e-3)
    assert seen.zero_share == pytest.approx(np.mean(values == 0), abs=1e-3)
    assert set(seen.square_errors) == set(CALIBRATION_METHODS)
    assert all(unsigned < signed for signed, unsigned in seen.square_errors.values())
    kept = (*seen.channel_maxima, *seen.channel_means, *seen.channel_mean_squares, seen.mean_square)
    assert all(value == float(f"{value:.6g}") for value in kept)


def test_order_of_images_does_not_matter(artifact):
    assert collect(artifact).tensors == collect(artifact, FRAMES[::-1]).tensors


def test_record_says_what_it_was_made_from(artifact):
    ranges = collect(artifact)
    assert ranges.graph_sha256 == hashlib.sha256((artifact / GRAPH_FILE).read_bytes()).hexdigest()
    assert (ranges.manifest_sha256, ranges.image_count, ranges.images_from) == ("f" * 64, 4, "arrays")
    assert (ranges.preprocessing, ranges.code_sha256) == (PREPROCESSING, ranges_code())


def test_frames_of_another_size_are_resized(artifact):
    large = [np.repeat(np.repeat(frame, 2, 0), 2, 1) for frame in FRAMES]
    assert set(collect(artifact, large).tensors) == COUNTED


def test_memory_does_not_grow_with_the_images(artifact, monkeypatch):
    # With several threads, the peak depends on which tensors are counted side by side.
    monkeypatch.setattr(collect_module, "_MOST_THREADS", 1)

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


def replaced(name, values):
    """Return the network with another constant."""
    model = drawing.make_network(SIZE)
    constant = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    constant.CopyFrom(drawing.numpy_helper.from_array(values.astype(np.float32), name))
    return model


@pytest.mark.parametrize(("wrong", "what"), [(np.inf, "infinite values"), (np.nan, "NaN")])
def test_activations_that_are_not_finite_name_their_tensor_and_image(tmp_path, wrong, what):
    model = replaced("deep_b", np.full(8, wrong))
    # The tensor that comes first, not one of the many behind it.
    with pytest.raises(InputError, match=f"activation deep_relu holds {what} on image 0, expected finite.*Next: check"):
        collect(write_artifact(tmp_path, model))


def test_image_on_which_a_value_overflows_is_named(tmp_path):
    # White is scaled beyond float32, black stays finite.
    artifact = write_artifact(tmp_path, replaced("stem_w", np.full((8, 3, 3, 3), 3e38)))
    black, white = np.full((SIZE, SIZE, 3), 128, np.uint8), np.full((SIZE, SIZE, 3), 255, np.uint8)
    with pytest.raises(InputError, match="activation stem_relu holds infinite values on image 2"):
        collect(artifact, [black, black, white])


def test_constant_activation_is_warned_of_and_has_a_usable_range(tmp_path):
    model = replaced("deep_w", np.zeros((8, 1, 3, 3)))
    constant = next(tensor for tensor in model.graph.initializer if tensor.name == "deep_b")
    constant.CopyFrom(drawing.numpy_helper.from_array(np.full(8, 0.75, np.float32), "deep_b"))
    ranges = collect(write_artifact(tmp_path, model))
    warnings = [warning for warning in range_warnings(ranges) if "tensor deep_relu" in warning]
    assert len(warnings) == 1
    assert "is 0.75 everywhere in all 4 images" in warnings[0]
    assert [ranges.threshold("deep_relu", method) for method in CALIBRATION_METHODS] == [0.75] * len(
        CALIBRATION_METHODS
    )


def test_dead_channels_are_warned_of(tmp_path):
    bias = np.array([0.1, -1e3, 0.1, -1e3, 0.1, 0.1, 0.1, -1e3])
    ranges = collect(write_artifact(tmp_path, replaced("deep_b", bias)))
    assert [w.split(" are")[0] for w in range_warnings(ranges)] == ["3 of 8 channels of tensor deep_relu"]


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
