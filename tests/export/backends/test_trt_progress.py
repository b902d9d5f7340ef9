"""A build shows how far it is, and Ctrl-C ends it without a trace."""

from __future__ import annotations

import io
import os
import re
import signal
import sys
import threading
import time

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import edge.runtime.tensorrt as runtime_module
import export.backends.trt_builder as builder_module
import export.backends.trt_progress as progress_module
from edge.console import run_command
from edge.errors import BackendError
from edge.interruption import ENDING_SIGNALS, Terminated, ending_signals_interrupt
from edge.runtime.cuda_driver import Gpu
from export.backends.trt_builder import build_tensorrt
from export.backends.trt_dynamic_ranges import DynamicRanges
from export.backends.trt_progress import BuildProgress
from tests.edge.runtime import tensorrt_stand_in as stand_in

GRAPH = stand_in.tiny_graph()
WITH_MONITOR = tuple(version for version in stand_in.VERSIONS if not version.startswith("8."))
WITHOUT = tuple(version for version in stand_in.VERSIONS if version.startswith("8."))


@pytest.fixture
def install(monkeypatch):
    def put(version):
        monkeypatch.setattr(builder_module, "first_gpu", lambda: Gpu("Orin", "8.7"))
        runtime_module.message_logger.cache_clear()
        return stand_in.install(monkeypatch, version)

    yield put
    runtime_module.message_logger.cache_clear()


@pytest.fixture(autouse=True)
def nothing_outlives_a_build():
    handler = signal.getsignal(signal.SIGINT)
    threads = set(threading.enumerate())
    yield
    assert signal.getsignal(signal.SIGINT) is handler
    assert signal.set_wakeup_fd(-1) == -1
    assert set(threading.enumerate()) <= threads


