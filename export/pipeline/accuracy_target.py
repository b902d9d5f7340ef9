"""The accuracy target of an engine: held-out images with the float graph's labels, and the budget of INT8."""

from __future__ import annotations

from dataclasses import dataclass

from calibration.search.accuracy import AccuracySet, Budget, graph_runner, without_frames
from edge.contract import Contract
from edge.datasets import Dataset
from edge.errors import DatasetError, InputError
from edge.frames import DatasetFrames, FrameSet, SyntheticFrames
from edge.provenance import RANDOM
from export.pipeline.calibrate import CalibratedGraph
from export.pipeline.float_graph import FloatGraph
from export.pipeline.images import ImageSources
from export.pipeline.request import DEFAULT_DROP_POINTS, DEFAULT_LABEL_CHANGE_PERCENT, Int8Request


@dataclass(frozen=True)
class AccuracyTarget:
    """Images and budget that an engine is judged by.

    `open_accuracy_target` makes it. The search for a quantised graph and the measuring of an engine use both parts.

    Attributes:
        images: held-out images, with the labels that the float graph gives them.
        budget: accuracy that INT8 may cost on these images.
        warnings: sentences that say why the float network is implausible itself; empty where it is not.
    """

    images: AccuracySet
    budget: Budget
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
    images = AccuracySet(frames, _labelled(frames, graph.contract), graph_runner(graph.path, graph.contract))
    if calibrated is None or graph.has_random_weights:
        return AccuracyTarget(images, Budget(None, None))
    return AccuracyTarget(images, _budget(images, limits, has_kept_config))


def _without_calibrating(frames: FrameSet, calibrated: frozenset[str]) -> FrameSet:
    """Return the frames without those that ranges were collected on.

    Raises:
        DatasetError: no image is left.
    """
    if not calibrated or not isinstance(frames, DatasetFrames):
        return frames
    unseen = without_frames(frames, calibrated)
    if not unseen:
        raise DatasetError(
            f"all {len(frames)} accuracy images of {frames.description} calibrate, expected others. "
            "Next: fewer calibration images, or those of the training split"
        )
    return DatasetFrames(frames.dataset, unseen) if len(unseen) < len(frames) else frames


def _budget(images: AccuracySet, limits: Int8Request, has_kept_config: bool) -> Budget:
    """Return the budget of trained weights: mIoU with labels, agreement with the float graph without labels.

    Drawn scenes are not what a network was trained for: a quantisation that held its budget on real images elsewhere is
    not judged by them, unless the user gives a limit.
    """
    if images.has_truth:
        return Budget(DEFAULT_DROP_POINTS if limits.max_drop_points is None else limits.max_drop_points, None)
    if limits.max_drop_points is not None:
        raise InputError(
            f"--max-miou-drop needs label maps, {images.frames.description} have none. Next: --data-dir FOLDER of "
            "labelled images, or --max-label-change PERCENT"
        )
    percent = limits.max_label_change_percent
    if percent is None and has_kept_config and isinstance(images.frames, SyntheticFrames):
        return Budget(None, None)
    return Budget(None, 1.0 - (DEFAULT_LABEL_CHANGE_PERCENT if percent is None else percent) / 100.0)


def _labelled(frames: FrameSet, contract: Contract) -> Dataset | None:
    """Return the dataset of the frames if its labels fit the network's classes; else None."""
    if not isinstance(frames, DatasetFrames) or contract.weights.kind == RANDOM:
        return None
    chosen = frames.chosen()
    if any(sample.label_path is None for sample in chosen.samples):
        return None
    if chosen.table.class_names != contract.class_names:
        raise DatasetError(
            f"{chosen.name} has {chosen.table.class_count} classes, the network has "
            f"{len(contract.class_names)} of {contract.dataset}, expected the same"
        )
    return chosen
