"""Building engines with TensorRT 8.5 to 11, through one path: an ONNX graph, named tensors, Q/DQ.

Up to 8.6 a network is weakly typed: builder flags permit float16 and INT8. From 10 on it is
strongly typed: the graph itself says what is computed in which type, and 11 has no flags for it
any more. INT8 is explicit Q/DQ in all of them.

Beside it there is implicit INT8, up to 10: a weakly typed network of a float graph, whose tensors get
their scales from a calibration cache or as dynamic ranges (export/pipeline/implicit_int8.py). The DLA takes no other.

export/backends/trt_config.py sets the configuration of a build, and export/backends/trt_progress.py shows its progress.

Source: TensorRT developer guide, "Strongly Typed Networks".
"""

from __future__ import annotations

import dataclasses
import functools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Collection

from calibration.trt.calibrator import Calibration, require_calibrators
from edge.errors import BackendError, GraphError, InputError, SegEdgeError
from edge.machine import this_machine
from edge.runtime.calls import call
from edge.runtime.cuda.context import import_pycuda_driver
from edge.runtime.cuda_driver import first_gpu
from edge.runtime.tensorrt import import_tensorrt, message_logger
from edge.telemetry.nvpmodel import power_mode
from export.backends.engine import BuiltEngine, EngineBuilder
from export.backends.options import EngineOptions, check_options, tensorrt_version
from export.backends.trt_config import (
    add_batch_profile,
    dla_warnings,
    forbid_tf32,
    has_strong_types,
    keep_in_float,
    network_flags,
    restrict_tactics,
    set_options,
    set_precision,
    use_dla,
    warning_notes,
)
from export.backends.trt_layer_info import layer_information
from export.backends.trt_progress import BuildProgress
from export.backends.trt_timing_cache import load_timing_cache, save_timing_cache, timing_cache_path
from export.graph.batching import with_batch
from export.graph.float16 import to_float16
from export.graph.float_input import with_float_input
from export.graph.float_weights import with_float_weights

OLDEST_VERSION = (8, 5)
SUFFIX = ".engine"
_SHOWN_PARSER_ERRORS = 3


def tensorrt_problem() -> str | None:
    """Return one line that says why TensorRT cannot build and run engines on this machine; None if it can.

    The driver is asked for a GPU first: without one, TensorRT 8.6 ends the process.
    """
    if first_gpu() is None:
        return "no NVIDIA GPU: libcuda is not installed or sees no device"
    try:
        trt = import_tensorrt()
        import_pycuda_driver()
    except SegEdgeError as error:
        return str(error)
    if tensorrt_version(trt) < OLDEST_VERSION:
        return f"TensorRT {trt.__version__} is installed, 8.5 or later is needed"
    return None


def build_tensorrt(
    graph: bytes,
    precision: str,
    options: EngineOptions | None = None,
    calibration: Calibration | None = None,
    float_layers: Collection[str] = (),
) -> BuiltEngine:
    """Build an engine for the GPU of this machine, or for one of its DLA cores.

    Args:
        graph: content of an ONNX file for single frames; with Q/DQ pairs for int8, unless a calibration is given.
        precision: precision of the engine: "float32", "float16", or "int8" with float16 for layers without a Q/DQ pair
            or scale.
        options: batch, limits and compatibility of the engine; None for TensorRT's defaults.
        calibration: source of the scales of a float graph's tensors, for implicit INT8: TensorRT up to 10, and the DLA.
        float_layers: names of the nodes that implicit INT8 computes in float16 all the same.

    Returns:
        The engine. Only the measured times of layers (trt_timing_cache.py) and the files of a calibration are written
        to disk.

    Raises:
        BackendError: TensorRT is not usable on this machine, lacks a requested feature, or failed.
        GraphError: the parser refused the graph, the graph has Q/DQ pairs beside a calibration, or it cannot take
            several frames.
        MissingDependencyError: onnx is needed to adapt the graph (float16, int8, batches), and is not installed.
        KeyboardInterrupt: the user pressed Ctrl-C; nothing was written.
    """
    problem = tensorrt_problem()
    if problem is not None:
        raise BackendError(f"TensorRT cannot build an engine here: {problem}")
    options = options or EngineOptions()
    trt, gpu = import_tensorrt(), first_gpu()
    machine = dataclasses.replace(this_machine(), gpu=gpu.name, compute_capability=gpu.compute_capability)
    check_options(trt, options, precision, machine)
    _check_calibration(trt, precision, calibration, options)
    start_ns = time.perf_counter_ns()
    is_strongly_typed = has_strong_types(trt) and calibration is None and options.dla_core is None
    if options.batch != 1 or options.batch_profile is not None:
        graph = with_batch(graph, None if options.batch_profile is not None else options.batch)
    if calibration is not None:
        graph = with_float_input(graph)
    elif is_strongly_typed and precision != "float32":
        graph = to_float16(graph)
    elif precision == "int8" and not is_strongly_typed:
        graph = with_float_weights(graph)
    timing_cache = timing_cache_path(gpu.name, gpu.compute_capability, trt.__version__, power_mode())
    settings = _NetworkSettings(trt, graph, precision, is_strongly_typed, options, timing_cache, tuple(float_layers))
    if calibration is None:
        data, notes = _build(settings, None)
    else:
        # What the build makes of TensorRT is gone when its function returns, before the calibration leaves its context.
        with calibration:
            data, notes = _build(settings, calibration)
            notes += calibration.notes
    seconds = (time.perf_counter_ns() - start_ns) / 1e9
    layers = None
    if options.has_layer_details:
        try:
            layers = layer_information(trt, data, options.dla_core, options.is_version_compatible)
        except BackendError as error:  # the engine, which took minutes, is as good without
            notes.append(f"what the engine inspector says of the layers was not kept: {error}")
    return BuiltEngine(data, SUFFIX, trt.__version__, seconds, tuple(notes), layers)


