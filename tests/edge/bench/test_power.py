"""Power in a benchmark: beside the frames, in the record, on the page, and from the command line."""

from __future__ import annotations

import dataclasses
import json
import re
import threading
import time
import xml.etree.ElementTree

import numpy as np
import pytest

import edge.bench.cli as cli
import edge.bench.engine_run as engine_run
from edge.bench.bench_record import RECORD_FILE, BenchRecord
from edge.bench.measure import BenchSettings, run_benchmark
from edge.bench.power_section import power_facts, power_lines, power_section
from edge.bench.report import write_report
from edge.errors import BackendError, ContractError
from edge.frames import FolderFrames
from edge.imaging import write_image
from edge.page.curves import Curve, time_chart
from edge.records import read_record, record_from_json, record_to_json, write_record
from edge.runtime import open_engine
from edge.runtime.onnxruntime import OnnxRuntimeRunner
from edge.telemetry.base import PowerSample, PowerSource

PLAN = BenchSettings(warmup_frames=2, frames=5, seconds=0.0)
QUICK = ("--frames", "5", "--seconds", "0", "--warmup", "1")


class ScriptedSource(PowerSource):
    """A constant power, every 5 ms; ends after `lasts` samples.

    It promises a sample in 5 s, so that a busy machine makes no gaps in it; and a frame waits for one, so that a
    window has some however few its frames are.
    """

    name = "scripted"
    is_paced = True

    def __init__(self, lasts=None, value_mw=5000.0):
        super().__init__(5.0)
        self.lasts, self.value_mw = lasts, value_mw
        self.covers, self.version = "a board of <cardboard>", "1.0"
        self.count, self.closed, self.has_ended = 0, 0, False
        self.news = threading.Condition()

    def open(self):
        pass

    def read(self):
        if self.lasts is not None and self.count >= self.lasts:
            with self.news:
                self.has_ended = True
                self.news.notify_all()
            raise BackendError("the board was taken away. Next: bring it back")
        time.sleep(0.005)
        with self.news:
            self.count += 1
            self.news.notify_all()
        return PowerSample(
            time.perf_counter_ns(),
            {"GPU": self.value_mw, "NONE & <more>": None},
            self.value_mw,
            {"GPU": 40.0 + self.count / 100, "CPU": None},
            gpu_load_percent=50.0,
            gpu_clock_mhz=900.0,
            fan_percent=20.0,
            power_mode="MAXN",
        )

    def await_sample(self):
        with self.news:
            count = self.count
            assert self.news.wait_for(lambda: self.count > count or self.has_ended, 30)

    def close(self):
        self.closed += 1


@pytest.fixture
def frames_wait_for(monkeypatch):
    """Return a function that makes every frame wait for a sample of a source while it is read."""
    original = OnnxRuntimeRunner._infer_impl

    def wait_for(source):
        def infer(self, frame):
            if source is not None and any(thread.name == "power-scripted" for thread in threading.enumerate()):
                source.await_sample()
            return original(self, frame)

        monkeypatch.setattr(OnnxRuntimeRunner, "_infer_impl", infer)

    return wait_for


@pytest.fixture
def images(tmp_path, frame_rgb):
    for index in range(3):
        write_image(tmp_path / "images" / f"frame_{index}.png", np.roll(frame_rgb, index, 0))
    return tmp_path / "images"


@pytest.fixture
def engine(make_engine):
    return make_engine()


@pytest.fixture
def measure(engine, images, frames_wait_for):
    """Return a function that benchmarks a tiny engine beside a source."""

    def run(source, plan=PLAN):
        frames_wait_for(source)
        runner, card = open_engine(engine)
        return run_benchmark(runner, card, FolderFrames(images), plan, power=source), runner

    return run


def test_constant_power_gives_its_energy_over_exactly_the_measured_frames(measure):
    record, _ = measure(ScriptedSource())
    power = record.power
    assert power.refusal is None
    assert power.window_s == record.duration_s
    assert power.frame_count == record.end_to_end.sample_count == len(power.frame_start_s)
    assert power.total.energy_mj == pytest.approx(5000.0 * record.duration_s, rel=1e-9)
    assert power.energy_per_frame_mj == pytest.approx(5000.0 * record.duration_s / power.frame_count, rel=1e-9)
    assert power.total.mean_mw == pytest.approx(5000.0, rel=1e-9)


