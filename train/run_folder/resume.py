"""The state that a stopped or killed training goes on from, and whether it is that of the wanted configuration.

What decides the weights may not change: model, classes, frames and their order, seed, options, initial weights, and
every field of the recipe but two. `epochs` is among them, since the learning rate at each step depends on the number of
all steps; so are `precision`, `xla`, `accumulation` and `batch_norm`, which change how a step rounds or which crops a
statistic is over. What may change:

- `patience` and `validate_every`, which decide when to look and when to stop, and no step;
- the folder of the dataset and the place of its description, which may have moved: frames are known by their names,
  a description by what it says;
- the devices, the strategy, threads, the time limit and the logs, which are no part of a configuration. On other
  devices a step is the same up to rounding, and up to which crops local BatchNorm sees together.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Sequence

from edge.errors import ContractError, InputError, WeightsError
from edge.records import read_record, record_from_json, record_to_json
from train.recipe import Recipe
from train.run_folder.state_file import TrainingState, read_state
from train.runs import FINISHED, RUN_RECORD, RUN_STATE, RunRecord

RECORD_FACT = "record"
"""Name of the fact of a state that holds the record of the run at that step."""

MAY_CHANGE = ("patience", "validate_every")
"""Fields of the recipe that a resumption may have otherwise than the run."""

_OF_ANOTHER_PLACE = ("options",)
"""Fields of the recipe that say what another field of the record says as it came to be."""


@dataclass(frozen=True)
class RunToResume:
    """A run that a training can go on with.

    Attributes:
        folder: run folder.
        record: record of the run at the step of the state; run.json may be older.
        state: arrays and facts of the training at that step.
    """

    folder: Path
    record: RunRecord
    state: TrainingState


def can_go_on(folder: Path) -> bool:
    """Return whether a folder holds a state that a training can go on from; its content is not looked at."""
    return (folder / RUN_STATE).is_file()


def resume_command(folder: Path) -> str:
    """Return the command that goes on with a run."""
    return f"python train/train.py --resume {folder}"


def read_run_to_resume(folder: Path, wanted: Mapping[str, Any] | None = None) -> RunToResume:
    """Read what a training goes on from, and check that it is that of the wanted configuration.

    Args:
        folder: run folder, which this process should hold the lock of.
        wanted: field of RunRecord -> its value, for all fields that were asked for; of `recipe` and `options` the parts
            that were.

    Raises:
        InputError: there is no run, it has finished, it has no state, or the wanted configuration is another.
        WeightsError: the state is damaged.
    """
    try:
        written = read_record(RunRecord, folder / RUN_RECORD)
    except InputError as error:  # the state has the record too
        if isinstance(error, ContractError) and not can_go_on(folder):
            raise
        if not can_go_on(folder):
            raise InputError(f"{folder} holds no run: it has no {RUN_RECORD}. Next: name the folder of a run") from None
        written = None
    if written is not None and written.status == FINISHED:
        raise InputError(f"{folder} has finished: no step is left. Next: train anew with --init-weights {folder}")
    if not can_go_on(folder):
        raise InputError(
            f"{folder} has no {RUN_STATE} to go on from: it ended before its first one, or is of an earlier version. "
            "Next: train anew with another --output"
        )
    state = read_state(folder / RUN_STATE)
    if RECORD_FACT not in state.facts:
        raise WeightsError(f"{folder / RUN_STATE} is no state of a training in a run folder: it has no {RECORD_FACT}")
    record = record_from_json(RunRecord, state.facts[RECORD_FACT], f"{folder / RUN_STATE}: {RECORD_FACT}")
    if written is not None and len(written.resumptions) > len(record.resumptions):  # it was killed before a checkpoint
        record = dataclasses.replace(record, resumptions=written.resumptions)
    differences = configuration_differences(record, wanted or {})
    if differences:
        raise other_configuration(folder, differences)
    return RunToResume(folder, _with_changes(record, wanted or {}), state)


def other_configuration(folder: Path, differences: Sequence[str]) -> InputError:
    """Return the error about a run that has another configuration than was asked for.

    Args:
        folder: run folder.
        differences: what differs, as `configuration_differences` tells it.
    """
    return InputError(
        f"{folder} is a run of another configuration: {', '.join(differences)}. "
        f"Next: leave that out, or train anew with --init-weights {folder}"
    )


def configuration_differences(record: RunRecord, wanted: Mapping[str, Any]) -> list[str]:
    """Return each field that was asked for otherwise than a run has it, such as "epochs 24 (run) / 30 (wanted)".

    Args:
        record: record of the run.
        wanted: see `read_run_to_resume`.
    """
    run = record_to_json(record)
    defaults = _recipe_defaults()
    own_dataset = record.dataset
    told = []
    for name, value in record_to_json(dict(wanted)).items():
        if name == "recipe":
            for part, part_value in value.items():
                own = run["recipe"].get(part, defaults.get(part))
                if part not in (*MAY_CHANGE, *_OF_ANOTHER_PLACE) and own != part_value:
                    told.append(_difference(part, own, part_value))
        elif name == "options":
            told += [
                _difference(f"option {part}", run["options"].get(part), part_value)
                for part, part_value in value.items()
                if run["options"].get(part) != part_value
            ]
        elif name == "frames_sha256":
            others = [split for split, digest in value.items() if run[name].get(split) != digest]
            told += [f"other frames in {split} than the run's" for split in others]
            if others and wanted.get("data_dir", record.data_dir) != record.data_dir:
                told.append(_difference("data folder", record.data_dir, wanted["data_dir"]))
        elif name == "data_dir":
            continue  # frames are known by their names, wherever they lie
        elif name == "classes":
            # Another dataset has other classes, and it is named already.
            told += (
                _class_differences(run["classes"], value) if wanted.get("dataset", own_dataset) == own_dataset else []
            )
        elif name == "described":
            told += _description_differences(run["described"], value)
        elif run[name] != value:
            told.append(_difference(name.replace("_", " "), run[name], value))
    return told


def _class_differences(own: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> list[str]:
    """Return what differs between the classes of a run and those that the dataset has now, by their names alone."""
    own_names, names = [each["name"] for each in own], [each["name"] for each in wanted]
    if not own or own_names == names:  # a record of before has none
        return []
    gone, new = ([name for name in one if name not in other] for one, other in ((own_names, names), (names, own_names)))
    if not gone and not new:
        return ["the classes are in another order"]
    return [f"{what} {', '.join(those)}" for what, those in (("classes without", gone), ("classes with", new)) if those]


def _description_differences(own: dict[str, Any] | None, wanted: dict[str, Any] | None) -> list[str]:
    """Return that a dataset description says something else than it did when the run began."""
    if own is None or wanted is None or own["sha256"] == wanted["sha256"]:
        return []
    place = own["path"] if own["path"] == wanted["path"] else f"{own['path']} (run) / {wanted['path']} (wanted)"
    return [f"another dataset description: {place}, {own['sha256'][:12]} (run) / {wanted['sha256'][:12]} (wanted)"]


def _recipe_defaults() -> dict[str, Any]:
    """Return the value of each field that a recipe of an earlier version, which does not have it, trained with."""
    defaults = {}
    for field in dataclasses.fields(Recipe):
        if field.default is not dataclasses.MISSING:
            defaults[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            defaults[field.name] = field.default_factory()
    return defaults


def _with_changes(record: RunRecord, wanted: Mapping[str, Any]) -> RunRecord:
    """Return the record with what may change as it was asked for."""
    recipe = dict(wanted.get("recipe", {}))
    changed = {name: recipe[name] for name in MAY_CHANGE if name in recipe}
    return dataclasses.replace(record, recipe={**record.recipe, **changed})


def _difference(name: str, own: Any, wanted: Any) -> str:
    return f"{name} {_spell(own)} (run) / {_spell(wanted)} (wanted)"


def _spell(value: Any) -> str:
    return "none" if value is None else str(value)
