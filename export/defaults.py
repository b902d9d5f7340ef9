"""What a build is made from, when the user did not say: weights, dataset, frames.

Device set: nothing here needs TensorFlow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from edge.artifacts import ARTIFACTS_ROOT
from edge.contract import CONTRACT_FILE
from edge.datasets import default_data_dir, open_dataset
from edge.errors import DatasetError, InputError
from edge.frames import DatasetFrames, FrameSet, SyntheticFrames
from train.recipes import RECIPES
from train.runs import RUNS_ROOT, newest_run, read_run

PARITY_IMAGES = 4
"""Images of the Keras-to-ONNX check: the error hardly varies from one to the next."""

SYNTHETIC_HELD_OUT_SEED = 7_000_000
"""Seed of the scenes that are drawn where there is no dataset; nothing trains or calibrates on them."""


@dataclass(frozen=True)
class Sources:
    """What a build is made from.

    Attributes:
        dataset: key in edge.datasets.LAYOUTS.
        data_dir: its folder; None where there is none, and scenes are drawn instead.
        weights_path: a run's weights; None for random ones, or those of the artefact.
    """

    dataset: str
    data_dir: Path | None
    weights_path: Path | None


def check_model_name(model: str) -> None:
    """Refuse a name that is no architecture, without loading any.

    Raises:
        InputError: the message lists those that are.
    """
    names = sorted({name for name, _ in RECIPES})
    if model not in names:
        raise InputError(f"model is '{model}', expected one of: {', '.join(names)}")


def choose_sources(
    model: str,
    dataset: str | None,
    data_dir: Path | None,
    weights_path: Path | None,
    size: tuple[int, int],
    runs_root: Path = RUNS_ROOT,
    artifacts_root: Path = ARTIFACTS_ROOT,
) -> Sources:
    """Fill in what the user left open.

    Weights: those given, else the newest trained run of the model (on the dataset, if one was
    given). Dataset: the given one, else the weights', else that of an artefact of this model and
    size, else Cityscapes. Folder: the given one, else the default one, else the run's own.

    Raises:
        DatasetError: a folder was given and is not there.
        InputError: weights were given and are not there, or are of another model.
    """
    run_data_dir = None
    weights_path = weights_path or newest_run(model, dataset, runs_root)
    if weights_path is not None:
        run, _ = read_run(weights_path, model)
        dataset = dataset or run.dataset
        run_data_dir = Path(run.data_dir) if run.dataset == dataset else None
    dataset = dataset or _dataset_of_artifact(model, size, artifacts_root) or "cityscapes"
    if data_dir is not None and not data_dir.is_dir():
        raise DatasetError(f"{dataset} folder not found: {data_dir}")
    for candidate in (data_dir, default_data_dir(dataset), run_data_dir):
        if candidate is not None and candidate.is_dir():
            return Sources(dataset, candidate, weights_path)
    return Sources(dataset, None, weights_path)


def _dataset_of_artifact(model: str, size: tuple[int, int], root: Path) -> str | None:
    height, width = size
    found = [path.parent.name for path in root.glob(f"{model}-*-{height}x{width}/{CONTRACT_FILE}")]
    names = sorted(re.sub(rf"^{re.escape(model)}-(.+)-{height}x{width}$", r"\1", name) for name in found)
    return "cityscapes" if "cityscapes" in names else (names[0] if names else None)


def held_out_frames(dataset: str, data_dir: Path | None, height: int, width: int, count: int) -> FrameSet:
    """Return frames of the validation split, spread over it; drawn scenes where there is no dataset."""
    folder = data_dir or default_data_dir(dataset)
    if data_dir is None and not folder.is_dir():
        return SyntheticFrames(count, height, width, SYNTHETIC_HELD_OUT_SEED)
    return DatasetFrames(open_dataset(dataset, folder, "val", labelled=False, limit=count))
