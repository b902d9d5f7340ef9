"""Weights that come with the product: of a finished run alone, in float16, measured, and with a whole card."""

from __future__ import annotations

import dataclasses
import json

import h5py
import keras
import numpy as np
import pytest

import train.pack_weights as packing
from edge.artifacts import sha256_file
from edge.datasets import open_dataset
from edge.errors import WeightsError
from edge.provenance import SHIPPED
from edge.records import read_record, write_record
from tests.train import street_set
from train.half_weights import write_half_weights
from train.initial_weights import find_initial_weights, transfer
from train.models import MODELS
from train.options import OPTIONS
from train.pack_weights import main
from train.runs import BEST_WEIGHTS, FINISHED, RUN_RECORD, RunRecord, frames_digest
from train.weights_card import WeightsCard, weights_card_path
from train.weights_file import read_weights, weights_path_of

TEXTS = ["--data", "two drawn frames", "--licence", "CC BY-NC 4.0", "--made-by", "make", "--commit", "a" * 40]


@pytest.fixture(autouse=True)
def tiny_model(monkeypatch):
    monkeypatch.setitem(MODELS, "tiny", street_set.TINY)
    monkeypatch.setitem(OPTIONS, "tiny", {})


@pytest.fixture(scope="module")
def camvid(tmp_path_factory):
    return street_set.write_camvid(tmp_path_factory.mktemp("camvid"), train=1)


@pytest.fixture
def run(tmp_path, camvid):
    """Write a run of the tiny network as a training would have left it, and return its folder."""
    folder = tmp_path / "run"
    folder.mkdir()
    keras.utils.set_random_seed(1)
    street_set.build_tiny(street_set.HEIGHT, street_set.WIDTH, 11).save_weights(folder / BEST_WEIGHTS)
    names = [sample.name for sample in open_dataset("camvid", camvid, "val").samples]
    record = RunRecord(
        model="tiny",
        dataset="camvid",
        data_dir=str(camvid),
        class_count=11,
        height=street_set.HEIGHT,
        width=street_set.WIDTH,
        options={},
        recipe={},
        init="random",
        seed=3,
        started_utc="2026-01-01T00:00:00",
        status=FINISHED,
        history=({"epoch": 1},),
        best_epoch=1,
        best_miou=0.0,
        weights_sha256=sha256_file(folder / BEST_WEIGHTS),
        versions={"keras": "3"},
        validation_frames=2,
        training_frames=1,
        frames_sha256={"val": frames_digest(names)},
        devices=("the CPU",),
    )
    write_record(folder / RUN_RECORD, record)
    return folder


def change(run, **fields):
    record = read_record(RunRecord, run / RUN_RECORD)
    write_record(run / RUN_RECORD, dataclasses.replace(record, **fields))


def pack(run, output, use="research", *more):
    return main([str(run), "--output", str(output), "--use", use, *TEXTS, *more])


def refusal(capsys, run, output):
    """Return the line that a refused packing prints; it leaves nothing behind."""
    assert pack(run, output) == 2
    assert not output.exists() and not weights_card_path(output).exists()
    return capsys.readouterr().err.splitlines()[-1]


def test_packed_weights_have_a_whole_card_and_are_read_as_shipped_ones(run, tmp_path, capsys):
    output = tmp_path / "out" / "tiny-camvid.weights.h5"
    assert pack(run, output, "research", "--json") == 0
    card = read_record(WeightsCard, weights_card_path(output))
    assert json.loads(capsys.readouterr().out)["card"]["weights_sha256"] == card.weights_sha256 == sha256_file(output)
    assert (card.data, card.licence, card.command, card.commit) == (
        "two drawn frames",
        "CC BY-NC 4.0",
        "make",
        "a" * 40,
    )
    assert (card.model, card.dataset, card.split, card.frames, card.training_frames) == ("tiny", "camvid", "val", 2, 1)
    assert (card.machine, card.epochs, card.seed, card.size_bytes) == ("the CPU", 1, 3, output.stat().st_size)
    assert 0 < card.miou < 1 and set(card.class_iou) >= {"sky", "road"}
    weights = read_weights(weights_path_of(weights_card_path(output)), "tiny")
    assert (weights.path, weights.dataset, weights.class_count) == (output, "camvid", 11)
    assert (weights.provenance.kind, weights.provenance.miou) == (SHIPPED, card.miou)
    assert weights.provenance.sentence().endswith("at 32x64, for research alone: CC BY-NC 4.0")


