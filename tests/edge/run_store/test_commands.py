"""edge-bench list, show, export, import, delete and verify."""

from __future__ import annotations

import builtins
import csv
import json
import sys
import types

import numpy as np
import pytest

from edge.bench.bench_record import BenchRecord
from edge.bench.cli import main
from edge.records import read_record, record_from_json, write_record
from edge.run_store.store import RunStore
from edge.run_store.stored_run import load_run


@pytest.fixture
def bench(capsys, tmp_path, monkeypatch):
    """Return a function that runs edge-bench in a folder of its own, and gives exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEGEDGE_RUNS", raising=False)

    def run(*words):
        code = main([str(word) for word in words])
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def two(store, make_run, keep):
    """Two runs of the database, and their ids, the older first."""
    runs = make_run(40), make_run(30, seed=1)
    return runs, [keep(store, run) for run in runs]


def test_list_has_a_row_for_each_run_with_its_figures(bench, two):
    runs, ids = two
    code, out, _ = bench("list")
    head, *rows = out.splitlines()
    assert code == 0 and [row.split()[0] for row in rows] == ids
    assert head.split()[-9:] == ["p50", "ms", "p99", "ms", "fps", "W", "mJ/frame", "mIoU", "%"]
    for run, row in zip(runs, rows):
        assert f"{run.record.end_to_end.p50_ms:.2f}" in row and "tiny" in row and "16x32" in row
    listed = json.loads(bench("list", "--json", "--last", "1")[1])
    assert [each["run_id"] for each in listed] == ids[1:]
    assert listed[0]["miou"] is None and listed[0]["fps"] == runs[1].record.fps
    assert bench("list", "--model", "other")[1].startswith("no such run in")


def test_show_takes_a_run_id_too(bench, two):
    runs, ids = two
    code, out, _ = bench("show", ids[0][:-1])
    assert code == 0 and out.splitlines()[0] == f"run {ids[0]} of runs.db, complete"
    assert f"latency {runs[0].record.end_to_end.p50_ms:.1f} ms median" in out
    assert json.loads(bench("show", "latest", "--json")[1])["fps"] == runs[1].record.fps


def test_json_export_is_the_record_that_was_measured(bench, two, tmp_path):
    runs, ids = two
    printed = json.loads(bench("export", ids[0])[1])
    assert record_from_json(BenchRecord, printed, "stdout") == runs[0].record
    assert bench("export", ids[0], "--output", "one.json")[1] == "written: one.json\n"
    assert read_record(BenchRecord, tmp_path / "one.json") == runs[0].record
    assert bench("export", *ids, "--output", "both")[0] == 0
    assert read_record(BenchRecord, tmp_path / "both" / ids[1] / "record.json") == runs[1].record


def test_csv_export_has_every_frame_and_every_value(bench, two, tmp_path):
    runs, ids = two
    assert bench("export", ids[0], "--format", "csv", "--output", "out")[0] == 0
    with open(tmp_path / "out" / "frames.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["latency_ns"]) for row in rows] == [frame.latency_ns for frame in runs[0].log.since(0)]
    assert [int(row["inference_ns"]) for row in rows] == [f.stages_ns["inference"] for f in runs[0].log.since(0)]
    with open(tmp_path / "out" / "telemetry.csv", newline="") as file:
        totals = [row for row in csv.DictReader(file) if row["quantity"] == "total_mw"]
    assert [(int(row["time_ns"]), float(row["value"])) for row in totals] == [
        (sample.time_ns, sample.total_mw) for sample in runs[0].samples
    ]


def test_parquet_export_gives_pyarrow_the_columns_or_says_that_it_is_missing(bench, two, one_line, monkeypatch):
    _, ids = two
    words = ("export", ids[0], "--format", "parquet", "--output", "out")
    imported = builtins.__import__

    def without(name, *arguments, **options):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return imported(name, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "__import__", without)
        code, _, err = bench(*words)
    assert code == 2 and "pip install pyarrow" in one_line(err)
    tables = {}
    pyarrow = types.ModuleType("pyarrow")
    pyarrow.table, pyarrow.parquet = dict, types.ModuleType("pyarrow.parquet")
    pyarrow.parquet.write_table = lambda table, path: tables.update({len(tables): table})
    monkeypatch.setitem(sys.modules, "pyarrow", pyarrow)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", pyarrow.parquet)
    assert bench(*words)[0] == 0
    assert len(tables[0]["latency_ns"]) == 40 and list(tables[1]) == ["time_ns", "quantity", "sensor", "value", "text"]
    assert "MAXN" in tables[1]["text"] and None in tables[1]["value"]


def test_markdown_export_is_a_table(bench, two):
    _, ids = two
    head, rule, *rows = bench("export", *ids, "--format", "md")[1].splitlines()
    assert head.startswith("| run |") and set(rule) == set("| -") and [row.split()[1] for row in rows] == ids


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("export", "latest", "--format", "csv"), "has no --output, expected a folder"),
        (("export", "latest", "--bundle", "a.zip", "--format", "csv"), "expected one run alone"),
        (("export", "no-such"), "run no-such not found in runs.db"),
        (("delete", "latest", "no-such"), "run no-such not found in runs.db"),
        (("list", "--runs", "none.db"), "runs database not found: none.db"),
        (("import", "none.db"), "benchmark record not found: none.db"),
        (("import", "runs.db"), "is the runs database itself"),
        (("verify", "none.zip"), "bundle not found: none.zip"),
        (("show", "no-such"), "run no-such not found in runs.db"),
    ],
)
def test_what_cannot_be_done_is_one_line(bench, two, one_line, words, said):
    code, _, err = bench(*words)
    assert code == 2 and said in one_line(err)
    assert len(json.loads(bench("list", "--json")[1])) == 2


def test_runs_of_several_devices_merge_by_id(bench, two, make_run, keep, tmp_path):
    _, ids = two
    other = make_run(50, seed=2)
    with RunStore(tmp_path / "device.db") as store:
        (third,) = [keep(store, other)]
    code, out, _ = bench("import", "device.db")
    assert code == 0 and out == f"imported: {third}\n"
    assert json.loads(bench("import", "device.db", "--json")[1]) == {"imported": [], "known": [third]}
    with RunStore(tmp_path / "runs.db") as store:
        assert {run.run_id for run in store.runs()} == {*ids, third}
        found = load_run(third, store)
        assert found.record == other.record
        assert np.array_equal(found.frames.latency_ns, [frame.latency_ns for frame in other.log.since(0)])


def test_record_file_enters_once_and_gives_the_same_record(bench, make_run, tmp_path):
    made = make_run(40)
    write_record(tmp_path / "out" / "record.json", made.record)
    (run_id,) = json.loads(bench("import", "out", "--json")[1])["imported"]
    assert json.loads(bench("import", "out/record.json", "--json")[1])["known"] == [run_id]
    with RunStore(tmp_path / "runs.db") as store:
        assert load_run(run_id, store).record == made.record


def test_delete_takes_the_named_runs_and_no_other(bench, two):
    _, ids = two
    assert bench("delete", ids[0])[1] == f"deleted: {ids[0]}\n"
    assert [each["run_id"] for each in json.loads(bench("list", "--json")[1])] == ids[1:]


def test_bundle_is_verified_and_a_changed_one_is_code_1_with_the_figure(bench, two, tmp_path):
    _, ids = two
    facts = json.loads(bench("export", ids[0], "--bundle", "run.zip", "--json")[1])
    code, out, _ = bench("verify", "run.zip", "--digest", facts["digest"])
    assert code == 0 and out.splitlines()[-1] == "the bundle holds" and "DOES NOT" not in out
    code, out, _ = bench("verify", "run.zip", "--digest", "0" * 64)
    assert code == 1 and "digest     DOES NOT HOLD" in out
    data = (tmp_path / "run.zip").read_bytes()
    (tmp_path / "run.zip").write_bytes(data[: len(data) // 2])
    assert bench("verify", "run.zip")[0] == 2
