"""Implicit INT8 from our calibration cache, and the DLA, on a stand-in of TensorRT."""

from __future__ import annotations

import sys

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx

import edge.runtime.tensorrt as runtime_module
import export.backends.trt_builder as builder_module
from calibration.qdq.quantization_config import QuantizationConfig
from calibration.ranges.record import PREPROCESSING, Ranges, TensorRange
from calibration.ranges.thresholds import CALIBRATION_METHODS
from calibration.trt.cache import first_line, parse_cache
from calibration.trt.calibrator import CacheCalibration
from calibration.trt.scales import constant_scales
from edge.errors import BackendError, GraphError, InputError
from edge.runtime.cuda_driver import Gpu
from edge.runtime.onnxruntime import open_session
from export.backends.options import EngineOptions
from export.backends.trt_builder import build_tensorrt
from export.backends.trt_dynamic_ranges import DynamicRanges
from tests.edge.runtime import tensorrt_stand_in as stand_in

GRAPH = stand_in.tiny_graph()
FRAME = np.random.default_rng(1).integers(0, 256, (1, 8, 16, 3), np.uint8)
CONSTANTS = constant_scales(onnx.load_model_from_string(GRAPH))
SCALES = "planes: 3c010a14\nsums: 3c810a14\nlogits: 3c810a14\n"


@pytest.fixture(params=tuple(stand_in.CACHE_VERSIONS))
def version(request):
    return request.param


@pytest.fixture
def gpu(monkeypatch, version):
    monkeypatch.setattr(builder_module, "first_gpu", lambda: Gpu("Orin", "8.7"))
    runtime_module.message_logger.cache_clear()
    yield stand_in.install(monkeypatch, version)
    runtime_module.message_logger.cache_clear()


def cache(version):
    return CacheCalibration(f"{first_line(version)}\n{SCALES}", CONSTANTS)


def test_network_is_weakly_typed_of_the_float_graph_with_a_float_input(gpu, version):
    built = build_tensorrt(GRAPH, "int8", calibration=cache(version))
    assert built.version == version
    assert gpu.config.used_flags == ["INT8", "FP16"]
    assert gpu.batches == []
    _, _, content = built.data.partition(b"\n")
    session = open_session(content, threads=1)
    assert [value.type for value in session.get_inputs()] == ["tensor(float)"]
    expected = open_session(GRAPH, threads=1).run(None, {"frame": FRAME})[0]
    np.testing.assert_array_equal(session.run(None, {"frame": FRAME.astype(np.float32)})[0], expected)


def test_tensorrt_gets_our_scales_and_those_of_the_tensors_that_its_parser_made(gpu, version):
    built = build_tensorrt(GRAPH, "int8", calibration=cache(version))
    given = parse_cache(gpu.cache)
    assert given["planes"] == pytest.approx(0.0078759, rel=1e-4)
    # Two constants of the graph are layers of their own: 1 / 255 in front of the network, and an epsilon behind it.
    made = {name: scale for name, scale in given.items() if name not in ("planes", "sums", "logits")}
    assert len(made) == 4
    assert sorted({round(scale * 127, 9) for scale in made.values()}) == [1e-07, round(1 / 255, 9)]
    assert all(name.endswith("_output") for name in made)
    # The front has no scale on purpose: TensorRT computes it in float.
    assert built.notes == ("2 tensors have no scale, and the layers at them run in float: frame, scaled",)


def test_calibration_of_ranges_builds_with_the_scales_of_the_recipe(gpu, version):
    model = onnx.load_model_from_string(GRAPH)
    names = ("planes", "sums", "logits")
    ranges = Ranges(
        graph_sha256="0" * 64,
        manifest_sha256="1" * 64,
        image_count=1,
        images_from="test frames",
        preprocessing=PREPROCESSING,
        code_sha256="2" * 64,
        tensors={name: TensorRange(-1.0, 1.0, dict.fromkeys(CALIBRATION_METHODS, 1.0)) for name in names},
    )
    recipe = QuantizationConfig(method="entropy")
    build_tensorrt(GRAPH, "int8", calibration=CacheCalibration.of_ranges(model, ranges, recipe, version))
    given = parse_cache(gpu.cache)
    # float32 has 24 binary digits.
    assert [given[name] for name in names] == [pytest.approx(1 / 127, rel=2**-23)] * 3


