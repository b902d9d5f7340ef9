"""The choice of a run to build from: by status and score among those that a build can be compared by."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable, Mapping, Sequence

from edge.artifacts import sha256_file
from edge.errors import InputError
from edge.records import read_record
from train.options import OPTIONS, resolve_options
from train.run_folder.lock import LockHolder, holder_of
from train.run_folder.resume import can_go_on, resume_command
from train.runs import BEST_WEIGHTS, FAILED, FINISHED, RUN_RECORD, RUNNING, RUNS_ROOT, RunRecord, score_words
from train.weights_pair import described_path

MOST_NAMED = 4
"""Number of runs that one line names; the rest is a number."""


@dataclass(frozen=True)
class FoundRun:
    """A run folder of a model, whether a build may take it or not.

    Attributes:
        folder: folder of the run.
        record: record of the run; None where it is missing or cannot be read.
    """

    folder: Path
    record: RunRecord | None

    @property
    def weights_path(self) -> Path:
        """Return the path of the weights of the run's best epoch, which need not exist."""
        digest = self.record.weights_sha256 if self.record is not None else None
        return described_path(self.folder, BEST_WEIGHTS, digest)

    @property
    def trainer(self) -> LockHolder | None:
        """Return the process that trains in the folder now; None where none does."""
        return holder_of(self.folder) if self.record is not None and self.record.status == RUNNING else None

    @property
    def state(self) -> str:
        """Return what became of the run, such as "finished" or "killed"; its record has to be there."""
        if self.record.status == RUNNING:
            trainer = self.trainer
            return f"still running ({trainer.words()})" if trainer is not None else "killed"
        return f"{self.record.status} ({self.record.end_reason})" if self.record.end_reason else self.record.status

    @property
    def can_go_on(self) -> bool:
        """Return whether a training can go on with the run: it has not finished, does not run, and left its state."""
        is_over = self.record is None or self.record.status == FINISHED
        return not is_over and can_go_on(self.folder) and self.trainer is None

    def trouble(self) -> str:
        """Return the reason why no build takes the run by itself, in a few words; "" where it is finished and has all.

        The content of the weights is not looked at, see `is_torn`.
        """
        if self.record is None:
            return f"its {RUN_RECORD} is missing or cannot be read"
        if not self.weights_path.is_file():
            return f"{self.state}, has no weights"
        return "" if self.record.status == FINISHED else f"{self.state}, {epochs_words(self.record)} done"

    def is_torn(self) -> bool:
        """Return whether the weights are another file than the record describes."""
        try:
            return self.record is None or sha256_file(self.weights_path) != self.record.weights_sha256
        except InputError:
            return True

    def started(self) -> float:
        """Return the time when the training started, in seconds of Unix; the least there is where it is not known."""
        try:
            started = datetime.datetime.fromisoformat(self.record.started_utc.replace("Z", "+00:00"))
        except (AttributeError, ValueError):
            return float("-inf")
        if started.tzinfo is None:
            started = started.replace(tzinfo=datetime.timezone.utc)
        return started.timestamp()

    def words(self) -> str:
        """Return folder, dataset, size, score and status in one phrase, for people."""
        if self.record is None:
            return f"{self.folder} ({self.trouble()})"
        size = f"{self.record.height}x{self.record.width}"
        facts = [self.record.dataset, size, score_words(self.record), self.trouble() or _finished_words(self.record)]
        return f"{self.folder} ({', '.join(facts)})"


@dataclass(frozen=True)
class RunChoice:
    """A run that was chosen, and those that were not.

    Attributes:
        run: run that a build takes; None where none fits, or where runs of several datasets do.
        passed_over: pairs of a run and the reason why it was not taken, in a few words.
        rival_datasets: datasets among which the user has to choose, sorted; empty where there is one or none.
        fitting_count: number of runs that were compared by their score, the chosen one among them.
    """

    run: FoundRun | None
    passed_over: tuple[tuple[FoundRun, str], ...] = ()
    rival_datasets: tuple[str, ...] = ()
    fitting_count: int = 0

    def sentence(self) -> str:
        """Return one line that says what was chosen and what was passed over; a run has to be chosen."""
        by = f", the best of {self.fitting_count} finished runs by mIoU" if self.fitting_count > 1 else ""
        passed = [f"{found.folder.name} ({reason})" for found, reason in self.passed_over]
        over = f"; passed over: {named(passed)}" if passed else ""
        return f"weights: {self.run.words()}{by}{over}"


def find_runs(model: str, root: Path = RUNS_ROOT) -> list[FoundRun]:
    """Return the runs of a model under a folder, by name; folders may have any name.

    Args:
        model: key in train.models.MODELS.
        root: folder of the runs, which need not exist.
    """
    try:
        folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []
    found = []
    for folder in folders:
        if not ((folder / RUN_RECORD).is_file() or (folder / BEST_WEIGHTS).is_file()):
            continue
        try:
            record = read_record(RunRecord, folder / RUN_RECORD)
        except InputError:  # of no known model, but for its name
            if folder.name.startswith(f"{model}-"):
                found.append(FoundRun(folder, None))
            continue
        if record.model == model:
            found.append(FoundRun(folder, record))
    return found


def run_in(folder: Path) -> FoundRun | None:
    """Return the run that a folder holds, of whatever model; None where it holds no readable record of one."""
    try:
        return FoundRun(folder, read_record(RunRecord, folder / RUN_RECORD))
    except InputError:
        return None


