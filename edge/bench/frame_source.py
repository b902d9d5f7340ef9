"""Options of a command that choose the frames of a measurement."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge.bench.measure import MAX_DISTINCT_FRAMES
from edge.console import size_argument
from edge.datasets import LAYOUTS, open_dataset
from edge.frames import DatasetFrames, FolderFrames, FrameSet, SyntheticFrames
from edge.picture_check import SKIP_BAD_HELP, checked_dataset

SYNTHETIC_SEED = 9_000_000
"""Seed of the scenes that are drawn for a measurement without images."""


def add_frame_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --images, --dataset, --data-dir and --frame-size to a command."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--images", type=Path, help="a picture, or a folder of pictures")
    source.add_argument("--dataset", choices=sorted(LAYOUTS), help="frames of its validation split")
    parser.add_argument("--data-dir", type=Path, help="the dataset's folder (default: $SEGEDGE_DATA/NAME, data/NAME)")
    parser.add_argument("--skip-bad", action="store_true", help=SKIP_BAD_HELP)
    parser.add_argument(
        "--frame-size", type=size_argument, metavar="HxW", help="pixels of drawn frames (default: the engine's)"
    )


def chosen_frames(arguments: argparse.Namespace, dataset: str | None, size: tuple[int, int]) -> FrameSet:
    """Return the frames that the options of a command choose.

    Args:
        arguments: Parsed options of `add_frame_arguments`.
        dataset: Name of the dataset whose validation split is used; None for none.
        size: Height and width of drawn frames where --frame-size is not given, in pixels.

    Raises:
        ImageError: There is no such picture or folder.
        DatasetError: The dataset cannot be opened.
        SizeError: A scene cannot be drawn at the size of --frame-size.
    """
    if arguments.images:
        return FolderFrames(arguments.images, arguments.skip_bad)
    if dataset:
        split = open_dataset(dataset, arguments.data_dir, "val", labelled=False, limit=MAX_DISTINCT_FRAMES)
        return DatasetFrames(checked_dataset(split, needs_labels=False, skip_bad=arguments.skip_bad))
    if arguments.frame_size:  # what was asked for is measured, or refused; the network's size may be any
        # Imported here: a measurement on pictures does not load the modules that draw.
        from edge.synthetic.scene import check_size

        check_size(*arguments.frame_size)
    height, width = arguments.frame_size or size
    return SyntheticFrames(16, height, width, SYNTHETIC_SEED)
