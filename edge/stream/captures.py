"""Captures through OpenCV: video files, cameras, network streams, GStreamer pipelines, CSI cameras; and drawn scenes.

Every function returns a Capture, or raises an error of one line. OpenCV's own messages are silenced, since they repeat
the failure in three lines and may contain the password of a stream.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from pathlib import Path
from typing import Any, Iterator, Protocol

import numpy as np

from edge.errors import SourceError
from edge.imaging import silence_opencv_log
from edge.opencv import cv2


class Capture(Protocol):
    """Methods of cv2.VideoCapture that sources use."""

    def read(self) -> tuple[bool, np.ndarray | None]:
        """Return whether there was a frame, and its (height, width, 3) uint8 BGR pixels."""

    def grab(self) -> bool:
        """Go to the next frame; return whether there was one."""

    def retrieve(self) -> tuple[bool, np.ndarray | None]:
        """Return the frame that `grab` went to, as `read` does."""

    def get(self, prop: int) -> float:
        """Return a cv2.CAP_PROP_* value; 0 where it is not known."""

    def release(self) -> None:
        """Close the device or file."""


_LONGEST_STEP_S = 600.0

_SECRET_NAMES = r"(?:password|passwd|pass|pwd|pw|token|secret|key|auth|signature|sig|credentials?)"


def mask_credentials(text: str) -> str:
    """Return an address or a pipeline without user and password, and without passwords in its query or properties."""
    without_user = re.sub(r"(?i)([a-z][a-z0-9+.-]*:/+)(?!/)[^\s\"']+@", r"\1***@", text)
    # An address whose scheme was forgotten: admin:secret@10.0.0.1/live
    without_user = re.sub(r"(?i)(?<![^\s\"'])(?!\S*:/)[^\s/@:\"']+:[^\s@\"']+@", "***@", without_user)
    return re.sub(rf"(?i)({_SECRET_NAMES}=)(?:\"[^\"]*\"|'[^']*'|[^&\s]*)", r"\1***", without_user)


def has_gstreamer() -> bool:
    """Return whether this OpenCV was built with GStreamer."""
    return re.search(r"GStreamer:\s+YES", cv2.getBuildInformation()) is not None


def open_video_file(path: str | os.PathLike) -> Capture:
    """Open a video file as a capture.

    Raises:
        SourceError: The file is damaged, or OpenCV cannot decode it.
    """
    silence_capture_logs()
    capture = cv2.VideoCapture(os.fspath(path))
    if not capture.isOpened():
        raise SourceError(
            f"video {path} ({Path(path).stat().st_size} bytes) cannot be opened: it is damaged, no video, or of a "
            "format that this OpenCV cannot decode. Next: try it in a player, or convert it to H.264 in an mp4"
        )
    return capture


def open_camera(device: int | str, options: dict[str, int]) -> Capture:
    """Open a USB camera as a capture.

    Args:
        device: Number of the camera, or its path under /dev.
        options: Values of "width", "height" and "fps" that the camera is asked for; it may choose others.

    Raises:
        SourceError: There is no such camera, another program uses it, or this user may not open it.
    """
    silence_capture_logs()
    on_linux = sys.platform.startswith("linux")
    path = device if isinstance(device, str) else f"/dev/video{device}"
    if on_linux and not Path(path).exists():
        found = ", ".join(sorted(str(node) for node in Path("/dev").glob("video*"))) or "no camera at all"
        raise SourceError(f"camera {path} not found; this machine has {found}. Next: plug it in, or name another")
    if on_linux and not os.access(path, os.R_OK | os.W_OK):
        raise SourceError(
            f"camera {path} is not open to this user. Next: sudo usermod -aG video $USER, and log in again"
        )
    capture = cv2.VideoCapture(device, cv2.CAP_V4L2 if on_linux else cv2.CAP_ANY)
    if not capture.isOpened():
        raise SourceError(
            f"camera {path} cannot be opened: another program has it, or it gives no video. "
            "Next: close other programs that use it, or name another"
        )
    # A queue of one, so that a frame is not seconds old when it is read.
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    properties = {"width": cv2.CAP_PROP_FRAME_WIDTH, "height": cv2.CAP_PROP_FRAME_HEIGHT, "fps": cv2.CAP_PROP_FPS}
    for name, value in options.items():
        capture.set(properties[name], value)
    return capture


def open_stream(url: str, timeout_s: float) -> Capture:
    """Open a network stream, or a video file behind a network address, as a capture.

    Args:
        url: Address with one of the schemes of edge.stream.sources.STREAM_SCHEMES.
        timeout_s: Longest wait in s for an answer, and later for a frame.

    Raises:
        SourceError: There is no answer, or the answer is not a video.
    """
    silence_capture_logs()
    with _short_probe() if url.startswith("rtmp") else contextlib.nullcontext():
        capture = _timed_capture(url, max(int(1000 * timeout_s), 1))
    if not capture.isOpened():
        raise SourceError(
            f"stream {mask_credentials(url)} cannot be opened (waited up to {timeout_s:g} s): nobody answers there, "
            f"name, password or path are wrong, or this OpenCV ({cv2.__version__}) does not speak "
            f"{url.partition('://')[0]}. Next: check the address in a player"
        )
    return capture


_FFMPEG_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"


@contextlib.contextmanager
def _short_probe() -> Iterator[None]:
    """Let FFmpeg look at a stream for 1.5 s before it gives frames, unless the user has set its options.

    It looks for the sound of an RTMP stream for longer than any timeout where there is none. The timeout then cuts into
    a packet, and the stream breaks off after the frames that had come.
    """
    if _FFMPEG_OPTIONS in os.environ:
        yield
        return
    os.environ[_FFMPEG_OPTIONS] = "analyzeduration;1500000"
    try:
        yield
    finally:
        os.environ.pop(_FFMPEG_OPTIONS, None)


def _timed_capture(url: str, timeout_ms: int) -> Any:
    # OpenCV before 4.5.2 knows no timeouts; the reader thread of a LiveSource has its own.
    names = ("CAP_PROP_OPEN_TIMEOUT_MSEC", "CAP_PROP_READ_TIMEOUT_MSEC")
    backends = cv2.videoio_registry.getStreamBackends()
    if cv2.CAP_FFMPEG in backends and all(hasattr(cv2, name) for name in names):
        parameters = [value for name in names for value in (getattr(cv2, name), timeout_ms)]
        return cv2.VideoCapture(url, cv2.CAP_FFMPEG, parameters)
    return cv2.VideoCapture(url)


def csi_pipeline(sensor: int, width: int = 1280, height: int = 720, fps: int = 30, flip: int = 0) -> str:
    """Return the GStreamer pipeline of a Jetson's CSI camera.

    Args:
        sensor: Number of the sensor, the sensor-id of nvarguscamerasrc.
        width: Columns in pixels that the sensor is asked for; the size must be one of its modes.
        height: Rows in pixels that the sensor is asked for.
        fps: Frames per second that the sensor is asked for.
        flip: Value of flip-method of nvvidconv, 0 to 7 (2 turns by 180 degrees).

    Source: NVIDIA Jetson Linux developer guide, "Accelerated GStreamer"; the sink keeps one frame

    and drops older ones.
    """
    elements = (
        f"nvarguscamerasrc sensor-id={sensor}",
        f"video/x-raw(memory:NVMM), width=(int){width}, height=(int){height}, framerate=(fraction){fps}/1",
        f"nvvidconv flip-method={flip}",
        "video/x-raw, format=(string)BGRx",
        "videoconvert",
        "video/x-raw, format=(string)BGR",
        "appsink drop=true max-buffers=1 sync=false",
    )
    return " ! ".join(elements)


def open_csi(sensor: int, options: dict[str, int]) -> Capture:
    """Open a CSI camera of a Jetson as a capture.

    Args:
        sensor: Number of the sensor.
        options: Keyword arguments of csi_pipeline.

    Raises:
        SourceError: This OpenCV was built without GStreamer, or the camera does not answer.
    """
    require_gstreamer(f"csi:{sensor}")
    silence_capture_logs()
    pipeline = csi_pipeline(sensor, **options)
    capture = cv2.VideoCapture(pipeline, cv2.CAP_GSTREAMER)
    if not capture.isOpened():
        raise SourceError(
            f"csi:{sensor} cannot be opened: no such sensor, no such mode, or another program has it. "
            f"Next: sudo systemctl restart nvargus-daemon, then try: gst-launch-1.0 {pipeline.rsplit(' ! ', 1)[0]} ! "
            "fakesink"
        )
    return capture


_TO_APPSINK = "videoconvert ! video/x-raw, format=(string)BGR ! appsink drop=true max-buffers=1 sync=false"


def complete_pipeline(pipeline: str) -> str:
    """Return a GStreamer pipeline that ends in an appsink: as it is, or with a conversion to BGR and an appsink."""
    pipeline = pipeline.strip().strip("!").strip()
    return pipeline if re.search(r"\bappsink\b", pipeline) else f"{pipeline} ! {_TO_APPSINK}"


def open_pipeline(pipeline: str) -> Capture:
    """Open a GStreamer pipeline, as gst-launch-1.0 takes it, as a capture.

    Args:
        pipeline: Elements with " ! " between them; where no appsink is among them, one is put at the end.

    Raises:
        SourceError: This OpenCV was built without GStreamer, or the pipeline cannot be started.
    """
    require_gstreamer("GStreamer pipeline")
    silence_capture_logs()
    capture = cv2.VideoCapture(complete_pipeline(pipeline), cv2.CAP_GSTREAMER)
    if not capture.isOpened():
        elements = mask_credentials(pipeline).split(" ! appsink")[0]
        raise SourceError(
            f"GStreamer pipeline '{mask_credentials(pipeline)}' cannot be started: an element is missing or misspelt, "
            f"or its device does not answer. Next: gst-launch-1.0 {elements} ! fakesink"
        )
    return capture


def require_gstreamer(what: str) -> None:
    """Check that this OpenCV was built with GStreamer.

    Args:
        what: Name of what needs it, for the message.

    Raises:
        SourceError: It was built without.
    """
    if not has_gstreamer():
        raise SourceError(
            f"{what} needs an OpenCV with GStreamer; this one ({cv2.__version__}) was built without, as all from pip "
            "are. Next: pip uninstall opencv-python opencv-python-headless, sudo apt install python3-opencv, in an "
            "environment made with --system-site-packages"
        )


class SyntheticCapture:
    """A drive along a drawn street, as a capture without an end.

    Args:
        height: Rows of a frame, in pixels.
        width: Columns of a frame, in pixels.
        seed: Seed of the street.
    """

    FPS = 30.0

    def __init__(self, height: int, width: int, seed: int = 0) -> None:
        from edge.synthetic.camera_size import CameraVideo

        self._video = CameraVideo(height, width, seed, self.FPS)
        self._next = 0
        self._properties = {
            cv2.CAP_PROP_FPS: self.FPS,
            cv2.CAP_PROP_FRAME_HEIGHT: height,
            cv2.CAP_PROP_FRAME_WIDTH: width,
        }

    def read(self) -> tuple[bool, np.ndarray | None]:
        """Draw the next frame."""
        self.grab()
        return self.retrieve()

    def grab(self) -> bool:
        """Skip a frame without drawing it."""
        self._next += 1
        return True

    def retrieve(self) -> tuple[bool, np.ndarray | None]:
        """Draw the frame that was gone to."""
        return True, cv2.cvtColor(self._video.frame_rgb(self._next - 1), cv2.COLOR_RGB2BGR)

    def get(self, prop: int) -> float:
        """Return the frame rate or a side of the frames; 0 for other properties."""
        return float(self._properties.get(prop, 0.0))

    def release(self) -> None:
        """Do nothing, since there is no device or file."""


class PacedCapture:
    """Gives the frames of a file when they are due, as a camera would.

    Frames whose successor is due are skipped, so that the scene runs as fast as real time. A frame is due at its own
    time in the file; where the file has none, frames are evenly spaced by its frame rate.

    Args:
        capture: Capture that is paced; its first frame is due at once.
    """

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._frame_s = 1.0 / (reported_fps(capture) or 25.0)
        self._times = FrameTimes(self._frame_s)
        self._start_s: float | None = None

    def read(self) -> tuple[bool, np.ndarray | None]:
        """Wait until the next frame is due, and return it."""
        now_s = time.perf_counter()
        if self._start_s is None:
            self._start_s = now_s
        while self._capture.grab():
            due_s = self._times.of(self._capture)
            if due_s > now_s - self._start_s - self._frame_s:
                time.sleep(max(self._start_s + due_s - now_s, 0.0))
                return self._capture.retrieve()
        return False, None

    def grab(self) -> bool:
        """Skip a frame; return whether there was one."""
        return self._capture.grab()

    def retrieve(self) -> tuple[bool, np.ndarray | None]:
        """Return the frame that was gone to."""
        return self._capture.retrieve()

    def get(self, prop: int) -> float:
        """Return a property of the paced capture."""
        return self._capture.get(prop)

    def release(self) -> None:
        """Close the paced capture."""
        self._capture.release()


class FrameTimes:
    """The times of a file's frames, which are those of the file where they grow, and evenly spaced elsewhere.

    Args:
        frame_s: Time in s from one frame to the next where the file gives none.
    """

    def __init__(self, frame_s: float) -> None:
        self._frame_s = frame_s
        self._first_ms: float | None = None
        self._last_s = -frame_s

    def of(self, capture: Capture) -> float:
        """Return the time in s of the frame that a capture has just gone to; 0 for the first, then always growing."""
        position_ms = capture.get(cv2.CAP_PROP_POS_MSEC)
        if self._first_ms is None:
            self._first_ms = position_ms
            self._last_s = 0.0
            return 0.0
        time_s = (position_ms - self._first_ms) / 1000.0
        # A longer step is a broken time stamp.
        if not self._last_s < time_s < self._last_s + _LONGEST_STEP_S:
            time_s = self._last_s + self._frame_s
        self._last_s = time_s
        return time_s


def reported_fps(capture: Capture) -> float | None:
    """Return the frame rate that a capture reports; None where the value makes no sense."""
    fps = capture.get(cv2.CAP_PROP_FPS)
    return fps if 0.1 <= fps <= 1000.0 else None


def silence_capture_logs() -> None:
    """Keep messages of OpenCV and FFmpeg off stderr, unless environment variables of the user ask for them."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET
    silence_opencv_log()
