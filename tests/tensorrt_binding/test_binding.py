"""Our calibrator, logger and profiler on the real binding of TensorRT 8.5.3.1, called from its C++ side, without a GPU.

It also shows what the code is written for: an exception of a calibrator ends in a line on stderr and nowhere else, and
a cache that TensorRT writes is gone after the call.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from calibration.trt.cache import parse_cache
from calibration.trt.calibrator import CacheCalibration, EntropyCalibration, require_calibrators
from edge.errors import BackendError, EngineMismatchError, ImageError
from edge.frames import FrameSet
from edge.preprocess import prepare_rgb
from edge.runtime.layer_time import WARMUP_RUNS
from edge.runtime.tensorrt import TensorRtRunner, message_logger
from edge.runtime.tensorrt_profile import engine_layers, layer_profiler, profile_execution
from tests.edge.runtime.cuda_ledger import Gpu, at
from tests.edge.runtime.pycuda_stand_in import make_pycuda
from tests.tensorrt_binding.cpp_side import CppCalibrator, cpp_log, cpp_report_layer_time

CACHE = "TRT-8503-EntropyCalibration2\nstem: 3c010a14\n"
EMPTY_NETWORK = SimpleNamespace(num_layers=0, num_inputs=0)


class NoisyFrames(FrameSet):
    """Frames of another size than the network's; reading the one of index `broken` raises `error`."""

    def __init__(self, count=3, broken=None, error=None):
        super().__init__("test frames", [f"frame {index}" for index in range(count)])
        self._broken, self._error = broken, error

    def read(self, index):
        if index == self._broken:
            raise self._error
        return np.random.default_rng(index).integers(0, 256, (10, 20, 3), np.uint8)

    def digest(self, index):
        return f"{index:064x}"


@pytest.fixture
def gpu(monkeypatch):
    """The ledger of a stand-in for pycuda."""
    made = Gpu()
    pycuda = make_pycuda(made)
    monkeypatch.setitem(sys.modules, "pycuda", pycuda)
    monkeypatch.setitem(sys.modules, "pycuda.driver", pycuda.driver)
    yield made
    assert made.misuses == []
    assert made.live == {}


@pytest.fixture
def calibrate(trt, contract, tmp_path):
    """Return a function that gives TensorRT's own calibration over some frames."""

    def make(frames, folder=tmp_path / "caches"):
        return EntropyCalibration(b"a graph", contract, frames, "1" * 64, folder, trt.__version__, show_progress=False)

    return make


# --- the calibrator ---


def test_calibrator_is_the_one_that_tensorrt_asks_for(trt):
    require_calibrators(trt)
    with CacheCalibration(CACHE) as calibration:
        made = calibration.calibrator(trt, EMPTY_NETWORK)
        # IBuilderConfig.int8_calibrator takes an IInt8Calibrator, and the DLA this one of them alone.
        assert isinstance(made, trt.IInt8Calibrator)
        assert isinstance(made, trt.IInt8EntropyCalibrator2)
        assert made.get_algorithm() == trt.CalibrationAlgoType.ENTROPY_CALIBRATION_2
        cpp = CppCalibrator(made)
        assert cpp.algorithm() == int(trt.CalibrationAlgoType.ENTROPY_CALIBRATION_2) == 2
        assert cpp.batch_size() == trt.IInt8EntropyCalibrator2.get_batch_size(made) == 1


def test_cache_says_the_version_that_the_library_says(trt):
    with CacheCalibration(CACHE) as calibration:
        made = calibration.calibrator(trt, EMPTY_NETWORK)
        first_line = made.read_calibration_cache().decode().splitlines()[0]
    assert first_line == f"TRT-{ctypes.CDLL('libnvinfer.so.8').getInferLibVersion()}-EntropyCalibration2"


def test_tensorrt_reads_the_whole_cache_for_as_long_as_it_likes(trt):
    with CacheCalibration(CACHE) as calibration:
        cpp = CppCalibrator(calibration.calibrator(trt, EMPTY_NETWORK))
        address, size = cpp.read()
        gc.collect()
        # Takes the memory of the cache, if that was given back. This binding holds on to it as our class does.
        others = [bytes([number % 256]) * size for number in range(10_000)]
        assert ctypes.string_at(address, size).decode() == CACHE
        assert len(others) == 10_000


