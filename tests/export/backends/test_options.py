"""What a user may ask of an engine reaches TensorRT, or is refused in one line where it is not there."""

from __future__ import annotations

import argparse
import json
import sys

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import edge.runtime.tensorrt as runtime_module
import export.backends.trt_builder as builder_module
from edge.errors import BackendError, InputError
from edge.machine import Machine
from edge.runtime.cuda_driver import Gpu
from edge.runtime.onnxruntime import open_session
from export.backends.options import EngineOptions, batch_argument
from export.backends.trt_builder import build_tensorrt
from export.backends.trt_config import TACTICS_VARIABLE
from tests.edge.runtime import tensorrt_stand_in as stand_in

GRAPH = stand_in.tiny_graph()
OLD = tuple(version for version in stand_in.VERSIONS if version.startswith("8.5"))
WITH_LEVELS = tuple(version for version in stand_in.VERSIONS if version not in OLD)


@pytest.fixture
def install(monkeypatch):
    def put(version, capability="8.7"):
        monkeypatch.setattr(builder_module, "first_gpu", lambda: Gpu("Orin", capability))
        runtime_module.message_logger.cache_clear()
        return stand_in.install(monkeypatch, version)

    yield put
    runtime_module.message_logger.cache_clear()


@pytest.mark.parametrize("version", WITH_LEVELS)
def test_level_and_compatibility_reach_tensorrt(install, version):
    gpu = install(version)
    options = EngineOptions(optimization_level=5, is_version_compatible=True, is_hardware_compatible=True)
    build_tensorrt(GRAPH, "float32", options)
    config = gpu.config
    assert config.builder_optimization_level == 5
    assert config.used_flags == ["VERSION_COMPATIBLE"]
    assert config.hardware_compatibility_level.name == "AMPERE_PLUS"


@pytest.mark.parametrize("version", stand_in.VERSIONS)
def test_machine_without_cublas_and_cudnn_builds_without_them(install, version, monkeypatch):
    gpu = install(version)
    monkeypatch.setenv(TACTICS_VARIABLE, "none")
    built = build_tensorrt(GRAPH, "float32")
    assert gpu.config.tactic_sources == 0
    assert any("built without cuBLAS and cuDNN" in note for note in built.notes)
    monkeypatch.delenv(TACTICS_VARIABLE)
    built = build_tensorrt(GRAPH, "float32")
    assert "tactic_sources" not in vars(gpu.config)
    assert not any("cuBLAS" in note for note in built.notes)


def test_tactics_of_another_spelling_or_refused_are_one_line(install, monkeypatch):
    gpu = install("8.5.3.1")
    monkeypatch.setenv(TACTICS_VARIABLE, "cudnn")
    with pytest.raises(InputError, match="SEGEDGE_TENSORRT_TACTICS is 'cudnn', expected none"):
        build_tensorrt(GRAPH, "float32")
    monkeypatch.setenv(TACTICS_VARIABLE, "none")
    gpu.faults["IBuilderConfig.set_tactic_sources"] = False
    with pytest.raises(BackendError, match=r"IBuilderConfig\.set_tactic_sources failed"):
        build_tensorrt(GRAPH, "float32")


@pytest.mark.parametrize("version", stand_in.VERSIONS)
@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_float32_is_float32_unless_tf32_is_asked_for(install, version, precision):
    gpu = install(version)
    graph = stand_in.tiny_graph(quantized=precision == "int8")
    build_tensorrt(graph, precision)
    assert gpu.config.cleared_flags == ["TF32"]
    build_tensorrt(graph, precision, EngineOptions(allows_tf32=True))
    assert gpu.config.cleared_flags == [] and "TF32" not in gpu.config.used_flags  # TensorRT's default is to allow it


