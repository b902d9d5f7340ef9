"""ranges.json: the range of every activation of one graph. It is collected once and serves any backend."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path

import numpy as np

from calibration.ranges.thresholds import CALIBRATION_METHODS
from edge.artifacts import read_json, sha256_file
from edge.code_digest import code_digest, other_code
from edge.errors import ContractError, InputError
from edge.records import record, record_from_json

RANGES_FILE = "ranges.json"

PREPROCESSING = "bilinear, half-pixel, no antialiasing; uint8 RGB"
"""The preprocessing of a frame (edge.preprocess); ranges that were collected with another one are not used."""


@record(schema=2, what="tensor range")
class TensorRange:
    """Range of one activation.

    Attributes:
        minimum: smallest value over all images.
        maximum: largest value over all images.
        thresholds: calibration method -> largest magnitude that INT8 represents.
        channel_maxima: largest magnitude of each channel of an NCHW tensor that a weighted node reads, or whose
            channels could be scaled, to six digits; None for others.
        channel_means: mean of each channel of an NCHW tensor that a weighted node reads, to six digits; None for
            others.
        mean_square: mean of the squares of all values, to six digits; None where it was not counted.
        zero_share: share of values that are exactly zero, to six digits, 0 to 1; None where it was not counted.
        square_errors: calibration method -> mean squared error of rounding and clipping by its threshold, over all
            values, to six digits: with 127 steps from zero to the threshold, and with 255. Empty where it was not
            counted.
        channel_mean_squares: mean of the squares of each channel that `channel_means` has, to six digits; None for
            others.
    """

    minimum: float
    maximum: float
    thresholds: dict[str, float]
    channel_maxima: tuple[float, ...] | None = None
    channel_means: tuple[float, ...] | None = None
    mean_square: float | None = None
    zero_share: float | None = None
    square_errors: dict[str, tuple[float, ...]] = field(default_factory=dict)
    channel_mean_squares: tuple[float, ...] | None = None

    @property
    def is_signed(self) -> bool:
        """Return whether negative values were seen."""
        return self.minimum < 0.0


@record(schema=3, what="ranges", made_by="python export/build_engine.py --int8")
class Ranges:
    """Ranges of all activations of a graph, and what they were collected from.

    Attributes:
        graph_sha256: SHA-256 of the float graph.
        manifest_sha256: SHA-256 of the calibration manifest, which names the images by hash.
        image_count: number of calibration images.
        images_from: dataset and split of the images, or "synthetic scenes".
        preprocessing: value of PREPROCESSING at the time of the collection.
        code_sha256: digest of the code that collected the ranges (`ranges_code`).
        tensors: name of a tensor -> its range.
    """

    graph_sha256: str
    manifest_sha256: str
    image_count: int
    images_from: str
    preprocessing: str
    code_sha256: str
    tensors: dict[str, TensorRange]

    def threshold(self, tensor: str, method: str) -> float:
        """Return the largest magnitude that INT8 represents in a tensor; 1 for one that is always zero.

        Raises:
            InputError: the tensor was not counted, or the method is unknown.
            ContractError: the file was written without that method.
        """
        if method not in CALIBRATION_METHODS:
            raise InputError(f"calibration method is '{method}', expected one of: {', '.join(CALIBRATION_METHODS)}")
        if tensor not in self.tensors:
            raise InputError(f"no range was collected for tensor {tensor}")
        value = self.tensors[tensor].thresholds.get(method)
        if value is None:
            raise ContractError(
                f"the range of tensor {tensor} has no threshold by {method}. Next: delete {RANGES_FILE}"
            )
        # The scale has to stay a normal float32.
        return value if value > 127 * float(np.finfo(np.float32).tiny) else 1.0


def ranges_code() -> str:
    """Return the digest of the code that ranges are collected by."""
    return code_digest("calibration.ranges.collector", "calibration.ranges.rescaling")


def read_ranges(folder: Path) -> Ranges:
    """Read the ranges of an artefact folder.

    Files of schema 2 named the range methods instead of the code; their ranges are those of other code.

    Raises:
        InputError: the folder has no ranges.json.
        ContractError: the file is damaged, or of a schema that is not known.
    """
    content = read_json(folder / RANGES_FILE, Ranges.record_what, Ranges.record_made_by)
    if content.get("schema") == 2 and "methods_sha256" in content:
        content = {**content, "schema": Ranges.record_schema, "code_sha256": content["methods_sha256"]}
        del content["methods_sha256"]
    return record_from_json(Ranges, content, str(folder / RANGES_FILE))


def current_ranges(
    folder: Path, graph_sha256: str, manifest_sha256: str | None, any_code: bool = False
) -> tuple[Ranges, str] | None:
    """Return the ranges of an artefact and their file's hash, if they are of this graph, these images and this code.

    Where they were collected does not matter: the file may come from another machine.

    Args:
        folder: the artefact folder.
        graph_sha256: SHA-256 of the float graph.
        manifest_sha256: SHA-256 of the calibration manifest; None to accept any images.
        any_code: True to accept ranges that other code collected, for a machine without the images.

    Returns:
        The ranges and the SHA-256 of their file. None if there are none, or one of their inputs has changed;
        `why_not_current` says which.
    """
    try:
        ranges = read_ranges(folder)
    except (InputError, ContractError):
        return None
    mismatch = ranges_mismatch(ranges, graph_sha256, manifest_sha256, any_code)
    return (ranges, sha256_file(folder / RANGES_FILE)) if mismatch is None else None


def why_not_current(folder: Path, graph_sha256: str, manifest_sha256: str | None) -> str | None:
    """Return one line that says why the ranges of an artefact cannot be used; None if `current_ranges` takes them."""
    try:
        ranges = read_ranges(folder)
    except (InputError, ContractError) as error:
        return str(error)
    return ranges_mismatch(ranges, graph_sha256, manifest_sha256)


def ranges_mismatch(
    ranges: Ranges, graph_sha256: str, manifest_sha256: str | None, any_code: bool = False
) -> str | None:
    """Return one line that says why ranges do not fit: what they were collected on, and what was expected.

    Args:
        ranges: ranges as they were read from a file.
        graph_sha256: SHA-256 of the float graph.
        manifest_sha256: SHA-256 of the calibration manifest; None to accept any images.
        any_code: True to accept ranges that other code collected, for a machine without the images.

    Returns:
        The line; None if the ranges fit.
    """
    compared = {
        "another graph": (ranges.graph_sha256, graph_sha256),
        "other images": (ranges.manifest_sha256, manifest_sha256 or ranges.manifest_sha256),
        "other preprocessing": (ranges.preprocessing, PREPROCESSING),
        "other code": (ranges.code_sha256, ranges.code_sha256 if any_code else ranges_code()),
    }
    for what, (got, wanted) in compared.items():
        if got != wanted:
            got, wanted = (text if " " in text else text[:12] for text in (got, wanted))
            return (
                f"{RANGES_FILE} is of {what}: got {got}, expected {wanted}. "
                "Next: collect ranges again, or bring back what they were collected on"
            )
    return None


def ranges_of_other_code(ranges: Ranges) -> str | None:
    """Return one line that says that other code than this collected ranges; None if it was this code."""
    code = ranges_code()
    return other_code(RANGES_FILE, ranges.code_sha256, code) if ranges.code_sha256 != code else None


def range_warnings(ranges: Ranges) -> tuple[str, ...]:
    """Return warnings about the activations that ranges were collected on.

    Returns:
        A sentence for each tensor that has one value in all images, or of which some channels are always zero.
    """
    images = f"all {ranges.image_count} images" if ranges.image_count > 1 else "the one image"
    warnings = []
    for name, seen in ranges.tensors.items():
        if seen.minimum == seen.maximum:
            warnings.append(
                f"tensor {name} is {seen.minimum:g} everywhere in {images}, expected values that depend on the image; "
                "its range holds that value alone. Next: check the weights of the layers before it"
            )
            continue
        if seen.channel_means is None:
            continue  # of a channel that goes through several tensors, one warning is enough
        dead = sum(maximum == 0.0 for maximum in seen.channel_maxima or ())
        if dead:
            warnings.append(
                f"{dead} of {len(seen.channel_maxima)} channels of tensor {name} are zero in {images}: they cost time "
                "and carry nothing. Next: train longer, or with a lower learning rate, if they are many"
            )
    return tuple(warnings)
