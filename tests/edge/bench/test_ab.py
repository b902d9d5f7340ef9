"""Two engines that take turns."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edge.bench import ab
from edge.bench.ab import ROUND_FRAMES, Side, measure_in_turns
from edge.bench.cli import main
from edge.bench.settings import BenchSettings
from edge.bench.validity import RunConditions
from edge.frames import SyntheticFrames
from edge.runtime import open_engine
from edge.segmenter import Segmentation

LABELS = np.zeros((1, 1), np.uint8)


class Clock:
    now_ns = 10**15

    def perf_counter_ns(self):
        return self.now_ns


@pytest.fixture
def compare(make_engine, monkeypatch):
    """Return a function that lets two engines of given services take turns on a pretended clock."""
    clock, calls = Clock(), []
    monkeypatch.setattr(ab, "time", clock)

    def run(services_ms, frames=128, stop_after=None):
        class Timed:
            is_on_device = False

            def __init__(self, runner, color_order):
                self.name = "AB"[len(made)]
                made.append(self)

            def __call__(self, frame):
                calls.append(self.name)
                if stop_after is not None and len(calls) > stop_after:
                    raise KeyboardInterrupt
                # Both grow slower as the machine warms up: by a tenth in all.
                service_ns = round(services_ms["AB".index(self.name)] * 1e6 * (1 + len(calls) / 3000))
                clock.now_ns += service_ns
                return Segmentation(LABELS, {"inference": service_ns}, service_ns)

        made = []
        monkeypatch.setattr(ab, "Segmenter", Timed)
        sides = []
        for name in ("one", "two"):
            folder = make_engine(name)
            sides.append(Side(folder, *open_engine(folder)))
        interruptions = []
        frame_set = SyntheticFrames(2, 64, 128, 3)
        record = measure_in_turns(
            *sides, frame_set, BenchSettings(0, frames, 0.0), RunConditions(), interruptions=interruptions
        )
        return record, calls, interruptions

    return run


def test_difference_is_found_although_both_grow_slower_meanwhile(compare):
    record, calls, _ = compare((10.0, 10.5))
    assert record.comparisons["p50"].verdict == "slower"
    assert record.comparisons["p50"].relative == pytest.approx(0.05, abs=0.015)
    assert (record.rounds, record.first.end_to_end.sample_count) == (8, 8 * ROUND_FRAMES)
    turns = "".join(calls[:: ROUND_FRAMES + ab.SETTLING_FRAMES])
    assert turns == "ABBA" * 4


def test_equal_engines_show_no_difference(compare):
    record, _, _ = compare((10.0, 10.0))
    assert record.comparisons["p50"].verdict == "no difference shown"
    assert record.first.scenario.name == "turns"


def test_interrupt_after_enough_rounds_keeps_them(compare):
    record, _, interruptions = compare((10.0, 11.0), frames=1024, stop_after=36 * 9 + 5)
    assert len(interruptions) == 1 and record.first.is_partial and record.rounds == 9


def test_too_few_frames_and_one_engine_twice_are_one_line(make_engine, one_line, capsys):
    engine = str(make_engine())
    assert main(["ab", engine, engine, "--min-frames", "64"]) == 2
    assert "--min-frames is 64, expected at least 128: 8 rounds of 16 frames" in one_line(capsys.readouterr().err)
    assert main(["ab", engine, engine]) == 2
    assert "both engines are" in one_line(capsys.readouterr().err)


def test_command_prints_the_comparison_and_writes_the_record(make_engine, tmp_path, capsys):
    engines = [str(make_engine(name)) for name in ("one", "two")]
    options = ("--min-frames", "128", "--warmup", "0", "--frame-size", "64x128", "--output", str(tmp_path / "out"))
    assert main(["ab", *engines, *options]) == 0
    out = capsys.readouterr().out
    assert "A: tiny float32" in out and "in 8 rounds of 16 frames each" in out and "p50: " in out
    record = json.loads((tmp_path / "out" / "ab.json").read_text())
    assert record["rounds"] == 8 and record["first"]["run_id"] != record["second"]["run_id"] != ""
