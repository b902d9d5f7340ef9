"""What a build is made from when the user left it open: each rule of precedence."""

from __future__ import annotations

import dataclasses

import pytest

import export.found_weights as found_weights
from edge.artifacts import artifact_folder, sha256_file
from edge.contract import CONTRACT_FILE, Contract
from edge.datasets import DATA_ROOT_VARIABLE, class_table
from edge.datasets.reference import dataset_reference
from edge.errors import DatasetError, InputError, WeightsError
from edge.frames import SyntheticFrames
from edge.provenance import WeightsProvenance
from edge.records import read_record, write_record
from export.build_inputs import choose_inputs
from export.held_out import held_out_frames
from tests.own_data import write_yard
from train.runs import BEST_WEIGHTS, RUN_RECORD, RUN_STATE, RunRecord
from train.weights_file import ImportRecord

SIZE = (64, 128)


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Of the machine that the tests run on, and of no concern here.
    monkeypatch.setattr(found_weights, "_other_run_roots", lambda checkout: [])
    monkeypatch.setattr(found_weights, "_find_shipped", lambda model, checkout: [])  # test_shipped_weights.py has them
    monkeypatch.delenv(DATA_ROOT_VARIABLE, raising=False)


def write_run(
    folder,
    model="fast_scnn",
    dataset="camvid",
    data_dir="/nowhere",
    options=None,
    status="finished",
    size=SIZE,
    miou=0.5,
):
    folder.mkdir(parents=True)
    weights = folder / BEST_WEIGHTS
    weights.write_bytes(folder.name.encode())
    run = RunRecord(
        model=model,
        dataset=dataset,
        data_dir=str(data_dir),
        class_count=11 if dataset == "camvid" else 19,
        height=size[0],
        width=size[1],
        options=options or {},
        recipe={},
        init="random",
        seed=0,
        started_utc="2026-01-01T00:00:00",
        status=status,
        best_epoch=1,
        best_miou=miou,
        weights_sha256=sha256_file(weights),
    )
    write_record(folder / RUN_RECORD, run)
    return weights


def choose(tmp_path, dataset=None, data_dir=None, weights=None, model="fast_scnn", options=None, size=SIZE, **more):
    """Choose with a size, as if the user gave it; `size=None` leaves it open."""
    roots = (tmp_path / "runs", tmp_path / "artifacts")
    return choose_inputs(model, dataset, data_dir, weights, size, options, *roots, **more)


def write_contract(folder, dataset="camvid", size=SIZE, kind="trained", options=None, trained_size=None):
    """Write the contract of an artefact, as an export elsewhere would have left it."""
    height, width = size
    contract = Contract(
        model="fast_scnn",
        dataset=dataset,
        class_names=class_table(dataset).class_names,
        height=height,
        width=width,
        stride=8,
        coordinates="half_pixel",
        input_name="frame",
        output_name="logits",
        graph_sha256="0" * 64,
        weights=WeightsProvenance(
            kind, "seed 0" if kind == "random" else "fast_scnn-run", "1" * 64, trained_size=trained_size
        ),
        source_sha256="2" * 64,
        opset=13,
        versions={},
        options=options or {},
    )
    path = artifact_folder("fast_scnn", dataset, height, width, folder / "artifacts", options)
    write_record(path / CONTRACT_FILE, contract)
    return path


def make_folder(path):
    path.mkdir(parents=True)
    return path


# Weights


def test_given_weights_win_over_newer_runs(tmp_path):
    write_run(tmp_path / "runs" / "fast_scnn-camvid-20300101T000000.000Z")
    given = write_run(tmp_path / "elsewhere")
    assert choose(tmp_path, weights=given).weights_path == given


def test_best_finished_run_is_taken_at_its_own_size_and_told(tmp_path):
    best = write_run(tmp_path / "runs" / "baseline", size=(96, 128), miou=0.6)
    write_run(tmp_path / "runs" / "smoke", size=(96, 128), miou=0.1)
    write_run(tmp_path / "runs" / "fastfcn-camvid-20260301T000000.000Z", model="fastfcn", miou=0.9)
    sources = choose(tmp_path, size=None)
    assert (sources.weights_path, sources.size, sources.dataset) == (best, (96, 128), "camvid")
    weights, size = sources.told
    assert weights.startswith(f"weights: {best.parent} (camvid, 96x128, mIoU 60.00 %, finished), the best of 2")
    assert "passed over: smoke (mIoU 10.00 %" in weights
    assert size == "size: 96x128, as the weights were validated; --size HxW asks for another"
    assert choose(tmp_path, size=(96, 128)).told == (weights,)


