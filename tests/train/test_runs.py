"""Run folders: weights are used only with the record they belong to."""

from __future__ import annotations

import dataclasses
import errno
import os
import re

import pytest

from edge.artifacts import read_json, sha256_file, write_json
from edge.errors import ContractError, InputError, WeightsError
from edge.records import read_record, write_record
from train import runs
from train.runs import (
    BEST_WEIGHTS,
    EMA_WEIGHTS,
    LAST_WEIGHTS,
    RUN_RECORD,
    RUN_WEIGHTS,
    Resumption,
    RunRecord,
    TrainingMeasurements,
    frames_digest,
    new_run_folder,
    read_run,
    weights_in_run,
)
from train.weights_pair import staged_path

RUN = RunRecord(
    model="fast_scnn",
    dataset="camvid",
    data_dir="/data/camvid",
    class_count=11,
    height=384,
    width=512,
    options={"dropout": 0.1},
    recipe={"epochs": 2},
    init="random",
    seed=3,
    started_utc="2026-01-01T00:00:00",
    status="finished",
    history=({"epoch": 1, "loss": 1.5, "class_iou": {"sky": None}},),
    best_epoch=1,
    best_miou=0.25,
    versions={"keras": "3"},
)


def write_run(folder, content=b"weights", **changes):
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / BEST_WEIGHTS
    weights.write_bytes(content)
    fields = {"weights_sha256": sha256_file(weights), **changes}
    write_record(folder / RUN_RECORD, dataclasses.replace(RUN, **fields))
    return weights


def test_record_round_trips(tmp_path):
    write_record(tmp_path / RUN_RECORD, RUN)
    assert read_record(RunRecord, tmp_path / RUN_RECORD) == RUN


def test_measurements_and_resumptions_round_trip(tmp_path):
    measurements = TrainingMeasurements(training_s=90.5, step_p50_s=0.25, peak_host_bytes=1 << 31)
    run = dataclasses.replace(
        RUN, measurements=measurements, resumptions=(Resumption(7, "2026-01-01T00:00:00+00:00"),), devices=("CPU",)
    )
    write_record(tmp_path / RUN_RECORD, run)
    assert read_record(RunRecord, tmp_path / RUN_RECORD) == run


def test_record_of_before_is_read_with_defaults(tmp_path):
    write_record(tmp_path / RUN_RECORD, RUN)
    value = read_json(tmp_path / RUN_RECORD, "run")
    before = set(list(value)[: list(value).index("skipped_frames") + 1])
    write_json(tmp_path / RUN_RECORD, {name: value[name] for name in before})
    assert read_record(RunRecord, tmp_path / RUN_RECORD) == RUN


def test_digest_of_frames_is_that_of_their_names_in_their_order():
    assert frames_digest(["a", "b"]) == frames_digest(iter(("a", "b")))
    assert len({frames_digest(names) for names in (["a", "b"], ["b", "a"], ["ab"], ["a"], [])}) == 5


def test_folder_names_sort_by_time_and_are_not_made(tmp_path):
    folder = new_run_folder("fast_scnn", "camvid", tmp_path)
    assert re.fullmatch(r"fast_scnn-camvid-\d{8}T\d{6}\.\d{3}Z", folder.name)
    assert not folder.exists()


def test_record_of_before_has_no_number_of_validation_frames(tmp_path):
    write_record(tmp_path / RUN_RECORD, RUN)
    value = read_json(tmp_path / RUN_RECORD, "run")
    del value["validation_frames"]
    write_json(tmp_path / RUN_RECORD, value)
    assert read_record(RunRecord, tmp_path / RUN_RECORD).validation_frames is None


def test_record_beside_the_weights_says_where_they_come_from(tmp_path):
    weights = write_run(tmp_path / "run")
    run, provenance = read_run(weights, "fast_scnn")
    assert run.options == {"dropout": 0.1}
    assert (provenance.kind, provenance.source, provenance.sha256) == ("trained", "run", sha256_file(weights))
    assert (provenance.miou, provenance.trained_size) == (0.25, (384, 512))


def test_provenance_has_the_time_and_the_machine_of_the_training(tmp_path):
    weights = write_run(tmp_path / "run")
    assert read_run(weights, "fast_scnn")[1].training_s is None
    run = read_record(RunRecord, tmp_path / "run" / RUN_RECORD)
    measured = TrainingMeasurements(training_s=90.5, validation_s=9.5)
    write_record(tmp_path / "run" / RUN_RECORD, dataclasses.replace(run, measurements=measured, devices=("a GPU",)))
    provenance = read_run(weights, "fast_scnn")[1]
    assert (provenance.training_s, provenance.trained_on) == (100.0, "a GPU")


