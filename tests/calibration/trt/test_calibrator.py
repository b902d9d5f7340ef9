"""TensorRT's own calibrator over our images, on stand-ins for tensorrt and pycuda."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import calibration.trt.calibrator as calibrator_module
import edge.runtime.tensorrt as runtime_module
import export.backends.trt_builder as builder_module
from calibration.trt.cache import parse_cache
from calibration.trt.calibrator import CacheCalibration, EntropyCalibration
from edge.contract import Contract
from edge.errors import BackendError, ImageError, InputError
from edge.frames import FrameSet
from edge.preprocess import prepare_rgb
from edge.provenance import WeightsProvenance
from edge.runtime.cuda_driver import Gpu
from export.backends.trt_builder import build_tensorrt
from tests.edge.runtime import tensorrt_stand_in as stand_in

WITH_CALIBRATORS = tuple(stand_in.CACHE_VERSIONS)
BATCH_BYTES = 8 * 16 * 3 * 4


class NoisyFrames(FrameSet):
    """Frames of another size than the network's; the one of index `broken` cannot be read."""

    def __init__(self, count=5, broken=None, error=None):
        super().__init__("test frames", [f"frame {index}" for index in range(count)])
        self.reads = []
        self._broken, self._error = broken, error

    def read(self, index):
        self.reads.append(index)
        if index == self._broken:
            raise self._error
        return np.random.default_rng(index).integers(0, 256, (10, 20, 3), np.uint8)

    def digest(self, index):
        return f"{index:064x}"


def make_contract(**changes):
    fields = {
        **{"model": "tiny", "dataset": "camvid", "class_names": ("road", "sky", "car"), "height": 8, "width": 16},
        **{"stride": 4, "coordinates": "half_pixel", "input_name": "frame", "output_name": "logits"},
        **{"graph_sha256": "0" * 64, "weights": WeightsProvenance("random", "seed 0", "0" * 64)},
        **{"source_sha256": "0" * 64, "opset": 17, "versions": {}},
    }
    return Contract(**{**fields, **changes})


def install(monkeypatch, version):
    monkeypatch.setattr(builder_module, "first_gpu", lambda: Gpu("Orin", "8.7"))
    runtime_module.message_logger.cache_clear()
    return stand_in.install(monkeypatch, version)


@pytest.fixture(params=WITH_CALIBRATORS)
def version(request):
    return request.param


@pytest.fixture
def gpu(monkeypatch, version):
    yield install(monkeypatch, version)
    runtime_module.message_logger.cache_clear()


@pytest.fixture
def gpu_8(monkeypatch):
    yield install(monkeypatch, "8.5.3.1")
    runtime_module.message_logger.cache_clear()


GRAPH = stand_in.tiny_graph()


def calibration(frames, folder, version="8.5.3.1", graph=GRAPH, manifest="1" * 64, contract=None, show_progress=False):
    return EntropyCalibration(graph, contract or make_contract(), frames, manifest, folder, version, show_progress)


def test_cache_of_other_code_is_not_used_and_one_line_says_so(gpu, version, tmp_path, monkeypatch, capsys):
    build_tensorrt(GRAPH, "int8", calibration=calibration(NoisyFrames(), tmp_path, version))
    monkeypatch.setattr(calibrator_module, "code_digest", lambda *roots: "5" * 64)
    frames = NoisyFrames()
    build_tensorrt(GRAPH, "int8", calibration=calibration(frames, tmp_path, version, show_progress=True))
    assert frames.reads
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "calibrates anew" in line]
    assert line.startswith("TensorRT calibrates anew: tensorrt-")
    assert line.endswith("expected 555555555555")


def assert_nothing_left(gpu):
    assert gpu.live == {}
    assert gpu.misuses == []
    assert all(stack == [] for stack in gpu.stacks.values())


def test_batches_are_the_prepared_frames_in_order(gpu, version, tmp_path):
    frames = NoisyFrames()
    built = build_tensorrt(GRAPH, "int8", calibration=calibration(frames, tmp_path, version))
    assert built.data.startswith(stand_in.MAGIC + version.encode())
    assert frames.reads == [0, 1, 2, 3, 4]
    assert len(gpu.batches) == 5
    for index, batch in enumerate(gpu.batches):
        assert batch.dtype == np.float32
        np.testing.assert_array_equal(batch, prepare_rgb(frames.read(index), 8, 16).astype(np.float32))
    assert gpu.config.used_flags == ["INT8", "FP16"]
    assert_nothing_left(gpu)


