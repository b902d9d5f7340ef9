"""ranges.json: the range of every activation of one graph, collected once, for any backend."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from calibration.methods import METHODS
from edge.artifacts import sha256_file
from edge.errors import ContractError, InputError
from edge.records import read_record, record

RANGES_FILE = "ranges.json"

PREPROCESSING = "bilinear, half-pixel, no antialiasing; uint8 RGB"
"""What a frame goes through before the graph (edge.preprocess): ranges of another one do not fit."""


@record(schema=1, what="tensor range")
class TensorRange:
    """Range of one activation.

    Attributes:
        minimum: smallest value seen.
        maximum: largest value seen.
        thresholds: method -> largest magnitude that INT8 represents.
    """

    minimum: float
    maximum: float
    thresholds: dict[str, float]

    @property
    def is_signed(self) -> bool:
        """Whether negative values were seen."""
        return self.minimum < 0.0


@record(schema=1, what="ranges")
class Ranges:
    """Ranges of all activations of a graph, and what they were collected from.

    Attributes:
        graph_sha256: of the float graph.
        manifest_sha256: of the calibration manifest, which names the images by hash.
        image_count: images counted.
        images_from: where they come from.
        preprocessing: PREPROCESSING at the time.
        tensors: tensor name -> range.
    """

    graph_sha256: str
    manifest_sha256: str
    image_count: int
    images_from: str
    preprocessing: str
    tensors: dict[str, TensorRange]

    def threshold(self, tensor: str, method: str) -> float:
        """Return the largest magnitude that INT8 represents in a tensor; 1 for one that is always zero.

        Raises:
            InputError: the tensor was not counted, or the method is unknown.
            ContractError: the file was written without that method.
        """
        if method not in METHODS:
            raise InputError(f"calibration method is '{method}', expected one of: {', '.join(METHODS)}")
        if tensor not in self.tensors:
            raise InputError(f"no range was collected for tensor {tensor}")
        value = self.tensors[tensor].thresholds.get(method)
        if value is None:
            raise ContractError(
                f"the range of tensor {tensor} has no threshold by {method}. Next: delete {RANGES_FILE}"
            )
        # The scale has to stay a normal float32.
        return value if value > 127 * float(np.finfo(np.float32).tiny) else 1.0


def current_ranges(folder: Path, graph_sha256: str, manifest_sha256: str | None) -> tuple[Ranges, str] | None:
    """Return the ranges of an artefact and their file's hash, if they are those of this graph and these images.

    Args:
        folder: the artefact folder.
        graph_sha256: of the float graph.
        manifest_sha256: of the calibration manifest; None to take any images.

    Returns:
        None if there are none, or something that they were made from has changed.
    """
    path = folder / RANGES_FILE
    try:
        ranges = read_record(Ranges, path)
    except (InputError, ContractError):
        return None
    same_images = manifest_sha256 is None or ranges.manifest_sha256 == manifest_sha256
    same = same_images and ranges.graph_sha256 == graph_sha256 and ranges.preprocessing == PREPROCESSING
    return (ranges, sha256_file(path)) if same else None
