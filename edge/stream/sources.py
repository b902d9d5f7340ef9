"""Parser of the option --source: `camera:0`, `rtsp://...`, a pipeline or a path becomes a frame source.

Adding a kind of source: a function in captures.py that opens it, and its form here in `open_source` and SOURCE_FORMS.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Callable

from edge.console import parse_size
from edge.errors import SizeError, SourceError
from edge.imaging import IMAGE_SUFFIXES, list_images
from edge.stream import captures
from edge.stream.base import FrameSource
from edge.stream.captures import Capture, mask_credentials
from edge.stream.file_sources import PictureSource, SequentialSource
from edge.stream.live import LiveSource

SYNTHETIC_SIZE = (360, 640)
CAMERA_OPTIONS = ("width", "height", "fps")
CSI_OPTIONS = ("width", "height", "fps", "flip")
STREAM_SCHEMES = ("rtsp", "rtsps", "http", "https", "udp", "rtmp", "rtmps", "rtp", "tcp", "srt")
"""Schemes of network addresses, in small or capital letters; which of them work is up to the FFmpeg of OpenCV."""

SOURCE_FORMS = (
    "a picture, a folder of pictures, a video file, camera:0, /dev/video0, rtsp://..., http://... or https://... "
    "(MJPEG, or a video file by its suffix), udp://..., rtmp://..., a GStreamer pipeline ('v4l2src ! videoconvert ! "
    "appsink'), csi:0, csi://0?width=1280&height=720&fps=30&flip=0, synthetic or synthetic:HEIGHTxWIDTH"
)

_VIDEO_FILE_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".flv", ".ogv")


def open_source(
    text: str, real_time: bool = False, timeout_s: float = 10.0, skip_bad: bool | None = None
) -> FrameSource:
    """Return the source that a text names; its `open`, or a `with` block, opens it.

    Args:
        text: Text in one of SOURCE_FORMS; a plain number is a camera.
        real_time: Whether a video file or drawn scenes play at their own rate, and late frames are dropped.
        timeout_s: Longest wait in s for a live source to open, and for its frames.
        skip_bad: Whether pictures of a folder that cannot be read are left out, instead of refused.

    Raises:
        SourceError: The text has no known form, or there is no such file.
        ImageError: The folder holds no picture, or one that cannot be read.
    """
    text = text.strip()
    if not text:
        raise SourceError(f"source is empty: is a variable empty? Expected {SOURCE_FORMS}")
    synthetic = re.fullmatch(r"synthetic(?::(.+))?", text)
    if synthetic:
        return _paced("synthetic scenes", _synthetic_opener(synthetic[1]), real_time)
    csi = re.fullmatch(r"csi:(?://)?(\d+)(?:\?(.*))?", text)
    if csi:
        options = _options(text, csi[2], CSI_OPTIONS)
        return LiveSource(f"csi:{csi[1]}", lambda: captures.open_csi(int(csi[1]), options), timeout_s)
    camera = re.fullmatch(r"(?:camera:(?://)?|/dev/video)?(\d+)(?:\?(.*))?", text)
    if camera:
        options = _options(text, camera[2], CAMERA_OPTIONS)
        return LiveSource(f"camera {camera[1]}", lambda: captures.open_camera(int(camera[1]), options), timeout_s)
    if re.search(r"\s!\s", text):
        # The pipeline of a file, or of a number of buffers, may end.
        has_end = re.search(r"\bfilesrc\b|\bnum-buffers=[1-9]", text) is not None
        description = f"pipeline {mask_credentials(text)}"
        return LiveSource(description, lambda: captures.open_pipeline(text), timeout_s, has_end)
    scheme, separator, rest = text.partition("://")
    if separator and rest and scheme.lower() in STREAM_SCHEMES:
        return _network_source(f"{scheme.lower()}://{rest}", timeout_s)
    if "://" in text or re.match(r"(camera|csi):", text):
        raise SourceError(f"source '{mask_credentials(text)}' means nothing here, expected {SOURCE_FORMS}")
    if text.startswith("/dev/"):
        return LiveSource(f"camera {text}", lambda: captures.open_camera(text, {}), timeout_s)
    return _path_source(text, real_time, skip_bad)


def _path_source(text: str, real_time: bool, skip_bad: bool | None) -> FrameSource:
    path = Path(text)
    if path.is_dir():
        return PictureSource(list_images(path), f"folder {path}", skip_bad)
    if not path.is_file():
        raise SourceError(f"source '{mask_credentials(text)}' not found: no such file, and none of {SOURCE_FORMS}")
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return PictureSource([path], f"picture {path}")
    source = _paced(f"video {path}", lambda: captures.open_video_file(path), real_time, has_times=True)
    source.files = frozenset([path.resolve()])
    return source


def _network_source(url: str, timeout_s: float) -> FrameSource:
    """Return the source of a network address: a file by its suffix over http, else a live stream."""
    description = f"stream {mask_credentials(url)}"

    def open_capture() -> Capture:
        return captures.open_stream(url, timeout_s)

    path = re.split(r"[?#]", url)[0].lower()
    if url.startswith("http") and path.endswith(_VIDEO_FILE_SUFFIXES):
        return SequentialSource(description, open_capture)
    return LiveSource(description, open_capture, timeout_s)


def _paced(
    description: str, open_capture: Callable[[], Capture], real_time: bool, has_times: bool = False
) -> FrameSource:
    if real_time:
        return LiveSource(description, lambda: captures.PacedCapture(open_capture()), has_end=True)
    return SequentialSource(description, open_capture, has_times)


def _synthetic_opener(size: str | None) -> Callable[[], Capture]:
    try:
        height, width = parse_size(size) if size else SYNTHETIC_SIZE
    except SizeError as error:
        raise SourceError(f"source 'synthetic:{size}': {error}") from None
    return lambda: captures.SyntheticCapture(height, width)


def _options(text: str, query: str | None, known: tuple[str, ...]) -> dict[str, int]:
    options = {}
    for part in filter(None, (query or "").split("&")):
        name, _, value = part.partition("=")
        if name not in known or not value.isdecimal():
            raise SourceError(
                f"source '{text}' has the option '{part}', expected a whole number for {', '.join(known)}"
            )
        options[name] = int(value)
    return options
