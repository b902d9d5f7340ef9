"""Sinks of finished pictures: a window, a picture file, a folder of pictures, a video file."""

from __future__ import annotations

import os
import re
import socket
import sys
from pathlib import Path

import numpy as np

from edge.errors import InputError
from edge.imaging import IMAGE_SUFFIXES, write_image
from edge.opencv import cv2
from edge.output_check import check_output, check_output_file
from edge.stream.base import Frame, FrameSource, Sink
from edge.stream.lettering import ascii_text
from edge.stream.video_file import VIDEO_SUFFIXES, VideoSink

PICTURES_FPS = 2.0
"""Frames a second of a video that is made of pictures."""

UNKNOWN_FPS = 25.0
"""Frames a second of a video whose source reports no rate."""

_QUIT_KEYS = (ord("q"), ord("Q"), 27)
_INSTEAD = "--output FILE.mp4, FILE.png or FOLDER"


def open_sink(output: Path | None, source: FrameSource) -> Sink:
    """Return the sink that an --output names; nothing is written before the first picture.

    Args:
        output: Path of a picture file, a video file or a folder; None for a window.
        source: Open source, whose rate a video takes over, and whose files must not be changed.

    Raises:
        InputError: No window is possible here, the suffix is unknown, or the output would write over the source.
        StorageError: The output cannot be written to.
    """
    if output is None:
        return WindowSink(source.description, wait_for_key=source.shows_pictures)
    suffix = output.suffix.lower()
    is_file = not output.is_dir() and suffix != ""
    target = output.resolve()
    if target in (source.files if is_file else {file.parent for file in source.files}):
        raise InputError(f"--output {output} is where {source.description} is read from. Next: choose another")
    if not is_file:
        if output.exists() and not output.is_dir():
            raise InputError(f"--output {output} is a file, expected a folder or a name with a suffix")
        check_output(output)
        return FolderSink(output, keeps_earlier=source.is_live)
    if suffix in (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES):
        check_output_file(output)
    if suffix in IMAGE_SUFFIXES:
        if source.shows_pictures and source.length != 1:
            raise InputError(
                f"--output {output} is one picture, {source.description} has {source.length}. Next: name a folder"
            )
        return PictureSink(output)
    if suffix in VIDEO_SUFFIXES:
        fps = PICTURES_FPS if source.shows_pictures else source.fps or UNKNOWN_FPS
        return VideoSink(output, fps, by_clock=source.is_live)
    known = ", ".join((*VIDEO_SUFFIXES, *IMAGE_SUFFIXES))
    raise InputError(f"--output {output} is of an unknown format, expected {known}, or a folder")


class PictureSink(Sink):
    """Writes the first picture to a file, and wants no more."""

    def __init__(self, path: Path) -> None:
        self._path, self._written = path, False

    def show(self, frame: Frame, picture_bgr: np.ndarray) -> bool:
        """Write the picture, and return False, since one is enough."""
        write_image(self._path, cv2.cvtColor(picture_bgr, cv2.COLOR_BGR2RGB))
        self._written = True
        return False

    def close(self) -> None:
        """Do nothing, since the file is already complete."""

    @property
    def result(self) -> str | None:
        """Path of the picture file; None before it is written."""
        return str(self._path) if self._written else None


class FolderSink(Sink):
    """Writes every picture into a folder as `<name of the frame>.png`.

    Args:
        folder: Folder of the pictures.
        keeps_earlier: Whether pictures of an earlier run are not written over: a live source cannot be asked again.
            Those of the next run lie in `run-2` of the folder then, in `run-3`, and so on.
    """

    def __init__(self, folder: Path, keeps_earlier: bool = False) -> None:
        self._folder, self._keeps_earlier, self._written = folder, keeps_earlier, 0

    def show(self, frame: Frame, picture_bgr: np.ndarray) -> bool:
        """Write one picture into the folder."""
        if self._keeps_earlier and self._written == 0:
            self._folder = _without_frames(self._folder)
        write_image(self._folder / f"{frame.name}.png", cv2.cvtColor(picture_bgr, cv2.COLOR_BGR2RGB))
        self._written += 1
        return True

    def close(self) -> None:
        """Do nothing, since every file is already complete."""

    @property
    def result(self) -> str | None:
        """Path of the folder; None before the first picture."""
        return str(self._folder) if self._written else None


