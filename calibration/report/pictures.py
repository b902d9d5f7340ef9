"""The worst images of an INT8 report: float labels, INT8 labels, and where they differ, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import numpy as np

from calibration.report.text import percent
from edge.errors import InputError
from edge.opencv import cv2
from edge.page.elements import legend, paragraph
from edge.page.markup import Html, element, joined
from edge.page.pictures import picture_figure, picture_grid, shrunk
from edge.stream.overlay import overlay_rgb

SHOWN_WIDTH = 640
"""Columns of a picture in the page."""

LOST, GAINED, OTHER, CHANGED = (230, 30, 60), (0, 170, 230), (255, 200, 0), (230, 0, 150)
"""RGB of pixels that are right in float alone, in INT8 alone, of any other change, and of a change without a truth."""

_STRENGTH = 3.0
"""Colour per share of changed pixels: a line one pixel thin, three times smaller, still has its whole colour."""


@dataclass(frozen=True, eq=False)
class WorstPicture:
    """An image on which INT8 and float agree least, with the labels of both.

    Attributes:
        name: name of the image.
        frame_rgb: image as (height, width, 3) uint8 RGB.
        float_labels: labels of the float network, (height, width) uint8.
        int8_labels: labels of the INT8 network, (height, width) uint8.
        truth: true train ids, (height, width) uint8, IGNORE_ID where a pixel is not counted; None if they are not
            known.
        class_names: name of each class, in the order of the labels.
        palette_rgb: colour of each class, (n, 3) uint8 RGB, with n at least the number of classes.

    Raises:
        InputError: a label map is not uint8, or not of the frame's size.
    """

    name: str
    frame_rgb: np.ndarray
    float_labels: np.ndarray
    int8_labels: np.ndarray
    truth: np.ndarray | None
    class_names: tuple[str, ...]
    palette_rgb: np.ndarray

    def __post_init__(self) -> None:
        size = self.frame_rgb.shape[:2]
        for what, labels in (("float", self.float_labels), ("INT8", self.int8_labels), ("true", self.truth)):
            if labels is not None and (labels.shape != size or labels.dtype != np.uint8):
                raise InputError(
                    f"{what} labels of {self.name} are {labels.shape} {labels.dtype}, expected {size} uint8"
                )


@dataclass(frozen=True, eq=False)
class Changes:
    """The pixels at which two label maps differ; each map is (height, width) bool, and no pixel is in two of them.

    Attributes:
        lost: pixels that are right in float and wrong in INT8.
        gained: pixels that are wrong in float and right in INT8.
        other: pixels that are wrong in both, not counted, or without a truth.
    """

    lost: np.ndarray
    gained: np.ndarray
    other: np.ndarray


def changes_of(picture: WorstPicture) -> Changes:
    """Return the changed pixels, divided by whether the true labels agree with float or INT8."""
    changed = picture.float_labels != picture.int8_labels
    if picture.truth is None:
        nothing = np.zeros_like(changed)
        return Changes(nothing, nothing, changed)
    # No network gives IGNORE_ID as a label, so a pixel that counts for nothing is never right.
    lost = changed & (picture.float_labels == picture.truth)
    gained = changed & (picture.int8_labels == picture.truth)
    return Changes(lost, gained, changed & ~lost & ~gained)


def difference_rgb(picture: WorstPicture, width: int = SHOWN_WIDTH) -> np.ndarray:
    """Paint the changed pixels over a grey version of the frame.

    Args:
        picture: image with the labels of both networks.
        width: largest number of columns of the result; a wider frame is made smaller, and thin changes stay visible.

    Returns:
        The painted frame, (height, width, 3) uint8 RGB.
    """
    grey = shrunk(cv2.cvtColor(picture.frame_rgb, cv2.COLOR_RGB2GRAY), width)
    # Half as strong, so that even a bright frame is darker than the colours of a change.
    painted = np.repeat((40 + 0.5 * grey.astype(np.float32))[:, :, None], 3, axis=2)
    changes = changes_of(picture)
    other = CHANGED if picture.truth is None else OTHER
    for mask, color in ((changes.other, other), (changes.gained, GAINED), (changes.lost, LOST)):
        cover = np.minimum(_STRENGTH * shrunk(mask.astype(np.float32), width), 1.0)[:, :, None]
        painted = painted * (1 - cover) + cover * np.asarray(color, np.float32)
    return np.round(painted).astype(np.uint8)


def picture_parts(pictures: Sequence[WorstPicture]) -> list[Html]:
    """Return a legend of the colours and then the pictures, a row each; an empty list without pictures."""
    return [*_legends(pictures), *map(_row, pictures)] if pictures else []


def _row(picture: WorstPicture) -> Html:
    shown = (
        ("float", _overlay_rgb(picture, picture.float_labels)),
        ("INT8", _overlay_rgb(picture, picture.int8_labels)),
        ("difference", difference_rgb(picture)),
    )
    figures = [picture_figure(picture_rgb, f"{picture.name}, {what}", what) for what, picture_rgb in shown]
    return joined(element("h3", picture.name), paragraph(_figures_of(picture)), picture_grid(figures, 3))


def _figures_of(picture: WorstPicture) -> str:
    agreement = float(np.mean(picture.float_labels == picture.int8_labels))
    text = f"{percent(agreement)} label agreement"
    if picture.truth is None:
        return text
    changes = changes_of(picture)
    lost, gained, other = (percent(float(np.mean(mask))) for mask in (changes.lost, changes.gained, changes.other))
    return f"{text}; of all pixels {lost} changed from right to wrong, {gained} from wrong to right, {other} otherwise"


def _legends(pictures: Sequence[WorstPicture]) -> list[Html]:
    colors: dict[str, str] = {}
    for picture in pictures:
        in_sight = np.union1d(picture.float_labels, picture.int8_labels)
        for index, name in enumerate(picture.class_names):
            if index in in_sight:
                colors[name] = _css_color(picture.palette_rgb[index])
    meanings = []
    if any(picture.truth is not None for picture in pictures):
        meanings += [(_css_color(LOST), "right in float, wrong in INT8")]
        meanings += [(_css_color(GAINED), "wrong in float, right in INT8")]
        meanings += [(_css_color(OTHER), "changed, wrong in both or not counted")]
    if any(picture.truth is None for picture in pictures):
        meanings.append((_css_color(CHANGED), "label changed"))
    return [legend([(color, name) for name, color in colors.items()], "labels"), legend(meanings, "difference")]


def _css_color(color_rgb: Sequence[int]) -> str:
    red, green, blue = map(int, color_rgb)
    return f"rgb({red},{green},{blue})"


def _overlay_rgb(picture: WorstPicture, labels: np.ndarray) -> np.ndarray:
    painted = overlay_rgb(picture.frame_rgb, labels, picture.class_names, picture.palette_rgb, legend=False)
    return shrunk(painted, SHOWN_WIDTH)