def test_samples_and_frames_lie_on_one_clock(measure):
    record, _ = measure(ScriptedSource())
    power = record.power
    # Sampling begins before the warm-up and ends after the last frame.
    assert power.times_s[0] < 0 == power.frame_start_s[0]
    assert power.times_s[-1] >= power.window_s
    latency_s = np.sum([record.samples_ms[stage] for stage in record.stages], axis=0) / 1000
    ends_s = np.array(power.frame_start_s) + latency_s
    # A frame ends before the next begins; times are kept to a microsecond, stages to a tenth of one.
    assert np.all(ends_s <= np.array([*power.frame_start_s[1:], power.window_s]) + 3e-6)


def test_slow_source_still_gives_a_sample_after_the_last_frame(engine, images):
    source = ScriptedSource()
    # Read by the schedule: without being waited for, its next sample would come after the sampler has ended.
    source.is_paced, source.interval_s = False, 0.4
    runner, card = open_engine(engine)
    power = run_benchmark(runner, card, FolderFrames(images), BenchSettings(0, 1, 0.0), power=source).power
    assert power.times_s[-1] >= power.window_s


def test_accuracy_is_outside_of_what_is_sampled(engine, images, make_camvid):
    from edge.datasets import open_dataset

    runner, card = open_engine(engine)
    labelled = open_dataset("camvid", make_camvid(), "val")
    source = ScriptedSource()
    seen = []
    original = runner._infer_impl

    def infer(frame):
        seen.append([thread.name for thread in threading.enumerate()])
        return original(frame)

    runner._infer_impl = infer
    record = run_benchmark(runner, card, FolderFrames(images), PLAN, labelled, source)
    measured = PLAN.warmup_frames + record.end_to_end.sample_count
    assert all("power-scripted" in names for names in seen[:measured])
    assert len(seen) > measured
    assert not any("power-scripted" in names for names in seen[measured:])


def test_unmeasured_power_is_none_and_gives_no_energy(measure):
    record, _ = measure(ScriptedSource(value_mw=None))
    power = record.power
    assert (power.total.energy_mj, power.energy_per_frame_mj, power.total.mean_mw) == (None, None, None)
    assert "were not measured" in power.refusal
    assert "energy: none" in "\n".join(power_lines(power))
    assert " 0.0" not in "\n".join(power_section(power, [1.0] * power.frame_count)[-1:])


def test_source_that_ends_leaves_latency_and_the_reason(measure):
    record, _ = measure(ScriptedSource(lasts=3))
    assert record.end_to_end.sample_count >= PLAN.frames
    assert record.power.failure == "the board was taken away. Next: bring it back"
    assert record.power.total.energy_mj is None
    assert "do not cover the measured window" in record.power.refusal


def test_source_without_a_first_sample_ends_the_benchmark_before_any_frame(measure):
    with pytest.raises(BackendError, match="the board was taken away"):
        measure(ScriptedSource(lasts=0))


def test_record_comes_back_equal_with_and_without_power(measure, tmp_path):
    for source in (ScriptedSource(), None):
        record, _ = measure(source)
        assert (record.power is None) == (source is None)
        write_record(tmp_path / RECORD_FILE, record)
        assert read_record(BenchRecord, tmp_path / RECORD_FILE) == record


def test_record_from_before_power_is_still_read(measure, tmp_path):
    record, _ = measure(None)
    value = json.loads(json.dumps(record_to_json(record)))
    del value["power"]
    assert record_from_json(BenchRecord, value, "old") == record
    assert power_lines(record.power) == ["power: not measured"]


def test_power_of_an_unknown_schema_is_refused(measure):
    record, _ = measure(ScriptedSource())
    value = record_to_json(record)
    value["power"]["schema"] = 99
    with pytest.raises(ContractError, match="power record old: power has schema 99"):
        record_from_json(BenchRecord, value, "old")


def without_heads(page):
    """Return a page without the headings that its cells repeat for phones, and without classes."""
    return re.sub(r' (data-head|class)="[^"]*"', "", page)


