"""The weights that come with the product: small, whole, and with a card that says on which terms they may be used."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from edge.datasets import class_table
from edge.records import read_record
from train.options import resolve_options
from train.weights_card import ANY_USE, CARD_SUFFIX, MOST_BYTES, RESEARCH, WeightsCard
from train.weights_file import read_weights, weights_path_of

REPOSITORY = Path(__file__).resolve().parents[1]
CARDS = sorted((REPOSITORY / "weights").glob(f"*{CARD_SUFFIX}"))


def test_both_weights_are_here():
    names = {path.name[: -len(CARD_SUFFIX)] for path in CARDS}
    assert {"fast_scnn-synthetic", "fast_scnn-camvid"} <= names


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.name)
def test_card_is_whole_and_describes_its_file(path):
    card, weights = read_record(WeightsCard, path), weights_path_of(path)
    assert weights.stat().st_size == card.size_bytes <= MOST_BYTES == 3_000_000
    assert read_weights(weights, card.model).provenance.sha256 == card.weights_sha256
    assert card.options == resolve_options(card.model, card.options)
    assert set(card.class_iou) == set(class_table(card.dataset).class_names)
    for text in (card.data, card.licence, card.command, card.machine, card.trained_utc):
        assert len(text) > 3
    assert re.fullmatch(r"[0-9a-f]{40}", card.commit)
    assert card.frames >= 16 and card.training_frames >= 300 and card.hours > 0 and card.versions
    # Half precision costs less than a tenth of a point.
    assert abs(card.miou - card.run_miou) < 0.001


def test_weights_of_data_for_research_are_for_research():
    uses = {card.dataset: card.use for card in (read_record(WeightsCard, path) for path in CARDS)}
    assert uses["synthetic"] == ANY_USE
    assert uses["camvid"] == RESEARCH


def test_demo_begins_with_weights_that_have_learnt():
    card = read_record(WeightsCard, REPOSITORY / "weights" / f"fast_scnn-synthetic{CARD_SUFFIX}")
    # A training from random weights as long as the demo would take came to 25 %.
    assert card.miou > 0.5


def test_photograph_that_is_not_there_is_one_line(tmp_path):
    done = subprocess.run(
        [REPOSITORY / ".ci" / "label-photo", tmp_path / "env", tmp_path / "out", tmp_path / "none.jpg"],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"error: PHOTO is {tmp_path}/none.jpg, which is not there. Next: make demo PHOTO=FILE, a picture of a street\n"
    )


def test_without_the_package_that_has_a_photograph_the_way_to_give_one_is_said(tmp_path):
    (tmp_path / "env" / "bin").mkdir(parents=True)
    python = tmp_path / "env" / "bin" / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    done = subprocess.run(
        [REPOSITORY / ".ci" / "label-photo", python.parents[1], tmp_path / "out"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"no street photograph: \S+, .* Next: make demo PHOTO=FILE\n", done.stdout)