def test_memory_is_one_batch_taken_once_however_many_images(gpu_8, tmp_path, monkeypatch):
    sizes = []
    driver = sys.modules["pycuda.driver"]
    real = driver.mem_alloc
    monkeypatch.setattr(driver, "mem_alloc", lambda size: sizes.append(size) or real(size))
    for count in (1, 40):
        sizes.clear()
        build_tensorrt(GRAPH, "int8", calibration=calibration(NoisyFrames(count), tmp_path / str(count)))
        assert sizes == [BATCH_BYTES]
        assert_nothing_left(gpu_8)


def test_network_of_several_frames_gets_them_together_and_the_last_batch_is_filled(gpu_8, tmp_path):
    graph = stand_in.tiny_graph(batch=2)
    frames = NoisyFrames(3)
    contract = make_contract(batch=2)
    build_tensorrt(graph, "int8", calibration=calibration(frames, tmp_path, graph=graph, contract=contract))
    assert frames.reads == [0, 1, 2, 0]
    assert [batch.shape for batch in gpu_8.batches] == [(2, 8, 16, 3)] * 2
    np.testing.assert_array_equal(gpu_8.batches[1][0], prepare_rgb(frames.read(2), 8, 16)[0])


def test_cache_is_kept_and_used_again_without_an_image_or_memory(gpu, version, tmp_path):
    build_tensorrt(GRAPH, "int8", calibration=calibration(NoisyFrames(), tmp_path, version))
    kept, calls = gpu.cache, len(gpu.calls)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".cache", ".json"]
    assert kept == next(tmp_path.glob("*.cache")).read_text()
    gpu.batches.clear()
    frames = NoisyFrames()
    built = build_tensorrt(GRAPH, "int8", calibration=calibration(frames, tmp_path, version))
    assert gpu.cache == kept
    assert (frames.reads, gpu.batches) == ([], [])
    assert "pycuda.driver.mem_alloc" not in gpu.calls[calls:]
    assert any("calibration of 5 images was kept, and is used again" in note for note in built.notes)


@pytest.mark.parametrize("change", ["graph", "manifest", "damage"])
def test_cache_of_another_graph_or_other_images_is_refused_and_made_anew(gpu_8, tmp_path, change):
    build_tensorrt(GRAPH, "int8", calibration=calibration(NoisyFrames(), tmp_path))
    gpu_8.batches.clear()
    graph, manifest = GRAPH, "1" * 64
    if change == "graph":
        graph = stand_in.tiny_graph(extra_outputs=(("more", 2),))
    elif change == "manifest":
        manifest = "2" * 64
    else:
        path = next(tmp_path.glob("*.cache"))
        path.write_text(path.read_text().replace("3c010a14", "3c010a15"))
    build_tensorrt(graph, "int8", calibration=calibration(NoisyFrames(), tmp_path, graph=graph, manifest=manifest))
    assert len(gpu_8.batches) == 5


def test_cache_of_another_tensorrt_is_not_used(monkeypatch, tmp_path):
    for version in ("8.5.3.1", "8.6.1"):
        gpu = install(monkeypatch, version)
        build_tensorrt(GRAPH, "int8", calibration=calibration(NoisyFrames(), tmp_path, version))
        assert len(gpu.batches) == 5
    assert len(list(tmp_path.glob("*.cache"))) == 2
    runtime_module.message_logger.cache_clear()


def test_image_that_cannot_be_read_fails_the_build_and_leaves_no_cache(gpu, version, tmp_path):
    frames = NoisyFrames(broken=3, error=ImageError("image street.png cannot be decoded"))
    with pytest.raises(BackendError, match=r"engine is not kept: image street\.png cannot be decoded") as failure:
        build_tensorrt(GRAPH, "int8", calibration=calibration(frames, tmp_path, version))
    assert len(gpu.batches) == 3
    assert "\n" not in str(failure.value)
    assert isinstance(failure.value.__cause__, ImageError)
    assert list(tmp_path.iterdir()) == []
    assert_nothing_left(gpu)


def test_first_image_that_cannot_be_read_is_told_instead_of_what_tensorrt_makes_of_it(gpu_8, tmp_path):
    frames = NoisyFrames(broken=0, error=ValueError("odd\npixels"))
    with pytest.raises(
        BackendError, match=r"calibration failed.*ValueError: odd pixels \(test_calibrator\.py, line \d+\)"
    ):
        build_tensorrt(GRAPH, "int8", calibration=calibration(frames, tmp_path))
    assert_nothing_left(gpu_8)


