"""What a path stands for: weights of a run or imported ones, an ONNX graph with its contract, or an engine."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterator

from edge.artifacts import sha256_file
from edge.card import ENGINES_FOLDER, EngineCard, read_card
from edge.contract import CONTRACT_FILE, GRAPH_FILE, OWN_CLASSES, Contract, read_contract
from edge.datasets.reference import recorded_dataset
from edge.engine_choice import find_engine
from edge.errors import InputError
from edge.evaluation.networks import Network, RunnerNetwork
from edge.evaluation.record import Subject
from edge.records import read_record
from edge.runtime import RUNNERS
from train.options import training_options
from train.runs import RUN_RECORD, RunRecord
from train.weights_file import (
    WEIGHTS_SUFFIX,
    ImportRecord,
    WeightsFile,
    import_record_path,
    read_weights,
    weights_path_of,
)

KERAS, GRAPH, ENGINE, FILES = "keras weights", "onnx graph", "engine", "files"

_DEFAULT_SIZE = (512, 1024)
_COMMAND = "python train/evaluate.py"


@dataclass(frozen=True)
class GivenSubject:
    """What is to be evaluated, before anything heavy is opened.

    Attributes:
        subject: Description of it for the record, without its looks.
        dataset: Dataset whose classes it has; None where nothing says it.
        data_dir: Folder of the dataset when it was trained; None where that is unknown.
        weights: Keras weights; None of a graph or an engine.
        contract: Contract of a graph or an engine; None of weights.
        folder: Folder of an engine, or path of a graph.
        card: Card of an engine.
    """

    subject: Subject
    dataset: str | None
    data_dir: Path | None = None
    weights: WeightsFile | None = None
    contract: Contract | None = None
    folder: Path | None = None
    card: EngineCard | None = field(default=None, repr=False)


def given_subject(path: Path, size: tuple[int, int] | None = None) -> GivenSubject:
    """Return what a path stands for.

    Args:
        path: Run folder, weights file, artefact folder, engine folder, or ONNX graph beside its contract.json.
        size: Height and width of the network's input in pixels, for Keras weights; None for those that they were
            validated at.

    Raises:
        InputError: There is nothing at the path that can be evaluated, or a size is given where it is fixed.
    """
    if path.suffix.lower() == ".onnx":
        return _no_size(_graph(path), size, path)
    is_weights = path.name.endswith((WEIGHTS_SUFFIX, ".weights.json")) or path.name == RUN_RECORD
    if is_weights or (path / RUN_RECORD).is_file():
        return _weights(path, size)
    if (path / CONTRACT_FILE).is_file() and not (path / ENGINES_FOLDER).is_dir():
        return _no_size(_graph(path / GRAPH_FILE), size, path)
    if not path.exists():
        raise InputError(
            f"nothing to evaluate at {path}, expected a run folder, a *{WEIGHTS_SUFFIX} file, an artefact or engine "
            "folder, or a graph *.onnx"
        )
    folder = find_engine(path, _COMMAND)
    card = read_card(folder)
    contract = card.contract
    subject = Subject(
        ENGINE,
        str(path),
        sha256_file(folder / card.engine_file),
        contract.model,
        card.backend,
        card.precision,
        (contract.height, contract.width),
    )
    given = GivenSubject(subject, _dataset_of(contract), contract=contract, folder=folder, card=card)
    return _no_size(given, size, path)


def _dataset_of(contract: Contract) -> str | None:
    return None if contract.dataset == OWN_CLASSES else contract.dataset_option


def _no_size(given: GivenSubject, size: tuple[int, int] | None, path: Path) -> GivenSubject:
    own = given.subject.size
    if size is not None and size != own:
        raise InputError(
            f"--size is {size[0]}x{size[1]}, {path} takes {own[0]}x{own[1]} alone. Next: leave --size out, or evaluate "
            "the weights that it was built from"
        )
    return given


def _graph(path: Path) -> GivenSubject:
    if not path.is_file():
        raise InputError(f"graph not found: {path}")
    if not (path.parent / CONTRACT_FILE).is_file():
        raise InputError(
            f"{path} has no {CONTRACT_FILE} beside it, so its classes and size are unknown. "
            f"Next: python export/build_engine.py --onnx {path} --contract FILE"
        )
    is_float = path.name == GRAPH_FILE
    contract = read_contract(path.parent) if is_float else read_record(Contract, path.parent / CONTRACT_FILE)
    subject = Subject(
        GRAPH,
        str(path),
        sha256_file(path),
        contract.model,
        "onnxruntime",
        "float32" if is_float else "int8",
        (contract.height, contract.width),
    )
    return GivenSubject(subject, _dataset_of(contract), contract=contract, folder=path)


def _weights(path: Path, size: tuple[int, int] | None) -> GivenSubject:
    file = weights_path_of(path)
    weights = read_weights(file, _model_of(file))
    if weights.class_count is None:
        raise InputError(f"{file} are weights of a backbone, which labels nothing. Next: train a network from them")
    taken = size or weights.provenance.trained_size or _DEFAULT_SIZE
    digest = weights.provenance.sha256
    subject = Subject(KERAS, str(path), digest, weights.model, "keras", "float32", tuple(taken))
    dataset = weights.dataset and recorded_dataset(weights.dataset, weights.described).option
    return GivenSubject(subject, dataset, weights.data_dir, weights=weights)


def _model_of(file: Path) -> str:
    """Return the architecture that the record of weights names; "" where there is no record, which its reader says."""
    if not file.is_file():
        raise InputError(f"weights not found: {file}")
    if import_record_path(file).is_file():
        return read_record(ImportRecord, import_record_path(file)).model
    if (file.parent / RUN_RECORD).is_file():
        return read_record(RunRecord, file.parent / RUN_RECORD).model
    return ""


@contextlib.contextmanager
def opened(given: GivenSubject, class_names: tuple[str, ...]) -> Iterator[Network]:
    """Open what is to be evaluated; a device is used until the block ends.

    Args:
        given: What `given_subject` returned.
        class_names: Names of the classes that Keras weights have, which name none themselves.

    Raises:
        MissingDependencyError: TensorFlow or the runtime is not installed.
        BackendError: The runtime cannot load the engine.
    """
    if given.weights is not None:
        from train.tensorflow_import import import_tensorflow

        import_tensorflow("evaluating Keras weights", "pip install -e '.[train]'")
        from train.evaluation.keras_network import KerasNetwork

        options = training_options(given.weights.model, given.weights.options)
        yield KerasNetwork(given.weights.model, options, class_names, given.subject.size, given.weights.path)
        return
    if given.card is not None:
        runner = RUNNERS[given.card.backend](given.folder / given.card.engine_file, given.card, 0)
    else:
        from edge.runtime.onnxruntime import OnnxRuntimeRunner

        # Q/DQ pairs as they stand: a graph for TensorRT would saturate in the CPU's own kernels.
        runner = OnnxRuntimeRunner(given.folder, given.contract, exact=given.subject.precision == "int8")
    with runner:
        yield RunnerNetwork(runner)
