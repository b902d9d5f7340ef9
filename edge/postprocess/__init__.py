"""From strided logits to labels: bilinear upsampling and argmax in one step.

Bilinear interpolation is a convex combination. Where the four corners of a cell have the same argmax,
every pixel of the cell has that label, so only cells on a class boundary need arithmetic, and the
upsampled logits (159 MB for 19 classes at 1024x2048) are never made. The labels equal those of
`edge.postprocess.bilinear.reference_labels` at every pixel.

    backend "native"   edge/postprocess/native, C++ compiled at first use
    backend "numpy"    edge/postprocess/upsample_argmax_numpy.py, where there is no compiler
"""

from __future__ import annotations

import ctypes

import numpy as np

from edge.coordinate_rules import COORDINATE_RULES
from edge.errors import BackendError, InputError
from edge.postprocess.bilinear import AxisCells, axis_cells, reference_labels
from edge.postprocess.native.build import load_library, unavailable_reason
from edge.postprocess.upsample_argmax_numpy import label_image

__all__ = ["BACKENDS", "COORDINATE_RULES", "LabelUpsampler", "backend", "reference_labels", "upsample_argmax"]

BACKENDS = ("native", "numpy")

MAX_CLASSES = 256
"""Most classes of a network, since a label is a uint8."""

_PADDING = 8  # kLanes of the kernel: it reads the weights of a whole vector of pixels
_NOT_FINITE, _OUT_OF_MEMORY = 1, 2  # what the kernel returns


def backend() -> str:
    """Return the backend that computes labels on this machine: "native" or "numpy"."""
    return "native" if load_library() is not None else "numpy"


def upsample_argmax(
    logits: np.ndarray, height: int, width: int, coordinates: str = "half_pixel", out: np.ndarray | None = None
) -> np.ndarray:
    """Label one image; for a stream of equal shapes, keep a LabelUpsampler.

    Args:
        logits: (classes, h, w) or (1, classes, h, w) float32, finite, any h and w.
        height: Rows of the label map in pixels, more or fewer than h.
        width: Columns of the label map in pixels, more or fewer than w.
        coordinates: Coordinate rule of the contract, "half_pixel" or "align_corners".
        out: (height, width) uint8 array that receives the labels; None for a new one.

    Returns:
        (height, width) uint8 labels; this is `out` if it was given.

    Raises:
        InputError: A shape or type differs from these, there are more than 256 classes, or logits are NaN or infinite.
    """
    shape = _planes(logits).shape
    return LabelUpsampler(*shape, height, width, coordinates)(logits, out)


