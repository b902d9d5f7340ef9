"""Selection of the calibration images of a dataset.

The images are of the training split alone, so that validation stays unseen. They are selected so that every
class, city and brightness is covered (calibration/images/coverage.py); the selection is always the same.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

from calibration.images.coverage import BRIGHTNESS_BINS, brightness_bins, choose_images, spread_evenly
from calibration.images.frames import read_manifest_frames
from calibration.images.image_statistics import read_image_statistics
from calibration.images.manifest import (
    DRAWN,
    FORCE_HINT,
    TRAIN,
    CalibrationManifest,
    class_coverage,
    held_out_refusal,
    skipped_sentences,
)
from edge.artifacts import sha256_json
from edge.code_digest import code_digest, other_code
from edge.console import print_status
from edge.datasets import Dataset, open_dataset
from edge.errors import DatasetError, InputError
from edge.frames import DatasetFrames, FrameSet, SyntheticFrames
from edge.picture_check import checked_dataset
from edge.records import read_record

__all__ = [
    "DEFAULT_IMAGE_COUNT",
    "MANIFEST_FILE",
    "RANDOM_WEIGHTS_IMAGE_COUNT",
    "SELECTION_METHODS",
    "SYNTHETIC_SEED",
    "CalibrationManifest",
    "calibration_frames",
    "read_manifest_frames",
]

MANIFEST_FILE = "calibration.json"

DEFAULT_IMAGE_COUNT = 64
RANDOM_WEIGHTS_IMAGE_COUNT = 8
"""Number of images for a network with random weights, whose ranges mean nothing anyway."""

SYNTHETIC_SEED = 8_000_000
"""Seed of the scenes that are drawn where there is no dataset; nothing trains on them."""

SELECTION_METHODS = {
    "cover": "greedy cover of classes, groups, stretches and light, version 1",
    "even": "even spread over groups",
}
"""Value of `--method` -> its description in a manifest. "even" reads no image to select.

