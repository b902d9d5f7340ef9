"""Encoders of recordings: who writes H.264 here, and what else there is.

Tried in this order for .mp4, .mov and .mkv: the program ffmpeg, OpenCV's GStreamer, OpenCV's FFmpeg with H.264, and
OpenCV's FFmpeg with MPEG-4 Part 2, which browsers do not play. The wheels of OpenCV from pip have no encoder of H.264,
but VP8, so a .webm plays in browsers there too. Whatever encodes, the file can be played when the process is killed:
MP4 is written in fragments of two seconds, and Matroska, WebM and AVI are read up to where they end.
"""

from __future__ import annotations

import abc
import contextlib
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Iterator

import numpy as np

from edge.errors import StorageError
from edge.leftovers import temporary_prefix
from edge.opencv import cv2
from edge.stream.captures import has_gstreamer, silence_capture_logs
from edge.stream.fragmented_mp4 import FragmentWriter

CODECS = {".mp4": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".webm": "VP80", ".avi": "MJPG"}
"""Suffix -> OpenCV's code of the codec that every OpenCV with FFmpeg has."""

H264_SUFFIXES = (".mp4", ".mov", ".mkv")
FRAGMENT_S = 2.0
"""Time in s that a fragment lasts, and so the most that a killed process loses of an MP4 file."""

_FFMPEG_ENCODERS = (("libx264", ("-preset", "veryfast", "-crf", "23")), ("libopenh264", ("-b:v", "6M")))
_END_TIMEOUT_S = 60.0

_GSTREAMER_ENCODERS = (
    "videoconvert ! video/x-raw,format=BGRx ! nvvidconv ! video/x-raw(memory:NVMM),format=NV12 ! "
    "nvv4l2h264enc bitrate=6000000 insert-sps-pps=true idrinterval={gop} iframeinterval={gop}",
    "videoconvert ! video/x-raw,format=I420 ! x264enc speed-preset=veryfast tune=zerolatency pass=qual quantizer=23 "
    "key-int-max={gop}",
    "videoconvert ! video/x-raw,format=I420 ! openh264enc bitrate=6000000 gop-size={gop}",
)
"""Elements that encode H.264: that of a Jetson, and two that run on the CPU."""


class Encoder(abc.ABC):
    """Writes the frames of one video file.

    Attributes:
        plays_in_browsers: Whether browsers play what it writes.
    """

    plays_in_browsers = True

    @abc.abstractmethod
    def write(self, picture_bgr: np.ndarray) -> None:
        """Encode one frame, (height, width, 3) uint8.

        Raises:
            StorageError: The encoder failed, as on a full disk.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Finish the file.

        Raises:
            StorageError: It cannot be finished.
        """


def open_encoder(path: Path, fps: float, size_wh: tuple[int, int]) -> Encoder | None:
    """Return an encoder that writes to a path, by whose suffix the format is chosen; None where OpenCV has none.

    Args:
        path: Path of the file, which may exist and is written over.
        fps: Frames per second.
        size_wh: Width and height of the frames in pixels, both even.
    """
    silence_capture_logs()
    suffix = path.suffix.lower()
    if suffix in H264_SUFFIXES:
        encoder = find_h264_encoder(path, fps, size_wh)
        if encoder is not None:
            return encoder
    codec = CODECS[suffix]
    in_fragments = suffix in (".mp4", ".mov")
    for opened in _opened(path, fps, size_wh, codec, in_fragments):
        opened.plays_in_browsers = codec == "VP80"
        return opened
    return None


def find_h264_encoder(path: Path, fps: float, size_wh: tuple[int, int]) -> Encoder | None:
    """Return the first encoder of H.264 that this machine has; None where it has none."""
    name = ffmpeg_h264_encoder()
    if name is not None:
        return FfmpegEncoder(path, fps, size_wh, name)
    if has_gstreamer():
        for elements in _GSTREAMER_ENCODERS:
            writer = cv2.VideoWriter(gstreamer_pipeline(path, elements, fps), cv2.CAP_GSTREAMER, 0, fps, size_wh)
            if writer.isOpened():
                return OpenCvEncoder(writer)
    return next(_opened(path, fps, size_wh, "avc1", path.suffix.lower() != ".mkv"), None)


def gstreamer_pipeline(path: Path, elements: str, fps: float) -> str:
    """Return the pipeline that encodes frames by some elements of GStreamer into a file."""
    muxer = {
        ".mp4": f"mp4mux fragment-duration={round(1000 * FRAGMENT_S)}",
        ".mov": f"qtmux fragment-duration={round(1000 * FRAGMENT_S)}",
        ".mkv": "matroskamux",
    }[path.suffix.lower()]
    location = os.fspath(path).replace("\\", "\\\\").replace('"', '\\"')
    encoder = elements.format(gop=_frames_a_fragment(fps))
    return f'appsrc ! video/x-raw,format=BGR ! {encoder} ! h264parse ! {muxer} ! filesink location="{location}"'


def _opened(
    path: Path, fps: float, size_wh: tuple[int, int], codec: str, in_fragments: bool
) -> Iterator[OpenCvEncoder | FragmentEncoder]:
    """Give the encoder of OpenCV for a codec, if it has one."""
    if in_fragments:
        with contextlib.suppress(_NoCodecError):
            yield FragmentEncoder(path, fps, size_wh, codec)
        return
    with _no_stderr() if path.suffix.lower() == ".webm" else contextlib.nullcontext():
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), fps, size_wh)
    if writer.isOpened():
        yield OpenCvEncoder(writer)


