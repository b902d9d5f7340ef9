"""The check of a first GPU, as far as it goes without one: its plan, its budget, its verdicts, its processes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

import benchmarks.gpu_check.__main__ as gpu_check
import edge.runtime.cuda_driver as cuda_driver
import export.found_weights as found_weights
from benchmarks.gpu_check import engines, environment
from benchmarks.gpu_check.bare import parse_trtexec
from benchmarks.gpu_check.engines import (
    LARGEST_GROWTH_BYTES,
    LEAST_WARMUP_FRAMES,
    build_problems,
    frames_that_take,
    soak_problems,
)
from benchmarks.gpu_check.lanes import lanes_problems
from benchmarks.gpu_check.plan import Amounts, Network, PlannedStep, copy_artifacts, find_networks, plan_steps
from benchmarks.gpu_check.record import (
    BuiltCheck,
    GpuCheck,
    KernelCase,
    KernelCheck,
    LaneRun,
    LanesCheck,
    LatencyCheck,
    PipelinedLatency,
    SlowLayer,
    SoakCheck,
    Step,
)
from benchmarks.gpu_check.verdicts import judge
from benchmarks.gpu_check.worker import StepError, StepTimeoutError, Worker
from edge.card import BuildCheck
from edge.contract import CONTRACT_FILE, GRAPH_FILE
from edge.errors import InputError
from edge.records import read_record, record_to_json, write_record
from export.backends.trt_config import TACTICS_VARIABLE
from export.pipeline.request import BuildRequest
from tests.train.test_runs import write_run
from train.options import MODEL_NAMES

REPOSITORY = Path(__file__).resolve().parents[2]
TARGET = "fast_scnn 1024x2048"
LATENCY = LatencyCheck(
    folder="engines/tensorrt-float16",
    precision="float16",
    synchronous_ms=10.0,
    synchronous_p99_ms=11.0,
    inference_ms=9.0,
    pipelined=(PipelinedLatency(2, 9.45), PipelinedLatency(3, 9.6)),
    warmup_frames=20,
    bare_ms=9.0,
    trtexec_ms=None,
    trtexec_problem="trtexec is not here",
    cuda_graph="yes",
    memory="copied",
    kernels="cuda",
    runner={},
    slowest_layers=(SlowLayer("stem", "Conv", "int8", 4.0),),
    stages_ms={"inference": 9.0},
)


def ran(name, kind, result, problems=()):
    return Step(name, kind, "ran", None, 1.0, tuple(problems), record_to_json(result))


def latencies(**changes):
    """Return the steps of float16 and int8; changes are of int8."""
    int8 = dataclasses.replace(LATENCY, precision="int8", **changes)
    return [ran(f"latency {TARGET} float16", "latency", LATENCY), ran(f"latency {TARGET} int8", "latency", int8)]


def verdict(steps, start):
    found = [one for one in judge(steps, TARGET) if one.target.startswith(start)]
    assert len(found) == 1
    return found[0]


class TestVerdicts:
    def test_what_was_not_measured_is_none(self):
        verdicts = judge([], TARGET)
        assert len(verdicts) == 10
        for one in verdicts:
            assert one.measured is None and one.is_met is None and one.reason

    def test_what_failed_or_was_skipped_is_none_with_its_reason(self):
        step = Step("kernels", "kernels", "failed", "no compiler", 0.5)
        assert verdict([step], "kernels").measured is None
        assert verdict([step], "kernels").reason == "no compiler"

    @pytest.mark.parametrize(("inference_ms", "is_met"), [(8.51, True), (8.49, False)])
    def test_time_outside_the_engine(self, inference_ms, is_met):
        one = verdict(latencies(inference_ms=inference_ms), "time outside the int8")
        assert one.measured == pytest.approx(10 * (10 - inference_ms))
        assert one.is_met is is_met

    @pytest.mark.parametrize(("pipelined_ms", "is_met"), [(9.89, True), (9.91, False)])
    def test_pipelined_against_bare(self, pipelined_ms, is_met):
        pipelined = (PipelinedLatency(2, pipelined_ms), PipelinedLatency(3, 10.5))
        one = verdict(latencies(pipelined=pipelined), "pipelined time per frame over the bare int8")
        assert one.measured == pytest.approx(pipelined_ms / 9.0)
        assert one.is_met is is_met

    def test_pipelined_is_the_best_of_two_and_three_frames_in_flight_and_says_which(self):
        pipelined = (PipelinedLatency(2, 10.5), PipelinedLatency(3, 9.45))
        one = verdict(latencies(pipelined=pipelined), "pipelined time per frame over the bare int8")
        assert one.measured == pytest.approx(1.05) and one.is_met is True
        assert "9.450 ms a frame with 3 in flight" in one.reason
        assert "10.500 with 2" in one.reason

    def test_trtexec_is_the_peer_where_it_was_there(self):
        one = verdict(latencies(trtexec_ms=4.725), "pipelined time per frame over the bare int8")
        assert one.measured == pytest.approx(2.0)
        assert "trtexec" in one.reason

    def test_one_frame_in_flight_is_no_pipeline(self):
        pipelined = (PipelinedLatency(1, 9.0), PipelinedLatency(1, 9.0))
        one = verdict(latencies(pipelined=pipelined), "pipelined time per frame over the bare int8")
        assert one.measured is None and one.is_met is None

    @pytest.mark.parametrize(
        ("differing", "changes", "measured", "is_met"),
        [
            (0, {}, 0.0, True),
            (7, {}, 7.0, False),
            # What the engine itself does anew every time is no fault of a lane, and equal labels show no wrong slot.
            (7, {"host_differing": 5}, None, None),
            (0, {"different_labels": 7}, None, None),
            (0, {"runs": (), "kernels": "no: no compiler"}, None, None),
        ],
    )
    def test_labels_of_lanes(self, differing, changes, measured, is_met):
        runs = (LaneRun(1, True, "yes", "copied", 32, 3200, 0), LaneRun(3, True, "yes", "copied", 32, 3200, differing))
        checked = dataclasses.replace(LanesCheck("engine", "float16", 8, 8, 0, "cuda", runs), **changes)
        one = verdict([ran(f"lanes {TARGET} float16", "lanes", checked)], "labels of pipelined")
        assert (one.measured, one.is_met) == (measured, is_met)
        if measured is not None:
            assert ("float16, depth 3, recorded: 7 of 3200" if differing else "2 lanes recorded") in one.reason
        assert bool(lanes_problems(checked)) == bool(differing or "host_differing" in changes)

    def test_lane_that_is_wrong_is_told_though_another_engine_says_nothing(self):
        wrong = LanesCheck("a", "float16", 8, 8, 0, "cuda", (LaneRun(2, True, "yes", "copied", 32, 3200, 7),))
        dull = LanesCheck("b", "int8", 8, 1, 0, "cuda", (LaneRun(2, True, "yes", "copied", 32, 3200, 0),))
        steps = [ran("lanes a", "lanes", wrong), ran("lanes b", "lanes", dull)]
        assert verdict(steps, "labels of pipelined").is_met is False

    def test_slow_int8_names_its_slowest_layers(self):
        slow = verdict(latencies(bare_ms=12.0), "int8 against float16")
        assert slow.is_met is False and slow.measured == pytest.approx(0.75)
        assert "stem [Conv] 4.000 ms" in slow.reason
        fast = verdict(latencies(bare_ms=4.5), "int8 against float16")
        assert fast.is_met is True and "stem" not in fast.reason

    def test_int8_is_compared_with_float16_by_one_clock(self):
        # trtexec measured int8 alone: its figure says nothing beside a bare loop's of float16.
        assert verdict(latencies(trtexec_ms=1.0), "int8 against float16").measured == pytest.approx(1.0)

    def test_kernel_that_differs_is_not_right(self):
        cases = (KernelCase("paint", "a", 9, 4, 1.0, 1), KernelCase("labels", "b", 9, 2, 1.0, 0))
        one = verdict([ran("kernels", "kernels", KernelCheck(cases, 8, 8, 3, {}))], "kernels")
        assert (one.measured, one.is_met) == (1.0, False)
        assert "labels (b): 2 of 9" in one.reason

    @pytest.mark.parametrize(
        ("opens", "gone", "is_met"), [(200, 0, True), (200, LARGEST_GROWTH_BYTES + 1, False), (150, 0, None)]
    )
    def test_memory_after_opens(self, opens, gone, is_met):
        soak = SoakCheck("engines", opens, 1 << 30, (1 << 30) - gone, None, None)
        one = verdict([ran("soak", "soak", soak)], "GPU memory")
        assert one.is_met is is_met
        assert (one.measured is None) == (is_met is None)
        assert bool(soak_problems(soak)) == (is_met is False)

    def test_failed_build_is_wrong_and_a_skipped_one_is_not(self):
        failed = Step("build a", "build", "failed", "out of memory", 1.0)
        skipped = Step("build b", "build", "skipped", "no time left", 0.0)
        assert verdict([skipped], "engines").is_met is None
        assert verdict([failed, skipped], "engines").is_met is False
        check = GpuCheck("2026", "gpu_check.sh", 10.0, 1.0, True, None, (failed, skipped), ())
        assert check.wrongs() == ["build a: out of memory"]


@pytest.mark.parametrize(
    ("weights", "precision", "agreement", "is_right"),
    [
        ("trained", "float16", 0.95, True),
        ("trained", "float16", 0.85, False),
        ("trained", "int8", 0.85, True),
        ("trained", "int8", 0.4, False),
        ("random", "float16", 0.1, True),
    ],
)
def test_labels_of_an_engine_agree_with_the_float_graph(weights, precision, agreement, is_right):
    built = BuiltCheck("e", precision, 1.0, 1, weights, None, BuildCheck(3, "camvid val", agreement), ())
    assert (build_problems(built) == []) is is_right


@pytest.mark.parametrize(("samples_ms", "expected"), [((1.5, 1.0, 4.0), 1000), ((80.0, 100.0), LEAST_WARMUP_FRAMES)])
def test_warm_up_is_a_time_and_so_more_frames_of_a_quick_engine(samples_ms, expected):
    measured = types.SimpleNamespace(samples_end_to_end_ms=samples_ms)
    assert frames_that_take(1.0, measured) == expected


def test_latency_warms_up_by_a_measurement_that_is_thrown_away_and_has_one_two_and_three_in_flight(
    monkeypatch, contract
):
    plans = []

    def benchmark(runner, card, frames, plan):
        plans.append(plan)
        latency = types.SimpleNamespace(mean_ms=2.0, p99_ms=2.0)
        return types.SimpleNamespace(
            end_to_end=latency,
            stages={"inference": latency},
            runner={"memory": "mapped", "cuda_graph": "yes"},
            fps=100.0 * len(plans),
            frames_in_flight=plan.in_flight,
            postprocess="cuda",
            samples_end_to_end_ms=(2.0,),
        )

    card = types.SimpleNamespace(contract=contract, engine_file="model.engine", precision="int8")
    monkeypatch.setattr(engines, "open_engine", lambda folder: (None, card))
    monkeypatch.setattr(engines, "run_benchmark", benchmark)
    monkeypatch.setattr(engines, "_slowest_layers", lambda *arguments: ())
    monkeypatch.setattr(engines.bare, "time_bare", lambda *arguments: [1.0])
    monkeypatch.setattr(engines.bare, "time_trtexec", lambda *arguments: (None, "not here"))
    found = engines.latency_check("engine", frames=50, seconds=2.0, warmup_seconds=1.0)
    assert [(plan.warmup_frames, plan.seconds, plan.in_flight) for plan in plans] == [
        (LEAST_WARMUP_FRAMES, 1.0, 1),
        (500, 2.0, 1),
        (500, 2.0, 2),
        (500, 2.0, 3),
    ]
    assert found.pipelined == (PipelinedLatency(2, 1e3 / 300), PipelinedLatency(3, 1e3 / 400))
    assert (found.warmup_frames, found.memory) == (500, "mapped")


def test_mean_gpu_time_is_read_from_what_trtexec_prints():
    # The form of TensorRT 8.5's "Performance summary"; host latency stands before it with a mean of its own.
    output = (
        "[I] Latency: min = 1.5 ms, max = 2.5 ms, mean = 1.75 ms, median = 1.7 ms, percentile(99%) = 2.1 ms\n"
        "[I] GPU Compute Time: min = 1.25 ms, max = 1.5 ms, mean = 1.375 ms, median = 1.3 ms\n"
        "[I] Total GPU Compute Time: 3.0 s\n"
    )
    assert parse_trtexec(output) == 1.375
    assert parse_trtexec("[E] Engine could not be created") is None


class TestPlan:
    @pytest.fixture
    def artifacts(self, tmp_path, contract):
        for model, height, width in (("fast_scnn", 1024, 2048), ("unet", 256, 512)):
            digest = hashlib.sha256(b"graph").hexdigest()
            made = dataclasses.replace(contract, model=model, height=height, width=width, graph_sha256=digest)
            folder = tmp_path / "given" / f"{model}-camvid-{height}x{width}"
            write_record(folder / CONTRACT_FILE, made)
            (folder / GRAPH_FILE).write_bytes(b"graph")
        return tmp_path / "given"

    @pytest.fixture(autouse=True)
    def without_tensorflow(self, monkeypatch):
        monkeypatch.setattr("benchmarks.gpu_check.plan.has_tensorflow", lambda: False)

    def networks(self, artifacts, camvid="/nowhere", models=MODEL_NAMES):
        return find_networks(list(models), (512, 1024), (1024, 2048), artifacts, Path(camvid))

    def test_artefacts_are_taken_at_their_own_size_and_the_target_comes_first(self, artifacts, tmp_path):
        networks = self.networks(artifacts, tmp_path)
        assert networks[0] == Network("fast_scnn", (1024, 2048), "camvid", str(tmp_path))
        assert Network("unet", (256, 512), "camvid", str(tmp_path)) in networks
        buildable = [network.model for network in networks if network.problem is None]
        assert sorted(buildable) == ["fast_scnn", "unet"]

    def test_network_that_can_neither_be_found_nor_exported_says_so(self, artifacts):
        networks = {network.model: network for network in self.networks(artifacts)}
        assert "no artefact of fastfcn at 512x1024" in networks["fastfcn"].problem
        assert {network.model for network in networks.values()} == set(MODEL_NAMES)

    def test_every_model_is_exported_where_tensorflow_is(self, monkeypatch):
        monkeypatch.setattr("benchmarks.gpu_check.plan.has_tensorflow", lambda: True)
        networks = self.networks(None)
        assert networks[0].name == TARGET
        assert all(network.problem is None for network in networks)
        assert len(networks) == len(MODEL_NAMES) + 1  # Fast-SCNN at both sizes

    def test_folder_without_artefacts_is_refused(self, tmp_path):
        with pytest.raises(InputError, match="holds no artefact folder"):
            self.networks(tmp_path)
        with pytest.raises(InputError, match="not found"):
            self.networks(tmp_path / "missing")

    def test_what_matters_most_comes_first_and_every_engine_comes(self, artifacts):
        networks = self.networks(artifacts)
        names = [step.name for step in plan_steps(networks, (1024, 2048), Amounts())]
        assert names[:6] == [
            "environment",
            "kernels",
            f"build {TARGET} float16",
            f"lanes {TARGET} float16",
            f"latency {TARGET} float16",
            f"build {TARGET} int8",
        ]
        assert len(names) == len(set(names)) == 6 + 6 * len(networks)

    def test_copied_artefacts_leave_engines_of_another_machine_behind(self, artifacts, tmp_path):
        engine = artifacts / "unet-camvid-256x512" / "engines" / "tensorrt-int8" / "card.json"
        engine.parent.mkdir(parents=True)
        engine.write_text("{}")
        copy_artifacts(artifacts, tmp_path / "work")
        assert (tmp_path / "work" / "unet-camvid-256x512" / CONTRACT_FILE).is_file()
        assert not (tmp_path / "work" / "unet-camvid-256x512" / "engines").exists()


class FakeWorker:
    """Answers every step, or raises."""

    def __init__(self, raises=None):
        self.asked, self.raises = [], raises or {}

    def ask(self, kind, arguments, limit_s):
        self.asked.append((kind, arguments, limit_s))
        if kind in self.raises:
            raise self.raises[kind]
        result = {"build": BuiltCheck("engine", "int8", 1.0, 1, "random", None, None, ()), "latency": LATENCY}
        return {"result": record_to_json(result[kind]), "problems": []}


class TestBudget:
    def check(self, tmp_path, worker, minutes=10.0, start_s=None):
        return gpu_check.Check(tmp_path / "found.json", minutes, "gpu_check.sh", TARGET, worker, start_s)

    def test_step_is_skipped_when_the_time_is_spent(self, tmp_path):
        worker = FakeWorker()
        check = self.check(tmp_path, worker, start_s=-1e6)
        step = check.run(PlannedStep("build a", "build"))
        assert (step.status, step.reason, step.seconds) == ("skipped", "no time left", 0.0)
        assert worker.asked == []
        assert read_record(GpuCheck, tmp_path / "found.json").steps == (step,)

    def test_build_leaves_time_to_others(self, tmp_path):
        worker = FakeWorker()
        self.check(tmp_path, worker).run(PlannedStep("build a", "build", time_share=0.5))
        assert 200 < worker.asked[0][2] <= 300

    def test_ended_step_is_no_failure(self, tmp_path):
        step = self.check(tmp_path, FakeWorker({"build": StepTimeoutError("late")})).run(PlannedStep("a", "build"))
        assert step.status == "skipped" and step.reason.startswith("no time left")

    def test_step_takes_the_folder_of_its_build_and_none_without(self, tmp_path):
        worker = FakeWorker({"soak": StepError("gone")})
        check = self.check(tmp_path, worker)
        check.run(PlannedStep("build a", "build"))
        assert check.run(PlannedStep("latency a", "latency", engine_of="build a")).status == "ran"
        assert worker.asked[-1][1] == {"folder": "engine"}
        step = check.run(PlannedStep("latency b", "latency", engine_of="build b"))
        assert (step.status, step.reason) == ("skipped", "no engine: see build b")
        assert len(worker.asked) == 2

    def test_interruption_loses_nothing(self, tmp_path):
        check = self.check(tmp_path, FakeWorker({"latency": KeyboardInterrupt()}))
        step = check.run(PlannedStep("build a", "build"))
        with pytest.raises(KeyboardInterrupt):
            check.run(PlannedStep("latency a", "latency"))
        left = read_record(GpuCheck, tmp_path / "found.json")
        assert left.steps == (step,)
        assert not left.is_finished


ECHO = """
import json, os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # as the real process has it
for line in sys.stdin:
    kind = json.loads(line)["kind"]
    if kind == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if kind == "leave":
        sys.exit(3)
    if kind == "hang":
        time.sleep(600)
    text = "no JSON" if kind == "babble" else json.dumps({"result": os.getpid(), "problems": [], "error": None})
    print(text, flush=True)