The version in a description grows when a rule of the selection changes.
"""


def calibration_frames(
    dataset: str,
    data_dir: Path | None,
    count: int,
    height: int,
    width: int,
    split: str = TRAIN,
    allow_validation: bool = False,
    method: str = "cover",
    earlier: Path | None = None,
    show_progress: bool = True,
    skip_bad: bool | None = None,
) -> tuple[FrameSet, CalibrationManifest]:
    """Return the calibration images of a dataset, and their manifest.

    Args:
        dataset: key in edge.datasets.LAYOUTS.
        data_dir: folder of the dataset; None where there is none, and scenes are drawn instead.
        count: number of images.
        height: rows of drawn scenes.
        width: columns of drawn scenes.
        split: "train"; another one only with `allow_validation`.
        allow_validation: True to take images of a split that accuracy is measured on; the manifest says so.
        method: key in SELECTION_METHODS.
        earlier: path of the manifest of an earlier selection, which need not exist; where this call would select
            the same images, the split is not read again.
        show_progress: True to print progress with the time left on stderr.
        skip_bad: True to leave out images that cannot be read, which the manifest then names.

    Raises:
        DatasetError: the folder has another layout, no frames, or frames or label maps that cannot be used.
        ImageError: a picture or a label map is damaged.
        InputError: another split than "train" without `allow_validation`, or an unknown method.
    """
    if method not in SELECTION_METHODS:
        raise InputError(f"method of choosing images is '{method}', expected one of: {', '.join(SELECTION_METHODS)}")
    if split != TRAIN and not allow_validation:
        raise InputError(f"{dataset} {held_out_refusal(split)}. Next: leave --split at train, {FORCE_HINT}")
    if data_dir is None:
        drawn = SyntheticFrames(count, height, width, SYNTHETIC_SEED)
        return drawn, _manifest(drawn, DRAWN, DRAWN)
    opened = checked_dataset(open_dataset(dataset, data_dir, split, labelled=False), False, skip_bad)
    files_sha256 = _files_sha256(opened)
    known = _earlier_selection(earlier, opened, count, SELECTION_METHODS[method], files_sha256, show_progress)
    if known is not None:
        return known
    if method == "cover":  # every label map is read below, after minutes of pictures
        opened = checked_dataset(opened, True, skip_bad)
    groups = [sample.group for sample in opened.samples]
    brightness_counts: dict[str, int] = {}
    if method == "even":
        indices = spread_evenly(groups, count)
        covers = class_coverage(
            opened.table.class_names, read_image_statistics(opened, indices, show_progress=False), None
        )
    else:
        statistics = read_image_statistics(opened, show_progress=show_progress)
        indices = sorted(choose_images(statistics, count))
        covers = class_coverage(opened.table.class_names, [statistics[index] for index in indices], statistics)
        bins = brightness_bins(statistics)
        chosen_bins = Counter(bins[index] for index in indices)
        brightness_counts = {name: chosen_bins[name] for name in BRIGHTNESS_BINS if name in bins}
    frames = DatasetFrames(opened, indices)
    chosen_groups = Counter(groups[index] for index in indices)
    return frames, dataclasses.replace(
        _manifest(frames, split, SELECTION_METHODS[method]),
        classes=covers,
        groups={group: chosen_groups[group] for group in sorted(set(groups))},
        lights=brightness_counts,
        split_files_sha256=files_sha256,
        code_sha256=code_digest(__name__),
    )


def _manifest(frames: FrameSet, split: str, method: str) -> CalibrationManifest:
    digests = tuple(frames.digest(index) for index in range(len(frames)))
    return CalibrationManifest(
        frames.description, split, method, tuple(frames.names), digests, {}, {}, {}, skipped=frames.skipped
    )


def _files_sha256(dataset: Dataset) -> str:
    """Return the SHA-256 of names and sizes of a split's files, without reading them.

    A file that changed and kept its size to the byte goes unseen. Then an earlier selection is kept that would
    come out otherwise now; the ranges are still of the images that the manifest names.
    """
    rows = []
    for sample in dataset.samples:
        paths = [path for path in (sample.image_path, sample.label_path) if path is not None]
        try:
            rows.append([sample.name, sample.group, *(path.stat().st_size for path in paths)])
        except OSError as error:
            raise DatasetError(f"{error.filename} of {dataset.name} cannot be read: {error.strerror}") from None
    return sha256_json(rows)


def _earlier_selection(
    path: Path | None, dataset: Dataset, count: int, method: str, files_sha256: str, says: bool
) -> tuple[FrameSet, CalibrationManifest] | None:
    """Return the images of an earlier manifest, if a new selection would give the same ones; else None."""
    if path is None:
        return None
    try:
        manifest = read_record(CalibrationManifest, path)
    except InputError:  # none there, or one of another version
        return None
    places = {sample.name: index for index, sample in enumerate(dataset.samples)}
    if (
        (manifest.images_from, manifest.split) != (f"{dataset.name} {dataset.split}", dataset.split)
        or (manifest.method, manifest.split_files_sha256) != (method, files_sha256)
        or len(manifest.names) != min(count, len(dataset))
        or not set(manifest.names) <= set(places)
    ):
        return None
    if manifest.code_sha256 != code_digest(__name__):
        if says:
            line = other_code(path.name, manifest.code_sha256 or "unknown", code_digest(__name__))
            print_status(f"calibration images are chosen anew: {line}")
        return None
    frames = DatasetFrames(dataset, [places[name] for name in manifest.names])
    same = manifest.sha256 == tuple(frames.digest(index) for index in range(len(frames)))
    return (frames, manifest) if same else None


def describe(manifest: CalibrationManifest) -> str:
    """Return a manifest as text for people: classes in a table, groups, brightness, then the names of the images."""
    lines = [f"{len(manifest.names)} images of {manifest.images_from}: {manifest.method}", ""]
    width = max(map(len, [*manifest.classes, "class"]))
    lines.append(f"{'class':{width}}  {'images':>6}  {'of':>6}  {'pixels':>8}")
    for name, cover in manifest.classes.items():
        images, in_split = ("-" if n is None else n for n in (cover.images, cover.images_in_split))
        share = "-" if cover.pixel_share is None else f"{100 * cover.pixel_share:.3f} %"
        lines.append(f"{name:{width}}  {images:>6}  {in_split:>6}  {share:>8}")
    lines += ["", _covered("groups", manifest.groups)]
    if manifest.lights:
        lines.append(_covered("light", manifest.lights))
    lines += skipped_sentences(manifest.skipped, manifest.images_from)
    return "\n".join([*lines, "", *manifest.names])


def _covered(what: str, counts: dict[str, int]) -> str:
    parts = ", ".join(f"{name} {count}" for name, count in counts.items())
    return f"{what}: {sum(count > 0 for count in counts.values())} of {len(counts)} covered ({parts})"