@contextlib.contextmanager
def _no_stderr() -> Iterator[None]:
    """Drop what C code writes to stderr: OpenCV says there that WebM has no tag for VP8, which it does without."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@functools.lru_cache(maxsize=1)
def ffmpeg_h264_encoder() -> str | None:
    """Return the name of an H.264 encoder that the program ffmpeg has; None where there is no such program or encoder.

    Encoders of graphics cards are left out, since ffmpeg lists them on machines without such a card too.
    """
    if shutil.which("ffmpeg") is None:
        return None
    try:
        listed = subprocess.run(
            ["ffmpeg", "-hide_banner", "-encoders"], stdin=subprocess.DEVNULL, capture_output=True, timeout=30
        ).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return None
    return next((name for name, _ in _FFMPEG_ENCODERS if name.encode() in listed), None)


class FfmpegEncoder(Encoder):
    """Encodes by the program ffmpeg, which gets the frames through a pipe.

    It has a session of its own, so that Ctrl-C reaches this process alone. When this process is killed, the pipe ends,
    and ffmpeg finishes the file.

    Args:
        path: Path of the file.
        fps: Frames per second.
        size_wh: Width and height of the frames in pixels, both even.
        name: Name of ffmpeg's encoder.
    """

    def __init__(self, path: Path, fps: float, size_wh: tuple[int, int], name: str) -> None:
        self._path = path
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  closed by `close`
        flags = () if path.suffix.lower() == ".mkv" else ("-movflags", "+frag_keyframe+empty_moov+default_base_moof")
        command = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-y", "-f", "rawvideo"]
        command += ["-pix_fmt", "bgr24", "-s", "{}x{}".format(*size_wh), "-r", f"{fps:.6g}", "-i", "pipe:0"]
        command += ["-c:v", name, *dict(_FFMPEG_ENCODERS)[name], "-pix_fmt", "yuv420p"]
        command += ["-g", str(_frames_a_fragment(fps)), *flags, "-flush_packets", "1", f"file:{path}"]
        self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._errors, start_new_session=True
        )

    def write(self, picture_bgr: np.ndarray) -> None:
        """Send one frame to ffmpeg."""
        try:
            self._process.stdin.write(np.ascontiguousarray(picture_bgr).data)
        except OSError:  # ffmpeg is gone
            self._process.wait()
            raise StorageError(f"cannot write {self._path}: {self._reason()}") from None

    def close(self) -> None:
        """End the pipe, and wait until ffmpeg has finished the file."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            self._end(process)
        finally:
            self._errors.close()

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        try:
            with contextlib.suppress(OSError):
                process.stdin.close()
            process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise StorageError(f"cannot write {self._path}: ffmpeg did not end within {_END_TIMEOUT_S:g} s") from None
        if process.returncode:
            raise StorageError(f"cannot write {self._path}: {self._reason()}")

    def _reason(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return f"ffmpeg ended with '{said[-1] if said else 'no message'}'"


class OpenCvEncoder(Encoder):
    """Encodes by an open cv2.VideoWriter.

    Args:
        writer: Open writer.
    """

    def __init__(self, writer: cv2.VideoWriter) -> None:
        self._writer = writer

    def write(self, picture_bgr: np.ndarray) -> None:
        """Encode one frame; OpenCV keeps failures to itself."""
        self._writer.write(picture_bgr)

    def close(self) -> None:
        """Finish the file."""
        self._writer.release()


class FragmentEncoder(Encoder):
    """Encodes by OpenCV into short files, each of which becomes a fragment of the MP4 file.

    Args:
        path: Path of the file.
        fps: Frames per second.
        size_wh: Width and height of the frames in pixels, both even.
        codec: OpenCV's code of the codec.

    Raises:
        _NoCodecError: This OpenCV lacks the codec.
    """

    def __init__(self, path: Path, fps: float, size_wh: tuple[int, int], codec: str) -> None:
        handle, name = tempfile.mkstemp(prefix=temporary_prefix(), suffix=".mp4", dir=path.parent)
        os.close(handle)
        self._path, self._short_path = path, Path(name)
        self._settings = (cv2.VideoWriter_fourcc(*codec), fps, size_wh)
        self._most_frames = _frames_a_fragment(fps)
        self._frames = 0
        self._file: IO[bytes] | None = None
        self._writer = cv2.VideoWriter(name, *self._settings)
        if not self._writer.isOpened():
            self._short_path.unlink()
            raise _NoCodecError(codec)
        self._file = open(path, "w+b")  # noqa: SIM115  closed by `close`
        self._fragments = FragmentWriter(self._file)

    def write(self, picture_bgr: np.ndarray) -> None:
        """Encode one frame; the last one of a fragment writes it into the file."""
        if self._frames == self._most_frames:
            self._end_fragment()
            self._writer.open(str(self._short_path), *self._settings)
        self._writer.write(picture_bgr)
        self._frames += 1

    def close(self) -> None:
        """Write the last fragment, and the duration."""
        file, self._file = self._file, None
        if file is None:
            return
        try:
            if self._frames:
                self._end_fragment()
            self._fragments.finish()
        except OSError as error:
            raise StorageError(f"cannot write {self._path}: {error.strerror or error}") from None
        finally:
            self._writer.release()
            file.close()
            with contextlib.suppress(OSError):
                self._short_path.unlink()

    def _end_fragment(self) -> None:
        self._writer.release()
        try:
            written = self._fragments.append(self._short_path.read_bytes())
        except (OSError, ValueError) as error:
            raise StorageError(f"cannot write {self._path}: {error}") from None
        if written < self._frames:
            raise StorageError(f"cannot write {self._path}: {written} of {self._frames} frames were encoded")
        self._frames = 0


class _NoCodecError(Exception):
    """OpenCV has no encoder of a codec."""


def _frames_a_fragment(fps: float) -> int:
    return max(round(FRAGMENT_S * fps), 1)