def test_cache_has_the_scales_of_tensors_that_the_parser_made(trt):
    def tensor(name, dtype):
        return SimpleNamespace(name=name, dtype=dtype)

    def layer(kind, name, read, output):
        return SimpleNamespace(
            type=kind,
            name=name,
            num_inputs=len(read),
            num_outputs=1,
            get_input=lambda index: read[index],
            get_output=lambda index: output,
        )

    frame, stem = tensor("frame", trt.DataType.UINT8), tensor("stem", trt.DataType.FLOAT)
    moved, bias = tensor("moved", trt.DataType.FLOAT), tensor("(Unnamed Layer* 1) [Constant]_output", trt.DataType.HALF)
    lost = tensor("lost", trt.DataType.FLOAT)
    layers = [
        layer(trt.LayerType.CONVOLUTION, "stem", [frame], stem),
        layer(trt.LayerType.CONSTANT, "bias", [], bias),
        layer(trt.LayerType.SHUFFLE, "move", [stem], moved),
        layer(trt.LayerType.ACTIVATION, "other", [stem], lost),
    ]
    network = SimpleNamespace(
        num_layers=len(layers), num_inputs=1, get_layer=lambda index: layers[index], get_input=lambda index: frame
    )
    with CacheCalibration(CACHE, {"bias": 0.25}) as calibration:
        address, size = CppCalibrator(calibration.calibrator(trt, network)).read()
        scales = parse_cache(ctypes.string_at(address, size).decode())
        notes = calibration.notes
    stem_scale = parse_cache(CACHE)["stem"]
    assert scales == {"stem": stem_scale, "moved": stem_scale, bias.name: 0.25}
    assert notes == ["1 tensors have no scale, and the layers at them run in float: lost"]


def test_cache_that_tensorrt_does_not_take_is_an_error(trt):
    with CacheCalibration(CACHE) as calibration:
        cpp = CppCalibrator(calibration.calibrator(trt, EMPTY_NETWORK))
        assert cpp.batch("frame") is None
        with pytest.raises(BackendError, match="engine is not kept: TensorRT did not take the calibration cache"):
            calibration.check()


def test_batches_reach_tensorrt_and_its_cache_is_kept(trt, gpu, calibrate, contract):
    frames = NoisyFrames(3)
    with calibrate(frames) as calibration:
        cpp = CppCalibrator(calibration.calibrator(trt, EMPTY_NETWORK))
        assert cpp.read() is None
        addresses = []
        for index in range(3):
            (address,) = cpp.batch(contract.input_name)
            addresses.append(address)
            expected = prepare_rgb(frames.read(index), contract.height, contract.width).astype(np.float32)
            np.testing.assert_array_equal(at(address, contract.input_shape, np.float32), expected)
        assert len(set(addresses)) == 1
        assert cpp.batch(contract.input_name) is None
        cpp.write(CACHE.encode())
        calibration.check()
    with calibrate(frames) as again:
        address, size = CppCalibrator(again.calibrator(trt, EMPTY_NETWORK)).read()
        assert ctypes.string_at(address, size).decode() == CACHE
        assert "calibration of 3 images was kept" in again.notes[0]


def test_image_that_cannot_be_read_ends_the_images_and_is_told_in_one_line(trt, gpu, calibrate, contract, capfd):
    frames = NoisyFrames(3, broken=1, error=ImageError("image street.png cannot be decoded"))
    with calibrate(frames) as calibration:
        cpp = CppCalibrator(calibration.calibrator(trt, EMPTY_NETWORK))
        assert cpp.batch(contract.input_name) is not None
        assert cpp.batch(contract.input_name) is None
        cpp.write(CACHE.encode())  # TensorRT writes what it found in one image
        with pytest.raises(BackendError, match=r"engine is not kept: image street\.png cannot be decoded"):
            calibration.check()
    assert capfd.readouterr() == ("", "")
    with calibrate(frames) as again:
        assert CppCalibrator(again.calibrator(trt, EMPTY_NETWORK)).read() is None


def test_ctrl_c_in_a_batch_comes_through(trt, gpu, calibrate, contract):
    with calibrate(NoisyFrames(3, broken=0, error=KeyboardInterrupt())) as calibration:
        cpp = CppCalibrator(calibration.calibrator(trt, EMPTY_NETWORK))
        assert cpp.batch(contract.input_name) is None
        with pytest.raises(KeyboardInterrupt):
            calibration.check()


def test_other_inputs_than_the_contract_names_are_refused(trt, gpu, calibrate):
    with calibrate(NoisyFrames(1)) as calibration:
        assert CppCalibrator(calibration.calibrator(trt, EMPTY_NETWORK)).batch("picture", "depth") is None
        with pytest.raises(BackendError, match="TensorRT asks for picture, depth, expected"):
            calibration.check()


def test_without_our_guard_an_exception_would_be_the_end_of_the_images(trt, capfd):
    class Unguarded(trt.IInt8EntropyCalibrator2):
        def __init__(self):
            trt.IInt8EntropyCalibrator2.__init__(self)

        def get_batch_size(self):
            return 1

        def get_batch(self, names):
            raise ValueError(f"no {names[0]}")

        def read_calibration_cache(self):
            return None

        def write_calibration_cache(self, cache):
            raise ValueError(type(cache).__name__)

    cpp = CppCalibrator(Unguarded())
    assert cpp.batch("frame") is None
    cpp.write(b"TRT")
    said = capfd.readouterr().err
    assert "Exception caught in get_batch(): ValueError: no frame" in said
    assert "Exception caught in write_calibration_cache(): ValueError: memoryview" in said


# --- the logger ---


