"""Choosing calibration images: `python calibration/select_images.py --dataset camvid --data-dir DIR`.

Images of the training split alone, so that validation stays unseen; spread evenly over cities or
sequences, and evenly within each, since neighbouring frames of a drive show the same street.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

if __name__ == "__main__":  # run by its path: the checkout, not this folder, is where packages are
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from edge.artifacts import sha256_json
from edge.console import CommandParser, positive_int, run_command
from edge.datasets import LAYOUTS, Dataset, open_dataset
from edge.frames import DatasetFrames, FrameSet, SyntheticFrames
from edge.records import record, record_to_json, write_record

MANIFEST_FILE = "calibration.json"

DEFAULT_IMAGE_COUNT = 64
RANDOM_WEIGHTS_IMAGE_COUNT = 8
"""Enough for weights whose ranges mean nothing anyway."""

SYNTHETIC_SEED = 8_000_000
"""Seed of the scenes that are drawn where there is no dataset; nothing trains on them."""


@record(schema=1, what="calibration manifest")
class CalibrationManifest:
    """Which images ranges are collected on.

    Attributes:
        images_from: dataset and split, or "synthetic scenes".
        names: one per image.
        sha256: of each image file, in the same order.
    """

    images_from: str
    names: tuple[str, ...]
    sha256: tuple[str, ...]

    def digest(self) -> str:
        """Return the SHA-256 that stands for all of it."""
        return sha256_json(record_to_json(self))


def select_indices(dataset: Dataset, count: int) -> list[int]:
    """Choose `count` frames, or all where there are fewer; equal input gives equal output.

    Args:
        dataset: the training split.
        count: how many.

    Returns:
        Indices into the split, in rising order.
    """
    groups: dict[str, list[int]] = {}
    for index, sample in enumerate(dataset.samples):
        groups.setdefault(sample.group, []).append(index)
    # Small groups give all they have; what they lack is shared out over the larger ones.
    chosen: list[int] = []
    left = min(count, len(dataset))
    ordered = sorted(groups.values(), key=len)
    for position, members in enumerate(ordered):
        share = min(len(members), -(-left // (len(ordered) - position)))
        chosen.extend(members[step * len(members) // share] for step in range(share))
        left -= share
    return sorted(chosen)


def calibration_frames(
    dataset: str, data_dir: Path | None, count: int, height: int, width: int
) -> tuple[FrameSet, CalibrationManifest]:
    """Return the calibration images of a dataset, and their manifest.

    Args:
        dataset: key in edge.datasets.LAYOUTS.
        data_dir: its folder; None where there is none, and scenes are drawn instead.
        count: how many images.
        height: rows of drawn scenes.
        width: columns of drawn scenes.

    Raises:
        DatasetError: the folder has another layout, or no training frames.
    """
    if data_dir is None:
        frames: FrameSet = SyntheticFrames(count, height, width, SYNTHETIC_SEED)
    else:
        training = open_dataset(dataset, data_dir, "train", labelled=False)
        frames = DatasetFrames(training, select_indices(training, count))
    digests = tuple(frames.digest(index) for index in range(len(frames)))
    return frames, CalibrationManifest(frames.description, tuple(frames.names), digests)


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = CommandParser(
        prog="calibration/select_images.py",
        description="Choose calibration images from a training split and write their manifest.",
    )
    parser.add_argument("--dataset", required=True, choices=sorted(LAYOUTS))
    parser.add_argument("--data-dir", type=Path, required=True, help="the dataset's folder")
    parser.add_argument("--images", type=positive_int, default=DEFAULT_IMAGE_COUNT, help="how many")
    parser.add_argument("--output", type=Path, help="manifest to write; without it, it is printed")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)

    def select() -> int:
        _, manifest = calibration_frames(arguments.dataset, arguments.data_dir, arguments.images, 1, 1)
        if arguments.output:
            write_record(arguments.output, manifest)
            print(f"{len(manifest.names)} images of {manifest.images_from}: {arguments.output}")
        else:
            print(json.dumps(record_to_json(manifest), indent=2))
        return 0

    return run_command(select)


if __name__ == "__main__":
    sys.exit(main())
