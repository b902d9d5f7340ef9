from __future__ import annotations

import numpy as np
import pytest

from edge.errors import InputError
from edge.labels import CAMVID, CITYSCAPES, distinct_palette, palette_for
from edge.stream.overlay import MAX_LEGEND_SHARE, OverlayPainter, overlay_rgb
from edge.stream.side_by_side import SideBySidePainter
from edge.stream.text_overlay import TextStyle

NAMES = ("road", "sky", "car")
PALETTE_RGB = np.array([(128, 64, 128), (70, 130, 180), (0, 0, 142)], np.uint8)


def _scene(height=240, width=320):
    frame_rgb = np.random.default_rng(5).integers(0, 256, (height, width, 3), np.uint8)
    labels = np.zeros((height, width), np.uint8)
    labels[: height // 2] = 1
    return frame_rgb, labels


def test_every_pixel_is_the_blend_of_frame_and_label_colour():
    frame_rgb, labels = _scene()
    blended = overlay_rgb(frame_rgb, labels, NAMES, PALETTE_RGB, alpha=0.55, legend=False)
    expected = 0.45 * frame_rgb + 0.55 * PALETTE_RGB[labels]
    assert blended.dtype == np.uint8 and blended.shape == frame_rgb.shape
    assert np.abs(blended - expected).max() <= 0.51


def test_alpha_0_is_the_frame_and_alpha_1_the_labels():
    frame_rgb, labels = _scene()
    assert np.array_equal(overlay_rgb(frame_rgb, labels, NAMES, PALETTE_RGB, 0.0, legend=False), frame_rgb)
    assert np.array_equal(overlay_rgb(frame_rgb, labels, NAMES, PALETTE_RGB, 1.0, legend=False), PALETTE_RGB[labels])


def test_frame_and_labels_are_left_as_they_were():
    frame_rgb, labels = _scene()
    kept = frame_rgb.copy(), labels.copy()
    overlay_rgb(frame_rgb, labels, NAMES, PALETTE_RGB, caption="12 fps")
    assert np.array_equal(frame_rgb, kept[0]) and np.array_equal(labels, kept[1])


def test_uncertainty_changes_nothing_where_labels_alone_are_shown():
    frame_rgb, labels = _scene()
    painter = OverlayPainter(NAMES, PALETTE_RGB, color_order="rgb")
    picture = painter.paint(frame_rgb, labels, (), np.ones((4, 8), np.float32))
    assert np.array_equal(picture, overlay_rgb(frame_rgb, labels, NAMES, PALETTE_RGB))


def test_picture_that_a_device_blended_gets_caption_and_legend_alone():
    frame_rgb, labels = _scene()
    frame_bgr = np.ascontiguousarray(frame_rgb[..., ::-1])
    painter = OverlayPainter(NAMES, PALETTE_RGB, 0.4)
    expected = painter.paint(frame_bgr, labels, ["12 fps"]).copy()
    blended = OverlayPainter(NAMES, PALETTE_RGB, 0.4, legend=False).paint(frame_bgr, labels).copy()
    assert painter.blend.alpha == 0.4
    assert np.array_equal(painter.blend.palette_rgb[:3], PALETTE_RGB)
    picture = painter.paint(frame_bgr, labels, ["12 fps"], blended=blended)
    assert picture is blended
    assert np.array_equal(picture, expected)
    with pytest.raises(InputError, match="does not go with a frame"):
        painter.paint(frame_bgr, labels, blended=blended[:-1])


def test_bgr_painter_gives_the_same_picture_as_rgb():
    frame_rgb, labels = _scene()
    picture_rgb = overlay_rgb(frame_rgb, labels, NAMES, PALETTE_RGB, caption="12 fps")
    picture_bgr = OverlayPainter(NAMES, PALETTE_RGB).paint(frame_rgb[..., ::-1].copy(), labels, ["12 fps"])
    assert np.array_equal(picture_bgr[..., ::-1], picture_rgb)


def test_legend_shows_the_colours_of_the_classes_in_sight_alone():
    frame_rgb, labels = np.full((240, 320, 3), 100, np.uint8), np.zeros((240, 320), np.uint8)
    labels[:120] = 1
    plain = overlay_rgb(frame_rgb, labels, NAMES, PALETTE_RGB, legend=False)
    picture = overlay_rgb(frame_rgb, labels, NAMES, PALETTE_RGB, legend=True)
    changed = (plain != picture).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert rows.max() < 120 and columns.min() > 160, "the legend is in the upper right corner"
    counts = [(picture == color).all(axis=2).sum() for color in PALETTE_RGB]
    assert counts[0] > 20 and counts[1] > 20
    assert counts[2] == 0


def test_class_of_almost_no_pixel_is_not_listed():
    frame_rgb, labels = np.full((240, 320, 3), 100, np.uint8), np.zeros((240, 320), np.uint8)
    without = overlay_rgb(frame_rgb, labels, NAMES, PALETTE_RGB)
    labels[239, :5] = 2
    assert np.array_equal(overlay_rgb(frame_rgb, labels, NAMES, PALETTE_RGB)[:200], without[:200])


def test_legend_does_not_move_when_classes_come_and_go():
    frame_rgb, labels = np.full((240, 320, 3), 100, np.uint8), np.zeros((240, 320), np.uint8)
    plain = overlay_rgb(frame_rgb, labels, NAMES, PALETTE_RGB, legend=False)
    few = overlay_rgb(frame_rgb, labels, NAMES, PALETTE_RGB)
    labels[200:] = 2
    many = overlay_rgb(frame_rgb, labels, NAMES, PALETTE_RGB)
    left_edges = [np.nonzero((picture != plain)[:100].any(axis=2))[1].min() for picture in (few, many)]
    assert left_edges[0] == left_edges[1]


def test_caption_is_white_on_dark_in_the_upper_left_corner():
    frame_rgb, labels = np.full((240, 320, 3), 255, np.uint8), np.zeros((240, 320), np.uint8)
    picture = overlay_rgb(frame_rgb, labels, NAMES, PALETTE_RGB, 0.0, legend=False, caption="24.0 fps")
    rows, columns = np.nonzero((picture != 255).any(axis=2))
    assert rows.min() == 0 and rows.max() < 40 and columns.min() == 0 and columns.max() < 160
    block = picture[: rows.max() + 1, : columns.max() + 1]
    assert np.median(block) < 100
    assert (block > 200).any()


def test_label_beyond_the_classes_is_black():
    frame_rgb, labels = np.full((20, 30, 3), 200, np.uint8), np.full((20, 30), 255, np.uint8)
    assert (overlay_rgb(frame_rgb, labels, NAMES, PALETTE_RGB, 0.5, legend=False) == 100).all()


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (500, 3), (40, 40), (360, 480), (1080, 1920)])
def test_every_size_can_be_painted(size):
    frame_rgb = np.zeros((*size, 3), np.uint8)
    labels = np.arange(size[0] * size[1]).reshape(size).astype(np.uint8) % 19
    caption = "a caption that is rather long\nin two lines"
    picture = overlay_rgb(frame_rgb, labels, CITYSCAPES.class_names, CITYSCAPES.palette_rgb(), caption=caption)
    assert picture.shape == frame_rgb.shape


