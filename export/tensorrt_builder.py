"""Building engines with TensorRT 8.5 to 11, through one path: an ONNX graph, named tensors, Q/DQ.

Up to 8.6 a network is weakly typed: builder flags permit float16 and INT8. From 10 on it is
strongly typed: the graph itself says what is computed in which type, and 11 has no flags for it
any more. INT8 is explicit Q/DQ in all of them.

Beside it there is implicit INT8, up to 10: a weakly typed network of a float graph, whose tensors get
their scales from a calibration (calibration/tensorrt_calibrator.py). The DLA takes nothing else.

Sources: TensorRT developer guide, "Working with DLA" (float16 and INT8 alone, GPU fallback, no Q/DQ) and
"Strongly Typed Networks"; layer names: registerLayer and getNodeName of github.com/onnx/onnx-tensorrt.
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Collection

from calibration.tensorrt_calibrator import Calibration, require_calibrators
from edge.artifacts import write_bytes
from edge.errors import BackendError, GraphError, InputError, SegEdgeError, StorageError
from edge.runtime.cuda_driver import first_gpu
from edge.runtime.tensorrt import call, import_pycuda_driver, import_tensorrt, message_logger
from export.backends import BuiltEngine
from export.float16_graph import to_float16
from export.float_input import with_float_input
from export.float_weights import with_float_weights

OLDEST_VERSION = (8, 5)
FIRST_WITHOUT_WEAK_TYPES = (11, 0)
SUFFIX = ".engine"
_SHOWN_PARSER_ERRORS = 3
_SHOWN_LAYERS = 8


def tensorrt_problem() -> str | None:
    """Return in one line why TensorRT cannot build and run engines here; None if it can.

    The driver is asked for a GPU first: without one, TensorRT 8.6 ends the process.
    """
    if first_gpu() is None:
        return "no NVIDIA GPU: libcuda is not installed or sees no device"
    try:
        trt = import_tensorrt()
        import_pycuda_driver()
    except SegEdgeError as error:
        return str(error)
    if _version_of(trt) < OLDEST_VERSION:
        return f"TensorRT {trt.__version__} is installed, 8.5 or later is needed"
    return None


def _version_of(trt: Any) -> tuple[int, ...]:
    return tuple(int(part) for part in trt.__version__.split(".")[:2])


def build_tensorrt(
    graph: bytes,
    precision: str,
    workspace_bytes: int | None = None,
    timing_cache: Path | None = None,
    calibration: Calibration | None = None,
    dla_core: int | None = None,
    float_layers: Collection[str] = (),
) -> BuiltEngine:
    """Build an engine for the GPU of this machine, or for one of its DLA cores.

    Args:
        graph: an ONNX file; with Q/DQ pairs for int8, unless there is a calibration.
        precision: "float32", "float16", or "int8" with float16 for what has no Q/DQ pair or no scale.
        workspace_bytes: most scratch memory that a layer may take; None for all of the GPU's.
        timing_cache: file of measured layer times, read if it is there and written after the build,
            which makes the next build faster.
        calibration: scales of a float graph's tensors, for implicit INT8: TensorRT up to 10, and the DLA.
        dla_core: 0 or 1 to compute on that DLA core what it can compute, and the rest on the GPU; None for the GPU.
        float_layers: nodes that implicit INT8 computes in float16 all the same.

    Returns:
        The engine. Nothing is written but the timing cache and, by a calibration, its own.

    Raises:
        BackendError: TensorRT is not usable here, lacks what was asked for, or failed.
        GraphError: its parser refused the graph, or the graph has Q/DQ pairs beside a calibration.
        MissingDependencyError: onnx is needed to adapt the graph (float16, int8), and not installed.
    """
    problem = tensorrt_problem()
    if problem is not None:
        raise BackendError(f"TensorRT cannot build an engine here: {problem}")
    trt = import_tensorrt()
    _check_request(trt, precision, calibration, dla_core)
    start_ns = time.perf_counter_ns()
    is_strongly_typed = _has_strong_types(trt) and calibration is None and dla_core is None
    if calibration is not None:
        graph = with_float_input(graph)
    elif is_strongly_typed and precision != "float32":
        graph = to_float16(graph)
    elif precision == "int8" and not is_strongly_typed:
        graph = with_float_weights(graph)
    job = _Job(trt, graph, precision, is_strongly_typed, workspace_bytes, timing_cache, dla_core, tuple(float_layers))
    if calibration is None:
        data, notes = _build(job, None)
    else:
        # What the job makes of TensorRT is gone when its function returns, before the calibration leaves its context.
        with calibration:
            data, notes = _build(job, calibration)
            notes += calibration.notes
    seconds = (time.perf_counter_ns() - start_ns) / 1e9
    return BuiltEngine(data, SUFFIX, trt.__version__, seconds, tuple(notes))


@dataclass(frozen=True)
class _Job:
    trt: Any
    graph: bytes
    precision: str
    is_strongly_typed: bool
    workspace_bytes: int | None
    timing_cache: Path | None
    dla_core: int | None
    float_layers: tuple[str, ...]


def _check_request(trt: Any, precision: str, calibration: Calibration | None, dla_core: int | None) -> None:
    """Refuse what no build could give, before any work."""
    if calibration is not None:
        if precision != "int8":
            raise InputError(f"a calibration is for int8, the engine is to be {precision}")
        require_calibrators(trt)
    if dla_core is None:
        return
    if dla_core not in (0, 1):
        raise InputError(f"DLA core is {dla_core}, expected 0 or 1")
    if precision == "float32":
        raise InputError("a DLA computes in float16 and int8, the engine is to be float32")
    if _version_of(trt) >= FIRST_WITHOUT_WEAK_TYPES:
        raise BackendError(
            f"TensorRT {trt.__version__} builds strongly typed networks alone, which a DLA does not run. "
            "Next: build for the GPU"
        )
    if precision == "int8" and calibration is None:
        raise InputError("a DLA takes no Q/DQ pairs, expected a calibration for int8")


def _has_strong_types(trt: Any) -> bool:
    return hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")


def _build(job: _Job, calibration: Calibration | None) -> tuple[bytes, list[str]]:
    """Return the engine and what a user has to know of it."""
    trt, logger = job.trt, message_logger(job.trt)
    ask = functools.partial(call, refused=(None, False), logger=logger)
    builder = ask("tensorrt.Builder", trt.Builder, logger)
    network = ask("Builder.create_network", builder.create_network, _network_flags(trt, job.is_strongly_typed))
    parser = ask("tensorrt.OnnxParser", trt.OnnxParser, network, logger)
    _parse(trt, parser, job.graph)
    config = ask("Builder.create_builder_config", builder.create_builder_config)
    if job.workspace_bytes is not None:
        pool = trt.MemoryPoolType.WORKSPACE
        call("IBuilderConfig.set_memory_pool_limit", config.set_memory_pool_limit, pool, job.workspace_bytes)
    if not job.is_strongly_typed:
        for flag in _precision_flags(trt, job.precision):
            call("IBuilderConfig.set_flag", config.set_flag, flag)
    notes: list[str] = []
    calibrator = None if calibration is None else calibration.calibrator(trt, network)
    if calibrator is not None:
        config.int8_calibrator = calibrator
        notes += _keep_in_float(trt, network, config, job.float_layers)
    if job.dla_core is not None:
        notes += _use_dla(trt, builder, network, config, job.dla_core)
    if job.timing_cache is not None:
        notes += _load_timing_cache(config, job.timing_cache)
    try:
        plan = ask("Builder.build_serialized_network", builder.build_serialized_network, network, config)
    except BackendError:
        if calibration is not None:
            calibration.check()  # the cause, where TensorRT tells of the effect
        raise
    if calibration is not None:
        calibration.check()
    data = bytes(plan)
    if job.timing_cache is not None:
        notes += _save_timing_cache(config, job.timing_cache)
    return data, notes


def _network_flags(trt: Any, is_strongly_typed: bool) -> int:
    """Return the creation flags as bits; 11 has nothing but explicit batch, and no flag for it."""
    if is_strongly_typed:
        return 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    return 1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)


def _precision_flags(trt: Any, precision: str) -> list[Any]:
    """Return what a weakly typed network may compute in beside float32."""
    if precision == "int8":
        return [trt.BuilderFlag.INT8, trt.BuilderFlag.FP16]
    return [trt.BuilderFlag.FP16] if precision == "float16" else []


def _keep_in_float(trt: Any, network: Any, config: Any, names: tuple[str, ...]) -> list[str]:
    """Set the layers of some nodes to float16; the parser calls a layer as its node is called."""
    if not names:
        return []
    wanted = {alias: name for name in names for alias in (name, f"node_of_{name}")}
    found = set()
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if layer.name in wanted:
            layer.precision = trt.DataType.HALF
            found.add(wanted[layer.name])
    if found:
        call("IBuilderConfig.set_flag", config.set_flag, trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
    lost = [name for name in names if name not in found]
    return [f"no layer is called {', '.join(lost)}, which was to stay in float"] if lost else []


def _use_dla(trt: Any, builder: Any, network: Any, config: Any, core: int) -> list[str]:
    """Give the layers to a DLA core, and say which of them it leaves to the GPU."""
    if core >= builder.num_DLA_cores:
        raise BackendError(
            f"DLA core {core} was asked for, this machine has {builder.num_DLA_cores}. Next: build for the GPU"
        )
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = core
    call("IBuilderConfig.set_flag", config.set_flag, trt.BuilderFlag.GPU_FALLBACK)
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    layers = [layer for layer in layers if layer.type != trt.LayerType.CONSTANT]
    left = [layer.name for layer in layers if not config.can_run_on_DLA(layer)]
    if not left:
        return [f"all {len(layers)} layers run on DLA core {core}"]
    more = f" and {len(left) - _SHOWN_LAYERS} more" if len(left) > _SHOWN_LAYERS else ""
    return [
        f"{len(left)} of {len(layers)} layers cannot run on DLA core {core} and run on the GPU: "
        f"{', '.join(left[:_SHOWN_LAYERS])}{more}"
    ]


def _parse(trt: Any, parser: Any, graph: bytes) -> None:
    if call("OnnxParser.parse", parser.parse, graph):
        return
    refusals = [parser.get_error(index) for index in range(parser.num_errors)]
    reasons = [f"{refusal.desc()} (node {refusal.node()})" for refusal in refusals[:_SHOWN_PARSER_ERRORS]]
    more = f"; {len(refusals) - len(reasons)} more" if len(refusals) > len(reasons) else ""
    raise GraphError(
        f"TensorRT {trt.__version__} cannot parse the graph: "
        + " ".join(("; ".join(reasons) or "the parser gave no reason").split())
        + more
    )


def _load_timing_cache(config: Any, path: Path) -> list[str]:
    """Give the builder an earlier run's layer times, or an empty cache that it fills."""
    try:
        stored = path.read_bytes() if path.is_file() else b""
    except OSError:
        stored = b""
    for content in (stored, b""):
        try:
            cache = call("IBuilderConfig.create_timing_cache", config.create_timing_cache, content, refused=(None,))
            # The second argument refuses a cache of another GPU or version.
            set_cache = config.set_timing_cache
            call("IBuilderConfig.set_timing_cache", set_cache, cache, False, refused=(False,))
        except BackendError:
            continue
        if content != stored:
            return [f"timing cache {path} is of another GPU or TensorRT version, or damaged: it was made anew"]
        return []
    return [f"timing cache {path} could not be used: TensorRT made none"]


def _save_timing_cache(config: Any, path: Path) -> list[str]:
    """Keep the layer times; an engine is not lost because they cannot be written."""
    try:
        cache = call("IBuilderConfig.get_timing_cache", config.get_timing_cache, refused=(None,))
        write_bytes(path, bytes(call("ITimingCache.serialize", cache.serialize, refused=(None,))))
    except (BackendError, StorageError) as error:
        return [f"timing cache not kept: {error}"]
    return []
