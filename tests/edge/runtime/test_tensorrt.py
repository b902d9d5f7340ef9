"""The TensorRT runner, on stand-ins that compute in host memory."""

from __future__ import annotations

import dataclasses
import sys
import threading

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import edge.runtime.tensorrt as runtime_module
from edge.contract import CENTRE_HEATMAP, OFFSETS, OutputTensor
from edge.errors import BackendError, EngineMismatchError, InputError, MissingDependencyError
from edge.runtime.calls import call
from edge.runtime.onnxruntime import OnnxRuntimeRunner
from edge.runtime.tensorrt import TensorRtRunner
from export.graph.float_input import with_float_input
from tests.edge.runtime import tensorrt_stand_in as stand_in
from tests.edge.runtime.device_engine import HERE, make_card, write_runner

FRAME = np.random.default_rng(1).integers(0, 256, (1, 8, 16, 3), np.uint8)
PANOPTIC = (OutputTensor("centre", 1, CENTRE_HEATMAP), OutputTensor("offset", 2, OFFSETS, "positions"))
PAIRS = tuple((output.name, output.channels) for output in PANOPTIC)


@pytest.fixture(params=["8.5.3.1", "8.6.1", "10.3.0", "11.4.0.106"])
def version(request):
    return request.param


@pytest.fixture
def gpu(monkeypatch, version):
    monkeypatch.setattr(runtime_module, "this_machine", lambda: HERE)
    runtime_module.message_logger.cache_clear()
    yield stand_in.install(monkeypatch, version)
    runtime_module.message_logger.cache_clear()


@pytest.fixture
def runner(gpu, version, tmp_path):
    return write_runner(tmp_path, version)


def assert_all_freed(gpu):
    assert gpu.live == {}
    assert gpu.misuses == []
    assert all(stack == [] for stack in gpu.stacks.values())


