"""Where the images of a build come from: a dataset, the user's own pictures, or scenes that are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.frames import FrameSet
from export.build_inputs import PARITY_IMAGES, held_out_frames
from export.pipeline.user_images import split_pictures


@dataclass(frozen=True)
class ImageSources:
    """Where the images of a build come from.

    A BuildPlan makes it. The float graph is compared on a few of the images, calibration chooses among them, and the
    accuracy target holds out others.

    Attributes:
        dataset: key in edge.datasets.LAYOUTS.
        data_dir: the dataset's folder; None where there is none, and scenes are drawn instead.
        pictures_path: a folder of the user's own pictures, which go before the dataset's; None without.
        height: rows of the network's input, and of a drawn scene.
        width: columns of the network's input, and of a drawn scene.
        accuracy_images: most held-out images.
    """

    dataset: str
    data_dir: Path | None
    pictures_path: Path | None
    height: int
    width: int
    accuracy_images: int

    @property
    def are_real(self) -> bool:
        """Whether images are here that were not drawn."""
        return self.data_dir is not None or self.pictures_path is not None

    def few(self) -> FrameSet:
        """Return the few frames that show that a network runs."""
        return held_out_frames(self.dataset, self.data_dir, self.height, self.width, PARITY_IMAGES)

    def held_out(self) -> FrameSet:
        """Return the frames that accuracy is measured on."""
        if self.pictures_path is not None:
            return split_pictures(self.pictures_path, self.accuracy_images)[1]
        return held_out_frames(self.dataset, self.data_dir, self.height, self.width, self.accuracy_images)

    def calibrating_pictures(self) -> FrameSet | None:
        """Return the user's pictures that are not held out; None where the user named no folder."""
        if self.pictures_path is None:
            return None
        return split_pictures(self.pictures_path, self.accuracy_images)[0]