def test_run_is_looked_for_on_the_given_dataset(tmp_path):
    wanted = write_run(tmp_path / "runs" / "one", dataset="synthetic")
    write_run(tmp_path / "runs" / "two")
    assert choose(tmp_path, dataset="synthetic").weights_path == wanted


def test_runs_on_two_datasets_stop_the_build_with_the_options_that_choose(tmp_path):
    for dataset in ("camvid", "synthetic"):
        write_run(tmp_path / "runs" / f"run-{dataset}", dataset=dataset)
    with pytest.raises(WeightsError) as raised:
        choose(tmp_path, size=None)
    text = str(raised.value)
    assert text.startswith(
        "fast_scnn has finished runs on camvid and synthetic, whose scores are not comparable; found"
    )
    assert "--dataset camvid, or --dataset synthetic, or --weights " in text


def test_dataset_that_no_run_has_stops_the_build_and_names_the_runs(tmp_path):
    run = write_run(tmp_path / "runs" / "one", dataset="synthetic")
    with pytest.raises(WeightsError) as raised:
        choose(tmp_path, dataset="camvid", size=None)
    text = str(raised.value)
    assert text.startswith("no finished run and no artefact of fast_scnn on camvid is here; found 1 run: ")
    assert f"{run.parent} (synthetic, 64x128, mIoU 50.00 %, finished)" in text
    assert f"Next: --dataset synthetic, or --weights {run.parent} without --dataset, or --random-weights" in text


def test_size_that_no_run_has_stops_the_build_unless_the_weights_are_named(tmp_path):
    run = write_run(tmp_path / "runs" / "one")
    with pytest.raises(
        WeightsError, match=r"fast_scnn at 96x192 is here; .*64x128.* Next: no --size, .* or --weights "
    ):
        choose(tmp_path, size=(96, 192))
    sources = choose(tmp_path, size=(96, 192), weights=run.parent)
    assert (sources.weights_path, sources.size) == (run, (96, 192))
    assert sources.told[1] == (
        "size: 96x192, the weights were validated at 64x128, so their mIoU is not that of this size"
    )
    assert not any(line.startswith("warning: ") for line in sources.told)


def test_other_aspect_ratio_than_that_of_the_weights_is_warned_of(tmp_path):
    run = write_run(tmp_path / "runs" / "one")
    *_, warning = choose(tmp_path, size=(64, 64), weights=run).told
    assert warning.startswith("warning: the aspect ratio is 1.00, the weights were trained for 2.00")


@pytest.mark.parametrize(
    ("status", "told"), [("running", "killed"), ("interrupted", "interrupted"), ("failed", "failed")]
)
def test_unfinished_run_is_taken_if_it_is_named_and_warned_of(tmp_path, status, told):
    run = write_run(tmp_path / "runs" / "one", status=status)
    with pytest.raises(WeightsError, match=rf"{told}.*Next: --weights .*one, or --random-weights"):
        choose(tmp_path)
    sources = choose(tmp_path, weights=run.parent)
    assert sources.weights_path == run
    assert any(line.startswith("warning: ") and "its weights are the best until then" in line for line in sources.told)


def test_run_that_can_go_on_is_offered_where_none_has_finished(tmp_path):
    run = write_run(tmp_path / "runs" / "one", status="interrupted")
    (run.parent / RUN_STATE).write_bytes(b"state")
    way_on = f"python train/train.py --resume {run.parent}"
    with pytest.raises(WeightsError, match=rf"Next: --weights {run.parent}, or {way_on}, or --random-weights"):
        choose(tmp_path)
    write_run(tmp_path / "runs" / "finished", dataset="synthetic")
    with pytest.raises(WeightsError) as raised:
        choose(tmp_path, dataset="camvid")
    assert way_on not in str(raised.value)