class TensorRtBuilder(EngineBuilder):
    """TensorRT as a backend, for the GPU of this machine or one of its DLA cores."""

    title = "TensorRT"
    reason = "a GPU and TensorRT are here"
    qdq_form = "tensorrt"

    def problem(self) -> str | None:
        """Return one line that says why TensorRT cannot build and run engines on this machine; None if it can."""
        return tensorrt_problem()

    def build(
        self,
        graph: bytes,
        precision: str,
        options: EngineOptions,
        calibration: Calibration | None = None,
        float_layers: Collection[str] = (),
    ) -> BuiltEngine:
        """Build an engine as `build_tensorrt` does."""
        return build_tensorrt(graph, precision, options, calibration, float_layers)


@dataclass(frozen=True)
class _NetworkSettings:
    """Inputs of one TensorRT build; `build_tensorrt` makes them, `_build_network` uses them."""

    trt: Any
    graph: bytes
    precision: str
    is_strongly_typed: bool
    options: EngineOptions
    timing_cache: Path | None
    float_layers: tuple[str, ...]


def _check_calibration(trt: Any, precision: str, calibration: Calibration | None, options: EngineOptions) -> None:
    """Refuse scales that no build could use, before any work is done."""
    if calibration is not None:
        if precision != "int8":
            raise InputError(f"a calibration is for int8, the engine is to be {precision}")
        require_calibrators(trt)
    elif options.dla_core is not None and precision == "int8":
        raise InputError("a DLA takes no Q/DQ pairs, expected a calibration for int8")


def _build(settings: _NetworkSettings, calibration: Calibration | None) -> tuple[bytes, list[str]]:
    """Return the engine, and sentences that the user has to know about it."""
    if settings.options.dla_core is None:
        return _build_network(settings, calibration)
    with dla_warnings(message_logger(settings.trt)) as warnings:
        data, notes = _build_network(settings, calibration)
    return data, notes + warning_notes(warnings)


def _build_network(settings: _NetworkSettings, calibration: Calibration | None) -> tuple[bytes, list[str]]:
    trt, options, logger = settings.trt, settings.options, message_logger(settings.trt)
    ask = functools.partial(call, refused=(None, False), logger=logger)
    builder = ask("tensorrt.Builder", trt.Builder, logger)
    network = ask("Builder.create_network", builder.create_network, network_flags(trt, settings.is_strongly_typed))
    parser = ask("tensorrt.OnnxParser", trt.OnnxParser, network, logger)
    _parse(trt, parser, settings.graph)
    config = ask("Builder.create_builder_config", builder.create_builder_config)
    set_options(trt, config, options)
    if not options.allows_tf32:
        forbid_tf32(trt, config)
    if options.batch_profile is not None:
        add_batch_profile(builder, network, config, options.batch_profile)
    if not settings.is_strongly_typed:
        set_precision(trt, config, settings.precision)
    notes = restrict_tactics(config)
    times = None  # kept to the end of the build, which writes into it
    if calibration is not None:
        calibrator = calibration.calibrator(trt, network)
        if calibrator is not None:
            config.int8_calibrator = calibrator
        notes += keep_in_float(trt, network, config, settings.float_layers)
    if options.dla_core is not None:
        notes += use_dla(trt, builder, network, config, options.dla_core)
    if settings.timing_cache is not None:
        times, of_times = load_timing_cache(config, settings.timing_cache)
        notes += of_times
    interrupt = calibration.interrupt if calibration is not None else lambda: None
    with BuildProgress(trt, on_interrupt=interrupt) as progress:
        monitor = progress.monitor()
        if monitor is not None:
            config.progress_monitor = monitor
        try:
            plan = ask("Builder.build_serialized_network", builder.build_serialized_network, network, config)
        except BackendError:
            if calibration is not None:
                calibration.check()  # the cause, where TensorRT tells of the effect
            raise
    if calibration is not None:
        calibration.check()
    data = bytes(plan)
    if times is not None and settings.timing_cache is not None:
        notes += save_timing_cache(config, settings.timing_cache)
    return data, notes


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
