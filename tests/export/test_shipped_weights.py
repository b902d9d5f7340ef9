"""When a build takes the weights that come with the product, and what it says of them."""

from __future__ import annotations

import dataclasses

import pytest

import export.found_weights as found_weights
from edge.artifacts import artifact_folder, sha256_file
from edge.contract import CONTRACT_FILE, Contract
from edge.datasets import DATA_ROOT_VARIABLE, class_table
from edge.errors import WeightsError
from edge.provenance import SHIPPED, WeightsProvenance
from edge.records import write_record
from export.build_inputs import choose_inputs
from train.runs import BEST_WEIGHTS, RUN_RECORD, RunRecord
from train.weights_card import WeightsCard, weights_card_path
from train.weights_file import ImportRecord

CARD = WeightsCard(
    model="fast_scnn",
    dataset="synthetic",
    class_count=19,
    options={"padding": "same", "fusion_dilation": 4},
    height=64,
    width=128,
    data="drawn scenes",
    licence="nobody's",
    use="any",
    command="make weights",
    commit="0" * 40,
    trained_utc="2026-01-01T00:00:00",
    hours=1.0,
    epochs=2,
    seed=0,
    training_frames=10,
    machine="a CPU",
    split="val",
    frames=16,
    miou=0.6,
    class_iou={},
    run_miou=0.6,
    size_bytes=7,
    weights_sha256="",
    versions={},
)
RESEARCH = {"dataset": "camvid", "class_count": 11, "use": "research", "licence": "CC BY-NC 4.0"}


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with shipped weights of drawn scenes and, for research, of CamVid; commands start elsewhere."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(found_weights, "_other_run_roots", lambda checkout: [])
    monkeypatch.delenv(DATA_ROOT_VARIABLE, raising=False)
    for changes in ({}, RESEARCH):
        ship(tmp_path / "checkout", **changes)
    return tmp_path / "checkout"


def ship(checkout, **changes):
    card = dataclasses.replace(CARD, **changes)
    path = checkout / "weights" / f"{card.model}-{card.dataset}.weights.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(card.dataset.encode())
    write_record(weights_card_path(path), dataclasses.replace(card, weights_sha256=sha256_file(path)))
    return path


def choose(checkout, dataset=None, model="fast_scnn", size=None, options=None, weights=None, **more):
    roots = (checkout.parent / "here" / "runs", checkout.parent / "here" / "artifacts")
    return choose_inputs(model, dataset, None, weights, size, options, *roots, checkout=checkout, **more)


def write_run(checkout, dataset, status="finished"):
    folder = checkout.parent / "here" / "runs" / dataset
    folder.mkdir(parents=True)
    (folder / BEST_WEIGHTS).write_bytes(b"weights")
    run = RunRecord(
        "fast_scnn", dataset, "data", class_table(dataset).class_count, 64, 128, {}, {}, "random", 0,
        "2026-01-01T00:00:00", status, best_miou=0.1, weights_sha256=sha256_file(folder / BEST_WEIGHTS),
    )  # fmt: skip
    write_record(folder / RUN_RECORD, run)
    return folder / BEST_WEIGHTS


def write_artifact(checkout, kind, dataset="synthetic"):
    provenance = WeightsProvenance(kind, "somewhere", "1" * 64)
    names = class_table(dataset).class_names
    contract = Contract(
        "fast_scnn", dataset, names, 64, 128, 8, "half_pixel", "frame", "logits", "0" * 64, provenance, "2" * 64, 13, {}
    )
    folder = artifact_folder("fast_scnn", dataset, 64, 128, checkout.parent / "here" / "artifacts", {})
    write_record(folder / CONTRACT_FILE, contract)


@pytest.mark.parametrize("size", [None, (96, 192)])
def test_build_without_a_run_takes_the_shipped_weights_of_the_dataset_and_says_so(checkout, size):
    sources = choose(checkout, "synthetic", size=size)
    path = checkout / "weights" / "fast_scnn-synthetic.weights.h5"
    assert (sources.weights_path, sources.dataset, sources.size) == (path, "synthetic", size or (64, 128))
    assert sources.told[0] == (
        f"weights: {path}, which come with the product (synthetic, mIoU 60.00 % on 16 frames of val), since there are "
        "none of yours; there are others for --dataset camvid"
    )
    assert not any(line.startswith("warning:") for line in sources.told)


