from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest

from edge.errors import InputError, StorageError
from edge.imaging import read_rgb, write_image
from edge.stream import encoders, sinks, video_file
from edge.stream.base import Frame
from edge.stream.file_sources import PictureSource, SequentialSource
from edge.stream.live import LiveSource
from edge.stream.sinks import FolderSink, PictureSink, WindowSink, open_sink
from edge.stream.video_file import VideoSink


@pytest.fixture(autouse=True)
def no_h264(monkeypatch):
    """Let OpenCV alone encode, as where no program ffmpeg is; test_encoders.py has the others."""
    monkeypatch.setattr(encoders, "find_h264_encoder", lambda *_: None)


def _frame(number=0, arrival_s=0.0, name=None):
    return Frame(np.zeros((2, 2, 3), np.uint8), number, int(arrival_s * 1e9), name or f"frame_{number:06d}")


def _picture_bgr(value=50, height=48, width=64):
    return np.full((height, width, 3), value, np.uint8)


def _decoded(path):
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        arrived, frame_bgr = capture.read()
        if not arrived:
            return frames
        frames.append(frame_bgr)


def _video_source(fps=None):
    source = SequentialSource("video drive.mp4", lambda: None)
    source.fps = fps
    return source


def test_picture_is_written_in_its_colours_and_no_more_is_wanted(tmp_path):
    picture_bgr = _picture_bgr()
    picture_bgr[..., 2] = 255
    sink = PictureSink(tmp_path / "out.png")
    assert sink.result is None
    assert sink.show(_frame(), picture_bgr) is False
    assert tuple(read_rgb(tmp_path / "out.png")[0, 0]) == (255, 50, 50)
    assert sink.result == str(tmp_path / "out.png")


def test_folder_takes_every_picture_under_the_name_of_its_frame(tmp_path):
    sink = FolderSink(tmp_path / "new" / "out")
    for name in ("a", "b"):
        assert sink.show(_frame(name=name), _picture_bgr())
    sink.close()
    assert sorted(path.name for path in (tmp_path / "new" / "out").iterdir()) == ["a.png", "b.png"]


