"""The table of backends by name, and the choice of the one that builds on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Collection

from edge.errors import BackendError, InputError
from edge.runtime.onnxruntime import import_onnxruntime
from export.backends.engine import BuiltEngine, EngineBuilder
from export.backends.options import EngineOptions
from export.backends.ort_builder import OrtBuilder
from export.backends.trt_builder import TensorRtBuilder

if TYPE_CHECKING:
    from calibration.trt.calibrator import Calibration

AUTO = "auto"

BUILDERS: dict[str, EngineBuilder] = {"tensorrt": TensorRtBuilder(), "onnxruntime": OrtBuilder()}
"""Name of a backend, as `--backend` and the engine's card have it -> its builder. AUTO takes the first that can."""


def backend_choices() -> tuple[str, ...]:
    """Return the values that `--backend` accepts: AUTO, and the names of the backends."""
    return (AUTO, *BUILDERS)


def choose_backend(requested: str) -> tuple[str, str]:
    """Return the name of the backend that builds on this machine, and the reason why it was chosen.

    Args:
        requested: name of a backend, or AUTO; one of `backend_choices()`.

    Raises:
        BackendError: the requested backend cannot build on this machine.
        InputError: no backend has the requested name.
        MissingDependencyError: ONNX Runtime is not installed; every engine is checked against it.
    """
    if requested not in backend_choices():
        raise InputError(f"backend is '{requested}', expected one of: {', '.join(backend_choices())}")
    passed_over = []
    for name in BUILDERS if requested == AUTO else (requested,):
        builder = BUILDERS[name]
        problem = builder.problem()
        if problem is None:
            # Every engine is checked against the float graph on ONNX Runtime: better missed now than after a build.
            import_onnxruntime()
            return name, "asked for" if requested != AUTO else "; ".join(passed_over) or builder.reason
        passed_over.append(f"{builder.title} cannot build here: {problem}")
    raise BackendError(f"{'; '.join(passed_over)}. Next: --backend onnxruntime, or run this on the device")


def build_engine(
    backend: str,
    graph: bytes,
    precision: str,
    options: EngineOptions | None = None,
    calibration: Calibration | None = None,
    float_layers: Collection[str] = (),
) -> BuiltEngine:
    """Build an engine for this machine with a backend of BUILDERS; `EngineBuilder.build` says more.

    Args:
        backend: name of the backend.
        graph: content of an ONNX file for single frames.
        precision: precision of the engine: "float32", "float16" or "int8".
        options: batch, limits and compatibility of the engine; None for the backend's defaults.
        calibration: source of TensorRT's scales for a graph without Q/DQ pairs.
        float_layers: names of the nodes that a calibrated engine does not compute in INT8.
    """
    return BUILDERS[backend].build(graph, precision, options or EngineOptions(), calibration, float_layers)
