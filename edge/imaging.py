"""Reading and writing of pictures with OpenCV, which every machine of the project has."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from edge.artifacts import write_bytes
from edge.errors import ImageError
from edge.opencv import cv2

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

_PNG_SIGNATURE, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND"
_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8\xff", b"\xff\xda", b"\xff\xd9"


def silence_opencv_log() -> None:
    """Keep OpenCV's own log off stderr, so that an error is one line; $OPENCV_LOG_LEVEL overrides this.

    OpenCV 5 has the setting in another module than OpenCV 4.
    """
    if "OPENCV_LOG_LEVEL" in os.environ:
        return
    for module in (getattr(getattr(cv2, "utils", None), "logging", None), cv2):
        if hasattr(module, "setLogLevel"):
            module.setLogLevel(0)
            return


def _is_truncated(data: bytes) -> bool:
    # Decoders of some releases fill up what is missing with grey, and call it a picture.
    if data.startswith(_PNG_SIGNATURE):
        return _PNG_END not in data
    # Within a scan 0xFF is stuffed, so that only a true marker can follow the last scan's start.
    return data.startswith(_JPEG_START) and data.rfind(_JPEG_END) < data.rfind(_JPEG_SCAN)


def _decode(path: str | os.PathLike, flags: int) -> np.ndarray:
    # Decoding from memory, since cv2.imread returns None alike for a missing and a damaged file
    # and cannot open every path on every platform.
    try:
        data = Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError(f"image not found: {path}") from None
    except OSError as error:
        raise ImageError(f"image {path} cannot be read: {error.strerror or error}") from None
    silence_opencv_log()
    try:
        image = None if not data or _is_truncated(data) else cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise ImageError(f"image {path} cannot be decoded ({len(data)} bytes): it is damaged, or no image")
    return image


def read_rgb(path: str | os.PathLike) -> np.ndarray:
    """Read a picture as (height, width, 3) uint8 RGB, whatever channels and depth the file has."""
    return cv2.cvtColor(_decode(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def read_ids(path: str | os.PathLike) -> np.ndarray:
    """Read a label map without conversion: (height, width), uint8 or uint16.

    Raises:
        ImageError: The file is missing, damaged, or has colour channels.
    """
    ids = _decode(path, cv2.IMREAD_UNCHANGED)
    if ids.ndim != 2:
        raise ImageError(f"label map {path} has {ids.shape[2]} channels, expected 1 channel of ids")
    return ids


def write_image(path: str | os.PathLike, pixels: np.ndarray) -> None:
    """Write a picture as a whole; after a failure the old file is still there.

    Args:
        path: Path of the file; its suffix chooses the format.
        pixels: (height, width, 3) uint8 RGB, or (height, width) uint8 or uint16 ids.

    Raises:
        ImageError: The suffix is not that of a known picture format.
        StorageError: The file cannot be written.
    """
    suffix = Path(path).suffix
    if suffix.lower() not in IMAGE_SUFFIXES:
        raise ImageError(f"picture {path} has the suffix '{suffix}', expected one of: {', '.join(IMAGE_SUFFIXES)}")
    stored = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    done, data = cv2.imencode(suffix, stored)
    if not done:
        raise ImageError(f"picture {path} cannot be encoded as {suffix}")
    write_bytes(path, data.tobytes())


def list_images(folder: str | os.PathLike) -> list[Path]:
    """Return the pictures of a folder in the order of their names.

    Raises:
        ImageError: The folder is missing or holds no picture.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ImageError(f"folder not found: {folder}")
    try:
        paths = sorted(path for path in root.iterdir() if _is_picture(path))
    except OSError as error:
        raise ImageError(f"folder {folder} cannot be read: {error.strerror or error}") from None
    if not paths:
        raise ImageError(f"folder {folder} holds no picture ({', '.join(IMAGE_SUFFIXES)})")
    return paths


def _is_picture(path: Path) -> bool:
    # A name with a leading dot is a file that is being written, or what macOS leaves beside a picture.
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