def test_cache_of_another_version_fails_with_a_reason(gpu, version, monkeypatch):
    other = CacheCalibration(f"{first_line(version)}\n{SCALES}", CONSTANTS)
    monkeypatch.setattr(other, "read", lambda: f"TRT-7103-EntropyCalibration2\n{SCALES}".encode())
    with pytest.raises(BackendError, match="TensorRT did not take the calibration cache"):
        build_tensorrt(GRAPH, "int8", calibration=other)


def test_dynamic_ranges_give_the_tensors_the_scales_of_a_cache_without_a_calibrator(gpu, version):
    build_tensorrt(GRAPH, "int8", calibration=cache(version))
    given = parse_cache(gpu.cache)
    scales = {name: given[name] for name in ("planes", "sums", "logits")}
    built = build_tensorrt(GRAPH, "int8", calibration=DynamicRanges(scales, CONSTANTS))
    assert "int8_calibrator" not in vars(gpu.config)
    network = gpu.network
    tensors = [network.get_layer(index).get_output(0) for index in range(network.num_layers)]
    ranges = {tensor.name: tensor.dynamic_range for tensor in (network.get_input(0), *tensors)}
    assert {name for name, found in ranges.items() if found is not None} == set(given)
    for name, scale in given.items():
        # The cache holds float32, and 127 steps on either side of zero.
        assert ranges[name] == (pytest.approx(-127 * scale, rel=2**-22), pytest.approx(127 * scale, rel=2**-22))
    assert built.notes == ("2 tensors have no scale, and the layers at them run in float: frame, scaled",)


def test_refused_dynamic_range_is_an_error_that_names_the_call(gpu, version):
    gpu.faults["ITensor.set_dynamic_range"] = False
    with pytest.raises(BackendError, match=r"ITensor\.set_dynamic_range failed: it returned False"):
        build_tensorrt(GRAPH, "int8", calibration=DynamicRanges({"sums": 1.0}, {}))


def test_layer_that_is_to_stay_in_float_is_set_to_float16(gpu, version):
    named = onnx.load_model_from_string(GRAPH)
    (convolution,) = [node for node in named.graph.node if node.op_type == "Conv"]
    assert convolution.name == ""  # the parser calls it node_of_sums
    built = build_tensorrt(GRAPH, "int8", calibration=cache(version), float_layers=("sums", "nowhere"))
    precisions = {
        layer.name: layer.precision.name
        for layer in map(gpu.network.get_layer, range(gpu.network.num_layers))
        if "precision" in vars(layer)
    }
    assert precisions == {"node_of_sums": "HALF"}
    assert "OBEY_PRECISION_CONSTRAINTS" in gpu.config.used_flags
    assert "no layer is called nowhere, which was to stay in float" in built.notes


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_dla_gets_its_core_and_names_the_layers_that_it_leaves_to_the_gpu(gpu, version, precision):
    gpu.dla_cores = 2
    given = cache(version) if precision == "int8" else None
    built = build_tensorrt(GRAPH, precision, calibration=given, options=EngineOptions(dla_core=1))
    assert (gpu.config.default_device_type.name, gpu.config.DLA_core) == ("DLA", 1)
    assert gpu.config.used_flags == [*(["INT8"] if precision == "int8" else []), "FP16", "GPU_FALLBACK"]
    (note,) = [note for note in built.notes if "DLA core 1" in note]
    # The transpose and two broadcasts are Shuffles; beside them Mul, Conv and Add, and with a uint8 input its Cast.
    total = 6 if precision == "int8" else 7
    assert note.startswith(f"3 of {total} layers cannot run on DLA core 1 and run on the GPU: ")
    assert "node_of_planes" in note