def test_torn_run_is_passed_over_and_offered_to_nobody(tmp_path):
    good = write_run(tmp_path / "runs" / "good", miou=0.1)
    torn = write_run(tmp_path / "runs" / "torn", miou=0.9)
    torn.write_bytes(b"half")
    assert choose(tmp_path).weights_path == good
    (good.parent / RUN_RECORD).unlink()
    with pytest.raises(WeightsError) as raised:
        choose(tmp_path)
    assert str(torn.parent) in str(raised.value) and f"--weights {torn.parent}" not in str(raised.value)


def test_folder_and_record_of_a_run_stand_for_its_weights(tmp_path):
    run = write_run(tmp_path / "elsewhere")
    assert choose(tmp_path, weights=run.parent).weights_path == run
    assert choose(tmp_path, weights=run.parent / RUN_RECORD).weights_path == run


def test_runs_of_the_checkout_or_of_a_folder_above_are_named_and_not_taken(tmp_path, monkeypatch):
    monkeypatch.undo()
    run = write_run(tmp_path / "runs" / "one")
    below, checkout = make_folder(tmp_path / "below"), make_folder(tmp_path / "checkout")
    monkeypatch.chdir(below)
    with pytest.raises(WeightsError, match=rf"found .*{run.parent} .*Next: --weights {run.parent}"):
        choose(below, size=None, checkout=checkout)
    (tmp_path / "runs").rename(checkout / "runs")
    with pytest.raises(WeightsError, match=rf"found .*{checkout / 'runs' / 'one'} "):
        choose(below, size=None, checkout=checkout)


# Random weights


def test_random_weights_are_for_those_who_ask(tmp_path):
    write_run(tmp_path / "runs" / "one")
    sources = choose(tmp_path, random_weights=True, size=None, dataset="camvid")
    assert (sources.weights_path, sources.has_random_weights) == (None, True)
    assert (sources.dataset, sources.size) == ("camvid", (512, 1024))
    with pytest.raises(InputError, match="--random-weights takes no weights, got --weights"):
        choose(tmp_path, random_weights=True, weights=tmp_path / "runs" / "one")


def test_bare_command_in_an_empty_checkout_has_random_weights(tmp_path):
    sources = choose(tmp_path, size=None, checkout=tmp_path)
    assert sources.has_random_weights
    assert (sources.dataset, sources.data_dir, sources.weights_path) == ("cityscapes", None, None)
    write_contract(tmp_path, "cityscapes", (512, 1024), kind="random")  # what the command left
    assert choose(tmp_path, size=None, checkout=tmp_path).has_random_weights


@pytest.mark.parametrize(
    "asked",
    [{"dataset": "camvid"}, {"data_dir": "."}, {"size": SIZE}, {"options": {"padding": "same"}}, {"checkout": "."}],
)
def test_anything_more_than_the_bare_command_needs_the_option_for_random_weights(tmp_path, asked):
    asked = {name: make_folder(tmp_path / "other") if value == "." else value for name, value in asked.items()}
    with pytest.raises(WeightsError) as raised:
        choose(tmp_path, **{"size": None, "checkout": tmp_path, **asked})
    text = str(raised.value)
    assert f"found none of any kind from {tmp_path}" in text
    assert "Next: python train/train.py --model fast_scnn --dataset " in text
    assert text.endswith("or --random-weights, if speed alone is asked for")


def test_imported_weights_that_lie_here_are_named(tmp_path):
    record = ImportRecord(
        "fast_scnn", "tramac", "net.pth", "0" * 64, "cityscapes", 19, {}, 1, (), (), "1" * 64, "2026-01-01", {}
    )
    write_record(tmp_path / "weights" / "fast.weights.json", record)
    with pytest.raises(
        WeightsError, match=r"found 1 imported weights file: .*Next: --weights weights/fast\.weights\.h5"
    ):
        choose(tmp_path, size=None, checkout=tmp_path)


