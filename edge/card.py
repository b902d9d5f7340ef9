"""card.json: what an engine was built from, for which machine, and what was measured then."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from edge.artifacts import sha256_file, spell_option
from edge.contract import Contract
from edge.errors import ContractError, EngineMismatchError, InputError
from edge.machine import Machine
from edge.records import read_record, record

CARD_FILE = "card.json"
ENGINES_FOLDER = "engines"
PRECISIONS = ("float32", "float16", "int8")
BACKENDS = ("tensorrt", "onnxruntime")
VNNI = "VNNI"
"""Instructions of x86 that add products of 8-bit integers in 32 bits: AVX512-VNNI or AVX-VNNI."""
SCALE_SOURCES = ("qdq", "cache", "dynamic-ranges")
_DEFAULT_CALIBRATOR = "percentile"


@record(schema=1, what="calibration note")
class CalibrationNote:
    """Record of how the ranges of an INT8 engine were found.

    Attributes:
        method: Calibration method of most tensors, such as "percentile"; "tensorrt-entropy" for TensorRT's own
            calibrator.
        image_count: Number of images on which the ranges were collected.
        images_from: Dataset and split of these images, or "synthetic scenes".
        ranges_sha256: SHA-256 of ranges.json; "" where TensorRT collected the ranges.
        recipe: Sentence that describes the quantisation config; "" in records without one. The field keeps its
            earlier name on disk.
        budget: Accuracy that INT8 was allowed to cost as a text; "none" where no limit was set.
    """

    method: str
    image_count: int
    images_from: str
    ranges_sha256: str
    recipe: str = ""
    budget: str = "none"


@record(schema=1, what="layer precision")
class LayerPrecision:
    """Precision that one layer with multiply-adds is computed in, and the reason for it.

    Attributes:
        name: Name of the ONNX node.
        operator: ONNX operator of the node, such as "Conv".
        multiply_adds: Number of multiply-adds for one frame.
        precision: Either "int8" or "float".
        reason: Reason why the layer is computed in float; "" for an int8 layer.
    """

    name: str
    operator: str
    multiply_adds: int
    precision: str
    reason: str = ""


@record(schema=1, what="build check")
class BuildCheck:
    """Comparison of an engine with the float graph that it was built from, on real images.

    Attributes:
        image_count: Number of frames that were compared.
        images_from: Dataset and split of these frames, or "synthetic scenes".
        label_agreement: Share of pixels whose label equals that of the float graph, 0 to 1.
        miou_float: mIoU of the float graph, 0 to 1; None where there are no labels or no trained weights.
        miou_engine: mIoU of the engine on the same frames, 0 to 1; None as for `miou_float`.
        drop_low: Lower end of the 95 % bootstrap interval of the engine's loss of mIoU, in percentage points.
        drop_high: Upper end of the same interval, in percentage points.
        miou_simulated: mIoU of INT8 simulated exactly in float, 0 to 1; None for a float engine.
        label_agreement_simulated: Share of pixels whose label equals that of the float graph when INT8 is simulated, 0
            to 1; None for a float engine.
        verdict: Verdict on the accuracy budget by these frames: "held", or "not shown" where they are too few to tell;
            None where nothing was limited, and in cards of earlier versions.
        worst: Figure that came closest to its limit as a text, such as "person 1.20 points of IoU lost, at most 2"; ""
            where there is none.
    """

    image_count: int
    images_from: str
    label_agreement: float
    miou_float: float | None = None
    miou_engine: float | None = None
    drop_low: float | None = None
    drop_high: float | None = None
    miou_simulated: float | None = None
    label_agreement_simulated: float | None = None
    verdict: str | None = None
    worst: str = ""


@record(schema=1, what="engine card", made_by="python export/build_engine.py")
class EngineCard:
    """Record of an engine: what it was built from, where it may run, and how good it is.

    Attributes:
        contract: Contract of the graph that the engine was built from.
        backend: Backend that runs the engine, "tensorrt" or "onnxruntime".
        backend_version: Version of the backend's package that built the engine.
        precision: Precision of the engine, "float32", "float16" or "int8".
        engine_file: File name of the engine in the folder of the card.
        engine_sha256: SHA-256 of the engine file.
        engine_bytes: Size of the engine file in bytes.
        built_from_sha256: SHA-256 of the graph that was built (model.onnx, or the Q/DQ graph).
        machine: Machine that the engine was built on.
        built_utc: Time of the build in UTC, ISO 8601.
        build_seconds: Time that the backend took for the build, in seconds.
        int8_mac_share: Share of multiply-adds computed in INT8, 0 to 1; None for a float engine.
        calibration: Record of how the ranges were found; None for a float engine.
        check: Comparison with the float graph after the build; None where it was left out.
        notes: Sentences that a user of the engine has to know.
        layers: Precision of every layer with multiply-adds; empty for a float engine.
        dla_core: Number of the DLA core of a Jetson that the engine runs on; None for the GPU or the CPU.
        is_version_compatible: Whether later TensorRT versions of the same major version may load the engine.
        is_hardware_compatible: Whether other GPUs from Ampere on may load the engine.
        batch_profile: Least, best and most frames of one call; None where each call takes contract.batch frames.
        workspace_mib: Most scratch memory that a layer may take, in MiB; None for all memory of the GPU.
        optimization_level: Level of TensorRT's search for kernels, 0 to 5; None for TensorRT's default.
        has_layer_details: Whether the engine inspector knows types and precisions of the layers; layers.json then lies
            beside the card.
        allows_tf32: Whether float32 layers may multiply in TF32, with 10 bits of mantissa, on GPUs from Ampere on.
        scale_source: Source of the INT8 scales in a TensorRT engine that uses ranges of this project, one of
            SCALE_SOURCES; None for all other engines.
        cpu_features: Features that x86 processors need to give the labels of this engine: VNNI for an INT8 engine of
            ONNX Runtime whose weights have 127 steps on either side of zero; empty for others, and in cards of before.
        parameter_count: Number of weights and biases of the float graph's convolutions and matrix products, batch
            normalisations folded in; None in cards of before.
        multiply_adds: Number of multiply-adds of the float graph for one frame; None in cards of before.
    """

    contract: Contract
    backend: str
    backend_version: str
    precision: str
    engine_file: str
    engine_sha256: str
    engine_bytes: int
    built_from_sha256: str
    machine: Machine
    built_utc: str
    build_seconds: float
    int8_mac_share: float | None = None
    calibration: CalibrationNote | None = None
    check: BuildCheck | None = None
    notes: tuple[str, ...] = ()
    layers: tuple[LayerPrecision, ...] = ()
    dla_core: int | None = None
    is_version_compatible: bool = False
    is_hardware_compatible: bool = False
    batch_profile: tuple[int, ...] | None = None
    workspace_mib: int | None = None
    optimization_level: int | None = None
    has_layer_details: bool = False
    allows_tf32: bool = False
    scale_source: str | None = None
    cpu_features: tuple[str, ...] = ()
    parameter_count: int | None = None
    multiply_adds: int | None = None

    def __post_init__(self) -> None:
        scale_source = self.scale_source or SCALE_SOURCES[0]
        for what, value, known in (
            ("backend", self.backend, BACKENDS),
            ("precision", self.precision, PRECISIONS),
            ("source of scales", scale_source, SCALE_SOURCES),
        ):
            if value not in known:
                raise ContractError(
                    f"engine card of {self.contract.model} has the {what} '{value}', expected one of: "
                    f"{', '.join(known)}. Next: build the engine again with this version"
                )
        profile = self.batch_profile
        if profile is not None and (len(profile) != 3 or not 1 <= profile[0] <= profile[1] <= profile[2]):
            raise ContractError(
                f"engine card of {self.contract.model} has the batch profile {list(profile)}, expected least, best and "
                "most frames, ascending. Next: build the engine again with this version"
            )

    def budget_sentence(self) -> str:
        """Return the verdict on the accuracy budget as a phrase; "" where nothing was limited, or it is not known."""
        check = self.check
        if check is None or check.verdict is None:
            return ""
        verdict = check.verdict if check.verdict == "held" else f"{check.verdict} to hold, the images are too few"
        limits = f" ({self.calibration.budget})" if self.calibration is not None else ""
        return f"accuracy budget {verdict}{limits}" + (f"; closest to its limit: {check.worst}" if check.worst else "")

    def rebuild_command(self) -> str:
        """Return the command that builds this engine again."""
        precision = {"int8": ["--int8"], "float16": ["--fp16"]}.get(self.precision, [])
        method = self.calibration.method if self.calibration is not None else _DEFAULT_CALIBRATOR
        batch = ":".join(map(str, self.batch_profile)) if self.batch_profile else str(self.contract.batch)
        default_source = default_scale_source(self.dla_core)
        options = (
            (f"--calibrator {method}", method != _DEFAULT_CALIBRATOR),
            (f"--scales {self.scale_source}", self.scale_source not in (None, default_source)),
            (f"--backend {self.backend}", True),
            (f"--dla {self.dla_core}", self.dla_core is not None),
            (f"--batch {batch}", batch != "1"),
            (f"--workspace {self.workspace_mib}", self.workspace_mib is not None),
            (f"--optimization-level {self.optimization_level}", self.optimization_level is not None),
            ("--tf32", self.allows_tf32),
            ("--version-compatible", self.is_version_compatible),
            ("--hardware-compatible", self.is_hardware_compatible),
            ("--verbose-layers", self.has_layer_details),
            ("--labels-in-graph", self.contract.gives_labels),
        )
        return build_command(self.contract, *precision, *(text for text, is_needed in options if is_needed))


def default_scale_source(dla_core: int | None) -> str:
    """Return the default source of a TensorRT engine's INT8 scales: "qdq", or "cache" for a DLA without Q/DQ."""
    return "qdq" if dla_core is None else "cache"