@pytest.mark.parametrize("suffix", [".avi", ".mp4"])
def test_video_holds_every_picture_and_nothing_lies_beside_it(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    sink = VideoSink(path, fps=20.0)
    for number in range(10):
        assert sink.show(_frame(number), _picture_bgr(20 * number))
        assert not path.exists(), "the name is given when the video is whole"
    sink.close()
    sink.close()
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    assert sink.result == str(path)
    assert [int(frame.mean()) for frame in _decoded(path)] == pytest.approx([20 * n for n in range(10)], abs=4)


def test_video_without_a_picture_is_no_file(tmp_path):
    sink = VideoSink(tmp_path / "out.mp4", fps=20.0)
    sink.close()
    assert sink.result is None and not list(tmp_path.iterdir())


def test_video_of_a_live_source_runs_as_fast_as_the_scene(tmp_path):
    sink = VideoSink(tmp_path / "out.avi", fps=10.0, by_clock=True)
    for number, arrival_s in enumerate((5.0, 5.11, 5.15, 5.52, 6.01)):
        sink.show(_frame(number, arrival_s), _picture_bgr(40 * number))
    sink.close()
    shown = [round(float(frame.mean()) / 40) for frame in _decoded(tmp_path / "out.avi")]
    assert len(shown) == 11, "one second and the first frame, at 10 a second"
    assert shown == [0, 1, 3, 3, 3, 3, 4, 4, 4, 4, 4]


def test_pictures_of_other_sizes_are_fitted_into_the_first(tmp_path):
    sink = VideoSink(tmp_path / "out.avi", fps=10.0)
    for height, width in ((48, 64), (49, 65), (48, 16)):
        sink.show(_frame(), _picture_bgr(200, height, width))
    sink.close()
    frames = _decoded(tmp_path / "out.avi")
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 3
    assert frames[2][:, :16].mean() < 10 and frames[2][:, 28:36].mean() > 180


def test_odd_sides_lose_a_row_and_a_column(tmp_path):
    sink = VideoSink(tmp_path / "out.avi", fps=10.0)
    sink.show(_frame(), _picture_bgr(200, 49, 65))
    sink.close()
    assert _decoded(tmp_path / "out.avi")[0].shape == (48, 64, 3)


def test_mp4_without_an_encoder_becomes_an_avi(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(video_file.CODECS, ".mp4", "????")
    sink = VideoSink(tmp_path / "out.mp4", fps=10.0)
    sink.show(_frame(), _picture_bgr())
    sink.close()
    assert [path.name for path in tmp_path.iterdir()] == ["out.avi"]
    assert sink.result == str(tmp_path / "out.avi")
    assert "out.avi" in capsys.readouterr().err


def test_no_encoder_at_all_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    class NoWriter:
        def __init__(self, *arguments):
            pass

        def isOpened(self):  # noqa: N802  OpenCV's name
            return False

    monkeypatch.setattr(encoders.cv2, "VideoWriter", NoWriter)
    sink = VideoSink(tmp_path / "out.mp4", fps=10.0)
    with pytest.raises(StorageError, match=r"encodes neither mp4v nor MJPG at 64x48.*name a folder"):
        sink.show(_frame(), _picture_bgr())
    sink.close()
    assert not list(tmp_path.iterdir())


def test_video_that_cannot_be_finished_is_an_error_and_leaves_the_older_one(tmp_path, monkeypatch):
    path = tmp_path / "out.avi"
    path.write_bytes(b"an older video")
    monkeypatch.setattr(video_file, "_is_whole", lambda *_: False)
    sink = VideoSink(path, fps=10.0)
    sink.show(_frame(), _picture_bgr())
    with pytest.raises(StorageError, match=r"out\.avi: the video of 1 frames could not be finished"):
        sink.close()
    assert [found.name for found in tmp_path.iterdir()] == ["out.avi"]
    assert path.read_bytes() == b"an older video"
    assert sink.result is None


def test_half_a_video_is_not_taken_for_whole(tmp_path):
    path = tmp_path / "out.mp4"
    sink = VideoSink(path, fps=10.0)
    for number in range(30):
        sink.show(_frame(number), np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8))
    sink.close()
    assert video_file._is_whole(path, 30)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert not video_file._is_whole(path, 30)


def test_video_stops_before_the_disk_is_full_and_is_kept(tmp_path, monkeypatch):
    sink = VideoSink(tmp_path / "out.avi", fps=10.0)
    monkeypatch.setattr(video_file.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1 << 30, 1 << 30, 1 << 20))
    with pytest.raises(StorageError, match=r"1 MB are free on its disk; the video ends here, after \d+ frames"):
        for number in range(1000):
            sink.show(_frame(number), _picture_bgr())
    sink.close()
    assert len(_decoded(tmp_path / "out.avi")) < 1000


def test_suffix_chooses_the_sink(tmp_path):
    source = _video_source(fps=12.0)
    assert type(open_sink(tmp_path / "a.png", source)) is PictureSink
    assert type(open_sink(tmp_path / "a.mp4", source)) is VideoSink
    assert type(open_sink(tmp_path / "folder", source)) is FolderSink
    (tmp_path / "with.dot").mkdir()
    assert type(open_sink(tmp_path / "with.dot", source)) is FolderSink
    with pytest.raises(InputError, match=r"a\.gif is of an unknown format, expected \.mp4"):
        open_sink(tmp_path / "a.gif", source)


def test_video_has_the_rate_of_its_source(tmp_path):
    live = LiveSource("camera 0", lambda: None)
    for source, rate in ((_video_source(fps=12.0), 12.0), (_video_source(), 25.0), (live, 25.0)):
        sink = open_sink(tmp_path / "out.avi", source)
        for number in range(6):
            sink.show(_frame(number, number / rate), _picture_bgr())
        sink.close()
        assert cv2.VideoCapture(str(tmp_path / "out.avi")).get(cv2.CAP_PROP_FPS) == pytest.approx(rate)


def test_output_over_the_source_is_refused(tmp_path):
    write_image(tmp_path / "a.png", _picture_bgr())
    write_image(tmp_path / "b.png", _picture_bgr())
    one = PictureSource([tmp_path / "a.png"], "picture a.png")
    folder = PictureSource([tmp_path / "a.png", tmp_path / "b.png"], "folder")
    for output, source in ((tmp_path / "a.png", one), (tmp_path, folder), (tmp_path / ".." / tmp_path.name, one)):
        with pytest.raises(InputError, match=r"is where .* is read from"):
            open_sink(output, source)


def test_several_pictures_do_not_go_into_one(tmp_path):
    source = PictureSource([tmp_path / "a.png", tmp_path / "b.png"], "folder street")
    with pytest.raises(InputError, match=r"out\.png is one picture, folder street has 2\. Next: name a folder"):
        open_sink(tmp_path / "out.png", source)


