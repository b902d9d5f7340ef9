"""TensorRT's calibration cache, made from ranges.json: for TensorRT up to 10, and for the DLA.

`python calibration/tensorrt_cache.py ARTEFACT --tensorrt 8.5.2` writes one for a device that is not at hand; a build
with a calibration writes its own.

The format is text. The first line names version and algorithm, each other one a tensor and the hexadecimal digits of
its scale's float32, as "%x" prints them:

    TRT-8503-EntropyCalibration2
    stem/conv: 3c010a14

TensorRT compares the first line with itself and refuses the cache of any other version; the algorithm is always
IInt8EntropyCalibrator2's, the one that the DLA takes. The version is 1000 * major + 100 * minor + patch up to 8.6,
and 10000 * major + 100 * minor + patch from 10 on.

Nothing in the text says which graph it is of, so a file lies beside a record of what it was made from, and is used only
while all of that is the same.

Sources: NV_TENSORRT_VERSION in NvInferRuntimeCommon.h (8.x) and NvInferRuntimeBase.h (10.x); caches in public
repositories that start with TRT-8401-, TRT-8502-, TRT-8602-, TRT-100300- and TRT-101401-EntropyCalibration2;
ReadDynamicRange in the TensorRT execution provider of github.com/microsoft/onnxruntime (range = 127 * scale); class
IInt8EntropyCalibrator2 of the C++ API ("required for DLA"); "Calibration table does not match calibrator algorithm
type" and "Could not parse the following line from the calibration cache" among the messages of libnvinfer 8.5.3.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import struct
from pathlib import Path
from typing import Any, Callable, Mapping

from calibration.onnx_graph.file import load_graph
from calibration.qdq.quantization_config import QuantizationConfig
from calibration.ranges.record import PREPROCESSING, RANGES_FILE, Ranges, read_ranges
from calibration.trt.scales import tensor_scales
from edge.artifacts import sha256_file, sha256_json, write_bytes
from edge.code_digest import code_digest, other_code
from edge.contract import GRAPH_FILE
from edge.errors import ContractError, GraphError, InputError
from edge.records import read_record, record, record_to_json, write_record

ALGORITHM = "EntropyCalibration2"
LAST_MAJOR = 10

_FIRST_LINE = re.compile(r"TRT-(\d+)-(\w+)")
_LINE = re.compile(r"(.+): ([0-9a-fA-F]{1,8})")


@record(schema=2, what="origin of a calibration cache")
class CacheOrigin:
    """Everything that determines the content of a calibration cache.

    Attributes:
        graph_sha256: SHA-256 of the float graph.
        manifest_sha256: SHA-256 of the calibration manifest, which names the images by hash.
        preprocessing: value of calibration.ranges.record.PREPROCESSING.
        method: digest of the quantisation config, a range method, or "tensorrt-entropy".
        tensorrt_version: version of TensorRT that reads the cache, such as "8.5.3.1".
        code_sha256: digest of the code that makes the scales, or that shows TensorRT the images.
        ranges_sha256: SHA-256 of ranges.json; None where TensorRT calibrated.
    """

    graph_sha256: str
    manifest_sha256: str
    preprocessing: str
    method: str
    tensorrt_version: str
    code_sha256: str
    ranges_sha256: str | None = None

    def file_name(self) -> str:
        """Return the file name of the cache, which is different for each origin."""
        return f"tensorrt-{sha256_json(record_to_json(self))[:16]}.cache"


@record(schema=2, what="record of a calibration cache")
class CacheRecord:
    """Record beside a calibration cache.

    Attributes:
        origin: what the cache was made from; a cache of another origin is not used.
        cache_sha256: SHA-256 of the cache's text.
    """

    origin: CacheOrigin
    cache_sha256: str


def first_line(tensorrt_version: str) -> str:
    """Return the line that a calibration cache of a TensorRT version starts with.

    Args:
        tensorrt_version: version of TensorRT, such as "8.5.3.1" or "10.3.0".

    Raises:
        InputError: the text is no version, or is version 11, which takes no cache.
    """
    match = re.match(r"(\d+)\.(\d+)\.(\d+)", tensorrt_version)
    if match is None:
        raise InputError(f"TensorRT version is '{tensorrt_version}', expected one such as 8.5.3.1")
    major, minor, patch = map(int, match.groups())
    if major > LAST_MAJOR:
        raise InputError(f"TensorRT {major} takes no calibration cache, {LAST_MAJOR} is the last that does")
    number = major * (1000 if major < 10 else 10000) + minor * 100 + patch
    return f"TRT-{number}-{ALGORITHM}"


def cache_text(model: Any, ranges: Ranges, method: str | QuantizationConfig, tensorrt_version: str) -> str:
    """Return the calibration cache of a float graph.

    Args:
        model: float graph (onnx.ModelProto).
        ranges: ranges of the graph's activations.
        method: range method of all tensors, or the quantisation config that chooses it for each tensor.
        tensorrt_version: version of TensorRT that will read the cache.

    Returns:
        Text in TensorRT's format, with the tensors in the order of the graph.

    Raises:
        GraphError: the graph has Q/DQ pairs, or a tensor whose name cannot be part of a line.
        InputError: the method or the version is unknown.
    """
    return text_of(tensor_scales(model, ranges, method), tensorrt_version)


def text_of(scales: Mapping[str, float], tensorrt_version: str) -> str:
    """Return scales as the text of a calibration cache, in TensorRT's format.

    Args:
        scales: name of a tensor -> size of one step.
        tensorrt_version: version of TensorRT that will read the cache.

    Raises:
        GraphError: a tensor's name cannot be part of a line.
    """
    lines = [first_line(tensorrt_version)]
    for name, scale in scales.items():
        if not name or name != name.strip() or len(name.splitlines()) != 1:
            raise GraphError(f"tensor {name!r} cannot stand in a calibration cache, expected a name of one line")
        lines.append(f"{name}: {struct.unpack('>I', struct.pack('>f', scale))[0]:x}")
    return "\n".join(lines) + "\n"


def parse_cache(text: str) -> dict[str, float]:
    """Read a calibration cache that this project or TensorRT made.

    Args:
        text: content of the file.

    Returns:
        Name of a tensor -> size of one step. TensorRT itself writes 0 for a tensor that is always zero, and infinity
        for one that it could not calibrate.

    Raises:
        ContractError: the text is damaged, or of another calibrator.
    """
    lines = text.splitlines()
    match = _FIRST_LINE.fullmatch(lines[0].strip()) if lines else None
    if match is None:
        head = lines[0][:60] if lines else ""
        raise ContractError(f"calibration cache starts with '{head}', expected TRT-<version>-{ALGORITHM}")
    if match[2] != ALGORITHM:
        raise ContractError(f"calibration cache is of {match[2]}, expected {ALGORITHM}")
    scales: dict[str, float] = {}
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        entry = _LINE.fullmatch(line.rstrip())
        if entry is None:
            raise ContractError(f"calibration cache is damaged: line {number} is '{line[:60]}', expected 'tensor: hex'")
        if entry[1] in scales:
            raise ContractError(f"calibration cache is damaged: line {number} names {entry[1]} again")
        scales[entry[1]] = struct.unpack(">f", int(entry[2], 16).to_bytes(4, "big"))[0]
    return scales


def write_cache(folder: Path, text: str, origin: CacheOrigin) -> Path:
    """Write a cache and the record of its origin.

    Returns:
        Path of the cache.

    Raises:
        StorageError: the files cannot be written.
    """
    path = folder / origin.file_name()
    data = text.encode("utf-8")
    write_bytes(path, data)
    write_record(_record_path(path), CacheRecord(origin, hashlib.sha256(data).hexdigest()))
    return path


def read_cache(path: Path, origin: CacheOrigin) -> str:
    """Read a cache if its origin is the given one.

    Raises:
        InputError: there is no cache, it cannot be read, or it has another origin.
        ContractError: the cache or its record is damaged.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"calibration cache not found: {path}") from None
    except OSError as error:
        raise InputError(f"calibration cache {path} cannot be read: {error.strerror or error}") from None
    kept = read_record(CacheRecord, _record_path(path))
    wanted, got = record_to_json(origin), record_to_json(kept.origin)
    other = [name for name in wanted if got.get(name) != wanted[name]]
    if other:
        raise InputError(
            f"calibration cache {path} is stale: made from another {', '.join(name.split('_')[0] for name in other)}. "
            "Next: delete it, the next build makes it anew"
        )
    if hashlib.sha256(data).hexdigest() != kept.cache_sha256:
        raise ContractError(f"calibration cache {path} is damaged: its record names another hash. Next: delete it")
    text = data.decode("utf-8")
    if text.splitlines()[0] != first_line(origin.tensorrt_version):
        raise ContractError(f"calibration cache {path} is not of TensorRT {origin.tensorrt_version}. Next: delete it")
    parse_cache(text)
    return text