def test_weights_of_another_model_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="weights of fast_scnn, expected fastfcn"):
        read_run(write_run(tmp_path / "run"), "fastfcn")


@pytest.mark.parametrize("content", [b"weight", b"Weights", b""])
def test_damaged_weights_are_refused(tmp_path, content):
    weights = write_run(tmp_path / "run")
    weights.write_bytes(content)
    with pytest.raises(WeightsError, match="damaged or was replaced"):
        read_run(weights, "fast_scnn")


def test_every_weights_file_of_a_run_is_known_by_its_own_hash(tmp_path):
    write_run(tmp_path)
    others = {name: write_other(tmp_path, name) for name in (LAST_WEIGHTS, EMA_WEIGHTS)}
    history = ({"epoch": 1, "miou": 0.25}, {"epoch": 2, "miou": 0.2})
    scores = {0.0: (0.25, 0.2, None), 0.99: (0.25, None, 0.2)}  # what is validated is the average where there is one
    for ema, expected in scores.items():
        write_run(tmp_path, history=history, recipe={"ema": ema}, other_weights_sha256=others)
        found = [read_run(tmp_path / name, "fast_scnn")[1].miou for name in RUN_WEIGHTS]
        assert tuple(found) == expected
    (tmp_path / LAST_WEIGHTS).write_bytes(b"torn")
    with pytest.raises(WeightsError, match=rf"expected {others[LAST_WEIGHTS][:12]}\): it is damaged or was replaced"):
        read_run(tmp_path / LAST_WEIGHTS, "fast_scnn")


def test_last_weights_have_no_score_where_their_epoch_was_not_validated(tmp_path):
    digest = write_other(tmp_path, LAST_WEIGHTS)
    history = ({"epoch": 1, "miou": 0.25}, {"epoch": 2, "miou": None})
    write_run(tmp_path, history=history, other_weights_sha256={LAST_WEIGHTS: digest})
    assert read_run(tmp_path / LAST_WEIGHTS, "fast_scnn")[1].miou is None


def write_other(folder, name):
    (folder / name).write_bytes(name.encode())
    return sha256_file(folder / name)


def test_weights_whose_renaming_was_broken_off_are_put_in_place(tmp_path):
    weights = write_run(tmp_path)
    staged = staged_path(tmp_path, BEST_WEIGHTS, sha256_file(weights))
    weights.rename(staged)
    weights.write_bytes(b"those of before")
    assert weights_in_run(tmp_path) == weights
    assert (weights.read_bytes(), staged.exists()) == (b"weights", False)


def test_weights_whose_renaming_was_broken_off_are_read_in_a_read_only_folder(tmp_path, monkeypatch):
    weights = write_run(tmp_path)
    staged = staged_path(tmp_path, BEST_WEIGHTS, sha256_file(weights))
    weights.rename(staged)

    def read_only(*_paths):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "replace", read_only)
    assert weights_in_run(tmp_path) == staged
    assert read_run(staged, "fast_scnn")[1].sha256 == sha256_file(staged)


def test_weights_that_a_training_replaces_while_they_are_read_are_not_called_damaged(tmp_path, monkeypatch):
    weights = write_run(tmp_path)

    def digest_before_the_record(path):
        monkeypatch.undo()
        write_run(tmp_path, content=b"better", best_miou=0.5)
        return sha256_file(path)

    monkeypatch.setattr(runs, "sha256_file", digest_before_the_record)
    assert read_run(weights, "fast_scnn")[1].miou == 0.5


def test_missing_weights_or_record_are_named(tmp_path):
    with pytest.raises(InputError, match="weights not found"):
        read_run(tmp_path / BEST_WEIGHTS, "fast_scnn")
    (tmp_path / BEST_WEIGHTS).write_bytes(b"weights")
    with pytest.raises(InputError, match=r"has no run\.json beside it"):
        read_run(tmp_path / BEST_WEIGHTS, "fast_scnn")


def test_truncated_record_is_refused(tmp_path):
    weights = write_run(tmp_path / "run")
    path = weights.parent / RUN_RECORD
    path.write_text(path.read_text()[:-40])
    with pytest.raises(ContractError, match="damaged"):
        read_run(weights, "fast_scnn")
