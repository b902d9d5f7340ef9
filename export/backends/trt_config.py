"""Configuration of a TensorRT build: flags, limits, the DLA, and the batches that the engine takes.

Sources: TensorRT developer guide, "Working with DLA" (float16 and INT8 alone, GPU fallback, no Q/DQ), "Version
Compatibility" and "Hardware Compatibility" (8.6 on; AMPERE_PLUS for engines built on Ampere and later), "Working with
Dynamic Shapes"; TensorRT API, BuilderFlag.TF32 (set from the start); layer names: registerLayer and getNodeName of
github.com/onnx/onnx-tensorrt.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any, Iterable, Iterator

from edge.errors import BackendError, InputError
from edge.runtime.calls import call
from export.backends.options import EngineOptions

TACTICS_VARIABLE = "SEGEDGE_TENSORRT_TACTICS"
"""Environment variable; "none" builds without cuBLAS, cuDNN and whatever else has a source of tactics of its own."""

_SHOWN_LAYERS = 8
_SHOWN_WARNINGS = 8
_LONGEST_WARNING = 300
_OF_EVERY_LAYER = ("Switching this layer's device type to GPU", "falling back to GPU")
"""How TensorRT ends what it says of each layer that a DLA does not run, with or without a reason before it."""


def has_strong_types(trt: Any) -> bool:
    """Return whether this TensorRT builds networks whose types are part of the graph; 10 is the first."""
    return hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")


def network_flags(trt: Any, is_strongly_typed: bool) -> int:
    """Return the creation flags of a network as bits; TensorRT 11 needs none, since every batch is explicit."""
    if is_strongly_typed:
        return 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    return 1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)


def set_precision(trt: Any, config: Any, precision: str) -> None:
    """Permit a weakly typed network to compute in types other than float32."""
    flags = []
    if precision == "int8":
        flags = [trt.BuilderFlag.INT8, trt.BuilderFlag.FP16]
    elif precision == "float16":
        flags = [trt.BuilderFlag.FP16]
    for flag in flags:
        call("IBuilderConfig.set_flag", config.set_flag, flag)


def forbid_tf32(trt: Any, config: Any) -> None:
    """Make float32 multiplications use the whole mantissa, in strongly typed networks too.

    On GPUs from Ampere on, TensorRT may otherwise use 10 bits of it, and the engine then differs from the float graph.
    """
    call("IBuilderConfig.clear_flag", config.clear_flag, trt.BuilderFlag.TF32)


def set_options(trt: Any, config: Any, options: EngineOptions) -> None:
    """Set limits, search effort and compatibility; `export.backends.options.check_options` was called before.

    Raises:
        BackendError: TensorRT refused an option.
    """
    if options.workspace_mib is not None:
        pool = trt.MemoryPoolType.WORKSPACE
        call("IBuilderConfig.set_memory_pool_limit", config.set_memory_pool_limit, pool, options.workspace_mib << 20)
    if options.optimization_level is not None:
        config.builder_optimization_level = options.optimization_level
    if options.is_version_compatible:
        call("IBuilderConfig.set_flag", config.set_flag, trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.is_hardware_compatible:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if options.has_layer_details:
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED


def restrict_tactics(config: Any) -> list[str]:
    """Use TensorRT's own kernels alone if TACTICS_VARIABLE says so: for a machine without cuBLAS and cuDNN.

    Returns:
        Sentences that the user has to know about the engine.

    Raises:
        InputError: the variable has another value.
        BackendError: TensorRT refused the restriction.
    """
    tactics = os.environ.get(TACTICS_VARIABLE, "")
    if tactics not in ("", "none"):
        raise InputError(f"{TACTICS_VARIABLE} is '{tactics}', expected none, or that it is not set")
    if not tactics:
        return []
    call("IBuilderConfig.set_tactic_sources", config.set_tactic_sources, 0, refused=(False,))
    return [f"built without cuBLAS and cuDNN ({TACTICS_VARIABLE}=none), which may be slower than with them"]


def add_batch_profile(builder: Any, network: Any, config: Any, batches: tuple[int, int, int]) -> None:
    """Let the engine take any batch from the first to the last number of frames, and be fastest at the middle one.

    Raises:
        BackendError: TensorRT refused the profile.
    """
    create = builder.create_optimization_profile
    profile = call("Builder.create_optimization_profile", create, refused=(None,))
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        frame = tuple(tensor.shape)[1:]
        shapes = [(batch, *frame) for batch in batches]
        call("IOptimizationProfile.set_shape", profile.set_shape, tensor.name, *shapes)
    add = config.add_optimization_profile
    call("IBuilderConfig.add_optimization_profile", add, profile, refused=(-1,))


def keep_in_float(trt: Any, network: Any, config: Any, names: Iterable[str]) -> list[str]:
    """Set the layers of some nodes to float16; the parser gives a layer the name of its node.

    Returns:
        Sentences that the user has to know: names of nodes that have no layer.
    """
    wanted = {alias: name for name in names for alias in (name, f"node_of_{name}")}
    found = set()
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if layer.name in wanted:
            layer.precision = trt.DataType.HALF
            found.add(wanted[layer.name])
    if found:
        call("IBuilderConfig.set_flag", config.set_flag, trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
    lost = [name for name in dict.fromkeys(wanted.values()) if name not in found]
    return [f"no layer is called {', '.join(lost)}, which was to stay in float"] if lost else []


def use_dla(trt: Any, builder: Any, network: Any, config: Any, core: int) -> list[str]:
    """Assign the layers to a DLA core, and return sentences on those that it leaves to the GPU.

    Raises:
        BackendError: this machine has no such core.
    """
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


@contextlib.contextmanager
def dla_warnings(logger: Any) -> Iterator[list[str]]:
    """Collect TensorRT's warnings about the DLA during a build: it logs the reasons and returns none.

    Args:
        logger: logger that edge.runtime.tensorrt.message_logger returned.

    Yields:
        Warnings so far, each line once; the list grows while the block runs.
    """
    heard: list[str] = []

    def listen(line: str) -> None:
        if "DLA" in line and line not in heard:
            heard.append(line)

    logger.listeners.append(listen)
    try:
        yield heard
    finally:
        logger.listeners.remove(listen)


def warning_notes(warnings: list[str]) -> list[str]:
    """Return warnings as notes, those with a reason first: the others name layers that `use_dla` counts."""
    ordered = sorted(warnings, key=lambda line: any(end in line for end in _OF_EVERY_LAYER))
    notes = [f"TensorRT of the DLA: {line[:_LONGEST_WARNING]}" for line in ordered[:_SHOWN_WARNINGS]]
    more = len(ordered) - len(notes)
    return [*notes, f"TensorRT warned {more} times more of the DLA"] if more else notes
