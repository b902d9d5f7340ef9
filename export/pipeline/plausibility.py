"""The float network's own plausibility, before anything is quantised, and the trial of what may be wrong with it.

The budget of INT8 is counted from the float network. One that was given another input than it was trained with labels
near chance, and INT8 keeps that to the last pixel. So such a network is named, and the likely causes are tried.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Callable, Sequence

import numpy as np

from calibration.onnx_graph.file import load_graph
from calibration.search.accuracy import AccuracySet, graph_runner
from calibration.search.plausibility import doubt, least_miou, reordered_miou, spread
from calibration.search.soundness import LEAST_STEADINESS, UNSOUND, Soundness, soundness
from edge.console import Progress, Say
from edge.contract import Contract, read_contract
from edge.errors import InputError
from edge.frames import FrameSet, SyntheticFrames
from edge.runtime.base import Runner
from export.pipeline.accuracy_target import AccuracyTarget, open_accuracy_target
from export.pipeline.float_graph import FloatGraph
from export.pipeline.plan import BuildPlan

TRIED_IMAGES = 6
"""Number of images that the best forms are compared on."""

_FIRST_IMAGES = 2
"""Number of images that every form is tried on, before the best go on."""

_FINALISTS = 4

_HELPS_FACTOR = 1.5
"""Ratio of two forms' figures from which on the better one is worth naming: less may be chance on a few images."""

_LEAST_STEADINESS_OF_HELP = 0.5
"""Steadiness that a form has to have before it is guessed to be the right one."""

_LEAST_GAIN_OF_HELP = 0.1
"""Gain in mIoU, 0 to 1, that a form has to have before it is named as the right one."""

_LEAST_REORDERED_MIOU = 0.4
"""mIoU from which on another order of the classes is worth naming: the best order of chance labels has far less."""


def check_plausibility(
    graph: FloatGraph, target: AccuracyTarget, contract_path: Path | None, say: Say = lambda line: None
) -> AccuracyTarget:
    """Return the accuracy target with warnings if the float network is implausible; the likely causes are tried.

    Nothing is judged where labels mean nothing, with random weights, and on drawn scenes, which no network has to know.

    Args:
        graph: float graph of the build.
        target: accuracy images with the labels of the float graph.
        contract_path: path of the contract that the owner of an adopted graph wrote; None for an exported graph.
        say: function that is called with each warning.
    """
    images, contract = target.images, graph.contract
    if graph.has_random_weights or isinstance(images.frames, SyntheticFrames):
        return target
    found = doubt(images, contract.class_names)
    own = None
    if not images.has_truth or found:
        own = _soundness(lambda: graph_runner(graph.path, contract), images, spread(len(images.frames), TRIED_IMAGES))
    if not found and own is not None and len(contract.class_names) > 1 and own.steadiness < LEAST_STEADINESS:
        found = (
            f"the float network takes {images.frames.description} for noise: only {100 * own.steadiness:.0f} % of what "
            f"its labels say of an image is still there in its mirror image and its enlarged middle "
            f"({min(TRIED_IMAGES, len(images.frames))} images)"
        )
    if not found or own is None:
        return target
    say(f"warning: {found}")
    if contract_path is None:
        tried = _channel_trial(graph, images, own)
    else:
        tried = _normalisation_trial(graph, images, contract_path, own)
    others = tuple(filter(None, (tried, _order_of_classes(images, contract))))
    for sentence in others:
        say(f"warning: {sentence}")
    return dataclasses.replace(target, warnings=(*target.warnings, found, *others))


def plan_warnings(plan: BuildPlan) -> tuple[str, ...]:
    """Return warnings about the graph that a plan adopted, from a few images; none where no images are at hand."""
    sources = plan.images()
    if plan.request.onnx_path is None or not sources.are_real:
        return ()
    graph = FloatGraph(plan.artifact, read_contract(plan.artifact))
    few = dataclasses.replace(sources, accuracy_images=min(TRIED_IMAGES, sources.accuracy_images))
    # The limits are those of INT8, and nothing is quantised here.
    target = open_accuracy_target(graph, None, few, plan.request.int8, has_kept_config=False)
    return check_plausibility(graph, target, plan.request.contract_path).warnings