def test_legend_of_many_classes_stays_inside_a_small_frame():
    labels = np.arange(90 * 320).reshape(90, 320).astype(np.uint8) % 19
    frame_rgb = np.zeros((90, 320, 3), np.uint8)
    args = frame_rgb, labels, CITYSCAPES.class_names, CITYSCAPES.palette_rgb()
    assert not np.array_equal(overlay_rgb(*args), overlay_rgb(*args, legend=False))


def test_painter_follows_a_change_of_size():
    painter = OverlayPainter(NAMES, PALETTE_RGB)
    for size in ((20, 30), (40, 20), (20, 30)):
        assert painter.paint(np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8)).shape == (*size, 3)


def test_wrong_arguments_are_refused():
    frame_rgb, labels = _scene()
    with pytest.raises(InputError, match=r"labels are \(240, 319\)"):
        overlay_rgb(frame_rgb, labels[:, 1:], NAMES, PALETTE_RGB)
    with pytest.raises(InputError, match="frame is"):
        overlay_rgb(frame_rgb[..., 0], labels, NAMES, PALETTE_RGB)
    with pytest.raises(InputError, match=r"alpha is 1\.5"):
        overlay_rgb(frame_rgb, labels, NAMES, PALETTE_RGB, alpha=1.5)
    with pytest.raises(InputError, match="palette has shape"):
        overlay_rgb(frame_rgb, labels, NAMES, PALETTE_RGB[:2])


