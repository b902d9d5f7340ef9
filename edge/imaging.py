"""Reading and writing pictures, with OpenCV, which every machine of the project has."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

from edge.artifacts import atomic_path
from edge.console import storage_error
from edge.errors import ImageError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


def _decode(path: str | os.PathLike, flags: int) -> np.ndarray:
    # Decoding from memory, since cv2.imread returns None alike for a missing and a damaged file
    # and cannot open every path on every platform.
    try:
        data = np.fromfile(os.fspath(path), np.uint8)
    except FileNotFoundError:
        raise ImageError(f"image not found: {path}") from None
    except (IsADirectoryError, PermissionError) as error:
        raise ImageError(f"image {path} cannot be read: {error.strerror}") from None
    try:
        image = cv2.imdecode(data, flags) if data.size else None
    except cv2.error:
        image = None
    if image is None:
        raise ImageError(f"image {path} cannot be decoded ({data.size} bytes): it is damaged, or no image")
    return image


def read_rgb(path: str | os.PathLike) -> np.ndarray:
    """Read a picture as (height, width, 3) uint8 RGB, whatever it was stored as."""
    return cv2.cvtColor(_decode(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def read_ids(path: str | os.PathLike) -> np.ndarray:
    """Read a label map as it is stored: (height, width), uint8 or uint16.

    Raises:
        ImageError: the file is missing, damaged, or has colour channels.
    """
    ids = _decode(path, cv2.IMREAD_UNCHANGED)
    if ids.ndim != 2:
        raise ImageError(f"label map {path} has {ids.shape[2]} channels, expected 1 channel of ids")
    return ids


def write_image(path: str | os.PathLike, pixels: np.ndarray) -> None:
    """Write a picture whole, or leave what was there.

    Args:
        path: the file; its suffix chooses the format.
        pixels: (height, width, 3) uint8 RGB, or (height, width) uint8 or uint16 ids.
    """
    stored = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    done, data = cv2.imencode(Path(path).suffix, stored)
    if not done:
        raise ImageError(f"cannot encode {path}: unknown picture format '{Path(path).suffix}'")
    with atomic_path(path) as temporary:
        try:
            data.tofile(str(temporary))
        except OSError as error:
            raise storage_error(error, path) from error


def list_images(folder: str | os.PathLike) -> list[Path]:
    """Return the pictures of a folder in the order of their names.

    Raises:
        ImageError: the folder is missing or holds no picture.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ImageError(f"folder not found: {folder}")
    paths = sorted(path for path in root.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise ImageError(f"folder {folder} holds no picture ({', '.join(IMAGE_SUFFIXES)})")
    return paths
