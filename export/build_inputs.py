"""Inputs of a build that the user left open: weights, dataset, frames.

This module is part of the device set: nothing here needs TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

from edge.artifacts import ARTIFACTS_ROOT, artifact_folder
from edge.contract import CONTRACT_FILE
from edge.datasets import LAYOUTS, default_data_dir, open_dataset
from edge.errors import DatasetError, WeightsError
from edge.frames import DatasetFrames, FrameSet, SyntheticFrames
from edge.picture_check import checked_dataset
from train.options import changed_options, resolve_options
from train.runs import RUNS_ROOT, newest_run
from train.weights_file import agreed_options, read_weights

PARITY_IMAGES = 4
"""Images of the Keras-to-ONNX check: the error hardly varies from one to the next."""

SYNTHETIC_HELD_OUT_SEED = 7_000_000
"""Seed of the scenes that are drawn where there is no dataset; nothing trains or calibrates on them."""


@dataclass(frozen=True)
class BuildInputs:
    """Weights, dataset and options that a build starts from.

    `choose_inputs` makes it; an export, and the plan of a build, use it.

    Attributes:
        dataset: key in edge.datasets.LAYOUTS.
        data_dir: folder of the dataset; None where there is none, and scenes are drawn instead.
        weights_path: path of a weights file; None for random weights, or those of the artefact.
        options: options of the architecture that differ from their defaults.
    """

    dataset: str
    data_dir: Path | None
    weights_path: Path | None
    options: dict[str, Any]


def choose_inputs(
    model: str,
    dataset: str | None,
    data_dir: Path | None,
    weights_path: Path | None,
    size: tuple[int, int],
    options: Mapping[str, Any] | None = None,
    runs_root: Path = RUNS_ROOT,
    artifacts_root: Path = ARTIFACTS_ROOT,
) -> BuildInputs:
    """Choose the inputs of a build that the user left open.

    What the user gave is used. Else the choice is:

    - weights: the newest trained run of the model that has the given options, and the given dataset;
    - options: those of the weights;
    - dataset: that of the weights, else that of an artefact of this model, options and size, else Cityscapes;
    - folder of the dataset: the default one, else that of the run.

    Args:
        model: name of the architecture.
        dataset: key in edge.datasets.LAYOUTS; None if the user gave none.
        data_dir: folder of the dataset; None if the user gave none.
        weights_path: path of a weights file; None if the user gave none.
        size: (height, width) of the network's input.
        options: options of the architecture that the user set, as values or text.
        runs_root: folder of the runs.
        artifacts_root: folder of the artefacts.

    Raises:
        DatasetError: the given folder does not exist.
        InputError: a model or option is unknown, or the given weights do not exist or are of another model.
        WeightsError: the given weights have other options.
    """
    given = dict(options or {})
    resolved = resolve_options(model, given)
    run_data_dir = None
    weights_path = weights_path or newest_run(model, dataset, runs_root, {name: resolved[name] for name in given})
    if weights_path is not None:
        weights = read_weights(weights_path, model)
        resolved = agreed_options(weights, given)
        if dataset is None and weights.dataset is not None:
            if weights.dataset not in LAYOUTS:
                raise WeightsError(
                    f"{weights_path} has {weights.class_count} classes of {weights.dataset}, which is no dataset here "
                    f"({', '.join(LAYOUTS)}). Next: python train/train.py --model {model} --dataset cityscapes "
                    f"--init-weights {weights_path}"
                )
            dataset = weights.dataset
        run_data_dir = weights.data_dir if weights.dataset == dataset else None
    changed = changed_options(model, resolved)
    dataset = dataset or _dataset_of_artifact(model, size, changed, artifacts_root) or "cityscapes"
    if data_dir is not None and not data_dir.is_dir():
        raise DatasetError(f"{dataset} folder not found: {data_dir}")
    for candidate in (data_dir, default_data_dir(dataset), run_data_dir):
        if candidate is not None and candidate.is_dir():
            return BuildInputs(dataset, candidate, weights_path, changed)
    return BuildInputs(dataset, None, weights_path, changed)


def _dataset_of_artifact(model: str, size: tuple[int, int], options: Mapping[str, Any], root: Path) -> str | None:
    found = [name for name in LAYOUTS if (artifact_folder(model, name, *size, root, options) / CONTRACT_FILE).is_file()]
    return "cityscapes" if "cityscapes" in found else (min(found) if found else None)


def held_out_frames(
    dataset: str, data_dir: Path | None, height: int, width: int, count: int, skip_bad: bool | None = None
) -> FrameSet:
    """Return frames spread over the validation split; drawn scenes where there is no dataset.

    Args:
        dataset: key in edge.datasets.LAYOUTS.
        data_dir: folder of the dataset; None for the default one, or for drawn scenes where that is not there.
        height: rows of drawn scenes.
        width: columns of drawn scenes.
        count: largest number of frames.
        skip_bad: True to leave out frames that cannot be read, instead of refusing them; None where the command has no
            option for it.

    Raises:
        DatasetError: the split cannot be opened, or frames or label maps cannot be used.
    """
    folder = data_dir or default_data_dir(dataset)
    if data_dir is None and not folder.is_dir():
        return SyntheticFrames(count, height, width, SYNTHETIC_HELD_OUT_SEED)
    opened = open_dataset(dataset, folder, "val", labelled=False, limit=count)
    return DatasetFrames(checked_dataset(opened, needs_labels=True, skip_bad=skip_bad))
