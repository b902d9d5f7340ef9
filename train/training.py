"""A training: epochs of steps, validations and checkpoints, and how it goes on after it was stopped.

Everything that a step depends on is a function of the recipe, the seed and the number of the step, or is in the state
that a checkpoint writes. So a run that goes on computes what an uninterrupted one would have.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import math
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping

import numpy as np

from edge.accuracy import Accuracy, accuracy_of
from edge.errors import InputError, SegEdgeError, StorageError, WeightsError
from edge.interruption import DeferredInterruption, interruption_deferred, interruption_name
from train.engine.state import read_variables, set_variables
from train.engine.worker_sums import sum_over_workers
from train.journal.entries import EpochEntry, RunFacts, best_of, epochs_of
from train.journal.journal import Journal
from train.journal.machine_use import EnergyMeter
from train.journal.progress import TrainingProgress
from train.journal.step_clock import StepClock
from train.preparation import Preparation
from train.recipe import MIXED_FLOAT16
from train.run_folder.following_run import FollowingRun
from train.run_folder.open_run import OpenRun
from train.run_folder.resume import RunToResume
from train.run_folder.state_file import array_differences
from train.runs import (
    BEST_WEIGHTS,
    EMA_WEIGHTS,
    FAILED,
    FINISHED,
    INITIAL,
    INTERRUPTED,
    LAST_WEIGHTS,
    RUN_STATE,
    RunRecord,
    TrainingMeasurements,
)
from train.time_budget import steps_within
from train.validation import measure_validation

SKIPPED_IN_A_ROW = 20
"""Steps that a loss scale may skip, one after the other, until the training counts as diverged."""

PLANNING_STEPS = 30
"""Steps after which a training that is given hours first knows how long a step takes."""


@dataclass(frozen=True)
class Course:
    """How a training is run, apart from what it computes.

    Attributes:
        checkpoint_s: time in s after which the state is written, beside each end of an epoch.
        hours: time in hours that the training may take in all; None for all epochs of the recipe.
        processor_hours: time in hours that the processor may spend on the training in all, all threads together; None
            for no limit. On a machine with other work it is a budget that other trainings can be given too.
        enough: function that is asked after each epoch whether the training may end; None for no.
        validate_first: whether the initial weights are validated too, and kept as the best if no epoch is better.
    """

    checkpoint_s: float = 600.0
    hours: float | None = None
    processor_hours: float | None = None
    enough: Callable[[EpochEntry], bool] | None = None
    validate_first: bool = False


@dataclass
class Position:
    """Where a training is, as far as neither its record nor its tensors say so.

    Attributes:
        step: number of steps that were made.
        loss_sums: sum of the losses of this epoch's steps, by output; of the weighted sum under "".
        counted: number of steps that are in `loss_sums`.
        since_best: validations since the best one.
        epoch_began_s: time of the run, in s, at which the epoch began.
        steps_before_s: time in s of the steps of the epochs before.
    """

    step: int = 0
    loss_sums: dict[str, float] = field(default_factory=dict)
    counted: int = 0
    since_best: int = 0
    epoch_began_s: float = 0.0
    steps_before_s: float = 0.0


class Training:
    """One training in one process, from its first step or a checkpoint to its end.

    Args:
        prepared: network, losses, optimiser, input and validation.
        run: run folder; on all workers but the first, a `FollowingRun`, which writes nothing.
        journal: what the training is told to.
        course: how the training is run.
        meter: energy meter that runs; None where nothing tells the power.
    """

    def __init__(
        self,
        prepared: Preparation,
        run: OpenRun | FollowingRun,
        journal: Journal,
        course: Course,
        meter: EnergyMeter | None = None,
    ) -> None:
        self._prepared, self._run, self._journal, self._course = prepared, run, journal, course
        self._position, self._meter, self._clock = Position(), meter, StepClock(meter)
        self._variables = prepared.variables()
        self._record: RunRecord | None = None
        self._progress: TrainingProgress | None = None
        self._skipped_steps = 0

    def begin(self, record: RunRecord) -> None:
        """Begin a run: its record and the state before the first step are written.

        Raises:
            InputError: the folder holds a run already.
            StorageError: the record cannot be written.
        """
        self._record = self._run.begin(record, read_variables(self._variables), self._facts())

    def go_on(self, start: RunToResume) -> None:
        """Take up the state of a checkpoint.

        Raises:
            WeightsError: the state is that of another network.
            StorageError: the folder cannot be written to.
        """
        facts = start.state.facts
        differences = array_differences(start.state.arrays, self._variables)
        if differences:
            raise WeightsError(f"{start.folder / RUN_STATE} is the state of another network: {differences}")
        set_variables(self._variables, start.state.arrays)
        self._position = Position(**facts["position"])
        self._clock = StepClock.from_facts(facts["clock"], self._meter)
        self._prepared.optimization.steps = facts["steps"]
        self._record = self._run.go_on(start)

    def train(self) -> RunRecord:
        """Make the steps that are left, and return the record as it was written last.

        Raises:
            SegEdgeError: the training diverged or ran out of memory, or a picture cannot be read.
            StorageError: a checkpoint cannot be written; the one before is there.
            KeyboardInterrupt: a signal ended the training; its state was written.
        """
        prepared = self._prepared
        epochs = epochs_of(self._record.history)
        self._progress = TrainingProgress(
            prepared.recipe.epochs,
            prepared.steps_per_epoch,
            prepared.recipe.validate_every,
            self._position.step,
            best_of(epochs),
            sys.stderr if prepared.strategy.is_chief else io.StringIO(),
        )
        self._progress.plan(self._steps)
        try:
            self._journal.open(self._run_facts(), epochs)
            with self._progress, interruption_deferred() as interruption:
                reason = self._train(interruption)
        except KeyboardInterrupt as error:
            self._end(INTERRUPTED, interruption_name(error))
            raise
        except Exception as error:
            with contextlib.suppress(StorageError):  # whatever ended it, the record says so
                self._end(FAILED, str(prepared.batches.failure or error).split("\n")[0])
            if prepared.batches.failure is not None:
                raise prepared.batches.failure from None
            raise
        self._end(FINISHED, reason)
        return self._record

    @property
    def _steps(self) -> int:
        """Number of steps of the whole training."""
        return self._prepared.optimization.steps

    def _run_facts(self) -> RunFacts:
        record = self._record
        settings = {"recipe": record.recipe, "options": record.options, "seed": record.seed, "init": record.init}
        return RunFacts(self._run.folder, record.model, record.dataset, settings, self._position.step)

    def _train(self, interruption: DeferredInterruption) -> str:
        """Make all steps; return why there were fewer than the recipe has, "" where there were not."""
        if self._course.validate_first and self._position.step == 0 and self._record.initial_miou is None:
            self._validate_initial(interruption)
        written_s = time.monotonic()
        batches = self._prepared.strategy.batches(self._prepared.batches, self._position.step)
        while True:
            if self._is_epoch_due():
                reason = self._end_epoch(interruption)
                written_s = time.monotonic()
                if reason:
                    return reason
            if self._position.step >= self._steps:
                return self._time_words()
            self._step(batches)
            if self._position.step == PLANNING_STEPS:
                self._plan()
            if interruption.is_requested or time.monotonic() - written_s > self._course.checkpoint_s:
                self._checkpoint()
                written_s = time.monotonic()
                interruption.raise_if_requested()

    def _is_epoch_due(self) -> bool:
        """Return whether the steps of an epoch are made, and it has no entry yet."""
        step, length = self._position.step, self._prepared.steps_per_epoch
        epochs = step // length if step < self._steps else math.ceil(step / length)
        return len(self._record.history) < epochs

    def _step(self, batches: Iterator[Any]) -> None:
        with self._clock.waiting():
            batch = next(batches)
        size = self._prepared.recipe.batch_size
        with self._clock.stepping(size):
            result = self._prepared.step.step(batch)
            losses = {name: float(value) for name, value in {"": result.loss, **result.losses}.items()}
        loss, heads = losses[""], {name: value for name, value in losses.items() if name}
        if not math.isfinite(loss) or not bool(result.applied):
            self._skip(loss)
            return
        position, self._skipped_steps = self._position, 0
        position.step += 1
        for name, value in losses.items():
            position.loss_sums[name] = position.loss_sums.get(name, 0.0) + value
        position.counted += 1
        self._journal.on_step(position.step, loss, float(result.learning_rate), heads, self._clock.last_step_s, size)
        self._progress.step(loss, size)

    def _skip(self, loss: float) -> None:
        """Count a step that left the weights alone, since a float16 gradient overflowed; more than a few diverged."""
        self._skipped_steps += 1
        if self._prepared.recipe.precision != MIXED_FLOAT16 or self._skipped_steps > SKIPPED_IN_A_ROW:
            raise self._diverged(f"the loss is {loss} at step {self._position.step + 1}")
        self._position.step += 1

    def _diverged(self, what: str) -> SegEdgeError:
        step = self._position.step
        names = self._prepared.batches.names_of(step)
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        epoch, rate = step // self._prepared.steps_per_epoch + 1, self._prepared.recipe.learning_rate
        return SegEdgeError(
            f"training diverged: {what} (epoch {epoch}), whose frames are {shown}; "
            f"the state of step {self._record.steps_done} is kept. Next: a smaller --learning-rate than {rate:g}"
        )

    def _end_epoch(self, interruption: DeferredInterruption) -> str:
        """Validate, keep what is best, and write everything; return why the training ends here, "" if it does not."""
        position, recipe = self._position, self._prepared.recipe
        epoch = len(self._record.history) + 1
        accuracy, validation_s = None, None
        self._plan()  # the time may be over with this epoch, which is the last one then, and is validated
        is_last = position.step >= self._steps
        if is_last or epoch % recipe.validate_every == 0:
            # A validation may take minutes: what a kill in it costs is the validation alone.
            self._checkpoint()
            accuracy, validation_s = self._validate(epoch, interruption)
        entry = self._entry(epoch, accuracy, validation_s)
        best_miou = self._record.best_miou
        is_best = accuracy is not None and (best_miou is None or accuracy.miou > best_miou)
        changes: dict[str, Any] = {"history": (*self._record.history, entry.to_history())}
        if is_best:
            changes.update(best_epoch=epoch, best_miou=accuracy.miou)
            self._clock.mark_best()
        self._record = dataclasses.replace(self._record, **changes)
        if accuracy is not None:
            position.since_best = 0 if is_best else position.since_best + 1
        position.loss_sums, position.counted, position.epoch_began_s = {}, 0, self._clock.elapsed_s
        position.steps_before_s = self._clock.training_s
        if accuracy is not None and not is_last:
            self._plan()  # by the time that a validation takes
        self._checkpoint(self._weights(is_best))
        self._journal.on_epoch(entry)
        self._progress.epoch(entry, is_best)
        interruption.raise_if_requested()
        if recipe.patience is not None and position.since_best >= recipe.patience and position.step < self._steps:
            return f"no better score in {position.since_best} validations"
        is_enough = self._course.enough is not None and self._course.enough(entry)
        return "it was enough" if is_enough and position.step < self._steps else ""

    def _validate_initial(self, interruption: DeferredInterruption) -> None:
        """Validate the weights that the training starts from, and keep them as the best until now."""
        miou = self._validate(INITIAL, interruption)[0].miou
        self._record = dataclasses.replace(self._record, initial_miou=miou, best_miou=miou, best_epoch=INITIAL)
        self._position.epoch_began_s = self._clock.elapsed_s
        self._checkpoint({BEST_WEIGHTS: self._prepared.evaluator.save_weights})
        self._progress.initial(miou)

    def _validate(self, epoch: int, interruption: DeferredInterruption) -> tuple[Accuracy, float]:
        """Return the accuracy on the whole validation split, and the time that it took, in s."""
        prepared, strategy = self._prepared, self._prepared.strategy
        frames, labelled = len(prepared.validation), 0

        def label_frame(*frame: Any) -> Any:
            nonlocal labelled
            interruption.raise_if_requested()
            labels = prepared.label_frame(*frame)
            labelled += 1
            self._progress.validating(min(labelled * strategy.workers, frames), frames)
            return labels

        start_s = time.monotonic()
        with self._clock.validating():
            prepared.load_evaluator()
            try:
                part = (strategy.worker, strategy.workers)
                matrix = measure_validation(label_frame, prepared.validation, part)
            except InputError as error:
                if "NaN or infinite" not in str(error):
                    raise
                # The last step spoilt the weights, after the last loss was seen.
                raise self._diverged(f"logits are NaN or infinite after epoch {epoch}") from None
            matrix.counts[:] = sum_over_workers(strategy, matrix.counts)
        return accuracy_of(matrix, prepared.validation), time.monotonic() - start_s

    def _entry(self, epoch: int, accuracy: Accuracy | None, validation_s: float | None) -> EpochEntry:
        position, counted = self._position, self._position.counted
        means = {name: total / counted for name, total in position.loss_sums.items()}
        seconds = self._clock.elapsed_s - position.epoch_began_s
        steps_s = self._clock.training_s - position.steps_before_s
        crops = counted * self._prepared.recipe.batch_size
        return EpochEntry(
            epoch=epoch,
            loss=means.pop("", math.nan),
            learning_rate=self._prepared.optimization.learning_rate(),
            seconds=seconds,
            step=position.step,
            head_losses=means,
            miou=accuracy.miou if accuracy else None,
            class_iou=accuracy.class_iou if accuracy else {},
            validation_s=validation_s,
            images_per_s=crops / steps_s if steps_s > 0 else None,
        )

    def _weights(self, is_best: bool) -> dict[str, Callable[[Path], object]]:
        """Return the weights files that an end of an epoch writes, each with the function that does it."""
        prepared = self._prepared
        # The evaluator holds no optimiser, whose slots would triple the file.
        weights: dict[str, Callable[[Path], object]] = {LAST_WEIGHTS: prepared.network.save_weights}
        if prepared.average is not None:
            prepared.load_evaluator()
            weights[EMA_WEIGHTS] = prepared.evaluator.save_weights
        if is_best:
            weights[BEST_WEIGHTS] = prepared.evaluator.save_weights
        return weights

    def _checkpoint(self, weights: Mapping[str, Callable[[Path], object]] | None = None) -> None:
        """Write everything that the training goes on from, and weights with it."""
        record = dataclasses.replace(
            self._record,
            steps_done=self._position.step,
            steps_planned=self._steps,
            measurements=TrainingMeasurements(**self._clock.summary()),
        )
        self._record = self._run.checkpoint(record, read_variables(self._variables), self._facts(), weights)

    def _facts(self) -> dict[str, Any]:
        """Return what a state has beside tensors and the record."""
        return {
            "position": dataclasses.asdict(self._position),
            "clock": self._clock.to_facts(),
            "steps": self._steps,
        }

    def _plan(self) -> None:
        """Move the end of the schedule to where the time ends that the user gave."""
        prepared, clock = self._prepared, self._clock
        images_per_s = clock.summary()["images_per_s"]
        course = self._course
        if (course.hours is None and course.processor_hours is None) or images_per_s is None:
            return  # before the second step, the first of which traces
        validations = sum(1 for entry in self._record.history if entry["miou"] is not None)
        # What is around the steps, such as the states that are written.
        around_s = clock.elapsed_s - clock.training_s - clock.validation_s
        step_s = prepared.recipe.batch_size / images_per_s + around_s / self._position.step
        validation_s = clock.validation_s / validations if validations else 0.0
        steps = prepared.recipe.epochs * prepared.steps_per_epoch
        # The processor's share of the time is taken to be the same in steps and validations.
        budgets = ((course.hours, 1.0), (course.processor_hours, clock.processor_s / clock.elapsed_s))
        for hours, share in budgets:
            if hours is not None:
                steps = steps_within(
                    budget_s=3600.0 * hours,
                    spent_s=clock.elapsed_s * share,
                    steps_done=self._position.step,
                    step_s=step_s * share,
                    validation_s=validation_s * share,
                    steps_per_epoch=prepared.steps_per_epoch,
                    most=steps,
                )
        # By the chief's clock on all workers, who have to end with the same step.
        is_chief = prepared.strategy.is_chief
        prepared.optimization.steps = int(sum_over_workers(prepared.strategy, np.array([steps * is_chief]))[0])
        self._progress.plan(self._steps)

    def _time_words(self) -> str:
        planned = self._prepared.recipe.epochs * self._prepared.steps_per_epoch
        course = self._course
        limits = ((course.hours, "hours"), (course.processor_hours, "processor hours"))
        spent = " or ".join(f"{hours:g} {what}" for hours, what in limits if hours is not None)
        return f"{spent} were over" if self._position.step < planned and spent else ""

    def _end(self, status: str, reason: str = "") -> None:
        self._record = self._run.end(status, reason)
        self._journal.on_end(status)
