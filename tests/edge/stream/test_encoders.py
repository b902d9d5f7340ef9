from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import StorageError
from edge.stream import encoders, video_file
from edge.stream.base import Frame
from edge.stream.captures import has_gstreamer
from edge.stream.encoders import FfmpegEncoder, FragmentEncoder, OpenCvEncoder, open_encoder
from edge.stream.fragmented_mp4 import FragmentWriter, read_samples
from edge.stream.video_file import VideoSink

ROOT = Path(__file__).resolve().parents[3]

RECORDER = (
    "import sys, time\nfrom pathlib import Path\nimport numpy as np\n"
    "from edge.stream import encoders, video_file\nfrom edge.stream.base import Frame\n"
    "if sys.argv[2] == 'opencv': encoders.find_h264_encoder = lambda *_: None\n"
    "sink = video_file.VideoSink(Path(sys.argv[1]), fps=20.0)\n"
    "picture = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)\n"
    "for number in range(100_000):\n"
    "    sink.show(Frame(picture, number, 0, 'x'), np.roll(picture, number, axis=1))\n"
    "    if number == 200: print('200', flush=True); time.sleep(60)\n"
)


def _pictures(count=10, height=48, width=64):
    return [np.full((height, width, 3), 20 * number % 256, np.uint8) for number in range(count)]


def _frame(time_s=None):
    return Frame(np.zeros((2, 2, 3), np.uint8), 0, 0, "x", time_s)


def _decoded(path):
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        arrived, frame_bgr = capture.read()
        if not arrived:
            return frames
        frames.append(frame_bgr)


def _opencv_alone(monkeypatch):
    monkeypatch.setattr(encoders, "find_h264_encoder", lambda *_: None)


def _require(which):
    if which == "ffmpeg" and encoders.ffmpeg_h264_encoder() is None:
        pytest.skip("this machine has no program ffmpeg that encodes H.264")


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".avi"])
@pytest.mark.parametrize("which", ["opencv", "ffmpeg"])
def test_every_format_gives_back_its_frames(tmp_path, monkeypatch, capfd, which, suffix):
    _require(which)
    if which == "opencv":
        _opencv_alone(monkeypatch)
    path = tmp_path / f"out{suffix}"
    encoder = open_encoder(path, 25.0, (64, 48))
    if encoder is None and suffix == ".webm":
        pytest.skip("this OpenCV has no encoder of VP8")
    for picture in _pictures():
        encoder.write(picture)
    encoder.close()
    assert [float(frame.mean()) for frame in _decoded(path)] == pytest.approx([20 * n for n in range(10)], abs=5)
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS) == pytest.approx(25.0, rel=0.01)
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    assert capfd.readouterr().err == ""
    assert encoder.plays_in_browsers == (suffix == ".webm" or (which == "ffmpeg" and suffix != ".avi"))


