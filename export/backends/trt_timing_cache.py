"""The timing cache: times that TensorRT measured for layers, kept from one build to the next.

    <cache folder>/tensorrt-timing-<GPU>-<compute capability>-<version>[-<power mode>].cache

lies in the user's cache folder ($SEGEDGE_CACHE, else $XDG_CACHE_HOME/segedge, else ~/.cache/segedge), so it serves all
artefacts, and outlives them. Times of another GPU, TensorRT or power mode of a Jetson mean nothing, so each has a file
of its own. What is on the disk when a build ends is merged into what it measured, under a lock, so that builds at the
same time lose nothing.
A damaged file costs a note and the time to measure anew, never an engine.

Sources: TensorRT developer guide, "Timing Cache"; ITimingCache.combine (entries that both have stay as they are).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from pathlib import Path
from typing import Any, Iterator

from edge.artifacts import write_bytes
from edge.errors import BackendError, StorageError
from edge.runtime.calls import call
from edge.user_cache import cache_folder


def timing_cache_path(
    gpu: str | None, compute_capability: str | None, version: str, mode: str | None = None
) -> Path | None:
    """Return the path of this machine's timing cache; None where no folder can be written.

    Args:
        gpu: name of the GPU.
        compute_capability: compute capability of the GPU, such as "8.7".
        version: version of TensorRT.
        mode: power mode of a Jetson; None on other machines.
    """
    try:
        folder = cache_folder()
    except StorageError:
        return None
    words = (gpu or "gpu", compute_capability or "unknown", version, *([mode] if mode else []))
    slug = "-".join(re.sub(r"[^a-z0-9.]+", "-", word.lower()).strip("-") for word in words)
    return folder / f"tensorrt-timing-{slug}.cache"


def load_timing_cache(config: Any, path: Path) -> tuple[Any, list[str]]:
    """Give the builder the times of earlier builds, or an empty cache that it fills.

    Returns:
        The tensorrt.ITimingCache, which has to live as long as the build (None where TensorRT made none), and sentences
        that the user has to know.
    """
    stored = _content(path)
    for content in (stored, b""):
        try:
            cache = call("IBuilderConfig.create_timing_cache", config.create_timing_cache, content, refused=(None,))
            # The second argument refuses a cache of another GPU or version.
            set_cache = config.set_timing_cache
            call("IBuilderConfig.set_timing_cache", set_cache, cache, False, refused=(False,))
        except BackendError:
            continue
        if content != stored:
            return cache, [f"timing cache {path} is of another GPU or TensorRT version, or damaged: it was made anew"]
        return cache, []
    return None, [f"timing cache {path} could not be used: TensorRT made none"]


def save_timing_cache(config: Any, path: Path) -> list[str]:
    """Merge the times of this build with those that are on the disk by now, and write all of them.

    Returns:
        Sentences that the user has to know; an engine is not lost because its times cannot be kept.
    """
    try:
        cache = call("IBuilderConfig.get_timing_cache", config.get_timing_cache, refused=(None,))
        with _locked(path):
            stored = _content(path)
            if stored:
                with contextlib.suppress(BackendError):  # a damaged file makes way; loading it has said so
                    create = config.create_timing_cache
                    other = call("IBuilderConfig.create_timing_cache", create, stored, refused=(None,))
                    call("ITimingCache.combine", cache.combine, other, False, refused=(False,))
            write_bytes(path, bytes(call("ITimingCache.serialize", cache.serialize, refused=(None,))))
    except (BackendError, StorageError) as error:
        return [f"timing cache not kept: {error}"]
    return []


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes() if path.is_file() else b""
    except OSError:
        return b""


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other builds from the file by a lock; continue without one if the file system supports none."""
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
            held.callback(os.close, lock)  # which also ends the lock
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
