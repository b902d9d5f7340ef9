"""calibration.json, the calibration manifest: which images ranges are collected on, and what these show."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from calibration.images.coverage import ImageStatistics
from edge.artifacts import sha256_json
from edge.records import record

TRAIN = "train"
DRAWN = "drawn"
HELD_OUT = {"val": "validation", "test": "test"}
"""Splits that accuracy is measured on -> the word for them in messages."""

_SHOWN_NAMES = 4
"""Number of names that a sentence lists."""

FORCE_HINT = "or add --force-validation-images, which the engine's card will say"


@record(schema=1, what="class cover")
class ClassCoverage:
    """Coverage of one class by the calibration images.

    Attributes:
        images: number of calibration images that show the class; None where there are no label maps.
        pixel_share: share of the class in their pixels, 0 to 1; None where there are no label maps.
        images_in_split: number of images of the whole split that show the class; None where not all were read.
    """

    images: int | None = None
    pixel_share: float | None = None
    images_in_split: int | None = None


@record(schema=2, what="calibration manifest", made_by="python calibration/select_images.py --output")
class CalibrationManifest:
    """Record of the images that ranges are collected on.

    Attributes:
        images_from: dataset and split, or "synthetic scenes".
        split: "train"; "val" or "test" where that was forced; "drawn" for synthetic scenes.
        method: text that says how the images were selected.
        names: name of each image.
        sha256: SHA-256 of each image file, in the order of `names`.
        classes: name of each class of the dataset -> how the images cover it; empty for drawn scenes.
        groups: each city or sequence of the split -> number of images from there; empty for drawn scenes.
        lights: third of the split by mean luma -> number of images of it; empty where the split was not read. The
            field keeps its earlier name on disk; in the code these thirds are brightness bins.
        split_files_sha256: SHA-256 of names and sizes of all files of the split; None for drawn scenes.
        code_sha256: digest of the code that chose the images; None for drawn scenes, and in older files.
        skipped: names of the images that were left out, since they or their label maps cannot be read; empty in older
            files.
    """

    images_from: str
    split: str
    method: str
    names: tuple[str, ...]
    sha256: tuple[str, ...]
    classes: dict[str, ClassCoverage]
    groups: dict[str, int]
    lights: dict[str, int]
    split_files_sha256: str | None = None
    code_sha256: str | None = None
    skipped: tuple[str, ...] = ()

    def digest(self) -> str:
        """Return the SHA-256 that stands for the images: their split, names and hashes, and nothing else."""
        return sha256_json({"split": self.split, "names": self.names, "sha256": self.sha256})


def class_coverage(
    class_names: Sequence[str], chosen: Sequence[ImageStatistics], split: Sequence[ImageStatistics] | None
) -> dict[str, ClassCoverage]:
    """Return how well images cover every class.

    Args:
        class_names: names of the classes of the dataset.
        chosen: statistics of the calibration images.
        split: statistics of all images of the split; None where not all were read.

    Returns:
        Class name -> coverage, for every class.
    """
    labelled = [image for image in chosen if image.class_pixels is not None]
    if not labelled:
        return {name: ClassCoverage() for name in class_names}
    pixels = np.array([image.class_pixels for image in labelled], np.int64)  # (images, classes)
    shares = pixels.sum(0) / max(1, sum(image.pixel_count for image in labelled))
    in_split: list[int | None] = [None] * len(class_names)
    if split is not None:
        there = [np.array(image.class_pixels) > 0 for image in split if image.class_pixels is not None]
        in_split = [int(count) for count in np.sum(there, axis=0)]
    return {
        name: ClassCoverage(int((pixels[:, index] > 0).sum()), float(shares[index]), in_split[index])
        for index, name in enumerate(class_names)
    }


def manifest_warnings(manifest: CalibrationManifest) -> tuple[str, ...]:
    """Return warnings about the calibration images, a sentence each.

    There is none for drawn scenes: every command says that they are drawn.
    """
    left_out = skipped_sentences(manifest.skipped, manifest.images_from)
    if manifest.split == DRAWN or not manifest.classes:
        return left_out
    count, classes = len(manifest.names), len(manifest.classes)
    measured = {name: cover for name, cover in manifest.classes.items() if cover.images is not None}
    sentences = list(left_out)
    if not measured:
        sentences.append(
            f"{manifest.images_from} has no label maps, so calibration images were chosen by place and light alone, "
            "and nobody knows whether they show every class"
        )
    shown = [name for name, cover in measured.items() if cover.images]
    missing = [name for name, cover in measured.items() if not cover.images]
    if len(shown) == 1:
        sentences.append(
            f"the calibration images show a single class, {shown[0]}: "
            "ranges of other streets will be clipped. Next: calibrate on images that show every class"
        )
    else:
        sentences += [
            f"no calibration image shows {', '.join(names)}{why}"
            for why, names in _by_reason(measured, missing).items()
            if names
        ]
    if count < classes:
        sentences.append(
            f"{count} calibration image{'s are' if count > 1 else ' is'} fewer than the {classes} classes. "
            f"Next: take at least {classes}"
        )
    return tuple(sentences)


def skipped_sentences(skipped: Sequence[str], images_from: str) -> tuple[str, ...]:
    """Return a sentence about images that were left out, as a tuple that is empty where there are none."""
    if not skipped:
        return ()
    shown = ", ".join(skipped[:_SHOWN_NAMES]) + (" and more" if len(skipped) > _SHOWN_NAMES else "")
    return (f"{len(skipped)} of the images of {images_from} cannot be read and were left out (--skip-bad): {shown}",)


def _by_reason(covers: dict[str, ClassCoverage], missing: Sequence[str]) -> dict[str, list[str]]:
    """Group the classes that no calibration image shows by the reason, a part of a sentence."""
    could, nobody, unknown = (
        ", although some of the split do. Next: take more images",
        ", and none of the split does",
        "",
    )
    reasons: dict[str, list[str]] = {could: [], nobody: [], unknown: []}
    for name in missing:
        there = covers[name].images_in_split
        reasons[unknown if there is None else could if there else nobody].append(name)
    return reasons


def held_out_refusal(split: str) -> str:
    """Return the sentence that says why images of a split may not calibrate."""
    return f"{HELD_OUT.get(split, split)} images are what accuracy is measured on, so they do not calibrate"


def manifest_note(manifest: CalibrationManifest) -> str | None:
    """Return the note about the images for an engine's card; None for training images and for drawn scenes."""
    if manifest.split in (TRAIN, DRAWN):
        return None
    return (
        f"ranges come from {HELD_OUT.get(manifest.split, manifest.split)} images ({manifest.images_from}), as was "
        "forced with --force-validation-images, so accuracy on that split is no proof"
    )
