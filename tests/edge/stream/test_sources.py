from __future__ import annotations

import contextlib
import itertools
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import cv2
import numpy as np
import pytest

from edge.errors import ImageError, InputError, SourceError
from edge.imaging import write_image
from edge.stream import captures
from edge.stream.captures import FrameTimes
from edge.stream.file_sources import PictureSource, SequentialSource
from edge.stream.live import LiveSource
from edge.stream.sources import open_source


def _write_video(path, frame_count=12, height=48, width=64):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 20.0, (width, height))
    assert writer.isOpened()
    for index in range(frame_count):
        writer.write(np.full((height, width, 3), 10 * index % 256, np.uint8))
    writer.release()
    return path


@pytest.fixture
def serve():
    """Return a function that serves a body over http on this machine, and returns the address."""
    servers = []

    def start(body, content_type):
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *arguments):
                pass

            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", content_type)
                if not content_type.startswith("multipart"):
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body)

        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def _all_frames(source):
    with source:
        return list(itertools.islice(iter(source.read, None), 200))


def test_picture_gives_one_frame_in_bgr(tmp_path):
    frame_rgb = np.zeros((10, 20, 3), np.uint8)
    frame_rgb[..., 0] = 250
    write_image(tmp_path / "red.png", frame_rgb)
    source = open_source(str(tmp_path / "red.png"))
    (frame,) = _all_frames(source)
    assert frame.name == "red"
    assert tuple(frame.pixels_bgr[0, 0]) == (0, 0, 250)
    assert (source.is_live, source.shows_pictures, source.length, source.size) == (False, True, 1, (10, 20))


def test_folder_gives_its_pictures_in_order_of_names_and_sizes_of_their_own(tmp_path):
    for name, height in (("b.png", 12), ("a.png", 10), ("c.jpg", 14)):
        write_image(tmp_path / name, np.zeros((height, 20, 3), np.uint8))
    (tmp_path / "notes.txt").write_text("no picture")
    frames = _all_frames(open_source(str(tmp_path)))
    assert [(frame.name, len(frame.pixels_bgr)) for frame in frames] == [("a", 10), ("b", 12), ("c", 14)]


def test_pictures_of_one_stem_get_names_of_their_own(tmp_path):
    for name in ("a.png", "a.jpg"):
        write_image(tmp_path / name, np.zeros((10, 20, 3), np.uint8))
    assert sorted(frame.name for frame in _all_frames(open_source(str(tmp_path)))) == ["a_jpg", "a_png"]


def test_video_file_gives_every_frame_in_order(tmp_path):
    source = open_source(str(_write_video(tmp_path / "drive.avi")))
    frames = _all_frames(source)
    assert [frame.number for frame in frames] == list(range(12))
    assert [int(frame.pixels_bgr.mean()) for frame in frames] == pytest.approx([10 * n for n in range(12)], abs=3)
    assert (source.is_live, source.fps, source.size, source.length) == (False, 20.0, (48, 64), 12)
    assert source.dropped == 0 and source.end_note is None


def test_video_file_is_started_again_when_it_is_opened_again(tmp_path):
    source = open_source(str(_write_video(tmp_path / "drive.avi")))
    assert len(_all_frames(source)) == len(_all_frames(source)) == 12


def test_synthetic_source_moves_and_has_the_size_asked_for():
    source = open_source("synthetic:64x128")
    with source:
        frames = [source.read() for _ in range(3)]
    assert all(frame.pixels_bgr.shape == (64, 128, 3) for frame in frames)
    assert not np.array_equal(frames[0].pixels_bgr, frames[2].pixels_bgr)
    assert (source.fps, source.length) == (30.0, None)


def test_real_time_makes_a_live_source(tmp_path):
    video = str(_write_video(tmp_path / "drive.avi", frame_count=3))
    assert isinstance(open_source(video), SequentialSource)
    source = open_source(video, real_time=True)
    assert isinstance(source, LiveSource)
    frames = _all_frames(source)
    assert frames[-1].number == 2 and source.fps == 20.0


