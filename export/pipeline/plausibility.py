"""The float network's own plausibility, before anything is quantised, and the trial of what may be wrong with it.

The budget of INT8 is counted from the float network. One that was given another input than it was trained with labels
near chance, and INT8 keeps that to the last pixel. So such a network is named, and the likely causes are tried.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Callable, Sequence

from calibration.onnx_graph.file import load_graph
from calibration.search.accuracy import AccuracySet, graph_runner
from calibration.search.plausibility import doubt, reordered_miou, score, spread
from edge.console import Progress, Say
from edge.contract import Contract, read_contract
from edge.errors import InputError
from edge.frames import SyntheticFrames
from export.pipeline.accuracy_target import AccuracyTarget, open_accuracy_target
from export.pipeline.float_graph import FloatGraph
from export.pipeline.plan import BuildPlan

TRIED_IMAGES = 6
"""Images that the best normalisations are compared on."""

_FIRST_IMAGES = 2
"""Images that every normalisation is tried on, before the best go on."""

_FINALISTS = 4

_HELPS_FACTOR = 1.5
"""A cause is named where its mIoU is this many times the network's own: less may be chance on a few images."""

_LEAST_AGREEMENT_GAIN = 0.1
"""Without labels a cause is named where images and mirror images agree by this much more."""


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
    if not found:
        return target
    say(f"warning: {found}")
    tried = (
        _normalisation_trial(graph, images, contract_path)
        if contract_path is not None
        else _colour_trial(graph, images)
    )
    warnings = (found, *filter(None, (tried, _order_of_classes(images, contract))))
    for sentence in warnings[1:]:
        say(f"warning: {sentence}")
    return dataclasses.replace(target, warnings=(*target.warnings, *warnings))


def plan_warnings(plan: BuildPlan) -> tuple[str, ...]:
    """Return warnings about the graph that a plan adopted, from a few images; none where no images are at hand."""
    sources = plan.images()
    if plan.request.onnx_path is None or not sources.are_real:
        return ()
    graph = FloatGraph(plan.artifact, read_contract(plan.artifact))
    few = dataclasses.replace(sources, accuracy_images=min(TRIED_IMAGES, sources.accuracy_images))
    target = open_accuracy_target(graph, None, few, plan.request.int8, has_kept_config=False)
    return check_plausibility(graph, target, plan.request.contract_path).warnings


def _normalisation_trial(graph: FloatGraph, images: AccuracySet, contract_path: Path) -> str:
    """Run an adopted graph with other normalisations, and return a sentence that says which one helps, or that none."""
    from export.adopt.contract import read_foreign_contract
    from export.adopt.normalisation_trial import other_contracts, spelled, with_other_normalisation

    given, model = read_foreign_contract(contract_path), load_graph(graph.path)
    others = other_contracts(given)

    def run_as(index: int, positions: Sequence[int]) -> float:
        data = with_other_normalisation(model, given, others[index]).SerializeToString()
        return _score(lambda: graph_runner(data, graph.contract), images, positions)

    tried, first = _positions(images, TRIED_IMAGES), _positions(images, _FIRST_IMAGES)
    with Progress("try other normalisations", len(others) + _FINALISTS) as progress:

        def counted(index: int, positions: Sequence[int]) -> float:
            value = run_as(index, positions)
            progress.step()
            return value

        early = [counted(index, first) for index in range(len(others))]
        finalists = sorted(range(len(others)), key=lambda index: -early[index])[:_FINALISTS]
        scores = {index: counted(index, tried) for index in finalists}
    own = _score(lambda: graph_runner(graph.path, graph.contract), images, tried)
    best = max(finalists, key=lambda index: scores[index])
    done = f"tried {len(others)} other normalisations on {_count(len(tried))}"
    if not _helps(images, own, scores[best]):
        return (
            f"{done}, none helps: {_figure(images, own)} as {contract_path} says, {_figure(images, scores[best])} at "
            "best. Next: check the weights, the order of the classes, and that these are images that it was trained for"
        )
    guess = "" if images.has_truth else "; that is a guess, since there are no labels"
    return (
        f"{done}: {_figure(images, scores[best])} with {spelled(others[best])}, {_figure(images, own)} as it "
        f"is{guess}. Next: put that into {contract_path}"
    )


def _colour_trial(graph: FloatGraph, images: AccuracySet) -> str:
    """Give an exported graph frames in the other order of channels, the one thing of its input that can be tried."""
    tried = _positions(images, TRIED_IMAGES)
    own = _score(lambda: graph_runner(graph.path, graph.contract), images, tried)
    swapped = _score(lambda: graph_runner(graph.path, graph.contract), images, tried, swaps_channels=True)
    if _helps(images, own, swapped):
        return (
            f"with frames in BGR order it has {_figure(images, swapped)} instead of {_figure(images, own)} on "
            f"{_count(len(tried))}: the weights were trained on that order. Next: train them again, or import them anew"
        )
    return (
        f"frames in BGR order do not help ({_figure(images, swapped)} instead of {_figure(images, own)} on "
        f"{_count(len(tried))}), and the rest of the normalisation is part of the graph. Next: --weights of another "
        "run, or --data-dir of images that these weights were trained for"
    )


def _order_of_classes(images: AccuracySet, contract: Contract) -> str:
    """Return a sentence if the outputs fit the classes well in another order; "" otherwise, and without labels."""
    if not images.has_truth:
        return ""
    own = images.float_labels.miou()
    miou, order = reordered_miou(images.float_labels.matrices.sum(0))
    moved = [(output, true_class) for output, true_class in sorted(order.items()) if output != true_class]
    if not moved or miou < 0.5 or not _helps(images, own, miou):
        return ""
    named = ", ".join(f"output {output} fits {contract.class_names[true_class]}" for output, true_class in moved[:3])
    more = f" and {len(moved) - 3} more" if len(moved) > 3 else ""
    return f"with its classes in another order the mIoU would be {100 * miou:.2f} %: {named}{more}"


def _score(
    open_runner: Callable[[], Any], images: AccuracySet, positions: Sequence[int], swaps_channels: bool = False
) -> float:
    """Return the score of a form of the network; the least there is where its logits are not finite."""
    try:
        return score(open_runner(), images, positions, swaps_channels)
    except InputError:
        return -1.0


def _helps(images: AccuracySet, own: float, other: float) -> bool:
    """Return whether a form labels so much better that its cause is worth naming."""
    return other >= _HELPS_FACTOR * own if images.has_truth else other >= own + _LEAST_AGREEMENT_GAIN


def _positions(images: AccuracySet, most: int) -> list[int]:
    return spread(len(images.frames), most)


def _figure(images: AccuracySet, value: float) -> str:
    what = "mIoU" if images.has_truth else "agreement with mirror images"
    return f"{100 * value:.2f} % {what}"


def _count(images: int) -> str:
    return f"{images} of these images" if images != 1 else "one of these images"
