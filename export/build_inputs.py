"""Inputs of a build that the user left open: weights, dataset, frames.

This module is part of the device set: nothing here needs TensorFlow.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

from edge.artifacts import ARTIFACTS_ROOT
from edge.datasets import LAYOUTS, default_data_dir, open_dataset
from edge.datasets.description.file import is_description
from edge.datasets.reference import DatasetReference, change_sentence, dataset_reference, recorded_dataset
from edge.errors import DatasetError, InputError, WeightsError
from edge.frames import DatasetFrames, FrameSet, SyntheticFrames
from edge.network_class import NetworkClass
from edge.picture_check import checked_dataset
from edge.provenance import TRAINED, DescribedData, WeightsProvenance
from export.found_weights import (
    CHECKOUT,
    FoundArtifact,
    FoundWeights,
    choose_found_run,
    find_weights,
    request_words,
)
from train.options import changed_options, resolve_options
from train.run_choice import FoundRun, named, run_in, status_warning
from train.runs import RUNS_ROOT
from train.weights_card import WeightsCard
from train.weights_file import WeightsFile, agreed_options, read_weights, weights_path_of

DEFAULT_SIZE = (512, 1024)
"""Height and width of a network's input in pixels where neither the user nor the weights say it."""

DEFAULT_SIZE_TEXT = f"{DEFAULT_SIZE[0]}x{DEFAULT_SIZE[1]}"

PARITY_IMAGES = 4
"""Images of the Keras-to-ONNX check: the error hardly varies from one to the next."""

SYNTHETIC_HELD_OUT_SEED = 7_000_000
"""Seed of the scenes that are drawn where there is no dataset; nothing trains or calibrates on them."""


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


@dataclass(frozen=True)
class _Choice:
    """Weights that were chosen, and what they bring along; an artefact's size need not be that of the training."""

    weights: WeightsFile | None = None
    dataset: str | None = None
    described: DescribedData | None = None
    classes: tuple[NetworkClass, ...] = ()
    size: tuple[int, int] | None = None
    trained_size: tuple[int, int] | None = None
    is_random: bool = False
    told: tuple[str, ...] = ()

    @property
    def of_dataset(self) -> str | None:
        """Name of the dataset of the weights or the artefact; None where it is unknown."""
        return self.weights.dataset if self.weights is not None else self.dataset

    @property
    def known_classes(self) -> tuple[NetworkClass, ...]:
        """Classes of the weights or the artefact; empty where they are unknown."""
        return self.weights.classes if self.weights is not None else self.classes

    @property
    def known_description(self) -> DescribedData | None:
        """Dataset description of the weights or the artefact; None where there was none."""
        return self.weights.described if self.weights is not None else self.described


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
        choice = _given_weights(weights_path, model)
    elif random_weights:
        choice = _Choice(is_random=True)
    else:
        is_bare = not given and (dataset, data_dir, size) == (None, None, None)
        wanted = {name: resolved[name] for name in given}
        found = find_weights(model, runs_root, artifacts_root, checkout)
        is_empty_checkout = is_bare and not found.has_trained_here and Path.cwd().resolve() == checkout
        changed = changed_options(model, resolved)
        choice = _found_weights(found, dataset, size, wanted, changed, is_empty_checkout, can_export)
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


def _given_weights(path: Path, model: str) -> _Choice:
    """Return the weights that the user named, with a warning where they are those of an unfinished run."""
    weights = read_weights(weights_path_of(path), model)
    run = run_in(weights.path.parent) if weights.provenance.kind == TRAINED else None
    warning = status_warning(run) if run is not None else ""
    words = run.words() if run is not None else f"{weights.path}, {weights.provenance.sentence()}"
    return _Choice(
        weights,
        size=weights.provenance.trained_size,
        trained_size=weights.provenance.trained_size,
        told=(
            f"weights: {words}",
            *([f"warning: {warning}"] if warning else []),
            *_terms_lines(weights.path, weights.provenance),
        ),
    )


