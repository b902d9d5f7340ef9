"""Kernels for label maps in C++, compiled at first use: decoding of their PNG files, and counts of their pixels.

A label map is runs of equal values, which these kernels make use of and libraries for pictures do not. Each caller has
a form in OpenCV and NumPy with the same results, for machines without a compiler: edge/picture_formats/label_png.py
and edge/pixel_counts.py.
"""

from __future__ import annotations

import ctypes
import logging
import sys
from functools import lru_cache
from pathlib import Path

from edge.compiled_library import NativeUnavailable, find_or_compile, is_turned_off

_FOLDER = Path(__file__).resolve().parent
_SOURCES = (_FOLDER / "label_png.cpp", _FOLDER / "pixel_counts.cpp")
_FLAGS = ("-std=c++14", "-O3", "-fPIC", "-shared")
_SIZE, _POINTER = ctypes.c_int64, ctypes.c_void_p
_ARGUMENTS = {
    "segedge_inflate": (ctypes.c_char_p, _SIZE, _POINTER, _SIZE),
    "segedge_unfilter_rows": (_POINTER, _SIZE, _SIZE, _SIZE, _POINTER),
    "segedge_count_values": (_POINTER, _SIZE, _POINTER),
    "segedge_count_pairs": (_POINTER, _POINTER, _SIZE, _POINTER),
    "segedge_count_objects": (_POINTER, _POINTER, _SIZE, _SIZE, _POINTER, _POINTER, _SIZE),
}

_log = logging.getLogger(__name__)


@lru_cache(maxsize=None)
def load_kernels() -> ctypes.CDLL | None:
    """Return the library of these kernels, whose functions may run in several threads at once; None without one."""
    if is_turned_off() or sys.byteorder != "little":
        return None
    try:
        library = find_or_compile(_SOURCES, _FLAGS)
    except NativeUnavailable as reason:
        _log.warning("label maps are read and counted by OpenCV, several times slower, since %s", reason)
        return None
    for name, arguments in _ARGUMENTS.items():
        kernel = getattr(library, name)
        kernel.argtypes, kernel.restype = arguments, ctypes.c_int64
    return library


def keep_freed_memory() -> None:
    """Let the C library keep up to 64 MiB of freed memory for the next arrays, where it has a setting for that (glibc).

    By itself it hands the arrays of each frame back to the system, and takes fresh pages for the next: a quarter of the
    time in which files of label maps are evaluated.

    Source: mallopt(3), M_TRIM_THRESHOLD and M_MMAP_THRESHOLD.
    """
    trim_threshold, mmap_threshold = -1, -3
    set_option = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if set_option is not None:
        set_option(trim_threshold, 64 << 20)
        set_option(mmap_threshold, 32 << 20)