def test_file_where_a_folder_should_be_is_refused(tmp_path):
    (tmp_path / "notes").write_text("text")
    with pytest.raises(InputError, match="notes is a file, expected a folder"):
        open_sink(tmp_path / "notes", _video_source())


class Window:
    """Stands in for OpenCV's windows."""

    def __init__(self, monkeypatch, keys=()):
        self.keys, self.shown, self.visible, self.destroyed = list(keys), 0, 1.0, 0
        monkeypatch.setattr(sinks, "window_problem", lambda: None)
        doubles = {
            "namedWindow": lambda *_: None,
            "resizeWindow": lambda *_: None,
            "imshow": self._imshow,
            "waitKey": lambda _: self.keys.pop(0) if self.keys else -1,
            "getWindowProperty": lambda *_: self.visible,
            "destroyWindow": self._destroy,
        }
        for name, double in doubles.items():
            monkeypatch.setattr(sinks.cv2, name, double, raising=False)

    def _imshow(self, *_):
        self.shown += 1

    def _destroy(self, _):
        self.destroyed += 1


@pytest.mark.parametrize("key", [ord("q"), 27, 0x100000 | 27])
def test_q_or_escape_ends_the_window(monkeypatch, key):
    window = Window(monkeypatch, keys=[-1, ord("x"), key])
    sink = WindowSink("camera 0")
    assert [sink.show(_frame(), _picture_bgr()) for _ in range(3)] == [True, True, False]
    sink.close()
    sink.close()
    assert (window.shown, window.destroyed, sink.result) == (3, 1, None)


def test_closing_the_window_ends_it(monkeypatch):
    window = Window(monkeypatch)
    sink = WindowSink("camera 0")
    assert sink.show(_frame(), _picture_bgr())
    window.visible = 0.0
    assert not sink.show(_frame(), _picture_bgr())


def test_picture_stays_until_a_key_is_pressed(monkeypatch):
    window = Window(monkeypatch, keys=[-1, -1, -1, ord(" ")])
    assert WindowSink("folder", wait_for_key=True).show(_frame(), _picture_bgr())
    assert window.keys == []


def test_without_windows_or_display_the_message_names_output(monkeypatch):
    monkeypatch.setattr(sinks.cv2, "getBuildInformation", lambda: "  GUI:                           NONE")
    with pytest.raises(InputError, match=r"built without windows.*Next: --output"):
        WindowSink("camera 0")
    monkeypatch.setattr(sinks.cv2, "getBuildInformation", lambda: "  GUI:                           GTK3")
    monkeypatch.setattr(sinks.sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(InputError, match=r"DISPLAY is not set.*Next: --output"):
        WindowSink("camera 0")
    monkeypatch.setenv("DISPLAY", ":65000")
    with pytest.raises(InputError, match=r"no X server answers on DISPLAY :65000.*Next: --output"):
        WindowSink("camera 0")
    monkeypatch.setenv("DISPLAY", "desk.example:0")
    assert sinks.window_problem() is None


def test_window_that_fails_is_one_line(monkeypatch):
    Window(monkeypatch)

    def fail(*_):
        raise cv2.error("OpenCV\nCan't initialize GTK backend")

    monkeypatch.setattr(sinks.cv2, "imshow", fail)
    with pytest.raises(InputError, match=r"the window failed: Can't initialize GTK backend\. Next: --output"):
        WindowSink("camera 0").show(_frame(), _picture_bgr())


def test_video_that_was_opened_but_got_no_frame_is_no_file(tmp_path):
    sink = VideoSink(tmp_path / "out.avi", fps=10.0)
    sink._open(_picture_bgr())
    sink.close()
    assert sink.result is None and not list(tmp_path.iterdir())


def test_pictures_of_a_camera_are_not_written_over_by_the_next_run(tmp_path):
    results = []
    for value in (40, 200):
        sink = FolderSink(tmp_path / "out", keeps_earlier=True)
        for number in range(2):
            sink.show(_frame(number), _picture_bgr(value))
        results.append(sink.result)
    assert results == [str(tmp_path / "out"), str(tmp_path / "out" / "run-2")]
    assert read_rgb(tmp_path / "out" / "frame_000001.png").max() == 40
    again = FolderSink(tmp_path / "out")
    again.show(_frame(), _picture_bgr(90))
    assert read_rgb(tmp_path / "out" / "frame_000000.png").max() == 90
