"""Calibration of a build: the images, and the ranges that were collected on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from calibration.images.manifest import manifest_warnings
from calibration.images.selection import (
    DEFAULT_IMAGE_COUNT,
    MANIFEST_FILE,
    RANDOM_WEIGHTS_IMAGE_COUNT,
    CalibrationManifest,
    calibration_frames,
    read_manifest_frames,
)
from calibration.ranges.checkpoint import discard_state
from calibration.ranges.collector import collect_ranges
from calibration.ranges.record import (
    RANGES_FILE,
    Ranges,
    current_ranges,
    range_warnings,
    ranges_of_other_code,
    why_not_current,
)
from calibration.trt.calibrator import TENSORRT_ENTROPY, Calibration
from edge.artifacts import sha256_file
from edge.console import Say
from edge.errors import ContractError, InputError
from edge.frames import FrameSet, SyntheticFrames
from edge.records import read_record, write_record
from export.pipeline.float_graph import FloatGraph
from export.pipeline.images import ImageSources
from export.pipeline.implicit_int8 import entropy_calibration
from export.pipeline.request import Int8Request
from export.pipeline.user_images import picture_manifest

_SHOWN_WARNINGS = 3


@dataclass(frozen=True)
class CalibratedGraph:
    """A float graph with the results of its calibration.

    `calibrate` makes it. The accuracy target leaves its images out, and the search quantises it by its ranges; with
    TensorRT's own calibrator, which looks at the images while it builds, an engine is built of it directly.

    Attributes:
        graph: float graph that was calibrated.
        frames: calibration images; None where the ranges came with the artefact and the images are not here.
        manifest: record of the calibration images; None where it is not here.
        ranges: range of every activation; None with TensorRT's own calibrator.
        ranges_sha256: SHA-256 of ranges.json; "" without ranges.
        calibrator: TensorRT's own calibrator over the images; None with ranges.
        warnings: sentences about ranges and images, for the report.
    """

    graph: FloatGraph
    frames: FrameSet | None
    manifest: CalibrationManifest | None
    ranges: Ranges | None = None
    ranges_sha256: str = ""
    calibrator: Calibration | None = None
    warnings: tuple[str, ...] = ()

    def image_digests(self) -> frozenset[str]:
        """Return the known SHA-256 digests of the calibration images, which must not measure accuracy."""
        return frozenset(self.manifest.sha256) if self.manifest is not None else frozenset()


def calibrate(graph: FloatGraph, sources: ImageSources, settings: Int8Request, batch: int, say: Say) -> CalibratedGraph:
    """Collect ranges, or read those of the artefact if they are of the same graph, images, preprocessing and code.

    Args:
        graph: float graph to calibrate.
        sources: sources of the images of the build.
        settings: settings of INT8.
        batch: number of frames of a call, which TensorRT's own calibrator gets at once.
        say: function that is called with lines of text: each step, and the first warnings.

    Raises:
        DatasetError: the images do not exist.
        InputError: the manifest does not exist, or names validation images.
    """
    calibrated = _calibrated(graph, sources, settings, batch, say)
    warnings = calibrated.warnings
    for warning in warnings[:_SHOWN_WARNINGS]:
        say(f"warning: {warning}")
    if len(warnings) > _SHOWN_WARNINGS:
        say(f"{len(warnings) - _SHOWN_WARNINGS} more warnings are in the report")
    return calibrated


def _calibrated(
    graph: FloatGraph, sources: ImageSources, settings: Int8Request, batch: int, say: Say
) -> CalibratedGraph:
    if settings.calibrator == TENSORRT_ENTROPY:
        frames, manifest = _calibration_images(graph, sources, settings)
        calibrator = entropy_calibration(graph, frames, manifest, batch)
        warnings = _warnings(graph, None, manifest)
        return CalibratedGraph(graph, frames, manifest, calibrator=calibrator, warnings=warnings)
    if not sources.are_real and settings.manifest_path is None:
        # Perhaps collected where the dataset is, and brought here with the artefact.
        moved = current_ranges(graph.folder, graph.contract.graph_sha256, None, any_code=True)
        if moved is not None and moved[0].images_from != SyntheticFrames.DESCRIPTION:
            ranges, digest = moved
            images, other = f"{ranges.image_count} images of {ranges.images_from}", ranges_of_other_code(ranges)
            say(f"no dataset here: use the artefact's ranges of {images}" + (f", although {other}" if other else ""))
            manifest = _kept_manifest(graph.folder, ranges)
            return CalibratedGraph(graph, None, manifest, ranges, digest, None, _warnings(graph, ranges, manifest))
    frames, manifest = _calibration_images(graph, sources, settings)
    ranges, digest = current_or_new_ranges(graph, frames, manifest, say)
    return CalibratedGraph(graph, frames, manifest, ranges, digest, None, _warnings(graph, ranges, manifest))


def current_or_new_ranges(
    graph: FloatGraph, frames: FrameSet, manifest: CalibrationManifest, say: Say
) -> tuple[Ranges, str]:
    """Return the ranges of a graph on some images; they are collected if those in its folder are not current.

    Args:
        graph: float graph, or the one with equalised channels.
        frames: calibration images.
        manifest: record of these images, which is written beside the ranges.
        say: function that is called with a line of text for each step.

    Returns:
        The ranges, and the SHA-256 of their file.
    """
    folder, graph_sha256 = graph.folder, graph.contract.graph_sha256
    existing = current_ranges(folder, graph_sha256, manifest.digest())
    if existing is not None:
        say(f"ranges of {existing[0].image_count} images of {existing[0].images_from} are there and current")
        return existing
    reason = why_not_current(folder, graph_sha256, manifest.digest())
    if reason is not None and (folder / RANGES_FILE).exists():
        say(f"ranges are collected anew: {reason.split('. Next:')[0]}")
    ranges = collect_ranges(folder, frames, manifest.digest())
    write_record(folder / MANIFEST_FILE, manifest)
    write_record(folder / RANGES_FILE, ranges)
    discard_state(folder)
    return ranges, sha256_file(folder / RANGES_FILE)


def _calibration_images(
    graph: FloatGraph, sources: ImageSources, settings: Int8Request
) -> tuple[FrameSet, CalibrationManifest]:
    """Return the calibration images that the user named, or a new selection."""
    if settings.manifest_path is not None:
        return read_manifest_frames(
            settings.manifest_path,
            sources.dataset,
            sources.data_dir,
            allow_validation=settings.force_validation_images,
        )
    is_random = graph.has_random_weights
    count = settings.calibration_images or (RANDOM_WEIGHTS_IMAGE_COUNT if is_random else DEFAULT_IMAGE_COUNT)
    pictures = sources.calibrating_pictures()
    if pictures is not None:
        return picture_manifest(pictures, count)
    return calibration_frames(
        sources.dataset,
        sources.data_dir,
        count,
        graph.contract.height,
        graph.contract.width,
        method="even" if is_random else "cover",  # what ranges mean nothing for need not be looked at
        earlier=graph.folder / MANIFEST_FILE,
        skip_bad=sources.skip_bad,
    )


def _kept_manifest(folder: Path, ranges: Ranges) -> CalibrationManifest | None:
    """Return the manifest beside ranges that came with the artefact; None if it is missing or of other images."""
    try:
        manifest = read_record(CalibrationManifest, folder / MANIFEST_FILE)
    except (InputError, ContractError):
        return None
    return manifest if manifest.digest() == ranges.manifest_sha256 else None


def _warnings(graph: FloatGraph, ranges: Ranges | None, manifest: CalibrationManifest | None) -> tuple[str, ...]:
    """Return warnings about ranges and images; none with random weights, whose ranges mean nothing."""
    if graph.has_random_weights:
        return ()
    of_ranges = range_warnings(ranges) if ranges is not None else ()
    return (*of_ranges, *(manifest_warnings(manifest) if manifest is not None else ()))
