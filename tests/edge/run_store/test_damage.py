"""A database that is damaged, locked, full or foreign costs one line, and never what was measured."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest

import edge.run_store.recording as recording_module
from edge.errors import ContractError, InputError, StorageError
from edge.run_store.connection import connect
from edge.run_store.store import RunStore
from edge.run_store.stored_run import load_run


@pytest.fixture
def closed(tmp_path, make_run, keep):
    """A database of three runs that nobody has open, and their ids."""
    path = tmp_path / "runs.db"
    with RunStore(path) as store:
        ids = [keep(store, make_run(300, seed=seed)) for seed in range(3)]
    assert not path.with_name("runs.db-wal").exists()
    return path, ids


def damaged_files(path):
    return sorted(found.name for found in path.parent.glob("runs.db.damaged-*") if not found.name.endswith("-shm"))


def test_truncated_database_is_put_aside_and_rebuilt_as_far_as_it_can_be_read(closed, capsys):
    path, ids = closed
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 8 // 10])
    with RunStore(path) as store:
        store.check()
        kept = {run.run_id: len(run.frames) for run in store.runs()}
        assert store.connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "was damaged" in line]
    assert kept.keys() <= set(ids) and kept[ids[0]] == 300
    assert damaged_files(path)[0] in line and f"the {len(kept)} runs with {sum(kept.values())} frames" in line
    assert damaged_files(path)[0].startswith("runs.db.damaged-")
    with RunStore(path) as store:
        store.check()
    assert "damaged" not in capsys.readouterr().err


def test_file_that_is_no_database_is_put_aside_with_its_content(tmp_path, capsys):
    path = tmp_path / "runs.db"
    path.write_bytes(b"what somebody wrote by mistake " * 400)
    with RunStore(path) as store:
        assert store.runs() == []
    (aside,) = damaged_files(path)
    assert (tmp_path / aside).read_bytes().startswith(b"what somebody wrote")
    assert "the 0 runs" in capsys.readouterr().err


@pytest.mark.parametrize("seed", range(4))
def test_flipped_bits_never_give_other_frames_without_a_word(closed, make_run, capsys, seed):
    path, ids = closed
    with RunStore(path) as store:
        whole = {run_id: load_run(run_id, store).frames.latency_ns for run_id in ids}
    data, rng = bytearray(path.read_bytes()), np.random.default_rng(seed)
    for _ in range(3):
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    path.write_bytes(bytes(data))
    found = {}
    try:
        with RunStore(path) as store:
            store.check()
            found = {run.run_id: run.frames.latency_ns for run in store.runs()}
    except (ContractError, StorageError, InputError):
        return  # one line, and the file is as it was
    is_same = found.keys() == whole.keys() and all(np.array_equal(found[name], whole[name]) for name in whole)
    assert is_same or any(word in capsys.readouterr().err for word in ("was damaged", "hash has changed"))


def test_database_that_is_damaged_while_a_run_is_measured_loses_nothing_of_it(closed, make_run, capsys):
    path, _ = closed
    made = make_run()
    with RunStore(path) as store:
        recording = store.begin(made.description)
    path.write_bytes(b"\xff" * 4096)
    recording.start(made.log, lambda: made.samples)
    assert recording.finish(made.record)
    with RunStore(path) as store:
        run = load_run("latest", store)
        assert (run.run_id, run.record) == (recording.run_id, made.record)
    assert len(damaged_files(path)) >= 1 and "was damaged" in capsys.readouterr().err


@pytest.mark.parametrize("has_begun", [False, True])
def test_database_that_is_taken_away_while_a_run_is_measured_is_made_anew(store, make_run, tmp_path, has_begun):
    made = make_run(20)
    recording = store.begin(made.description)
    recording.start(made.log, lambda: made.samples)
    assert not has_begun or recording._commit()
    store.close()
    for path in tmp_path.glob("runs.db*"):
        path.unlink()
    assert recording.finish(made.record)
    with RunStore(store.path) as again:
        assert again.find(recording.run_id).record == made.record


def test_database_that_is_rebuilt_by_another_command_meanwhile_gets_the_whole_run(store, make_run):
    made = make_run(20)
    recording = store.begin(made.description)
    recording.start(made.log, lambda: made.samples)
    assert recording._commit()
    store.rebuild()
    assert recording.finish(made.record)
    (run,) = store.runs()
    assert (run.run_id, run.record) == (recording.run_id, made.record)


def test_full_disk_is_one_warning_and_what_was_written_stays(store, make_run, monkeypatch, capsys):
    made = make_run(3000)

    def full(path, must_exist=False):
        connection = connect(path, must_exist)
        connection.execute("PRAGMA max_page_count = 20")
        return connection

    recording = store.begin(made.description)
    monkeypatch.setattr(recording_module, "connect", full)
    recording.start(made.log, lambda: made.samples)
    assert recording.finish(made.record) is False
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: run {recording.run_id} is not whole") and "the disk is full" in line
    assert store.connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_locked_database_is_tried_again_and_then_one_line(store, make_run, monkeypatch, capsys):
    made = make_run(20)
    monkeypatch.setattr(recording_module, "connect", lambda path, must_exist: connect(path, must_exist, wait_s=0.01))
    recording, second = store.begin(made.description), store.begin(made.description)
    store.connection.execute("BEGIN IMMEDIATE")
    recording.start(made.log, lambda: made.samples)
    assert recording.finish(made.record) is False
    assert "another program keeps it locked" in capsys.readouterr().err
    second.start(made.log, lambda: made.samples)
    assert not second._commit()
    store.connection.execute("ROLLBACK")
    assert second.finish(made.record)
    assert store.find(second.run_id).record == made.record


def test_database_of_something_else_and_of_a_later_version_are_left_as_they_are(tmp_path):
    path = tmp_path / "runs.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE cats (name TEXT)")
    connection.commit()
    with pytest.raises(ContractError, match="of another program"):
        RunStore(path)
    connection.execute("DROP TABLE cats")
    connection.close()
    RunStore(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.commit()
    connection.close()
    with pytest.raises(ContractError, match="has schema 99, this version of segedge reads up to"):
        RunStore(path)
    assert damaged_files(path) == []


@pytest.mark.parametrize("place", ["no/such/runs.db", "."])
def test_place_that_cannot_be_a_database_is_one_line(tmp_path, place):
    with pytest.raises(StorageError, match="Next: --runs FILE"):
        RunStore(tmp_path / place)


def test_tables_of_an_older_schema_are_changed_and_keep_their_runs(closed, monkeypatch):
    import edge.run_store.tables as tables

    path, ids = closed
    monkeypatch.setattr(tables, "MIGRATIONS", (*tables.MIGRATIONS, "ALTER TABLE runs ADD COLUMN site TEXT"))
    monkeypatch.setattr(tables, "SCHEMA", tables.SCHEMA + 1)
    with RunStore(path) as store:
        assert [run.run_id for run in store.runs()] == ids and store.runs()[0].row["site"] is None
        assert store.connection.execute("PRAGMA user_version").fetchone()[0] == tables.SCHEMA
