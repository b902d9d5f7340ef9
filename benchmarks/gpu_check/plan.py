"""The steps of a check in their order, in which the most important come first."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator

from benchmarks.gpu_check.verdicts import WANTED_OPENS
from edge.card import ENGINES_FOLDER
from edge.contract import CONTRACT_FILE, Contract, read_contract
from edge.errors import InputError
from train.tensorflow_import import has_tensorflow

TARGET_MODEL = "fast_scnn"
PRECISIONS = ("float16", "int8", "float32")
SOAK_SECONDS = 120.0
BUILD_SHARE = 0.5
"""Of the time left, that one build may take: the slowest model must not keep all others from being tried."""


@dataclass(frozen=True)
class Network:
    """A network that the check builds engines of.

    Attributes:
        model: Name of the architecture.
        size: Height and width of the network, in pixels.
        dataset: Key in edge.datasets.LAYOUTS; None to take the dataset of the weights.
        data_dir: Folder of CamVid where CamVid is the dataset, else None.
        options: Options of the architecture.
        problem: Reason why no engine of the network can be built here; None if one can.
    """

    model: str
    size: tuple[int, int]
    dataset: str | None
    data_dir: str | None
    options: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None

    @property
    def name(self) -> str:
        """Return the name of the network in the names of steps, such as "fast_scnn 1024x2048"."""
        options = "".join(f"+{name}={value}" for name, value in sorted(self.options.items()))
        return f"{self.model}{options} {self.size[0]}x{self.size[1]}"


@dataclass(frozen=True)
class PlannedStep:
    """A step that is still to run.

    Attributes:
        name: Name of the step in the record.
        kind: Kind of the step, which names a function of the worker.
        arguments: Arguments of the function, by name.
        limit_s: Longest time of the step in s, beside the time left of the check; None for no limit of its own.
        time_share: Largest share of the time left of the check that the step may take, 0 to 1.
        engine_of: Name of the build step whose engine this step takes; None if it takes none.
        problem: Reason why the step cannot run; None if it can.
    """

    name: str
    kind: str
    arguments: dict[str, Any] = field(default_factory=dict)
    limit_s: float | None = None
    time_share: float = 1.0
    engine_of: str | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Amounts:
    """How much a check measures: numbers of frames, images and opens, and times.

    Attributes:
        frames: Least number of measured frames of a latency.
        seconds: Least time of each measurement of a latency, in s.
        warmup_seconds: Least time of the warm-up before each measurement, in s.
        images: Number of images that an engine is compared with its float graph on.
        calibration_images: Number of images for calibration; None for the default of a build.
        opens: Number of opens of an engine in the soak.
    """

    frames: int = 200
    seconds: float = 2.0
    warmup_seconds: float = 1.0
    images: int = 8
    calibration_images: int | None = None
    opens: int = WANTED_OPENS


def find_networks(
    models: list[str], size: tuple[int, int], target_size: tuple[int, int], artifacts: Path | None, camvid: Path
) -> list[Network]:
    """Return the networks to check, first of all the one that the targets are judged by.

    Artefacts of a model are taken as they are. For a model without artefacts a network is exported at `size`, where
    that is possible: with the classes of CamVid where CamVid is there, else with those of the weights or artefacts that
    are found.

    Args:
        models: Names of the architectures.
        size: Height and width of the networks, in pixels.
        target_size: Height and width of a further Fast-SCNN, by which the targets are judged.
        artifacts: Folder with artefact folders that were made elsewhere; None for none.
        camvid: Folder of CamVid, which need not be there.

    Raises:
        InputError: `artifacts` is no folder, or holds no artefact.
    """
    contracts = _contracts(artifacts) if artifacts is not None else []
    data_dir = str(camvid) if camvid.is_dir() else None
    networks = []
    for model in models:
        sizes = list(dict.fromkeys([target_size, size])) if model == TARGET_MODEL else [size]
        given = [contract for contract in contracts if contract.model == model]
        wanted = [contract for contract in given if (contract.height, contract.width) in sizes]
        for contract in wanted or given:
            is_camvid = contract.dataset == "camvid"
            here = (contract.height, contract.width)
            networks.append(
                Network(model, here, contract.dataset, data_dir if is_camvid else None, dict(contract.options))
            )
        covered = {(contract.height, contract.width) for contract in wanted or given}
        for missing in sizes:
            # Another size of the model stands in, except for the targets', which only that size can meet.
            if missing in covered or (covered and missing != target_size):
                continue
            problem = None
            if not has_tensorflow():
                problem = (
                    f"no artefact of {model} at {missing[0]}x{missing[1]} is here, and no TensorFlow to export one"
                )
            networks.append(Network(model, missing, "camvid" if data_dir else None, data_dir, {}, problem))
    is_target = {True: 0, False: 1}
    return sorted(networks, key=lambda one: is_target[one.model == TARGET_MODEL and one.size == target_size])


def _contracts(artifacts: Path) -> list[Contract]:
    if not artifacts.is_dir():
        raise InputError(f"folder of artefacts not found: {artifacts}")
    paths = sorted(artifacts.glob(f"*/{CONTRACT_FILE}"))
    contracts = [contract for contract in map(read_contract, (path.parent for path in paths)) if contract.batch == 1]
    if not contracts:
        raise InputError(
            f"{artifacts} holds no artefact folder, expected <name>/{CONTRACT_FILE} beside model.onnx. "
            "Next: python export/to_onnx.py --model MODEL on a workstation"
        )
    return contracts


def copy_artifacts(artifacts: Path, folder: Path) -> None:
    """Copy artefact folders, without their engines, into a folder; an artefact that is there already is kept."""
    for path in sorted(artifacts.glob(f"*/{CONTRACT_FILE}")):
        target = folder / path.parent.name
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(path.parent, target, ignore=shutil.ignore_patterns(ENGINES_FOLDER))


def plan_steps(networks: list[Network], target_size: tuple[int, int], amounts: Amounts) -> Iterator[PlannedStep]:
    """Yield the steps: environment, kernels, the targets' network with lanes and a soak, then all other networks."""
    yield PlannedStep("environment", "environment")
    yield PlannedStep("kernels", "kernels", {"height": target_size[0], "width": target_size[1]})
    if not networks:
        return
    first, *others = networks
    for number, precision in enumerate(PRECISIONS):
        yield from _engine_steps(first, precision, amounts, has_lanes=True)
        if number == 1:
            build = f"build {first.name} float16"
            soak = {"opens": amounts.opens, "seconds": SOAK_SECONDS}
            yield PlannedStep(f"soak {first.name} float16", "soak", soak, 1.5 * SOAK_SECONDS, engine_of=build)
    for precision in PRECISIONS:
        for network in others:
            yield from _engine_steps(network, precision, amounts)


def _engine_steps(network: Network, precision: str, amounts: Amounts, has_lanes: bool = False) -> Iterator[PlannedStep]:
    build = f"build {network.name} {precision}"
    arguments = {
        "model": network.model,
        "size": list(network.size),
        "precision": precision,
        "dataset": network.dataset,
        "data_dir": network.data_dir,
        "options": network.options,
        "images": amounts.images,
        "calibration_images": amounts.calibration_images,
    }
    yield PlannedStep(build, "build", arguments, time_share=BUILD_SHARE, problem=network.problem)
    if has_lanes:  # how lanes hand out their slots is not the network's doing, so one network tells
        yield PlannedStep(f"lanes {network.name} {precision}", "lanes", engine_of=build)
    latency = {"frames": amounts.frames, "seconds": amounts.seconds, "warmup_seconds": amounts.warmup_seconds}
    yield PlannedStep(f"latency {network.name} {precision}", "latency", latency, engine_of=build)
