from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.errors import InputError
from edge.preprocess import FramePreparer, prepare_rgb, to_nv12


def naive_resize(frame, height, width):
    """Half-pixel bilinear in float64, edges repeated, no antialiasing."""

    def axis(size, target):
        place = np.clip((np.arange(target) + 0.5) * size / target - 0.5, 0, size - 1)
        low = np.floor(place).astype(int)
        return low, np.minimum(low + 1, size - 1), place - low

    top, bottom, down = axis(frame.shape[0], height)
    left, right, across = axis(frame.shape[1], width)
    values = frame.astype(np.float64)
    rows = values[top] * (1 - down)[:, None, None] + values[bottom] * down[:, None, None]
    return rows[:, left] * (1 - across)[:, None] + rows[:, right] * across[:, None]


SIZES = [(16, 32), (20, 44), (40, 88), (33, 57), (7, 9), (20, 32), (1, 1)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_resize_is_half_pixel_bilinear_within_one_level(frame_rgb, size, order):
    frame = frame_rgb if order == "rgb" else np.ascontiguousarray(frame_rgb[..., ::-1])
    tensor = FramePreparer(*size, order)(frame)
    assert tensor.shape == (1, *size, 3)
    assert tensor.dtype == np.uint8
    assert tensor.flags.c_contiguous
    # OpenCV's fixed-point weights have 11 bits, so a value may round the other way.
    assert np.abs(tensor[0] - naive_resize(frame_rgb, *size)).max() <= 1.0


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_frame_of_the_networks_size_is_taken_exactly(frame_rgb, order):
    frame = frame_rgb if order == "rgb" else np.ascontiguousarray(frame_rgb[..., ::-1])
    np.testing.assert_array_equal(FramePreparer(20, 44, order)(frame)[0], frame_rgb)


@pytest.mark.parametrize("size", [(20, 44), (16, 32)])
def test_both_channel_orders_give_the_same_tensor(frame_rgb, size):
    bgr = np.ascontiguousarray(frame_rgb[..., ::-1])
    np.testing.assert_array_equal(FramePreparer(*size, "bgr")(bgr), FramePreparer(*size, "rgb")(frame_rgb))


@pytest.mark.parametrize("size", [(20, 44), (16, 32)])
@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_frame_is_left_as_it_was_and_the_buffer_is_used_again(frame_rgb, size, order):
    prepare, before = FramePreparer(*size, order), frame_rgb.copy()
    first = prepare(frame_rgb)
    kept = first.copy()
    np.testing.assert_array_equal(frame_rgb, before)
    second = prepare(np.ascontiguousarray(frame_rgb[::-1]))
    assert second is first
    assert (second != kept).any()


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize("size", [(20, 44), (10, 22), (16, 32)])
def test_views_of_a_larger_frame_are_taken(frame_rgb, size, order):
    large = np.repeat(np.repeat(frame_rgb, 2, 0), 2, 1)
    for view in (large[::2, ::2], large[::-1], large[:, ::-1], large[..., ::-1], large[3:23, 5:49]):
        expected = FramePreparer(*size, order)(np.ascontiguousarray(view)).copy()
        np.testing.assert_array_equal(FramePreparer(*size, order)(view), expected)


def test_frames_of_several_sizes_follow_one_another(frame_rgb):
    prepare = FramePreparer(16, 32, "rgb")
    for frame in (frame_rgb, frame_rgb[:16, :32], frame_rgb[:7, :9], frame_rgb):
        np.testing.assert_array_equal(prepare(frame), prepare_rgb(frame, 16, 32))


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 0, 3), np.uint8),
    ],
)
def test_other_frames_are_refused_with_what_came(frame):
    with pytest.raises(InputError, match=r"frame is \(.*\) (uint8|float32), expected \(height, width, 3\) uint8"):
        FramePreparer(16, 32)(frame)


def test_unknown_channel_order_is_refused():
    with pytest.raises(InputError, match="colour order is 'yuv', expected one of: rgb, bgr"):
        FramePreparer(16, 32, "yuv")


def test_nv12_frame_converts_back_to_what_it_was():
    # Colours of fields of 2x2 pixels survive the halved chroma, but for its rounding and that of the conversion.
    fields = np.random.default_rng(4).integers(0, 256, (5, 7, 3), np.uint8)
    frame_bgr = fields.repeat(2, axis=0).repeat(2, axis=1)
    nv12 = to_nv12(frame_bgr)
    assert nv12.shape == (15, 14) and nv12.dtype == np.uint8
    back = cv2.cvtColor(nv12, cv2.COLOR_YUV2BGR_NV12)
    assert np.abs(back.astype(int) - frame_bgr).max() <= 4
    with pytest.raises(InputError, match="even sides"):
        to_nv12(frame_bgr[1:])