def test_drive_in_real_time_shows_the_same_frames_and_skips_late_ones():
    at_will = open_source("synthetic:64x128")
    with at_will:
        wanted = [at_will.read().pixels_bgr for _ in range(3)]
    live = open_source("synthetic:64x128", real_time=True)
    assert isinstance(live, LiveSource)
    with live:
        first = live.read()
    assert first.pixels_bgr.shape == (64, 128, 3)
    capture = captures.SyntheticCapture(64, 128)
    assert capture.grab() and capture.grab() and capture.grab()
    assert np.array_equal(capture.retrieve()[1], wanted[2])


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("0", LiveSource),
        ("camera:1", LiveSource),
        ("camera:1?width=1280&height=720", LiveSource),
        ("/dev/video2", LiveSource),
        ("/dev/v4l/by-id/front", LiveSource),
        ("rtsp://10.0.0.1/stream", LiveSource),
        ("rtsps://10.0.0.1/stream", LiveSource),
        ("RTSP://10.0.0.1/stream", LiveSource),
        ("http://10.0.0.1/video.mjpg", LiveSource),
        ("HTTPS://10.0.0.1:8080/?action=stream", LiveSource),
        ("http://10.0.0.1/clips/a.mp4?download=1", SequentialSource),
        ("udp://0.0.0.0:5000", LiveSource),
        ("udp://@:5000", LiveSource),
        ("rtmp://10.0.0.1/live/key", LiveSource),
        ("v4l2src ! videoconvert ! appsink", LiveSource),
        ("csi:0", LiveSource),
        ("csi://0?width=1280&height=720&fps=30&flip=2", LiveSource),
        ("synthetic", SequentialSource),
    ],
)
def test_address_chooses_the_kind_of_source_and_opens_nothing(text, kind):
    assert type(open_source(text)) is kind


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("/nowhere/drive.mp4", "'/nowhere/drive.mp4' not found"),
        ("ftp://host/file", "means nothing here, expected a picture"),
        ("camera:front", "means nothing here"),
        ("csi://0?widht=1280", "has the option 'widht=1280', expected a whole number for width, height, fps, flip"),
        ("camera:0?width=wide", "has the option 'width=wide'"),
        ("synthetic:big", "expected HEIGHTxWIDTH"),
    ],
)
def test_text_that_means_nothing_is_refused(text, message):
    with pytest.raises(SourceError, match="(?s).*" + message.replace("?", r"\?")):
        open_source(text)


def test_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(ImageError, match="holds no picture"):
        open_source(str(tmp_path))


def test_damaged_picture_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG but no more")
    with pytest.raises(ImageError, match=r"a\.png cannot be decoded"):
        _all_frames(open_source(str(tmp_path / "a.png")))


@pytest.mark.parametrize("content", [b"", b"no video at all" * 100])
def test_damaged_video_is_refused(tmp_path, content):
    (tmp_path / "drive.mp4").write_bytes(content)
    with pytest.raises(SourceError, match=r"drive\.mp4 .*(cannot be opened|not one frame)"):
        _all_frames(open_source(str(tmp_path / "drive.mp4")))


def test_truncated_video_gives_what_there_is_and_a_note(tmp_path):
    path = _write_video(tmp_path / "drive.avi", frame_count=100)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    source = open_source(str(path))
    frames = _all_frames(source)
    assert 0 < len(frames) < 100
    assert source.end_note is None or "truncated" in source.end_note


def test_video_that_ends_early_is_noted():
    class Capture:
        left = 4

        def read(self):
            self.left -= 1
            return (True, np.zeros((4, 4, 3), np.uint8)) if self.left >= 0 else (False, None)

        def get(self, prop):
            return 10.0 if prop == cv2.CAP_PROP_FRAME_COUNT else 0.0

        def release(self):
            pass

    source = SequentialSource("video drive.mp4", Capture)
    assert len(_all_frames(source)) == 4
    assert source.end_note == "video drive.mp4 ended after 4 of 10 frames: it is truncated or damaged"


class _TimedCapture:
    """A video whose reader tells of 20 frames at 10 per second, and gives the frames of some times."""

    def __init__(self, times_ms):
        self._times_ms, self._next = times_ms, 0

    def grab(self):
        self._next += 1
        return self._next <= len(self._times_ms)

    def read(self):
        return (True, np.zeros((4, 4, 3), np.uint8)) if self.grab() else (False, None)

    def get(self, prop):
        told = {cv2.CAP_PROP_FRAME_COUNT: 20.0, cv2.CAP_PROP_FPS: 10.0}
        return self._times_ms[self._next - 1] if prop == cv2.CAP_PROP_POS_MSEC else told.get(prop, 0.0)

    def release(self):
        pass


