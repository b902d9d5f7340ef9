"""edge-bench compare, on records that are made of numbers: nothing is measured for them."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from edge.accuracy import Accuracy
from edge.bench.bench_record import BenchRecord
from edge.bench.cli import main
from edge.bench.comparison.comparability import condition_names
from edge.bench.comparison.fail_rule import fail_rule
from edge.bench.comparison.run_comparison import ENERGY, MIOU, P50, P99, RunComparison
from edge.bench.scenarios.scenario_record import ScenarioRecord
from edge.bench.validity import InvalidReason, Validity
from edge.frame_statistics.percentiles import summarise
from edge.records import record_from_json, write_record
from edge.telemetry.power_record import PowerRecord, RailPower

FRAMES = 600


def power(mean_mw=10_000.0, mode="MAXN", **changes):
    """Power of a run of 12 s, with a sample every 100 ms."""
    times_s = tuple(np.round(np.arange(0.0, 12.0, 0.1), 6).tolist())
    total_mw = tuple((mean_mw + np.random.default_rng(0).normal(0, 100, len(times_s))).tolist())
    nothing = (None,) * len(times_s)
    record = PowerRecord(
        source="sysfs",
        version=None,
        covers="the board",
        interval_s=0.1,
        gap_limit_s=1.0,
        window_s=12.0,
        frame_count=FRAMES,
        total=RailPower(mean_mw, None, None, mean_mw * 12.0),
        rails={},
        energy_per_frame_mj=mean_mw * 12.0 / FRAMES,
        refusal=None,
        failure=None,
        times_s=times_s,
        total_mw=total_mw,
        rails_mw={},
        temperatures_c={},
        gpu_load_percent=nothing,
        gpu_clock_mhz=nothing,
        fan_percent=nothing,
        power_mode=(mode,) * len(times_s),
        frame_start_s=(),
    )
    return dataclasses.replace(record, **changes)


def accuracy(share=0.8):
    draws = np.random.default_rng(0)
    unions = draws.integers(500, 600, (40, 3))
    hits = np.round(share * unions).astype(int)
    miou = float(np.mean(hits.sum(0) / unions.sum(0)))
    counts = [tuple(map(tuple, each.tolist())) for each in (hits, unions)]
    return Accuracy("camvid", "val", 40, miou, 0.9, {}, {}, *counts)


@pytest.fixture
def write_run(card, tmp_path):
    """Return a function that writes the record of a run and gives its path."""

    def write(name: str, factor: float = 1.0, seed: int = 0, **changes: object) -> str:
        latency_ns = factor * 20e6 * np.random.default_rng(seed).lognormal(0.0, 0.03, FRAMES)
        record = BenchRecord(
            engine=card,
            machine=card.machine,
            runner={"device": "CPU", "version": "1", "threads": 2},
            postprocess="native",
            opencv_threads=1,
            input="drawn",
            frame_height=16,
            frame_width=32,
            distinct_frames=4,
            warmup_frames=0,
            stages={},
            end_to_end=summarise(latency_ns),
            fps=50.0,
            duration_s=12.0,
            accuracy=None,
            started_utc="2026-12-01T00:00:00+00:00",
            samples_ms={},
            samples_end_to_end_ms=tuple((latency_ns / 1e6).tolist()),
        )
        path = tmp_path / f"{name}.json"
        write_record(path, dataclasses.replace(record, **changes))
        return str(path)

    return write


@pytest.fixture
def compare(capsys):
    """Return a function that runs the command, and gives its code, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["compare", *arguments])
        return code, *capsys.readouterr()

    return run


def test_slower_run_is_called_slower_with_an_interval(compare, write_run):
    code, out, _ = compare(write_run("a"), write_run("b", 1.1, seed=1))
    assert code == 0
    assert "p50" in out
    assert "slower" in out.splitlines()[-1]
    assert "% of the median" in out.splitlines()[-1]
    assert "edge-bench ab" in out


def test_runs_alike_show_no_difference_and_how_large_one_would_have_been_seen(compare, write_run):
    code, out, _ = compare(write_run("a"), write_run("b", seed=1))
    assert code == 0
    assert out.splitlines()[-1].startswith("no difference shown: a difference of more than ")


def test_json_holds_every_figure_and_why_others_are_unknown(compare, write_run):
    first = write_run("a", power=power(), accuracy=accuracy())
    code, out, _ = compare(first, write_run("b", 1.1, 1, power=power(9_000.0), accuracy=accuracy(0.7)), "--json")
    found = record_from_json(RunComparison, json.loads(out), "stdout")
    assert code == 0
    assert set(found.figures) == {P50, P99, ENERGY, MIOU}
    assert found.figures[P50].relative == pytest.approx(0.1, abs=0.01)
    assert (found.figures[ENERGY].relative, found.figures[ENERGY].verdict) == (pytest.approx(-0.1), "less energy")
    assert (found.figures[MIOU].difference, found.figures[MIOU].verdict) == (
        pytest.approx(-0.1, abs=0.001),
        "less accurate",
    )
    assert (found.first.name, found.first.title()) == (first, "tiny float32 16x32")
    bare = json.loads(compare(write_run("c"), write_run("d"), "--json")[1])
    assert bare["unknown"][ENERGY] == "the first run has no energy: power was not measured"
    assert bare["unknown"][MIOU] == "the first run measured no mIoU"


