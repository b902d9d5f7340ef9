"""The check of a first GPU, all of it: the script, its processes, the real pycuda and the kernels over the host driver.

Only TensorRT and the CUDA compiler are stand-ins: a module on PYTHONPATH and a program on the PATH, as real ones are.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from benchmarks.gpu_check.record import GpuCheck
from benchmarks.gpu_check.worker import Worker
from edge.records import read_record
from tests.export import small_device as device

REPOSITORY = Path(__file__).resolve().parents[2]

COMPILER = """#!/bin/sh
[ "$1" = --version ] && { echo "stand-in compiler 1"; exit 0; }
while [ $# -gt 0 ]; do [ "$1" = --output-file ] && echo code > "$2"; shift; done
"""

TRTEXEC = """#!/bin/sh
echo "[I] GPU Compute Time: min = 0.1 ms, max = 9 ms, mean = 0.25 ms, median = 0.24 ms, percentile(99%) = 1 ms"
"""

# $GPU_CHECK_FAULT is "CALL=WHAT": the first such call of a process raises, hangs or crashes; "tables" spoils
# kernels, "slots" lets every lane give the labels of its first slot, "graphs" lets
# every recorded frame begin with the picture of the first slot.
TENSORRT = """
import os, signal, sys, time
sys.path[:0] = [{checkout!r}]
from tests.edge.runtime import tensorrt_stand_in as stand_in
from tests.host_cuda.host_driver import HostDriver

call, _, what = os.environ.get("GPU_CHECK_FAULT", "").partition("=")

class StreamedGpu(stand_in.Gpu):
    def __init__(self):
        super().__init__()
        self._driver, self._contexts, self._is_due = HostDriver(), {{}}, True

    def current(self):
        handle = self._driver.current_context()
        return self._contexts.setdefault(handle, f"context {{handle}}") if handle else None

    def enqueue(self, stream_handle, work):
        assert self._driver.enqueue(stream_handle, work) == 0

    def reach(self, name, needs_context=True):
        if name == call and self._is_due:
            self._is_due = False
            if what == "hang":
                time.sleep(600)
            if what == "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            raise stand_in.CudaError("out of luck")
        return super().reach(name, needs_context)

if call == "tables":
    import edge.runtime.cuda.launches as launches
    right = launches.cell_table

    def wrong(nodes, pixels, coordinates):
        table = right(nodes, pixels, coordinates)
        table[2:] = table[:1:-1].copy()  # both weights exchanged
        return table

    launches.cell_table = wrong

if call == "slots":
    import dataclasses
    from edge.runtime.cuda.lane import CudaLane
    collect = CudaLane.collect

    def collect_first(lane):
        return dataclasses.replace(collect(lane), labels=lane._slots[0].labels.host)

    CudaLane.collect = collect_first

if call == "graphs":
    from edge.runtime.cuda.lane import CudaLane
    record = CudaLane._record_graphs

    def record_first(lane, graphs):
        for slot in lane._slots:
            slot.preprocess = lane._slots[0].preprocess
        record(lane, graphs)

    CudaLane._record_graphs = record_first

sys.modules[__name__] = stand_in.make_tensorrt(StreamedGpu(), "10.3.0")
"""


class Place:
    """A machine with a GPU, as its programs, packages, artefacts and images."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, program in (("nvcc", COMPILER), ("trtexec", TRTEXEC)):
            path = folder / f"of-{name}" / name
            path.parent.mkdir()
            path.write_text(program)
            path.chmod(0o755)
        (folder / "packages").mkdir()
        places = {"checkout": REPOSITORY}
        module = TENSORRT.format(**{name: str(path) for name, path in places.items()})
        (folder / "packages" / "tensorrt.py").write_text(module)
        model = device.hostile.hostile_network(ratio=4.0)
        device.write_artifact(model, folder=folder / "given" / device.ARTIFACT.name)
        device.write_camvid(model, folder / "camvid")

    def environment(self, fault: str = "", has_trtexec: bool = False) -> dict[str, str]:
        """Return the variables by which its programs and packages are found."""
        programs = ["of-nvcc", *(["of-trtexec"] if has_trtexec else [])]
        return {
            "PATH": os.pathsep.join([*(str(self.folder / one) for one in programs), os.environ["PATH"]]),
            "PYTHONPATH": f"{self.folder / 'packages'}{os.pathsep}{os.environ['PYTHONPATH']}",
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "GPU_CHECK_FAULT": fault,
            "SEGEDGE_TENSORRT_TACTICS": "none",
            "CUDA_HOME": "",
        }

    def start(self, name: str, *arguments: str, fault: str = "", has_trtexec: bool = False) -> subprocess.Popen:
        """Start the script, which writes `name`.json."""
        environment = {**os.environ, **self.environment(fault, has_trtexec)}
        command = [
            str(REPOSITORY / "benchmarks" / "gpu_check.sh"),
            "--python",
            sys.executable,
            "--output",
            f"{name}.json",
            "--artifacts",
            "given",
            "--camvid",
            "camvid",
            "--models",
            "fast_scnn",
            "--size",
            "32x32",
            "--target-size",
            "32x32",
            "--frames",
            "4",
            "--seconds",
            "0.05",
            "--warm-up",
            "0.02",
            "--images",
            "3",
            "--calibration-images",
            "3",
            "--opens",
            "3",
            "--work",
            str(self.folder / f"work-{name}"),
            *arguments,
        ]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment,
            text=True,
            **pipes,
            # A job in the background ignores Ctrl-C, and its children do.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def check(self, name: str, *arguments: str, **options: object):
        """Run the script; return its exit code and what it printed, and its JSON."""
        return self.finish(name, self.start(name, *arguments, **options))

    def finish(self, name: str, started: subprocess.Popen):
        """Wait for the script; return its exit code and what it printed, and its JSON."""
        stdout, stderr = started.communicate(timeout=180)
        assert (self.folder / f"{name}.json").is_file(), stderr
        run = subprocess.CompletedProcess(started.args, started.returncode, stdout, stderr)
        return run, read_record(GpuCheck, self.folder / f"{name}.json")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return Place(tmp_path_factory.mktemp("gpu"))


@pytest.fixture(scope="module")
def whole(place):
    return place.check("whole", "--opens", "200", has_trtexec=True)


@pytest.fixture(scope="module")
def hung(place, whole):
    """A check whose builds hang: most of its time is waiting, in which other tests can run."""
    return place.start("hung", "--minutes", "0.1", fault="Builder.build_serialized_network=hang")


def steps_of(check, kind):
    return [step for step in check.steps if step.kind == kind]


def verdict_of(check, start):
    found = [verdict for verdict in check.verdicts if verdict.target.startswith(start)]
    assert len(found) == 1
    return found[0]


def test_everything_runs_and_is_right(whole):
    run, check = whole
    assert run.returncode == 0, run.stdout + run.stderr
    assert check.is_finished
    assert [step.status for step in check.steps] == ["ran"] * 12
    assert check.wrongs() == []
    assert [step.kind for step in check.steps[:5]] == ["environment", "kernels", "build", "lanes", "latency"]
    assert all(step.seconds > 0 for step in check.steps)


def test_environment_is_that_of_the_machine(whole):
    environment = whole[1].environment
    assert (environment.machine.gpu, environment.tensorrt) == ("Host GPU", "10.3.0")
    assert environment.cuda_compiler == "stand-in compiler 1"
    assert environment.trtexec.endswith("of-trtexec/trtexec")
    assert environment.pycuda is not None
    assert environment.tactics == "none"
    assert environment.memory_bytes > 0


def test_every_kernel_is_compared_and_timed(whole):
    checked = steps_of(whole[1], "kernels")[0].result
    from edge.runtime.cuda import KERNELS

    assert {case["kernel"] for case in checked["cases"]} == set(KERNELS)
    assert all(case["values"] > 0 for case in checked["cases"])
    assert all(case["differing"] == 0 for case in checked["cases"] if case["allowed"] == 0)
    assert len(checked["milliseconds"]) == 7
    assert all(value > 0 for value in checked["milliseconds"].values())
    assert verdict_of(whole[1], "kernels").is_met is True


def test_every_precision_is_built_and_measured_on_camvid(whole):
    builds = {step.result["precision"]: step.result for step in steps_of(whole[1], "build")}
    assert set(builds) == {"float32", "float16", "int8"}
    for built in builds.values():
        check = built["check"]
        assert check["images_from"] == "camvid val"
        # Labels are those of the float graph, so its mIoU is 1 by construction.
        assert check["miou_float"] == 1.0
        assert 0.0 < check["miou_engine"] <= 1.0
        assert check["label_agreement"] > 0.9
        assert any("built without cuBLAS and cuDNN" in note for note in built["notes"])
    assert builds["float32"]["check"]["label_agreement"] == 1.0
    assert builds["int8"]["int8_mac_share"] > 0


def test_labels_are_the_hosts_with_one_two_and_three_frames_under_way_recorded_and_not(whole):
    check = whole[1]
    steps = steps_of(check, "lanes")
    assert [step.name for step in steps] == [f"lanes fast_scnn 32x32 {one}" for one in ("float16", "int8", "float32")]
    for step in steps:
        assert step.result["different_labels"] == step.result["different_frames"] == 8
        assert step.result["kernels"] == "cuda"
        runs = step.result["runs"]
        assert [(run["depth"], run["is_recorded"]) for run in runs] == [
            (depth, is_recorded) for is_recorded in (True, False) for depth in (1, 2, 3)
        ]
        for run in runs:
            assert (run["frames"], run["pixels"], run["differing"]) == (32, 32 * 32 * 32, 0)
            assert run["memory"] == "copied"
            assert run["cuda_graph"] == ("yes" if run["is_recorded"] else "no: call by call was asked for")
    assert verdict_of(check, "labels of pipelined").is_met is True


@pytest.mark.parametrize(
    ("fault", "spoiled"),
    [("slots", {(2, True), (3, True), (2, False), (3, False)}), ("graphs", {(2, True), (3, True)})],
)
def test_wrong_slot_is_caught(place, whole, monkeypatch, fault, spoiled):
    for name, value in place.environment(fault).items():
        monkeypatch.setenv(name, value)
    with Worker(place.folder) as worker:
        answer = worker.ask("lanes", {"folder": steps_of(whole[1], "build")[0].result["folder"]}, 60)
    runs = answer["result"]["runs"]
    assert {(one["depth"], one["is_recorded"]) for one in runs if one["differing"]} == spoiled
    assert len(answer["problems"]) == len(spoiled)
    assert answer["problems"][0].startswith("depth 2, recorded: ")


def test_latency_has_a_peer_and_two_and_three_frames_in_flight(whole):
    check = whole[1]
    for step in steps_of(check, "latency"):
        assert [one["frames_in_flight"] for one in step.result["pipelined"]] == [2, 3]
        assert step.result["warmup_frames"] >= 20
        assert step.result["memory"] == "copied"
        assert step.result["kernels"] == "cuda"
        assert step.result["cuda_graph"] == "yes"
        assert step.result["trtexec_ms"] == 0.25
        assert 0 < step.result["inference_ms"] < step.result["synchronous_ms"]
        assert step.result["bare_ms"] > 0
        assert step.result["slowest_layers"]
    ratio = verdict_of(check, "pipelined time per frame over the bare float16")
    latency = next(step.result for step in steps_of(check, "latency") if step.name.endswith("float16"))
    best = min(latency["pipelined"], key=lambda one: one["frame_ms"])
    assert ratio.measured == pytest.approx(best["frame_ms"] / 0.25)
    assert f"with {best['frames_in_flight']} in flight" in ratio.reason
    assert "trtexec" in ratio.reason
    # Both are 0.25 ms by the stand-in, so int8 is no faster, and the report has to say what takes the time.
    assert verdict_of(check, "int8 against float16").is_met is False
    assert "slowest layers" in verdict_of(check, "int8 against float16").reason


def test_open_and_close_leave_no_memory(whole):
    soak = steps_of(whole[1], "soak")[0].result
    assert soak["opens"] == 200
    assert soak["device_bytes_before"] == soak["device_bytes_after"]
    assert verdict_of(whole[1], "GPU memory").is_met is True


def test_wrong_kernel_is_caught_and_without_trtexec_the_bare_loop_is_the_peer(place):
    run, check = place.check("wrong", fault="tables")
    assert run.returncode == 1
    verdict = verdict_of(check, "kernels")
    assert verdict.is_met is False and verdict.measured > 0
    assert any("segedge_label_pixels" in wrong for wrong in check.wrongs())
    assert not any("segedge_paint" in wrong for wrong in check.wrongs())
    assert "WRONG" in run.stdout
    assert "execute_async_v3" in verdict_of(check, "pipelined time per frame over the bare int8").reason


@pytest.mark.usefixtures("hung")
def test_build_that_fails_is_told_and_ends_nothing(place):
    run, check = place.check("failed", fault="Builder.build_serialized_network=raise")
    assert run.returncode == 1
    assert check.is_finished
    status = {step.name: step.status for step in check.steps}
    assert status["build fast_scnn 32x32 float16"] == "failed"
    assert status["latency fast_scnn 32x32 float16"] == "skipped"
    assert status["build fast_scnn 32x32 int8"] == status["latency fast_scnn 32x32 int8"] == "ran"
    reason = next(step.reason for step in check.steps if step.status == "failed")
    assert "Builder.build_serialized_network failed: out of luck" in reason
    for unmeasured in ("time outside the float16", "int8 against float16", "GPU memory"):
        verdict = verdict_of(check, unmeasured)
        assert verdict.measured is None and verdict.is_met is None


def test_crash_of_tensorrt_is_told_and_ends_nothing(place):
    run, check = place.check("crashed", fault="Builder.build_serialized_network=crash")
    assert run.returncode == 1
    assert check.is_finished
    builds = steps_of(check, "build")
    assert [step.status for step in builds] == ["failed"] * 3
    assert all("SIGSEGV" in step.reason for step in builds)
    assert steps_of(check, "kernels")[0].status == "ran"


def test_step_that_hangs_is_ended_when_its_time_is_up(place, hung):
    run, check = place.finish("hung", hung)
    assert check.is_finished
    builds = steps_of(check, "build")
    assert [step.status for step in builds] == ["skipped"] * 3
    assert all(step.reason.startswith("no time left") for step in builds)
    assert builds[-1].result is None
    assert json.loads((place.folder / "hung.json").read_text())["minutes"] == 0.1
    # What the interrupted build had begun is gone.
    left = [path for path in (place.folder / "work-hung").rglob("*") if path.name.startswith(".")]
    assert left == []
    assert run.returncode == 0, "what ran was right"


def test_interruption_leaves_what_was_found(place, whole):
    started = place.start("interrupted", fault="Builder.build_serialized_network=hang")
    for line in started.stderr:
        if line.startswith("backend: tensorrt"):
            break
    os.kill(started.pid, signal.SIGINT)
    printed = started.communicate(timeout=60)
    assert started.returncode == 130, printed
    check = read_record(GpuCheck, place.folder / "interrupted.json")
    assert not check.is_finished
    assert [(step.kind, step.status) for step in check.steps] == [("environment", "ran"), ("kernels", "ran")]
    assert verdict_of(check, "kernels").is_met is True
    assert verdict_of(check, "engines").is_met is None


def test_without_a_gpu_there_is_one_line(place):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    environment.pop("LD_PRELOAD", None)
    environment["CUDA_VISIBLE_DEVICES"] = ""
    script = [str(REPOSITORY / "benchmarks" / "gpu_check.sh"), "--python", sys.executable]
    run = subprocess.run(script, cwd=place.folder, env=environment, capture_output=True, text=True, timeout=60)
    assert run.returncode == 2
    assert len(run.stderr.splitlines()) == 1
    assert "an NVIDIA GPU" in run.stderr
    assert not (place.folder / "gpu-check.json").exists()
