"""The accuracy target of an engine: held-out images with the float graph's labels, and the budget of INT8."""

from __future__ import annotations

from dataclasses import dataclass

from calibration.budget.limits import (
    DEFAULT_CLASS_CHANGE,
    DEFAULT_CLASS_DROP,
    DEFAULT_REGION_LOSS,
    Budget,
)
from calibration.search.accuracy import AccuracySet, graph_runner, without_frames
from edge.contract import Contract
from edge.datasets import Dataset
from edge.errors import DatasetError, InputError
from edge.frames import DatasetFrames, FrameSet, SyntheticFrames
from edge.network_class import class_difference
from edge.provenance import RANDOM
from export.pipeline.calibrate import CalibratedGraph
from export.pipeline.float_graph import FloatGraph
from export.pipeline.images import ImageSources
from export.pipeline.request import DEFAULT_DROP_POINTS, DEFAULT_LABEL_CHANGE_PERCENT, Int8Request

SEARCH_IMAGES = 24
"""Number of calibration images that a search evaluates its graphs on; the judging images stay unseen by it."""


@dataclass(frozen=True)
class AccuracyTarget:
    """Images and budget that an engine is judged by.

    `open_accuracy_target` makes it. The search for a quantised graph and the measuring of an engine use it.

    Attributes:
        images: held-out images that judge, with the labels that the float graph gives them.
        budget: accuracy that INT8 may cost on these images.
        search_images: images that a search for a quantised graph looks at, none of them among `images`; None where
            nothing is searched, and where there is one held-out image and no other.
        warnings: sentences that say why the float network is implausible itself; empty where it is not.
    """

    images: AccuracySet
    budget: Budget
    search_images: AccuracySet | None = None
    warnings: tuple[str, ...] = ()


def open_accuracy_target(
    graph: FloatGraph,
    calibrated: CalibratedGraph | None,
    sources: ImageSources,
    limits: Int8Request,
    has_kept_config: bool,
) -> AccuracyTarget:
    """Return the accuracy target of an engine; the float graph labels the images, which may take minutes.

    Args:
        graph: the float graph.
        calibrated: calibrated graph of an INT8 engine, whose images are left out of the target; None for a float
            engine.
        sources: sources of the images of the build.
        limits: limits of the accuracy that INT8 may cost.
        has_kept_config: True if a quantisation config is here that held its budget on real images elsewhere.

    Raises:
        DatasetError: every image is a calibration image, or the classes are not the network's.
        InputError: the user limits the drop in mIoU, and there are no labels to count it by.
    """
    # Labels of random weights mean nothing: a few frames show that the engine runs.
    frames = sources.few() if graph.has_random_weights else sources.held_out()
    if calibrated is not None:
        frames = _without_calibrating(frames, calibrated.image_digests())
    if calibrated is None or graph.has_random_weights:
        return AccuracyTarget(_accuracy_set(frames, graph), Budget(None, None))
    searched = None
    if calibrated.ranges is not None:
        frames, searched = _search_frames(frames, calibrated)
    images = _accuracy_set(frames, graph)
    budget = _budget(images, limits, has_kept_config)
    if searched is None or not budget.is_enforced:
        return AccuracyTarget(images, budget)
    return AccuracyTarget(images, budget, _accuracy_set(searched, graph, images.has_truth))


def _accuracy_set(frames: FrameSet, graph: FloatGraph, with_truth: bool = True) -> AccuracySet:
    labelled = _labelled(frames, graph.contract) if with_truth else None
    return AccuracySet(frames, labelled, graph_runner(graph.path, graph.contract))


def _search_frames(frames: FrameSet, calibrated: CalibratedGraph) -> tuple[FrameSet, FrameSet | None]:
    """Return the frames that judge, and those that a search looks at.

    A search looks at calibration images: its graph was fitted to them anyway. Where they are not here, or have no
    labels to count by what the judging ones are counted by, every third of the held-out frames is given to it.
    """
    known, contract = calibrated.frames, calibrated.graph.contract
    if known is not None and (_labelled(frames, contract) is None or _labelled(known, contract) is not None):
        return frames, known.spread(SEARCH_IMAGES)
    if len(frames) < 2:
        return frames, None
    given = set(range(0, len(frames), 3))
    judging = [index for index in range(len(frames)) if index not in given]
    return frames.subset(judging), frames.subset(list(given)[:SEARCH_IMAGES])


def _without_calibrating(frames: FrameSet, calibrated: frozenset[str]) -> FrameSet:
    """Return the frames without those that ranges were collected on.

    Raises:
        DatasetError: no image is left.
    """
    if not calibrated:
        return frames
    unseen = without_frames(frames, calibrated)
    if not unseen:
        raise DatasetError(
            f"all {len(frames)} accuracy images of {frames.description} calibrate, or are copies of images that do, "
            "expected others. Next: fewer calibration images, or those of the training split"
        )
    return frames.subset(unseen) if len(unseen) < len(frames) else frames


def _budget(images: AccuracySet, limits: Int8Request, has_kept_config: bool) -> Budget:
    """Return the budget of trained weights: mIoU with labels, agreement with the float graph without labels.

    Drawn scenes are not what a network was trained for: a quantisation that held its budget on real images elsewhere is
    not judged by them, unless the user gives a limit.
    """
    if images.has_truth:
        drop = DEFAULT_DROP_POINTS if limits.max_drop_points is None else limits.max_drop_points
        # A user who allows the mean to lose more allows a class as much, and as many of its regions.
        of_class = max(DEFAULT_CLASS_DROP, drop) if limits.max_class_drop is None else limits.max_class_drop
        return Budget(drop, None, of_class, None, _region_loss(limits, of_class), limits.class_limits)
    if limits.max_drop_points is not None:
        raise InputError(
            f"--max-miou-drop needs label maps, {images.frames.description} have none. Next: --data-dir FOLDER of "
            "labelled images, or --max-label-change PERCENT"
        )
    is_drawn = images.frames.description == SyntheticFrames.DESCRIPTION  # some of them are a set of another kind
    if has_kept_config and is_drawn and not limits.limits_accuracy:
        return Budget(None, None)
    percent = limits.max_label_change_percent
    percent = DEFAULT_LABEL_CHANGE_PERCENT if percent is None else percent
    of_class = max(DEFAULT_CLASS_CHANGE, percent) if limits.max_class_drop is None else limits.max_class_drop
    least = 1.0 - percent / 100.0
    return Budget(None, least, None, of_class, _region_loss(limits, of_class), limits.class_limits)


def _region_loss(limits: Int8Request, of_class: float) -> float:
    given = limits.max_region_loss_percent
    return max(DEFAULT_REGION_LOSS, of_class) if given is None else given


def _labelled(frames: FrameSet, contract: Contract) -> Dataset | None:
    """Return the dataset of the frames if its labels fit the network's classes; else None."""
    if not isinstance(frames, DatasetFrames) or contract.weights.kind == RANDOM:
        return None
    chosen = frames.chosen()
    if any(sample.label_path is None for sample in chosen.samples):
        return None
    names = chosen.table.class_names
    difference = class_difference(names, chosen.name, contract.class_names, "the network", contract.dataset)
    if difference:
        raise DatasetError(difference)
    return chosen