def _without_frames(folder: Path) -> Path:
    """Return a folder that holds no frames of an earlier run: the folder itself, or one in it."""
    path, number = folder, 1
    while any(path.glob("frame_*.png")):
        number += 1
        path = folder / f"run-{number}"
    return path


class WindowSink(Sink):
    """Shows pictures in a window; q, Esc or closing the window ends it.

    Args:
        title: Title of the window, which is shown in ASCII: not every window system takes more from OpenCV.
        wait_for_key: Whether every picture stays until a key is pressed.

    Raises:
        InputError: This machine or this OpenCV cannot open a window.
    """

    def __init__(self, title: str, wait_for_key: bool = False) -> None:
        check_window()
        self._title, self._wait_for_key, self._is_open = f"edge-demo: {ascii_text(title)}", wait_for_key, False

    def show(self, frame: Frame, picture_bgr: np.ndarray) -> bool:
        """Show one picture in the window."""
        try:
            if not self._is_open:
                cv2.namedWindow(self._title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
                cv2.resizeWindow(self._title, *picture_bgr.shape[1::-1])
                self._is_open = True
            cv2.imshow(self._title, picture_bgr)
            return self._wants_more()
        except cv2.error as error:
            reason = str(error).strip().splitlines()[-1]
            raise InputError(f"the window failed: {reason}. Next: {_INSTEAD}") from None

    def _wants_more(self) -> bool:
        while True:
            key = cv2.waitKey(50 if self._wait_for_key else 1)
            closed = cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1
            if closed or (key != -1 and (key & 0xFF) in _QUIT_KEYS):
                return False
            if key != -1 or not self._wait_for_key:
                return True

    def close(self) -> None:
        """Close the window if it is open."""
        if self._is_open:
            self._is_open = False
            try:
                cv2.destroyWindow(self._title)
            except cv2.error:
                pass  # the user has closed it already

    @property
    def result(self) -> str | None:
        """Always None, since a window leaves no file."""
        return None


def check_window() -> None:
    """Check that a window can be opened, before any work is done for it.

    Raises:
        InputError: This machine or this OpenCV cannot open a window.
    """
    problem = window_problem()
    if problem:
        raise InputError(f"no window can be opened: {problem}. Next: {_INSTEAD}")


def window_problem() -> str | None:
    """Return the reason why OpenCV cannot open a window here; None if it should be able to."""
    if re.search(r"GUI:\s+NONE", cv2.getBuildInformation()):
        return f"this OpenCV ({cv2.__version__}) was built without windows (opencv-python-headless)"
    if sys.platform.startswith("linux") and not os.environ.get("WAYLAND_DISPLAY"):
        display = os.environ.get("DISPLAY", "")
        if not display:
            return "there is no display (DISPLAY is not set)"
        if not _answers(display):
            return f"no X server answers on DISPLAY {display}"
    return None


def _answers(display: str) -> bool:
    """Return whether the X server that DISPLAY names can be reached, if it is of this machine.

    This is checked here because Qt ends the process when it cannot reach a server. A display of another machine, and
    one that ssh forwards, is assumed to be there.
    """
    local = re.fullmatch(r"(?:unix)?:(\d+)(?:\.\d+)?", display)
    if not local:
        return True
    path = f"/tmp/.X11-unix/X{local[1]}"
    for address in (path, "\0" + path):  # a server may listen on the abstract name alone
        with socket.socket(socket.AF_UNIX) as connection:
            if connection.connect_ex(address) == 0:
                return True
    return False
