from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.contract import UNCERTAINTY, OutputTensor
from edge.errors import InputError
from edge.stream.heatmap import COLOR_MAP, HeatMapPainter

ENTROPY = OutputTensor("entropy", 1, UNCERTAINTY, "nats", 2.0)
SIZE = (240, 480)
LABELS = np.zeros(SIZE, np.uint8)
TABLE_BGR = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], COLOR_MAP)[:, 0].astype(float)


def _frame(size=SIZE):
    return np.random.default_rng(5).integers(0, 256, (*size, 3), np.uint8)


def _ramp(size=SIZE):
    """Uncertainty from 0 on the left to the maximum on the right."""
    return np.linspace(0.0, 2.0, size[1], dtype=np.float32)[None].repeat(size[0], axis=0)


def test_every_pixel_is_the_blend_of_the_grey_frame_and_the_colour_of_its_level():
    frame_bgr = _frame()
    picture = HeatMapPainter(ENTROPY, alpha=0.6, legend=False).paint(frame_bgr, LABELS, (), _ramp())
    grey = cv2.cvtColor(frame_bgr, cv2.COLOR_BGR2GRAY)[..., None].astype(float)
    colors = TABLE_BGR[np.rint(_ramp() / 2.0 * 255).astype(int)]
    # The blend is rounded once; a level half-way between two colours may fall to either.
    assert np.abs(picture - (0.4 * grey + 0.6 * colors)).max() < 0.51 + 0.6 * np.abs(np.diff(TABLE_BGR, axis=0)).max()
    assert picture.dtype == np.uint8 and picture.shape == frame_bgr.shape


def test_alpha_1_is_the_heat_map_alone_and_alpha_0_the_grey_frame():
    frame_bgr, unsure = _frame(), np.full((4, 8), 2.0, np.float32)
    heat = HeatMapPainter(ENTROPY, alpha=1.0, legend=False).paint(frame_bgr, LABELS, (), unsure)
    assert (heat == TABLE_BGR[255]).all()
    grey = HeatMapPainter(ENTROPY, alpha=0.0, legend=False).paint(frame_bgr, LABELS, (), unsure)
    assert np.array_equal(grey[..., 1], cv2.cvtColor(frame_bgr, cv2.COLOR_BGR2GRAY))
    assert (grey == grey[..., :1]).all()


def test_more_uncertainty_is_always_lighter():
    lightness = cv2.cvtColor(TABLE_BGR.astype(np.uint8)[None], cv2.COLOR_BGR2LAB)[0, :, 0].astype(int)
    assert (np.diff(lightness) >= 0).all()
    assert lightness[0] < 10 and lightness[-1] > 240


def test_rgb_painter_gives_the_same_picture_as_bgr():
    frame_bgr = _frame()
    in_bgr = HeatMapPainter(ENTROPY).paint(frame_bgr, LABELS, ["12 fps"], _ramp())
    in_rgb = HeatMapPainter(ENTROPY, color_order="rgb").paint(frame_bgr[..., ::-1].copy(), LABELS, ["12 fps"], _ramp())
    assert np.array_equal(in_rgb[..., ::-1], in_bgr)


def test_bar_in_the_lower_left_corner_has_the_colours_of_the_scale_in_their_order():
    frame_bgr = np.full((*SIZE, 3), 90, np.uint8)
    sure = np.zeros((4, 8), np.float32)
    plain = HeatMapPainter(ENTROPY, legend=False).paint(frame_bgr, LABELS, (), sure)
    picture = HeatMapPainter(ENTROPY).paint(frame_bgr, LABELS, (), sure)
    rows, columns = np.nonzero((plain != picture).any(axis=2))
    assert rows.min() > 200 and columns.max() < 320
    index_of = {tuple(color): index for index, color in enumerate(TABLE_BGR.astype(int))}
    found = [[index_of[color] for color in map(tuple, row) if color in index_of] for row in picture[200:].astype(int)]
    bar = max(found, key=len)
    assert len(bar) > 80
    assert sorted(bar) == bar
    assert bar[0] < 10 and bar[-1] > 245


def test_bar_tells_scales_and_units_apart():
    frame_bgr, sure = np.full((*SIZE, 3), 90, np.uint8), np.zeros((4, 8), np.float32)
    outputs = [ENTROPY, OutputTensor("e", 1, UNCERTAINTY, "nats", 3.0), OutputTensor("e", 1, UNCERTAINTY, "bits", 2.0)]
    pictures = [HeatMapPainter(output).paint(frame_bgr, LABELS, (), sure) for output in outputs]
    for index, picture in enumerate(pictures):
        assert not any(np.array_equal(picture, other) for other in pictures[index + 1 :])


def test_backing_of_the_bar_stands_still_while_the_scale_grows():
    painter = HeatMapPainter(OutputTensor("spread", 1, UNCERTAINTY), alpha=0.0)
    frame_bgr, widths = np.full((*SIZE, 3), 200, np.uint8), []
    for value in (0.0, 0.1, 0.1234, 12.0):
        picture = painter.paint(frame_bgr, LABELS, (), np.full((4, 8), value, np.float32))
        widths.append(np.nonzero((picture != 200).any(axis=2))[1].max())
    assert len(set(widths)) == 1


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (500, 3), (40, 40), (360, 480), (1080, 1920)])
def test_every_size_can_be_painted(size):
    painter = HeatMapPainter(ENTROPY)
    for _ in range(2):
        picture = painter.paint(_frame(size), np.zeros(size, np.uint8), ["a caption", "two lines"], _ramp((4, 8)))
        assert picture.shape == (*size, 3)


def test_frame_and_map_are_left_as_they_were():
    frame_bgr, uncertainty = _frame(), _ramp((4, 8))
    kept = frame_bgr.copy(), uncertainty.copy()
    HeatMapPainter(ENTROPY).paint(frame_bgr, LABELS, ["12 fps"], uncertainty)
    assert np.array_equal(frame_bgr, kept[0]) and np.array_equal(uncertainty, kept[1])


def test_frame_without_uncertainty_is_refused():
    with pytest.raises(InputError, match="frame came without the output 'entropy'"):
        HeatMapPainter(ENTROPY).paint(_frame(), LABELS)
