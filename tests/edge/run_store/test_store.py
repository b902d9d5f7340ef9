"""What was measured comes back from the database, and a process that dies costs it no more than its last second."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edge.bench.bench_record import BenchRecord
from edge.bench.frame_samples import frame_samples
from edge.errors import InputError
from edge.records import write_record
from edge.run_store.recording import COMPLETE, INTERRUPTED, PARTIAL
from edge.run_store.rows import shifted_samples
from edge.run_store.store import RunStore
from edge.run_store.stored_run import load_run


def test_run_comes_back_equal_with_every_frame_and_sample(store, make_run, keep):
    made = make_run()
    run = load_run(keep(store, made), store)
    frames = frame_samples(made.log, run.window_start_ns)
    for name in ("due_ns", "start_ns", "end_ns", "latency_ns"):
        assert np.array_equal(getattr(run.frames, name), getattr(frames, name)), name
    assert {name: list(values) for name, values in run.frames.stages_ns.items()} == {
        name: list(values) for name, values in frames.stages_ns.items()
    }
    assert run.samples == shifted_samples(made.samples, -run.window_start_ns)
    assert run.record == made.record
    assert (run.status, run.is_interrupted) == (COMPLETE, False)


def test_summary_has_the_figures_without_a_value_for_each_frame(store, make_run, keep):
    made = make_run()
    run = load_run(keep(store, made), store)
    assert run.summary.end_to_end == made.record.end_to_end
    assert run.summary.power.energy_per_frame_mj == made.record.power.energy_per_frame_mj
    assert (run.summary.samples_end_to_end_ms, run.summary.samples_ms, run.summary.power.times_s) == ((), {}, ())
    assert len(run.row["record"]) < 10_000
    assert np.array_equal(load_run(run.run_id, store).latency_ns, run.frames.latency_ns)


def test_list_that_frames_do_not_give_again_is_kept_as_it_is(store, make_run, keep):
    made = make_run()
    record = dataclasses.replace(made.record, samples_end_to_end_ms=(1.0, 2.0, 3.0))
    run = load_run(keep(store, dataclasses.replace(made, record=record)), store)
    assert run.record == record


def test_run_is_found_by_id_by_its_beginning_by_latest_and_by_path(store, make_run, keep, tmp_path):
    made = make_run(20)
    first, second = keep(store, made), keep(store, make_run(20, seed=1))
    assert load_run(first, store).run_id == load_run(first[:-1], store).run_id == first
    assert load_run("latest", store).run_id == second
    write_record(tmp_path / "out" / "record.json", made.record)
    for path in (tmp_path / "out", tmp_path / "out" / "record.json"):
        assert load_run(path, store).record == made.record
    for reference, said in ((first[:4], "2 runs begin with"), ("no-such", "run no-such not found"), ("", "not found")):
        with pytest.raises(InputError, match=said):
            load_run(reference, store)


def test_record_file_gives_frames_and_samples_as_far_as_it_keeps_them(make_run, tmp_path):
    made = make_run(20)
    write_record(tmp_path / "record.json", made.record)
    run = load_run(tmp_path / "record.json")
    frames = frame_samples(made.log, made.log.since(0)[0].start_ns)
    assert np.abs(run.frames.latency_ns - frames.latency_ns).max() <= 50
    assert np.abs(run.frames.start_ns - frames.start_ns).max() <= 500
    assert [sample.total_mw for sample in run.samples] == [sample.total_mw for sample in made.samples]


def test_run_that_was_left_is_marked_interrupted_and_one_without_frames_goes(store, make_run):
    made = make_run(20)
    with store.begin(made.description) as left:
        left.start(made.log, lambda: made.samples)
    with store.begin(made.description):
        pass
    with RunStore(store.path):
        pass
    (run,) = store.runs()
    assert (run.run_id, run.status, run.row["frame_count"]) == (left.run_id, INTERRUPTED, 20)
    assert isinstance(run.record, BenchRecord) and run.record.is_partial
    assert run.record.end_to_end == made.record.end_to_end
    assert run.record.power.total == made.record.power.total


def test_partial_record_is_kept_as_partial(store, make_run, keep):
    made = make_run(20, is_partial=True)
    run = load_run(keep(store, made, PARTIAL), store)
    assert (run.status, run.record.is_partial, run.is_interrupted) == (PARTIAL, True, False)


def test_run_of_a_living_process_is_not_marked(store, make_run):
    made = make_run(20)
    with store.begin(made.description) as recording, RunStore(store.path) as second:
        assert [run.status for run in second.runs()] == ["running"]
        with pytest.raises(InputError, match="is being measured"):
            second.delete(second.find(recording.run_id))


def test_deleted_run_takes_its_frames_and_samples_with_it(store, make_run, keep):
    first, second = keep(store, make_run(20)), keep(store, make_run(30))
    store.delete(store.find(first))
    assert [run.run_id for run in store.runs()] == [second]
    counts = [
        store.connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ("frames", "telemetry")
    ]
    assert counts == [30, len(store.connection.execute("SELECT * FROM telemetry_values").fetchall())]