@pytest.mark.parametrize(
    ("times_ms", "is_whole"),
    [([*range(0, 500, 100), *range(500, 2000, 200)], True), (list(range(0, 1200, 100)), False)],
)
def test_video_of_variable_rate_is_not_called_truncated(times_ms, is_whole):
    source = SequentialSource("video drive.mkv", lambda: _TimedCapture(times_ms), has_times=True)
    assert len(_all_frames(source)) == len(times_ms)
    assert (source.end_note is None) == is_whole


def test_source_of_an_empty_variable_is_refused():
    with pytest.raises(SourceError, match="source is empty"):
        open_source(" ")


def test_camera_that_is_not_there_is_one_line():
    with pytest.raises(SourceError, match="camera /dev/video250 not found") as caught, open_source("camera:250"):
        pass
    assert "\n" not in str(caught.value)


def _free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def test_rtsp_without_a_server_is_one_line_without_the_password():
    url = f"rtsp://admin:secret@127.0.0.1:{_free_port()}/stream"
    with pytest.raises(SourceError, match="cannot be opened") as caught, open_source(url, timeout_s=0.3):
        pass
    assert "secret" not in str(caught.value) and "admin" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


def test_rtsp_server_that_never_answers_is_given_up():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        url = f"rtsp://127.0.0.1:{server.getsockname()[1]}/stream"
        with pytest.raises(SourceError, match=r"cannot be opened|did not open"), open_source(url, timeout_s=0.3):
            pass


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://admin:secret@10.0.0.1/live", "rtsp://***@10.0.0.1/live"),
        ("rtsp://admin:se@cr/et@10.0.0.1/live", "rtsp://***@10.0.0.1/live"),
        ("rtsp://10.0.0.1/live?user=a&password=secret&x=1", "rtsp://10.0.0.1/live?user=a&password=***&x=1"),
        ("rtsp://10.0.0.1/live", "rtsp://10.0.0.1/live"),
        ("RTSP://admin:secret@10.0.0.1/live", "rtsp://***@10.0.0.1/live"),
        ("http://10.0.0.1/mjpg?api_key=secret&x=1", "http://10.0.0.1/mjpg?api_key=***&x=1"),
        ("https://u:p@10.0.0.1/mjpg?authToken=secret", "https://***@10.0.0.1/mjpg?authToken=***"),
        ("rtsp://10.0.0.1/user=admin_password=secret_channel=1", "rtsp://10.0.0.1/user=admin_password=***"),
        ("udp://@:5000", "udp://@:5000"),
    ],
)
def test_passwords_are_masked(address, shown):
    assert captures.mask_credentials(address).replace("RTSP:", "rtsp:") == shown
    assert open_source(address).description == f"stream {shown}"


@pytest.mark.parametrize(
    "text",
    [
        "rtsp:/admin:secret@10.0.0.1/live",
        "admin:secret@10.0.0.1/live",
        "ftp://admin:secret@10.0.0.1/live",
        "camera:admin:secret@10.0.0.1",
    ],
)
def test_mistyped_address_does_not_show_its_password(text):
    with pytest.raises(SourceError) as caught:
        open_source(text)
    assert "secret" not in str(caught.value)


def test_pipeline_does_not_show_its_password():
    text = 'rtspsrc location=rtsp://a:secret@h/x user-id=a user-pw="sec ret" ! decodebin ! appsink'
    description = open_source(text).description
    assert "secret" not in description and "sec ret" not in description
    assert description.startswith("pipeline rtspsrc location=rtsp://***@h/x") and "decodebin ! appsink" in description


def test_pipeline_without_gstreamer_says_what_to_do(monkeypatch):
    monkeypatch.setattr(captures, "has_gstreamer", lambda: False)
    with pytest.raises(SourceError, match=r"this one \(.*\) was built without.*Next: pip uninstall"):
        open_source("v4l2src ! videoconvert ! appsink").open()


def test_pipeline_gets_a_sink_where_it_has_none():
    assert captures.complete_pipeline("v4l2src ! appsink drop=true") == "v4l2src ! appsink drop=true"
    completed = captures.complete_pipeline("v4l2src ! decodebin !")
    assert completed.startswith("v4l2src ! decodebin ! videoconvert ! ") and " ! appsink drop=true" in completed