def test_network_with_packed_weights_is_the_one_of_the_run_within_half_precision(run, tmp_path):
    output = tmp_path / "tiny-camvid.weights.h5"
    assert pack(run, output, "any") == 0
    with h5py.File(output) as file:
        types = []
        file.visititems(lambda name, part: types.append(part.dtype) if isinstance(part, h5py.Dataset) else None)
    assert types and set(types) == {np.dtype(np.float16)}
    initial = find_initial_weights("tiny", None, output, {})
    assert initial.origin == str(output)  # no terms to name
    networks = [street_set.build_tiny(street_set.HEIGHT, street_set.WIDTH, 11) for _ in range(2)]
    networks[0].load_weights(run / BEST_WEIGHTS)
    assert not transfer(initial, networks[1], 11).fresh
    for whole, half in zip(networks[0].get_weights(), networks[1].get_weights()):
        assert half.dtype == np.float32
        # Half precision has 11 bits; below 6e-5 its numbers are 6e-8 apart.
        np.testing.assert_allclose(half, whole, rtol=2**-11, atol=3e-8)


def test_training_from_weights_for_research_says_so_in_its_record(run, tmp_path):
    output = tmp_path / "tiny-camvid.weights.h5"
    assert pack(run, output) == 0
    origin = find_initial_weights("tiny", None, output, {}).origin
    assert origin == f"{output} (for research alone: CC BY-NC 4.0)"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"status": "interrupted"}, "is interrupted, 1 epoch done, expected a finished run"),
        ({"best_miou": None}, "has no mIoU in its record"),
        ({"best_miou": 0.9}, "% in float16, expected 90.00 % as in float32"),
        ({"frames_sha256": {"val": "0" * 64}}, "has other validation frames than"),
        ({"weights_sha256": "0" * 64}, "damaged or was replaced"),
    ],
)
def test_run_that_is_not_trained_and_measured_is_refused(run, tmp_path, capsys, fields, words):
    change(run, **fields)
    assert words in refusal(capsys, run, tmp_path / "tiny.weights.h5")


def test_weights_that_are_no_run_are_refused(run, tmp_path, capsys):
    lone = tmp_path / "elsewhere" / "tiny.weights.h5"
    lone.parent.mkdir()
    (run / BEST_WEIGHTS).rename(lone)
    assert "is no weights file of a run" in refusal(capsys, lone, tmp_path / "tiny.weights.h5")


def test_file_that_is_too_large_for_a_checkout_is_refused(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(packing, "MOST_BYTES", 1000)
    assert "MB in float16, expected at most 0.001 MB" in refusal(capsys, run, tmp_path / "tiny.weights.h5")


@pytest.mark.parametrize("value", [1e5, np.inf, np.nan])
def test_weight_that_half_precision_does_not_hold_is_refused(tmp_path, value):
    with h5py.File(tmp_path / "a.weights.h5", "w") as file:
        file.create_dataset("layers/one/vars/0", data=np.array([1.0, value], np.float32))
    with pytest.raises(WeightsError, match=r"layers/one/vars/0 has a weight of .*, expected at most 65504"):
        write_half_weights(tmp_path / "a.weights.h5", tmp_path / "b.weights.h5")


def test_whole_numbers_and_attributes_are_kept(tmp_path):
    with h5py.File(tmp_path / "a.weights.h5", "w") as file:
        seed = file.create_dataset("layers/dropout/vars/0", data=np.array([1, 2**31], np.uint32))
        seed.attrs["name"] = file["layers/dropout/vars"].attrs["name"] = "dropout"
    write_half_weights(tmp_path / "a.weights.h5", tmp_path / "b.weights.h5")
    with h5py.File(tmp_path / "b.weights.h5") as file:
        seed = file["layers/dropout/vars/0"]
        assert seed.dtype == np.uint32 and list(seed[()]) == [1, 2**31]
        assert seed.attrs["name"] == seed.parent.attrs["name"] == "dropout"
