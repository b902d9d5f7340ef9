"""history.csv: one row an epoch, for any program that reads tables."""

from __future__ import annotations

import csv
import io
from typing import Sequence

from edge.artifacts import write_text
from train.journal.entries import EpochEntry, RunFacts
from train.journal.journal import JournalWriter

HISTORY_FILE = "history.csv"

_FIRST = ("epoch", "step", "seconds", "validation_s", "images_per_s", "learning_rate", "loss")


class HistoryTable(JournalWriter):
    """Writes the table anew after each epoch, so that it is always whole, and a redone epoch has one row."""

    name = HISTORY_FILE

    def open(self, run: RunFacts, epochs: Sequence[EpochEntry]) -> None:
        """Take the folder of the run; nothing is written before its first epoch is done."""
        self._path = run.folder / HISTORY_FILE

    def on_epoch(self, epochs: Sequence[EpochEntry]) -> None:
        """Write the rows of all epochs."""
        write_text(self._path, history_csv(epochs))


def history_csv(epochs: Sequence[EpochEntry]) -> str:
    """Return the table as text.

    Its columns are epoch, step, seconds, validation_s, images_per_s, learning_rate, loss, `loss_OUTPUT` of each output,
    miou, and `iou_CLASS` of each class; scores are 0 to 1. A cell is empty where nothing was measured.
    """
    heads = list(dict.fromkeys(name for entry in epochs for name in entry.head_losses))
    classes = list(dict.fromkeys(name for entry in epochs for name in entry.class_iou))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_FIRST, *(f"loss_{name}" for name in heads), "miou", *(f"iou_{name}" for name in classes)])
    for entry in epochs:
        cells = [getattr(entry, name) for name in _FIRST]
        cells += [entry.head_losses.get(name) for name in heads]
        cells += [entry.miou, *(entry.class_iou.get(name) for name in classes)]
        writer.writerow(map(_cell, cells))
    return text.getvalue()


def _cell(value: float | None) -> str:
    # Nine digits are what a float32 has, in which losses are computed.
    return "" if value is None else str(value) if isinstance(value, int) else f"{value:.9g}"