@pytest.mark.parametrize(
    ("which", "suffix"),
    [("opencv", ".mp4"), ("opencv", ".mkv"), ("opencv", ".avi"), ("opencv", ".webm"), ("ffmpeg", ".mp4")],
)
def test_recording_whose_process_is_killed_can_be_played_and_is_not_named_as_finished(tmp_path, which, suffix):
    _require(which)
    path, part = tmp_path / f"drive{suffix}", tmp_path / f"drive.part{suffix}"
    process = subprocess.Popen(
        [sys.executable, "-c", RECORDER, str(path), which],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert process.stdout.readline().strip() == b"200"
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
    finally:
        process.kill()
    assert not path.exists()
    # ffmpeg finishes the file when its pipe has ended.
    deadline_s = time.monotonic() + (20 if which == "ffmpeg" else 0)
    while len(_decoded(part)) < 150 and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert len(_decoded(part)) >= 150, "two seconds at most are lost, which are 40 frames"


def test_earlier_recording_that_was_not_finished_is_left_alone(tmp_path, monkeypatch, capsys):
    _opencv_alone(monkeypatch)
    (tmp_path / "out.part.avi").write_bytes(b"of a killed run")
    sink = VideoSink(tmp_path / "out.avi", fps=10.0)
    sink.show(_frame(), _pictures()[0])
    assert (tmp_path / "out.part-2.avi").exists()
    sink.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.avi", "out.part.avi"]
    assert (tmp_path / "out.part.avi").read_bytes() == b"of a killed run"
    assert "out.part.avi in" in capsys.readouterr().err


def test_recording_that_browsers_do_not_play_says_what_would(tmp_path, monkeypatch, capsys):
    _opencv_alone(monkeypatch)
    sink = VideoSink(tmp_path / "out.mp4", fps=10.0)
    sink.show(_frame(), _pictures()[0])
    sink.close()
    line = capsys.readouterr().err
    assert (
        line.startswith("warning: browsers do not play ") and "Next: sudo apt install ffmpeg, or name out.webm" in line
    )


def test_recording_in_h264_says_nothing(tmp_path, capsys):
    _require("ffmpeg")
    sink = VideoSink(tmp_path / "out.mp4", fps=10.0)
    sink.show(_frame(), _pictures()[0])
    sink.close()
    assert capsys.readouterr().err == ""
    assert b"avc1" in (tmp_path / "out.mp4").read_bytes()


def test_frames_with_times_of_their_own_keep_them_and_a_note_says_what_that_took(tmp_path, monkeypatch, capsys):
    _opencv_alone(monkeypatch)
    sink = VideoSink(tmp_path / "out.avi", fps=10.0)
    for number, time_s in enumerate((0.0, 0.1, 0.2, 0.6, 0.61, 0.7)):
        sink.show(_frame(time_s), np.full((48, 64, 3), 40 * number, np.uint8))
    sink.close()
    assert [round(float(frame.mean()) / 40) for frame in _decoded(tmp_path / "out.avi")] == [0, 1, 2, 3, 3, 3, 3, 5]
    assert "3 were repeated and 1 left out" in capsys.readouterr().err


@pytest.mark.parametrize("fps", [25.0, 29.97])
def test_even_frames_are_each_written_once(tmp_path, monkeypatch, capsys, fps):
    _opencv_alone(monkeypatch)
    sink = VideoSink(tmp_path / "out.avi", fps=fps)
    for number in range(200):
        sink.show(_frame(round(1000 * number / fps) / 1000), _pictures()[0])
    sink.close()
    assert len(_decoded(tmp_path / "out.avi")) == 200
    assert capsys.readouterr().err == ""


def test_failure_of_ffmpeg_is_one_line_and_what_can_be_played_is_kept(tmp_path):
    _require("ffmpeg")
    sink = VideoSink(tmp_path / "out.mp4", fps=10.0)
    noise = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    for _ in range(200):
        sink.show(_frame(), noise)
    sink._encoder._process.kill()
    with pytest.raises(StorageError, match=r"cannot write .*out\.part\.mp4: ffmpeg ended with"):
        for _ in range(1000):
            sink.show(_frame(), noise)
    with pytest.raises(StorageError, match=r"what can be played of it is .*out\.part\.mp4"):
        sink.close()
    assert [path.name for path in tmp_path.iterdir()] == ["out.part.mp4"]


def test_encoders_of_opencv_are_asked_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(encoders, "ffmpeg_h264_encoder", lambda: None)
    monkeypatch.setattr(encoders, "has_gstreamer", lambda: True)
    asked = []

    class Writer:
        def __init__(self, path, *settings):
            asked.append(path)

        def isOpened(self):  # noqa: N802  OpenCV's name
            return "x264enc" in asked[-1]

    monkeypatch.setattr(encoders.cv2, "VideoWriter", Writer)
    assert type(open_encoder(tmp_path / 'a "b".mp4', 30.0, (64, 48))) is OpenCvEncoder
    assert "nvv4l2h264enc" in asked[0] and "x264enc" in asked[1] and len(asked) == 2
    assert asked[1].endswith(f'mp4mux fragment-duration=2000 ! filesink location="{tmp_path}/a \\"b\\".mp4"')
    assert "key-int-max=60" in asked[1]


def test_gstreamer_writes_h264(tmp_path, monkeypatch):
    if not has_gstreamer():
        pytest.skip("this OpenCV was built without GStreamer")
    monkeypatch.setattr(encoders, "ffmpeg_h264_encoder", lambda: None)
    encoder = open_encoder(tmp_path / "out.mp4", 25.0, (64, 48))
    if type(encoder) is not OpenCvEncoder:
        pytest.skip("this GStreamer has no encoder of H.264")
    for picture in _pictures(60):
        encoder.write(picture)
    encoder.close()
    assert b"avc1" in (tmp_path / "out.mp4").read_bytes() and len(_decoded(tmp_path / "out.mp4")) == 60


def test_program_ffmpeg_without_h264_is_not_used(tmp_path, monkeypatch):
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho ' V....D mpeg4 MPEG-4 part 2'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    encoders.ffmpeg_h264_encoder.cache_clear()
    try:
        assert encoders.ffmpeg_h264_encoder() is None
        program.write_text("#!/bin/sh\necho ' V....D libopenh264 OpenH264'\n")
        encoders.ffmpeg_h264_encoder.cache_clear()
        assert encoders.ffmpeg_h264_encoder() == "libopenh264"
    finally:
        encoders.ffmpeg_h264_encoder.cache_clear()


def test_fragments_are_in_the_file_before_it_is_closed(tmp_path):
    encoder = FragmentEncoder(tmp_path / "out.mp4", 10.0, (64, 48), "mp4v")
    for picture in _pictures(21):
        encoder.write(picture)
    assert len(_decoded(tmp_path / "out.mp4")) == 20
    encoder.close()
    assert len(_decoded(tmp_path / "out.mp4")) == 21
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_what_is_no_video_is_no_fragment(tmp_path):
    with (tmp_path / "out.mp4").open("w+b") as file, pytest.raises(ValueError, match="no MP4 file"):
        FragmentWriter(file).append(b"\0\0\0\x08free")
    with pytest.raises(ValueError, match="no MP4 file"):
        read_samples(b"")


def test_ffmpeg_is_told_no_option_by_a_file_name(tmp_path, monkeypatch):
    commands = []

    class Process:
        def __init__(self, command, **options):
            commands.append((command, options))

    monkeypatch.setattr(encoders.subprocess, "Popen", Process)
    encoder = FfmpegEncoder(Path("-y.mp4"), 25.0, (64, 48), "libx264")
    encoder._errors.close()
    (command, options) = commands[0]
    assert command[-1] == "file:-y.mp4" and options["start_new_session"]


def test_part_is_named_like_the_file(tmp_path):
    assert video_file._new_part(tmp_path / "a.b.mp4").name == "a.b.part.mp4"


def test_recording_of_a_camera_is_not_written_over_by_the_next_run(tmp_path, capsys):
    results = []
    for shade in (40, 200, 90):
        sink = VideoSink(tmp_path / "cam.avi", fps=10.0, by_clock=True)
        for index in range(3):
            picture = np.full((32, 48, 3), shade, np.uint8)
            sink.show(Frame(picture, index, index * 100_000_000, str(index)), picture)
        sink.close()
        results.append(sink.result)
    assert results == [str(tmp_path / name) for name in ("cam.avi", "cam-2.avi", "cam-3.avi")]
    first = cv2.VideoCapture(str(tmp_path / "cam.avi")).read()[1]
    assert abs(int(first.mean()) - 40) < 8
    assert "cam.avi is an earlier recording and is kept" in capsys.readouterr().err
