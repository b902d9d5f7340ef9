"""Options of an engine besides its precision, and the rules about which of them exclude each other."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

from edge.console import positive_int
from edge.errors import BackendError, InputError
from edge.machine import Machine

OPTIMIZATION_LEVELS = (0, 1, 2, 3, 4, 5)
LARGEST_BATCH = 4096
FIRST_WITH_LEVELS = (8, 6)
"""TensorRT that has optimisation levels and compatible engines."""

FIRST_WITHOUT_WEAK_TYPES = (11, 0)
OLDEST_COMPATIBLE_GPU = (8, 0)
"""Compute capability of Ampere, the oldest GPU of a hardware-compatible engine."""


@dataclass(frozen=True)
class EngineOptions:
    """Options that an engine is built with; the defaults are TensorRT's own, except that float32 means float32.

    Attributes:
        batch: number of frames of every call; 1 for an engine with a profile.
        batch_profile: (least, best, most) number of frames of a call; None for calls of `batch` frames alone.
        workspace_mib: largest scratch memory of a layer in MiB; None for all memory of the GPU.
        optimization_level: effort of TensorRT's search for fast kernels, 0 to 5; None for its own default of 3.
        is_version_compatible: True if later TensorRT versions may load the engine.
        is_hardware_compatible: True if other GPUs from Ampere on may load the engine.
        dla_core: number of the DLA core that computes what it can, 0 or 1; None for the GPU alone.
        has_layer_details: True to keep the text of the engine inspector about every layer.
        allows_tf32: True if layers in float32 may multiply with 10 bits of mantissa, on GPUs from Ampere on.
        gives_labels: True to put upsampling and argmax into the graph, as `export.graph.label_ending` does.
    """

    batch: int = 1
    batch_profile: tuple[int, int, int] | None = None
    workspace_mib: int | None = None
    optimization_level: int | None = None
    is_version_compatible: bool = False
    is_hardware_compatible: bool = False
    dla_core: int | None = None
    has_layer_details: bool = False
    allows_tf32: bool = False
    gives_labels: bool = False

    def of_tensorrt_alone(self) -> list[str]:
        """Return the flags that the user gave and that TensorRT alone supports."""
        given = (
            ("--batch MIN:BEST:MAX", self.batch_profile is not None),
            ("--workspace", self.workspace_mib is not None),
            ("--optimization-level", self.optimization_level is not None),
            ("--tf32", self.allows_tf32),
            ("--version-compatible", self.is_version_compatible),
            ("--hardware-compatible", self.is_hardware_compatible),
            ("--verbose-layers", self.has_layer_details),
        )
        return [flag for flag, is_given in given if is_given]

    def contradiction(self) -> str | None:
        """Return a sentence that says which options exclude each other; None if all go together.

        A DLA's part of an engine is compiled for the DLA of one Jetson and for one version of its compiler, and for one
        batch (TensorRT developer guide, "Working with DLA": no dynamic dimensions).
        """
        if self.gives_labels and (self.batch != 1 or self.batch_profile is not None):
            return "--labels-in-graph is for single frames, --batch asks for several, expected one of them"
        if self.dla_core is None:
            return None
        for flag, is_given in (
            ("--version-compatible", self.is_version_compatible),
            ("--hardware-compatible", self.is_hardware_compatible),
            ("--batch MIN:BEST:MAX", self.batch_profile is not None),
        ):
            if is_given:
                return f"{flag} is for the GPU, --dla {self.dla_core} asks for a DLA, expected one of them"
        return None

    def folder_suffix(self) -> str:
        """Return the suffix of this engine's folder; it differs from the folder of the engine for single frames."""
        if self.gives_labels:
            return "-labels"
        if self.batch_profile is not None:
            return f"-batch{'-'.join(map(str, self.batch_profile))}"
        return f"-batch{self.batch}" if self.batch != 1 else ""


def batch_argument(text: str) -> tuple[int, tuple[int, int, int] | None]:
    """Read the value of `--batch` for argparse: "4", or "1:4:8".

    Returns:
        Number of frames of every call, and the profile: (4, None), or (1, (1, 4, 8)).
    """
    try:
        numbers = [positive_int(part) for part in text.split(":")]
    except argparse.ArgumentTypeError:
        numbers = []
    if len(numbers) not in (1, 3) or numbers != sorted(numbers) or not 1 <= numbers[0] <= numbers[-1] <= LARGEST_BATCH:
        raise argparse.ArgumentTypeError(
            f"got '{text}', expected a number of frames such as 4, or MIN:BEST:MAX such as 1:4:8"
        )
    if len(numbers) == 1:
        return numbers[0], None
    if numbers[0] != 1:
        raise argparse.ArgumentTypeError(f"got '{text}', expected 1 frame at the least: single frames check the engine")
    return 1, (numbers[0], numbers[1], numbers[2])


def tensorrt_version(trt: Any) -> tuple[int, ...]:
    """Return the first two numbers of TensorRT's version."""
    return tuple(int(part) for part in trt.__version__.split(".")[:2])


def check_options(trt: Any, options: EngineOptions, precision: str, machine: Machine) -> None:
    """Refuse options that this TensorRT cannot fulfil, before any work is done.

    Args:
        trt: the tensorrt module.
        options: options that the user asked for.
        precision: precision of the engine: "float32", "float16" or "int8".
        machine: machine that builds the engine.

    Raises:
        InputError: two options exclude each other.
        BackendError: this TensorRT or this GPU lacks a feature that an option needs.

    Source: TensorRT support matrix (hardware compatibility: not on JetPack).
    """
    contradiction = options.contradiction()
    if contradiction is not None:
        raise InputError(contradiction)
    version = tensorrt_version(trt)
    for flag, is_given in (
        (f"--optimization-level {options.optimization_level}", options.optimization_level is not None),
        ("--version-compatible", options.is_version_compatible),
        ("--hardware-compatible", options.is_hardware_compatible),
    ):
        if is_given and version < FIRST_WITH_LEVELS:
            raise BackendError(
                f"{flag} needs TensorRT 8.6 or later, {trt.__version__} is installed. Next: leave it out"
            )
    if options.is_hardware_compatible and machine.l4t is not None:
        raise BackendError(
            f"--hardware-compatible is not for a Jetson, and this machine is {machine.board or 'one'} with L4T "
            f"{machine.l4t}. Next: leave it out, and build on each machine"
        )
    capability = tuple(int(part) for part in (machine.compute_capability or "0.0").split("."))
    if options.is_hardware_compatible and capability < OLDEST_COMPATIBLE_GPU:
        raise BackendError(
            f"--hardware-compatible needs a GPU from Ampere on (compute capability 8.0), {machine.gpu} has "
            f"{machine.compute_capability}. Next: leave it out, and build on each machine"
        )
    if options.dla_core is None:
        return
    if options.dla_core not in (0, 1):
        raise InputError(f"DLA core is {options.dla_core}, expected 0 or 1")
    if precision == "float32":
        raise InputError("a DLA computes in float16 and int8, the engine is to be float32")
    if version >= FIRST_WITHOUT_WEAK_TYPES:
        raise BackendError(
            f"TensorRT {trt.__version__} builds strongly typed networks alone, which a DLA does not run. "
            "Next: build for the GPU"
        )
