"""Calibration images that a manifest file names: found in the dataset and checked by hash; none of validation."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from calibration.images.manifest import DRAWN, FORCE_HINT, HELD_OUT, TRAIN, CalibrationManifest, held_out_refusal
from edge.console import Progress
from edge.datasets import Dataset, Sample, open_dataset
from edge.errors import ContractError, DatasetError, InputError
from edge.frames import DatasetFrames, FrameSet, picture_digest
from edge.picture_check import checked_dataset
from edge.records import read_record
from edge.sample_depth import SampleDepth


def read_manifest_frames(
    path: Path, dataset: str, data_dir: Path | None, allow_validation: bool = False
) -> tuple[FrameSet, CalibrationManifest]:
    """Return the images that a manifest file names.

    An image is a training image if the training split has it by name and hash. One that is of another
    split, by its name or, where names do not decide, by its content, is refused.

    Args:
        path: path of the manifest file.
        dataset: key in edge.datasets.LAYOUTS.
        data_dir: folder of the dataset; None for the default one.
        allow_validation: True to take images of a split that accuracy is measured on; the manifest says so.

    Returns:
        The images in the order of the file, and the manifest; its split is "val" or "test" if any image
        is of that.

    Raises:
        InputError: no such file, drawn scenes, or validation images without `allow_validation`.
        ContractError: the file is damaged, empty, or names an image twice.
        DatasetError: the dataset lacks an image, or has another one by its name.
    """
    manifest = _read_checked(path)
    if manifest.split != TRAIN and not allow_validation:
        raise InputError(
            f"calibration manifest {path} is of {manifest.images_from}: {held_out_refusal(manifest.split)}. "
            f"Next: choose training images, {FORCE_HINT}"
        )
    training = open_dataset(dataset, data_dir, TRAIN, labelled=False)
    finder = _ImageFinder(training, _HeldOutImages(dataset, data_dir, training.depth))
    samples, splits = [], []
    for name, digest in zip(manifest.names, manifest.sha256):
        sample, split, is_same = finder.find(name, digest)
        if split != TRAIN and not allow_validation:
            alias = "" if sample is None or sample.name == name else f", which is {sample.name} by its content,"
            raise InputError(
                f"calibration manifest {path} names {name}{alias} of {dataset} {split}: {held_out_refusal(split)}. "
                f"Next: choose training images, {FORCE_HINT}"
            )
        if sample is None or not is_same:
            problem = "is not there" if sample is None else "has changed since"
            raise DatasetError(
                f"calibration manifest {path} names {name}, which {problem}: {dataset} {split} under "
                f"{training.root}. Next: write the manifest again with calibration/select_images.py"
            )
        samples.append(sample)
        splits.append(split)
    held_out = [split for split in HELD_OUT if split in splits]
    of_splits = " and ".join([*([TRAIN] if TRAIN in splits else []), *held_out])
    named = dataclasses.replace(training, split=of_splits, samples=tuple(samples))
    frames = DatasetFrames(checked_dataset(named, needs_labels=False))
    if held_out:
        manifest = dataclasses.replace(manifest, split=held_out[0], images_from=frames.description)
    return frames, manifest


def _read_checked(path: Path) -> CalibrationManifest:
    manifest = read_record(CalibrationManifest, path)
    names, hashes = len(manifest.names), len(manifest.sha256)
    different = len(set(manifest.names))
    if not names or (names, names) != (different, hashes):
        raise ContractError(
            f"calibration manifest {path} has {names} names, {different} of them different, and {hashes} hashes, "
            "expected at least one name, each once and with its hash. "
            "Next: write it again with calibration/select_images.py"
        )
    if manifest.split == DRAWN:
        raise InputError(
            f"calibration manifest {path} names drawn scenes, which no dataset has. "
            "Next: write one of a dataset with calibration/select_images.py"
        )
    return manifest


class _HeldOutImages:
    """The images of a dataset that accuracy is measured on, by name, and by hash once a hash is looked up."""

    def __init__(self, dataset: str, data_dir: Path | None, depth: SampleDepth | None) -> None:
        self._depth = depth
        self.by_name: dict[str, tuple[Sample, str]] = {}
        self._by_hash: dict[str, tuple[Sample, str]] | None = None
        for split in HELD_OUT:
            try:
                opened = open_dataset(dataset, data_dir, split, labelled=False)
            except DatasetError:  # few have a test split, and some machines the training split alone
                continue
            for sample in opened.samples:
                self.by_name.setdefault(sample.name, (sample, split))

    def by_content(self, digest: str) -> tuple[Sample, str] | None:
        """Return the image with a hash, and its split; the first call reads every image."""
        if self._by_hash is None:
            self._by_hash = {}
            with Progress("compare with validation images", len(self.by_name), "image") as progress:
                for sample, split in self.by_name.values():
                    self._by_hash.setdefault(picture_digest(sample.image_path, self._depth), (sample, split))
                    progress.step()
        return self._by_hash.get(digest)


class _ImageFinder:
    """Finds the image that an entry of a manifest means, and its split."""

    def __init__(self, training: Dataset, held_out: _HeldOutImages) -> None:
        self._depth = training.depth
        self._training = {sample.name: sample for sample in training.samples}
        self._held_out = held_out

    def find(self, name: str, digest: str) -> tuple[Sample | None, str, bool]:
        """Return the image, its split, and whether it has the hash; None instead of the image where there is none."""
        sample = self._training.get(name)
        named = self._held_out.by_name.get(name)
        if sample is None and named is not None:
            return named[0], named[1], picture_digest(named[0].image_path, self._depth) == digest
        is_same = sample is not None and picture_digest(sample.image_path, self._depth) == digest
        if not is_same or named is not None:
            twin = self._held_out.by_content(digest)
            if twin is not None:
                return twin[0], twin[1], True
        return sample, TRAIN, is_same
