"""Sources of the images of a build: a dataset, the user's own pictures, or scenes that are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.frames import FrameSet
from export.held_out import PARITY_IMAGES, held_out_frames
from export.pipeline.user_images import split_pictures


@dataclass(frozen=True)
class ImageSources:
    """Sources that the images of a build are read from.

    A BuildPlan makes it. The float graph is compared on a few of the images, calibration chooses among them, and the
    accuracy target holds out others.

    Attributes:
        dataset: key in edge.datasets.LAYOUTS.
        data_dir: folder of the dataset; None where there is none, and scenes are drawn instead.
        pictures_path: folder of the user's own pictures, which are preferred to the dataset's; None without one.
        height: rows of the network's input, and of a drawn scene.
        width: columns of the network's input, and of a drawn scene.
        accuracy_images: largest number of held-out images.
        skip_bad: True to leave out images that cannot be read, instead of refusing them.
    """

    dataset: str
    data_dir: Path | None
    pictures_path: Path | None
    height: int
    width: int
    accuracy_images: int
    skip_bad: bool = False

    @property
    def are_real(self) -> bool:
        """Return whether there are images that were not drawn."""
        return self.data_dir is not None or self.pictures_path is not None

    def few(self) -> FrameSet:
        """Return a few frames, on which the float graph is compared."""
        return held_out_frames(self.dataset, self.data_dir, self.height, self.width, PARITY_IMAGES, self.skip_bad)

    def held_out(self) -> FrameSet:
        """Return the frames that accuracy is measured on."""
        if self.pictures_path is not None:
            return split_pictures(self.pictures_path, self.accuracy_images, self.skip_bad)[1]
        return held_out_frames(
            self.dataset, self.data_dir, self.height, self.width, self.accuracy_images, self.skip_bad
        )

    def calibrating_pictures(self) -> FrameSet | None:
        """Return the user's pictures that are not held out; None where the user named no folder."""
        if self.pictures_path is None:
            return None
        return split_pictures(self.pictures_path, self.accuracy_images, self.skip_bad)[0]
