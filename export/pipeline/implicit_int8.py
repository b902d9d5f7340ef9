"""INT8 without Q/DQ pairs, up to TensorRT 10: its own calibrator, a cache of our scales, or dynamic ranges.

    --scales qdq              the scales stand in the graph, and what was measured is what runs; the default
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
from calibration.qdq.quantization_config import INT8, QuantizationConfig
from calibration.ranges.record import Ranges
from calibration.trt.calibrator import (
    TENSORRT_ENTROPY,
    CacheCalibration,
    Calibration,
    EntropyCalibration,
    require_calibrators,
)
from calibration.trt.scales import constant_scales, tensor_scales
from edge.card import SCALE_SOURCES
from edge.contract import GRAPH_FILE, Contract
from edge.errors import BackendError, InputError
from edge.frames import FrameSet
from edge.machine import this_machine
from edge.runtime.tensorrt import import_tensorrt
from export.backends.options import EngineOptions, check_options
from export.backends.trt_dynamic_ranges import DynamicRanges
from export.pipeline.request import BuildPlan, BuildRequest

QDQ, _, DYNAMIC_RANGES = SCALE_SOURCES


def check_implicit(request: BuildRequest, backend: str) -> None:
    """Refuse what only TensorRT has, or this TensorRT has not, before any work.

    Raises:
        InputError: another backend builds, or options exclude each other.
        BackendError: this TensorRT, or this GPU, has not what was asked for.
    """
    if request.dla_core is not None and request.precision == "float32":
        raise InputError("a DLA computes in float16 and int8, the engine is to be float32. Next: --int8 or --fp16")
    wants_calibrator = request.precision == INT8 and request.int8.calibrator == TENSORRT_ENTROPY
    options, scales = request.engine_options(), request.int8.scale_source
    of_tensorrt = ", ".join(options.of_tensorrt_alone())
    for is_wanted, what, instead in (
        (wants_calibrator, f"--calibrator {TENSORRT_ENTROPY} is TensorRT's own", "--calibrator entropy"),
        (request.dla_core is not None, "--dla needs TensorRT on a Jetson", "leave --dla out"),
        (scales is not None, f"--scales {scales} is for TensorRT", "leave --scales out"),
        (bool(of_tensorrt), f"{of_tensorrt}: for TensorRT alone", "leave it out"),
    ):
        if is_wanted and backend != "tensorrt":
            raise InputError(f"{what}, and {backend} builds here. Next: {instead}")
    if wants_calibrator and options.batch_profile is not None:
        raise InputError(
            f"--calibrator {TENSORRT_ENTROPY} is shown batches of one size, --batch asks for several. "
            "Next: --calibrator entropy"
        )
    if backend != "tensorrt" or (options == EngineOptions() and not wants_calibrator and scales in (None, QDQ)):
        return
    trt = import_tensorrt()
    check_options(trt, options, request.precision, this_machine())
    if wants_calibrator:
        require_calibrators(trt)
    if scales is not None and scales != QDQ and not hasattr(trt.ITensor, "set_dynamic_range"):
        raise BackendError(
            f"--scales {scales}: TensorRT {trt.__version__} takes Q/DQ pairs alone. Next: leave --scales out"
        )


def entropy_calibration(
    plan: BuildPlan, contract: Contract, frames: FrameSet, manifest: CalibrationManifest, batch: int = 1
) -> EntropyCalibration:
    """Return TensorRT's calibrator over the calibration images; its cache lies in the artefact folder."""
    graph = (plan.artifact / GRAPH_FILE).read_bytes()
    contract = dataclasses.replace(contract, batch=batch)
    return EntropyCalibration(graph, contract, frames, manifest.digest(), plan.artifact, import_tensorrt().__version__)


def scale_calibration(source: str, graph: Path, ranges: Ranges, recipe: QuantizationConfig) -> Calibration:
    """Return the scales of our ranges for a float graph.

    Args:
        source: "cache" or "dynamic-ranges".
        graph: the float graph.
        ranges: of its tensors.
        recipe: which of them count.
    """
    model = load_graph(graph)
    if source == DYNAMIC_RANGES:
        return DynamicRanges(tensor_scales(model, ranges, recipe), constant_scales(model))
    return CacheCalibration.of_ranges(model, ranges, recipe, import_tensorrt().__version__)
