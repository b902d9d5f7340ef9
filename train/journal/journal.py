"""Journal: hands on what a training tells to everything that writes it down."""

from __future__ import annotations

import abc
from typing import Mapping, Sequence

from edge.console import print_status, print_warning
from edge.errors import SegEdgeError
from train.journal.entries import EpochEntry, RunFacts, StepEntry, kept_before

STEPS_BETWEEN = 20
"""Steps that one entry is the mean of: a million steps leave 50,000 points of a curve."""


class JournalWriter(abc.ABC):
    """One place that a training is written down in.

    What a method raises is reported in one line, and the training goes on; only `open` may end it, before its first
    step. A method is called again after it failed.

    Attributes:
        name: name of the place for messages, such as "history.csv".
    """

    name: str = ""

    @abc.abstractmethod
    def open(self, run: RunFacts, epochs: Sequence[EpochEntry]) -> None:
        """Begin, or go on where an earlier process ended.

        Args:
            run: facts of the run.
            epochs: epochs that are done already. What was written of later ones will be written again.

        Raises:
            SegEdgeError: the place cannot be written to.
        """

    def on_steps(self, entry: StepEntry) -> None:  # noqa: B027
        """Write down what a few steps came to."""

    @abc.abstractmethod
    def on_epoch(self, epochs: Sequence[EpochEntry]) -> None:
        """Write down the last of the given epochs, which are all until now."""

    def on_end(self, status: str) -> None:  # noqa: B027
        """Write down how the training ended: one of the values of a run's status in train.runs."""


class Journal:
    """What a training is told to, and what hands it on.

    The training calls `open` once, `on_step` after each step, `on_epoch` after each epoch and `on_end` at the end; all
    values are plain numbers, so that no writer waits for a device. A worker that is not the first of several has a
    journal without writers.

    Args:
        writers: places that the training is written down in.
        steps_between: steps that one entry of steps is the mean of.
    """

    def __init__(self, writers: Sequence[JournalWriter] = (), steps_between: int = STEPS_BETWEEN) -> None:
        self._writers, self._steps_between = tuple(writers), steps_between
        self._epochs: list[EpochEntry] = []
        self._steps = _StepMeans()
        self._silent: set[JournalWriter] = set()

    @property
    def epochs(self) -> tuple[EpochEntry, ...]:
        """Entries of all epochs until now, those before a resume included."""
        return tuple(self._epochs)

    def open(self, run: RunFacts, epochs: Sequence[EpochEntry] = ()) -> None:
        """Begin the journal of a run, or go on with it.

        Args:
            run: facts of the run.
            epochs: epochs that are done already, where an earlier training goes on.

        Raises:
            SegEdgeError: a writer cannot begin: its package is missing, or its place cannot be written to.
        """
        self._epochs = list(epochs)
        for writer in self._writers:
            writer.open(run, self._epochs)

    def on_step(
        self,
        step: int,
        loss: float,
        learning_rate: float,
        head_losses: Mapping[str, float] | None = None,
        seconds: float | None = None,
        images: int = 0,
    ) -> None:
        """Take what one step came to; writers get the means of a few steps.

        Args:
            step: number of steps done since the start of the run, this one included.
            loss: loss of the step.
            learning_rate: learning rate of the step.
            head_losses: name of an output -> its loss, before its weight in the sum.
            seconds: time of the step, waiting for its input included; None where it was not taken.
            images: number of crops in the step.
        """
        self._steps.add(loss, head_losses or {}, seconds, images)
        # At multiples, so that a resumed run has its entries at the same steps as an uninterrupted one.
        if step % self._steps_between == 0:
            self._write_steps(step, learning_rate)

    def on_epoch(self, entry: EpochEntry) -> None:
        """Take what an epoch came to; an epoch that is told again takes the place of what was told before."""
        if self._steps.count and entry.step is not None:
            self._write_steps(entry.step, entry.learning_rate)
        self._epochs = [*kept_before(self._epochs, entry.epoch), entry]
        for writer in self._writers:
            self._call(writer, "on_epoch", self._epochs)

    def on_end(self, status: str) -> None:
        """Take how the training ended, one of the values of a run's status in train.runs."""
        for writer in self._writers:
            self._call(writer, "on_end", status)

    def _write_steps(self, step: int, learning_rate: float) -> None:
        entry = self._steps.entry(step, learning_rate)
        self._steps = _StepMeans()
        for writer in self._writers:
            self._call(writer, "on_steps", entry)

    def _call(self, writer: JournalWriter, method: str, value: object) -> None:
        """Call a writer; say once when it begins to fail, and when it writes again."""
        try:
            getattr(writer, method)(value)
        except (SegEdgeError, OSError) as error:
            self._say_failed(writer, str(error))
        except Exception as error:
            # A defect of a picture must not throw a training of days away, nor look like silence.
            self._say_failed(writer, f"{type(error).__name__}: {error}")
        else:
            if writer in self._silent:
                self._silent.discard(writer)
                print_status(f"{writer.name} is written again")

    def _say_failed(self, writer: JournalWriter, why: str) -> None:
        if writer not in self._silent:
            self._silent.add(writer)
            print_warning(f"{writer.name} is behind, and the training goes on: {why}")


class _StepMeans:
    """Sums over the steps since the last entry."""

    def __init__(self) -> None:
        self.count, self._loss, self._heads = 0, 0.0, {}
        self._seconds: float | None = 0.0
        self._images = 0

    def add(self, loss: float, head_losses: Mapping[str, float], seconds: float | None, images: int) -> None:
        self.count += 1
        self._loss += loss
        for name, value in head_losses.items():
            self._heads[name] = self._heads.get(name, 0.0) + value
        self._images += images
        self._seconds = None if seconds is None or self._seconds is None else self._seconds + seconds

    def entry(self, step: int, learning_rate: float) -> StepEntry:
        return StepEntry(
            step=step,
            loss=self._loss / self.count,
            head_losses={name: total / self.count for name, total in self._heads.items()},
            learning_rate=learning_rate,
            images_per_s=self._images / self._seconds if self._seconds and self._images else None,
        )
