"""Where the frames of a measurement come from, as options of a command."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge.bench.measure import MOST_DISTINCT_FRAMES
from edge.console import size_argument
from edge.datasets import LAYOUTS, open_dataset
from edge.frames import DatasetFrames, FolderFrames, FrameSet, SyntheticFrames

SYNTHETIC_SEED = 9_000_000
"""Seed of the scenes that are drawn for a measurement without images."""


def add_frame_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --images, --dataset, --data-dir and --frame-size to a command."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--images", type=Path, help="a picture, or a folder of pictures")
    source.add_argument("--dataset", choices=sorted(LAYOUTS), help="frames of its validation split")
    parser.add_argument("--data-dir", type=Path, help="the dataset's folder (default: $SEGEDGE_DATA/NAME, data/NAME)")
    parser.add_argument(
        "--frame-size", type=size_argument, metavar="HxW", help="of drawn frames (default: the engine's)"
    )


def chosen_frames(arguments: argparse.Namespace, dataset: str | None, size: tuple[int, int]) -> FrameSet:
    """Return the frames that were asked for.

    Args:
        arguments: of `add_frame_arguments`.
        dataset: whose validation split is meant; None for none.
        size: height and width of drawn frames where none was asked for.

    Raises:
        ImageError: there is no such picture or folder.
        DatasetError: there is no such dataset.
        SizeError: a scene cannot be drawn at the size that was asked for.
    """
    if arguments.images:
        return FolderFrames(arguments.images)
    if dataset:
        split = open_dataset(dataset, arguments.data_dir, "val", labelled=False, limit=MOST_DISTINCT_FRAMES)
        return DatasetFrames(split)
    if arguments.frame_size:  # what was asked for is measured, or refused; the network's size may be any
        # Imported here: a measurement on pictures does not load the modules that draw.
        from edge.synthetic.scene import check_size

        check_size(*arguments.frame_size)
    height, width = arguments.frame_size or size
    return SyntheticFrames(16, height, width, SYNTHETIC_SEED)