def test_gstreamer_pipeline_gives_frames():
    if not captures.has_gstreamer():
        pytest.skip("this OpenCV was built without GStreamer")
    with open_source("videotestsrc num-buffers=5 ! video/x-raw,width=64,height=48", timeout_s=20.0) as source:
        assert source.read().pixels_bgr.shape == (48, 64, 3)


def test_mjpeg_over_http_gives_frames_and_its_end_is_a_loss(serve):
    frames = [cv2.imencode(".jpg", np.full((48, 64, 3), 60 * n, np.uint8))[1].tobytes() for n in range(4)]
    boundary = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
    body = b"".join(boundary % len(data) + data + b"\r\n" for data in 8 * frames)
    address = serve(body, "multipart/x-mixed-replace; boundary=frame")
    with open_source(f"{address}/video.mjpg", timeout_s=10.0) as source:
        frame = source.read()
        assert frame.pixels_bgr.shape == (48, 64, 3) and source.is_live and not source.is_lost
        while frame is not None:
            frame = source.read()
    assert source.is_lost
    assert re.match(r"stream http://127.0.0.1:\d+/video.mjpg was lost after 32 frames: it ended", source.end_note)


def test_video_file_over_http_has_an_end(serve, tmp_path):
    address = serve(_write_video(tmp_path / "drive.avi").read_bytes(), "video/x-msvideo")
    source = open_source(f"{address}/drive.avi", timeout_s=10.0)
    assert len(_all_frames(source)) == 12
    assert not source.is_lost and source.end_note is None


TIMES_MS = (0, 40, 80, 500, 540, 1500, 1540, 1580)


def test_frames_keep_the_times_of_a_video_of_variable_rate(tmp_path, write_timed_video):
    source = open_source(str(write_timed_video(tmp_path / "phone.mkv", TIMES_MS)))
    frames = _all_frames(source)
    assert [round(1000 * frame.time_s) for frame in frames] == list(TIMES_MS)
    # What OpenCV reports is the mean rate, 5, or a guess; at 5 a second, half of the frames would be lost.
    assert source.fps >= 24.9


@pytest.mark.parametrize("reported_fps", [25.0, 29.97])
def test_rate_of_even_frames_is_the_one_that_the_file_reports(reported_fps):
    class Capture:
        at = -1

        def grab(self):
            self.at += 1
            return self.at < 60

        def get(self, prop):
            values = {cv2.CAP_PROP_FPS: reported_fps, cv2.CAP_PROP_POS_MSEC: round(1000 * self.at / reported_fps)}
            return values.get(prop, 0.0)

        def release(self):
            pass

    source = SequentialSource("video a.mp4", Capture, has_times=True)
    source.open()
    assert source.fps == reported_fps


def test_clock_of_a_file_is_not_taken_for_its_rate():
    class Capture:
        at = -1

        def grab(self):
            self.at += 1
            return self.at < 60

        def get(self, prop):
            return {cv2.CAP_PROP_FPS: 600.0, cv2.CAP_PROP_POS_MSEC: 50.0 * self.at}.get(prop, 0.0)

        def release(self):
            pass

    source = SequentialSource("video a.mp4", Capture, has_times=True)
    source.open()
    assert source.fps == pytest.approx(20.0)


def test_times_always_grow_where_those_of_the_file_do_not():
    class Capture:
        def get(self, prop):
            return self.position_ms

    capture, times, seen = Capture(), FrameTimes(0.1), []
    for capture.position_ms in (70.0, 170.0, 0.0, 0.0, 1e9, 570.0):
        seen.append(times.of(capture))
    assert seen == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])


def test_probe_of_rtmp_is_short_and_the_users_options_hold(monkeypatch):
    name, seen = "OPENCV_FFMPEG_CAPTURE_OPTIONS", []

    class Opened:
        def isOpened(self):  # noqa: N802  OpenCV's name
            return True

    def capture(url, timeout_ms):
        seen.append(captures.os.environ.get(name))
        return Opened()

    monkeypatch.setattr(captures, "_timed_capture", capture)
    monkeypatch.delenv(name, raising=False)
    for url in ("rtmp://h/live", "rtsp://h/live"):
        captures.open_stream(url, 1.0)
    assert name not in captures.os.environ
    monkeypatch.setenv(name, "fflags;nobuffer")
    captures.open_stream("rtmp://h/live", 1.0)
    assert seen == ["analyzeduration;1500000", None, "fflags;nobuffer"]