@pytest.mark.parametrize(
    ("condition", "changes", "said"),
    [
        ("frame-size", {"frame_height": 32}, "their frames differ in size: 16x32 and 32x32"),
        ("frame-format", {"frame_format": "nv12"}, "their frames differ in format: bgr and nv12"),
        ("in-flight", {"frames_in_flight": 2}, "they have different numbers of frames in flight: 1 and 2"),
        ("threads", {"runner": {"threads": 4}}, "they used different numbers of threads: 2 and 4"),
        ("power-mode", {"power": power(mode="15W")}, "they ran in different power modes: MAXN and 15W"),
        ("validity", {"is_partial": True}, "the second run is partial: interrupted"),
        (
            "validity",
            {"validity": Validity(False, (InvalidReason("throttled for 3 s", "cool it"),))},
            "the second run is invalid: throttled for 3 s",
        ),
        (
            "scenario",
            {"scenario": ScenarioRecord("single-stream", "", 1, 1.0, True)},
            "they are of different scenarios: single-stream and single-stream with decoding",
        ),
    ],
)
def test_runs_that_were_not_measured_alike_are_refused_unless_that_is_allowed(
    compare, write_run, condition, changes, said
):
    alike = {"power": power(), "scenario": ScenarioRecord("single-stream", "", 1, 1.0, False)}
    pair = write_run("a", **alike), write_run("b", **{**alike, **changes})
    code, out, error = compare(*pair)
    assert (code, out) == (2, "")
    assert f"these runs cannot be compared: {said}" in error
    assert f"--allow {condition}" in error
    code, out, _ = compare(*pair, "--allow", condition)
    assert code == 0
    assert f"allowed to differ: {said}" in out
    assert condition in condition_names()


def test_other_machine_is_refused(compare, write_run, card):
    other = dataclasses.replace(card.machine, gpu="Orin")
    code, _, error = compare(write_run("a"), write_run("b", machine=other))
    assert code == 2
    assert "they ran on different machines: cpu, 2 cores and Orin, cpu, 2 cores" in error


def test_energy_of_other_rails_is_not_compared(compare, write_run):
    pair = write_run("a", power=power()), write_run("b", power=power(covers="the module", source="jtop"))
    assert "energy: not compared: power is that of the board (sysfs) in the first run" in compare(*pair)[1]


def test_miou_without_counts_of_frames_is_not_judged(compare, write_run):
    bare = dataclasses.replace(accuracy(), frame_hits=(), frame_unions=())
    pair = write_run("a", accuracy=bare), write_run("b", accuracy=accuracy())
    assert "mIoU: not compared: mIoU is 80.0" in compare(*pair)[1]


def test_shown_slowdown_over_the_limit_fails(compare, write_run):
    first, slower, alike = write_run("a"), write_run("b", 1.04, seed=1), write_run("c", seed=2)
    code, _, error = compare(first, slower, "--fail-if", "slower:2%")
    assert code == 3
    assert "failed: slower by " in error
    assert compare(first, slower, "--fail-if", "slower:10%")[0] == 0
    assert compare(first, alike, "--fail-if", "slower:0%")[0] == 0
    assert compare(slower, first, "--fail-if", "slower:0%")[0] == 0


def test_limit_on_a_figure_that_is_not_known_fails(compare, write_run):
    code, _, error = compare(write_run("a"), write_run("b"), "--fail-if", "more-energy:5%")
    assert code == 3
    assert "failed: more-energy is not known: the first run has no energy" in error


def test_lost_points_fail_by_their_own_limit(compare, write_run):
    pair = write_run("a", accuracy=accuracy(0.8)), write_run("b", accuracy=accuracy(0.78))
    assert compare(*pair, "--fail-if", "less-accurate:1")[0] == 3
    assert compare(*pair, "--fail-if", "less-accurate:3")[0] == 0


@pytest.mark.parametrize("text", ["slower", "slower:", "slower:x", "slower:nan", "slower:-1%", "faster:2%", "2%", ""])
def test_rule_that_is_none_is_one_line(capsys, text):
    with pytest.raises(SystemExit) as end:
        main(["compare", "a", "b", "--fail-if", text])
    assert end.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_percent_sign_of_a_limit_is_optional():
    assert fail_rule("slower:2%") == fail_rule("slower:2") == ("slower", 2.0)
