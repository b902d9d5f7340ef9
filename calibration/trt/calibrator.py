"""Sources of scales for TensorRT's implicit INT8: our calibration cache, or TensorRT's own calibrator.

    CacheCalibration      scales that were computed from ranges.json; TensorRT is shown no image.
    EntropyCalibration    `--calibrator tensorrt-entropy`: TensorRT's IInt8EntropyCalibrator2 over the same images.
                          It asks for one batch after the other, and gets it in device memory of one batch, taken
                          once. What it found is kept under the hash of graph, images, preprocessing, version and code.

TensorRT prints and forgets an exception that its calibrator raises, and takes it for the end of the images: an
engine calibrated on half of them would look like any other. So what happens in a callback is kept here, and `check`
raises it.

Sources: TensorRT Python API, class IInt8EntropyCalibrator2 (the base class has to be initialised by name); what becomes
of exceptions: python/src/infer/pyInt8.cpp of github.com/NVIDIA/TensorRT.
"""

from __future__ import annotations

import abc
import hashlib
import traceback
from pathlib import Path
from typing import Any, Mapping

import numpy as np

from calibration.qdq.quantization_config import QuantizationConfig
from calibration.ranges.record import PREPROCESSING, Ranges
from calibration.trt.cache import (
    CacheOrigin,
    cache_of_other_code,
    cache_text,
    current_cache,
    parse_cache,
    text_of,
    write_cache,
)
from calibration.trt.scales import constant_scales, network_scales
from edge.code_digest import code_digest
from edge.console import Progress, print_status
from edge.contract import Contract
from edge.errors import BackendError, InputError, SegEdgeError
from edge.frames import FrameSet
from edge.preprocess import FramePreparer
from edge.runtime.calls import call, one_line
from edge.runtime.cuda.context import CudaContext

TENSORRT_ENTROPY = "tensorrt-entropy"

_SHOWN_TENSORS = 5


def require_calibrators(trt: Any) -> None:
    """Refuse a TensorRT that has no calibrators; version 10 is the last that has them.

    Raises:
        BackendError: the version is 11 or later.
    """
    if not hasattr(trt, "IInt8EntropyCalibrator2"):
        major = trt.__version__.split(".")[0]
        raise BackendError(f"TensorRT {major} has no calibrators. Next: --calibrator percentile")


def without_scale(tensors: list[str]) -> str:
    """Return a sentence that names the tensors without a scale."""
    more = f" and {len(tensors) - _SHOWN_TENSORS} more" if len(tensors) > _SHOWN_TENSORS else ""
    return (
        f"{len(tensors)} tensors have no scale, and the layers at them run in float: "
        f"{', '.join(tensors[:_SHOWN_TENSORS])}{more}"
    )