def current_cache(folder: Path, origin: CacheOrigin) -> str | None:
    """Return the cache of an origin; None where there is none or it cannot be used."""
    try:
        return read_cache(folder / origin.file_name(), origin)
    except InputError:  # ContractError is one
        return None


def cache_of_other_code(folder: Path, origin: CacheOrigin) -> str | None:
    """Return one line if a folder has the cache of an origin, made by other code; else None."""
    unread = None
    for path in sorted(folder.glob("tensorrt-*.json")):
        try:
            kept = read_record(CacheRecord, path).origin
        except InputError as error:  # ContractError is one: it is of an older schema, or damaged
            unread = unread or str(error)
            continue
        if kept != origin and dataclasses.replace(kept, code_sha256=origin.code_sha256) == origin:
            return other_code(path.with_suffix(".cache").name, kept.code_sha256, origin.code_sha256)
    return unread


def _record_path(path: Path) -> Path:
    return path.with_suffix(".json")


def cache_of_artifact(
    folder: Path, method: str, tensorrt_version: str, say: Callable[[str], None] = lambda line: None
) -> Path:
    """Write the calibration cache of an artefact's graph and ranges, unless it exists and is current.

    Args:
        folder: artefact folder with model.onnx and ranges.json.
        method: range method of all tensors.
        tensorrt_version: version of TensorRT that will read the cache.
        say: function that is called with a line of text where an existing cache is made anew.

    Returns:
        Path of the cache.

    Raises:
        InputError: the graph or the ranges do not exist, or the ranges are of another graph.
        ContractError: ranges.json is damaged.
        GraphError: the graph is damaged.
    """
    ranges = read_ranges(folder)
    graph_sha256 = sha256_file(folder / GRAPH_FILE)
    if (ranges.graph_sha256, ranges.preprocessing) != (graph_sha256, PREPROCESSING):
        raise InputError(
            f"{folder / RANGES_FILE} is of another graph or preprocessing than {folder / GRAPH_FILE}. "
            "Next: build the int8 engine again, which collects the ranges anew"
        )
    origin = CacheOrigin(
        graph_sha256,
        ranges.manifest_sha256,
        ranges.preprocessing,
        method,
        tensorrt_version,
        code_digest(__name__),
        sha256_file(folder / RANGES_FILE),
    )
    if current_cache(folder, origin) is None:
        other = cache_of_other_code(folder, origin)
        if other is not None:
            say(f"the calibration cache is made anew: {other}")
        write_cache(folder, cache_text(load_graph(folder / GRAPH_FILE), ranges, method, tensorrt_version), origin)
    return folder / origin.file_name()