def test_size_of_weights_that_name_none_is_told(tmp_path):
    path = tmp_path / "weights" / "fast.weights.h5"
    path.parent.mkdir()
    path.write_bytes(b"weights")
    digest = sha256_file(path)
    record = ImportRecord(
        "fast_scnn", "tramac", "net.pth", "0" * 64, "cityscapes", 19, {}, 1, (), (), digest, "2026-01-01", {}
    )
    write_record(path.with_name("fast.weights.json"), record)
    sources = choose(tmp_path, size=None, weights=path)
    assert sources.size == (512, 1024)
    assert sources.told[1] == (
        "size: 512x1024, since nothing says at which size the weights were trained; --size HxW asks for another"
    )
    assert choose(tmp_path, size=(96, 192), weights=path).told == sources.told[:1]


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
    with pytest.raises(WeightsError, match="no artefact of fast_scnn at 64x128 with fusion_dilation=1 is here"):
        choose(tmp_path, options={"fusion_dilation": "1"})


def test_without_options_those_of_the_best_weights_hold(tmp_path):
    write_run(tmp_path / "runs" / "plain")
    best = write_run(tmp_path / "runs" / "best", options={"padding": "symmetric", "dropout": 0.1}, miou=0.6)
    sources = choose(tmp_path)
    assert (sources.weights_path, sources.options) == (best, {"padding": "symmetric"})


def test_options_are_values_and_those_at_their_defaults_are_left_out(tmp_path):
    given = {"separable_relu": "true", "dropout": "0.1", "fusion_dilation": "1"}
    assert choose(tmp_path, options=given, random_weights=True).options == {
        "separable_relu": True,
        "fusion_dilation": 1,
    }
    assert choose(tmp_path, random_weights=True).options == {}


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


# Dataset


def test_given_dataset_wins_over_that_of_the_weights(tmp_path):
    given = write_run(tmp_path / "elsewhere", dataset="synthetic")
    sources = choose(tmp_path, dataset="cityscapes", weights=given)
    assert sources.dataset == "cityscapes"
    assert sources.told[-1].startswith("warning: ") and "was trained on synthetic" in sources.told[-1]


def test_dataset_follows_the_weights(tmp_path):
    write_run(tmp_path / "runs" / "fast_scnn-camvid-20260101T000000.000Z")
    make_folder(tmp_path / "artifacts" / "fast_scnn-synthetic-64x128").joinpath("contract.json").touch()
    assert choose(tmp_path).dataset == "camvid"


# An artefact from elsewhere


def test_artefact_brings_its_weights_dataset_and_size_and_is_named(tmp_path):
    folder = write_contract(tmp_path, "camvid", (96, 128))
    make_folder(tmp_path / "artifacts" / "fast_scnn-synthetic-64x128")  # no contract: no artefact
    make_folder(tmp_path / "artifacts" / "fastfcn-synthetic-64x128").joinpath("contract.json").touch()
    sources = choose(tmp_path, size=None)
    assert (sources.dataset, sources.size, sources.weights_path) == ("camvid", (96, 128), None)
    assert not sources.has_random_weights
    assert sources.told == (
        f"weights: those of the artefact {folder} (trained weights of fast_scnn-run)",
        "size: 96x128, that of the artefact; --size HxW asks for another",
    )


def test_artefact_of_another_aspect_than_its_weights_is_warned_of_at_every_build(tmp_path):
    write_contract(tmp_path, "camvid", (64, 128), trained_size=(96, 128))
    for size in (None, (64, 128)):
        *_, told, warning = choose(tmp_path, size=size).told
        assert told == "size: 64x128, the weights were validated at 96x128, so their mIoU is not that of this size"
        assert warning.startswith("warning: the aspect ratio is 2.00, the weights were trained for 1.33")
    assert choose(tmp_path, size=None).size == (64, 128)


def test_artefact_of_the_aspect_of_its_weights_is_not_warned_of(tmp_path):
    write_contract(tmp_path, "camvid", (96, 128), trained_size=(48, 64))
    assert not any(line.startswith("warning: ") for line in choose(tmp_path, size=None).told)


def test_artefact_of_the_dataset_goes_on_where_the_run_is_on_another(tmp_path):
    write_run(tmp_path / "runs" / "one", dataset="synthetic")
    write_contract(tmp_path, "camvid")
    sources = choose(tmp_path, dataset="camvid")
    assert (sources.dataset, sources.weights_path) == ("camvid", None)
    assert sources.told[0].endswith("; passed over: one (of synthetic at 64x128)")


