"""Options of a command that choose the frames of a measurement."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np

from edge.bench.frame_feed import MAX_DISTINCT_FRAMES
from edge.bench.video_frames import VideoFrames
from edge.console import size_argument
from edge.datasets import add_dataset_option, open_dataset
from edge.datasets.description.file import is_description
from edge.datasets.registry import LAYOUTS
from edge.errors import InputError
from edge.frames import DatasetFrames, FolderFrames, FrameSet, SyntheticFrames
from edge.imaging import IMAGE_SUFFIXES
from edge.picture_check import SKIP_BAD_HELP, checked_dataset

SYNTHETIC_SEED = 9_000_000
"""Seed of the scenes that are drawn for a measurement without images."""

DRAWN = "synthetic"
"""Text of --input that stands for drawn scenes, and not for the dataset of that name."""

INPUT_FORMS = (
    "synthetic (drawn scenes), a picture, a folder of pictures, a video file, or a dataset by its name or by the file "
    "of its description"
)

_DRAWN_FRAMES = 16
_MOST_BYTES = 512 * 1024**2
"""Bytes of the drawn frames that a measurement holds: a Jetson shares its memory with the GPU."""


class CameraFrames(FrameSet):
    """Drawn street scenes of any size that a camera may have.

    Args:
        height: Rows of a frame in pixels.
        width: Columns of a frame in pixels.
        seed: Seed of the drawing.

    Raises:
        SizeError: No camera has frames of that size.
    """

    def __init__(self, height: int, width: int, seed: int) -> None:
        # Imported here: a measurement on pictures does not load the modules that draw.
        from edge.synthetic.camera_size import CameraSize

        self._size = CameraSize(height, width)
        count = max(1, min(_DRAWN_FRAMES, _MOST_BYTES // (3 * height * width)))
        self._drawn = SyntheticFrames(count, *self._size.drawn(), seed)
        super().__init__(self._drawn.description, self._drawn.names)

    def read(self, index: int) -> np.ndarray:
        """Return frame `index` as (height, width, 3) uint8 RGB."""
        return self._size.resized(self._drawn.read(index))

    def digest(self, index: int) -> str:
        """Return the SHA-256 of the drawn scene's digest and of the size of frame `index`."""
        return hashlib.sha256(f"{self._drawn.digest(index)} {self._size}".encode()).hexdigest()


def add_frame_arguments(parser: argparse.ArgumentParser, with_input: bool = False) -> None:
    """Add --images, --dataset, --data-dir and --frame-size to a command.

    Args:
        parser: Parser of the command.
        with_input: Whether --input stands beside them, which understands all of them and videos.
    """
    source = parser.add_mutually_exclusive_group()
    if with_input:
        source.add_argument("--input", metavar="INPUT", help=f"frames: {INPUT_FORMS}")
    source.add_argument("--images", type=Path, help="a picture, or a folder of pictures")
    add_dataset_option(source, "frames of its validation split")
    parser.add_argument("--data-dir", type=Path, help="the dataset's folder (default: $SEGEDGE_DATA/NAME, data/NAME)")
    parser.add_argument("--skip-bad", action="store_true", help=SKIP_BAD_HELP)
    parser.add_argument(
        "--frame-size",
        type=size_argument,
        metavar="HxW",
        help="pixels of drawn frames, as the camera gives them, such as 1080x1920 (default: the engine's)",
    )


def settle_input(arguments: argparse.Namespace) -> None:
    """Understand --input: what it names takes the place of --images or --dataset, or is `arguments.video`.

    Args:
        arguments: Parsed options of `add_frame_arguments`, which are changed.

    Raises:
        InputError: It names nothing that is there.
    """
    text, arguments.video = getattr(arguments, "input", None), None
    if text is None or text == DRAWN:
        return
    path = Path(text)
    if text in LAYOUTS or is_description(text):
        arguments.dataset = text
    elif path.is_dir() or (path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES):
        arguments.images = path
    elif path.is_file():
        arguments.video = path
    else:
        raise InputError(f"input '{text}' not found: no such file or folder, and not {INPUT_FORMS}")


def check_one_set(arguments: argparse.Namespace, with_accuracy: bool = False) -> None:
    """Refuse options of `add_frame_arguments` that name two sets of frames: a record is about one.

    Args:
        arguments: Parsed options.
        with_accuracy: Whether mIoU is asked for, which needs a labelled split.

    Raises:
        InputError: Two sets are named, or a size is given for frames that have one.
    """
    files = "--images" if arguments.images else "--input" if getattr(arguments, "video", None) else None
    named = arguments.images or getattr(arguments, "video", None)
    if files and with_accuracy:
        raise InputError(
            f"--accuracy needs labels and {files} {named} has none: latency would be of one set and mIoU "
            f"of another. Next: --dataset NAME --accuracy for both, or {files} without --accuracy"
        )
    if files and arguments.data_dir:
        raise InputError(
            f"{files} {named} and --data-dir {arguments.data_dir} name two sets of frames. Next: leave one out"
        )
    if arguments.frame_size and (files or arguments.dataset or arguments.data_dir or with_accuracy):
        owner = files or ("--accuracy" if with_accuracy else "a dataset")
        raise InputError(
            f"--frame-size is the size of drawn frames, and {owner} has frames of their own. Next: leave one out"
        )


def chosen_frames(arguments: argparse.Namespace, dataset: str | None, size: tuple[int, int]) -> FrameSet:
    """Return the frames that the options of a command choose.

    Args:
        arguments: Parsed options of `add_frame_arguments`.
        dataset: Name of the dataset, or path of the description, whose validation split is used; None for none.
        size: Height and width of drawn frames where --frame-size is not given, in pixels.

    Raises:
        ImageError: There is no such picture or folder.
        DatasetError: The dataset cannot be opened.
        SizeError: A scene cannot be drawn at the size of --frame-size.
    """
    includes_decode = getattr(arguments, "include_decode", False)
    video = getattr(arguments, "video", None)
    if video is not None:
        return VideoFrames(video, None if includes_decode else MAX_DISTINCT_FRAMES)
    if arguments.images:
        return FolderFrames(arguments.images, arguments.skip_bad)
    if dataset:
        split = open_dataset(
            dataset, arguments.data_dir, "val", labelled=False, limit=None if includes_decode else MAX_DISTINCT_FRAMES
        )
        return DatasetFrames(checked_dataset(split, needs_labels=False, skip_bad=arguments.skip_bad))
    if includes_decode:
        raise InputError("--include-decode needs frames in files, and these are drawn. Next: --input FOLDER or VIDEO")
    if arguments.frame_size:  # what was asked for is measured, or refused; the network's size may be any
        return CameraFrames(*arguments.frame_size, SYNTHETIC_SEED)
    height, width = size
    return SyntheticFrames(_DRAWN_FRAMES, height, width, SYNTHETIC_SEED)
