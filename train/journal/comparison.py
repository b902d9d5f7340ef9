"""Several runs side by side: what they are, what they came to, what they cost, and where their recipes differ."""

from __future__ import annotations

import itertools
import string
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence

from edge.console import format_seconds
from edge.errors import InputError
from edge.records import read_record
from train.journal.entries import EpochEntry, best_of, epochs_of
from train.run_choice import FoundRun
from train.runs import RUN_RECORD, RunRecord, TrainingMeasurements

UNKNOWN = "-"
"""Cell of a value that a run does not have."""

Row = tuple
"""Name of a row, then the cell of each run."""


@dataclass(frozen=True)
class ComparedRun:
    """One run of a comparison.

    Attributes:
        mark: letter by which tables and curves name the run: "A", "B" and so on.
        folder: folder of the run.
        record: record of the run.
        epochs: entries of its epochs.
    """

    mark: str
    folder: Path
    record: RunRecord
    epochs: tuple[EpochEntry, ...]

    @property
    def best(self) -> EpochEntry | None:
        """Return the entry of the best epoch; None where none was validated."""
        return best_of(self.epochs)

    @property
    def measured(self) -> TrainingMeasurements:
        """Return the measurements of the run; all are None in records of before, but for the time to the best score."""
        measured = self.record.measurements
        if measured is not None:
            return measured
        best = self.best
        seconds = [entry.seconds for entry in self.epochs if best is not None and entry.epoch <= best.epoch]
        return TrainingMeasurements(time_to_best_s=sum(seconds) if seconds else None)


def read_runs(paths: Sequence[Path]) -> list[ComparedRun]:
    """Read the records of runs.

    Args:
        paths: folder of each run, or a file in it.

    Raises:
        InputError: there is no run, or its record is damaged.
    """
    marks = itertools.chain(string.ascii_uppercase, (f"R{number}" for number in itertools.count(27)))
    runs = []
    for path, mark in zip(paths, marks):
        if not path.exists():
            raise InputError(f"run not found: {path}")
        folder = path if path.is_dir() else path.parent
        if not (folder / RUN_RECORD).is_file():
            inside = sorted(inner.parent.name for inner in folder.glob(f"*/{RUN_RECORD}"))
            hint = f". Next: name runs in it, such as {folder / inside[-1]}" if inside else ""
            raise InputError(f"{folder} holds no run: it has no {RUN_RECORD}{hint}")
        record = read_record(RunRecord, folder / RUN_RECORD)
        runs.append(ComparedRun(mark, folder, record, tuple(epochs_of(record.history))))
    return runs


def obstacles(runs: Sequence[ComparedRun]) -> list[str]:
    """Return why the scores of runs cannot be compared, a sentence for each reason; empty where they can."""
    questions: tuple[tuple[str, Callable[[RunRecord], Any]], ...] = (
        ("datasets", lambda record: record.dataset),
        ("validation sizes", lambda record: f"{record.height}x{record.width}"),
        ("numbers of validation frames", lambda record: record.validation_frames),
    )
    found = [_difference(runs, f"mIoU is of different {name}", answer) for name, answer in questions]
    if not any(found):
        found.append(
            _difference(
                runs,
                "mIoU is of different validation frames, as many as they are",
                lambda record: (record.frames_sha256.get("val") or "")[:8] or None,
            )
        )
    return [sentence for sentence in found if sentence]


def _difference(runs: Sequence[ComparedRun], what: str, answer: Callable[[RunRecord], Any]) -> str:
    groups: dict[Any, list[str]] = {}
    for run in runs:
        value = answer(run.record)
        if value is not None:  # what is not known is no difference
            groups.setdefault(value, []).append(run.mark)
    if len(groups) < 2:
        return ""
    return f"{what}, and cannot be compared: " + "; ".join(
        f"{value} in {', '.join(marks)}" for value, marks in groups.items()
    )


