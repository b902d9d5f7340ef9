"""Building with TensorRT, on a stand-in that has the names of each version."""

from __future__ import annotations

import sys

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import edge.runtime.tensorrt as runtime_module
import export.backends.trt_builder as builder_module
from edge.errors import BackendError, GraphError, MissingDependencyError
from edge.runtime.cuda_driver import Gpu
from edge.runtime.onnxruntime import open_session
from export.backends.options import EngineOptions
from export.backends.trt_builder import build_tensorrt, tensorrt_problem
from tests.edge.runtime import tensorrt_stand_in as stand_in

WEAKLY_TYPED = ("8.5.3.1", "8.6.0", "8.6.1")
FRAME = np.random.default_rng(1).integers(0, 256, (1, 8, 16, 3), np.uint8)


def install(monkeypatch, version):
    monkeypatch.setattr(builder_module, "first_gpu", lambda: Gpu("Orin", "8.7"))
    runtime_module.message_logger.cache_clear()
    return stand_in.install(monkeypatch, version)


@pytest.fixture(params=stand_in.VERSIONS)
def version(request):
    return request.param


@pytest.fixture
def gpu(monkeypatch, version):
    yield install(monkeypatch, version)
    runtime_module.message_logger.cache_clear()


@pytest.fixture
def gpu_10(monkeypatch):
    yield install(monkeypatch, "10.3.0")
    runtime_module.message_logger.cache_clear()


def logits_of(graph: bytes) -> np.ndarray:
    return open_session(graph, threads=1).run(None, {"frame": FRAME})[0]


def test_machine_with_gpu_and_tensorrt_has_no_problem(gpu):
    assert tensorrt_problem() is None


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_engine_of_every_version_and_precision_gives_the_numbers_of_its_graph(gpu, version, precision):
    graph = stand_in.tiny_graph(quantized=precision == "int8")
    built = build_tensorrt(graph, precision, EngineOptions(workspace_mib=256))
    assert (built.suffix, built.version, built.notes) == (".engine", version, ())
    assert built.seconds > 0
    head, _, content = built.data.partition(b"\n")
    assert head == stand_in.MAGIC + version.encode()
    wanted = logits_of(graph)
    # float16 keeps 11 binary digits of what is as large as the largest logit. With INT8, about one input in thirty lies
    # so near the middle between two steps of 1/127 that float16 (2**-11 at 0.5, or 1/16 of a step) rounds it the other
    # way: of an output's 48 at most 5, each worth 1/127 of its weight, which is hardly over 0.3 (three deviations).
    largest = np.abs(wanted).max()
    allowed = {"float32": 0, "float16": largest * 2**-9, "int8": 5 * 0.3 / 127}
    tolerance = 1e-6 + (allowed[precision] if version not in WEAKLY_TYPED else 0)
    np.testing.assert_allclose(logits_of(content), wanted, rtol=0, atol=tolerance)
    assert gpu.config.limits == {"WORKSPACE": 1 << 28}


@pytest.mark.parametrize(("precision", "flags"), [("float32", []), ("float16", ["FP16"]), ("int8", ["INT8", "FP16"])])
def test_flags_are_set_where_the_network_is_weakly_typed_and_the_graph_changed_elsewhere(
    gpu, version, precision, flags
):
    graph = stand_in.tiny_graph(quantized=precision == "int8")
    build_tensorrt(graph, precision)
    if version in WEAKLY_TYPED:
        assert gpu.config.used_flags == flags
        assert (gpu.built_graph == graph) == (precision != "int8")
    else:
        assert gpu.config.used_flags == []
        assert (gpu.built_graph == graph) == (precision == "float32")


def test_without_a_gpu_nothing_is_imported(gpu_10, monkeypatch):
    monkeypatch.setattr(builder_module, "first_gpu", lambda: None)
    monkeypatch.setattr(builder_module, "import_tensorrt", lambda: pytest.fail("imported"))
    assert "no NVIDIA GPU" in tensorrt_problem()
    with pytest.raises(BackendError, match="cannot build an engine here: no NVIDIA GPU"):
        build_tensorrt(b"", "float32")
    assert gpu_10.calls == []


@pytest.mark.parametrize("package", ["tensorrt", "pycuda"])
def test_missing_package_is_a_problem_with_its_install_command(gpu_10, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    problem = tensorrt_problem()
    assert package in problem
    assert "install" in problem


def test_version_below_8_5_is_a_problem(gpu_10, monkeypatch):
    monkeypatch.setattr(sys.modules["tensorrt"], "__version__", "8.4.1.5")
    assert tensorrt_problem() == "TensorRT 8.4.1.5 is installed, 8.5 or later is needed"


def test_what_the_parser_refuses_is_one_line(gpu):
    with pytest.raises(GraphError, match="cannot parse the graph: cannot read") as failure:
        build_tensorrt(stand_in.tiny_graph()[:-40], "float32")
    assert "\n" not in str(failure.value)
    gpu.faults["OnnxParser.parse"] = False
    with pytest.raises(GraphError, match=r"Assertion 0 failed \(node 7\); .*Assertion 2 failed \(node 7\); 2 more"):
        build_tensorrt(stand_in.tiny_graph(), "float32")


def test_refused_build_says_what_tensorrt_logged(gpu):
    gpu.faults["Builder.build_serialized_network"] = False
    with pytest.raises(BackendError, match=r"build_serialized_network failed: it returned None \(no kernel fits\)"):
        build_tensorrt(stand_in.tiny_graph(), "float32")


@pytest.mark.parametrize(
    "name",
    [
        "tensorrt.Builder",
        "Builder.create_network",
        "OnnxParser.parse",
        "Builder.create_builder_config",
        "IBuilderConfig.set_memory_pool_limit",
        "Builder.build_serialized_network",
    ],
)
def test_failed_or_interrupted_call_leaves_no_file(gpu_10, timing_cache_folder, name):
    options = EngineOptions(workspace_mib=1)
    gpu_10.faults[name] = stand_in.CudaError
    with pytest.raises(BackendError, match=f"{name} failed: .*out of luck"):
        build_tensorrt(stand_in.tiny_graph(), "float16", options)
    gpu_10.faults[name] = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        build_tensorrt(stand_in.tiny_graph(), "float16", options)
    assert list(timing_cache_folder().iterdir()) == []


def test_missing_onnx_is_named_where_the_graph_has_to_change(gpu_10, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingDependencyError, match="pip install onnx"):
        build_tensorrt(b"", "float16")