def test_artefact_has_the_options_that_were_asked_for(tmp_path):
    write_contract(tmp_path, "camvid", options={"padding": "symmetric"})
    assert choose(tmp_path, options={"padding": "symmetric"}).dataset == "camvid"
    with pytest.raises(WeightsError, match=r"Next: python export/build_engine\.py .* --option padding=symmetric, or "):
        choose(tmp_path)


def test_several_artefacts_stop_the_build_with_the_command_for_each(tmp_path):
    for dataset in ("camvid", "cityscapes"):
        write_contract(tmp_path, dataset)
    with pytest.raises(WeightsError) as raised:
        choose(tmp_path)
    text = str(raised.value)
    assert text.startswith("several artefacts of fast_scnn at 64x128 are here, and none is named; found 2 artefacts: ")
    assert "--model fast_scnn --dataset camvid --size 64x128, or python export/build_engine.py" in text
    assert choose(tmp_path, dataset="cityscapes").dataset == "cityscapes"


def test_artefact_of_random_weights_counts_only_where_nothing_else_is(tmp_path):
    write_contract(tmp_path, "camvid", kind="random")
    sources = choose(tmp_path)
    assert sources.has_random_weights and "random weights: only the speed" in sources.told[0]
    trained = write_contract(tmp_path, "cityscapes")
    assert str(trained) in choose(tmp_path).told[0]
    with pytest.raises(WeightsError, match="or --random-weights"):
        choose(tmp_path, dataset="camvid")


def test_artefact_whose_contract_is_damaged_is_left_to_the_step_that_reads_it(tmp_path):
    folder = write_contract(tmp_path, "camvid")
    (folder / CONTRACT_FILE).write_text("{")
    sources = choose(tmp_path)
    assert (sources.dataset, sources.has_random_weights) == ("camvid", False)


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
        choose(tmp_path, data_dir=tmp_path / "none", random_weights=True)


def test_sources_are_plain_data(tmp_path):
    assert dataclasses.asdict(choose(tmp_path, random_weights=True))["dataset"] == "cityscapes"


# A dataset description


def write_described_run(tmp_path):
    """Write a run that was trained on a description elsewhere, and give the description's path."""
    path = write_yard(tmp_path / "elsewhere", height=8, width=16)
    reference = dataset_reference(str(path))
    weights = write_run(tmp_path / "runs" / "yard-run", dataset="yard", data_dir=path.parent)
    record = read_record(RunRecord, weights.parent / RUN_RECORD)
    classes, described = reference.classes(), reference.described()
    record = dataclasses.replace(record, class_count=3, classes=classes, described=described)
    write_record(weights.parent / RUN_RECORD, record)
    return path


@pytest.mark.parametrize("is_named", [False, True], ids=["left open", "named"])
def test_run_on_a_description_brings_its_data_and_classes(tmp_path, is_named):
    path = write_described_run(tmp_path)
    sources = choose(tmp_path, dataset=str(path) if is_named else None, size=None)
    assert (sources.dataset, sources.reference.option, sources.data_dir) == ("yard", str(path), path.parent)
    assert [each.name for each in sources.classes()] == ["ground", "rail", "worker"]
    assert sources.described().path == str(path)
    frames = held_out_frames(sources.reference.option, sources.data_dir, *SIZE, 2)
    assert frames.description == "yard val"


def test_description_that_changed_since_the_training_is_warned_of(tmp_path):
    path = write_described_run(tmp_path)
    path.write_text(path.read_text().replace("[250, 10, 20]", "[1, 2, 3]"))
    sources = choose(tmp_path, size=None)
    assert sources.told[-1].startswith(f"warning: dataset description {path} says something else than at the training:")
    assert sources.classes()[1].painted_rgb == (1, 2, 3)


def test_without_the_description_its_classes_are_those_of_the_run_and_scenes_are_drawn(tmp_path):
    path = write_described_run(tmp_path)
    path.unlink()
    sources = choose(tmp_path, size=None)
    assert (sources.dataset, sources.data_dir) == ("yard", None)
    assert f"warning: the dataset description {path} is not here" in sources.told[-1]
    assert [each.name for each in sources.classes()] == ["ground", "rail", "worker"]
    assert sources.described().path == str(path)
    assert isinstance(held_out_frames(sources.reference.option, None, *SIZE, 1), SyntheticFrames)
