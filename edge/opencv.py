"""OpenCV, or in its place something that names the install command where a picture is first touched.

OpenCV is not a requirement of the package: on a Jetson it comes from JetPack, and a wheel would hide it. So every
module takes it from here and imports without it, and commands explain themselves; the first use of it raises the error.
An OpenCV that is there and cannot be loaded (no libGL, built for another NumPy) is the same error with the reason.
"""

from __future__ import annotations

from typing import Any

from edge.errors import MissingDependencyError

INSTALL_COMMAND = "pip install opencv-python-headless, on a Jetson sudo apt install python3-opencv"


class _MissingOpenCV:
    """Stands where the module would be: each function of it is the error, constants may be read."""

    __version__ = "0.0.0"  # older than any, for modules that choose by it when they are imported

    def __init__(self, state: str, install: str) -> None:
        self._state, self._install = state, install

    def __getattr__(self, name: str) -> int:
        if name.startswith("__"):  # what inspect, copy and doctest ask of any object
            raise AttributeError(name)
        if name.isupper():  # INTER_LINEAR and the like, which modules read when they are imported
            return -1
        raise MissingDependencyError("OpenCV", "work on pictures", self._install, self._state)


cv2: Any
try:
    import cv2
except ModuleNotFoundError:
    cv2 = _MissingOpenCV("is not installed", INSTALL_COMMAND)
except ImportError as error:  # it is installed, and one of its libraries is not
    _reason = " ".join(str(error).split())[:160].rstrip(".")
    cv2 = _MissingOpenCV(f"cannot be loaded: {_reason}", "edge-bench doctor, which names what mends it")


def require_opencv() -> None:
    """Refuse to begin where OpenCV is missing, for a command that writes something before it first draws or reads.

    Raises:
        MissingDependencyError: OpenCV is not installed, or cannot be loaded.
    """
    if isinstance(cv2, _MissingOpenCV):
        cv2.resize  # noqa: B018 - any function of it is the error
