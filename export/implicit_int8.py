"""INT8 without Q/DQ pairs: TensorRT's own calibrator, and the DLA; up to TensorRT 10."""

from __future__ import annotations

from pathlib import Path

from calibration.image_manifest import CalibrationManifest
from calibration.quantize import load_graph
from calibration.ranges import Ranges
from calibration.recipe import INT8, QuantizationRecipe
from calibration.tensorrt_calibrator import (
    TENSORRT_ENTROPY,
    CacheCalibration,
    Calibration,
    EntropyCalibration,
    require_calibrators,
)
from edge.contract import GRAPH_FILE, Contract
from edge.errors import InputError
from edge.frames import FrameSet
from edge.runtime.tensorrt import import_tensorrt
from export.build_request import BuildRequest, Plan


def check_implicit(request: BuildRequest, backend: str) -> None:
    """Refuse what only TensorRT has, before any work.

    Raises:
        InputError: another backend builds, or a DLA is to compute in float32.
        BackendError: this TensorRT has no calibrators any more.
    """
    if request.dla_core is not None and request.precision == "float32":
        raise InputError("a DLA computes in float16 and int8, the engine is to be float32. Next: --int8 or --fp16")
    wants_calibrator = request.precision == INT8 and request.int8.calibrator == TENSORRT_ENTROPY
    for is_wanted, what, instead in (
        (wants_calibrator, f"--calibrator {TENSORRT_ENTROPY} is TensorRT's own", "--calibrator entropy"),
        (request.dla_core is not None, "--dla needs TensorRT on a Jetson", "leave --dla out"),
    ):
        if is_wanted and backend != "tensorrt":
            raise InputError(f"{what}, and {backend} builds here. Next: {instead}")
    if wants_calibrator:
        require_calibrators(import_tensorrt())


def entropy_calibration(
    plan: Plan, contract: Contract, frames: FrameSet, manifest: CalibrationManifest
) -> EntropyCalibration:
    """Return TensorRT's calibrator over the calibration images; its cache lies in the artefact folder."""
    graph = (plan.artifact / GRAPH_FILE).read_bytes()
    return EntropyCalibration(graph, contract, frames, manifest.digest(), plan.artifact, import_tensorrt().__version__)


def dla_calibration(graph: Path, ranges: Ranges, recipe: QuantizationRecipe) -> Calibration:
    """Return the scales of our ranges, for a DLA, which takes no Q/DQ pairs."""
    return CacheCalibration.of_ranges(load_graph(graph), ranges, recipe, import_tensorrt().__version__)