"""


class TestWorker:
    @pytest.fixture
    def worker(self, tmp_path):
        with Worker(tmp_path, [sys.executable, "-c", ECHO]) as made:
            yield made

    def test_process_stays_from_step_to_step(self, worker):
        first, second = (worker.ask("echo", {}, 60)["result"] for _ in range(2))
        assert first == second != os.getpid()

    @pytest.mark.parametrize(
        ("kind", "reason"), [("crash", "SIGSEGV"), ("leave", "exit code 3"), ("babble", "no JSON")]
    )
    def test_process_that_dies_is_told_and_replaced(self, worker, kind, reason):
        with pytest.raises(StepError, match=reason):
            worker.ask(kind, {}, 60)
        assert worker.ask("echo", {}, 60)["result"]

    def test_process_that_hangs_is_ended_and_replaced(self, worker):
        process = worker.ask("echo", {}, 60)["result"]
        with pytest.raises(StepTimeoutError):
            worker.ask("hang", {}, 0.2)
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)
        assert worker.ask("echo", {}, 60)["result"] != process

    def test_what_libraries_print_is_no_answer(self, tmp_path):
        # The real process, asked for what cannot be done without an engine: the reason is an answer, one line.
        with Worker(tmp_path) as real, pytest.raises(StepError, match="no engine at") as caught:
            real.ask("latency", {"folder": str(tmp_path), "frames": 1, "seconds": 0.1, "warmup_seconds": 0.1}, 60)
        assert "\n" not in str(caught.value)


class TestCommand:
    def run(self, tmp_path, *arguments):
        script = REPOSITORY / "benchmarks" / "gpu_check.sh"
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(REPOSITORY)}
        return subprocess.run(
            [str(script), *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )

    def test_without_a_gpu_one_line_says_what_is_missing_and_what_installs_it(self, tmp_path, one_line):
        run = self.run(tmp_path, "--python", sys.executable)
        assert run.returncode == 2
        assert "an NVIDIA GPU (install its driver" in one_line(run.stderr)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (("--minutes", "0"), "got '0', expected a number over 0"),
            (("--models", "alexnet"), "expected some of"),
            (("--size", "512"), "HEIGHTxWIDTH"),
            (("--frames", "0"), "at least 1"),
            (("--warm-up", "0"), "got '0', expected a number from 0.001"),
        ],
    )
    def test_wrong_options_are_one_line(self, capsys, one_line, arguments, expected):
        with pytest.raises(SystemExit) as left:
            gpu_check.main(list(arguments))
        assert left.value.code == 2
        assert expected in one_line(capsys.readouterr().err)

    def test_python_that_is_not_there_is_one_line(self, tmp_path, one_line):
        run = self.run(tmp_path, "--python", "/no/python")
        assert run.returncode == 2
        assert "no Python found at /no/python" in one_line(run.stderr)

    def test_missing_parts_come_with_commands_and_only_gpu_and_pycuda_end_the_check(self, monkeypatch):
        monkeypatch.setattr(environment, "first_gpu", lambda: cuda_driver.Gpu("Orin", "8.7"))
        monkeypatch.setattr(environment, "_is_installed", lambda package: package != "tensorrt")
        monkeypatch.setattr(environment, "find_compilers", lambda: iter(()))
        parts = environment.missing_parts()
        assert set(parts) == {"tensorrt", "a CUDA compiler (nvcc or NVRTC)"}
        assert not environment.is_fatal(parts)
        assert "python3-libnvinfer" in environment.missing_sentence(parts)
        assert environment.is_fatal({"pycuda": "pip install pycuda"})


@pytest.mark.parametrize(
    ("version", "lacks", "given", "expected"),
    [
        ("8.5.3.1", True, None, "none"),
        ("8.5.3.1", False, None, None),
        ("10.3.0", True, None, None),
        ("8.5.3.1", True, "", ""),
    ],
)
def test_builds_do_without_libraries_that_an_old_tensorrt_would_look_for(monkeypatch, version, lacks, given, expected):
    monkeypatch.setattr(environment, "lacks_tactic_libraries", lambda: lacks)
    monkeypatch.setattr(environment, "import_tensorrt", lambda: types.SimpleNamespace(__version__=version))
    monkeypatch.setenv(TACTICS_VARIABLE, given or "")
    if given is None:
        monkeypatch.delenv(TACTICS_VARIABLE)
    environment.choose_tactics()
    assert os.environ.get(TACTICS_VARIABLE) == expected


def test_summary_says_what_is_met_what_is_not_and_what_nobody_knows():
    steps = (*latencies(inference_ms=5.0), Step("build a", "build", "failed", "out of memory", 1.0))
    check = GpuCheck("2026", "gpu_check.sh", 10.0, 60.0, True, None, steps, judge(steps, TARGET))
    text = "\n".join(gpu_check.summary_lines(check))
    assert "UNMET   time outside the int8 engine" in text
    assert "met     time outside the float16 engine" in text
    assert "unknown GPU memory" in text and "not measured" in text
    assert "WRONG  build a: out of memory" in text
    assert json.dumps(record_to_json(check))


# Weights


def test_networks_are_checked_with_trained_weights_of_another_size_or_random_ones_and_a_word(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(found_weights, "_find_shipped", lambda model, checkout: [])
    request = BuildRequest("fast_scnn", 64, 128, "float32", "onnxruntime", None, None, None, 4)
    assert engines.with_weights(request).random_weights
    assert capsys.readouterr().err.rstrip().endswith("this check takes random weights")
    run = write_run(tmp_path / "runs" / "one").parent
    assert engines.with_weights(request).weights_path == run.relative_to(tmp_path)
    assert capsys.readouterr().err.rstrip().endswith("this check takes the weights of runs/one")
    fitting = dataclasses.replace(request, height=384, width=512)
    assert engines.with_weights(fitting) == fitting
