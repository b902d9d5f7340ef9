"""Run engines of TensorRT 8.5 to 11 on an NVIDIA GPU through pycuda.

This is the only file of the installed package that imports tensorrt. It calls only what every version from 8.5 to 11
has: named tensors, `set_tensor_address` and `execute_async_v3`.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import os
import traceback
from pathlib import Path
from typing import Any, Callable

import numpy as np

from edge.card import EngineCard
from edge.errors import BackendError, EngineMismatchError, InputError
from edge.machine import Machine, this_machine
from edge.runtime.base import Runner
from edge.runtime.calls import call, import_backend
from edge.runtime.cuda.build import load_image
from edge.runtime.cuda.context import Buffer, CudaContext, allocate_buffer
from edge.runtime.cuda.lane import CudaLane
from edge.runtime.lane import Lane, LaneRequest
from edge.runtime.layer_time import LayerTime
from edge.runtime.resource_stack import ResourceStack, release_traceback_locals
from edge.runtime.tensorrt_profile import engine_layers, profile_execution

INSTALL_TENSORRT = "sudo apt install python3-libnvinfer on a Jetson, pip install tensorrt elsewhere"
_KEPT_ERRORS = 4
_OLDEST_PORTABLE = (8, 0)
"""Compute capability from which a hardware-compatible engine runs: AMPERE_PLUS of TensorRT."""


def import_tensorrt() -> Any:
    """Import tensorrt and return the module; the import needs no GPU.

    Raises:
        MissingDependencyError: The package is not installed.
        BackendError: The package is installed, but one of its libraries cannot be loaded.
    """
    return import_backend("tensorrt", "tensorrt", INSTALL_TENSORRT)


@functools.lru_cache(maxsize=1)
def message_logger(trt: Any) -> Any:
    """Return the TensorRT logger of this process, which keeps the last errors instead of printing them.

    TensorRT keeps using the first logger that it is given, so there is only one, and it is never freed.

    Args:
        trt: The tensorrt module.

    Returns:
        A tensorrt.ILogger with `errors` and `warnings`, deques of lines, and `listeners`, functions that are called
        with every warning. Where there is no GPU, TensorRT gives the reason of a failure as a warning only.

    Source: TensorRT Python API, class ILogger (the base class has to be initialised by name).
    """

    class MessageLogger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: collections.deque[str] = collections.deque(maxlen=_KEPT_ERRORS)
            self.warnings: collections.deque[str] = collections.deque(maxlen=_KEPT_ERRORS)
            self.listeners: list[Callable[[str], None]] = []
            self._kept = {
                trt.ILogger.ERROR: self.errors,
                trt.ILogger.INTERNAL_ERROR: self.errors,
                trt.ILogger.WARNING: self.warnings,
            }

        def log(self, severity: Any, msg: str) -> None:
            if severity not in self._kept:
                return
            line = " ".join(msg.split())
            self._kept[severity].append(line)
            for listener in tuple(self.listeners) if severity == trt.ILogger.WARNING else ():
                listener(line)

    return MessageLogger()


class TensorRtRunner(Runner):
    """Runs a TensorRT engine in a CUDA context of its own.

    The context is current only during a call, so the runner works from any thread and beside other users of CUDA in the
    process. `activate` and `open_lane` allocate all memory, a frame allocates none. The arrays that `infer` and
    `infer_all` return lie in page-locked memory: they are valid until the next call, and freed by `deactivate`.

    Args:
        path: Path of the engine file.
        card: Card of the engine.

    Attributes:
        input_dtype: Data type of the engine's input: numpy.uint8, or numpy.float32 for an engine of implicit INT8
            (export/graph/float_input.py), which takes the same numbers as floats.
    """

    backend = "tensorrt"

    def __init__(self, path: str | os.PathLike, card: EngineCard) -> None:
        super().__init__(card.contract)
        self._path, self._card = Path(path), card
        if card.batch_profile is not None:
            self.batches = (card.batch_profile[0], card.batch_profile[2])
        self._resources = ResourceStack()
        self._reset()

    def describe(self) -> dict[str, Any]:
        """Return version, device and compute capability, and the description of the last lane while one is open."""
        machine = this_machine()
        described = {
            "backend": self.backend,
            "version": import_tensorrt().__version__,
            "device": machine.gpu,
            "compute_capability": machine.compute_capability,
        }
        if self._lanes:
            described.update(self._lanes[-1].describe())
        if self._lane_problem is not None:
            described["kernels"] = f"no: {self._lane_problem}"
        return described

    def _reset(self) -> None:
        self.input_dtype: type = np.uint8
        self._context: CudaContext | None = None
        self._logger: Any = None
        self._buffers: dict[str, Buffer] = {}
        self._addresses: dict[str, int] = {}
        self._bound: tuple[int, dict[str, int]] | None = None
        self._lanes: list[CudaLane] = []
        self._lane_problem: str | None = None

    def _activate_impl(self) -> None:
        trt = self._check_machine()
        self._context = CudaContext()
        self._resources.push("context", self._context, ("Context.detach", lambda context: context.detach))
        try:
            self._load_engine(trt)
            self._check_tensors(trt)
            self._allocate_buffers()
            self._context.leave()
        except BaseException as error:
            # The stack frames of the failed call would keep what is released here alive beyond its context.
            traceback.clear_frames(error.__traceback__)
            with contextlib.suppress(Exception):  # the first failure is the one to tell
                self._resources.release()
            self._resources = ResourceStack()
            self._reset()
            raise

    def _check_machine(self) -> Any:
        """Refuse an engine of another machine before any TensorRT object or CUDA context is created."""
        card, machine, built_on = self._card, this_machine(), self._card.machine
        what = f"{card.contract.model} {card.precision} engine {self._path}"
        if machine.gpu is None:
            raise EngineMismatchError(
                f"{what} needs the GPU {built_on.gpu}, this machine has no NVIDIA GPU or no driver for it. "
                "Next: run it where it was built, or build one for here with --backend onnxruntime"
            )
        if not self._fits_gpu(machine):
            raise EngineMismatchError(
                f"{what} was built for {_gpu_text(built_on)}; this machine has {_gpu_text(machine)}. "
                f"Next: {card.rebuild_command()}"
            )
        trt = import_tensorrt()
        if not self._fits_version(trt.__version__):
            raise EngineMismatchError(
                f"{what} was built by TensorRT {card.backend_version}; this machine has {trt.__version__}. "
                f"Next: {card.rebuild_command()}"
            )
        return trt

    def _fits_gpu(self, machine: Machine) -> bool:
        built_on = self._card.machine
        if machine.architecture != built_on.architecture:
            return False
        if (machine.gpu, machine.compute_capability) == (built_on.gpu, built_on.compute_capability):
            # All modules of a Jetson generation give their GPU one name, and differ in its size.
            return None in (machine.board, built_on.board) or machine.board == built_on.board
        return (
            self._card.is_hardware_compatible
            and _version_numbers(machine.compute_capability or "0") >= _OLDEST_PORTABLE
        )

    def _fits_version(self, version: str) -> bool:
        built_by = self._card.backend_version
        if version == built_by:
            return True
        here, there = _version_numbers(version), _version_numbers(built_by)
        return self._card.is_version_compatible and here[0] == there[0] and here >= there

    def _load_engine(self, trt: Any) -> None:
        try:
            plan = self._path.read_bytes()
        except OSError as error:
            raise InputError(f"engine {self._path} cannot be read: {error.strerror}") from None
        logger = self._logger = message_logger(trt)
        push = self._resources.push
        push("stream", call("pycuda.driver.Stream", self._context.driver.Stream))
        push("runtime", call("tensorrt.Runtime", trt.Runtime, logger, refused=(None,), logger=logger))
        runtime, dla_core = self._resources["runtime"], self._card.dla_core
        if dla_core is not None:
            runtime.DLA_core = dla_core
        if self._card.is_version_compatible:
            runtime.engine_host_code_allowed = True  # the engine brings the code of the version that built it
        load = runtime.deserialize_cuda_engine
        push("engine", call("Runtime.deserialize_cuda_engine", load, plan, refused=(None,), logger=logger))
        push("execution", self._make_execution())

    def _make_execution(self) -> Any:
        create = self._resources["engine"].create_execution_context
        return call("ICudaEngine.create_execution_context", create, refused=(None,), logger=self._logger)

    def renew_execution(self) -> None:
        """Create a new execution context, unless graphs of a lane use the scratch memory of the old one."""
        if not any(lane.has_graph for lane in self._lanes):
            self._bound = None
            self._resources.replace("execution", self._make_execution)

    @property
    def graph_problem(self) -> str | None:
        """Reason why frames cannot be recorded in a CUDA graph; None if they can."""
        if self._card.dla_core is not None:
            return "a DLA's work does not go into a graph"
        if self._card.batch_profile is not None:
            return "the engine takes several numbers of frames, and a graph is of one"
        return None

    def _check_tensors(self, trt: Any) -> None:
        """Compare names, directions, shapes and types of the engine's tensors with the contract."""
        engine, contract = self._resources["engine"], self.contract
        found, input_dtype = set(), trt.DataType.UINT8
        for index in range(engine.num_io_tensors):
            name = call("ICudaEngine.get_tensor_name", engine.get_tensor_name, index)
            mode = call("ICudaEngine.get_tensor_mode", engine.get_tensor_mode, name)
            shape = tuple(call("ICudaEngine.get_tensor_shape", engine.get_tensor_shape, name))
            dtype = call("ICudaEngine.get_tensor_dtype", engine.get_tensor_dtype, name)
            if mode == trt.TensorIOMode.INPUT and dtype == trt.DataType.FLOAT:
                input_dtype, self.input_dtype = dtype, np.float32
            found.add(("input" if mode == trt.TensorIOMode.INPUT else "output", name, shape, dtype.name))
        lead = (-1,) if self._card.batch_profile is not None else (contract.batch,)
        wanted = {("input", contract.input_name, lead + contract.input_shape[1:], input_dtype.name)}
        for name, shape in contract.output_shapes.items():
            wanted.add(("output", name, lead + shape[1:], trt.DataType.FLOAT.name))
        if found != wanted:
            raise EngineMismatchError(
                f"{self._path} has the tensors {sorted(found)}, its contract says {sorted(wanted)}. "
                f"Next: {self._card.rebuild_command()}"
            )

    def _allocate_buffers(self) -> None:
        contract, most = self.contract, (self.batches[1],)
        outputs = [(name, shape, np.float32) for name, shape in contract.output_shapes.items()]
        for name, shape, dtype in ((contract.input_name, contract.input_shape, self.input_dtype), *outputs):
            self._buffers[name] = allocate_buffer(
                self._context, self._resources, name, most + shape[1:], dtype, may_map=False
            )
        self._addresses = {name: buffer.address for name, buffer in self._buffers.items()}
        self._bind(self._addresses, most[0])

    def _bind(self, addresses: dict[str, int], batch: int) -> None:
        """Give the engine the addresses of its tensors and the batch size, if they have changed."""
        if self._bound != (batch, addresses):
            self._bound = None
            self._set_tensors(self._resources["execution"], addresses, batch)
            self._bound = (batch, dict(addresses))

    def _set_tensors(self, execution: Any, addresses: dict[str, int], batch: int) -> None:
        contract = self.contract
        if self._card.batch_profile is not None:
            shape = (batch, *contract.input_shape[1:])
            set_shape = execution.set_input_shape
            call("IExecutionContext.set_input_shape", set_shape, contract.input_name, shape, refused=(False,))
        for name, address in addresses.items():
            set_address = execution.set_tensor_address
            call("IExecutionContext.set_tensor_address", set_address, name, address, refused=(False,))

    def enqueue(self, addresses: dict[str, int], stream: Any, batch: int = 1) -> None:
        """Enqueue one inference on a stream while the runner's context is current.

        Args:
            addresses: Tensor name -> address in the GPU's memory.
            stream: Pycuda stream; always the same one, since the engine has scratch memory for one inference.
            batch: Number of frames in the input.

        Raises:
            BackendError: TensorRT refused the call; the message gives its reason.
        """
        self._bind(addresses, batch)
        self._execute(self._resources["execution"], stream)

    def _execute(self, execution: Any, stream: Any) -> None:
        execute = execution.execute_async_v3
        call("IExecutionContext.execute_async_v3", execute, stream.handle, refused=(False,), logger=self._logger)

    def profile(self, frame: np.ndarray, runs: int) -> list[LayerTime]:
        """Measure every layer in an execution context of its own, since a profiler cannot be removed again.

        The clock is TensorRT's: see edge.runtime.tensorrt_profile. Kinds and precisions of the layers are known only
        for an engine that was built with --verbose-layers.
        """
        self._require_runs(runs)
        self.infer_all(frame)  # refuses what cannot be run, and leaves the frame on the GPU
        with self._context.current():
            return self._profile(len(frame), runs)

    def _profile(self, batch: int, runs: int) -> list[LayerTime]:
        # Up to TensorRT 8, a profile of batches belongs to one execution context at a time. Such engines have no graphs
        # that would need the one of the runner.
        is_exclusive = self._card.batch_profile is not None
        if is_exclusive:
            self._bound = None
            self._resources.replace("execution", lambda: None)
        try:
            with release_traceback_locals():
                return self._profile_alone(batch, runs)
        finally:
            if is_exclusive:
                self._resources.replace("execution", self._make_execution)

    def _profile_alone(self, batch: int, runs: int) -> list[LayerTime]:
        stream, execution = self._resources["stream"], self._make_execution()
        self._set_tensors(execution, self._addresses, batch)

        def execute() -> None:
            self._execute(execution, stream)
            call("Stream.synchronize", stream.synchronize)

        trt = import_tensorrt()
        return profile_execution(trt, execution, execute, runs, engine_layers(trt, self._resources["engine"]))

    def open_lane(self, request: LaneRequest) -> Lane | None:
        """Allocate the memory that carries whole frames through the GPU.

        Args:
            request: Sizes, format and depth of the lane.

        Returns:
            An open lane; None where the kernels cannot be compiled: `describe` then gives the reason.
        """
        self._require_active()
        try:
            image = load_image(this_machine().compute_capability or "")
        except BackendError as reason:
            self._lane_problem = str(reason)
            return None
        with self._context.current(), release_traceback_locals():
            lane = CudaLane(self._context, self, request, image, self._resources["stream"], self._lanes.remove)
        self._lanes.append(lane)
        return lane

    def _deactivate_impl(self) -> None:
        try:
            for lane in tuple(self._lanes):
                with contextlib.suppress(BackendError):  # a device that failed; the rest is still to be freed
                    lane.close()
            self._context.enter()
            self._drop_host_views()
            # The last thing that is released is the context, which also takes it off this thread.
            self._resources.release()
        finally:
            self._resources = ResourceStack()
            self._reset()

    def _drop_host_views(self) -> None:
        """Drop the arrays, which are views of the page-locked memory that is freed next."""
        self._buffers, self._addresses = {}, {}

    def _infer_impl(self, frame: np.ndarray) -> dict[str, np.ndarray]:
        context, stream = self._context, self._resources["stream"]
        batch = len(frame)
        sent = self._buffers[self.contract.input_name]
        np.copyto(sent.host[:batch], frame)
        with context.current():
            sent.upload(context.driver, stream, batch)
            self.enqueue(self._addresses, stream, batch)
            for name in self._output_names:
                self._buffers[name].download(context.driver, stream, batch)
            call("Stream.synchronize", stream.synchronize)
        return {name: self._buffers[name].host[:batch] for name in self._output_names}


def _gpu_text(machine: Machine) -> str:
    """Return a machine's GPU, compute capability, architecture and board as a text."""
    where = f"{machine.architecture}, {machine.board}" if machine.board is not None else machine.architecture
    return f"{machine.gpu} (compute capability {machine.compute_capability}, {where})"


def _version_numbers(text: str) -> tuple[int, ...]:
    """Return the numbers of a version or compute capability: "8.5.3" gives (8, 5, 3)."""
    return tuple(int(part) for part in text.split(".") if part.isdigit())