@pytest.fixture
def python_handler():
    """Let Ctrl-C mean what it means in a terminal, also where the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def wait_for(condition):
    """Wait until another thread has done its part; a minute means never."""
    end_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end_s, "it never came"
        time.sleep(0.002)


# What is shown


@pytest.mark.parametrize("version", WITH_MONITOR)
def test_share_grows_over_nested_phases_to_the_end(install, version, capsys):
    install(version)
    build_tensorrt(GRAPH, "float32")
    lines = capsys.readouterr().err.splitlines()
    shares = [int(line.split("build engine: ")[1].split(" %")[0]) for line in lines[:-1]]
    # Two parts of three steps each; the outer step behind each part adds nothing that was not there.
    assert shares == [17, 33, 50, 67, 83, 100]
    assert re.fullmatch(r"build engine: 17 % \(\d+ s gone, \d+ s left\) Part 0 1/3", lines[0])
    assert lines[-1].startswith("build engine: done in ")


def test_time_left_is_that_of_the_outermost_phase(install, monkeypatch):
    install("10.3.0")
    now = [0]
    stream = io.StringIO()
    with BuildProgress(sys.modules["tensorrt"], stream=stream) as progress:
        monkeypatch.setattr(progress_module.time, "perf_counter_ns", lambda: now[0])
        progress._progress._start_ns = 0
        now[0] = 100 * 10**9  # parsing, say: no phase of TensorRT
        progress._started("Building", None, 4)
        now[0] = 160 * 10**9
        progress._stepped("Building", 0)
        monkeypatch.undo()
    assert "build engine: 25 % (2 min 40 s gone, 3 min 00 s left) Building 1/4" in stream.getvalue()


@pytest.mark.parametrize("version", WITHOUT)
def test_before_version_10_the_time_that_is_gone_is_said(install, version, monkeypatch, capsys):
    gpu = install(version)
    monkeypatch.setattr(progress_module, "_TICK_S", 0.001)
    shown = []
    real = progress_module.Progress._draw

    def draw(progress, now_ns, state, note, *rest):
        shown.append(f"{progress._what}: {state} {note}")
        real(progress, now_ns, state, note, *rest)

    monkeypatch.setattr(progress_module.Progress, "_draw", draw)
    gpu.meanwhile = lambda: wait_for(lambda: len(shown) >= 3)
    build_tensorrt(GRAPH, "float32")
    assert set(shown) == {"build engine: 0 s gone (no progress before TensorRT 10)"}
    assert capsys.readouterr().err.splitlines() == ["build engine: done in 0 s"]


@pytest.mark.parametrize("version", ["8.6.1", "10.3.0"])
def test_failed_build_does_not_say_that_it_is_done(install, version, capsys):
    gpu = install(version)
    gpu.faults["Builder.build_serialized_network"] = False
    with pytest.raises(BackendError):
        build_tensorrt(GRAPH, "float32")
    assert "done" not in capsys.readouterr().err


# Ctrl-C


def interrupt(progress_seen):
    """Press Ctrl-C, and wait until the thread that watches has heard of it, as C++ would go on working."""
    os.kill(os.getpid(), signal.SIGINT)
    wait_for(progress_seen)


@pytest.mark.parametrize("version", WITH_MONITOR)
def test_interrupted_build_ends_at_its_next_step_and_leaves_nothing(
    install, version, python_handler, timing_cache_folder, monkeypatch
):
    gpu = install(version)
    steps, said = [], []
    monkeypatch.setattr(progress_module.Progress, "say", lambda line, text: said.append(text))

    def step():
        steps.append(0)
        if len(steps) == 2:
            interrupt(lambda: said)

    gpu.meanwhile = step
    with pytest.raises(KeyboardInterrupt):
        build_tensorrt(GRAPH, "float32")
    assert len(steps) == 2  # of 6
    assert not hasattr(gpu, "built_graph")
    assert list(timing_cache_folder().iterdir()) == []
    assert said == ["interrupted: TensorRT ends the build at its next step"]
    assert gpu.live == {} and gpu.misuses == []


@pytest.mark.parametrize("version", WITHOUT)
def test_build_that_cannot_be_stopped_is_not_kept(install, version, python_handler, timing_cache_folder, monkeypatch):
    gpu = install(version)
    said = []
    monkeypatch.setattr(progress_module.Progress, "say", lambda line, text: said.append(text))
    gpu.meanwhile = lambda: interrupt(lambda: said)
    with pytest.raises(KeyboardInterrupt):
        build_tensorrt(GRAPH, "float32")
    assert said == [
        f"interrupted: TensorRT {version} cannot be stopped; the build ends by itself, and nothing is kept of it. "
        "Ctrl-C again ends the process at once"
    ]
    assert hasattr(gpu, "built_graph")  # it came to its end
    assert list(timing_cache_folder().iterdir()) == []


def test_second_ctrl_c_ends_the_process_where_the_build_cannot_be_stopped(install, python_handler):
    install("8.5.3.1")
    left, stream = [], io.StringIO()
    progress = BuildProgress(sys.modules["tensorrt"], stream=stream, leave=left.append)
    with pytest.raises(KeyboardInterrupt), progress:
        interrupt(lambda: progress._interrupts == 1)
        assert left == []
        interrupt(lambda: left)
    assert left == [130]


@pytest.mark.parametrize("number", ENDING_SIGNALS)
def test_sigterm_ends_a_build_at_its_next_step_too(install, number, timing_cache_folder, capsys):
    gpu = install("10.3.0")
    gpu.meanwhile = lambda: os.kill(os.getpid(), number)
    code = run_command(lambda: build_tensorrt(GRAPH, "float32") and 0)
    assert code == 128 + number
    assert not hasattr(gpu, "built_graph") and list(timing_cache_folder().iterdir()) == []
    assert f"interrupted by {number.name}" in capsys.readouterr().err


def test_sigterm_ends_the_process_at_once_where_the_build_cannot_be_stopped(install):
    install("8.5.3.1")
    left, stream = [], io.StringIO()
    progress = BuildProgress(sys.modules["tensorrt"], stream=stream, leave=left.append)
    with ending_signals_interrupt(), pytest.raises(Terminated), progress:
        os.kill(os.getpid(), signal.SIGTERM)
        wait_for(lambda: left)
    assert left == [143] and "interrupted by SIGTERM: nothing is kept of the build" in stream.getvalue()


def test_ctrl_c_ends_the_images_of_a_calibration(install, python_handler):
    gpu = install("8.6.1")
    calibration = DynamicRanges({"sums": 1.0}, {})
    gpu.meanwhile = lambda: os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        build_tensorrt(GRAPH, "int8", calibration=calibration)
    calibration.interrupt()
    assert calibration._guard(pytest.fail, "an image was asked for") is None
    with pytest.raises(KeyboardInterrupt):
        calibration.check()


def test_ignored_ctrl_c_stays_ignored(install):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        gpu = install("10.3.0")
        gpu.meanwhile = lambda: os.kill(os.getpid(), signal.SIGINT)
        assert build_tensorrt(GRAPH, "float32").data.startswith(stand_in.MAGIC)
    finally:
        signal.signal(signal.SIGINT, before)


def test_build_in_another_thread_leaves_signals_alone(install):
    install("10.3.0")
    built = []
    thread = threading.Thread(target=lambda: built.append(build_tensorrt(GRAPH, "float32")))
    thread.start()
    thread.join()
    assert built[0].data.startswith(stand_in.MAGIC)
