"""Run folders: the newest is found, and weights are used only with the record they belong to."""

from __future__ import annotations

import dataclasses
import re

import pytest

from edge.artifacts import sha256_file
from edge.errors import ContractError, InputError, WeightsError
from edge.records import read_record, write_record
from train.runs import BEST_WEIGHTS, RUN_RECORD, RunRecord, new_run_folder, newest_run, read_run

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


def test_newest_run_is_that_of_the_latest_time(tmp_path):
    write_run(tmp_path / "fast_scnn-synthetic-20260301T000000.000Z")
    newest = write_run(tmp_path / "fast_scnn-camvid-20260401T000000.000Z")
    write_run(tmp_path / "fast_scnn-camvid-20260201T000000.000Z")
    assert newest_run("fast_scnn", root=tmp_path) == newest


def test_newest_run_is_of_the_model_and_dataset_asked_for(tmp_path):
    synthetic = write_run(tmp_path / "fast_scnn-synthetic-20260101T000000.000Z")
    write_run(tmp_path / "fast_scnn-camvid-20260401T000000.000Z")
    assert newest_run("fast_scnn", "synthetic", tmp_path) == synthetic
    assert newest_run("fastfcn", root=tmp_path) is None
    assert newest_run("fast", root=tmp_path) is None


def test_run_without_weights_or_record_is_passed_over(tmp_path):
    usable = write_run(tmp_path / "fast_scnn-camvid-20260101T000000.000Z")
    write_run(tmp_path / "fast_scnn-camvid-20260201T000000.000Z").unlink()
    (write_run(tmp_path / "fast_scnn-camvid-20260301T000000.000Z").parent / RUN_RECORD).unlink()
    assert newest_run("fast_scnn", root=tmp_path) == usable


def test_newest_run_has_the_options_asked_for(tmp_path):
    plain = write_run(tmp_path / "fast_scnn-camvid-20260101T000000.000Z", options={})
    wider = write_run(tmp_path / "fast_scnn-camvid-20260201T000000.000Z", options={"dropout": 0.3})
    newest = write_run(
        tmp_path / "fast_scnn-camvid-20260301T000000.000Z", options={"dropout": 0.3, "padding": "symmetric"}
    )
    found = {
        None: newest,
        (): newest,
        (("dropout", 0.3),): newest,
        (("dropout", 0.3), ("padding", "same")): wider,
        (("dropout", 0.1),): plain,  # an option that a record does not name has its default
        (("padding", "same"),): wider,
        (("fusion_dilation", 1),): None,
    }
    for options, path in found.items():
        wanted = None if options is None else dict(options)
        assert newest_run("fast_scnn", root=tmp_path, options=wanted) == path, options


def test_newest_run_is_of_the_dataset_and_the_options(tmp_path):
    wanted = write_run(tmp_path / "fast_scnn-synthetic-20260101T000000.000Z", options={"dropout": 0.3})
    write_run(tmp_path / "fast_scnn-camvid-20260201T000000.000Z", options={"dropout": 0.3})
    write_run(tmp_path / "fast_scnn-synthetic-20260301T000000.000Z")
    assert newest_run("fast_scnn", "synthetic", tmp_path, {"dropout": 0.3}) == wanted


def test_options_that_do_not_shape_the_weights_choose_no_run(tmp_path):
    run = write_run(tmp_path / "bayesian_segnet-camvid-20260101T000000.000Z", model="bayesian_segnet", options={})
    for options in ({"monte_carlo": 8}, {"uncertainty": "variance", "classifier": "plain"}):
        assert newest_run("bayesian_segnet", root=tmp_path, options=options) == run
    assert newest_run("bayesian_segnet", root=tmp_path, options={"monte_carlo": 8, "classifier": "norm_relu"}) is None


@pytest.mark.parametrize("damage", ["truncated", "options of another version"])
def test_run_whose_record_cannot_be_read_is_not_chosen_for_its_options(tmp_path, damage):
    usable = write_run(tmp_path / "fast_scnn-camvid-20260101T000000.000Z", options={"dropout": 0.3})
    folder = tmp_path / "fast_scnn-camvid-20260201T000000.000Z"
    write_run(folder, options={"dropout": 0.3} if damage == "truncated" else {"dropout": 0.3, "gone": 1})
    if damage == "truncated":
        (folder / RUN_RECORD).write_text((folder / RUN_RECORD).read_text()[:-40])
    assert newest_run("fast_scnn", root=tmp_path, options={"dropout": 0.3}) == usable


def test_without_runs_there_is_none(tmp_path):
    assert newest_run("fast_scnn", root=tmp_path / "none") is None


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