def test_notes_say_why_the_dla_leaves_layers_to_the_gpu(gpu, version):
    gpu.dla_cores = 1
    moved = "Validation failed for DLA layer: node_of_sums. Switching to GPU fallback."

    def warn():
        warning = sys.modules["tensorrt"].ILogger.WARNING
        gpu.logger.log(warning, "half of the weights are subnormal")
        gpu.logger.log(warning, moved.replace(" Switching", "\nSwitching"))

    gpu.meanwhile = warn
    options = EngineOptions(dla_core=0)
    notes = build_tensorrt(GRAPH, "int8", calibration=cache(version), options=options).notes
    said = [note for note in notes if note.startswith("TensorRT of the DLA: ")]
    # What TensorRT says of a reason goes before what it says of every layer.
    assert said[0] == f"TensorRT of the DLA: {moved}"
    assert len(said) == len(set(said)) == 4
    assert all("(SHUFFLE): Unsupported on DLA" in note for note in said[1:])
    assert runtime_module.message_logger(sys.modules["tensorrt"]).listeners == []
    assert not any("of the DLA" in note for note in build_tensorrt(GRAPH, "float16").notes)

    def warn_often():
        for number in range(12):
            gpu.logger.log(sys.modules["tensorrt"].ILogger.WARNING, f"DLA: no. {number} " * 100)

    gpu.meanwhile = warn_often
    notes = build_tensorrt(stand_in.tiny_graph(), "float16", options).notes
    said = [note for note in notes if note.startswith("TensorRT of the DLA: ")]
    assert len(said) == 8 and max(map(len, said)) < 400
    assert notes[-1] == "TensorRT warned 7 times more of the DLA"  # 12 lines, and 3 of Shuffles


def test_dla_that_runs_every_layer_says_so(gpu, version, monkeypatch):
    gpu.dla_cores = 1
    monkeypatch.setattr(sys.modules["tensorrt"].IBuilderConfig, "can_run_on_DLA", lambda self, layer: True)
    built = build_tensorrt(GRAPH, "int8", calibration=cache(version), options=EngineOptions(dla_core=0))
    assert "all 6 layers run on DLA core 0" in built.notes


def test_core_that_is_not_there_is_refused(gpu, version):
    gpu.dla_cores = 1
    with pytest.raises(BackendError, match=r"DLA core 1 was asked for, this machine has 1\. Next: build for the GPU"):
        build_tensorrt(GRAPH, "int8", calibration=cache(version), options=EngineOptions(dla_core=1))


def test_what_no_build_could_give_is_refused_before_any_work(gpu, version):
    for arguments, message in (
        (("float32", {"calibration": cache(version)}), "a calibration is for int8, the engine is to be float32"),
        (
            ("int8", {"calibration": cache(version), "options": EngineOptions(dla_core=2)}),
            "DLA core is 2, expected 0 or 1",
        ),
        (("float32", {"options": EngineOptions(dla_core=0)}), "a DLA computes in float16 and int8"),
        (
            ("int8", {"options": EngineOptions(dla_core=0)}),
            "a DLA takes no Q/DQ pairs, expected a calibration for int8",
        ),
    ):
        with pytest.raises(InputError, match=message):
            build_tensorrt(GRAPH, arguments[0], **arguments[1])
    with pytest.raises(GraphError, match="has Q/DQ pairs"):
        build_tensorrt(stand_in.tiny_graph(quantized=True), "int8", calibration=cache(version))
    assert set(gpu.calls) == {"pycuda.driver.init"}


@pytest.mark.parametrize("version", ["11.0.0.114", "11.4.0.106"])
def test_dla_is_refused_for_tensorrt_11(gpu, version):
    with pytest.raises(BackendError, match="builds strongly typed networks alone, which a DLA does not run"):
        build_tensorrt(GRAPH, "float16", options=EngineOptions(dla_core=0))
