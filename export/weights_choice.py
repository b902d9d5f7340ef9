"""Which weights a build starts from: those that the user named, or the best of what was found.

This module is part of the device set: nothing here needs TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

from edge.datasets import LAYOUTS
from edge.network_class import NetworkClass
from edge.provenance import TRAINED, DescribedData, WeightsProvenance
from export.found_weights import FoundArtifact, FoundWeights, choose_found_run, request_words
from train.run_choice import FoundRun, named, run_in, status_warning
from train.weights_card import WeightsCard
from train.weights_file import WeightsFile, read_weights, weights_path_of

DEFAULT_SIZE = (512, 1024)
"""Height and width of a network's input in pixels where neither the user nor the weights say it."""

DEFAULT_SIZE_TEXT = f"{DEFAULT_SIZE[0]}x{DEFAULT_SIZE[1]}"


@dataclass(frozen=True)
class WeightsChoice:
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


def given_weights(path: Path, model: str) -> WeightsChoice:
    """Return the weights that the user named, with a warning where they are those of an unfinished run."""
    weights = read_weights(weights_path_of(path), model)
    run = run_in(weights.path.parent) if weights.provenance.kind == TRAINED else None
    warning = status_warning(run) if run is not None else ""
    words = run.words() if run is not None else f"{weights.path}, {weights.provenance.sentence()}"
    return WeightsChoice(
        weights,
        size=weights.provenance.trained_size,
        trained_size=weights.provenance.trained_size,
        told=(
            f"weights: {words}",
            *([f"warning: {warning}"] if warning else []),
            *_terms_lines(weights.path, weights.provenance),
        ),
    )


def chosen_weights(
    found: FoundWeights,
    dataset: str | None,
    size: tuple[int, int] | None,
    wanted: Mapping[str, Any],
    changed: Mapping[str, Any],
    is_empty_checkout: bool,
    can_export: bool,
) -> WeightsChoice:
    """Return the weights of the best run, else those of the artefact, else random ones where nothing else is meant.

    Raises:
        WeightsError: there are none that fit, or several that are not comparable.
    """
    chosen = choose_found_run(found, dataset, size, wanted)
    if chosen.run is not None:
        weights = read_weights(chosen.run.weights_path, found.model)
        trained_size = weights.provenance.trained_size
        return WeightsChoice(weights, size=trained_size, trained_size=trained_size, told=(chosen.sentence(),))
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
        return WeightsChoice(is_random=True)
    raise found.refusal(f"no finished run and no artefact of {found.model}{asked} is here", dataset, size)


def _shipped_weights(path: Path, card: WeightsCard, found: FoundWeights) -> WeightsChoice:
    """Return weights that come with the product as a choice, and say so."""
    weights = read_weights(path, found.model)
    others = [f"--dataset {other.dataset}" for other_path, other in found.shipped if other_path != path]
    also = f"; there are others for {' and '.join(others)}" if others else ""
    score = f"mIoU {100 * card.miou:.2f} % on {card.frames} frames of {card.split}"
    told = (
        f"weights: {path}, which come with the product ({card.dataset}, {score}), since there are none of yours{also}"
    )
    size = (card.height, card.width)
    return WeightsChoice(weights, size=size, trained_size=size, told=(told, *_terms_lines(path, weights.provenance)))


def _terms_lines(path: Path, weights: WeightsProvenance) -> tuple[str, ...]:
    """Return a warning where the use of weights is limited; `path` is where they, or their graph, lie."""
    return (f"warning: {path} is {weights.terms}",) if weights.terms else ()


def _artifact_weights(
    artifact: FoundArtifact, found: FoundWeights, dataset: str | None, size: tuple[int, int] | None
) -> WeightsChoice:
    """Return the weights of an artefact as a choice; a contract that cannot be read is an error of a later step."""
    passed = [f"{run.folder.name} ({run.trouble() or _made_for(run)})" for run in found.runs]
    over = f"; passed over: {named(passed)}" if passed else ""
    told = (f"weights: those of the artefact {artifact.words()}{over}",)
    contract = artifact.contract
    if contract is None:
        names = sorted((name for name in LAYOUTS if f"-{name}-" in artifact.folder.name), key=len, reverse=True)
        return WeightsChoice(dataset=names[0] if names else None, told=told)
    return WeightsChoice(
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
