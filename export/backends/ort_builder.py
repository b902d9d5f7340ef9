"""Building engines with ONNX Runtime: the engine is the graph itself, in the requested precision and batch.

ONNX Runtime optimises a graph when it loads it, for the CPU of that machine. So the graph itself is kept, and a build
only checks that ONNX Runtime accepts it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Collection

from edge.runtime.onnxruntime import import_onnxruntime, open_session
from export.backends.engine import BuiltEngine, EngineBuilder
from export.backends.options import EngineOptions
from export.graph.batching import with_batch
from export.graph.float16 import to_float16

if TYPE_CHECKING:
    from calibration.trt.calibrator import Calibration

EMULATED_FLOAT16 = (
    "float16 is emulated by ONNX Runtime on a CPU: the accuracy of this engine means something, its speed does not"
)
SUFFIX = ".onnx"


class OrtBuilder(EngineBuilder):
    """ONNX Runtime as a backend: it builds on every machine, and supports no option but the batch."""

    title = "ONNX Runtime"
    reason = "ONNX Runtime is here"
    qdq_form = "onnxruntime"

    def problem(self) -> str | None:
        """Return None: `choose_backend` requires ONNX Runtime for every engine, so it is always there."""
        return None

    def build(
        self,
        graph: bytes,
        precision: str,
        options: EngineOptions,
        calibration: Calibration | None = None,
        float_layers: Collection[str] = (),
    ) -> BuiltEngine:
        """Build an engine for CPUs as `EngineBuilder.build` says; a calibration and float layers are not supported."""
        start_ns = time.perf_counter_ns()
        notes: tuple[str, ...] = ()
        if options.batch != 1:
            graph = with_batch(graph, options.batch)
        if precision == "float16":
            graph, notes = to_float16(graph), (EMULATED_FLOAT16,)
        open_session(graph)
        seconds = (time.perf_counter_ns() - start_ns) / 1e9
        return BuiltEngine(graph, SUFFIX, import_onnxruntime().__version__, seconds, notes)