@pytest.fixture
def logger(trt):
    """The one of this process, without errors."""
    made = message_logger(trt)
    made.errors.clear()
    return made


@pytest.mark.parametrize(
    ("severity", "kept"),
    [("INTERNAL_ERROR", True), ("ERROR", True), ("INFO", False), ("VERBOSE", False)],
)
def test_logger_keeps_errors_of_tensorrt_in_one_line(trt, logger, severity, kept):
    assert isinstance(logger, trt.ILogger)
    said = getattr(trt.ILogger.Severity, severity)
    assert said == getattr(trt.ILogger, severity) == getattr(trt.Logger, severity)
    cpp_log(logger)(said, "1: [a.cpp::f::12]\n  Error Code 1: über")
    trt.ILogger.log(logger, said, "again")
    assert list(logger.errors) == (["1: [a.cpp::f::12] Error Code 1: über", "again"] if kept else [])


def test_library_takes_the_logger_and_talks_to_it(trt, logger, monkeypatch):
    heard = []
    monkeypatch.setattr(type(logger), "log", lambda self, severity, msg: heard.append((severity, msg)))
    # The only thing that TensorRT logs without a GPU, and that needs none.
    assert trt.init_libnvinfer_plugins(logger, "")
    assert heard
    assert all(severity in (trt.ILogger.VERBOSE, trt.ILogger.INFO) and msg for severity, msg in heard)


def test_logger_takes_messages_of_many_threads_without_the_lock(trt, logger):
    log = cpp_log(logger)
    threads = [
        threading.Thread(target=lambda: [log(trt.ILogger.ERROR, f"error {index}") for index in range(200)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(logger.errors) == logger.errors.maxlen
    assert logger.errors[-1] == "error 199"


# --- the profiler ---


def test_profiler_hears_of_layers_while_it_has_a_run(trt):
    profiler = layer_profiler(trt)
    assert isinstance(profiler, trt.IProfiler)
    report = cpp_report_layer_time(profiler)
    report("before", 1.0)
    profiler.run = []
    report("stem/Conv + stem_relu/Relu", 0.5)
    trt.IProfiler.report_layer_time(profiler, "head/Conv", 0.25)
    assert profiler.run == [("stem/Conv + stem_relu/Relu", 0.5), ("head/Conv", 0.25)]
    assert profiler.failure is None


def test_failure_in_the_profiler_does_not_reach_tensorrt(trt):
    profiler = layer_profiler(trt)
    profiler.run = 5
    cpp_report_layer_time(profiler)("stem", 1.0)
    assert "append" in profiler.failure


def test_layers_are_profiled_through_the_binding(trt):
    execution, runs = SimpleNamespace(), iter(range(WARMUP_RUNS + 2))
    inspector = SimpleNamespace(
        get_engine_information=lambda format: {
            trt.LayerInformationFormat.JSON: '{"Layers": [{"Name": "stem", "LayerType": "CaskConvolution"}, "copy"]}'
        }[format]
    )
    layers = engine_layers(trt, SimpleNamespace(create_engine_inspector=lambda: inspector))

    def execute():
        run = next(runs)
        report = cpp_report_layer_time(execution.profiler)
        report("stem", 1.0 + run)
        report("copy", 0.5)

    times = profile_execution(trt, execution, execute, 2, layers)
    assert [(layer.name, layer.kind) for layer in times] == [("stem", "Conv"), ("copy", "Copy")]
    assert times[0].milliseconds == (1.0 + WARMUP_RUNS, 2.0 + WARMUP_RUNS)


# --- a machine without a GPU ---


def test_problem_is_one_line_and_tensorrt_is_not_even_imported(trt, run_python):
    script = """
import sys
from edge.errors import BackendError
from export.backends.trt_builder import build_tensorrt, tensorrt_problem

print(tensorrt_problem())
try:
    build_tensorrt(b"", "float32")
except BackendError as error:
    print(error)
print("tensorrt" in sys.modules)
"""
    done = run_python("-W", "error", "-c", script)
    problem = "no NVIDIA GPU: libcuda is not installed or sees no device"
    assert done.stdout.splitlines() == [problem, f"TensorRT cannot build an engine here: {problem}", "False"]
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["Builder", "Runtime"])
def test_tensorrt_objects_fail_in_one_line(trt, run_python, name):
    script = f"""
import tensorrt
from edge.errors import BackendError
from edge.runtime.calls import call
from edge.runtime.tensorrt import message_logger

logger = message_logger(tensorrt)
try:
    call("tensorrt.{name}", tensorrt.{name}, logger, refused=(None,), logger=logger)
except BackendError as error:
    print(error)
"""
    done = run_python("-W", "error", "-c", script)  # in a process of its own: other versions end it
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"tensorrt.{name} failed: pybind11::init(): factory function returned nullptr")


def test_engine_is_refused_before_tensorrt_sees_it(trt, card, tmp_path):
    runner = TensorRtRunner(tmp_path / "engine", card)
    with pytest.raises(EngineMismatchError, match="this machine has no NVIDIA GPU"):
        runner.activate()
