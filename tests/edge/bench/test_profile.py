"""edge-bench profile: every kernel with its time, what they add up to, and pages that hold long names."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from edge.bench.cli import main
from edge.bench.profile import middle_runs, run_profile
from edge.bench.profile_page import write_profile_page
from edge.bench.profile_record import PROFILE_FILE, ProfileRecord, by_cost, kind_totals, sum_sentence
from edge.bench.profile_text import profile_lines
from edge.errors import BackendError, InputError
from edge.frame_statistics.percentiles import summarise
from edge.frames import FrameSubset, SyntheticFrames
from edge.machine_load import MachineLoad
from edge.records import read_record
from edge.runtime import open_engine
from edge.runtime.layer_time import LayerTime
from edge.runtime.onnxruntime_profile import read_kernel_times

FRAME = np.random.default_rng(1).integers(0, 256, (1, 16, 32, 3), np.uint8)
LONG = " + ".join(f"block_{number}/<conv>/Conv" for number in range(30))


class Scripted:
    """A runner whose layers take what the test says."""

    backend = "tensorrt"

    def __init__(self, layers):
        self._layers = layers

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def infer_all(self, frame):
        return {"logits": frame}

    def describe(self):
        return {"version": "10.3.0", "device": "a GPU"}

    def profile(self, frame, runs):
        return [dataclasses.replace(layer, milliseconds=layer.milliseconds * runs) for layer in self._layers]


LAYERS = [
    LayerTime("cheap", "Reformat", "float32 to int8", (1.0,)),
    LayerTime(LONG, "Conv", "int8", (6.0,)),
    LayerTime("middle", "Conv", None, (3.0,)),
]


def profile_of(card, layers, backend="tensorrt", dla_core=None, runs=4):
    card = dataclasses.replace(card, backend=backend, dla_core=dla_core)
    return run_profile(Scripted(layers), card, SyntheticFrames(2, 64, 64, seed=5), runs)


def test_every_kernel_of_onnxruntime_has_a_time_for_each_run(make_engine, tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    runner, _ = open_engine(make_engine())
    with runner:
        expected = runner.infer(FRAME).copy()
        layers = runner.profile(FRAME, 3)
        np.testing.assert_array_equal(runner.infer(FRAME), expected)
    assert "Conv" in " ".join(layer.kind for layer in layers)
    assert layers[0].precision.startswith("uint8")
    assert all(len(layer.milliseconds) == 3 and min(layer.milliseconds) >= 0 for layer in layers)
    assert list(temporary.iterdir()) == []


def test_profile_refuses_what_inference_refuses(make_engine):
    runner, _ = open_engine(make_engine())
    with pytest.raises(BackendError, match="not active"):
        runner.profile(FRAME, 1)
    with runner:
        with pytest.raises(InputError, match="uint8, got"):
            runner.profile(FRAME[:, :8], 1)
        with pytest.raises(InputError, match="in 0 runs, expected at least 1"):
            runner.profile(FRAME, 0)


def event(name, duration, at, **facts):
    return {"cat": "Node", "name": f"{name}_kernel_time", "dur": duration, "ts": at, "args": facts}


def test_trace_gives_kernels_in_the_order_of_execution(tmp_path):
    events = []
    for run in range(3):
        events += [
            {"cat": "Node", "name": "b_fence_before", "dur": 9, "ts": 100 * run},
            event(
                "b",
                10 + run,
                100 * run + 1,
                op_name="Conv",
                input_type_shape=[{"float": [1]}],
                output_type_shape=[{"uint8": [1]}],
            ),
            event("a", 20 + run, 100 * run + 2, op_name="Add"),
            event("b", 30 + run, 100 * run + 3),
            {"cat": "Session", "name": "model_run", "dur": 999, "ts": 100 * run},
        ]
    path = tmp_path / "trace.json"
    path.write_text(json.dumps(events))
    assert read_kernel_times(path, 1, 2) == [
        LayerTime("b", "Conv", "float32 to uint8", (0.011, 0.012)),
        LayerTime("a", "Add", None, (0.021, 0.022)),
        LayerTime("b", "other", None, (0.031, 0.032)),
    ]
    path.write_text(json.dumps(events[:-2]))
    with pytest.raises(BackendError, match="has kernel b 5 times in 3 runs"):
        read_kernel_times(path, 1, 2)
    path.write_text("[{")
    with pytest.raises(BackendError, match=r"trace\.json cannot be read"):
        read_kernel_times(path, 1, 2)


def test_shares_add_up_and_rank_by_the_time(card):
    record = profile_of(card, LAYERS)
    assert [layer.share for layer in record.layers] == pytest.approx([0.1, 0.6, 0.3])
    assert [layer.name for layer in by_cost(record)] == [LONG, "middle", "cheap"]
    assert [(total.kind, total.count, total.middle_mean_ms) for total in kind_totals(record)] == [
        ("Conv", 2, 9.0),
        ("Reformat", 1, 1.0),
    ]
    assert (record.layer_sum.p50_ms, record.layer_sum.sample_count, record.network.sample_count) == (10.0, 4, 4)


def test_sum_is_compared_with_the_network_alone(card):
    record = profile_of(card, LAYERS)
    slow = dataclasses.replace(record, network_middle_mean_ms=12.5)
    assert "2.500 ms of it (20.0%) are no layer's" in sum_sentence(slow)
    fast = dataclasses.replace(record, network_middle_mean_ms=8.0)
    assert "2.000 ms more (25.0%), which it costs itself" in sum_sentence(fast)


HELD_UP = [
    # Something else on the machine holds up another layer in each run: no median shows it, and every sum does.
    LayerTime("one", "Conv", "int8", (1.0, 9.0, 1.0, 1.0, 1.0)),
    LayerTime("two", "Conv", "int8", (1.0, 1.0, 10.0, 1.0, 1.0)),
    LayerTime("three", "Add", "int8", (9.5, 1.0, 1.0, 1.0, 60.0)),
]


def test_one_sum_stands_in_head_and_tables_though_medians_add_up_to_less(card, tmp_path):
    record = profile_of(card, HELD_UP, runs=1)
    # The runs take 11.5, 11, 12, 3 and 62 ms: the outermost one at each end is left out.
    assert middle_runs([11.5, 11.0, 12.0, 3.0, 62.0]) == [1, 0, 2]
    assert record.layers_ms() == pytest.approx((11.5 + 11.0 + 12.0) / 3)
    assert sum(layer.p50_ms for layer in record.layers) == pytest.approx(3.0)
    assert sum(layer.middle_mean_ms for layer in record.layers) == pytest.approx(record.layers_ms())
    lines = profile_lines(record, top=0)
    assert lines[2].startswith("layers add up to 11.500 ms")
    assert next(line for line in lines if line.startswith("all")).split()[2] == "11.500"
    write_profile_page(tmp_path / "profile.html", record, top=2)
    text = re.sub(r' (data-head|class)="[^"]*"', "", (tmp_path / "profile.html").read_text(encoding="utf-8"))
    assert "<b>11.50 ms</b>sum of layers" in text
    assert "<td>all</td><td>3</td><td>11.500</td>" in text
    assert "<td>all layers</td>" in text and text.count("<td>11.500</td>") == 2
    assert "11.50 ms</text>" in text


@pytest.mark.parametrize(("count", "kept"), [(1, 1), (2, 2), (3, 3), (4, 2), (20, 10)])
def test_middle_half_of_a_few_runs_is_not_empty(count, kept):
    assert len(middle_runs([float(number) for number in range(count)])) == kept


def test_profile_of_a_busy_machine_says_so(card, tmp_path):
    record = dataclasses.replace(profile_of(card, LAYERS), load=MachineLoad(4.0, 0.5, True))
    assert any(line.startswith("disturbed: other programs took 50 %") for line in profile_lines(record, top=1))
    write_profile_page(tmp_path / "profile.html", record, top=2)
    assert "Disturbed measurement" in (tmp_path / "profile.html").read_text(encoding="utf-8")


def test_runs_that_differ_by_more_than_the_profiler_costs_are_not_told_apart(card):
    record = profile_of(card, LAYERS)
    network = summarise([9_000_000, 9_000_000, 10_500_000])
    wide = dataclasses.replace(record, network=network, network_middle_mean_ms=9.5)
    assert sum_sentence(wide).endswith("the difference says nothing, since some runs without it took 10.500 ms")
    layer_sum = summarise([8_000_000, 13_000_000])
    slow = dataclasses.replace(record, layer_sum=layer_sum, network_middle_mean_ms=12.5)
    assert sum_sentence(slow).endswith("the difference says nothing, since some runs with it took 13.000 ms")


def test_layers_that_run_as_one_are_said_to(card):
    joined = LayerTime("{ForeignNode[a...b]}", "ForeignNode", None, (1.0,))
    notes = profile_of(card, [joined, *LAYERS], dla_core=1).notes
    assert len(notes) == 1
    assert notes[0].startswith("1 line is")
    assert "core 1" in notes[0]
    assert profile_of(card, LAYERS).notes == ()


def test_engine_of_names_alone_says_how_to_know_more(card):
    notes = profile_of(card, [dataclasses.replace(layer, precision=None) for layer in LAYERS]).notes
    assert len(notes) == 1
    assert "--verbose-layers" in notes[0]


def test_table_is_aligned_and_long_names_are_cut_to_the_terminal(card):
    record = profile_of(card, LAYERS)
    lines = profile_lines(record, top=2, width=100)
    head = next(index for index, line in enumerate(lines) if line.endswith("layer"))
    column = lines[head].index("layer")
    rows = lines[head + 1 : head + 3]
    assert [row[column - 1] for row in rows] == [" ", " "]
    assert rows[1][column:] == "middle"
    assert "90.0%" in rows[1]
    assert max(map(len, rows)) <= 100
    assert lines[-1] == "and 1 more, 1.000 ms (10.0%). All of them: --top 0"
    assert LONG in "\n".join(profile_lines(record, top=0))


def test_page_holds_every_layer_and_fetches_nothing(card, tmp_path):
    record = profile_of(card, LAYERS)
    write_profile_page(tmp_path / "profile.html", record, top=2)
    text = (tmp_path / "profile.html").read_text(encoding="utf-8")
    assert "<conv>" not in text
    assert text.count(LONG.replace("<", "&lt;").replace(">", "&gt;")) >= 3
    assert "middle" in text
    assert "http" not in text
    assert "prefers-color-scheme: dark" in text


def test_no_time_at_all_and_no_frames_are_errors(card):
    with pytest.raises(BackendError, match="no time of any"):
        profile_of(card, [LayerTime("a", "Conv", None, (0.0,))])
    with pytest.raises(InputError, match="in 0 runs"):
        profile_of(card, LAYERS, runs=0)
    with pytest.raises(InputError, match="no frames to profile with"):
        run_profile(Scripted(LAYERS), card, FrameSubset(SyntheticFrames(1, 64, 64, seed=5), []), 1)


def test_command_prints_and_keeps_what_it_measured(make_engine, tmp_path, capsys):
    output = tmp_path / "out"
    arguments = ["profile", str(make_engine()), "--frame-size", "64x128", "--runs", "2"]
    assert main([*arguments, "--output", str(output)]) == 0
    seen = capsys.readouterr().out
    assert "layers add up to" in seen
    record = read_record(ProfileRecord, output / PROFILE_FILE)
    assert record.runs == 2
    assert sum(layer.share for layer in record.layers) == pytest.approx(1)
    assert (output / "profile.html").is_file()
    assert main([*arguments, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["layers"]) == len(record.layers)


def test_command_fails_in_one_line(make_engine, tmp_path, capsys):
    engine = str(make_engine())
    (tmp_path / "file").write_text("kept")
    for options, said in (
        ([str(tmp_path / "nowhere")], "nowhere"),
        ([engine, "--frame-size", "64x128", "--runs", "1", "--output", str(tmp_path / "file" / "out")], "cannot write"),
    ):
        assert main(["profile", *options]) == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.startswith("error: ")
        assert said in last
    for option, number, least in (("--runs", "0", 1), ("--top", "-1", 0)):
        with pytest.raises(SystemExit):
            main(["profile", engine, option, number])
        assert f"{option}: got '{number}', expected a whole number of at least {least}" in capsys.readouterr().err
