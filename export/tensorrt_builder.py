"""Building engines with TensorRT 8.5 to 11, through one path: an ONNX graph, named tensors, Q/DQ.

Up to 8.6 a network is weakly typed: builder flags permit float16 and INT8. From 10 on it is
strongly typed: the graph itself says what is computed in which type, and 11 has no flags for it
any more. INT8 is explicit Q/DQ in all of them.
"""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Any

from edge.artifacts import write_bytes
from edge.errors import BackendError, GraphError, SegEdgeError, StorageError
from edge.runtime.cuda_driver import first_gpu
from edge.runtime.tensorrt import call, import_pycuda_driver, import_tensorrt, message_logger
from export.backends import BuiltEngine
from export.float16_graph import to_float16
from export.float_weights import with_float_weights

OLDEST_VERSION = (8, 5)
SUFFIX = ".engine"
_SHOWN_PARSER_ERRORS = 3


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
    graph: bytes, precision: str, workspace_bytes: int | None = None, timing_cache: Path | None = None
) -> BuiltEngine:
    """Build an engine for the GPU of this machine.

    Args:
        graph: an ONNX file; with Q/DQ pairs for int8.
        precision: "float32", "float16", or "int8" with float16 for what has no Q/DQ.
        workspace_bytes: most scratch memory that a layer may take; None for all of the GPU's.
        timing_cache: file of measured layer times, read if it is there and written after the build,
            which makes the next build faster.

    Returns:
        The engine. Nothing but the timing cache is written.

    Raises:
        BackendError: TensorRT is not usable here, or failed.
        GraphError: its parser refused the graph.
        MissingDependencyError: onnx is needed to adapt the graph (float16, int8), and not installed.
    """
    problem = tensorrt_problem()
    if problem is not None:
        raise BackendError(f"TensorRT cannot build an engine here: {problem}")
    trt = import_tensorrt()
    start_ns = time.perf_counter_ns()
    is_strongly_typed = hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")
    if is_strongly_typed and precision != "float32":
        graph = to_float16(graph)
    elif precision == "int8" and not is_strongly_typed:
        graph = with_float_weights(graph)
    logger = message_logger(trt)
    ask = functools.partial(call, refused=(None, False), logger=logger)
    builder = ask("tensorrt.Builder", trt.Builder, logger)
    network = ask("Builder.create_network", builder.create_network, _network_flags(trt, is_strongly_typed))
    parser = ask("tensorrt.OnnxParser", trt.OnnxParser, network, logger)
    _parse(trt, parser, graph)
    config = ask("Builder.create_builder_config", builder.create_builder_config)
    if workspace_bytes is not None:
        pool = trt.MemoryPoolType.WORKSPACE
        call("IBuilderConfig.set_memory_pool_limit", config.set_memory_pool_limit, pool, workspace_bytes)
    if not is_strongly_typed:
        for flag in _precision_flags(trt, precision):
            call("IBuilderConfig.set_flag", config.set_flag, flag)
    notes = [] if timing_cache is None else _load_timing_cache(config, timing_cache)
    plan = ask("Builder.build_serialized_network", builder.build_serialized_network, network, config)
    data = bytes(plan)
    if timing_cache is not None:
        notes += _save_timing_cache(config, timing_cache)
    seconds = (time.perf_counter_ns() - start_ns) / 1e9
    return BuiltEngine(data, SUFFIX, trt.__version__, seconds, tuple(notes))


def _network_flags(trt: Any, is_strongly_typed: bool) -> int:
    """Return the creation flags as bits; 10 and later have nothing but explicit batch."""
    if is_strongly_typed:
        return 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    return 1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)


def _precision_flags(trt: Any, precision: str) -> list[Any]:
    """Return what a weakly typed network may compute in beside float32."""
    if precision == "int8":
        return [trt.BuilderFlag.INT8, trt.BuilderFlag.FP16]
    return [trt.BuilderFlag.FP16] if precision == "float16" else []


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
