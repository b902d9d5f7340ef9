"""curves.svg: loss, mIoU and learning rate over the epochs, drawn anew after each."""

from __future__ import annotations

from typing import Sequence

from edge.artifacts import write_text
from edge.page.curves import Axes, Curve, chart_height, draw_curves
from edge.page.picture_file import picture_file
from edge.page.svg import WIDE
from train.journal.entries import EpochEntry, RunFacts, best_of
from train.journal.journal import JournalWriter

CURVES_FILE = "curves.svg"


class CurvesPicture(JournalWriter):
    """Draws the picture anew after each epoch; a browser that shows it has it new when it is loaded again."""

    name = CURVES_FILE

    def open(self, run: RunFacts, epochs: Sequence[EpochEntry]) -> None:
        """Take the facts of the run; nothing is drawn before its first epoch is done."""
        self._run = run

    def on_epoch(self, epochs: Sequence[EpochEntry]) -> None:
        """Draw the curves of all epochs."""
        write_text(self._run.folder / CURVES_FILE, curves_svg(self._run, epochs))


def curves_svg(run: RunFacts, epochs: Sequence[EpochEntry]) -> str:
    """Return the picture of a run.

    Args:
        run: facts of the run, for the title.
        epochs: entries of its epochs, at least one.
    """
    last = epochs[-1]
    panels = [(f"loss {last.loss:.4f}", loss_curves(epochs), "")]
    best = best_of(epochs)
    if best is not None:
        now = [entry for entry in epochs if entry.miou is not None][-1]
        text = f"mIoU {100 * now.miou:.2f} %, best {100 * best.miou:.2f} % after epoch {best.epoch}"
        panels.append((text, [score_curve("mIoU", epochs)], "%"))
    rates = Curve("learning rate", [entry.epoch for entry in epochs], [entry.learning_rate for entry in epochs])
    panels.append((f"learning rate {last.learning_rate:.3g}", [rates], ""))
    charts = []
    for caption, curves, unit in panels:
        drawn = draw_curves(curves, epoch_axes(last.epoch, unit), caption, WIDE)
        charts.append((caption, chart_height(curves, WIDE), drawn))
    words = f"{run.model} on {run.dataset}, {last.epoch} epoch{'s' if last.epoch > 1 else ''}"
    return picture_file(run.folder.name, words, charts)


def epoch_axes(last_epoch: int, unit: str) -> Axes:
    """Return the axes of a chart over epochs."""
    return Axes("epoch", (0.0, float(max(last_epoch, 1))), unit, is_whole=True)


def loss_curves(epochs: Sequence[EpochEntry]) -> list[Curve]:
    """Return the curve of the loss and, where a network has several outputs with one, of each of theirs."""
    places = [entry.epoch for entry in epochs]
    curves = [Curve("loss", places, [entry.loss for entry in epochs])]
    heads = list(dict.fromkeys(name for entry in epochs for name in entry.head_losses))
    if len(heads) > 1:
        curves += [Curve(name, places, [entry.head_losses.get(name) for entry in epochs]) for name in heads]
    return curves


def score_curve(name: str, epochs: Sequence[EpochEntry]) -> Curve:
    """Return the curve of the mIoU in per cent, through the epochs that were validated."""
    measured = [entry for entry in epochs if entry.miou is not None]
    return Curve(name, [entry.epoch for entry in measured], [100 * entry.miou for entry in measured])