def test_weights_for_research_are_taken_with_a_warning_of_their_terms(checkout):
    warning = "fast_scnn-camvid.weights.h5 is for research alone: CC BY-NC 4.0"
    sources = choose(checkout, "camvid")
    assert sources.told[1] == f"warning: {checkout / 'weights' / warning}"
    assert choose(checkout, weights=sources.weights_path).told[1] == sources.told[1]


def test_bare_command_takes_the_weights_that_everybody_may_use(checkout):
    assert choose(checkout).dataset == "synthetic"
    ship(checkout, dataset="cityscapes")
    with pytest.raises(WeightsError, match=r"found 3 shipped weights files: .*Next: --weights .*camvid"):
        choose(checkout)


def test_other_dataset_options_or_model_have_no_shipped_weights(checkout):
    for asked in ({"dataset": "cityscapes"}, {"dataset": "synthetic", "options": {"fusion_dilation": 1}}):
        with pytest.raises(WeightsError, match=r"no finished run and no artefact .*fast_scnn-synthetic\.weights\.h5"):
            choose(checkout, **asked)
    with pytest.raises(WeightsError, match="found none of any kind"):
        choose(checkout, "synthetic", model="unet")


def test_run_of_the_user_goes_before_shipped_weights_however_good_they_are(checkout):
    own = write_run(checkout, "camvid")
    assert choose(checkout, "camvid").weights_path == choose(checkout).weights_path == own
    assert choose(checkout, "synthetic").weights_path.name == "fast_scnn-synthetic.weights.h5"


def test_run_that_does_not_fit_leaves_the_choice_to_the_user(checkout):
    write_run(checkout, "synthetic", "interrupted")
    with pytest.raises(WeightsError, match=r"found 1 run: .*interrupted.*--weights \S+fast_scnn-synthetic.weights.h5"):
        choose(checkout, "synthetic")


def test_imported_weights_of_the_dataset_leave_the_choice_to_the_user(checkout):
    record = ImportRecord("fast_scnn", "tramac", "n", "0", "camvid", 11, {}, 1, (), (), "1", "2026-01-01", {})
    write_record(checkout.parent / "here" / "weights" / "mine.weights.json", record)
    with pytest.raises(WeightsError, match="1 imported weights file"):
        choose(checkout, "camvid")
    assert choose(checkout, "synthetic").weights_path is not None


@pytest.mark.parametrize(("kind", "is_shipped"), [("trained", False), ("random", True), (SHIPPED, True)])
def test_artefact_goes_before_shipped_weights_unless_it_has_none_of_its_own(checkout, kind, is_shipped):
    write_artifact(checkout, kind)
    assert (choose(checkout, "synthetic").weights_path is not None) == is_shipped


@pytest.mark.parametrize("kind", ["trained", "random", SHIPPED])
def test_artefact_goes_before_shipped_weights_where_nothing_can_be_exported(checkout, kind):
    write_artifact(checkout, kind)
    sources = choose(checkout, can_export=False)
    assert (sources.weights_path, sources.dataset, sources.size) == (None, "synthetic", (64, 128))
    assert sources.told[0].startswith("weights: those of the artefact")
    assert sources.has_random_weights == (kind == "random")


def test_artefact_of_shipped_weights_is_used_where_their_file_is_not(checkout):
    write_artifact(checkout, SHIPPED)
    for path in (checkout / "weights").iterdir():
        path.unlink()
    sources = choose(checkout, "synthetic")
    assert sources.weights_path is None and sources.told[0].startswith("weights: those of the artefact")


def test_damaged_shipped_weights_are_no_weights(checkout):
    (checkout / "weights" / "fast_scnn-synthetic.weights.h5").write_bytes(b"other")
    with pytest.raises(WeightsError, match="damaged or was replaced"):
        choose(checkout, "synthetic")