def test_csi_pipeline_takes_the_sensor_through_argus_to_bgr():
    assert captures.csi_pipeline(1, width=1920, height=1080, fps=60, flip=2) == (
        "nvarguscamerasrc sensor-id=1 ! "
        "video/x-raw(memory:NVMM), width=(int)1920, height=(int)1080, framerate=(fraction)60/1 ! "
        "nvvidconv flip-method=2 ! video/x-raw, format=(string)BGRx ! "
        "videoconvert ! video/x-raw, format=(string)BGR ! "
        "appsink drop=true max-buffers=1 sync=false"
    )


def test_csi_address_reaches_the_pipeline(monkeypatch):
    class Capture:
        opened_with = None

        def __init__(self, *arguments):
            Capture.opened_with = arguments

        def isOpened(self):  # noqa: N802  OpenCV's name
            return False

    monkeypatch.setattr(captures, "has_gstreamer", lambda: True)
    monkeypatch.setattr(captures.cv2, "VideoCapture", Capture)
    with pytest.raises(SourceError, match=r"csi:1 cannot be opened.*nvargus-daemon"):
        open_source("csi://1?width=1920&height=1080&fps=60&flip=2").open()
    assert Capture.opened_with == (captures.csi_pipeline(1, 1920, 1080, 60, 2), cv2.CAP_GSTREAMER)


def test_csi_without_gstreamer_says_what_to_do(monkeypatch):
    monkeypatch.setattr(captures, "has_gstreamer", lambda: False)
    with pytest.raises(SourceError, match=r"csi:0 needs an OpenCV with GStreamer.*Next.*python3-opencv"):
        open_source("csi:0").open()


class _Clock:
    """Stands in for the module `time`: sleeping is what moves it."""

    def __init__(self):
        self.now_s = 100.0

    def perf_counter(self):
        return self.now_s

    def sleep(self, seconds):
        self.now_s += seconds


class _Counting:
    def __init__(self):
        self.index = 0

    def read(self):
        self.index += 1
        return True, np.full((2, 2, 3), self.index - 1, np.uint8)

    def grab(self):
        self.index += 1
        return True

    def retrieve(self):
        return True, np.full((2, 2, 3), self.index - 1, np.uint8)

    def get(self, prop):
        return 10.0 if prop == cv2.CAP_PROP_FPS else 0.0


def test_paced_capture_gives_frames_when_they_are_due_and_passes_over_late_ones(monkeypatch):
    clock = _Clock()
    monkeypatch.setattr(captures, "time", clock)
    paced = captures.PacedCapture(_Counting())
    seen = []
    for spent_s in (0.0, 0.0, 0.35, 0.0):
        _, pixels = paced.read()
        seen.append((int(pixels[0, 0, 0]), round(clock.now_s - 100.0, 3)))
        clock.now_s += spent_s
    # Due every 0.1 s; 0.35 s are spent over frame 2, so 3 is passed over and 4 is the first that is not late.
    assert [number for number, _ in seen] == [0, 1, 2, 5]
    assert [when_s for _, when_s in seen] == pytest.approx([0.0, 0.1, 0.2, 0.55])


def test_paced_capture_follows_the_times_of_the_file(monkeypatch, tmp_path, write_timed_video):
    clock = _Clock()
    monkeypatch.setattr(captures, "time", clock)
    paced = captures.PacedCapture(cv2.VideoCapture(str(write_timed_video(tmp_path / "phone.mkv", TIMES_MS))))
    seen_ms = []
    while paced.read()[0]:
        seen_ms.append(round(1000 * (clock.now_s - 100.0)))
    assert seen_ms == list(TIMES_MS)


def test_picture_source_names_the_files_that_it_reads(tmp_path):
    write_image(tmp_path / "a.png", np.zeros((10, 20, 3), np.uint8))
    source = open_source(str(tmp_path))
    assert isinstance(source, PictureSource)
    assert source.files == {(tmp_path / "a.png").resolve()}


def test_source_error_is_an_input_error():
    assert issubclass(SourceError, InputError)