def test_ctrl_c_in_a_batch_ends_the_build(gpu_8, tmp_path):
    frames = NoisyFrames(broken=2, error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        build_tensorrt(GRAPH, "int8", calibration=calibration(frames, tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert_nothing_left(gpu_8)


@pytest.mark.parametrize(
    "name",
    [
        "pycuda.driver.init",
        "pycuda.driver.Device",
        "Device.make_context",
        "pycuda.driver.mem_alloc",
        "pycuda.driver.memcpy_htod",
        "tensorrt.Builder",
        "OnnxParser.parse",
        "Builder.build_serialized_network",
    ],
)
def test_failed_call_is_named_and_everything_is_freed(gpu_8, tmp_path, name):
    gpu_8.faults[name] = stand_in.CudaError
    with pytest.raises(BackendError, match=name) as failure:
        build_tensorrt(GRAPH, "int8", calibration=calibration(NoisyFrames(), tmp_path))
    # The error is still held, as a caller that logs it would.
    assert_nothing_left(gpu_8)
    assert "\n" not in str(failure.value)


def test_engine_is_not_lost_when_its_cache_cannot_be_written(gpu_8, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    built = build_tensorrt(GRAPH, "int8", calibration=calibration(NoisyFrames(), tmp_path / "file"))
    assert built.data.startswith(stand_in.MAGIC)
    assert any("calibration was not kept: cannot write" in note for note in built.notes)


def test_progress_says_how_many_batches_are_left(gpu_8, tmp_path, capsys):
    build_tensorrt(GRAPH, "int8", calibration=calibration(NoisyFrames(), tmp_path, show_progress=True))
    said = capsys.readouterr().err
    assert "calibrate with TensorRT: 5/5 batch" in said
    assert "left" in said


def test_no_images_is_one_clear_line(tmp_path):
    with pytest.raises(InputError, match="no images to calibrate on in test frames"):
        calibration(NoisyFrames(0), tmp_path)


def test_other_inputs_than_the_contract_names_are_refused(gpu_8, tmp_path):
    contract = make_contract(input_name="picture")
    with pytest.raises(BackendError, match="TensorRT asks for frame, expected picture"):
        build_tensorrt(GRAPH, "int8", calibration=calibration(NoisyFrames(), tmp_path, contract=contract))


@pytest.mark.parametrize("version", ["11.0.0.114", "11.4.0.106"])
def test_tensorrt_11_is_told_what_to_use_instead(gpu, version, tmp_path):
    wanted = r"TensorRT 11 has no calibrators\. Next: --calibrator percentile"
    with pytest.raises(BackendError, match=wanted):
        build_tensorrt(GRAPH, "int8", calibration=calibration(NoisyFrames(), tmp_path, version))
    with pytest.raises(BackendError, match=wanted):
        build_tensorrt(GRAPH, "int8", calibration=CacheCalibration("TRT-110000-EntropyCalibration2\n"))
    assert set(gpu.calls) <= {"pycuda.driver.init"}


CHECK_OF_THE_REAL_CLASS = """
import sys
sys.path.insert(0, {root!r})
import tensorrt
from calibration.trt.calibrator import CacheCalibration

class EmptyNetwork:
    num_layers = num_inputs = 0

text = "TRT-8503-EntropyCalibration2\\nstem: 3c010a14\\n"
calibration = CacheCalibration(text)
with calibration:
    made = calibration.calibrator(tensorrt, EmptyNetwork())
    assert isinstance(made, tensorrt.IInt8EntropyCalibrator2), type(made)
    assert made.get_algorithm() == tensorrt.CalibrationAlgoType.ENTROPY_CALIBRATION_2, made.get_algorithm()
    assert made.get_batch_size() == 1
    # The base class calls the overrides: what Python defines is what the C++ side is given.
    assert tensorrt.IInt8EntropyCalibrator2.get_batch_size(made) == 1
    assert made.read_calibration_cache().decode().endswith("stem: 3c010a14\\n")
print("held")
"""


@pytest.mark.skipif(importlib.util.find_spec("tensorrt") is None, reason="no TensorRT package here")
def test_real_binding_takes_our_class():
    # Importing TensorRT needs no GPU. In a process of its own: the stand-ins take its name in this one.
    import tensorrt

    if not hasattr(tensorrt, "IInt8EntropyCalibrator2"):
        pytest.skip(f"TensorRT {tensorrt.__version__} has no calibrators")
    root = str(Path(__file__).parents[3])
    code = CHECK_OF_THE_REAL_CLASS.format(root=root)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "held\n", done.stderr[-2000:]


def test_cache_of_tensorrt_is_read_like_ours(gpu_8, tmp_path):
    build_tensorrt(GRAPH, "int8", calibration=calibration(NoisyFrames(), tmp_path))
    scales = parse_cache(gpu_8.cache)
    assert "logits" in scales
    assert all(scale == pytest.approx(0.0078759, rel=1e-4) for scale in scales.values())
