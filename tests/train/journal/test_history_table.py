"""history.csv: a row an epoch, whole at any time."""

from __future__ import annotations

import csv

from tests.train.journal.runs_made_up import epoch_entry, run_facts
from train.journal.history_table import HISTORY_FILE, HistoryTable
from train.journal.journal import Journal


def rows_in(folder):
    with open(folder / HISTORY_FILE, newline="") as file:
        return list(csv.DictReader(file))


def test_table_has_a_row_an_epoch_with_losses_scores_and_times(tmp_path):
    journal = Journal([HistoryTable()])
    journal.open(run_facts(tmp_path))
    journal.on_epoch(epoch_entry(1))
    journal.on_epoch(epoch_entry(2, 0.5))
    first, second = rows_in(tmp_path)
    assert (first["epoch"], first["step"], first["loss"], first["seconds"]) == ("1", "10", "2", "60")
    assert (first["miou"], first["validation_s"], first["iou_sky"]) == ("", "", "")
    assert (second["loss_logits"], second["loss_auxiliary"], second["learning_rate"]) == ("0.75", "0.25", "0.05")
    assert (second["miou"], second["iou_road"], second["iou_pole"], second["images_per_s"]) == (
        "0.5",
        "0.5",
        "",
        "12.5",
    )


def test_table_of_a_resumed_run_has_no_row_twice(tmp_path):
    before = [epoch_entry(1, 0.1), epoch_entry(2, 0.2), epoch_entry(3, 0.3)]
    journal = Journal([HistoryTable()])
    journal.open(run_facts(tmp_path))
    for entry in before:
        journal.on_epoch(entry)
    # Killed behind the third epoch, and resumed from a state of the second.
    journal = Journal([HistoryTable()])
    journal.open(run_facts(tmp_path, done_steps=15), before[:1])
    journal.on_epoch(epoch_entry(2, 0.25))
    assert [(row["epoch"], row["miou"]) for row in rows_in(tmp_path)] == [("1", "0.1"), ("2", "0.25")]


def test_float32_comes_back_as_it_was(tmp_path):
    import numpy as np

    journal = Journal([HistoryTable()])
    journal.open(run_facts(tmp_path))
    value = float(np.float32(1 / 3))
    journal.on_epoch(epoch_entry(1, loss=value))
    assert np.float32(rows_in(tmp_path)[0]["loss"]) == np.float32(value)
