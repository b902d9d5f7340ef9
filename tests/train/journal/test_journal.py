"""The journal: what is told reaches every writer, redone epochs are there once, and a log that fails ends nothing."""

from __future__ import annotations

import pytest

from edge.errors import StorageError
from tests.train.journal.runs_made_up import epoch_entry, run_facts
from train.journal.entries import EpochEntry, best_of, epochs_of
from train.journal.journal import Journal, JournalWriter


class Kept(JournalWriter):
    """Keeps what it is told, and fails as long as `failure` is set."""

    name = "a list"

    def __init__(self) -> None:
        self.told: list = []
        self.failure: Exception | None = None

    def _take(self, *what) -> None:
        if self.failure is not None:
            raise self.failure
        self.told.append(what)

    def open(self, run, epochs):
        self._take("open", run, list(epochs))

    def on_steps(self, entry):
        self._take("steps", entry)

    def on_epoch(self, epochs):
        self._take("epoch", [entry.epoch for entry in epochs])

    def on_end(self, status):
        self._take("end", status)

    def of(self, kind: str) -> list:
        return [what[1] for what in self.told if what[0] == kind]


@pytest.fixture
def kept():
    return Kept()


@pytest.fixture
def journal(kept, tmp_path):
    journal = Journal([kept], steps_between=4)
    journal.open(run_facts(tmp_path))
    return journal


def test_writers_get_the_mean_of_a_few_steps(journal, kept):
    for step in range(1, 10):
        journal.on_step(step, float(step), 0.1 * step, {"logits": 2.0 * step}, seconds=0.5, images=8)
    first, second = kept.of("steps")
    assert (first.step, first.loss, first.head_losses) == (4, 2.5, {"logits": 5.0})
    assert (second.step, second.loss, second.learning_rate) == (8, 6.5, pytest.approx(0.8))
    assert first.images_per_s == 16.0


def test_resumed_run_has_its_entries_at_the_steps_of_an_uninterrupted_one(kept, tmp_path):
    journal = Journal([kept], steps_between=4)
    journal.open(run_facts(tmp_path, done_steps=6))
    for step in range(7, 13):
        journal.on_step(step, 1.0, 0.1)
    assert [entry.step for entry in kept.of("steps")] == [8, 12]


def test_steps_without_times_have_no_rate(journal, kept):
    for step in range(1, 5):
        journal.on_step(step, 1.0, 0.1, seconds=None if step == 2 else 1.0, images=8)
    assert kept.of("steps")[0].images_per_s is None


def test_last_steps_of_an_epoch_are_told_with_it(journal, kept):
    for step in range(1, 7):
        journal.on_step(step, float(step), 0.1)
    journal.on_epoch(epoch_entry(1, step=6))
    assert [(entry.step, entry.loss) for entry in kept.of("steps")] == [(4, 2.5), (6, 5.5)]
    assert kept.told[-1] == ("epoch", [1])


def test_redone_epochs_take_the_place_of_what_was_told_before(kept, tmp_path):
    journal = Journal([kept])
    journal.open(run_facts(tmp_path), [epoch_entry(number) for number in (1, 2, 3)])
    journal.on_epoch(epoch_entry(2, 0.5))
    journal.on_epoch(epoch_entry(3, 0.6))
    assert kept.of("epoch") == [[1, 2], [1, 2, 3]]
    assert [entry.miou for entry in journal.epochs] == [None, 0.5, 0.6]


@pytest.mark.parametrize("failure", [StorageError("cannot write x: full"), OSError("gone"), ZeroDivisionError("of 0")])
def test_writer_that_fails_is_said_once_and_ends_nothing(journal, kept, capsys, failure):
    other = Kept()
    journal._writers = (kept, other)
    kept.failure = failure
    for number in (1, 2):
        journal.on_epoch(epoch_entry(number))
    assert other.of("epoch") == [[1], [1, 2]]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: a list is behind, and the training goes on: ") and str(failure) in line
    kept.failure = None
    journal.on_epoch(epoch_entry(3))
    assert kept.of("epoch") == [[1, 2, 3]]
    assert capsys.readouterr().err == "a list is written again\n"


def test_writer_that_cannot_begin_ends_the_training_before_its_first_step(kept, tmp_path):
    kept.failure = StorageError("cannot write x: full")
    with pytest.raises(StorageError, match="full"):
        Journal([kept]).open(run_facts(tmp_path))


def test_end_is_told(journal, kept):
    journal.on_end("interrupted")
    assert kept.of("end") == ["interrupted"]


def test_history_of_a_record_gives_the_entries_back():
    entries = [epoch_entry(1, 0.5), epoch_entry(2)]
    assert epochs_of([entry.to_history() for entry in entries]) == entries


def test_history_of_an_older_record_is_read():
    old = {"epoch": 1, "loss": 1.0, "learning_rate": 0.1, "miou": 0.5, "class_iou": None, "seconds": 3.0, "more": 1}
    assert epochs_of([old]) == [EpochEntry(1, 1.0, 0.1, 3.0, miou=0.5)]


def test_best_epoch_is_the_first_with_the_highest_score():
    epochs = [epoch_entry(1), epoch_entry(2, 0.5), epoch_entry(3, 0.7), epoch_entry(4, 0.7)]
    assert best_of(epochs).epoch == 3
    assert best_of(epochs[:1]) is None