@pytest.mark.parametrize("version", stand_in.VERSIONS)
def test_defaults_set_nothing(install, version):
    gpu = install(version)
    build_tensorrt(GRAPH, "float32")
    names = {"builder_optimization_level", "hardware_compatibility_level", "profiling_verbosity"}
    assert not names & set(vars(gpu.config))
    assert (gpu.config.limits, gpu.config.profiles, gpu.config.used_flags) == ({}, [], [])


@pytest.mark.parametrize("version", OLD)
@pytest.mark.parametrize(
    ("options", "flag"),
    [
        ({"optimization_level": 0}, "--optimization-level 0"),
        ({"is_version_compatible": True}, "--version-compatible"),
        ({"is_hardware_compatible": True}, "--hardware-compatible"),
    ],
)
def test_what_came_with_8_6_is_refused_before_it(install, version, options, flag):
    gpu = install(version)
    with pytest.raises(BackendError, match=f"^{flag} needs TensorRT 8.6 or later, {version} is installed. Next: leave"):
        build_tensorrt(GRAPH, "float32", EngineOptions(**options))
    assert set(gpu.calls) == {"pycuda.driver.init"}


def test_gpu_before_ampere_builds_nothing_for_those_after_it(install):
    install("8.6.1", capability="7.2")
    with pytest.raises(BackendError, match=r"needs a GPU from Ampere on \(compute capability 8.0\), Orin has 7.2"):
        build_tensorrt(GRAPH, "float32", EngineOptions(is_hardware_compatible=True))


def test_jetson_builds_nothing_for_other_gpus(install, monkeypatch):
    gpu = install("8.6.1")
    jetson = Machine("Linux", "aarch64", "Cortex", 8, "Jetson AGX Orin", "35.4.1")
    monkeypatch.setattr(builder_module, "this_machine", lambda: jetson)
    with pytest.raises(
        BackendError,
        match=r"^--hardware-compatible is not for a Jetson, .* Jetson AGX Orin with L4T 35\.4\.1\. Next: leave it out",
    ) as refusal:
        build_tensorrt(GRAPH, "float32", EngineOptions(is_hardware_compatible=True))
    assert "\n" not in str(refusal.value) and set(gpu.calls) == {"pycuda.driver.init"}
    build_tensorrt(GRAPH, "float32", EngineOptions(is_version_compatible=True))


@pytest.mark.parametrize(
    "options", [{"is_version_compatible": True}, {"is_hardware_compatible": True}, {"batch_profile": (1, 2, 4)}]
)
def test_dla_excludes_what_it_cannot_do(install, options):
    gpu = install("8.6.1")
    gpu.dla_cores = 2
    with pytest.raises(InputError, match=r"is for the GPU, --dla 1 asks for a DLA, expected one of them$"):
        build_tensorrt(GRAPH, "float16", EngineOptions(dla_core=1, **options))


# Batches


@pytest.mark.parametrize("version", stand_in.VERSIONS)
@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_profile_bounds_the_free_batch(install, version, precision):
    gpu = install(version)
    graph = stand_in.tiny_graph(quantized=precision == "int8")
    built = build_tensorrt(graph, precision, EngineOptions(batch_profile=(1, 4, 8)))
    (profile,) = gpu.config.profiles
    assert profile.shapes == {"frame": ((1, 8, 16, 3), (4, 8, 16, 3), (8, 8, 16, 3))}
    session = open_session(built.data.partition(b"\n")[2], threads=1)
    assert session.get_inputs()[0].shape == ["batch", 8, 16, 3]


@pytest.mark.parametrize("version", stand_in.VERSIONS)
def test_fixed_batch_needs_no_profile(install, version):
    gpu = install(version)
    built = build_tensorrt(GRAPH, "float16", EngineOptions(batch=4))
    assert gpu.config.profiles == []
    assert open_session(built.data.partition(b"\n")[2], threads=1).get_outputs()[0].shape == [4, 3, 2, 4]


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("Builder.create_optimization_profile", stand_in.CudaError),
        ("IOptimizationProfile.set_shape", stand_in.CudaError),
        ("IBuilderConfig.add_optimization_profile", False),
    ],
)
def test_refused_profile_is_an_error_that_names_the_call(install, name, result):
    gpu = install("10.3.0")
    gpu.faults[name] = result
    with pytest.raises(BackendError, match=f"^{name} failed: "):
        build_tensorrt(GRAPH, "float32", EngineOptions(batch_profile=(1, 2, 4)))


