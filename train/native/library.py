"""Compile the operations, keep the library in the user's cache folder, and load it into TensorFlow."""

from __future__ import annotations

import contextlib
import logging
import os
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Iterator

import tensorflow as tf

from edge.compiled_library import NativeUnavailable, find_or_compile, is_turned_off

SOURCES = tuple(sorted(Path(__file__).parent.glob("*.cpp")))
"""Paths of the sources that are compiled; their headers lie in the same folder."""

_FLAGS = ("-std=c++17", "-O3", "-fPIC", "-shared", "-pthread", "-fno-math-errno", "-fno-trapping-math")

_log = logging.getLogger(__name__)
_left_out: list[bool] = []


def kernels() -> ModuleType | None:
    """Return the module of the operations, `segedge_cross_entropy` and so on; compiled now if the cache lacks them.

    Returns:
        The module, or None where TensorFlow's own operations have to do: within `without_kernels`, where there is a
        GPU, and where `unavailable_reason` gives the reason.
    """
    if _left_out or tf.config.list_logical_devices("GPU"):
        return None
    return _load()[0]


def unavailable_reason() -> str:
    """Return the reason why the operations cannot be had on this machine; "" where they can."""
    return _load()[1]


@contextlib.contextmanager
def without_kernels() -> Iterator[None]:
    """Let `kernels` return None within the block: what is traced there consists of TensorFlow's own operations."""
    _left_out.append(True)
    try:
        yield
    finally:
        _left_out.pop()


def thread_count() -> int:
    """Return the number of threads that an operation may use: TensorFlow's, or one for each processor."""
    chosen = tf.config.threading.get_intra_op_parallelism_threads()
    with contextlib.suppress(ValueError):
        chosen = chosen or int(os.environ.get("TF_NUM_INTRAOP_THREADS", "0"))
    return chosen or len(os.sched_getaffinity(0))


@lru_cache(maxsize=None)
def _load() -> tuple[ModuleType | None, str]:
    if is_turned_off():
        return None, "they are turned off by SEGEDGE_NATIVE=0"
    # The version is no macro that the sources read: it makes another library of another TensorFlow.
    flags = (*_FLAGS, *tf.sysconfig.get_compile_flags(), f'-DSEGEDGE_TENSORFLOW="{tf.__version__}"')
    try:
        return find_or_compile(SOURCES, flags, tf.sysconfig.get_link_flags(), _load_operations), ""
    except NativeUnavailable as reason:
        _log.warning("training runs without its own kernels, up to twice as slow, since %s", reason)
        return None, str(reason)


def _load_operations(path: str) -> ModuleType:
    try:
        return tf.load_op_library(path)
    except (tf.errors.OpError, AttributeError) as error:
        raise OSError(str(error)) from None
