"""A large split of street scenes for benchmarks: a few that are drawn, and links to them under other names."""

from __future__ import annotations

import os
from pathlib import Path

from edge.console import Progress
from edge.datasets import Dataset, open_dataset
from edge.synthetic import write_dataset
from edge.synthetic.street_files import scene_paths

LINKED_FILES = ("frame", "labelIds")


def draw_streets(root: Path, part: str, scenes: int, height: int = 1024, width: int = 2048) -> None:
    """Draw scenes into one split of a set in the layout of Cityscapes.

    Args:
        root: Folder of the set, which is made here.
        part: Name of the split, "train" or "val".
        scenes: Number of scenes.
        height: Rows of a frame in pixels.
        width: Columns of a frame in pixels.
    """
    counts = (scenes, 0) if part == "train" else (0, scenes)
    with Progress("draw", scenes, "scene") as progress:
        write_dataset(root, *counts, height, width, seed=0, progress=progress.step)


def link_streets(root: Path, part: str, scenes: int, count: int) -> Dataset:
    """Link the files of drawn scenes again and again until a split has `count` frames, and open it.

    Decoding takes the same time for a link as for a file of its own. What a disk would take is not in it: few files
    stay in the system's memory.

    Args:
        root: Folder that `draw_streets` drew into.
        part: Name of the split.
        scenes: Number of scenes that were drawn.
        count: Number of frames that the split has afterwards.
    """
    for index in range(scenes, count):
        drawn, linked = scene_paths(root, part, index % scenes), scene_paths(root, part, index)
        for kind in LINKED_FILES:
            if not linked[kind].exists():
                os.link(drawn[kind], linked[kind])
    return open_dataset("synthetic", root, part, limit=count)
