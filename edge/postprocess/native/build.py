"""The kernel of post-processing, compiled at first use (edge/compiled_library.py).

SEGEDGE_NATIVE=0 turns native code off.
"""

from __future__ import annotations

import ctypes
import logging
from functools import lru_cache
from pathlib import Path

from edge.compiled_library import NativeUnavailable, find_or_compile, is_turned_off

SOURCE = Path(__file__).with_name("upsample_argmax.cpp")
"""Path of the source that is compiled; its headers lie in the same folder."""

# The kernel's results rest on the order of its double operations: no contraction, no fast-math.
_FLAGS = ("-std=c++14", "-O3", "-fPIC", "-shared", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math")

_log = logging.getLogger(__name__)


@lru_cache(maxsize=None)
def load_library() -> ctypes.CDLL | None:
    """Return the library of native kernels; it is compiled now if the cache lacks it.

    Returns:
        The library, or None where it is turned off or cannot be made; `unavailable_reason` gives the reason. The result
        stays the same for the life of the process.
    """
    return _load()[0]


def unavailable_reason() -> str:
    """Return the reason why `load_library` returns None; "" where it returns a library."""
    return _load()[1]


@lru_cache(maxsize=None)
def _load() -> tuple[ctypes.CDLL | None, str]:
    if is_turned_off():
        return None, "it is turned off by SEGEDGE_NATIVE=0"
    try:
        return find_or_compile([SOURCE], _FLAGS), ""
    except NativeUnavailable as reason:
        _log.warning("post-processing runs in NumPy, several times slower, since %s", reason)
        return None, str(reason)
