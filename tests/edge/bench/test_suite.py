"""The order of a suite, what it keeps, and how it goes on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edge.bench.cli import main
from edge.bench.suite import PlannedRun, Suite, find_engines, interleaved
from edge.bench.suite_record import SUITE_FILE, SuiteRecord
from edge.errors import BackendError, InputError
from edge.records import read_record

RULES = {"frames": 3, "seconds": 0.0}


def planned(card, names, rounds=2):
    engines = [
        (Path(f"/artifacts/{name}"), dataclasses.replace(card, engine_sha256=name.ljust(64, "0"))) for name in names
    ]
    return interleaved(engines, rounds)


def order(runs):
    return ["/".join(run.folder.parts[-2:]) for run in runs]


def test_networks_take_turns_and_every_other_round_goes_backwards(card):
    runs = planned(card, ("a/8", "a/32", "b/8", "b/32", "c/8"))
    assert order(runs)[:5] == ["a/8", "b/8", "c/8", "a/32", "b/32"]
    assert order(runs)[5:] == order(runs)[4::-1]
    assert [run.round for run in runs] == [0] * 5 + [1] * 5


@pytest.fixture
def record(card):
    """Return a function that makes the record of a run."""
    from edge.bench.bench_record import BenchRecord
    from edge.frame_statistics.percentiles import summarise
    from edge.machine import this_machine

    figures = summarise([10_000_000] * 3)

    def make(run):
        return BenchRecord(
            run.card, this_machine(), {}, "native", 1, "made", 20, 44, 1, 0, {}, figures, 100.0, 0.03, None, "", {}
        )

    return make


def test_suite_goes_on_where_it_was_stopped(card, record, tmp_path):
    runs, measured = planned(card, ("a/8", "b/8")), []

    def measure(run):
        if len(measured) == 3:
            raise KeyboardInterrupt
        measured.append(run)
        return record(run)

    with pytest.raises(KeyboardInterrupt):
        Suite(tmp_path, RULES, runs).run(measure, lambda: None, lambda text: None)
    suite = Suite(tmp_path, RULES, runs)
    assert suite.left == runs[3:]
    assert suite.progress() == f"3 of 4 runs are kept in {tmp_path}"
    suite.run(record, lambda: None, lambda text: None)
    assert Suite(tmp_path, RULES, runs).left == []
    assert len(list(suite.records())) == 4 and all(path.is_file() for path in suite.records())


def test_engine_that_fails_is_named_and_tried_again_and_the_others_are_measured(card, record, tmp_path):
    runs, said = planned(card, ("a/8", "b/8"), 1), []

    def measure(run):
        if run.folder.parts[-2] == "a":
            raise BackendError("no such GPU. Next: buy one")
        return record(run)

    suite = Suite(tmp_path, RULES, runs)
    suite.run(measure, lambda: None, said.append)
    assert [failed.failure for failed in suite.failures] == ["no such GPU. Next: buy one"]
    assert len(list(suite.records())) == 1
    assert any("no figure of /artifacts/a/8: no such GPU" in line for line in said)
    assert Suite(tmp_path, RULES, runs).left == runs[:1]


def test_engine_that_was_built_anew_is_measured_anew(card, record, tmp_path):
    runs = planned(card, ("a/8", "b/8"), 1)
    Suite(tmp_path, RULES, runs).run(record, lambda: None, lambda text: None)
    anew = PlannedRun(runs[0].folder, dataclasses.replace(runs[0].card, engine_sha256="f" * 64), 0)
    assert Suite(tmp_path, RULES, [anew, runs[1]]).left == [anew]


def test_suite_with_other_rules_is_refused(card, record, tmp_path):
    runs = planned(card, ("a/8",), 1)
    Suite(tmp_path, RULES, runs).run(record, lambda: None, lambda text: None)
    with pytest.raises(InputError, match=r"was begun with another frames: was 3, got 4\. Next: "):
        Suite(tmp_path, {**RULES, "frames": 4}, runs)


def test_there_is_a_rest_between_two_runs_and_none_before_the_first(card, record, tmp_path):
    runs, seen = planned(card, ("a/8", "b/8", "c/8"), 1), []
    suite = Suite(tmp_path, RULES, runs)

    def measure(run):
        seen.append("run")
        return record(run)

    suite.run(measure, lambda: seen.append("rest"), lambda text: None)
    assert seen == ["run", "rest", "run", "rest", "run"]


def test_engines_below_folders_are_found_and_none_is_refused(make_engine, tmp_path):
    one, two = make_engine("one"), make_engine("two", precision="int8")
    make_engine("batched", batch=4)
    assert [folder for folder, _ in find_engines([tmp_path])] == sorted((one, two))
    with pytest.raises(InputError, match=r"no engine in .*none, which is not there: expected a folder of artefacts"):
        find_engines([tmp_path / "none"])


def test_command_measures_all_and_ends_with_a_leaderboard(make_engine, tmp_path, capsys):
    make_engine("one", height=64, width=128)
    make_engine("two", height=64, width=128)
    out = tmp_path / "out"
    options = ("--min-frames", "3", "--duration", "0", "--warmup", "0", "--cool-down", "0", "--rounds", "1")
    command = ["suite", str(tmp_path), *options, "--power", "none", "--output", str(out)]
    assert main(command) == 0
    captured = capsys.readouterr()
    assert "suite: run 2 of 2" in captured.err and "too few frames: 3" in captured.out
    assert len(read_record(SuiteRecord, out / SUITE_FILE).runs) == 2
    assert (out / "leaderboard" / "leaderboard.json").is_file()
    assert main(command) == 0  # nothing is left to do
    assert "suite: run" not in capsys.readouterr().err
