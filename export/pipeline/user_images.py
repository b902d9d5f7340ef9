"""The user's own pictures, without labels: some calibrate, the others measure accuracy."""

from __future__ import annotations

from pathlib import Path

from calibration.images.manifest import TRAIN, CalibrationManifest
from edge.errors import ImageError
from edge.frames import FolderFrames, FrameSet, FrameSubset

METHOD = "even spread over the names, beside those that judge"


def split_pictures(folder: Path, accuracy_count: int, skip_bad: bool | None = None) -> tuple[FrameSet, FrameSet]:
    """Return calibration pictures and accuracy pictures, none in both sets, each spread evenly over the names.

    Args:
        folder: folder of the pictures.
        accuracy_count: largest number of pictures that measure accuracy; they are never more than half of all.
        skip_bad: True to leave out pictures that cannot be read, instead of refusing the folder.

    Raises:
        ImageError: the folder does not exist, holds pictures that cannot be read, or fewer than two others.
    """
    pictures = FolderFrames(folder, skip_bad)
    count = len(pictures)
    if count < 2:
        raise ImageError(f"{folder} holds {count} picture, expected at least 2: some calibrate, others judge")
    wanted = min(accuracy_count, count // 2)
    judging = sorted({(2 * index + 1) * count // (2 * wanted) for index in range(wanted)})
    calibrating = [index for index in range(count) if index not in set(judging)]
    return FrameSubset(pictures, calibrating), FrameSubset(pictures, judging)


def picture_manifest(frames: FrameSet, count: int) -> tuple[FrameSet, CalibrationManifest]:
    """Return at most `count` of the calibration pictures, and their manifest."""
    chosen = frames.spread(count)
    digests = tuple(chosen.digest(index) for index in range(len(chosen)))
    manifest = CalibrationManifest(
        chosen.description, TRAIN, METHOD, tuple(chosen.names), digests, {}, {}, {}, skipped=chosen.skipped
    )
    return chosen, manifest
