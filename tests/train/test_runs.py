"""Run folders: weights are used only with the record they belong to."""

from __future__ import annotations

import dataclasses
import re

import pytest

from edge.artifacts import read_json, sha256_file, write_json
from edge.errors import ContractError, InputError, WeightsError
from edge.records import read_record, write_record
from train.runs import BEST_WEIGHTS, RUN_RECORD, RunRecord, new_run_folder, read_run

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


def test_weights_of_another_model_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="weights of fast_scnn, expected fastfcn"):
        read_run(write_run(tmp_path / "run"), "fastfcn")


@pytest.mark.parametrize("content", [b"weight", b"Weights", b""])
def test_damaged_weights_are_refused(tmp_path, content):
    weights = write_run(tmp_path / "run")
    weights.write_bytes(content)
    with pytest.raises(WeightsError, match="damaged or was replaced"):
        read_run(weights, "fast_scnn")


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