class Calibration(abc.ABC):
    """A source of scales for one build, used as a context manager around all calls of TensorRT in it.

    Example:
        >>> with calibration:
        ...     config.int8_calibrator = calibration.calibrator(trt, network)
        ...     plan = builder.build_serialized_network(network, config)
        ...     calibration.check()

    Attributes:
        notes: sentences that a user has to know.
    """

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._failure: BaseException | None = None
        self._place = ""

    def __enter__(self) -> Calibration:
        self.notes, self._failure = [], None
        return self

    def __exit__(self, *exception: object) -> None:
        self._failure = None

    @abc.abstractmethod
    def calibrator(self, trt: Any, network: Any) -> Any:
        """Return the tensorrt.IInt8EntropyCalibrator2 for a parsed network; None if its tensors have their scales.

        Raises:
            BackendError: this TensorRT has no calibrators, or the images cannot be given to it.
        """

    @abc.abstractmethod
    def next_batch(self, names: list[str]) -> list[int] | None:
        """Return the device address of a batch for each input, None after the last."""

    @abc.abstractmethod
    def read(self) -> bytes | None:
        """Return a cache that makes images needless; None where there is none."""

    @abc.abstractmethod
    def write(self, text: str) -> None:
        """Store the cache that TensorRT made."""

    def interrupt(self) -> None:
        """Handle Ctrl-C while TensorRT works: there are no more images, and `check` raises KeyboardInterrupt."""
        if self._failure is None:
            self._failure = KeyboardInterrupt()

    def check(self) -> None:
        """Raise the exception that occurred in a callback from TensorRT, if there was one.

        Raises:
            BackendError: TensorRT could not be given its images.
            KeyboardInterrupt: the user pressed Ctrl-C during a batch; TensorRT does not see it either.
        """
        failure, self._failure = self._failure, None
        if failure is None:
            return
        if isinstance(failure, KeyboardInterrupt):
            raise KeyboardInterrupt
        said = str(failure)
        if not isinstance(failure, SegEdgeError):  # a defect, whose traceback is gone
            said = f"{type(failure).__name__}: {one_line(failure)} ({self._place})"
        raise BackendError(f"TensorRT's calibration failed, and its engine is not kept: {said}") from failure

    def _subclass(self, trt: Any) -> Any:
        """Return an instance of TensorRT's class whose calls come to this object; the first failure ends the images."""
        require_calibrators(trt)
        owner = self

        class Calibrator(trt.IInt8EntropyCalibrator2):
            def __init__(self) -> None:
                trt.IInt8EntropyCalibrator2.__init__(self)
                self._cache: bytes | None = None  # TensorRT reads it in place

            def get_batch_size(self) -> int:
                return 1  # the network's batch is explicit: what counts is the shape of its input

            def get_batch(self, names: list[str]) -> list[int] | None:
                return owner._guard(owner.next_batch, names)

            def read_calibration_cache(self) -> bytes | None:
                self._cache = owner._guard(owner.read)
                return self._cache

            def write_calibration_cache(self, cache: Any) -> None:
                # After a failure TensorRT writes what it found in the images until then.
                owner._guard(lambda: owner.write(bytes(cache).decode("utf-8")))

        return Calibrator()

    def _guard(self, function: Any, *arguments: Any) -> Any:
        if self._failure is not None:
            return None
        try:
            return function(*arguments)
        except BaseException as error:  # whatever goes on into TensorRT is lost
            last = traceback.extract_tb(error.__traceback__)[-1]
            self._place = f"{Path(last.filename).name}, line {last.lineno}"
            # From its frames a kept error would reach those that called TensorRT, and keep what they hold.
            self._failure = error.with_traceback(None)
            return None


