"""INT8 without Q/DQ pairs, up to TensorRT 10: its own calibrator, a cache of our scales, or dynamic ranges.

    --scales qdq              the scales are in the graph, and the graph that was measured runs; the default
    --scales cache            a calibration cache of the same scales. TensorRT chooses per layer what is faster, INT8 or
                              float16, and fuses as it likes; the default on a DLA, which takes no Q/DQ pairs
    --scales dynamic-ranges   the same scales as ranges on the tensors of the parsed network, with no calibrator in the
                              build: where a cache is not taken (its first line names a version), or for a comparison

Cache and ranges give TensorRT the same numbers. Which layers it then runs in INT8 is its own choice.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from calibration.images.manifest import CalibrationManifest
from calibration.onnx_graph.file import load_graph
from calibration.qdq.quantization_config import QuantizationConfig
from calibration.ranges.record import Ranges
from calibration.trt.calibrator import CacheCalibration, Calibration, EntropyCalibration
from calibration.trt.scales import constant_scales, tensor_scales
from edge.card import SCALE_SOURCES
from edge.frames import FrameSet
from edge.runtime.tensorrt import import_tensorrt
from export.backends.trt_dynamic_ranges import DynamicRanges
from export.pipeline.float_graph import FloatGraph

DYNAMIC_RANGES = SCALE_SOURCES[2]


def entropy_calibration(
    graph: FloatGraph, frames: FrameSet, manifest: CalibrationManifest, batch: int = 1
) -> EntropyCalibration:
    """Return TensorRT's own calibrator over the calibration images; its cache lies in the artefact folder."""
    contract = dataclasses.replace(graph.contract, batch=batch)
    version = import_tensorrt().__version__
    return EntropyCalibration(graph.path.read_bytes(), contract, frames, manifest.digest(), graph.folder, version)


def scale_calibration(source: str, graph: Path, ranges: Ranges, config: QuantizationConfig) -> Calibration:
    """Return the calibration that gives TensorRT the scales of our ranges for a float graph.

    Args:
        source: either "cache" or "dynamic-ranges".
        graph: path of the float graph.
        ranges: ranges of the graph's activations.
        config: quantisation config, which chooses the range method of each tensor.
    """
    model = load_graph(graph)
    if source == DYNAMIC_RANGES:
        return DynamicRanges(tensor_scales(model, ranges, config), constant_scales(model))
    return CacheCalibration.of_ranges(model, ranges, config, import_tensorrt().__version__)
