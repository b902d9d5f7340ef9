"""Times of layers are kept per GPU and TensorRT version, merged, and never cost an engine."""

from __future__ import annotations

import threading

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import edge.runtime.tensorrt as runtime_module
import export.backends.trt_builder as builder_module
import export.backends.trt_timing_cache as timing_cache
from edge.errors import StorageError
from edge.runtime.cuda_driver import Gpu
from edge.telemetry.nvpmodel import power_mode
from export.backends.trt_builder import build_tensorrt
from export.backends.trt_timing_cache import timing_cache_path
from tests.edge.runtime import tensorrt_stand_in as stand_in

ORIN = Gpu("NVIDIA Orin (nvgpu)", "8.7")
GRAPHS = [stand_in.tiny_graph(classes=classes) for classes in (2, 3, 4)]


@pytest.fixture(params=stand_in.VERSIONS)
def version(request):
    return request.param


@pytest.fixture
def install(monkeypatch):
    def put(version, here=ORIN):
        monkeypatch.setattr(builder_module, "first_gpu", lambda: here)
        runtime_module.message_logger.cache_clear()
        return stand_in.install(monkeypatch, version)

    yield put
    runtime_module.message_logger.cache_clear()


def caches(folder):
    return sorted(path.name for path in folder().iterdir() if path.suffix != ".lock")


def test_each_gpu_and_version_has_a_file_of_its_own(install, timing_cache_folder):
    for version, gpu in (
        ("8.6.1", Gpu("Orin", "8.7")),
        ("8.6.1", Gpu("Xavier", "7.2")),
        ("10.3.0", Gpu("Orin", "8.7")),
    ):
        install(version, gpu)
        assert build_tensorrt(GRAPHS[0], "float32").notes == ()
    assert caches(timing_cache_folder) == [
        "tensorrt-timing-orin-8.7-10.3.0.cache",
        "tensorrt-timing-orin-8.7-8.6.1.cache",
        "tensorrt-timing-xavier-7.2-8.6.1.cache",
    ]


def test_each_power_mode_of_a_jetson_has_a_file_of_its_own(install, timing_cache_folder, tmp_path, monkeypatch):
    gpu = install("8.6.1", Gpu("Orin", "8.7"))
    monkeypatch.setattr(builder_module, "power_mode", lambda: power_mode(tmp_path))
    build_tensorrt(GRAPHS[0], "float32")  # no mode can be read: in a container, say
    status, table = tmp_path / "var/lib/nvpmodel/status", tmp_path / "etc/nvpmodel.conf"
    for path, text in ((status, "pmode:0002 fmode:quiet"), (table, "< POWER_MODEL ID=2 NAME=MODE_15W >\n")):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    build_tensorrt(GRAPHS[0], "float32")
    assert len(gpu.config.cache.content.splitlines()) == 2
    status.write_text("pmode:0000")
    build_tensorrt(GRAPHS[1], "float32")
    assert len(gpu.config.cache.content.splitlines()) == 2  # nothing of the times at 15 W
    assert caches(timing_cache_folder) == [
        "tensorrt-timing-orin-8.7-8.6.1-0.cache",
        "tensorrt-timing-orin-8.7-8.6.1-mode-15w.cache",
        "tensorrt-timing-orin-8.7-8.6.1.cache",
    ]


def test_name_of_a_gpu_cannot_lead_elsewhere(timing_cache_folder):
    path = timing_cache_path("../NVIDIA  Orin (nvgpu)/x", "8.7", "8.5.2.2")
    assert path.parent == timing_cache_folder()
    assert path.name == "tensorrt-timing-..-nvidia-orin-nvgpu-x-8.7-8.5.2.2.cache"


def test_times_are_used_again_and_grow(install, version, timing_cache_folder):
    gpu = install(version)
    build_tensorrt(GRAPHS[0], "float32")
    (name,) = caches(timing_cache_folder)
    first = (timing_cache_folder() / name).read_bytes()
    assert first.startswith(f"times of {version}\n".encode())
    assert build_tensorrt(GRAPHS[1], "float32").notes == ()
    assert gpu.config.cache.content.startswith(first)
    both = (timing_cache_folder() / name).read_bytes()
    assert set(first.splitlines()) < set(both.splitlines())
    assert len(both.splitlines()) == 3


def test_what_another_build_wrote_meanwhile_is_kept(install, version, timing_cache_folder):
    gpu = install(version)
    path = timing_cache_path("NVIDIA Orin (nvgpu)", "8.7", version)
    gpu.meanwhile = lambda: path.write_bytes(f"times of {version}\ngraph other".encode())
    assert build_tensorrt(GRAPHS[0], "float32").notes == ()
    lines = path.read_bytes().splitlines()
    assert b"graph other" in lines and len(lines) == 3


def test_builds_at_once_lose_nothing(install, timing_cache_folder):
    gpu = install("8.6.1")
    together = threading.Barrier(len(GRAPHS))
    gpu.meanwhile = together.wait
    threads = [threading.Thread(target=build_tensorrt, args=(graph, "float32")) for graph in GRAPHS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (name,) = caches(timing_cache_folder)
    assert len((timing_cache_folder() / name).read_bytes().splitlines()) == 1 + len(GRAPHS)


@pytest.mark.parametrize("content", [b"times of another", b"\0", b"times of"])
def test_damaged_or_foreign_file_is_a_note_and_made_anew(install, version, timing_cache_folder, content):
    install(version)
    path = timing_cache_path("NVIDIA Orin (nvgpu)", "8.7", version)
    path.write_bytes(content)
    built = build_tensorrt(GRAPHS[0], "float32")
    assert built.data.startswith(stand_in.MAGIC)
    (note,) = built.notes
    assert "of another GPU or TensorRT version, or damaged: it was made anew" in note
    assert path.read_bytes().startswith(f"times of {version}\n".encode())
    assert content not in path.read_bytes().splitlines()


@pytest.mark.parametrize(
    "name", ["IBuilderConfig.create_timing_cache", "IBuilderConfig.get_timing_cache", "ITimingCache.serialize"]
)
def test_engine_is_not_lost_with_its_times(install, name):
    gpu = install("10.3.0")
    gpu.faults[name] = stand_in.CudaError
    built = build_tensorrt(GRAPHS[0], "float32")
    assert built.data.startswith(stand_in.MAGIC)
    assert any("timing cache" in note and "\n" not in note for note in built.notes)


def test_folder_that_cannot_be_written_is_a_note(install, tmp_path, monkeypatch):
    install("10.3.0")
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setattr(timing_cache, "cache_folder", lambda: tmp_path / "file" / "cache")
    built = build_tensorrt(GRAPHS[0], "float32")
    assert built.data.startswith(stand_in.MAGIC)
    assert any("timing cache not kept" in note for note in built.notes)


def test_machine_without_any_folder_builds_without_times(install, monkeypatch):
    install("10.3.0")

    def fail():
        raise StorageError("no folder")

    monkeypatch.setattr(timing_cache, "cache_folder", fail)
    assert build_tensorrt(GRAPHS[0], "float32").notes == ()


def test_failed_build_keeps_no_times(install, timing_cache_folder):
    gpu = install("10.3.0")
    gpu.faults["Builder.build_serialized_network"] = False
    with pytest.raises(Exception, match="build_serialized_network failed"):
        build_tensorrt(GRAPHS[0], "float32")
    assert caches(timing_cache_folder) == []