def _found_weights(
    found: FoundWeights,
    dataset: str | None,
    size: tuple[int, int] | None,
    wanted: Mapping[str, Any],
    changed: Mapping[str, Any],
    is_empty_checkout: bool,
    can_export: bool,
) -> _Choice:
    """Return the weights of the best run, else those of the artefact, else random ones where nothing else is meant.

    Raises:
        WeightsError: there are none that fit, or several that are not comparable.
    """
    chosen = choose_found_run(found, dataset, size, wanted)
    if chosen.run is not None:
        weights = read_weights(chosen.run.weights_path, found.model)
        trained_size = weights.provenance.trained_size
        return _Choice(weights, size=trained_size, trained_size=trained_size, told=(chosen.sentence(),))
    asked = request_words(dataset, size, wanted)
    fitting = found.fitting_artifacts(dataset, size, DEFAULT_SIZE, changed)
    if len(fitting) > 1:
        raise found.refusal(f"several artefacts of {found.model}{asked} are here, and none is named", dataset, size)
    shipped = found.fitting_shipped(dataset, wanted)
    if len(shipped) == 1 and not (fitting and (fitting[0].has_own_weights or not can_export)):
        return _shipped_weights(*shipped[0], found)
    if fitting and (not fitting[0].is_random or not found.has_trained_here):
        return _artifact_weights(fitting[0], found, dataset, size)
    if is_empty_checkout:
        return _Choice(is_random=True)
    raise found.refusal(f"no finished run and no artefact of {found.model}{asked} is here", dataset, size)


def _shipped_weights(path: Path, card: WeightsCard, found: FoundWeights) -> _Choice:
    """Return weights that come with the product as a choice, and say so."""
    weights = read_weights(path, found.model)
    others = [f"--dataset {other.dataset}" for other_path, other in found.shipped if other_path != path]
    also = f"; there are others for {' and '.join(others)}" if others else ""
    score = f"mIoU {100 * card.miou:.2f} % on {card.frames} frames of {card.split}"
    told = (
        f"weights: {path}, which come with the product ({card.dataset}, {score}), since there are none of yours{also}"
    )
    size = (card.height, card.width)
    return _Choice(weights, size=size, trained_size=size, told=(told, *_terms_lines(path, weights.provenance)))


def _terms_lines(path: Path, weights: WeightsProvenance) -> tuple[str, ...]:
    """Return a warning where the use of weights is limited; `path` is where they, or their graph, lie."""
    return (f"warning: {path} is {weights.terms}",) if weights.terms else ()


def _artifact_weights(
    artifact: FoundArtifact, found: FoundWeights, dataset: str | None, size: tuple[int, int] | None
) -> _Choice:
    """Return the weights of an artefact as a choice; a contract that cannot be read is an error of a later step."""
    passed = [f"{run.folder.name} ({run.trouble() or _made_for(run)})" for run in found.runs]
    over = f"; passed over: {named(passed)}" if passed else ""
    told = (f"weights: those of the artefact {artifact.words()}{over}",)
    contract = artifact.contract
    if contract is None:
        names = sorted((name for name in LAYOUTS if f"-{name}-" in artifact.folder.name), key=len, reverse=True)
        return _Choice(dataset=names[0] if names else None, told=told)
    return _Choice(
        dataset=contract.dataset,
        described=contract.described,
        classes=contract.classes,
        size=(contract.height, contract.width),
        trained_size=contract.weights.trained_size,
        is_random=artifact.is_random,
        told=(*told, *_terms_lines(artifact.folder, contract.weights)),
    )


def _made_for(run: FoundRun) -> str:
    return f"of {run.record.dataset} at {run.record.height}x{run.record.width}" if run.record is not None else "unknown"


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


def _size_lines(choice: _Choice, size: tuple[int, int] | None) -> tuple[str, ...]:
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


def _dataset_lines(choice: _Choice, reference: DatasetReference | None) -> tuple[str, ...]:
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


def held_out_frames(
    dataset: str, data_dir: Path | None, height: int, width: int, count: int, skip_bad: bool | None = None
) -> FrameSet:
    """Return frames spread over the validation split; drawn scenes where there is no dataset.

    Args:
        dataset: key in edge.datasets.LAYOUTS, or path of a dataset description.
        data_dir: folder of the dataset; None for the default one, or for drawn scenes where that is not there.
        height: rows of drawn scenes.
        width: columns of drawn scenes.
        count: largest number of frames.
        skip_bad: True to leave out frames that cannot be read, instead of refusing them; None where the command has no
            option for it.

    Raises:
        DatasetError: the split cannot be opened, or frames or label maps cannot be used.
    """
    if data_dir is None and not _is_there(dataset):
        return SyntheticFrames(count, height, width, SYNTHETIC_HELD_OUT_SEED)
    folder = data_dir or default_data_dir(dataset)
    opened = open_dataset(dataset, folder, "val", labelled=False, limit=count)
    return DatasetFrames(checked_dataset(opened, needs_labels=True, skip_bad=skip_bad))


def _is_there(dataset: str) -> bool:
    """Return whether a dataset lies in its default folder, which that of a description always does."""
    return Path(dataset).is_file() if is_description(dataset) else default_data_dir(dataset).is_dir()
