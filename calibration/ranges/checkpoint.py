"""collection.partial.npz, the checkpoint of an interrupted collection: the next run resumes from its counts.

It is written beside ranges.json, whole or not at all, and is used only for the same graph, images,
preprocessing and code. Whoever has written ranges.json deletes it (`discard_state`).
"""

from __future__ import annotations

import contextlib
import io
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from calibration.ranges.histogram import BINS, ChannelStatistics, TensorCounter
from edge.artifacts import sha256_json, write_bytes

STATE_FILE = "collection.partial.npz"

_FORMAT = 2
"""Grows when the arrays in the file change."""


@dataclass(frozen=True)
class CollectionInputs:
    """Inputs of a collection: a checkpoint with other inputs is not used.

    Attributes:
        graph_sha256: SHA-256 of the float graph.
        manifest_sha256: SHA-256 of the calibration manifest.
        image_count: number of calibration images.
        preprocessing: text that names the preprocessing of a frame.
        code_sha256: digest of the code that counts, and so of the form of the histograms.
        tensors: names of the counted tensors, in the graph's order.
    """

    graph_sha256: str
    manifest_sha256: str
    image_count: int
    preprocessing: str
    code_sha256: str
    tensors: tuple[str, ...]

    def digest(self) -> str:
        """Return one SHA-256 that changes with any of the inputs."""
        return sha256_json({"format": _FORMAT, **asdict(self)})


def write_state(folder: Path, inputs: CollectionInputs, counters: list[TensorCounter], images_done: int) -> None:
    """Write the counts of a collection to its checkpoint.

    Args:
        folder: the artefact folder.
        inputs: inputs of the collection.
        counters: counters of the tensors of `inputs`, one each.
        images_done: number of images that the counters have seen, from the first on.

    Raises:
        StorageError: the file cannot be written.
    """
    histograms = [counter.histogram for counter in counters]
    channels = [counter.channels or ChannelStatistics(0) for counter in counters]
    arrays = {
        "inputs": np.array(inputs.digest()),
        "images_done": np.array(images_done, np.int64),
        "counts": np.stack([histogram.counts for histogram in histograms]),
        "zero_counts": np.array([histogram.zero_count for histogram in histograms], np.int64),
        "limits": np.array([(h.limit, h.minimum, h.maximum) for h in histograms], np.float64),
        "channels": np.array([figures.maxima.size for figures in channels], np.int64),
        "positions": np.array([figures.positions for figures in channels], np.int64),
        "maxima": np.concatenate([figures.maxima for figures in channels]),
        "sums": np.concatenate([figures.sums for figures in channels]),
        "squares": np.concatenate([figures.squares for figures in channels]),
    }
    file = io.BytesIO()
    np.savez(file, **arrays)
    write_bytes(folder / STATE_FILE, file.getvalue())


def read_state(folder: Path, inputs: CollectionInputs, counters: list[TensorCounter]) -> int:
    """Read the checkpoint of a collection into counters that have counted nothing yet.

    Args:
        folder: the artefact folder.
        inputs: inputs of the collection.
        counters: counters of the tensors of `inputs`, one each; unchanged where no checkpoint of these inputs exists.

    Returns:
        Number of images that the counters have now seen; 0 where there is no checkpoint, a damaged one, or one of
        other inputs.
    """
    try:
        with open(folder / STATE_FILE, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            if str(file["inputs"]) != inputs.digest():
                return 0
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return 0
    if arrays["counts"].shape != (len(counters), BINS):
        return 0
    splits = np.cumsum(arrays["channels"])[:-1]
    maxima, sums, squares = (np.split(arrays[name], splits) for name in ("maxima", "sums", "squares"))
    for index, counter in enumerate(counters):
        histogram = counter.histogram
        histogram.counts[:] = arrays["counts"][index]
        histogram.zero_count = int(arrays["zero_counts"][index])
        histogram.limit, histogram.minimum, histogram.maximum = arrays["limits"][index].tolist()
        if arrays["channels"][index]:
            counter.channels = figures = ChannelStatistics(int(arrays["channels"][index]), counter.with_means)
            figures.maxima[:], figures.sums[:], figures.squares[:] = maxima[index], sums[index], squares[index]
            figures.positions = int(arrays["positions"][index])
    return int(arrays["images_done"])


def discard_state(folder: Path) -> None:
    """Delete the checkpoint in an artefact folder; call this once ranges.json is written."""
    with contextlib.suppress(FileNotFoundError):
        (folder / STATE_FILE).unlink()
