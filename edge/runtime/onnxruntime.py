"""Run engines of ONNX Runtime on the CPU: the default for machines without an NVIDIA GPU.

This is the only file of the device set that imports onnxruntime.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from edge.contract import Contract
from edge.errors import BackendError, GraphError, MissingDependencyError
from edge.runtime.base import Runner
from edge.runtime.layer_time import WARMUP_RUNS, LayerTime
from edge.runtime.onnxruntime_profile import read_kernel_times

INSTALL = "pip install onnxruntime"

REWRITES_WEIGHTS = ("WeightBiasQuantization",)
"""Steps of ONNX Runtime's optimiser that no session takes. This one turns float weights between a DequantizeLinear and
a QuantizeLinear into int8, with one scale and a zero point for the whole tensor, although the graph keeps them in float
(1.22 and later, for Conv, ConvTranspose and Gemm). Versions without such a step accept its name."""


def import_onnxruntime() -> Any:
    """Import onnxruntime and return the module.

    Raises:
        MissingDependencyError: The package is not installed.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise MissingDependencyError("onnxruntime", "running a network without TensorRT", INSTALL) from None
    return onnxruntime


def open_session(
    graph: str | os.PathLike | bytes,
    threads: int = 0,
    exact: bool = False,
    profile_folder: Path | None = None,
    lean: bool = False,
) -> Any:
    """Load a graph for the CPU.

    Args:
        graph: Path of an ONNX file, or its bytes.
        threads: CPU cores that one frame may use; 0 for all.
        exact: Whether Q/DQ pairs are computed as they stand, in float, instead of by the CPU's 8-bit kernels: rounding
            and clipping are those of INT8, and no sum saturates. calibration.search.accuracy.graph_runner makes the
            sums exact too.
        profile_folder: Folder into which the session's `end_profiling` writes the time of every kernel; None for no
            profile.
        lean: Whether memory and threads are saved, for a graph that outputs all its activations: there is no memory
            plan that would hold them together, and threads sleep between calls, since the caller works then.

    Returns:
        An onnxruntime.InferenceSession.

    Raises:
        GraphError: The file is truncated, or not a graph that ONNX Runtime can load.
    """
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if threads:
        options.intra_op_num_threads = threads
    if exact:
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    if lean:
        options.enable_mem_pattern = False
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if profile_folder is not None:
        options.enable_profiling, options.profile_file_prefix = True, os.fspath(profile_folder / "profile")
    source = graph if isinstance(graph, bytes) else os.fspath(graph)
    what = "the graph" if isinstance(graph, bytes) else f"graph {graph}"
    if not isinstance(graph, bytes) and not Path(graph).is_file():
        raise GraphError(f"{what} not found")
    try:
        return onnxruntime.InferenceSession(
            source,
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=list(REWRITES_WEIGHTS),
        )
    except Exception as error:  # onnxruntime's exceptions share no base class but Exception
        raise GraphError(f"{what} cannot be loaded, it is truncated or not ONNX: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


class OnnxRuntimeRunner(Runner):
    """Runs an ONNX file on the CPU.

    Args:
        graph: Path of the engine file, or its bytes.
        contract: Contract with the graph's input and outputs.
        threads: CPU cores that one frame may use; 0 for all.
        exact: Whether INT8 is simulated in float, see open_session.
    """

    backend = "onnxruntime"

    def __init__(
        self, graph: str | os.PathLike | bytes, contract: Contract, threads: int = 0, exact: bool = False
    ) -> None:
        super().__init__(contract)
        self._graph, self._threads, self._exact = graph, threads, exact
        self._name = "the graph" if isinstance(graph, bytes) else os.fspath(graph)
        self._session: Any = None

    def describe(self) -> dict[str, Any]:
        """Return version, device and threads of the backend."""
        return {
            "backend": self.backend,
            "version": import_onnxruntime().__version__,
            "device": "cpu",
            "threads": self._threads or len(os.sched_getaffinity(0)),
        }

    def profile(self, frame: np.ndarray, runs: int) -> list[LayerTime]:
        """Measure every kernel in a second session with the profiler on; `infer` runs without it as before.

        The clock is the host's, in whole microseconds: from a kernel's start to its end, with all threads that it uses.

        Args:
            frame: (batch, height, width, 3) uint8 RGB, C-contiguous.
            runs: Number of measured inferences, at least 1; WARMUP_RUNS go before them.

        Returns:
            Times of the kernels in the order of execution, with `runs` times for each kernel.

        Raises:
            BackendError: The runner is not active, or the backend failed.
            InputError: The frame has another shape or dtype, or there are no runs.
        """
        self._require_runs(runs)
        self.infer_all(frame)  # refuses what cannot be run, before there is a second session
        feeds = {self.contract.input_name: np.ascontiguousarray(frame)}
        with tempfile.TemporaryDirectory() as folder:
            session = open_session(self._graph, self._threads, self._exact, Path(folder))
            try:
                for _ in range(WARMUP_RUNS + runs):
                    self._run(session, feeds)
            finally:
                trace = Path(session.end_profiling())  # else the session would write it into a folder that is gone
            return read_kernel_times(trace, WARMUP_RUNS, runs)

    def _activate_impl(self) -> None:
        session = open_session(self._graph, self._threads, self._exact)
        contract = self.contract
        inputs = [(value.name, tuple(value.shape), value.type) for value in session.get_inputs()]
        outputs = [(value.name, tuple(value.shape), value.type) for value in session.get_outputs()]
        wanted_inputs = [(contract.input_name, contract.input_shape, "tensor(uint8)")]
        kind = "tensor(uint8)" if contract.gives_labels else "tensor(float)"
        wanted_outputs = [(name, shape, kind) for name, shape in contract.output_shapes.items()]
        # Outputs are asked for by name, so their order in the graph is its own affair. A symbolic dimension is
        # a str, which does not sort beside a number.
        if inputs != wanted_inputs or sorted(outputs, key=str) != sorted(wanted_outputs, key=str):
            raise GraphError(
                f"{self._name} takes {inputs} and gives {outputs}, "
                f"its contract says {wanted_inputs} and {wanted_outputs}"
            )
        self._session = session

    def _deactivate_impl(self) -> None:
        self._session = None

    def _infer_impl(self, frame: np.ndarray) -> dict[str, np.ndarray]:
        return self._run(self._session, {self.contract.input_name: frame})

    def _run(self, session: Any, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        names = self._output_names
        try:
            return dict(zip(names, session.run(names, feeds)))
        except Exception as error:  # as above
            raise BackendError(f"ONNX Runtime failed on {self._name}: {_first_line(error)}") from None
