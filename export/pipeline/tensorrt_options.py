"""The check that TensorRT, and the version that is installed, supports the options of a request."""

from __future__ import annotations

from calibration.qdq.quantization_config import INT8
from calibration.trt.calibrator import TENSORRT_ENTROPY, require_calibrators
from edge.card import SCALE_SOURCES
from edge.errors import BackendError, InputError
from edge.machine import this_machine
from edge.runtime.tensorrt import import_tensorrt
from export.backends.options import EngineOptions, check_options
from export.pipeline.request import BuildRequest

QDQ = SCALE_SOURCES[0]


def check_tensorrt_options(request: BuildRequest, backend: str) -> None:
    """Refuse options that only TensorRT has, or that this TensorRT lacks, before any work is done.

    Args:
        request: request of the user.
        backend: name of the backend that builds.

    Raises:
        InputError: another backend builds, or options exclude each other.
        BackendError: this TensorRT or this GPU lacks a feature that an option needs.
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
    if options.gives_labels and (backend == "tensorrt" or request.precision == "float16"):
        raise InputError(
            f"--labels-in-graph: {request.precision} with {backend}, expected float32 or int8 with ONNX Runtime, since "
            "on a GPU the kernels behind the network label. Next: --backend onnxruntime"
        )
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
