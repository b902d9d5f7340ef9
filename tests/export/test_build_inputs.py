"""What a build is made from when the user left it open: each rule of precedence."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edge.artifacts import artifact_folder, sha256_file
from edge.datasets import DATA_ROOT_VARIABLE
from edge.errors import DatasetError, InputError, WeightsError
from edge.frames import DatasetFrames, SyntheticFrames
from edge.imaging import write_image
from edge.records import write_record
from export.build_inputs import SYNTHETIC_HELD_OUT_SEED, choose_inputs, held_out_frames
from train.runs import BEST_WEIGHTS, RUN_RECORD, RunRecord

SIZE = (64, 128)


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(DATA_ROOT_VARIABLE, raising=False)


def write_run(folder, model="fast_scnn", dataset="camvid", data_dir="/nowhere", options=None):
    folder.mkdir(parents=True)
    weights = folder / BEST_WEIGHTS
    weights.write_bytes(folder.name.encode())
    run = RunRecord(
        model=model,
        dataset=dataset,
        data_dir=str(data_dir),
        class_count=11,
        height=64,
        width=128,
        options=options or {},
        recipe={},
        init="random",
        seed=0,
        started_utc="2026-01-01T00:00:00",
        status="finished",
        best_epoch=1,
        best_miou=0.5,
        weights_sha256=sha256_file(weights),
    )
    write_record(folder / RUN_RECORD, run)
    return weights


def choose(tmp_path, dataset=None, data_dir=None, weights=None, model="fast_scnn", options=None):
    return choose_inputs(model, dataset, data_dir, weights, SIZE, options, tmp_path / "runs", tmp_path / "artifacts")


def make_folder(path):
    path.mkdir(parents=True)
    return path


# Weights


def test_given_weights_win_over_newer_runs(tmp_path):
    write_run(tmp_path / "runs" / "fast_scnn-camvid-20300101T000000.000Z")
    given = write_run(tmp_path / "elsewhere")
    assert choose(tmp_path, weights=given).weights_path == given


def test_newest_run_of_the_model_is_taken(tmp_path):
    write_run(tmp_path / "runs" / "fast_scnn-synthetic-20260101T000000.000Z", dataset="synthetic")
    newest = write_run(tmp_path / "runs" / "fast_scnn-camvid-20260201T000000.000Z")
    write_run(tmp_path / "runs" / "fastfcn-camvid-20260301T000000.000Z", model="fastfcn")
    assert choose(tmp_path).weights_path == newest


def test_newest_run_is_looked_for_on_the_given_dataset(tmp_path):
    wanted = write_run(tmp_path / "runs" / "fast_scnn-synthetic-20260101T000000.000Z", dataset="synthetic")
    write_run(tmp_path / "runs" / "fast_scnn-camvid-20260201T000000.000Z")
    assert choose(tmp_path, dataset="synthetic").weights_path == wanted
    assert choose(tmp_path, dataset="cityscapes").weights_path is None


def test_without_runs_there_are_no_weights(tmp_path):
    assert choose(tmp_path).weights_path is None


def test_missing_weights_are_an_error_before_all_else(tmp_path):
    with pytest.raises(InputError, match="weights not found"):
        choose(tmp_path, weights=tmp_path / "none.weights.h5")


def test_weights_of_another_model_are_refused_with_the_way_out(tmp_path):
    given = write_run(tmp_path / "elsewhere", model="fastfcn")
    with pytest.raises(WeightsError, match=r"weights of fastfcn, expected fast_scnn.*--model fastfcn"):
        choose(tmp_path, weights=given)


# Options


def test_run_with_other_options_is_not_chosen(tmp_path):
    plain = write_run(tmp_path / "runs" / "fast_scnn-camvid-20260101T000000.000Z")
    symmetric = write_run(tmp_path / "runs" / "fast_scnn-camvid-20260201T000000.000Z", options={"padding": "symmetric"})
    assert choose(tmp_path, options={"padding": "same"}).weights_path == plain
    assert choose(tmp_path, options={"padding": "symmetric"}).weights_path == symmetric
    assert choose(tmp_path, options={"fusion_dilation": "1"}).weights_path is None


def test_without_options_those_of_the_newest_weights_hold(tmp_path):
    write_run(tmp_path / "runs" / "fast_scnn-camvid-20260101T000000.000Z")
    newest = write_run(
        tmp_path / "runs" / "fast_scnn-camvid-20260201T000000.000Z", options={"padding": "symmetric", "dropout": 0.1}
    )
    sources = choose(tmp_path)
    assert (sources.weights_path, sources.options) == (newest, {"padding": "symmetric"})


def test_options_are_values_and_those_at_their_defaults_are_left_out(tmp_path):
    sources = choose(tmp_path, options={"separable_relu": "true", "dropout": "0.1", "fusion_dilation": "1"})
    assert sources.options == {"separable_relu": True, "fusion_dilation": 1}
    assert choose(tmp_path).options == {}


def test_given_weights_with_other_options_are_refused(tmp_path):
    given = write_run(tmp_path / "elsewhere", options={"padding": "symmetric"})
    assert choose(tmp_path, weights=given, options={"padding": "symmetric"}).options == {"padding": "symmetric"}
    with pytest.raises(
        WeightsError, match=r"with padding=symmetric, expected padding=same.*Next: leave the option out"
    ):
        choose(tmp_path, weights=given, options={"padding": "same"})


def test_option_that_does_not_shape_the_weights_joins_those_of_the_weights(tmp_path):
    run = write_run(
        tmp_path / "runs" / "bayesian_segnet-camvid-20260101T000000.000Z",
        "bayesian_segnet",
        options={"classifier": "norm_relu"},
    )
    sources = choose(tmp_path, model="bayesian_segnet", options={"monte_carlo": "8"})
    assert (sources.weights_path, sources.options) == (run, {"classifier": "norm_relu", "monte_carlo": 8})


@pytest.mark.parametrize("options", [{"depth": "50"}, {"padding": "none"}])
def test_option_that_the_model_does_not_have_is_refused_before_all_else(tmp_path, options):
    with pytest.raises(InputError, match="expected"):
        choose(tmp_path, weights=tmp_path / "none.weights.h5", options=options)


def test_dataset_is_that_of_an_artefact_with_these_options(tmp_path):
    for dataset, options in (("camvid", {"padding": "symmetric"}), ("synthetic", {}), ("camvid", {"dropout": 0.3})):
        folder = artifact_folder("fast_scnn", dataset, *SIZE, tmp_path / "artifacts", options)
        make_folder(folder).joinpath("contract.json").touch()
    assert choose(tmp_path, options={"padding": "symmetric"}).dataset == "camvid"
    assert choose(tmp_path).dataset == "synthetic"
    assert choose(tmp_path, options={"padding": "symmetric", "dropout": 0.3}).dataset == "cityscapes"


# Dataset


def test_given_dataset_wins_over_that_of_the_weights(tmp_path):
    given = write_run(tmp_path / "elsewhere", dataset="synthetic")
    assert choose(tmp_path, dataset="cityscapes", weights=given).dataset == "cityscapes"


def test_dataset_follows_the_weights(tmp_path):
    write_run(tmp_path / "runs" / "fast_scnn-camvid-20260101T000000.000Z")
    make_folder(tmp_path / "artifacts" / "fast_scnn-synthetic-64x128").joinpath("contract.json").touch()
    assert choose(tmp_path).dataset == "camvid"


def test_without_weights_the_dataset_is_that_of_an_artefact_of_this_model_and_size(tmp_path):
    for name in ("fast_scnn-camvid-64x128", "fast_scnn-synthetic-32x32", "fastfcn-synthetic-64x128"):
        make_folder(tmp_path / "artifacts" / name).joinpath("contract.json").touch()
    make_folder(tmp_path / "artifacts" / "fast_scnn-synthetic-64x128")  # no contract: no artefact
    assert choose(tmp_path).dataset == "camvid"


def test_of_several_artefacts_cityscapes_goes_first(tmp_path):
    for name in ("fast_scnn-camvid-64x128", "fast_scnn-cityscapes-64x128"):
        make_folder(tmp_path / "artifacts" / name).joinpath("contract.json").touch()
    assert choose(tmp_path).dataset == "cityscapes"


def test_with_nothing_at_all_the_dataset_is_cityscapes(tmp_path):
    sources = choose(tmp_path)
    assert (sources.dataset, sources.data_dir, sources.weights_path) == ("cityscapes", None, None)


# Folder


def test_given_folder_wins(tmp_path):
    make_folder(tmp_path / "data" / "camvid")
    given, own = make_folder(tmp_path / "given"), make_folder(tmp_path / "own")
    weights = write_run(tmp_path / "elsewhere", data_dir=own)
    assert choose(tmp_path, data_dir=given, weights=weights).data_dir == given


def test_default_folder_goes_before_that_of_the_run(tmp_path, monkeypatch):
    default = make_folder(tmp_path / "sets" / "camvid")
    weights = write_run(tmp_path / "elsewhere", data_dir=make_folder(tmp_path / "own"))
    monkeypatch.setenv(DATA_ROOT_VARIABLE, str(tmp_path / "sets"))
    assert choose(tmp_path, weights=weights).data_dir == default


def test_folder_of_the_run_serves_its_own_dataset_alone(tmp_path):
    own = make_folder(tmp_path / "own")
    weights = write_run(tmp_path / "elsewhere", data_dir=own)
    assert choose(tmp_path, weights=weights).data_dir == own
    assert choose(tmp_path, dataset="synthetic", weights=weights).data_dir is None


def test_folder_of_the_run_that_is_gone_is_no_folder(tmp_path):
    weights = write_run(tmp_path / "elsewhere", data_dir=tmp_path / "gone")
    assert choose(tmp_path, weights=weights).data_dir is None


def test_given_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(DatasetError, match="cityscapes folder not found"):
        choose(tmp_path, data_dir=tmp_path / "none")


# Held-out frames


@pytest.fixture
def camvid(tmp_path):
    for split, count in (("train", 2), ("val", 6)):
        for index in range(count):
            write_image(tmp_path / "camvid" / split / f"{split}_{index}.png", np.full((8, 8, 3), index, np.uint8))
        (tmp_path / "camvid" / f"{split}annot").mkdir()
    return tmp_path / "camvid"


def test_held_out_frames_are_of_the_validation_split_spread_over_it(camvid):
    frames = held_out_frames("camvid", camvid, 64, 128, 3)
    assert isinstance(frames, DatasetFrames)
    assert frames.names == ["val_0", "val_2", "val_4"]


def test_without_a_dataset_held_out_scenes_are_others_than_those_of_calibration():
    frames = held_out_frames("cityscapes", None, 64, 128, 2)
    assert isinstance(frames, SyntheticFrames)
    assert all(str(SYNTHETIC_HELD_OUT_SEED) in name for name in frames.names)
    from calibration.images.selection import SYNTHETIC_SEED

    assert SYNTHETIC_SEED != SYNTHETIC_HELD_OUT_SEED


def test_sources_are_plain_data(tmp_path):
    assert dataclasses.asdict(choose(tmp_path))["dataset"] == "cityscapes"