def test_report_shows_power_and_temperature_below_latency(measure, images, tmp_path):
    record, runner = measure(ScriptedSource())
    with runner:
        page = write_report(tmp_path / "out", record, runner, FolderFrames(images)).read_text(encoding="utf-8")
    page = without_heads(page)
    assert f"<b>{record.power.energy_per_frame_mj:.1f} mJ</b>energy per frame" in page
    for text in ("latency, end to end, when each frame began", "power, a board of &lt;cardboard&gt;", "temperatures"):
        assert text in page
    assert "NONE &amp; &lt;more&gt;</td><td>not measured</td>" in page
    assert "<more>" not in page
    assert "power mode" in page
    low, high = min(record.latencies_ms()), max(record.latencies_ms())
    assert f"latency {low:.1f} to {high:.1f} ms" in page  # the charts' figures as text too
    assert "scripted 1.0, every 5 s" in page


def test_report_of_a_refusal_says_why(measure):
    record, _ = measure(ScriptedSource(lasts=3))
    text = without_heads("".join(power_section(record.power, [1.0] * record.power.frame_count)))
    assert "No energy: the samples do not cover the measured window" in text
    assert "the board was taken away" in text
    assert "<td>total</td><td>not measured</td>" in text


def test_changed_power_mode_is_told(measure):
    record, _ = measure(ScriptedSource())
    count = len(record.power.times_s)
    changed = dataclasses.replace(record.power, power_mode=("MAXN",) * (count - 2) + (None, "MODE_15W"))
    assert power_facts(changed)["power mode"] == "MAXN, then MODE_15W"
    assert power_facts(None) == {"power": "not measured"}


def test_time_chart_puts_a_moment_at_one_place_and_breaks_at_what_was_not_measured():
    charts = [
        next(xml.etree.ElementTree.fromstring(time_chart(curves, (-1.0, 4.0), 3.0, "mW", "a & <b>", True)).iter("svg"))
        for curves in (
            [Curve("one", [0.0, 1.0, 2.0, 3.0], [10.0, None, 30.0, 20.0])],
            [Curve("<a>", [2.0, 3.0], [5.0, 6.0]), Curve("b", [2.0], [7.0])],
        )
    ]
    lines = [
        [
            [tuple(map(float, point.split(","))) for point in line.get("points").split()]
            for line in chart.iter("polyline")
        ]
        for chart in charts
    ]
    # A line through one point could not be seen.
    points = [[(float(mark.get("cx")), float(mark.get("cy"))) for mark in chart.iter("circle")] for chart in charts]
    squares = [shape for shape in charts[1].iter("rect") if shape.get("height") == "7.2"]
    middle_of_b = float(squares[-1].get("x")) + 3.6
    assert [len(line) for line in lines[0]] == [2] and len(points[0]) == 1
    assert lines[0][0][0][0] == lines[1][0][0][0] == pytest.approx(middle_of_b, abs=0.1)  # 2 s
    assert lines[0][0][0][1] < lines[0][0][1][1] < points[0][0][1]  # 30 above 20 above 10
    shades = [(float(shade.get("x")), float(shade.get("width"))) for shade in charts[0].iter("rect")]
    at_zero, at_three = points[0][0][0], lines[0][0][1][0]
    assert shades[0][0] + shades[0][1] == pytest.approx(at_zero, abs=0.2)  # coordinates have one digit
    assert shades[1][0] == pytest.approx(at_three, abs=0.2)


def test_time_chart_shows_zero_where_it_means_something():
    curves = [Curve("x", [0.0, 1.0], [40.0, 50.0])]
    shares = {}
    for from_zero in (True, False):
        root = xml.etree.ElementTree.fromstring(time_chart(curves, (0.0, 1.0), 1.0, "x", "x", from_zero))
        (low, high) = [float(point.split(",")[1]) for point in next(root.iter("polyline")).get("points").split()]
        base = max(float(line.get("y1")) for line in root.iter("line"))
        shares[from_zero] = (base - low) / (base - high)
    assert shares[True] == pytest.approx(40 / 50, abs=0.01)
    assert shares[False] == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize("from_zero", [True, False])