class LabelUpsampler:
    """Turns logits of one shape into label maps of one size, frame after frame.

    The tables are computed once. A call allocates nothing of the size of the image but the label map, and not even that
    when `out` is given. A call runs on one thread. Calls from several threads at once are safe, as long as their `out`
    differ.

    Args:
        classes: Number of classes, 1 to 256.
        logit_height: Rows of the logits.
        logit_width: Columns of the logits.
        height: Rows of the label map, in pixels.
        width: Columns of the label map, in pixels.
        coordinates: Coordinate rule of the contract, "half_pixel" or "align_corners".
        backend: Either "native" or "numpy"; by default the native one where it is available.

    Raises:
        InputError: A number is out of range, or the coordinate rule or backend is unknown.
        BackendError: The native backend was asked for and is not available.

    Example:
        >>> upsampler = LabelUpsampler(19, 128, 256, 1024, 2048)
        >>> labels = upsampler(logits)
    """

    def __init__(
        self,
        classes: int,
        logit_height: int,
        logit_width: int,
        height: int,
        width: int,
        coordinates: str = "half_pixel",
        backend: str | None = None,
    ) -> None:
        if not 1 <= classes <= MAX_CLASSES:
            raise InputError(f"logits have {classes} classes, expected 1 to {MAX_CLASSES}: a label is one byte")
        self._logits_shape = (int(classes), int(logit_height), int(logit_width))
        self._labels_shape = (int(height), int(width))
        self._rows = axis_cells(*_whole("height", logit_height, height), coordinates)
        self._columns = axis_cells(*_whole("width", logit_width, width), coordinates)
        self._kernel = _native_kernel(backend)
        if self._kernel is not None:
            self._native_rows = _NativeAxis.of(self._rows)
            self._native_columns = _NativeAxis.of(self._columns)

    @property
    def backend(self) -> str:
        """Backend that computes the labels: "native" or "numpy"."""
        return "native" if self._kernel is not None else "numpy"

    def __call__(self, logits: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Label one image from its logits.

        Args:
            logits: (classes, h, w) or (1, classes, h, w) float32, finite; copied first unless it is contiguous.
            out: (height, width) uint8 array that receives the labels, with the pixels of a row side by side; None for a
                new one.

        Returns:
            (height, width) uint8 labels; this is `out` if it was given.

        Raises:
            InputError: A shape or type differs, or a logit is NaN or infinite; the contents of `out` are then
                undefined.
        """
        planes = _planes(logits)
        if planes.shape != self._logits_shape:
            raise InputError(f"logits have shape {planes.shape}, expected {self._logits_shape}")
        if out is None:
            out = np.empty(self._labels_shape, np.uint8)
        else:
            self._check_out(out, planes)
        planes = np.ascontiguousarray(planes)
        if self._kernel is not None:
            self._run_kernel(planes, out)
        elif np.isfinite(planes).all():
            label_image(planes, self._rows, self._columns, out)
        else:
            raise _not_finite(planes)
        return out

    def _check_out(self, out: np.ndarray, planes: np.ndarray) -> None:
        if not isinstance(out, np.ndarray) or out.dtype != np.uint8 or out.shape != self._labels_shape:
            raise InputError(f"out is {_describe(out)}, expected uint8 of shape {self._labels_shape}")
        if not out.flags.writeable or out.strides[0] < out.shape[1] or out.strides[1] != 1:
            raise InputError("out cannot be written row by row, expected a writable C-contiguous array")
        if np.may_share_memory(out, planes):
            raise InputError("out shares memory with the logits, expected an array of its own")

    def _run_kernel(self, planes: np.ndarray, out: np.ndarray) -> None:
        status = self._kernel(
            planes.ctypes.data,
            *self._logits_shape,
            ctypes.byref(self._native_rows),
            ctypes.byref(self._native_columns),
            out.ctypes.data,
            out.strides[0],
        )
        if status == _NOT_FINITE:
            raise _not_finite(planes)
        if status == _OUT_OF_MEMORY:
            raise MemoryError("no memory for two rows of logits")


class _NativeAxis(ctypes.Structure):
    """Structure SegedgeAxis of the native kernel."""

    _fields_ = (
        ("cells", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("start", "low", "high", "fraction", "low_weight", "high_weight")),
    )

    @classmethod
    def of(cls, axis: AxisCells) -> _NativeAxis:
        low_weight, high_weight = (
            np.pad(table, (0, _PADDING), "edge") for table in (axis.low_weight, axis.high_weight)
        )
        fraction = (high_weight / (low_weight + high_weight)).astype(np.float32)
        tables = (axis.start, axis.low, axis.high, fraction, low_weight, high_weight)
        native = cls(len(axis.low), *(table.ctypes.data for table in tables))
        native.tables = tables  # the structure holds bare addresses; this keeps the arrays alive
        return native


def _native_kernel(backend: str | None) -> ctypes._CFuncPtr | None:
    if backend is not None and backend not in BACKENDS:
        raise InputError(f"post-processing backend is {backend!r}, expected one of {', '.join(BACKENDS)}")
    library = None if backend == "numpy" else load_library()
    if library is None:
        if backend == "native":
            raise BackendError(f"native post-processing is not available: {unavailable_reason()}")
        return None
    kernel = library.segedge_upsample_argmax
    kernel.restype = ctypes.c_int
    kernel.argtypes = (
        ctypes.c_void_p,
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.POINTER(_NativeAxis),
        ctypes.POINTER(_NativeAxis),
        ctypes.c_void_p,
        ctypes.c_int64,
    )
    return kernel


def _planes(logits: np.ndarray) -> np.ndarray:
    """Return logits as (classes, h, w), refused unless they are float32."""
    if not isinstance(logits, np.ndarray) or logits.dtype != np.float32:
        raise InputError(f"logits are {_describe(logits)}, expected a float32 array")
    if logits.ndim == 4 and logits.shape[0] == 1:
        return logits[0]
    if logits.ndim != 3:
        raise InputError(f"logits have shape {logits.shape}, expected (classes, h, w) or (1, classes, h, w)")
    return logits


def _whole(side: str, nodes: int, pixels: int) -> tuple[int, int]:
    if int(nodes) != nodes or int(pixels) != pixels:
        raise InputError(f"{side} is {nodes} logits and {pixels} pixels, expected whole numbers")
    return int(nodes), int(pixels)


def _describe(value: object) -> str:
    return f"{value.dtype} of shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


def _not_finite(planes: np.ndarray) -> InputError:
    bad = np.argwhere(~np.isfinite(planes))
    label, y, x = (int(index) for index in bad[0])
    return InputError(
        f"{len(bad)} of {planes.size} logits are NaN or infinite, first {planes[label, y, x]} at class {label}, "
        f"row {y}, column {x}; expected finite numbers. Next: check the network's precision (fp16 overflows at 65504)"
    )
