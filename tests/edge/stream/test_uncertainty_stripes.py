from __future__ import annotations

import numpy as np
import pytest

from edge.contract import UNCERTAINTY, OutputTensor
from edge.errors import InputError
from edge.labels import CITYSCAPES
from edge.stream import overlay, text_overlay
from edge.stream import painter as painter_module
from edge.stream import uncertainty as uncertainty_module
from edge.stream.overlay import overlay_rgb
from edge.stream.uncertainty_stripes import STRIPE_SHARE, UncertaintyStripesPainter

NAMES = ("road", "sky", "car")
PALETTE_RGB = np.array([(128, 64, 128), (70, 130, 180), (0, 0, 142)], np.uint8)
ENTROPY = OutputTensor("entropy", 1, UNCERTAINTY, "nats", 2.0)
SIZE = (240, 320)
ROUNDING = 3
"""Shares are bytes, and a pixel is rounded when it is multiplied by one: three times, half a level each, and twice
half a step of a share."""


def _scene(size=SIZE):
    frame_rgb = np.random.default_rng(5).integers(60, 200, (*size, 3), np.uint8)
    labels = np.zeros(size, np.uint8)
    labels[: size[0] // 2] = 1
    return frame_rgb, labels


def _paint(frame_rgb, labels, level, alpha=0.55, legend=False):
    """Paint a frame that is equally unsure everywhere."""
    painter = UncertaintyStripesPainter(NAMES, PALETTE_RGB, ENTROPY, alpha=alpha, legend=legend, color_order="rgb")
    return painter.paint(frame_rgb, labels, (), np.full((4, 8), 2.0 * level, np.float32))


def _stripes(frame_rgb, labels):
    """Masks of the white and of the black stripes, where a picture is as unsure as can be."""
    # With labels and frame of one mid grey, only stripes are lighter or darker.
    picture = _paint(np.full_like(frame_rgb, 128), np.full_like(labels, 0), 1.0, alpha=0.0)[..., 0]
    return picture > 200, picture < 60


def test_sure_labels_look_as_they_do_alone():
    frame_rgb, labels = _scene()
    expected = overlay_rgb(frame_rgb, labels, NAMES, PALETTE_RGB, legend=False)
    assert np.abs(_paint(frame_rgb, labels, 0.0).astype(int) - expected).max() <= ROUNDING


@pytest.mark.parametrize("alpha", [0.55, 1.0])
def test_frame_comes_through_between_the_stripes_where_the_network_does_not_know(alpha):
    frame_rgb, labels = _scene()
    white, black = _stripes(frame_rgb, labels)
    free = ~(white | black)
    assert free.mean() == pytest.approx(2 / 3, abs=0.02)
    difference = np.abs(_paint(frame_rgb, labels, 1.0, alpha).astype(int) - frame_rgb)
    assert difference[free].max() <= ROUNDING


def test_label_colour_is_withdrawn_in_proportion():
    frame_rgb, labels = _scene()
    white, black = _stripes(frame_rgb, labels)
    free = ~(white | black)
    for level in (0.25, 0.5, 0.75):
        share = 0.55 * (1 - level)
        expected = (1 - share) * frame_rgb + share * PALETTE_RGB[labels]
        assert np.abs(_paint(frame_rgb, labels, level) - expected)[free].max() <= ROUNDING


def test_stripes_grow_with_the_square_of_the_uncertainty():
    frame_rgb, labels = _scene()
    white, black = _stripes(frame_rgb, labels)
    assert 0.1 < white.mean() < 0.25 and 0.1 < black.mean() < 0.25
    for level in (0.3, 0.6, 1.0):
        share, stripe = 0.55 * (1 - level), STRIPE_SHARE * level**2
        below = (1 - share) * frame_rgb + share * PALETTE_RGB[labels]
        picture = _paint(frame_rgb, labels, level)
        assert np.abs(picture - ((1 - stripe) * below + stripe * 255))[white].max() <= ROUNDING
        assert np.abs(picture - (1 - stripe) * below)[black].max() <= ROUNDING


def test_stripes_are_where_the_network_is_unsure_alone():
    frame_rgb, labels = _scene()
    uncertainty = np.zeros(SIZE, np.float32)
    uncertainty[100:140, 100:180] = 2.0
    painter = UncertaintyStripesPainter(NAMES, PALETTE_RGB, ENTROPY, legend=False, color_order="rgb")
    picture = painter.paint(frame_rgb, labels, (), uncertainty).astype(int)
    changed = np.abs(picture - overlay_rgb(frame_rgb, labels, NAMES, PALETTE_RGB, legend=False)).max(axis=2) > ROUNDING
    rows, columns = np.nonzero(changed)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (100, 139, 100, 179)
    assert changed[100:140, 100:180].mean() > 0.9


def test_bgr_painter_gives_the_same_picture_as_rgb():
    frame_rgb, labels = _scene()
    uncertainty = np.linspace(0, 2, 32, dtype=np.float32).reshape(4, 8)
    in_rgb = UncertaintyStripesPainter(NAMES, PALETTE_RGB, ENTROPY, color_order="rgb").paint(
        frame_rgb, labels, ["a"], uncertainty
    )
    in_bgr = UncertaintyStripesPainter(NAMES, PALETTE_RGB, ENTROPY).paint(
        frame_rgb[..., ::-1].copy(), labels, ["a"], uncertainty
    )
    assert np.array_equal(in_bgr[..., ::-1], in_rgb)


def test_bar_shows_the_fading_colour_and_the_stripes_in_the_lower_left_corner():
    size = (480, 640)
    frame_rgb, labels = np.full((*size, 3), 128, np.uint8), np.zeros(size, np.uint8)
    plain, picture = (_paint(frame_rgb, labels, 0.0, 1.0, legend) for legend in (False, True))
    rows, columns = np.nonzero((plain != picture).any(axis=2) & (np.arange(size[1]) < size[1] // 2))
    assert rows.min() > 440 and columns.max() < 300
    bar = picture[rows.min() :, : columns.max() + 1]
    assert (bar == PALETTE_RGB[0]).all(axis=2).any(), "a sure label's colour"
    grey = (bar.max(axis=2).astype(int) - bar.min(axis=2) <= 4) & (np.abs(bar[..., 0].astype(int) - 110) <= 4)
    assert grey.any(), "the frame, where nothing is known"


@pytest.fixture
def backings(monkeypatch):
    """Return the list of the rectangles that texts have been given as backing: top, left, bottom, right."""
    rectangles = []

    def note(picture, top, left, height, width):
        rectangles.append((top, left, top + height, left + width))
        text_overlay.darken(picture, top, left, height, width)

    for module in (painter_module, overlay, uncertainty_module):
        monkeypatch.setattr(module, "darken", note)
    return rectangles


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (500, 3), (40, 40), (64, 200), (90, 320), (360, 480), (1080, 1920)])
@pytest.mark.parametrize("name", ["{}", "{}, and whatever else is like it"])
def test_every_size_can_be_painted_and_caption_bar_and_list_do_not_meet(backings, size, name):
    names = [name.format(short) for short in CITYSCAPES.class_names]
    labels = np.arange(size[0] * size[1]).reshape(size).astype(np.uint8) % 19
    painter = UncertaintyStripesPainter(names, CITYSCAPES.palette_rgb(), ENTROPY)
    picture = painter.paint(np.zeros((*size, 3), np.uint8), labels, ["two", "lines"], np.zeros((4, 8), np.float32))
    assert picture.shape == (*size, 3)
    assert len(backings) == 3 or min(size) < 100  # small frames have no room for all
    for index, (top, left, bottom, right) in enumerate(backings):
        for other_top, other_left, other_bottom, other_right in backings[index + 1 :]:
            rows, columns = (
                min(bottom, other_bottom) - max(top, other_top),
                min(right, other_right) - max(left, other_left),
            )
            assert rows <= 0 or columns <= 0


def test_painter_follows_a_change_of_size():
    painter = UncertaintyStripesPainter(NAMES, PALETTE_RGB, ENTROPY)
    for size in ((20, 30), (40, 20), (20, 30)):
        picture = painter.paint(
            np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8), (), np.ones((4, 8), np.float32)
        )
        assert picture.shape == (*size, 3)


def test_frame_without_uncertainty_is_refused():
    frame_rgb, labels = _scene()
    with pytest.raises(InputError, match="frame came without the output 'entropy'"):
        UncertaintyStripesPainter(NAMES, PALETTE_RGB, ENTROPY).paint(frame_rgb, labels)