@pytest.mark.parametrize("values", [[0.0], [0.0, 0.0], [41.5, 41.5], [-3.0, 4.0], [1e9, 2e9]])
def test_time_chart_of_any_values_is_well_formed(values, from_zero):
    times_s = [0.1 * index for index in range(len(values))]
    root = xml.etree.ElementTree.fromstring(
        time_chart([Curve("x", times_s, values)], (0.0, 0.2), 0.1, "mW", "x", from_zero)
    )
    assert not re.search("nan|inf", xml.etree.ElementTree.tostring(root, encoding="unicode"))


@pytest.fixture
def bench(capsys, monkeypatch, engine, images, frames_wait_for):
    """Run `edge-bench run` beside a source; gives exit code, stdout, stderr, and what was asked for."""

    def run(*arguments, source=None, passed_over=()):
        asked = []

        def open_source(choice, is_on_gpu):
            asked.append((choice, is_on_gpu))
            if isinstance(source, Exception):
                raise source
            return source, passed_over

        monkeypatch.setattr(engine_run, "open_power_source", open_source)
        frames_wait_for(source if isinstance(source, ScriptedSource) else None)
        code = cli.main([str(part) for part in ("run", engine, "--images", images, *QUICK, *arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err, asked

    return run


def test_command_prints_and_keeps_energy(bench, tmp_path):
    source = ScriptedSource()
    code, out, _, asked = bench("--power", "jtop", "--output", tmp_path / "out", source=source)
    assert (code, asked, source.closed) == (0, [("jtop", False)], 1)
    power = read_record(BenchRecord, tmp_path / "out" / RECORD_FILE).power
    assert f"energy: {power.energy_per_frame_mj:.3f}" in out and "mJ a frame" in out
    assert "power: 5000 mW mean, a board of <cardboard> (scripted)" in out
    assert "GPU was warmest" in out


def test_default_is_what_is_there_and_nothing_is_said_as_not_measured(bench):
    code, out, err, asked = bench()
    assert (code, asked) == (0, [("auto", False)])
    assert "power: not measured" in out
    assert "jtop" not in err


def test_what_auto_passed_over_is_told(bench):
    code, _, err, _ = bench(passed_over=("jtop's service does not run. Next: start it",))
    assert code == 0
    assert "power: jtop's service does not run. Next: start it" in err


def test_asked_for_source_that_is_not_there_is_one_line_and_code_2(bench, one_line):
    code, out, err, _ = bench("--power", "nvml", source=BackendError("no NVIDIA driver here. Next: install it"))
    assert (code, out) == (2, "")
    assert "no NVIDIA driver here" in one_line(err)


def test_stream_that_ends_keeps_the_record_and_is_code_2(bench, tmp_path):
    source = ScriptedSource(lasts=3)
    code, out, err, _ = bench("--power", "jtop", "--output", tmp_path / "out", source=source)
    assert code == 2
    assert "error: the board was taken away" in err.splitlines()[-1]
    assert "energy: none" in out
    record = read_record(BenchRecord, tmp_path / "out" / RECORD_FILE)
    assert record.power.failure.startswith("the board was taken away")
    assert source.closed == 1


def test_stream_that_nobody_asked_for_ends_with_a_note(bench):
    code, out, _, _ = bench(source=ScriptedSource(lasts=3))
    assert code == 0
    assert "power ended early: the board was taken away" in out


def test_source_is_closed_when_the_benchmark_fails(bench, monkeypatch):
    source = ScriptedSource()

    def broken(*_arguments, **_named):
        raise BackendError("broken")

    monkeypatch.setattr(engine_run, "run_benchmark", broken)
    assert bench("--power", "sysfs", source=source)[0] == 2
    assert source.closed == 1


def test_json_has_the_samples(bench):
    code, out, _, _ = bench("--json", source=ScriptedSource())
    power = json.loads(out)["power"]
    assert code == 0
    assert len(power["times_s"]) == len(power["total_mw"]) == len(power["rails_mw"]["GPU"])


def test_unknown_source_is_refused_by_the_command(capsys, engine):
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", str(engine), "--power", "watts"])
    assert ended.value.code == 2
    assert "--power" in capsys.readouterr().err
