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
SCALE_SOURCES = ("qdq", "cache", "dynamic-ranges")
_DEFAULT_CALIBRATOR = "percentile"


@record(schema=1, what="calibration note")
class CalibrationNote:
    """How the ranges of an INT8 engine were found.

    Attributes:
        method: of the ranges of most tensors, such as "percentile"; "tensorrt-entropy" for TensorRT's own calibrator.
        image_count: images that ranges were collected on.
        images_from: dataset and split, or "synthetic scenes".
        ranges_sha256: of ranges.json; "" where TensorRT collected them.
        recipe: quantisation config as text; the field keeps its earlier name on disk.
        budget: what INT8 was allowed to cost, in words; "none" where nothing was enforced.
    """

    method: str
    image_count: int
    images_from: str
    ranges_sha256: str
    recipe: str = ""
    budget: str = "none"


@record(schema=1, what="layer precision")
class LayerPrecision:
    """What one layer with multiply-adds is computed in, and why.

    Attributes:
        name: of the node.
        operator: of ONNX, such as Conv.
        multiply_adds: for one frame.
        precision: "int8" or "float".
        reason: why it is in float; "" for int8.
    """

    name: str
    operator: str
    multiply_adds: int
    precision: str
    reason: str = ""


@record(schema=1, what="build check")
class BuildCheck:
    """The engine against the float graph it was built from, on real images.

    Attributes:
        image_count: frames that were compared.
        images_from: dataset and split, or "synthetic scenes".
        label_agreement: share of pixels with the label of the float graph, 0 to 1.
        miou_float: mIoU of the float graph, 0 to 1; None without labels or trained weights.
        miou_engine: mIoU of the engine on the same frames.
        drop_low: lower end of the 95 % bootstrap interval of the engine's drop, in points.
        drop_high: upper end.
        miou_simulated: mIoU of INT8 simulated exactly, 0 to 1; None for a float engine.
        label_agreement_simulated: share of pixels with the label of the float graph when simulated.
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


@record(schema=1, what="engine card")
class EngineCard:
    """Everything that decides whether an engine may be used here, and how good it is.

    Attributes:
        contract: of the graph that it was built from.
        backend: "tensorrt" or "onnxruntime".
        backend_version: of that package.
        precision: "float32", "float16" or "int8".
        engine_file: name of the engine beside the card.
        engine_sha256: of that file.
        engine_bytes: its size.
        built_from_sha256: of the graph that was built (model.onnx, or the Q/DQ graph).
        machine: where it was built.
        built_utc: ISO 8601.
        build_seconds: time that the backend took.
        int8_mac_share: share of multiply-adds done in INT8, 0 to 1; None for a float engine.
        calibration: how its ranges were found; None for a float engine.
        check: what was measured after the build.
        notes: sentences that a user has to know.
        layers: precision of every layer with multiply-adds; empty for a float engine.
        dla_core: of a Jetson that the engine runs on; None for the GPU or the CPU.
        is_version_compatible: whether later TensorRT versions of the same major one may load it.
        is_hardware_compatible: whether other GPUs from Ampere on may load it.
        batch_profile: (least, best, most) frames of one call; None where each call takes contract.batch frames.
        workspace_mib: most scratch memory of a layer, in MiB; None for all of the GPU's.
        optimization_level: of TensorRT's search for kernels, 0 to 5; None for TensorRT's own default.
        has_layer_details: whether its layers can be asked for everything; layers.json lies beside it.
        allows_tf32: whether its layers in float32 may multiply with 10 bits of mantissa, from Ampere on.
        scale_source: one of SCALE_SOURCES for an int8 engine of our ranges on TensorRT; None for all others.
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
        )
        return build_command(self.contract, *precision, *(text for text, is_needed in options if is_needed))


def default_scale_source(dla_core: int | None) -> str:
    """Return where an int8 engine of TensorRT takes its scales from: a DLA takes no Q/DQ pairs."""
    return "qdq" if dla_core is None else "cache"


def build_command(contract: Contract, *flags: str) -> str:
    """Return the command that builds an engine of a contract's model, dataset, size and options.

    Args:
        contract: what is to be built; its batch is left out, since a flag says what an engine takes.
        *flags: what else the engine is to be, such as "--int8".

    Returns:
        A line for a shell; options are sorted by name and quoted where a shell needs it.
    """
    if contract.adopted_from is not None:
        return " ".join((contract.adoption_command(), *flags))
    options = [f"{name}={spell_option(value)}" for name, value in sorted(contract.options.items())]
    return " ".join(
        (
            f"python export/build_engine.py --model {contract.model} --dataset {contract.dataset}",
            f"--size {contract.height}x{contract.width}",
            *flags,
            *(f"--option {shlex.quote(option)}" for option in options),
        )
    )


def engine_folder(artifact: Path, backend: str, precision: str) -> Path:
    """Return the folder of one engine in an artefact folder."""
    return artifact / ENGINES_FOLDER / f"{backend}-{precision}"


def read_card(folder: str | os.PathLike) -> EngineCard:
    """Read the card of an engine folder, and check that the engine is the file it describes.

    Raises:
        InputError: there is no card, or no engine.
        ContractError: the card is damaged, or of an unknown schema.
        EngineMismatchError: the engine is truncated or was replaced.
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


def find_engine(path: str | os.PathLike) -> Path:
    """Return the engine folder that a user means.

    Args:
        path: an engine folder, a file in one, or an artefact folder. In an artefact folder TensorRT
            goes before ONNX Runtime, and int8 before float16 before float32; an engine for batches has to be named.

    Raises:
        InputError: there is no engine.
    """
    given = Path(path)
    folder = given.parent if given.is_file() else given
    if (folder / CARD_FILE).is_file():
        return folder
    for backend in BACKENDS:
        for precision in reversed(PRECISIONS):
            candidate = engine_folder(folder, backend, precision)
            if (candidate / CARD_FILE).is_file():
                return candidate
    raise InputError(
        f"no engine at {given}: expected a folder with {CARD_FILE}, or an artefact folder with "
        f"{ENGINES_FOLDER}/. Next: python export/build_engine.py --model MODEL --int8"
    )
