"""Captures through OpenCV: video files, cameras, RTSP streams, CSI cameras; and drawn scenes.

Every function returns a Capture, or raises an error of one line. OpenCV's own messages are silenced, since they repeat
the failure in three lines and may contain the password of a stream.
"""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from edge.errors import SourceError
from edge.imaging import silence_opencv_log


class Capture(Protocol):
    """Methods of cv2.VideoCapture that sources use."""

    def read(self) -> tuple[bool, np.ndarray | None]:
        """Return whether there was a frame, and its (height, width, 3) uint8 BGR pixels."""

    def grab(self) -> bool:
        """Skip a frame; return whether there was one."""

    def get(self, prop: int) -> float:
        """Return a cv2.CAP_PROP_* value; 0 where it is not known."""

    def release(self) -> None:
        """Close the device or file."""


def mask_credentials(text: str) -> str:
    """Return an address without its user and password, and without passwords in its query."""
    without_user = re.sub(r"(?<=://)\S*@", "***@", text)
    return re.sub(r"(?i)((?:password|passwd|pass|pwd|token)=)[^&\s]*", r"\1***", without_user)


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


def open_rtsp(url: str, timeout_s: float) -> Capture:
    """Open a network stream as a capture.

    Args:
        url: Address that starts with rtsp:// or rtsps://.
        timeout_s: Longest wait in s for an answer, and later for a frame.

    Raises:
        SourceError: There is no answer, or the answer is not a video.
    """
    silence_capture_logs()
    capture = _timed_capture(url, max(int(1000 * timeout_s), 1))
    if not capture.isOpened():
        raise SourceError(
            f"stream {mask_credentials(url)} cannot be opened (waited up to {timeout_s:g} s): nobody answers there, or "
            "name, password or path are wrong. Next: check the address in a player"
        )
    return capture


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
    if not has_gstreamer():
        raise SourceError(
            f"csi:{sensor} needs an OpenCV with GStreamer; this one ({cv2.__version__}) was built without. "
            "Next: on a Jetson, pip uninstall opencv-python opencv-python-headless, sudo apt install python3-opencv"
        )
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
        frame_rgb = self._video.frame_rgb(self._next)
        self._next += 1
        return True, cv2.cvtColor(frame_rgb, cv2.COLOR_RGB2BGR)

    def grab(self) -> bool:
        """Skip a frame without drawing it."""
        self._next += 1
        return True

    def get(self, prop: int) -> float:
        """Return the frame rate or a side of the frames; 0 for other properties."""
        return float(self._properties.get(prop, 0.0))

    def release(self) -> None:
        """Do nothing, since there is no device or file."""


class PacedCapture:
    """Gives the frames of a file when they are due, as a camera would.

    Overdue frames are skipped, so that the scene runs as fast as real time.

    Args:
        capture: Capture that is paced; its first frame is due at once.
    """

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._frame_s = 1.0 / (capture.get(cv2.CAP_PROP_FPS) or 25.0)
        self._start_s: float | None = None
        self._next = 0

    def read(self) -> tuple[bool, np.ndarray | None]:
        """Wait until the next frame is due, and return it."""
        now_s = time.perf_counter()
        if self._start_s is None:
            self._start_s = now_s
        while self._next < int((now_s - self._start_s) / self._frame_s):
            if not self.grab():
                return False, None
        time.sleep(max(self._start_s + self._next * self._frame_s - now_s, 0.0))
        self._next += 1
        return self._capture.read()

    def grab(self) -> bool:
        """Skip a frame; return whether there was one."""
        self._next += 1
        return self._capture.grab()

    def get(self, prop: int) -> float:
        """Return a property of the paced capture."""
        return self._capture.get(prop)

    def release(self) -> None:
        """Close the paced capture."""
        self._capture.release()


def silence_capture_logs() -> None:
    """Keep messages of OpenCV and FFmpeg off stderr, unless environment variables of the user ask for them."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET
    silence_opencv_log()