def test_palette_is_that_of_known_classes_or_made_up():
    assert tuple(palette_for(CITYSCAPES.class_names)[0]) == (128, 64, 128), "road is purple, as everywhere"
    assert np.array_equal(palette_for(CAMVID.class_names)[3], palette_for(CITYSCAPES.class_names)[0])
    made_up = palette_for(("rail", "sleeper"))
    assert np.array_equal(made_up, distinct_palette(2))


def test_made_up_colours_are_distinct():
    colors = distinct_palette(19)[:19].astype(int)
    distances = np.abs(colors[:, None] - colors[None]).sum(axis=2) + 1000 * np.eye(19, dtype=int)
    assert distances.min() > 60
    assert not distinct_palette(19)[19:].any()


@pytest.mark.parametrize("size", [(180, 240), (240, 320), (360, 640), (512, 1024), (2160, 3840)])
@pytest.mark.parametrize("class_count", [3, 19])
def test_legend_covers_a_small_part_of_any_picture(size, class_count):
    names = CITYSCAPES.class_names[:class_count]
    frame_rgb = np.full((*size, 3), 200, np.uint8)
    labels = (np.arange(size[1])[None] * class_count // size[1] * np.ones((size[0], 1), int)).astype(np.uint8)
    args = frame_rgb, labels, names, palette_for(names)
    changed = (overlay_rgb(*args, legend=False) != overlay_rgb(*args)).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert len(rows), "there is one"
    assert (np.ptp(rows) + 1) * (np.ptp(columns) + 1) <= (MAX_LEGEND_SHARE + 0.01) * size[0] * size[1]


def test_classes_that_do_not_fit_are_counted():
    labels = (np.arange(320)[None] * 19 // 320 * np.ones((240, 1), int)).astype(np.uint8)
    written = []
    painter = OverlayPainter(CITYSCAPES.class_names, palette_for(CITYSCAPES.class_names))
    write = TextStyle.write
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            TextStyle,
            "write",
            lambda style, picture, text, *at: (written.append(text), write(style, picture, text, *at)),
        )
        painter.paint(np.zeros((240, 320, 3), np.uint8), labels)
    named = [text for text in written if text in CITYSCAPES.class_names]
    assert written[-1] == f"+ {19 - len(named)} more" and 3 <= len(named) < 19
    assert not painter.legend_left_out


@pytest.mark.parametrize(
    ("height", "width", "shares"), [(240, 320, ["92 %", "8 %", "<1 %"]), (720, 1280, ["92 %", "8.0 %", "0.3 %"])]
)
def test_shares_have_a_decimal_only_where_its_point_can_be_seen(monkeypatch, height, width, shares):
    labels = np.zeros((height, width), np.uint8)
    labels.reshape(-1)[: 80 * labels.size // 1000] = 1
    labels.reshape(-1)[-3 * labels.size // 1000 :] = 2
    written = []
    monkeypatch.setattr(TextStyle, "write", lambda style, picture, text, *at: written.append(text))
    OverlayPainter(CITYSCAPES.class_names, palette_for(CITYSCAPES.class_names)).paint(
        np.zeros((height, width, 3), np.uint8), labels
    )
    assert [text for text in written if "%" in text] == shares


def test_picture_that_is_too_small_for_a_legend_says_so():
    painter = OverlayPainter(CITYSCAPES.class_names, palette_for(CITYSCAPES.class_names))
    painter.paint(np.zeros((40, 60, 3), np.uint8), np.zeros((40, 60), np.uint8))
    assert painter.legend_left_out


def test_side_by_side_is_the_frame_and_its_overlay():
    frame_rgb, labels = _scene()
    overlay = OverlayPainter(NAMES, PALETTE_RGB, color_order="rgb")
    expected = overlay.paint(frame_rgb, labels, ["12 fps"]).copy()
    painter = SideBySidePainter(OverlayPainter(NAMES, PALETTE_RGB, color_order="rgb"))
    picture = painter.paint(frame_rgb, labels, ["12 fps"])
    assert picture.shape == (240, 640, 3)
    assert np.array_equal(picture[:, :320], frame_rgb) and np.array_equal(picture[:, 320:], expected)
    assert painter.blend.alpha == 0.55
    blended = OverlayPainter(NAMES, PALETTE_RGB, legend=False, color_order="rgb").paint(frame_rgb, labels).copy()
    assert np.array_equal(painter.paint(frame_rgb, labels, ["12 fps"], blended=blended), picture)