def test_batch_is_a_number_or_a_profile():
    assert batch_argument("1") == (1, None)
    assert batch_argument("4") == (4, None)
    assert batch_argument("1:4:8") == (1, (1, 4, 8))
    for text in ("", "0", "-1", "1:2", "1:4:8:9", "1:8:4", "a", "1.5", "4097"):
        with pytest.raises(argparse.ArgumentTypeError, match="expected a number of frames such as 4, or MIN:BEST:MAX"):
            batch_argument(text)
    with pytest.raises(argparse.ArgumentTypeError, match="expected 1 frame at the least: single frames check"):
        batch_argument("2:4:8")


def test_engines_for_batches_have_folders_of_their_own():
    suffixes = [
        EngineOptions(**options).folder_suffix() for options in ({}, {"batch": 4}, {"batch_profile": (1, 4, 8)})
    ]
    assert suffixes == ["", "-batch4", "-batch1-4-8"]


# Layers


class Inspector:
    said = '{"Layers": [{"Name": "stem"}]}'

    def get_engine_information(self, layer_format):
        assert layer_format.name == "JSON"
        return self.said


@pytest.mark.parametrize("version", stand_in.VERSIONS)
def test_layers_are_asked_of_the_engine_in_a_context_of_its_own(install, version, monkeypatch):
    gpu = install(version)
    monkeypatch.setattr(
        sys.modules["tensorrt"].ICudaEngine, "create_engine_inspector", lambda engine: Inspector(), raising=False
    )
    built = build_tensorrt(GRAPH, "float32", EngineOptions(has_layer_details=True))
    assert json.loads(built.layers) == {"Layers": [{"Name": "stem"}]}
    assert gpu.config.profiling_verbosity.name == "DETAILED"
    assert gpu.live == {} and gpu.misuses == [] and gpu.current() is None


@pytest.mark.parametrize("said", [None, "", "no JSON"])
def test_engine_is_not_lost_with_what_the_inspector_says(install, monkeypatch, said):
    gpu = install("10.3.0")
    monkeypatch.setattr(Inspector, "said", said)
    monkeypatch.setattr(
        sys.modules["tensorrt"].ICudaEngine, "create_engine_inspector", lambda engine: Inspector(), raising=False
    )
    built = build_tensorrt(GRAPH, "float32", EngineOptions(has_layer_details=True))
    assert built.data.startswith(stand_in.MAGIC) and built.layers is None
    (note,) = built.notes
    assert "was not kept: EngineInspector.get_engine_information failed: it" in note
    assert gpu.current() is None and gpu.misuses == []


@pytest.mark.parametrize(
    "name", ["Device.make_context", "Runtime.deserialize_cuda_engine", "Context.detach", "Device.get_attribute"]
)
def test_context_of_the_inspector_is_that_of_the_runtime_and_ends_with_it(install, monkeypatch, name):
    gpu = install("10.3.0")
    monkeypatch.setattr(
        sys.modules["tensorrt"].ICudaEngine, "create_engine_inspector", lambda engine: Inspector(), raising=False
    )
    gpu.faults[name] = stand_in.CudaError
    (note,) = build_tensorrt(GRAPH, "float32", EngineOptions(has_layer_details=True)).notes
    assert f"was not kept: {name} failed: {name}: out of luck" in note
    assert gpu.live == {} and gpu.misuses == [] and gpu.current() is None


def test_without_the_option_no_layer_is_asked_for(install):
    install("10.3.0")
    assert build_tensorrt(GRAPH, "float32").layers is None
