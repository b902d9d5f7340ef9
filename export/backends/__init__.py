"""Which backend builds here, and the builders by name."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Collection

from edge.errors import BackendError, InputError
from edge.runtime.onnxruntime import import_onnxruntime, open_session
from export.backends.engine import BuiltEngine
from export.backends.options import EngineOptions

if TYPE_CHECKING:
    from calibration.trt.calibrator import Calibration

BACKEND_CHOICES = ("auto", "tensorrt", "onnxruntime")

EMULATED_FLOAT16 = (
    "float16 is emulated by ONNX Runtime on a CPU: the accuracy of this engine means something, its speed does not"
)


def choose_backend(requested: str) -> tuple[str, str]:
    """Return the backend, and why it was chosen.

    Args:
        requested: one of BACKEND_CHOICES.

    Raises:
        BackendError: TensorRT was asked for and cannot build here.
        MissingDependencyError: ONNX Runtime is not installed; every engine is checked against it.
    """
    from export.backends.trt_builder import tensorrt_problem

    if requested not in BACKEND_CHOICES:
        raise InputError(f"backend is '{requested}', expected one of: {', '.join(BACKEND_CHOICES)}")
    problem = tensorrt_problem() if requested != "onnxruntime" else None
    if requested == "tensorrt" and problem:
        raise BackendError(
            f"TensorRT cannot build here: {problem}. Next: --backend onnxruntime, or run this on the device"
        )
    # Whatever is built is checked against the float graph on ONNX Runtime: better missed now than after a build.
    import_onnxruntime()
    if requested == "tensorrt" or (requested == "auto" and not problem):
        return "tensorrt", "asked for" if requested == "tensorrt" else "a GPU and TensorRT are here"
    return "onnxruntime", "asked for" if requested == "onnxruntime" else f"TensorRT cannot build here: {problem}"


def build_engine(
    backend: str,
    graph: bytes,
    precision: str,
    options: EngineOptions | None = None,
    calibration: Calibration | None = None,
    float_layers: Collection[str] = (),
) -> BuiltEngine:
    """Build an engine for this machine.

    Args:
        backend: "tensorrt" or "onnxruntime".
        graph: ONNX file for single frames, with Q/DQ pairs of the backend's form for int8, unless there is a
            calibration.
        precision: "float32", "float16" or "int8".
        options: what else the engine is to be; of them ONNX Runtime has the batch alone.
        calibration: TensorRT's source of scales for a graph without Q/DQ pairs.
        float_layers: nodes that a calibrated engine does not compute in INT8.

    Raises:
        BackendError: the backend failed.
        GraphError: it refused the graph.
        KeyboardInterrupt: Ctrl-C; nothing was written.
    """
    options = options or EngineOptions()
    if backend == "tensorrt":
        from export.backends.trt_builder import build_tensorrt

        return build_tensorrt(graph, precision, options, calibration, float_layers)
    return _build_onnxruntime(graph, precision, options.batch)


def _build_onnxruntime(graph: bytes, precision: str, batch: int) -> BuiltEngine:
    # ONNX Runtime optimises at load time, for the CPU that loads; what is kept is the graph itself.
    start_ns = time.perf_counter_ns()
    notes: tuple[str, ...] = ()
    if batch != 1:
        from export.graph.batching import with_batch

        graph = with_batch(graph, batch)
    if precision == "float16":
        from export.graph.float16 import to_float16

        graph, notes = to_float16(graph), (EMULATED_FLOAT16,)
    open_session(graph)
    seconds = (time.perf_counter_ns() - start_ns) / 1e9
    return BuiltEngine(graph, ".onnx", import_onnxruntime().__version__, seconds, notes)