def choose_run(
    runs: Iterable[FoundRun],
    dataset: str | None = None,
    size: tuple[int, int] | None = None,
    options: Mapping[str, Any] | None = None,
) -> RunChoice:
    """Choose the best finished run of a model.

    Scores are compared among runs of one dataset and size whose mIoU was measured on as many frames. Where a dataset
    has several such groups, that of the run with the most epochs is taken. Among equals it is the longest, then the
    newest.

    Args:
        runs: runs of one model, as `find_runs` gives them.
        dataset: key in edge.datasets.LAYOUTS that a run must have; None for any.
        size: height and width that a run must have been validated at; None for any.
        options: options that the architecture of a run must have, apart from those that do not shape the weights.
    """
    passed_over: list[tuple[FoundRun, str]] = []
    fitting: dict[str, list[FoundRun]] = {}
    for run in runs:
        trouble = run.trouble()
        reason = trouble or _misfit(run.record, dataset, size, options or {})
        if reason:
            way_on = f"; it goes on with {resume_command(run.folder)}" if trouble and run.can_go_on else ""
            passed_over.append((run, f"{reason}{way_on}"))
        else:
            fitting.setdefault(run.record.dataset, []).append(run)
    chosen = [
        choice for choice in (_choose_comparable(fitting[name], passed_over) for name in sorted(fitting)) if choice
    ]
    if len(chosen) == 1:
        return chosen[0]
    return RunChoice(None, tuple(passed_over), tuple(choice.run.record.dataset for choice in chosen))


def _choose_comparable(runs: Sequence[FoundRun], unfit: list[tuple[FoundRun, str]]) -> RunChoice | None:
    """Choose among finished runs of one dataset; `unfit` grows by those whose weights are torn."""
    runs = list(runs)
    while runs:
        groups: dict[Any, list[FoundRun]] = {}
        for run in runs:
            groups.setdefault(_yardstick(run.record), []).append(run)
        best = max(map(_best, groups.values()), key=lambda run: (len(run.record.history), run.started()))
        runs.remove(best)
        if best.is_torn():  # only of the one that would be taken: hashing all weights would take seconds
            unfit.append((best, f"its weights are not those that {RUN_RECORD} describes"))
            continue
        others = sorted(runs, key=FoundRun.started, reverse=True)
        passed_over = [(run, _other_words(run.record, best.record)) for run in others]
        return RunChoice(best, (*passed_over, *unfit), (), len(groups[_yardstick(best.record)]))
    return None


def named(texts: Sequence[str]) -> str:
    """Return texts as a list in one line; more than MOST_NAMED end in the number of the rest."""
    more = f" and {len(texts) - MOST_NAMED} more" if len(texts) > MOST_NAMED else ""
    return ", ".join(texts[:MOST_NAMED]) + more


def epochs_words(record: RunRecord) -> str:
    """Return how many epochs a run has behind it, and of how many where that is another number."""
    done, planned = len(record.history), record.recipe.get("epochs")
    if isinstance(planned, int) and planned != done:
        return f"{done} of {planned} epochs"
    return f"{done} epoch{'' if done == 1 else 's'}"


def status_warning(run: FoundRun) -> str:
    """Return a sentence about a run that the user named although no build would take it by itself; else ""."""
    record = run.record
    if record is None or record.status == FINISHED:
        return ""
    verb = "has" if record.status == FAILED else "is" if run.trainer is not None else "was"
    way_on = f". Next: {resume_command(run.folder)}" if run.can_go_on else ""
    return f"{run.folder} {verb} {run.state} after {epochs_words(record)}: its weights are the best until then{way_on}"


def _finished_words(record: RunRecord) -> str:
    return f"finished, {epochs_words(record)}" if record.history else FINISHED


def _misfit(record: RunRecord, dataset: str | None, size: tuple[int, int] | None, options: Mapping[str, Any]) -> str:
    """Return what a run has otherwise than was asked for, in a few words; "" where it fits."""
    if dataset is not None and record.dataset != dataset:
        return f"on {record.dataset}"
    if size is not None and (record.height, record.width) != tuple(size):
        return f"at {record.height}x{record.width}"
    try:
        own = resolve_options(record.model, record.options)
    except InputError:
        return "has options of another version"
    known = OPTIONS[record.model]
    other = [name for name, value in options.items() if known[name].shapes_weights and own[name] != value]
    return f"with {other[0]}={own[other[0]]}" if other else ""


def _yardstick(record: RunRecord) -> tuple[Any, ...]:
    """Return what two runs must have in common for their scores to be comparable."""
    return record.dataset, record.height, record.width, record.validation_frames


def _best(runs: Iterable[FoundRun]) -> FoundRun:
    """Return the run with the best score; of equal ones the longest, and of equally long ones the newest."""

    def rank(run: FoundRun) -> tuple[float, int, float]:
        score = run.record.best_miou
        return score if score is not None else -1.0, len(run.record.history), run.started()

    return max(runs, key=rank)


def _other_words(record: RunRecord, best: RunRecord) -> str:
    told = f"{score_words(record)}, {epochs_words(record)}"
    if _yardstick(record) == _yardstick(best):
        return told
    if (record.height, record.width) != (best.height, best.width):
        return f"{told}, not comparable: at {record.height}x{record.width}"
    frames = record.validation_frames
    return f"{told}, not comparable: on {frames if frames is not None else 'an unknown number of'} validation frames"