def fact_rows(runs: Sequence[ComparedRun]) -> list[Row]:
    """Return what runs are, came to and cost; rows that no run has a value for are left out."""
    questions: tuple[tuple[str, Callable[[ComparedRun], str | None]], ...] = (
        ("model", lambda run: run.record.model),
        ("dataset", lambda run: run.record.dataset),
        ("validation size", lambda run: f"{run.record.height}x{run.record.width}"),
        ("training frames", lambda run: _count(run.record.training_frames)),
        ("validation frames", lambda run: _count(run.record.validation_frames)),
        ("status", lambda run: FoundRun(run.folder, run.record).state),
        ("epochs done", _epochs_words),
        ("best mIoU", lambda run: _score(run.best.miou if run.best else None)),
        ("of epoch", lambda run: _count(run.best.epoch if run.best else None)),
        ("time to best", lambda run: _seconds(run.measured.time_to_best_s)),
        ("in steps", lambda run: _seconds(run.measured.training_s)),
        ("in validation", lambda run: _seconds(run.measured.validation_s)),
        ("step, median", lambda run: _step(run.measured.step_p50_s)),
        ("step, 90 %", lambda run: _step(run.measured.step_p90_s)),
        ("images a second", lambda run: _number(run.measured.images_per_s)),
        ("waiting for input", lambda run: _share(run.measured.input_wait_share)),
        ("peak host memory", lambda run: _bytes(run.measured.peak_host_bytes)),
        ("peak device memory", lambda run: _bytes(run.measured.peak_device_bytes)),
        ("energy", lambda run: _energy(run.measured.energy_j)),
        ("devices", _devices_words),
        ("started from", lambda run: run.record.init),
        ("seed", lambda run: str(run.record.seed)),
        ("started", lambda run: run.record.started_utc[:16].replace("T", " ") + " UTC"),
        ("TensorFlow", lambda run: (run.record.versions or {}).get("tensorflow")),
    )
    return _rows(runs, questions)


def class_rows(runs: Sequence[ComparedRun]) -> list[Row]:
    """Return the IoU of each class in the best epoch of each run."""
    names = list(dict.fromkeys(name for run in runs if run.best for name in run.best.class_iou))
    return [
        (name, *(_score(run.best.class_iou.get(name) if run.best else None) or UNKNOWN for run in runs))
        for name in names
    ]


def setting_rows(runs: Sequence[ComparedRun]) -> list[Row]:
    """Return the settings of recipes and architectures that are not the same in all runs."""
    flat = [_flat({**run.record.recipe, "options": run.record.options}) for run in runs]
    names = list(dict.fromkeys(name for settings in flat for name in settings))
    rows = [(name, *(settings.get(name, UNKNOWN) for settings in flat)) for name in names]
    return [row for row in rows if len(set(row[1:])) > 1]


def comparison_json(runs: Sequence[ComparedRun]) -> dict[str, Any]:
    """Return the comparison as a value for JSON, with numbers as they are."""
    return {
        "runs": [
            {
                "mark": run.mark,
                "folder": str(run.folder),
                "model": run.record.model,
                "dataset": run.record.dataset,
                "height": run.record.height,
                "width": run.record.width,
                "status": run.record.status,
                "epochs_done": len(run.epochs),
                "epochs_planned": run.record.recipe.get("epochs"),
                "best_epoch": run.best.epoch if run.best else None,
                "best_miou": run.best.miou if run.best else None,
                "class_iou": run.best.class_iou if run.best else {},
                "training_frames": run.record.training_frames,
                "validation_frames": run.record.validation_frames,
                "devices": list(run.record.devices),
                "replicas": run.record.replicas,
                "init": run.record.init,
                "seed": run.record.seed,
                "started_utc": run.record.started_utc,
                **{each.name: getattr(run.measured, each.name) for each in fields(TrainingMeasurements)},
            }
            for run in runs
        ],
        "obstacles": obstacles(runs),
        "setting_differences": {row[0]: list(row[1:]) for row in setting_rows(runs)},
    }


def _rows(
    runs: Sequence[ComparedRun], questions: Sequence[tuple[str, Callable[[ComparedRun], str | None]]]
) -> list[Row]:
    answered = [(name, [answer(run) for run in runs]) for name, answer in questions]
    return [(name, *(cell or UNKNOWN for cell in cells)) for name, cells in answered if any(cells)]


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = f"{value:g}" if isinstance(value, float) else str(value)
    return flat


def _epochs_words(run: ComparedRun) -> str:
    planned = run.record.recipe.get("epochs")
    return f"{len(run.epochs)}" + (f" of {planned}" if planned not in (None, len(run.epochs)) else "")


def _devices_words(run: ComparedRun) -> str | None:
    record = run.record
    spread = f", {record.replicas} replicas" if record.replicas > 1 else ""
    workers = f", {record.workers} workers" if record.workers > 1 else ""
    return f"{'; '.join(record.devices)}{spread}{workers}" if record.devices else None


def _count(value: int | None) -> str | None:
    return None if value is None else str(value)


def _score(value: float | None) -> str | None:
    return None if value is None else f"{100 * value:.2f} %"


def _share(value: float | None) -> str | None:
    return None if value is None else f"{100 * value:.1f} %"


def _seconds(value: float | None) -> str | None:
    return None if value is None else format_seconds(value)


def _step(value: float | None) -> str | None:
    return None if value is None else f"{value:.3g} s"


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.3g}"


def _bytes(value: int | None) -> str | None:
    return None if value is None else f"{value / 2**30:.2f} GiB"


def _energy(value: float | None) -> str | None:
    return None if value is None else f"{value / 3.6e6:.3g} kWh" if value >= 3.6e4 else f"{value:.0f} J"