def _normalisation_trial(graph: FloatGraph, images: AccuracySet, contract_path: Path, own: Soundness) -> str:
    """Run an adopted graph with other normalisations, and return a sentence that says which one helps, or that none."""
    from export.adopt.contract import read_foreign_contract
    from export.adopt.normalisation_trial import other_contracts, spelled, with_other_normalisation

    given, model = read_foreign_contract(contract_path), load_graph(graph.path)
    others = other_contracts(given, _pixel_statistics(images.frames))
    finalists = min(_FINALISTS, len(others))
    with Progress("try other normalisations", len(others) + finalists, "run") as progress:

        def tried(index: int, most: int) -> Soundness:
            data = with_other_normalisation(model, given, others[index]).SerializeToString()
            found = _soundness(lambda: graph_runner(data, graph.contract), images, spread(len(images.frames), most))
            progress.step()
            return found

        first = [tried(index, _FIRST_IMAGES) for index in range(len(others))]
        best_first = sorted(range(len(others)), key=lambda index: -first[index].value)[:finalists]
        found = {index: tried(index, TRIED_IMAGES) for index in best_first}
    best = max(found, key=lambda index: found[index].value)
    done = f"tried {len(others)} other normalisations on {min(TRIED_IMAGES, len(images.frames))} of the images"
    if not _helps(own, found[best]):
        return (
            f"{done} and none helps: {_figure(own)} as {contract_path} says, {_figure(found[best])} at best. Next: "
            "check the weights, the order of the classes, and whether it was trained for such images"
        )
    found_out = f"{done}: {_figure(found[best])} with {spelled(others[best])} instead of {_figure(own)}"
    if not images.has_truth:
        return f"{found_out}, which is a guess, since there are no labels. Next: put that into {contract_path}"
    if found[best].miou < least_miou(images, len(graph.contract.class_names)):
        return f"{found_out}, which is nearer, and not right yet. Next: take mean and std from the code that trained it"
    return f"{found_out}. Next: put that into {contract_path}"


def _pixel_statistics(frames: FrameSet) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and the spread of each channel of a few frames, in 0..255 and RGB order."""
    sums = np.zeros((2, 3))
    positions = spread(len(frames), TRIED_IMAGES)
    for index in positions:
        pixels = frames.read(index).reshape(-1, 3).astype(np.float64)
        sums += (pixels.mean(0), (pixels**2).mean(0))
    mean, square = sums / len(positions)
    return tuple(map(float, mean)), tuple(map(float, np.sqrt(np.maximum(square - mean**2, 0.0))))


def _channel_trial(graph: FloatGraph, images: AccuracySet, own: Soundness) -> str:
    """Give an exported graph frames in the other order of channels: the rest of its normalisation is inside it."""
    positions = spread(len(images.frames), TRIED_IMAGES)
    swapped = _soundness(lambda: graph_runner(graph.path, graph.contract), images, positions, swaps_channels=True)
    figures = f"{_figure(swapped)} instead of {_figure(own)} on {len(positions)} of the images"
    if _helps(own, swapped):
        return f"frames in BGR order help: {figures}. Next: train or import the weights anew, for frames in RGB"
    return (
        f"frames in BGR order do not help: {figures}; the rest of the normalisation is inside the exported graph. "
        "Next: --weights of another run, or --data-dir of images that these weights were trained for"
    )


def _order_of_classes(images: AccuracySet, contract: Contract) -> str:
    """Return a sentence if the outputs fit the classes well in another order; "" otherwise, and without labels."""
    if not images.has_truth:
        return ""
    miou, order = reordered_miou(images.float_labels.matrices.sum(0))
    moved = [(output, true_class) for output, true_class in sorted(order.items()) if output != true_class]
    if not moved or miou < _LEAST_REORDERED_MIOU:
        return ""
    named = ", ".join(f"output {output} fits {contract.class_names[true_class]}" for output, true_class in moved[:3])
    more = f" and {len(moved) - 3} more" if len(moved) > 3 else ""
    return f"with the classes in another order the mIoU would be {100 * miou:.2f} %: {named}{more}"


def _soundness(
    open_runner: Callable[[], Runner], images: AccuracySet, positions: Sequence[int], swaps_channels: bool = False
) -> Soundness:
    """Return the soundness of a form of the network; the least there is where its logits are not finite."""
    try:
        return soundness(open_runner(), images, positions, swaps_channels)
    except InputError:
        return UNSOUND if images.has_truth else dataclasses.replace(UNSOUND, miou=None)


def _helps(own: Soundness, other: Soundness) -> bool:
    """Return whether a form labels so much better than the own one that its cause is worth naming."""
    if other.miou is None:
        is_sound = other.steadiness >= _LEAST_STEADINESS_OF_HELP
    else:
        is_sound = other.miou >= own.miou + _LEAST_GAIN_OF_HELP
    return is_sound and other.value >= _HELPS_FACTOR * own.value


def _figure(found: Soundness) -> str:
    if found.miou is not None:
        return f"{100 * found.miou:.2f} % mIoU"
    return f"{found.information:.2f} nats shared with changed views of an image ({100 * found.steadiness:.0f} %)"