def build_command(contract: Contract, *flags: str) -> str:
    """Return the command that builds an engine of a contract's model, dataset, size and options.

    Args:
        contract: Contract of the network that is to be built. Its batch is left out, since a flag says what an engine
            takes.
        *flags: Further options of the command, such as "--int8".

    Returns:
        One line for a shell. Options of the architecture are sorted by name, and quoted where a shell needs it. Random
        weights are asked for, since no build takes them by itself.
    """
    if contract.adopted_from is not None:
        return " ".join((contract.adoption_command(), *flags))
    options = [f"{name}={spell_option(value)}" for name, value in sorted(contract.options.items())]
    return " ".join(
        (
            f"python export/build_engine.py --model {contract.model} --dataset {shlex.quote(contract.dataset_option)}",
            f"--size {contract.height}x{contract.width}",
            *flags,
            *(f"--option {shlex.quote(option)}" for option in options),
            *(["--random-weights"] if contract.weights.is_random else []),
        )
    )


def engine_folder(artifact: Path, backend: str, precision: str) -> Path:
    """Return the folder of one engine in an artefact folder."""
    return artifact / ENGINES_FOLDER / f"{backend}-{precision}"


def read_card(folder: str | os.PathLike) -> EngineCard:
    """Read the card of an engine folder, and check that the engine is the file it describes.

    Raises:
        InputError: There is no card, or no engine file.
        ContractError: The card is damaged, or has an unknown schema.
        EngineMismatchError: The engine file is truncated, or is not the one that the card describes.
    """
    card = read_record(EngineCard, Path(folder) / CARD_FILE)
    path = Path(folder) / card.engine_file
    if not path.is_file():
        raise InputError(f"engine not found: {path}. Next: {card.rebuild_command()}")
    size_bytes = path.stat().st_size
    if size_bytes != card.engine_bytes or sha256_file(path) != card.engine_sha256:
        raise EngineMismatchError(
            f"{path} ({size_bytes} bytes) is not the engine of its card ({card.engine_bytes} bytes, "
            f"sha256 {card.engine_sha256[:12]}): it is truncated or was replaced. Next: {card.rebuild_command()}"
        )
    return card
