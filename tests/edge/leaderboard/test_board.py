"""Rows, columns and fronts of a leaderboard: which run a figure is of, who is left out, who beats whom."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from edge.bench.cli import main
from edge.bench.frame_samples import FrameLog
from edge.bench.scenarios.scenario_record import CameraRules, DeadlineRecord, ScenarioRecord
from edge.bench.validity import InvalidReason, Validity
from edge.card import BuildCheck, LayerPrecision
from edge.errors import InputError
from edge.frame_statistics.binomial_bound import miss_bound
from edge.frame_statistics.percentiles import Interval, summarise
from edge.leaderboard.board import make_leaderboard
from edge.leaderboard.leaderboard_record import MET, NOT_MET, NOT_SHOWN, UNKNOWN, UNMEASURED, Leaderboard
from edge.leaderboard.need import parse_need
from edge.leaderboard.text import board_lines, board_markdown
from edge.machine import Machine
from edge.machine_load import MachineLoad
from edge.provenance import WeightsProvenance
from edge.records import read_record, record_from_json, record_to_json, write_record
from edge.run_store.store import RunStore
from tests.edge.leaderboard.made_runs import RunMaker, accuracy, power

BUSY = MachineLoad(2.0, 0.9, True)


@pytest.fixture
def make_run():
    return RunMaker()


def board_of(*runs, need="", **options):
    return make_leaderboard(runs, parse_need(need) if need else (), **options)


def test_row_has_every_figure_of_a_run_in_its_unit(make_run):
    (row,) = board_of(make_run(latency_ms=20.0)).rows
    values = {name: figure.value for name, figure in row.figures.items()}
    assert (values["miou"], values["miou(infrastructure)"], values["iou(traffic light)"]) == (66.0, 50.0, 40.0)
    assert (values["parameters"], values["multiply-adds"], values["training"]) == (1.14, 6.7, 2.0)
    assert (values["p50"], values["p99"], values["fps"]) == (20.0, 20.0, 50.0)
    assert (values["power"], values["energy"], values["temperature"]) == (10.0, 400.0, 52.5)
    assert row.name == "fast_scnn int8 16x32" and row.scored_on == "101 frames of camvid val"


def test_what_was_not_measured_has_a_reason_and_meets_no_need(make_run):
    need = "miou>=1, power<=1000, energy<=100000, temperature<=100, p99.9<=1000, misses<=99, iou(person)>=1"
    bare = make_run(accuracy=None, power=None)
    (row,) = board_of(bare, need=need).rows
    assert row.verdict == UNKNOWN and {each.verdict for each in row.answers} == {UNMEASURED}
    assert all(each.reason for each in row.answers)
    assert "needs 1000 frames, 200 were measured" in row.figures["p99.9"].unknown
    assert "--scenario camera" in row.figures["misses"].unknown
    assert "--accuracy" in row.figures["miou"].unknown and "--power" in row.figures["power"].unknown
    dark = make_run(power=power(None, None, (None,) * 3), accuracy=accuracy(person=None))
    (row,) = board_of(dark, need=need).rows
    assert [each.verdict for each in row.answers[1:4]] == [UNMEASURED] * 3
    assert row.figures["energy"].unknown == "the samples have a gap of 1.5 s"
    assert row.figures["iou(person)"].unknown == "no 'person' is in camvid val"


def test_random_weights_have_no_accuracy_and_that_of_a_build_is_no_measurement(make_run):
    random = make_run(accuracy=None, on_contract={"weights": WeightsProvenance("random", "seed 0", "0" * 64)})
    built = make_run("unet", accuracy=None, on_card={"check": BuildCheck(16, "camvid val", 1.0, 0.61, 0.6)})
    board = board_of(random, built, need="miou>=50")
    figures = {row.model: row.figures["miou"] for row in board.rows}
    assert figures["fast_scnn"].unknown == "random weights have no accuracy"
    assert figures["unet"].value is None and "60.00 % on 16 images of camvid val" in figures["unet"].unknown
    assert [row.verdict for row in board.rows] == [UNKNOWN, UNKNOWN]
    assert any("random weights" in note for note in board.notes)


def test_rows_that_meet_the_need_come_first_and_each_says_by_how_much(make_run):
    board = board_of(
        make_run("slow", latency_ms=80.0, accuracy=accuracy(0.9)),
        make_run("unmeasured", accuracy=None),
        make_run("worse", accuracy=accuracy(0.66)),
        make_run("better", accuracy=accuracy(0.7)),
        need="p99<=50, miou>=65",
    )
    assert [(row.model, row.verdict) for row in board.rows] == [
        ("better", MET),
        ("worse", MET),
        ("unmeasured", UNKNOWN),
        ("slow", NOT_MET),
    ]
    assert [each.margin for each in board.rows[0].answers] == pytest.approx([30.0, 5.0])
    lines = board_lines(board)
    assert lines[0] == "need p99<=50, miou>=65: met by 2 of 4"
    assert "slow int8 16x32: not met; p99<=50 not met by 30 (60 %)" in lines


def test_invalid_run_is_named_and_counts_only_when_asked(make_run):
    busy = make_run(load=BUSY)
    board = board_of(busy, need="fps>=1")
    assert board.rows == () and board.left_out[0].run == busy.reference
    assert "other programs took 90 % of the CPU" in board.left_out[0].reasons[0]
    assert any("left out: fast_scnn int8 16x32" in line for line in board_lines(board))
    asked = board_of(busy, need="fps>=1", with_invalid=True)
    assert asked.rows[0].verdict == MET and asked.rows[0].invalid and not asked.left_out
    assert any("(not valid)" in line for line in board_lines(asked))


def test_latest_valid_run_of_an_engine_is_shown_and_says_how_many_there_were(make_run):
    first, second, busy = make_run(latency_ms=20.0), make_run(latency_ms=30.0), make_run(latency_ms=1.0, load=BUSY)
    board = board_of(first, second, busy)
    (row,) = board.rows
    assert (row.figures["p50"].value, row.run, row.run_count) == (30.0, second.reference, 3)
    assert [run.run for run in board.left_out] == [busy.reference]
    assert board_of(first, second, busy, with_invalid=True).rows[0].run == second.reference


def test_accuracy_is_of_the_same_engine_file_whatever_run_measured_it(make_run):
    scored, later = make_run(accuracy=accuracy(0.5)), make_run(accuracy=None)
    (row,) = board_of(scored, later).rows
    assert (row.figures["miou"].value, row.figures["miou"].run) == (50.0, scored.reference)
    assert row.figures["p50"].run == later.reference
    rebuilt = make_run(accuracy=None, on_card={"engine_sha256": "another"})
    (row,) = board_of(scored, rebuilt).rows
    assert row.figures["miou"].value is None


def test_engines_of_one_graph_share_its_size(make_run):
    old = {"parameter_count": None, "multiply_adds": None}
    float_run, int8_run = make_run(precision="float32"), make_run(on_card=old)
    row = next(row for row in board_of(float_run, int8_run).rows if row.precision == "int8")
    assert (row.figures["parameters"].value, row.figures["multiply-adds"].value) == (1.14, 6.7)
    layers = (LayerPrecision("a", "Conv", 2_000_000_000, "int8"), LayerPrecision("b", "Conv", 1_000_000_000, "float"))
    (row,) = board_of(make_run(on_card={**old, "layers": layers})).rows
    assert (row.figures["parameters"].value, row.figures["multiply-adds"].value) == (None, 3.0)


def test_rows_of_one_name_say_what_tells_them_apart(make_run):
    other = Machine("Linux 5", "aarch64", "cores", 8, board="Jetson AGX Orin", gpu="Orin")
    board = board_of(make_run(), make_run(machine=other), make_run("unet"))
    assert {row.name for row in board.rows} == {
        "fast_scnn int8 16x32, a processor, 2 threads",
        "fast_scnn int8 16x32, Jetson AGX Orin",
        "unet int8 16x32",
    }
    assert any("2 machines, compare within one" in note for note in board.notes)


def test_front_holds_those_that_no_other_beats_in_both_figures(make_run):
    runs = [
        make_run("cheap", accuracy=accuracy(0.5), power=power(energy_mj=100.0)),
        make_run("dear", accuracy=accuracy(0.7), power=power(energy_mj=900.0)),
        make_run("beaten", accuracy=accuracy(0.5), power=power(energy_mj=200.0)),
        make_run("alike", accuracy=accuracy(0.5), power=power(energy_mj=100.0)),
        make_run("elsewhere", accuracy=accuracy(0.9, frame_count=7), power=power(energy_mj=1.0)),
        make_run("unmeasured", power=None),
    ]
    fronts = [front for front in board_of(*runs).fronts if (front.x, front.y) == ("energy", "miou")]
    best = {name.split()[0] for front in fronts for name in front.best if len(front.rows) > 1}
    assert best == {"cheap", "dear", "alike"}
    assert sorted(len(front.rows) for front in fronts) == [1, 4]


def test_class_that_no_engine_has_is_a_misspelling(make_run):
    with pytest.raises(
        InputError, match=r"no engine here has the class 'persn', expected one of: .*person.*iou\(person\)"
    ):
        board_of(make_run(), need="iou(persn)>=60")
    with pytest.raises(InputError, match="the group 'rails'"):
        board_of(make_run(), need="miou(rails)>=60")
    assert board_of(make_run(accuracy=None), need="iou(person)>=60").rows[0].verdict == UNKNOWN


def test_interval_of_a_run_decides_and_frames_per_second_have_that_of_the_mean(make_run):
    statistics = summarise([20_000_000] * 200)
    intervals = {"p99": Interval(18.0, 55.0, 0.95), "mean": Interval(16.0, 25.0, 0.95)}
    run = make_run(end_to_end=dataclasses.replace(statistics, intervals=intervals))
    (row,) = board_of(run, need="p99<=50, p50<=50, fps>=40").rows
    assert [each.verdict for each in row.answers] == [NOT_SHOWN, MET, MET]
    assert (row.figures["fps"].low, row.figures["fps"].high) == (40.0, 62.5)
    assert row.verdict == UNKNOWN
    (row,) = board_of(run, need="p99<=55, fps>=40").rows
    assert row.verdict == MET and row.confidence == pytest.approx(0.95)


def test_energy_that_is_uncertain_is_not_said_to_hold(make_run):
    unsure = dataclasses.replace(
        power(energy_mj=400.0), energy_per_frame_uncertainty_mj=30.0, energy_uncertainty_mj=1500.0
    )
    (row,) = board_of(make_run(power=unsure), need="energy<=420, power<=10.8").rows
    assert [each.verdict for each in row.answers] == [NOT_SHOWN, MET]
    assert (row.figures["energy"].low, row.figures["energy"].high) == (370.0, 430.0)
    assert row.figures["power"].high == pytest.approx(10.75)


def camera_run(make_run, misses, is_held=None, stopped_early=False):
    deadlines = DeadlineRecord(
        arrived_frames=1000,
        dropped_frames=0,
        missed_frames=misses,
        age=summarise([20_000_000] * 200),
        bound=miss_bound(np.arange(1000) < misses),
        is_held=is_held,
    )
    camera = CameraRules(deadline_ms=33.3, allowed_miss_share=0.02)
    return make_run(scenario=ScenarioRecord("camera", "", 1, 1.0, False, camera, deadlines, stopped_early))


def test_misses_of_a_camera_are_decided_by_their_bounds_and_a_camera_says_nothing_of_the_rate(make_run):
    (row,) = board_of(camera_run(make_run, 0), need="misses<=1, fps>=20").rows
    assert [each.verdict for each in row.answers] == [MET, UNMEASURED]
    assert row.answers[0].confidence == pytest.approx(0.95) and row.scenario.endswith("30 fps, deadline 33.3 ms")
    stopped = camera_run(make_run, 0, stopped_early=True, is_held=True)
    assert board_of(stopped, need="misses<=1").rows[0].verdict == UNKNOWN
    assert board_of(stopped, need="misses<=2").rows[0].verdict == MET


def test_run_that_was_judged_keeps_its_reasons(make_run):
    judged = Validity(False, (InvalidReason("the fan stood still", "free the fan"),))
    (left,) = board_of(make_run(validity=judged)).left_out
    assert left.reasons == ("the fan stood still. Next: free the fan",)


def test_record_comes_back_equal_from_json(make_run):
    board = board_of(make_run(), make_run("unet", accuracy=None), make_run(load=BUSY), need="fps>=30, miou>=60")
    assert record_from_json(Leaderboard, json.loads(json.dumps(record_to_json(board))), "here") == board


@pytest.fixture
def folder(make_run, tmp_path):
    for name, run in (("a", make_run("slow", latency_ms=80.0)), ("b/run-2", make_run("quick"))):
        write_record(tmp_path / name / "record.json", run.record)
    return tmp_path


def test_command_reads_all_records_below_a_folder_and_answers_by_its_exit_code(folder, capsys):
    assert main(["leaderboard", str(folder), "--need", "p99<=50"]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[0] == "need p99<=50: met by 1 of 2"
    assert main(["leaderboard", str(folder), "--need", "p99<=5"]) == 1
    assert "met by none" in capsys.readouterr().out
    assert main(["leaderboard", str(folder / "a" / "record.json")]) == 0


def test_command_writes_record_and_markdown_and_prints_json_alone(folder, capsys, tmp_path):
    out = tmp_path / "board"
    assert main(["leaderboard", str(folder), "--json", "--output", str(out)]) == 0
    board = read_record(Leaderboard, out / "leaderboard.json")
    assert json.loads(capsys.readouterr().out) == record_to_json(board)
    assert (out / "leaderboard.md").read_text() == board_markdown(board)
    assert "quick int8 16x32" in (out / "leaderboard.html").read_text()
    assert "| quick int8 16x32 | 66.00 |" in board_markdown(board)


def test_command_reads_all_finished_runs_of_the_database_and_ids(make_run, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SEGEDGE_RUNS", str(tmp_path / "runs.db"))
    with RunStore(tmp_path / "runs.db") as store:
        ids = []
        for run in (make_run("slow", latency_ms=80.0), make_run("quick")):
            whole = record_to_json(run.record)
            recording = store.begin({"engine": whole["engine"], "machine": whole["machine"]})
            recording.start(FrameLog())
            record = dataclasses.replace(run.record, run_id=recording.run_id)
            assert recording.finish(record)
            ids.append(recording.run_id)
        being_measured = store.begin({"engine": whole["engine"], "machine": whole["machine"]})
        assert main(["leaderboard", "--json"]) == 0
        said = capsys.readouterr()
        assert {row["run"] for row in json.loads(said.out)["rows"]} == set(ids)
        assert f"run {being_measured.run_id} is being measured" in said.err
        being_measured.close()
    assert main(["leaderboard", ids[1], "--need", "fps>=30"]) == 0
    assert "met by 1 of 1" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["nowhere"], [".", "--need", "fps<=30"], [".", "--need", "iou(persn)>=3"]])
def test_what_cannot_be_used_is_one_line(folder, capsys, monkeypatch, words):
    monkeypatch.chdir(folder)
    try:
        code = main(["leaderboard", *words])
    except SystemExit as ended:
        code = ended.code
    said = capsys.readouterr().err
    assert code == 2 and said.startswith("error: ") and said.count("\n") == 1
