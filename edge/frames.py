"""Sets of frames to work on: of a dataset split, of a folder of pictures, or drawn; labelled or not.

Calibration, parity checks, benchmarks and overlays take any FrameSet, whatever it is made of.
"""

from __future__ import annotations

import abc
import collections
import dataclasses
import hashlib
import os
from pathlib import Path

import numpy as np

from edge.artifacts import sha256_file
from edge.code_digest import code_digest
from edge.datasets import Dataset
from edge.errors import ImageError
from edge.imaging import list_images, read_file_header, read_rgb
from edge.picture_check import picture_problems, refuse_or_leave_out
from edge.sample_depth import SampleDepth, shared_depth


class FrameSet(abc.ABC):
    """A known number of frames, which are read one at a time.

    Attributes:
        description: Origin of the frames as a text, such as "camvid val".
        names: Names of the frames, one for each.
        skipped: Names of the frames that were left out since they cannot be read.
    """

    def __init__(self, description: str, names: list[str], skipped: tuple[str, ...] = ()) -> None:
        self.description, self.names, self.skipped = description, names, skipped

    def __len__(self) -> int:
        return len(self.names)

    @abc.abstractmethod
    def read(self, index: int) -> np.ndarray:
        """Return frame `index` as (height, width, 3) uint8 RGB."""

    @abc.abstractmethod
    def digest(self, index: int) -> str:
        """Return a SHA-256 that identifies the content of frame `index`."""

    def subset(self, indices: list[int]) -> FrameSet:
        """Return the frames at these positions, in this order, as a set of the same kind where that knows labels."""
        return FrameSubset(self, indices)

    def spread(self, count: int) -> FrameSet:
        """Return at most `count` frames, spread evenly over the set, as a set of the same kind."""
        count = min(count, len(self))
        return self.subset([index * len(self) // count for index in range(count)])


def picture_digest(path: Path, depth: SampleDepth | None) -> str:
    """Return the SHA-256 of a picture file; of one of 16 bits, together with the range that makes 8 bits of it.

    Args:
        path: Path of the file.
        depth: What makes 8 bits of 16; None to leave the range out.
    """
    if depth is None or read_file_header(path).bits != 16:
        return sha256_file(path)
    return hashlib.sha256(f"{sha256_file(path)} {depth.bits()} bits".encode()).hexdigest()


class DatasetFrames(FrameSet):
    """Some or all frames of a dataset split."""

    def __init__(self, dataset: Dataset, indices: list[int] | None = None) -> None:
        self.dataset = dataset
        self._indices = list(range(len(dataset))) if indices is None else indices
        names = [dataset.samples[index].name for index in self._indices]
        super().__init__(f"{dataset.name} {dataset.split}", names, dataset.skipped)

    def read(self, index: int) -> np.ndarray:
        """Return frame `index` as (height, width, 3) uint8 RGB."""
        return self.dataset.read_frame(self._indices[index])

    def digest(self, index: int) -> str:
        """Return the SHA-256 of the image file of frame `index`, as `picture_digest` makes it."""
        return picture_digest(self.dataset.samples[self._indices[index]].image_path, self.dataset.depth)

    def subset(self, indices: list[int]) -> FrameSet:
        """Return the frames at these positions, in this order."""
        return DatasetFrames(self.dataset, [self._indices[index] for index in indices])

    def chosen(self) -> Dataset:
        """Return the dataset with only these frames, in this order."""
        return dataclasses.replace(self.dataset, samples=tuple(self.dataset.samples[i] for i in self._indices))


class FolderFrames(FrameSet):
    """The pictures of a folder, or one picture; all of them are checked at once, without decoding them.

    Args:
        path: Path of the folder or picture.
        skip_bad: Whether pictures that cannot be read are left out, and named in `skipped`, instead of refused; None
            where the command has no option for it.

    Raises:
        ImageError: There is no such folder or picture, the folder holds no picture, or one that cannot be read.
    """

    def __init__(self, path: str | os.PathLike, skip_bad: bool | None = None) -> None:
        given = Path(path)
        if not given.exists():
            raise ImageError(f"image or folder not found: {path}")
        listed = (given,) if given.is_file() else tuple(list_images(given))
        problems = picture_problems(listed)
        if problems and given.is_file():
            read_rgb(given)  # says of one picture all that there is to say
        refuse_or_leave_out(list(problems.values()), len(listed), str(path), skip_bad)
        self._paths = [picture for index, picture in enumerate(listed) if index not in problems]
        # The range of 16-bit pictures is that of the folder, whichever of them are read.
        self._depth = shared_depth(listed, str(path))
        stems = collections.Counter(picture.stem for picture in self._paths)
        # Pictures that differ in their suffix alone keep it, so that a name stands for one picture.
        super().__init__(
            str(path),
            [picture.stem if stems[picture.stem] == 1 else picture.name for picture in self._paths],
            tuple(listed[index].name for index in problems),
        )

    def read(self, index: int) -> np.ndarray:
        """Return frame `index` as (height, width, 3) uint8 RGB."""
        return read_rgb(self._paths[index], self._depth)

    def digest(self, index: int) -> str:
        """Return the SHA-256 of the picture file of frame `index`, as `picture_digest` makes it."""
        return picture_digest(self._paths[index], self._depth)


class FrameSubset(FrameSet):
    """Some frames of another set, in a given order."""

    def __init__(self, frames: FrameSet, indices: list[int]) -> None:
        super().__init__(frames.description, [frames.names[index] for index in indices], frames.skipped)
        self._frames, self._indices = frames, list(indices)

    def read(self, index: int) -> np.ndarray:
        """Return frame `index` as (height, width, 3) uint8 RGB."""
        return self._frames.read(self._indices[index])

    def digest(self, index: int) -> str:
        """Return the SHA-256 by which the other set identifies frame `index`."""
        return self._frames.digest(self._indices[index])


class SyntheticFrames(FrameSet):
    """Street scenes that edge.synthetic draws.

    Args:
        count: Number of frames.
        height: Rows of a frame in pixels; a size that streets cannot be drawn at becomes the nearest possible one.
        width: Columns of a frame in pixels, limited in the same way.
        seed: Seed of the drawing; different seeds give different scenes.
    """

    DESCRIPTION = "synthetic scenes"

    def __init__(self, count: int, height: int, width: int, seed: int) -> None:
        super().__init__(self.DESCRIPTION, [f"synthetic_{seed}_{index:06d}" for index in range(count)])
        self._size, self._seed = (height, width), seed

    def read(self, index: int) -> np.ndarray:
        """Return frame `index` as (height, width, 3) uint8 RGB."""
        from edge.synthetic import draw_scene
        from edge.synthetic.scene import MAX_HEIGHT, MAX_WIDTH, MIN_HEIGHT, MIN_WIDTH

        height = min(max(self._size[0], MIN_HEIGHT), MAX_HEIGHT)
        width = min(max(self._size[1], MIN_WIDTH), MAX_WIDTH)
        return draw_scene(self._seed, index, height, width).frame_rgb

    def digest(self, index: int) -> str:
        """Return the SHA-256 of the name and the drawing code: equal seeds and sizes draw equal scenes with it."""
        drawn = f"{self.names[index]} {self._size} {code_digest('edge.synthetic.scene')}"
        return hashlib.sha256(drawn.encode()).hexdigest()