class CacheCalibration(Calibration):
    """A calibration whose scales come from a calibration cache.

    Args:
        text: text of the cache, as calibration.trt.cache.cache_text returns it for the installed TensorRT.
        constants: scales as calibration.trt.scales.constant_scales returns them, for tensors that the parser makes.
    """

    def __init__(self, text: str, constants: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self._scales, self._constants = parse_cache(text), dict(constants or {})
        self._text = text

    @classmethod
    def of_ranges(
        cls, model: Any, ranges: Ranges, method: str | QuantizationConfig, tensorrt_version: str
    ) -> CacheCalibration:
        """Return the calibration of a float graph (onnx.ModelProto) by its ranges.

        Raises:
            GraphError: the graph has Q/DQ pairs.
            InputError: the method or the version is unknown.
        """
        return cls(cache_text(model, ranges, method, tensorrt_version), constant_scales(model))

    def calibrator(self, trt: Any, network: Any) -> Any:
        """Return a calibrator that gives the cache, with scales for the parser's own tensors, and no images."""
        made = self._subclass(trt)
        scales, without = network_scales(trt, network, self._scales, self._constants)
        self._text = text_of(scales, trt.__version__)
        if without:
            self.notes.append(without_scale(without))
        return made

    def read(self) -> bytes | None:
        """Return the text of the cache as bytes."""
        return self._text.encode("utf-8")

    def write(self, text: str) -> None:
        """Ignore a cache that TensorRT made: it writes one only when it has seen images."""

    def next_batch(self, names: list[str]) -> list[int] | None:
        """Record that TensorRT did not accept the cache: it asks for images only then."""
        raise BackendError("TensorRT did not take the calibration cache, and there are no images for it")


class EntropyCalibration(Calibration):
    """A calibration by TensorRT's entropy calibrator over the calibration images.

    The `with` block holds a CUDA context with the memory of one batch. Where a cache exists, no GPU is used.

    Args:
        graph: content of the float ONNX file that the engine is built from.
        contract: contract of the float graph.
        frames: calibration images.
        manifest_sha256: SHA-256 of the manifest of the images.
        folder: folder of calibration caches.
        tensorrt_version: version of the installed TensorRT.
        show_progress: True to print progress with the time left on stderr.

    Raises:
        InputError: there are no images.
    """

    def __init__(
        self,
        graph: bytes,
        contract: Contract,
        frames: FrameSet,
        manifest_sha256: str,
        folder: Path,
        tensorrt_version: str,
        show_progress: bool = True,
    ) -> None:
        super().__init__()
        if not len(frames):
            raise InputError(f"no images to calibrate on in {frames.description}")
        self._contract, self._frames, self._folder, self._show_progress = contract, frames, folder, show_progress
        digest = hashlib.sha256(graph).hexdigest()
        code = code_digest(__name__)
        self._origin = CacheOrigin(digest, manifest_sha256, PREPROCESSING, TENSORRT_ENTROPY, tensorrt_version, code)
        self._forget()

    def _forget(self) -> None:
        self._cached: str | None = None
        self._driver: Any = None
        self._cuda_context: Any = None
        self._device: Any = None
        self._host: np.ndarray | None = None
        self._progress: Progress | None = None
        self._prepare: FramePreparer | None = None
        self._given = 0

    def __enter__(self) -> EntropyCalibration:
        """Look for a cache; without one, make a CUDA context and allocate the memory of one batch."""
        super().__enter__()
        self._forget()
        self._cached = current_cache(self._folder, self._origin)
        if self._cached is not None:
            self.notes.append(f"TensorRT's calibration of {len(self._frames)} images was kept, and is used again")
            return self
        other = cache_of_other_code(self._folder, self._origin)
        if other is not None and self._show_progress:
            print_status(f"TensorRT calibrates anew: {other}")
        contract = self._contract
        self._host = np.empty(contract.input_shape, np.float32)
        self._prepare = FramePreparer(contract.height, contract.width, "rgb")
        self._cuda_context = CudaContext()
        self._driver = self._cuda_context.driver
        try:
            self._device = call("pycuda.driver.mem_alloc", self._driver.mem_alloc, self._host.nbytes)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        """Free the memory and leave the context; everything that TensorRT made in it has to be freed before."""
        if len(exception) == 3 and exception[2] is not None:
            traceback.clear_frames(exception[2])  # they hold TensorRT's objects
        if self._progress is not None:
            self._progress.__exit__(*exception)
        try:
            if self._device is not None:
                call("DeviceAllocation.free", self._device.free)
        finally:
            context = self._cuda_context
            self._forget()
            super().__exit__(*exception)
            if context is not None:
                call("Context.detach", context.detach)

    @property
    def batch_count(self) -> int:
        """Return the number of batches; the last one is filled up with the first images."""
        return -(-len(self._frames) // self._contract.batch)

    def calibrator(self, trt: Any, network: Any) -> Any:
        """Return a calibrator that streams the images."""
        if self._show_progress and self._cached is None:
            self._progress = Progress("calibrate with TensorRT", self.batch_count, "batch")
        return self._subclass(trt)

    def read(self) -> bytes | None:
        """Return the cache of an earlier build; None where there is none."""
        return None if self._cached is None else self._cached.encode("utf-8")

    def write(self, text: str) -> None:
        """Write the cache that TensorRT made to the folder."""
        parse_cache(text)
        try:
            write_cache(self._folder, text, self._origin)
        except SegEdgeError as error:  # the engine is as good without
            self.notes.append(f"TensorRT's calibration was not kept: {error}")

    def next_batch(self, names: list[str]) -> list[int] | None:
        """Put the next images into the one batch of device memory and return its address.

        Args:
            names: names of the network's inputs.
        """
        contract = self._contract
        if list(names) != [contract.input_name]:
            raise BackendError(f"TensorRT asks for {', '.join(names)}, expected {contract.input_name}")
        if self._device is None or self._host is None or self._prepare is None:
            raise BackendError("TensorRT did not take the calibration cache of an earlier build. Next: delete it")
        if self._given == self.batch_count:
            return None
        for slot in range(contract.batch):
            index = (self._given * contract.batch + slot) % len(self._frames)
            self._host[slot] = self._prepare(self._frames.read(index))[0]
        call("pycuda.driver.memcpy_htod", self._driver.memcpy_htod, self._device, self._host)
        self._given += 1
        if self._progress is not None:
            self._progress.step()
        return [int(self._device)]
