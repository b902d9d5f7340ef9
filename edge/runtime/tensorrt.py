"""Engines of TensorRT 8.5 to 11 on an NVIDIA GPU, fed through pycuda.

The only file of the installed package that imports tensorrt and pycuda. Only what every version
from 8.5 to 11 has is called: named tensors, `set_tensor_address` and `execute_async_v3`.
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
from edge.errors import BackendError, EngineMismatchError, InputError, MissingDependencyError
from edge.machine import this_machine
from edge.runtime.base import Runner

INSTALL_TENSORRT = "sudo apt install python3-libnvinfer on a Jetson, pip install tensorrt elsewhere"
INSTALL_PYCUDA = "pip install pycuda"
DEVICE = 0
_KEPT_ERRORS = 4


def import_tensorrt() -> Any:
    """Return the tensorrt module; importing it needs no GPU.

    Raises:
        MissingDependencyError: it is not installed.
        BackendError: it is installed, but one of its libraries cannot be loaded.
    """
    return _import("tensorrt", "tensorrt", INSTALL_TENSORRT)


def import_pycuda_driver() -> Any:
    """Return pycuda.driver, initialised.

    Raises:
        MissingDependencyError: pycuda is not installed.
        BackendError: it is installed, but one of its libraries cannot be loaded, or it finds no driver.
    """
    driver = _import("pycuda", "pycuda.driver", INSTALL_PYCUDA)
    call("pycuda.driver.init", driver.init)
    return driver


def _import(package: str, module: str, install: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != package:
            raise BackendError(f"{package} is installed, but lacks the module {error.name}. Next: {install}") from None
        raise MissingDependencyError(package, "running a TensorRT engine", install) from None
    except (ImportError, OSError) as error:
        raise BackendError(f"{package} is installed, but cannot be loaded: {one_line(error)}") from None


@functools.lru_cache(maxsize=1)
def message_logger(trt: Any) -> Any:
    """Return the logger of this process, which keeps the last errors instead of printing.

    TensorRT holds on to the first logger that it is given, so there is one, and it is never freed.

    Args:
        trt: the tensorrt module.

    Returns:
        A tensorrt.ILogger with `errors`, a deque of lines.

    Source: TensorRT Python API, class ILogger (the base class has to be initialised by name).
    """

    class MessageLogger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: collections.deque[str] = collections.deque(maxlen=_KEPT_ERRORS)
            self._kept = (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR)

        def log(self, severity: Any, msg: str) -> None:
            if severity in self._kept:
                self.errors.append(" ".join(msg.split()))

    return MessageLogger()


def one_line(error: BaseException) -> str:
    """Return what an exception says, in one line of at most 300 characters."""
    return (" ".join(str(error).split()) or type(error).__name__)[:300]


def call(name: str, function: Callable[..., Any], *arguments: Any, refused: Any = (), logger: Any = None) -> Any:
    """Call TensorRT or pycuda, and turn every kind of failure into one.

    Args:
        name: of the call, for the message.
        function: what to call.
        *arguments: what to call it with.
        refused: results by which the call says that it failed, such as None or False.
        logger: where TensorRT said why; its errors are cleared before the call.

    Returns:
        What the call returned.

    Raises:
        BackendError: it raised, or returned one of `refused`; names the call.
    """
    if logger is not None:
        logger.errors.clear()
    try:
        result = function(*arguments)
    except Exception as error:  # the two packages share no base class but Exception
        reason = one_line(error)
    else:
        if not any(result is value for value in refused):
            return result
        reason = f"it returned {result}"
    # A caller may keep the error; its traceback must not keep a GPU object beyond its CUDA context.
    del function, arguments
    said = f" ({'; '.join(logger.errors)[:600]})" if logger is not None and logger.errors else ""
    raise BackendError(f"{name} failed: {reason}{said}")


class TensorRtRunner(Runner):
    """Runs a TensorRT engine in a CUDA context of its own.

    The context is made current for the length of a call and no longer, so the runner works from any
    thread and beside other users of CUDA in the process. All memory is taken by `activate`. The
    arrays that `infer` and `infer_all` return lie in page-locked memory: they are valid until the
    next call, and gone after `deactivate`.

    Args:
        path: the engine file.
        card: what it was built from, and for which machine.
    """

    backend = "tensorrt"

    def __init__(self, path: str | os.PathLike, card: EngineCard) -> None:
        super().__init__(card.contract)
        self._path, self._card = Path(path), card
        self._owned = contextlib.ExitStack()
        self._forget()

    def describe(self) -> dict[str, Any]:
        """Return version, device and compute capability."""
        machine = this_machine()
        return {
            "backend": self.backend,
            "version": import_tensorrt().__version__,
            "device": machine.gpu,
            "compute_capability": machine.compute_capability,
        }

    def _forget(self) -> None:
        self._driver: Any = None
        self._logger: Any = None
        self._cuda_context: Any = None
        self._stream: Any = None
        self._runtime: Any = None
        self._engine: Any = None
        self._execution: Any = None
        self._input_dtype: type = np.uint8
        self._host: dict[str, np.ndarray] = {}
        self._device: dict[str, Any] = {}

    def _activate_impl(self) -> None:
        trt = self._check_machine()
        self._take_context()
        try:
            self._load_engine(trt)
            self._check_tensors(trt)
            self._take_buffers()
            self._leave_context()
        except BaseException as error:
            # The frames of the failed call hold what is to be released, beyond the end of its context.
            traceback.clear_frames(error.__traceback__)
            with contextlib.suppress(Exception):  # the first failure is the one to tell
                self._owned.close()
            self._forget()
            raise

    def _check_machine(self) -> Any:
        """Refuse an engine of another machine; TensorRT objects and the CUDA driver stay untouched."""
        card, machine, built_on = self._card, this_machine(), self._card.machine
        what = f"{card.contract.model} {card.precision} engine {self._path}"
        if machine.gpu is None:
            raise EngineMismatchError(
                f"{what} needs the GPU {built_on.gpu}, this machine has no NVIDIA GPU or no driver for it. "
                "Next: run it where it was built, or build one for here with --backend onnxruntime"
            )
        here = (machine.gpu, machine.compute_capability)
        if here != (built_on.gpu, built_on.compute_capability):
            raise EngineMismatchError(
                f"{what} was built for {built_on.gpu} (compute capability {built_on.compute_capability}); "
                f"this machine has {here[0]} ({here[1]}). Next: {card.rebuild_command()}"
            )
        trt = import_tensorrt()
        if trt.__version__ != card.backend_version:
            raise EngineMismatchError(
                f"{what} was built by TensorRT {card.backend_version}; this machine has {trt.__version__}. "
                f"Next: {card.rebuild_command()}"
            )
        return trt

    def _take_context(self) -> None:
        """Make a context of our own and leave it current.

        It is detached while it is current: pycuda leaks a context that another thread made otherwise.
        """
        self._driver = import_pycuda_driver()
        device = call("pycuda.driver.Device", self._driver.Device, DEVICE)
        self._cuda_context = call("Device.make_context", device.make_context)
        self._owned.callback(call, "Context.detach", self._cuda_context.detach)

    def _drop(self, attribute: str) -> None:
        """Release an object of TensorRT or pycuda; both free in the destructor."""
        setattr(self, attribute, None)

    def _own(self, attribute: str, value: Any) -> Any:
        setattr(self, attribute, value)
        self._owned.callback(self._drop, attribute)
        return value

    def _load_engine(self, trt: Any) -> None:
        try:
            plan = self._path.read_bytes()
        except OSError as error:
            raise InputError(f"engine {self._path} cannot be read: {error.strerror}") from None
        logger = self._logger = message_logger(trt)
        self._own("_stream", call("pycuda.driver.Stream", self._driver.Stream))
        self._own("_runtime", call("tensorrt.Runtime", trt.Runtime, logger, refused=(None,), logger=logger))
        dla_core = self._card.dla_core
        if dla_core is not None:
            self._runtime.DLA_core = dla_core
        load = self._runtime.deserialize_cuda_engine
        self._own("_engine", call("Runtime.deserialize_cuda_engine", load, plan, refused=(None,), logger=logger))
        create = self._engine.create_execution_context
        self._own("_execution", call("ICudaEngine.create_execution_context", create, refused=(None,), logger=logger))

    def _check_tensors(self, trt: Any) -> None:
        """Compare names, directions, shapes and types of the engine's tensors with the contract.

        An engine of implicit INT8 takes the frame as float32 (export/float_input.py); the numbers are the same.
        """
        engine, contract = self._engine, self.contract
        found, input_dtype = set(), trt.DataType.UINT8
        for index in range(engine.num_io_tensors):
            name = call("ICudaEngine.get_tensor_name", engine.get_tensor_name, index)
            mode = call("ICudaEngine.get_tensor_mode", engine.get_tensor_mode, name)
            shape = tuple(call("ICudaEngine.get_tensor_shape", engine.get_tensor_shape, name))
            dtype = call("ICudaEngine.get_tensor_dtype", engine.get_tensor_dtype, name)
            if mode == trt.TensorIOMode.INPUT and dtype == trt.DataType.FLOAT:
                input_dtype, self._input_dtype = dtype, np.float32
            found.add(("input" if mode == trt.TensorIOMode.INPUT else "output", name, shape, dtype.name))
        wanted = {("input", contract.input_name, contract.input_shape, input_dtype.name)}
        for name, shape in contract.output_shapes.items():
            wanted.add(("output", name, shape, trt.DataType.FLOAT.name))
        if found != wanted:
            raise EngineMismatchError(
                f"{self._path} has the tensors {sorted(found)}, its contract says {sorted(wanted)}. "
                f"Next: {self._card.rebuild_command()}"
            )

    def _take_buffers(self) -> None:
        contract = self.contract
        outputs = [(name, shape, np.float32) for name, shape in contract.output_shapes.items()]
        for name, shape, dtype in ((contract.input_name, contract.input_shape, self._input_dtype), *outputs):
            host = call("pycuda.driver.pagelocked_empty", self._driver.pagelocked_empty, shape, dtype)
            self._host[name] = host
            self._owned.callback(self._free, self._host, name)
            device = call("pycuda.driver.mem_alloc", self._driver.mem_alloc, host.nbytes)
            self._device[name] = device
            self._owned.callback(self._free, self._device, name)
            set_address = self._execution.set_tensor_address
            call("IExecutionContext.set_tensor_address", set_address, name, int(device), refused=(False,))

    @staticmethod
    def _free(owner: dict[str, Any], name: str) -> None:
        buffer = owner.pop(name)
        if isinstance(buffer, np.ndarray):
            call("PagelockedHostAllocation.free", buffer.base.free)
        else:
            call("DeviceAllocation.free", buffer.free)

    def _enter_context(self) -> None:
        call("Context.push", self._cuda_context.push)

    def _leave_context(self) -> None:
        call("Context.pop", self._cuda_context.pop)

    def _deactivate_impl(self) -> None:
        try:
            self._enter_context()
            # The last callback detaches the context, which also takes it off this thread.
            call("freeing the engine and its memory", self._owned.close)
        finally:
            self._owned.pop_all()
            self._forget()

    def _infer_impl(self, frame: np.ndarray) -> dict[str, np.ndarray]:
        driver = self._driver  # no object that frees itself: a caller may keep an error, and this frame with it
        host_in, device_in = self._host[self.contract.input_name], self._device[self.contract.input_name]
        outputs = {name: self._host[name] for name in self._output_names}
        np.copyto(host_in, frame)
        self._enter_context()
        try:
            call("pycuda.driver.memcpy_htod_async", driver.memcpy_htod_async, device_in, host_in, self._stream)
            call(
                "IExecutionContext.execute_async_v3",
                self._execution.execute_async_v3,
                self._stream.handle,
                refused=(False,),
                logger=self._logger,
            )
            for name, host_out in outputs.items():
                device_out = self._device[name]
                call("pycuda.driver.memcpy_dtoh_async", driver.memcpy_dtoh_async, host_out, device_out, self._stream)
            call("Stream.synchronize", self._stream.synchronize)
        finally:
            self._leave_context()
        return outputs
