"""Reading and writing of pictures with OpenCV, which every machine of the project has.

Every picture and every label map is read by the same rules, and gives the same pixels with OpenCV 4.5 to 5.0:

    orientation  a file is turned as its own EXIF or TIFF tag says, a frame and its label map alike: labelling tools
                 (labelme, CVAT) show a photo upright and draw on that
    depth        16 bits become 8 by the range of all pictures of the folder, edge/sample_depth.py
    colours      grey becomes three equal channels, transparency is left out, inks (CMYK) are converted
    wholeness    a truncated file is refused; bytes behind the end of a picture do no harm
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterable

import numpy as np

from edge.artifacts import write_bytes
from edge.console import print_note_once
from edge.errors import ImageError
from edge.opencv import cv2
from edge.picture_formats.description import UPRIGHT, PictureHeader
from edge.picture_formats.header import read_header
from edge.picture_formats.label_png import decode_label_png
from edge.picture_formats.png import PNG_SIGNATURE, indexed_as_grey, png_checksum_problem

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

_JUNK_NAMES = frozenset({"thumbs.db", "desktop.ini", "ehthumbs.db", "__macosx", "@eadir"})
"""Names, in lower case, that Windows, macOS and network storage leave in folders of pictures."""

_UNREAD_SUFFIXES = frozenset(
    (".heic", ".heif", ".avif", ".gif", ".jxl", ".jp2", ".dng", ".nef", ".cr2", ".arw", ".exr", ".hdr", ".pgm", ".ppm")
)
"""Suffixes of pictures that are not read; a folder of them is not passed over without a word."""

ReduceDepth = Callable[[np.ndarray], np.ndarray]
"""Function that makes (height, width, 3) uint8 of uint16 samples."""


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


def _read_file(path: str | os.PathLike) -> bytes:
    # Decoding is from memory, since cv2.imread returns None alike for a missing and a damaged file
    # and cannot open every path on every platform.
    try:
        return Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        if Path(path).is_symlink():
            raise ImageError(f"image {path} is a link to {os.readlink(path)}, which is not there") from None
        raise ImageError(f"image not found: {path}") from None
    except OSError as error:
        raise ImageError(f"image {path} cannot be read: {error.strerror or error}") from None


def _undecodable(path: str | os.PathLike, byte_count: int, problem: str) -> ImageError:
    return ImageError(f"image {path} cannot be decoded ({byte_count} bytes): {problem}")


def _decode(path: str | os.PathLike, flags: int, data: bytes, header: PictureHeader | None) -> np.ndarray:
    """Decode a file that was read, and turn it upright."""
    if header is not None and header.problem:
        raise _undecodable(path, len(data), header.problem)
    silence_opencv_log()
    try:
        image = cv2.imdecode(np.frombuffer(_without_orientation(data, header), np.uint8), flags) if data else None
    except cv2.error:
        image = None
    if image is None:
        raise _undecodable(path, len(data), "it is damaged, or no image")
    return image if header is None else turn_upright(image, header.orientation)


def _without_orientation(data: bytes, header: PictureHeader | None) -> bytes:
    """Return the file as one that is stored upright, where OpenCV would turn it whatever it is asked (TIFF)."""
    if header is None or header.orientation == UPRIGHT or header.orientation_at is None:
        return data
    changed = bytearray(data)
    struct.pack_into("<H" if header.is_little_endian else ">H", changed, header.orientation_at, UPRIGHT)
    return bytes(changed)


def turn_upright(stored: np.ndarray, orientation: int) -> np.ndarray:
    """Return a picture as it is meant to be seen.

    Args:
        stored: (height, width) or (height, width, channels) pixels as a file stores them.
        orientation: Orientation 1 to 8, of which 5 to 8 exchange height and width.

    Source: EXIF 2.32, section 4.6.4, tag Orientation.
    """
    if orientation >= 5:
        stored = stored.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        stored = stored[::-1]
    if orientation in (2, 3, 6, 7):
        stored = stored[:, ::-1]
    return np.ascontiguousarray(stored)


def read_rgb(path: str | os.PathLike, reduce_depth: ReduceDepth | None = None) -> np.ndarray:
    """Read a picture as (height, width, 3) uint8 RGB, upright, whatever channels and depth the file has.

    Args:
        path: Path of the file.
        reduce_depth: Function that makes 8 bits of 16, the same for every picture of a folder; None to go by the
            range of this picture alone, as edge/sample_depth.py describes it.

    Raises:
        ImageError: The file is missing, truncated or damaged, or holds what cannot be read exactly.
    """
    samples = read_samples(path)
    if samples.dtype == np.uint8:
        return samples
    if reduce_depth is None:
        # Imported here: the range of a set is found by reading its pictures with this module.
        from edge.sample_depth import shared_depth

        reduce_depth = shared_depth((Path(path),), str(path))
    return reduce_depth(samples)


def read_samples(path: str | os.PathLike) -> np.ndarray:
    """Read a picture at the depth of its file.

    Returns:
        (height, width, 3) RGB, uint8 or uint16, upright.

    Raises:
        ImageError: The file is missing, truncated or damaged, or holds what cannot be read exactly.
    """
    data = _read_file(path)
    header = read_header(data)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    if header is not None and header.format == "TIFF" and header.has_alpha:
        _refuse_transparency(path, data, header)
    image = _decode(path, flags, data, header)
    if image.dtype not in (np.uint8, np.uint16):
        raise _undecodable(
            path, len(data), f"it holds {image.dtype} numbers, and nothing says which is white. Next: convert it to PNG"
        )
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _refuse_transparency(path: str | os.PathLike, data: bytes, header: PictureHeader) -> None:
    """Refuse a TIFF that is transparent anywhere: OpenCV darkens its colours, and what was there cannot be known."""
    stored = _decode(path, cv2.IMREAD_UNCHANGED, data, header)
    if stored.ndim == 3 and stored.shape[2] == 4 and stored[..., 3].min() < np.iinfo(stored.dtype).max:
        raise _undecodable(
            path, len(data), "it is a TIFF with transparent pixels, which OpenCV darkens. Next: convert it to PNG"
        )


@dataclass(frozen=True)
class StoredLabels:
    """The pixels of a label map as its file stores them, upright.

    Attributes:
        ids: (height, width) uint8 or uint16 values of one channel, or of three equal ones; None in colours.
        colors_rgb: (height, width, 3) uint8 RGB; None where one channel says it all.
        palette_rgb: Colours of a palette, one (red, green, blue) for each id; empty without one.
        has_equal_channels: Whether `ids` was stored in three equal channels.
    """

    ids: np.ndarray | None = None
    colors_rgb: np.ndarray | None = None
    palette_rgb: tuple[tuple[int, int, int], ...] = ()
    has_equal_channels: bool = False


def read_stored_labels(path: str | os.PathLike) -> StoredLabels:
    """Read a label map without any conversion of its values.

    The indices of a PNG with a palette are its ids, and values of 1, 2 or 4 bits are not spread over 0 to 255.

    Raises:
        ImageError: The file is missing, truncated or damaged, or of a form that does not keep ids.
    """
    data = _read_file(path)
    header = read_header(data)
    if header is not None and not header.problem:
        problem = label_form_problem(header)
        if problem:
            raise ImageError(f"label map {path} {problem}")
        plain = decode_label_png(data, header)
        if plain is not None:
            return StoredLabels(ids=plain, palette_rgb=header.palette_rgb)
    is_png = header is not None and header.format == "PNG"
    if is_png and header.has_palette and not header.problem:
        ids = _decode(path, cv2.IMREAD_UNCHANGED, indexed_as_grey(data), header)
        return StoredLabels(ids=_unspread(ids, header.bits), palette_rgb=header.palette_rgb)
    stored = _decode(path, cv2.IMREAD_UNCHANGED, data, header)
    if stored.ndim == 2:
        return StoredLabels(ids=_unspread(stored, header.bits if is_png else 8))
    blue, green, red = stored[..., 0], stored[..., 1], stored[..., 2]
    if np.array_equal(blue, green) and np.array_equal(green, red):
        return StoredLabels(ids=np.ascontiguousarray(blue), has_equal_channels=True)
    if stored.dtype != np.uint8:
        raise ImageError(f"label map {path} has 3 channels of 16 bits, expected 1 channel of ids, or colours of 8 bits")
    return StoredLabels(colors_rgb=np.ascontiguousarray(np.dstack([red, green, blue])))


def label_form_problem(header: PictureHeader) -> str:
    """Return why a sound picture file cannot be a label map, as the end of a sentence; "" where it can."""
    if header.is_lossy:
        return (
            f"is a {header.format} with lossy compression, which changes ids, expected a PNG. "
            "Next: write the label maps again as PNG"
        )
    if header.bits < 8 and header.format != "PNG":
        return (
            f"is a {header.format} of {header.bits} bits, which OpenCV spreads over 0 to 255, expected a PNG. "
            "Next: convert it to PNG"
        )
    if header.has_palette and header.format == "TIFF":
        return "is a TIFF with a palette, of which OpenCV gives colours alone, expected a PNG. Next: convert it to PNG"
    return ""


def _unspread(values: np.ndarray, bits: int) -> np.ndarray:
    """Return the values of 1, 2 or 4 bits, which a decoder spreads over 0 to 255."""
    return values // (255 // ((1 << bits) - 1)) if bits < 8 else values


def read_ids(path: str | os.PathLike) -> np.ndarray:
    """Read a label map of ids without conversion: (height, width), uint8 or uint16.

    Raises:
        ImageError: The file is missing or damaged, or its colours differ.
    """
    stored = read_stored_labels(path)
    if stored.ids is None:
        raise ImageError(f"label map {path} has 3 channels, expected 1 channel of ids")
    return stored.ids


def read_file_header(path: str | os.PathLike) -> PictureHeader:
    """Read the header of a picture file, without decoding it, and follow it to its end.

    A file of an unknown format is decoded, since nothing else says whether it is a picture.

    Returns:
        The header; its `problem` is "" for a sound file.
    """
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                return PictureHeader("", problem="it is empty")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                header = read_header(mapped)
    except OSError as error:
        missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
        return PictureHeader("", problem="not found" if missing else f"cannot be read: {error.strerror or error}")
    if header is not None:
        return header
    try:
        height, width = read_samples(path).shape[:2]
    except ImageError:
        return PictureHeader("", problem="it is damaged, or no image")
    return PictureHeader("other", height=height, width=width)


def whole_file_problem(path: str | os.PathLike) -> str:
    """Read a picture to its last byte and return what is wrong with it, as part of a sentence; "" where nothing is.

    A PNG has checksums, which say in a tenth of the time that it holds what its encoder wrote; any other file is
    decoded. A JPEG has none: what is changed within it, and decodes to other pixels, is not found.
    """
    try:
        data = _read_file(path)
    except ImageError as error:
        return str(error)
    if data.startswith(PNG_SIGNATURE):
        return png_checksum_problem(data)
    try:
        read_samples(path)
    except ImageError as error:
        return str(error).rsplit(": ", 1)[-1]
    return ""


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
        entries = sorted(path for path in root.iterdir() if not is_junk(path.name))
        # A link to nothing is a picture that cannot be read (git-annex, DVC), and not one that is not there.
        files = [path for path in entries if path.is_file() or (path.is_symlink() and not path.exists())]
        paths = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    except OSError as error:
        raise ImageError(f"folder {folder} cannot be read: {error.strerror or error}") from None
    if not paths:
        raise ImageError(
            f"folder {folder} holds no picture ({', '.join(IMAGE_SUFFIXES)}), it has {few_names(entries)}. "
            "Next: name the folder that the pictures themselves are in, or convert them to PNG or JPEG"
        )
    unread = [path for path in entries if path.suffix.lower() in _UNREAD_SUFFIXES]
    if unread:
        print_note_once(
            f"folder {folder} has {few_names(unread)}, of formats that are not read ({', '.join(IMAGE_SUFFIXES)} are): "
            f"{len(paths)} other pictures are used"
        )
    return paths


def is_junk(name: str) -> bool:
    """Return whether a name is of no picture: a file that is being written, or what a system leaves in a folder."""
    return name.startswith(".") or name.lower() in _JUNK_NAMES


def few_names(entries: Iterable[Path], most: int = 4) -> str:
    """Return the first names of a folder's entries as a text, such as "a.txt, b/ and 7 more"; "nothing" of none."""
    listed = list(entries)
    names = [f"{entry.name}/" if entry.is_dir() else entry.name for entry in listed[:most]]
    left = len(listed) - len(names)
    return (", ".join(names) + (f" and {left} more" if left else "")) if names else "nothing"
