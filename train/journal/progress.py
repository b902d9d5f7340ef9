"""The line that says how a training goes: redrawn on a terminal, and every half minute a line in a log."""

from __future__ import annotations

import math
import shutil
import sys
from typing import Callable, TextIO

from edge.console import Progress, format_seconds
from train.journal.entries import EpochEntry
from train.journal.step_clock import seconds_now

LOG_EVERY_S = 30.0
"""Time in s between two lines of a log."""

_RECENT_STEPS = 50
"""Steps that a smoothed value is the mean of; of more, older ones count less and less."""


class TrainingProgress:
    """Says in one line the share that is done, the time left, the epoch, the loss, images a second, and the scores.

    The time left counts the steps that are left at the recent rate, and the validations that are left as long as the
    last one took. As long as there was none although there will be, the line says so.

    Args:
        epochs: number of epochs of the training.
        steps_per_epoch: number of steps in an epoch.
        validate_every: epochs between two validations; the last epoch is always validated.
        done_steps: steps that are done already, where an earlier training goes on.
        best: entry of the best epoch until now, where an earlier training goes on.
        stream: stream that the line is written to; None for stderr.
        now: function that returns the time in s.

    Example:
        >>> with TrainingProgress(epochs, steps_per_epoch) as progress:
        ...     for batch in epoch:
        ...         progress.step(step(batch), batch_size)
        ...     for frame in range(frames):
        ...         label(frame)
        ...         progress.validating(frame + 1, frames)
        ...     progress.epoch(entry, is_best=True)
    """

    def __init__(
        self,
        epochs: int,
        steps_per_epoch: int,
        validate_every: int = 1,
        done_steps: int = 0,
        best: EpochEntry | None = None,
        stream: TextIO | None = None,
        now: Callable[[], float] = seconds_now,
    ) -> None:
        self._stream, self._now = stream if stream is not None else sys.stderr, now
        self._steps_per_epoch, self._validate_every = steps_per_epoch, validate_every
        self._done_steps, self._done_epochs = done_steps, done_steps // steps_per_epoch
        self._best, self._score = best, None
        # Over an epoch at most: of very few steps an epoch, a mean of many would be of epochs ago.
        self._loss, self._step_s = _Smoothed(min(_RECENT_STEPS, steps_per_epoch)), _Smoothed(_RECENT_STEPS)
        self._validation_s: float | None = None
        self._images_per_step = 0
        self._last_step_at_s: float | None = None
        self._since_step_validated_s = 0.0
        self._said_at_s = -math.inf
        self._validating_since_s: float | None = None
        self._line = Progress("train", stream=self._stream, log_every_s=LOG_EVERY_S)
        self.plan(epochs * steps_per_epoch)

    def __enter__(self) -> TrainingProgress:
        """Draw the first line, since the first step takes longest."""
        self._show([(0, "the first step takes longer")])
        return self

    def __exit__(self, *exception: object) -> None:
        self._line.end()

    def plan(self, total_steps: int) -> None:
        """Set the number of steps after which the training ends, where it is another than was planned."""
        self._total_steps = total_steps
        self._epochs = math.ceil(total_steps / self._steps_per_epoch)

    def step(self, loss: float, images: int) -> None:
        """Count one finished step.

        Args:
            loss: loss of the step.
            images: number of crops in it.
        """
        now_s = self._now()
        if self._last_step_at_s is not None:  # not the first, which traces
            # What is between two steps, such as the writing of a state, belongs to their rate; a validation does not.
            self._step_s.add(max(0.0, now_s - self._last_step_at_s - self._since_step_validated_s))
        self._last_step_at_s, self._since_step_validated_s, self._validating_since_s = now_s, 0.0, None
        self._done_steps += 1
        self._images_per_step = images
        self._loss.add(loss)
        self._draw()

    def validating(self, frame: int, frames: int) -> None:
        """Say how many frames of a validation are done."""
        if self._validating_since_s is None:
            self._validating_since_s = self._now()
        self._draw(f"validating {frame}/{frames}")

    def epoch(self, entry: EpochEntry, is_best: bool) -> None:
        """Print what an epoch came to as a line that stays: after each validation, else every half minute.

        Args:
            entry: entry of the epoch.
            is_best: whether its score is the best until now.
        """
        self._done_epochs, self._validating_since_s = entry.epoch, None
        if entry.validation_s is not None:
            self._validation_s = entry.validation_s
            self._since_step_validated_s += entry.validation_s
        self._score = entry.miou if entry.miou is not None else self._score
        self._best = entry if is_best else self._best
        if entry.miou is None and entry.epoch < self._epochs and self._now() < self._said_at_s + LOG_EVERY_S:
            return
        self._said_at_s = self._now()
        words = [f"loss {entry.loss:.4f}"]
        if entry.miou is not None:
            best = self._best
            behind = " (best)" if is_best else f" (best {100 * best.miou:.2f} %)" if best is not None else ""
            words.append(f"val mIoU {100 * entry.miou:.2f} %{behind}")
        words.append(f"{format_seconds(self._line.gone_s)} gone")
        left_s = self.left_s()
        if left_s is not None and entry.epoch < self._epochs:
            words.append(f"{format_seconds(left_s)} left{self._reserve()}")
        self._line.say(f"epoch {entry.epoch}/{self._epochs}: {', '.join(words)}")

    def initial(self, miou: float) -> None:
        """Print the mIoU (0 to 1) of the weights before the first step, which is the best until an epoch is better."""
        self._validating_since_s = None
        self._best = EpochEntry(epoch=0, loss=math.nan, learning_rate=0.0, seconds=0.0, miou=miou)
        self._line.say(f"initial weights: val mIoU {100 * miou:.2f} %")

    def say(self, text: str) -> None:
        """Print a line of text that stays, above the progress line."""
        self._line.say(text)

    def left_s(self) -> float | None:
        """Return the time left in s; None before two steps have followed each other."""
        if self._step_s.mean is None:
            return None
        left_s = max(0, self._total_steps - self._done_steps) * self._step_s.mean
        if self._validation_s is not None:
            left_s += self._validations_left * self._validation_s
            if self._validating_since_s is not None:
                left_s -= min(self._validation_s, self._now() - self._validating_since_s)
        return max(0.0, left_s)

    @property
    def _share(self) -> float:
        return min(1.0, self._done_steps / max(1, self._total_steps))

    @property
    def _validations_left(self) -> int:
        every, done = self._validate_every, min(self._done_epochs, self._epochs)
        beside = 1 if self._epochs % every and done < self._epochs else 0
        return self._epochs // every - done // every + beside

    def _reserve(self) -> str:
        return " without validation" if self._validation_s is None and self._validations_left else ""

    def _draw(self, doing: str = "") -> None:
        number = min(self._epochs, max(1, math.ceil(self._done_steps / self._steps_per_epoch)))
        # With the rank of each: what a narrow terminal has no room for is left out, the highest rank first.
        words = [(2, doing or f"epoch {number}/{self._epochs}")]
        if self._loss.mean is not None:
            words.append((0, f"loss {self._loss.mean:.4f}"))
        if self._step_s.mean:
            words.append((3, f"{self._images_per_step / self._step_s.mean:.3g} images/s"))
        if self._score_words():
            words.append((1, self._score_words()))
        if self.left_s() is not None and self._reserve():
            words.append((4, f"time left{self._reserve()}"))
        self._show(words)

    def _score_words(self) -> str:
        """Return the last score and the best one in words; "" where there is none."""
        best = self._best.miou if self._best is not None else None
        if self._score is None:
            return "" if best is None else f"best mIoU {100 * best:.1f} %"
        behind = "" if best is None else " (best)" if self._score >= best else f" (best {100 * best:.1f} %)"
        return f"mIoU {100 * self._score:.1f} %{behind}"

    def _show(self, words: list[tuple[int, str]]) -> None:
        left_s = self.left_s()
        if self._stream.isatty():  # a line that wraps cannot be redrawn
            left = "" if left_s is None else f", {format_seconds(left_s)} left"
            times = f"train: {100 * self._share:.0f} % ({format_seconds(self._line.gone_s)} gone{left}) "
            room = shutil.get_terminal_size().columns - len(times) - 1
            while len(words) > 1 and sum(len(text) + 2 for _, text in words) - 2 > room:
                words.remove(max(words))
        self._line.show(self._share, ", ".join(text for _, text in words), left_s)


class _Smoothed:
    """A mean of recent values: of all of them while they are few, then with older ones counting less and less.

    Args:
        most: number of values from which on older ones count less.
    """

    def __init__(self, most: int) -> None:
        self.mean: float | None = None
        self._count, self._most = 0, most

    def add(self, value: float) -> None:
        self._count = min(self._count + 1, self._most)
        self.mean = value if self.mean is None else self.mean + (value - self.mean) / self._count
