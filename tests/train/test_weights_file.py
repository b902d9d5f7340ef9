"""A weights file is used only with the record it belongs to, for the network that it was made for."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edge.artifacts import sha256_file
from edge.errors import ContractError, InputError, WeightsError
from edge.provenance import IMPORTED, TRAINED
from edge.records import read_record, write_record
from train.options import resolve_options
from train.runs import BEST_WEIGHTS, LAST_WEIGHTS, RUN_RECORD, RunRecord
from train.weights_file import ImportRecord, agreed_options, import_record_path, read_weights, weights_path_of
from train.weights_pair import staged_path

RUN = RunRecord(
    model="bayesian_segnet",
    dataset="camvid",
    data_dir="data/camvid",
    class_count=11,
    height=360,
    width=480,
    options={"classifier": "norm_relu"},
    recipe={},
    init="random",
    seed=0,
    started_utc="2026-01-01T00:00:00",
    status="finished",
    best_epoch=1,
    best_miou=0.5,
)

IMPORT = ImportRecord(
    model="bayesian_segnet",
    source="pytorch_semseg",
    file="segnet.pth",
    file_sha256="1" * 64,
    dataset="cityscapes",
    class_count=19,
    options={"classifier": "norm_relu"},
    tensors_used=5,
    left_out=("unused.*: no use",),
    fresh=("logits",),
    weights_sha256="",
    imported_utc="2026-01-01T00:00:00",
    versions={"keras": "3"},
)


def write_trained(folder: Path, content: bytes = b"weights", **changes) -> Path:
    folder.mkdir(parents=True)
    path = folder / BEST_WEIGHTS
    path.write_bytes(content)
    fields = {"weights_sha256": sha256_file(path), **changes}
    write_record(folder / RUN_RECORD, dataclasses.replace(RUN, **fields))
    return path


def write_imported(folder: Path, name: str = "segnet", content: bytes = b"weights", **changes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.weights.h5"
    path.write_bytes(content)
    fields = {"weights_sha256": sha256_file(path), **changes}
    write_record(import_record_path(path), dataclasses.replace(IMPORT, **fields))
    return path


WRITERS = (write_trained, write_imported)


def refusal(error, call, *arguments) -> str:
    """Return the message of a refused call, which has one line."""
    with pytest.raises(error) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# What is read


def test_trained_weights_are_what_their_run_says(tmp_path):
    path = write_trained(tmp_path / "runs" / "bayesian_segnet-camvid-1")
    weights = read_weights(path, "bayesian_segnet")
    assert (weights.path, weights.model, weights.dataset, weights.class_count) == (
        path,
        "bayesian_segnet",
        "camvid",
        11,
    )
    assert weights.options == resolve_options("bayesian_segnet", {"classifier": "norm_relu"})
    assert weights.data_dir == Path("data/camvid")
    provenance = weights.provenance
    assert (provenance.kind, provenance.source) == (TRAINED, "bayesian_segnet-camvid-1")
    assert (provenance.sha256, provenance.miou, provenance.trained_size) == (sha256_file(path), 0.5, (360, 480))


def test_imported_weights_are_what_their_record_says(tmp_path):
    path = write_imported(tmp_path)
    weights = read_weights(path, "bayesian_segnet")
    assert (weights.path, weights.dataset, weights.class_count) == (path, "cityscapes", 19)
    assert weights.options == resolve_options("bayesian_segnet", {"classifier": "norm_relu"})
    assert weights.data_dir is None
    assert (weights.provenance.kind, weights.provenance.source) == (IMPORTED, "segnet.pth")
    assert (weights.provenance.sha256, weights.provenance.miou) == (sha256_file(path), None)


def test_backbone_alone_has_no_classes(tmp_path):
    weights = read_weights(write_imported(tmp_path, dataset=None, class_count=None), "bayesian_segnet")
    assert (weights.dataset, weights.class_count) == (None, None)


def test_imported_weights_in_the_folder_of_a_run_have_their_own_record(tmp_path):
    trained = write_trained(tmp_path / "run", content=b"trained")
    imported = write_imported(tmp_path / "run", content=b"imported")
    assert read_weights(trained, "bayesian_segnet").provenance.kind == TRAINED
    assert read_weights(imported, "bayesian_segnet").provenance.kind == IMPORTED


def test_record_lies_beside_its_weights_and_round_trips(tmp_path):
    path = write_imported(tmp_path, "a.b")
    assert import_record_path(path) == tmp_path / "a.b.weights.json"
    record = read_record(ImportRecord, import_record_path(path))
    assert record == dataclasses.replace(IMPORT, weights_sha256=sha256_file(path))


# Refused


@pytest.mark.parametrize("write", WRITERS)
def test_weights_of_another_model_are_refused_with_the_way_out(tmp_path, write):
    path = write(tmp_path / "folder")
    message = refusal(WeightsError, read_weights, path, "unet")
    assert f"{path} are weights of bayesian_segnet, expected unet. Next: --model bayesian_segnet" in message


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("content", [b"weight", b"Weights", b""])
def test_file_that_is_not_the_one_described_is_refused(tmp_path, write, content):
    path = write(tmp_path / "folder")
    path.write_bytes(content)
    assert "damaged or was replaced" in refusal(WeightsError, read_weights, path, "bayesian_segnet")


def test_file_of_another_name_is_refused_with_the_way_to_import_it(tmp_path):
    path = tmp_path / "segnet.pth"
    path.write_bytes(b"weights")
    message = refusal(WeightsError, read_weights, path, "bayesian_segnet")
    assert message.endswith(f"Next: python train/import_weights.py {path} --model bayesian_segnet")


@pytest.mark.parametrize("name", ["none.weights.h5", "none.pth"])
def test_missing_file_is_named(tmp_path, name):
    assert refusal(InputError, read_weights, tmp_path / name, "unet") == f"weights not found: {tmp_path / name}"
    assert "weights not found" in refusal(InputError, read_weights, tmp_path, "unet")


def test_file_without_a_record_is_refused_with_the_names_that_it_could_have(tmp_path):
    path = tmp_path / "segnet.weights.h5"
    path.write_bytes(b"weights")
    message = refusal(InputError, read_weights, path, "bayesian_segnet")
    assert f"{path} has no run.json, segnet.weights.json or segnet.card.json beside it" in message


@pytest.mark.parametrize("write", WRITERS)
def test_truncated_record_is_refused(tmp_path, write):
    path = write(tmp_path / "folder")
    record = path.parent / RUN_RECORD if write is write_trained else import_record_path(path)
    record.write_text(record.read_text()[:-30])
    assert "damaged" in refusal(ContractError, read_weights, path, "bayesian_segnet")


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("options", [{"depth": 50}, {"classifier": "best"}])
def test_record_of_options_that_are_not_here_is_refused(tmp_path, write, options):
    path = write(tmp_path / "folder", options=options)
    assert "expected" in refusal(InputError, read_weights, path, "bayesian_segnet")


# Options


@pytest.fixture(params=WRITERS, ids=["trained", "imported"])
def weights(request, tmp_path):
    return read_weights(request.param(tmp_path / "folder"), "bayesian_segnet")


def test_without_wishes_the_options_are_those_of_the_weights(weights):
    assert agreed_options(weights, {}) == weights.options
    assert weights.options["classifier"] == "norm_relu"


def test_free_options_are_the_users(weights):
    agreed = agreed_options(weights, {"monte_carlo": "8", "uncertainty": "variance"})
    assert agreed == {**weights.options, "monte_carlo": 8, "uncertainty": "variance"}
    assert weights.options["monte_carlo"] == 0


@pytest.mark.parametrize("given", [{"classifier": "norm_relu"}, {"normalisation": "imagenet"}])
def test_option_that_the_weights_have_may_be_said(weights, given):
    assert agreed_options(weights, given) == weights.options


@pytest.mark.parametrize("given", [{"classifier": "plain"}, {"normalisation": "unit", "monte_carlo": 2}])
def test_option_that_shapes_the_weights_is_refused_where_theirs_is_another(weights, given):
    message = refusal(WeightsError, agreed_options, weights, given)
    (name, value), *_ = given.items()
    assert f"bayesian_segnet with {name}={weights.options[name]}, expected {name}={value}" in message
    assert message.endswith("Next: leave the option out, or choose other weights")


@pytest.mark.parametrize("given", [{"depth": 50}, {"monte_carlo": -1}, {"classifier": "best"}])
def test_option_that_nobody_has_is_refused(weights, given):
    assert "expected" in refusal(InputError, agreed_options, weights, given)


# What stands for weights


def test_folder_of_a_run_its_record_and_its_file_all_stand_for_its_weights(tmp_path):
    weights = write_trained(tmp_path / "run")
    for path in (weights, weights.parent, weights.parent / RUN_RECORD):
        assert weights_path_of(path) == weights
    assert weights_path_of(tmp_path / "a.weights.json") == tmp_path / "a.weights.h5"
    assert weights_path_of(tmp_path / "net.pth") == tmp_path / "net.pth"


def test_whatever_stands_for_weights_finds_those_whose_renaming_was_broken_off(tmp_path):
    weights = write_trained(tmp_path / "run")
    staged = staged_path(weights.parent, BEST_WEIGHTS, sha256_file(weights))
    for path in (weights, weights.parent, weights.parent / RUN_RECORD):
        weights.rename(staged)
        assert weights_path_of(path) == weights
        assert read_weights(weights, "bayesian_segnet").provenance.sha256 == sha256_file(weights)


def test_further_weights_of_a_run_are_named_by_their_file(tmp_path):
    weights = write_trained(tmp_path / "run")
    last = weights.with_name(LAST_WEIGHTS)
    last.write_bytes(b"last")
    run = read_record(RunRecord, weights.parent / RUN_RECORD)
    others = {LAST_WEIGHTS: sha256_file(last)}
    write_record(weights.parent / RUN_RECORD, dataclasses.replace(run, other_weights_sha256=others))
    found = read_weights(weights_path_of(last), "bayesian_segnet")
    assert (found.path, found.provenance.sha256, found.provenance.miou) == (last, sha256_file(last), None)


def test_folder_without_weights_is_refused_by_what_it_has(tmp_path):
    weights = write_trained(tmp_path / "run")
    weights.unlink()
    with pytest.raises(InputError, match=r"run has no best\.weights\.h5, found run\.json, so no epoch has ended yet"):
        weights_path_of(tmp_path / "run")
    with pytest.raises(InputError, match=r"found neither it nor run\.json\. Next: name the folder of a run"):
        weights_path_of(tmp_path)