def test_logits_are_those_of_the_graph(gpu, runner, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(stand_in.tiny_graph())
    with OnnxRuntimeRunner(path, runner.contract, threads=1) as reference, runner:
        for frame in (FRAME, 255 - FRAME):
            logits = runner.infer(frame)
            assert logits.dtype == np.float32
            assert logits.shape == (3, 2, 4)
            np.testing.assert_array_equal(logits, reference.infer(frame))
    assert_all_freed(gpu)


@pytest.mark.parametrize("batch", [1, 3])
def test_every_output_is_that_of_the_graph_with_one_download_each(gpu, version, tmp_path, batch):
    runner = write_runner(
        tmp_path, version, {"extra_outputs": PANOPTIC, "batch": batch}, extra_outputs=PAIRS, batch=batch
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(stand_in.tiny_graph(extra_outputs=PAIRS, batch=batch))
    frames = np.concatenate([FRAME, 255 - FRAME, FRAME // 2])[:batch]
    lead = () if batch == 1 else (batch,)
    with OnnxRuntimeRunner(path, runner.contract, threads=1) as reference, runner:
        for frame in (frames, 255 - frames):
            gpu.calls.clear()
            outputs = runner.infer_all(frame)
            assert gpu.calls.count("pycuda.driver.memcpy_dtoh_async") == 3
            assert gpu.calls.count("Stream.synchronize") == 1
            expected = reference.infer_all(frame)
            assert [(name, value.shape) for name, value in outputs.items()] == [
                ("logits", (*lead, 3, 2, 4)),
                ("centre", (*lead, 1, 2, 4)),
                ("offset", (*lead, 2, 2, 4)),
            ]
            for name, value in outputs.items():
                assert value.dtype == np.float32
                np.testing.assert_array_equal(value, expected[name])
            np.testing.assert_array_equal(runner.infer(frame), expected["logits"])
    del outputs, value
    assert_all_freed(gpu)


def test_network_of_logits_alone_downloads_once(gpu, runner):
    with runner:
        assert list(runner.infer_all(FRAME)) == ["logits"]
        assert gpu.calls.count("pycuda.driver.memcpy_dtoh_async") == 1


def test_memory_of_every_output_is_taken_at_activation_and_none_per_frame(gpu, version, tmp_path):
    runner = write_runner(tmp_path, version, {"extra_outputs": PANOPTIC}, extra_outputs=PAIRS)
    with runner:
        alive = dict(gpu.live)
        for kind in ("DeviceAllocation", "PagelockedHostAllocation"):
            assert list(alive.values()).count(kind) == 1 + 3
        for _ in range(3):
            runner.infer_all(FRAME)
        assert gpu.live == alive
    assert_all_freed(gpu)


def test_no_memory_is_taken_per_frame_and_no_context_is_left_current(gpu, runner):
    with runner:
        alive = dict(gpu.live)
        assert sorted(alive.values()) == [
            "DeviceAllocation",
            "DeviceAllocation",
            "PagelockedHostAllocation",
            "PagelockedHostAllocation",
            "context",
            "engine",
            "execution context",
            "runtime",
            "stream",
        ]
        for _ in range(3):
            runner.infer(FRAME)
            assert gpu.current() is None
        assert gpu.live == alive


def test_description_names_version_and_device(gpu, runner, version):
    assert runner.describe() == {
        "backend": "tensorrt",
        "version": version,
        "device": "Orin",
        "compute_capability": "8.7",
    }


def test_runner_can_be_opened_again_and_closed_twice(gpu, runner):
    results = []
    for _ in range(3):
        with runner:
            results.append(runner.infer(FRAME).copy())
        runner.deactivate()
        assert_all_freed(gpu)
    np.testing.assert_array_equal(results[0], results[2])


def test_runner_opened_in_one_thread_works_and_closes_in_another(gpu, runner):
    results = []

    def work():
        results.append(runner.infer(FRAME).copy())
        runner.deactivate()

    runner.activate()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(results) == 1
    assert_all_freed(gpu)


def test_two_runners_live_side_by_side(gpu, runner, version, tmp_path):
    (tmp_path / "other").mkdir()
    other = write_runner(tmp_path / "other", version)
    with runner, other:
        np.testing.assert_array_equal(runner.infer(FRAME), other.infer(FRAME))
    assert_all_freed(gpu)


FAULT = stand_in.CudaError
ACTIVATION_CALLS = {
    "pycuda.driver.init": FAULT,
    "pycuda.driver.Device": FAULT,
    "Device.make_context": FAULT,
    "pycuda.driver.Stream": FAULT,
    "tensorrt.Runtime": FAULT,
    "Runtime.deserialize_cuda_engine": False,
    "ICudaEngine.create_execution_context": False,
    "ICudaEngine.get_tensor_name": FAULT,
    "ICudaEngine.get_tensor_mode": FAULT,
    "ICudaEngine.get_tensor_shape": FAULT,
    "ICudaEngine.get_tensor_dtype": FAULT,
    "pycuda.driver.pagelocked_empty": FAULT,
    "pycuda.driver.mem_alloc": FAULT,
    "IExecutionContext.set_tensor_address": False,
    "Context.pop": FAULT,
}
FRAME_CALLS = {
    "Context.push": FAULT,
    "pycuda.driver.memcpy_htod_async": FAULT,
    "IExecutionContext.execute_async_v3": False,
    "pycuda.driver.memcpy_dtoh_async": FAULT,
    "Stream.synchronize": FAULT,
}


@pytest.mark.parametrize("name", ACTIVATION_CALLS)
def test_failed_activation_names_the_call_and_frees_everything(gpu, runner, name):
    gpu.faults[name] = ACTIVATION_CALLS[name]
    with pytest.raises(BackendError, match=name) as failure:
        runner.activate()
    # The error is still held, as a caller that logs it would; what it saw must be gone all the same.
    assert_all_freed(gpu)
    assert "\n" not in str(failure.value)
    gpu.faults.clear()
    with runner:
        runner.infer(FRAME)
    assert_all_freed(gpu)


@pytest.mark.parametrize("name", ACTIVATION_CALLS)
def test_interrupted_activation_frees_everything(gpu, runner, name):
    gpu.faults[name] = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt) as failure:
        runner.activate()
    assert_all_freed(gpu)
    assert failure.type is KeyboardInterrupt


@pytest.mark.parametrize("name", FRAME_CALLS)
def test_failed_frame_names_the_call_and_the_runner_still_closes(gpu, runner, name):
    with runner:
        gpu.faults[name] = FRAME_CALLS[name]
        with pytest.raises(BackendError, match=name) as failure:
            runner.infer(FRAME)
        assert "\n" not in str(failure.value)
        assert gpu.current() is None
        gpu.faults.clear()
        runner.infer(FRAME)
    assert_all_freed(gpu)


def test_reason_that_tensorrt_logged_is_in_the_message(gpu, runner):
    with runner:
        gpu.faults["IExecutionContext.execute_async_v3"] = False
        with pytest.raises(BackendError, match=r"returned False \(illegal memory access\)"):
            runner.infer(FRAME)


def test_warning_is_the_reason_where_tensorrt_logged_no_error(gpu, runner):
    with runner:
        logger = runner._logger

        def fail(severities):
            for severity in severities:
                logger.log(severity, f"{severity}\nof the driver")

        trt = sys.modules["tensorrt"].ILogger
        for said, reason in (([trt.WARNING], "WARNING"), ([trt.WARNING, trt.ERROR], "ERROR")):
            with pytest.raises(BackendError) as failure:
                call("Builder", fail, said, refused=(None,), logger=logger)
            assert str(failure.value) == f"Builder failed: it returned None ({reason} of the driver)"


@pytest.mark.parametrize("name", ["DeviceAllocation.free", "PagelockedHostAllocation.free", "Context.detach"])
def test_failure_to_free_one_thing_is_told_and_the_rest_is_freed(gpu, runner, name):
    runner.activate()
    gpu.faults[name] = FAULT
    with pytest.raises(BackendError, match=name):
        runner.deactivate()
    assert_all_freed(gpu)
    runner.deactivate()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gpu": None, "compute_capability": None}, "no NVIDIA GPU"),
        ({"gpu": "Xavier"}, r"built for Orin .* this machine has Xavier .* python export/build_engine.py"),
        ({"compute_capability": "7.2"}, r"capability 8\.7, aarch64\); this machine has Orin \(compute capability 7\.2"),
    ],
)
def test_engine_of_another_gpu_is_refused_before_anything_is_imported(gpu, runner, monkeypatch, change, message):
    monkeypatch.setattr(runtime_module, "this_machine", lambda: dataclasses.replace(HERE, **change))
    for module in ("tensorrt", "pycuda", "pycuda.driver"):
        monkeypatch.delitem(sys.modules, module)
    forbid_import(monkeypatch, ("tensorrt", "pycuda"), AssertionError("imported"))
    with pytest.raises(EngineMismatchError, match=message):
        runner.activate()
    assert gpu.calls == []


def forbid_import(monkeypatch, packages, error):
    import importlib

    real = importlib.import_module

    def refuse(name, *arguments):
        if name.split(".")[0] in packages:
            raise error
        return real(name, *arguments)

    monkeypatch.setattr(importlib, "import_module", refuse)


def test_engine_of_another_tensorrt_is_refused_before_tensorrt_is_touched(gpu, runner, version, tmp_path):
    stranger = TensorRtRunner(tmp_path / "engine.engine", dataclasses.replace(runner._card, backend_version="9.9.9"))
    with pytest.raises(EngineMismatchError, match=rf"TensorRT 9\.9\.9; this machine has {version}\. Next: python"):
        stranger.activate()
    assert gpu.calls == []


@pytest.mark.parametrize(
    ("package", "install"), [("tensorrt", "apt install python3-libnvinfer"), ("pycuda", "pip install pycuda")]
)
def test_missing_package_is_named_with_its_install_command(gpu, runner, monkeypatch, package, install):
    forbid_import(monkeypatch, (package,), ModuleNotFoundError(name=package))
    with pytest.raises(MissingDependencyError, match=install):
        runner.activate()
    assert_all_freed(gpu)


def test_package_whose_library_is_missing_is_told_apart_from_no_package(gpu, runner, monkeypatch):
    forbid_import(monkeypatch, ("tensorrt",), OSError("libnvinfer.so.8: cannot open shared object file"))
    with pytest.raises(BackendError, match=r"installed, but cannot be loaded: libnvinfer\.so\.8"):
        runner.activate()


def test_engine_with_other_tensors_than_its_contract_is_refused(gpu, version, tmp_path):
    runner = write_runner(tmp_path, version, classes=4)
    with pytest.raises(EngineMismatchError, match=r"\(1, 4, 2, 4\).*its contract says.*\(1, 3, 2, 4\)"):
        runner.activate()
    assert_all_freed(gpu)


@pytest.mark.parametrize("named", [(), PANOPTIC[:1], (PANOPTIC[0], dataclasses.replace(PANOPTIC[1], channels=3))])
def test_engine_with_other_outputs_than_its_contract_is_refused(gpu, version, tmp_path, named):
    runner = write_runner(tmp_path, version, {"extra_outputs": named}, extra_outputs=PAIRS)
    with pytest.raises(EngineMismatchError, match=r"'offset', \(1, 2, 2, 4\), 'FLOAT'.*its contract says"):
        runner.activate()
    assert_all_freed(gpu)


def test_engine_of_another_batch_than_its_contract_is_refused(gpu, version, tmp_path):
    runner = write_runner(tmp_path, version, {"batch": 2})
    with pytest.raises(EngineMismatchError, match=r"\(1, 3, 2, 4\).*its contract says.*\(2, 3, 2, 4\)"):
        runner.activate()
    assert_all_freed(gpu)


def test_engine_with_a_float_input_takes_the_same_frames(gpu, runner, version, tmp_path):
    engine = stand_in.MAGIC + version.encode() + b"\n" + with_float_input(stand_in.tiny_graph())
    path = tmp_path / "implicit.engine"
    path.write_bytes(engine)
    implicit = TensorRtRunner(path, make_card(version, engine))
    with runner, implicit:
        for frame in (FRAME, 255 - FRAME):
            np.testing.assert_array_equal(implicit.infer(frame), runner.infer(frame))
    assert_all_freed(gpu)


def test_engine_of_a_dla_core_is_loaded_for_that_core(gpu, version, tmp_path):
    runner = write_runner(tmp_path, version)
    object.__setattr__(runner._card, "dla_core", 1)
    with runner:
        assert runner._resources["runtime"].DLA_core == 1
        runner.infer(FRAME)
    assert_all_freed(gpu)


def test_profile_names_every_layer_and_frames_go_on_without_it(gpu, runner):
    with runner:
        before = runner.infer(FRAME).copy()
        alive = dict(gpu.live)
        layers = runner.profile(FRAME, 3)
        assert [layer.name for layer in layers] == ["pixels", "scaled", "planes", "sums", "logits"]
        assert [layer.kind for layer in layers] == ["Cast", "PointWise", "Shuffle", "Conv", "PointWise"]
        assert [layer.milliseconds for layer in layers] == [(0.5 + number,) * 3 for number in range(5)]
        np.testing.assert_array_equal(runner.infer(FRAME), before)
        assert gpu.live == alive
        with pytest.raises(InputError, match="in 0 runs, expected at least 1"):
            runner.profile(FRAME, 0)
    assert_all_freed(gpu)


@pytest.mark.parametrize("name", ["ICudaEngine.create_engine_inspector", "IExecutionContext.execute_async_v3"])
def test_profile_that_fails_names_the_call_and_frees_what_it_took(gpu, runner, name):
    with runner:
        alive = dict(gpu.live)
        gpu.faults[name] = FAULT
        with pytest.raises(BackendError, match=name.replace("ICudaEngine.create_engine_inspector", "EngineInspector")):
            runner.profile(FRAME, 1)
        gpu.faults.clear()
        assert gpu.live == alive
    assert_all_freed(gpu)


def test_damaged_or_missing_engine_file_is_one_line(gpu, runner, tmp_path):
    path = tmp_path / "engine.engine"
    path.write_bytes(b"rubbish")
    with pytest.raises(BackendError, match=r"deserialize_cuda_engine.*magic tag does not match"):
        runner.activate()
    path.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        runner.activate()
    assert_all_freed(gpu)


def test_frame_of_another_size_is_refused(gpu, runner):
    with runner, pytest.raises(InputError, match=r"takes \(1, 8, 16, 3\) uint8"):
        runner.infer(FRAME[:, :4])
