"""Inputs of a build that the user left open: weights, options, size, dataset.

This module is part of the device set: nothing here needs TensorFlow.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

from edge.artifacts import ARTIFACTS_ROOT
from edge.datasets import LAYOUTS, default_data_dir
from edge.datasets.reference import DatasetReference, change_sentence, dataset_reference, recorded_dataset
from edge.errors import DatasetError, InputError, WeightsError
from edge.network_class import NetworkClass
from edge.provenance import DescribedData
from export.found_weights import CHECKOUT, find_weights
from export.weights_choice import DEFAULT_SIZE, WeightsChoice, chosen_weights, given_weights
from train.options import changed_options, resolve_options
from train.runs import RUNS_ROOT
from train.weights_file import WeightsFile, agreed_options


@dataclass(frozen=True)
class BuildInputs:
    """Weights, dataset and options that a build starts from.

    `choose_inputs` makes it; an export, and the plan of a build, use it.

    Attributes:
        dataset: name of the dataset, a key in edge.datasets.LAYOUTS or the name in its description.
        data_dir: folder of the dataset; None where there is none, and scenes are drawn instead.
        weights_path: path of a weights file; None for random weights, or those of the artefact.
        options: options of the architecture that differ from their defaults.
        size: height and width of the network's input, in pixels.
        has_random_weights: True where random weights are what was asked for; a trained artefact is not used then.
        told: sentences on what was chosen, and what was passed over; a warning begins with "warning: ".
        description_path: path of the dataset description; None for a dataset that the project knows by name.
        recorded_classes: classes that the weights or the artefact are known to have, in case their description is away.
        recorded_description: description that the weights or the artefact were made with; None where there was none.
    """

    dataset: str
    data_dir: Path | None
    weights_path: Path | None
    options: dict[str, Any]
    size: tuple[int, int] = DEFAULT_SIZE
    has_random_weights: bool = False
    told: tuple[str, ...] = ()
    description_path: Path | None = None
    recorded_classes: tuple[NetworkClass, ...] = ()
    recorded_description: DescribedData | None = None

    @property
    def reference(self) -> DatasetReference:
        """The dataset, as it is named and as it is found."""
        return DatasetReference(self.dataset, self.description_path)

    def classes(self) -> tuple[NetworkClass, ...]:
        """Return the classes of the dataset as it is here, else those that were recorded with the weights."""
        return self.reference.classes() if self.reference.is_here else self.recorded_classes

    def described(self) -> DescribedData | None:
        """Return the dataset description as it is here, else as it was recorded with the weights."""
        return self.reference.described() if self.reference.is_here else self.recorded_description


def add_weights_arguments(group: argparse._ActionsContainer) -> None:
    """Add --weights and --random-weights, which exclude each other, to a parser or a group of one."""
    choice = group.add_mutually_exclusive_group()
    choice.add_argument(
        "--weights",
        type=Path,
        metavar="PATH",
        help="a run folder (runs/...) or a *.weights.h5 file (default: the finished run with the best mIoU, else the "
        "artefact's own, else those of the product)",
    )
    choice.add_argument(
        "--random-weights", action="store_true", help="weights that nobody trained: only the speed means anything"
    )


def choose_inputs(
    model: str,
    dataset: str | None,
    data_dir: Path | None,
    weights_path: Path | None,
    size: tuple[int, int] | None,
    options: Mapping[str, Any] | None = None,
    runs_root: Path = RUNS_ROOT,
    artifacts_root: Path = ARTIFACTS_ROOT,
    random_weights: bool = False,
    checkout: Path = CHECKOUT,
    can_export: bool = True,
) -> BuildInputs:
    """Choose the inputs of a build that the user left open, and say what was chosen.

    What the user gave is used. Else the choice is:

    - weights: the best finished run of the model with the given options, dataset and size (train/run_choice.py); else
      an artefact's own; else, where the user has none of the kind, those that come with the product, which go before
      an artefact of random weights where they can be exported. Random ones are for those who ask for them, and for a
      bare command in an empty checkout with nothing of the model;
    - options: those of the weights;
    - dataset: that of the weights, else Cityscapes;
    - size: that which the weights were validated at, else 512x1024;
    - folder of the dataset: the default one, else that of the run; with a description that of the run, else its own.

    Args:
        model: name of the architecture.
        dataset: key in edge.datasets.LAYOUTS, or path of a dataset description; None if the user gave none.
        data_dir: folder of the dataset; None if the user gave none.
        weights_path: path of a weights file or a run folder; None if the user gave none.
        size: (height, width) of the network's input; None if the user gave none.
        options: options of the architecture that the user set, as values or text.
        runs_root: folder of the runs.
        artifacts_root: folder of the artefacts.
        random_weights: True if the user asked for random weights.
        checkout: folder of the checkout.
        can_export: False where TensorFlow is missing, so that an artefact is all that a build can start from.

    Raises:
        DatasetError: the given folder does not exist, or the description says something that it cannot mean.
        InputError: a model or option is unknown, or the given weights do not exist or are of another model.
        WeightsError: the given weights have other options; or there are none that fit, or several that are not
            comparable, and the message names what was found.
    """
    given = dict(options or {})
    resolved = resolve_options(model, given)
    reference = dataset_reference(dataset) if dataset is not None else None
    dataset = reference.name if reference is not None else None
    if weights_path is not None:
        if random_weights:
            raise InputError(f"--random-weights takes no weights, got --weights {weights_path}")
        choice = given_weights(weights_path, model)
    elif random_weights:
        choice = WeightsChoice(is_random=True)
    else:
        is_bare = not given and (dataset, data_dir, size) == (None, None, None)
        wanted = {name: resolved[name] for name in given}
        found = find_weights(model, runs_root, artifacts_root, checkout)
        is_empty_checkout = is_bare and not found.has_trained_here and Path.cwd().resolve() == checkout
        changed = changed_options(model, resolved)
        choice = chosen_weights(found, dataset, size, wanted, changed, is_empty_checkout, can_export)
    run_data_dir = None
    if choice.weights is not None:
        resolved = agreed_options(choice.weights, given)
        reference = reference or _dataset_of(choice.weights)
        if reference is not None and choice.weights.dataset == reference.name:
            run_data_dir = choice.weights.data_dir
    elif reference is None and choice.dataset is not None:
        reference = recorded_dataset(choice.dataset, choice.described)
    told = (*choice.told, *_size_lines(choice, size), *_dataset_lines(choice, reference))
    reference = reference or DatasetReference("cityscapes")
    if data_dir is not None and not data_dir.is_dir():
        raise DatasetError(f"{reference.name} folder not found: {data_dir}")
    folders = [path for path in _folders(reference, data_dir, run_data_dir) if path is not None and path.is_dir()]
    is_same = choice.of_dataset == reference.name
    return BuildInputs(
        dataset=reference.name,
        data_dir=folders[0] if folders else None,
        weights_path=choice.weights.path if choice.weights is not None else None,
        options=changed_options(model, resolved),
        size=size or choice.size or DEFAULT_SIZE,
        has_random_weights=choice.is_random,
        told=told,
        description_path=reference.path,
        recorded_classes=choice.known_classes if is_same else (),
        recorded_description=choice.known_description if is_same else None,
    )


def _folders(reference: DatasetReference, data_dir: Path | None, run_data_dir: Path | None) -> list[Path | None]:
    """Return where a dataset may lie, the best first; nowhere where its description is away, which says what is there.

    What a run was trained on comes first with a description, which lies anywhere; other datasets have a default place.
    """
    if not reference.is_here:
        return []
    default = default_data_dir(reference.option)
    return [data_dir, run_data_dir, default] if reference.path is not None else [data_dir, default, run_data_dir]


def _dataset_of(weights: WeightsFile) -> DatasetReference | None:
    """Return the dataset of weights; None where it is unknown. Its description need not be here.

    Raises:
        WeightsError: the weights have the classes of a dataset that no engine is built for.
    """
    if weights.dataset is None:
        return None
    reference = recorded_dataset(weights.dataset, weights.described)
    if reference.path is None and not reference.is_here:
        raise WeightsError(
            f"{weights.path} has {weights.class_count} classes of {weights.dataset}, which is no dataset here "
            f"({', '.join(LAYOUTS)}). Next: python train/train.py --model {weights.model} --dataset cityscapes "
            f"--init-weights {weights.path}"
        )
    return reference


def _size_lines(choice: WeightsChoice, size: tuple[int, int] | None) -> tuple[str, ...]:
    """Return a line on the size that a build takes, and a warning where its aspect is not that of the training."""
    if choice.is_random and choice.size is None:
        return ()
    taken = size or choice.size or DEFAULT_SIZE
    told = []
    if size is None:
        origin = "as the weights were validated" if choice.weights is not None else "that of the artefact"
        if choice.size is None:
            origin = "since nothing says at which size the weights were trained"
        told.append(f"size: {_spelled(taken)}, {origin}; --size HxW asks for another")
    trained = choice.trained_size
    if trained is None or tuple(trained) == taken:
        return tuple(told)
    told.append(
        f"size: {_spelled(taken)}, the weights were validated at {_spelled(trained)}, so their mIoU is not that of "
        "this size"
    )
    if taken[0] * trained[1] != taken[1] * trained[0]:
        told.append(
            f"warning: the aspect ratio is {taken[1] / taken[0]:.2f}, the weights were trained for "
            f"{trained[1] / trained[0]:.2f}: everything will look stretched to them"
        )
    return tuple(told)


def _spelled(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _dataset_lines(choice: WeightsChoice, reference: DatasetReference | None) -> tuple[str, ...]:
    """Return a warning where images and classes are those of another dataset than the weights', or have changed."""
    weights = choice.weights
    if reference is None or choice.of_dataset is None:
        return ()
    if weights is not None and weights.dataset != reference.name:
        return (
            f"warning: {weights.path} was trained on {weights.dataset}, classes and images are those of "
            f"{reference.name}",
        )
    if reference.path is not None and not reference.is_here:
        return (
            f"warning: the dataset description {reference.path} is not here: classes are those that were recorded, "
            "and there are no images of the dataset. Next: --dataset FILE, where it is now",
        )
    since = "the training" if weights is not None else "the export"
    change = change_sentence(reference, choice.known_description, since)
    return (f"warning: dataset description {change}",) if change else ()
