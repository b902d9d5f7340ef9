"""Export of a Keras model as an ONNX graph under the contract.

The graph takes uint8 NHWC frames and gives float logits NCHW at the model's stride; BatchNorm is
folded, shapes are static, the opset is one that TensorRT 8.5 parses. Every export is compared with
the Keras model on images (export/graph/parity.py) and held against TensorRT's rules
(export/graph/trt_rules.py) before anything is kept.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.artifacts import sha256_json, write_bytes
from edge.code_digest import code_digest, other_code
from edge.console import Say, print_status
from edge.contract import CONTRACT_FILE, GRAPH_FILE, Contract, read_contract
from edge.datasets import class_table
from edge.datasets.reference import recorded_dataset
from edge.errors import InputError, WeightsError
from edge.frames import FrameSet
from edge.network_class import NetworkClass, network_classes
from edge.provenance import RANDOM, SHIPPED, TRAINED, DescribedData, WeightsProvenance
from edge.records import read_record, write_record
from export.build_inputs import choose_inputs
from export.found_weights import CHECKOUT, WEIGHTS_ROOT
from export.from_keras.comparison import ComparisonProcess, compare_graph, has_own_process
from export.from_keras.network import OPSET, RANDOM_SEED, KerasNetwork, converter_versions, give_memory_back
from export.graph.parity import PARITY_FILE, ParityReport
from export.graph.random_inputs import draw_noise
from export.graph.trt_rules import require
from export.held_out import held_out_frames
from train.options import changed_options, resolve_options
from train.runs import RUNS_ROOT, weights_in_run
from train.weights_file import agreed_options, read_weights, weights_path_of


@dataclass(frozen=True)
class ExportRequest:
    """Description of an export: the model, its weights, and the size of its input.

    Attributes:
        model: key in train.models.MODELS.
        dataset: name of the dataset, as the artefact's folder has it; the classifier has the classes of this dataset.
        height: rows of the network's input.
        width: columns of the network's input.
        weights_path: path of a weights file; None for random weights.
        options: options of the architecture that the user set, as values or text.
        batch: number of frames in one call.
        classes: classes of the dataset; empty for those of a dataset that the project knows by its name.
        described: description of the dataset; None for a dataset that the project knows by its name.
    """

    model: str
    dataset: str
    height: int
    width: int
    weights_path: Path | None = None
    options: dict[str, Any] = field(default_factory=dict)
    batch: int = 1
    classes: tuple[NetworkClass, ...] = ()
    described: DescribedData | None = None

    def known_classes(self) -> tuple[NetworkClass, ...]:
        """Return the classes of the dataset, in the order of the logits' channels.

        Raises:
            DatasetError: the project does not know the dataset by its name, and no classes were given.
        """
        return self.classes or network_classes(class_table(self.dataset))

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits' channels."""
        return tuple(each.name for each in self.known_classes())

    def provenance(self) -> tuple[WeightsProvenance, dict[str, Any]]:
        """Return the origin of the weights, and every option of the architecture.

        Raises:
            WeightsError: the weights belong to another model, other classes or other options, or are damaged.
            InputError: an option is unknown.
        """
        class_count = len(self.known_classes())
        if self.weights_path is None:
            options = resolve_options(self.model, self.options)
            digest = sha256_json([self.model, class_count, RANDOM_SEED, changed_options(self.model, options)])
            return WeightsProvenance(RANDOM, f"seed {RANDOM_SEED}", digest), options
        weights = read_weights(self.weights_path, self.model)
        if weights.class_count is None:
            train = f"python train/train.py --model {self.model} --dataset {self.dataset}"
            raise WeightsError(
                f"{self.weights_path} holds a backbone alone, without a classifier. "
                f"Next: {train} --init-weights {self.weights_path}"
            )
        own = recorded_dataset(weights.dataset or "", weights.described)
        way_out = f"--dataset {shlex.quote(own.option)}" if own.is_here else "train with --init-weights"
        if weights.class_count != class_count:
            raise WeightsError(
                f"{self.weights_path} has {weights.class_count} classes of {weights.dataset or 'an unknown dataset'}, "
                f"{self.dataset} has {class_count}. Next: {way_out}"
            )
        other = next((pair for pair in zip(_names(weights.classes), self.class_names) if pair[0] != pair[1]), None)
        if other is not None:
            raise WeightsError(
                f"{self.weights_path} has the classes of {weights.dataset}, with '{other[0]}' where {self.dataset} has "
                f"'{other[1]}': the same number of others. Next: {way_out}"
            )
        return weights.provenance, agreed_options(weights, self.options)


def _names(classes: tuple[NetworkClass, ...]) -> tuple[str, ...]:
    return tuple(each.name for each in classes)


def source_digest(model: str) -> str:
    """Return the digest of the code that determines the export of a model.

    The module of the model is named here, since train.models imports an architecture by its name at run time.
    """
    return code_digest(__name__, f"train.models.{model}")


def export_of_any_code(
    folder: Path, request: ExportRequest, provenance: WeightsProvenance, options: dict[str, Any]
) -> Contract | None:
    """Return the contract of an artefact if the artefact is the requested export, whichever code exported it."""
    try:
        contract = read_contract(folder)
        report = read_record(ParityReport, folder / PARITY_FILE)
    except InputError:
        return None
    wanted = (request.model, request.dataset, request.height, request.width, request.batch)
    same = (
        (contract.model, contract.dataset, contract.height, contract.width, contract.batch) == wanted
        and contract.options == changed_options(request.model, options)
        and contract.weights.sha256 == provenance.sha256
        and contract.class_names == request.class_names
        and contract.classes in ((), request.known_classes())
        and (contract.described is None) == (request.described is None)
        and (contract.described is None or contract.described.sha256 == request.described.sha256)
        and report.graph_sha256 == contract.graph_sha256
    )
    return contract if same else None


def export_of_other_code(contract: Contract) -> str | None:
    """Return one line that says that other code than this exported a graph; None if it was this code."""
    digest = source_digest(contract.model)
    return other_code(GRAPH_FILE, contract.source_sha256, digest) if contract.source_sha256 != digest else None


def export_model(request: ExportRequest, folder: Path, frames: FrameSet, say: Say = print_status) -> Contract:
    """Export a model into an artefact folder, unless the export there is current.

    Args:
        request: description of the export.
        folder: the artefact folder.
        frames: images for the comparison with the Keras model.
        say: function that is called with a line of text where an existing export is made anew.

    Returns:
        The contract; model.onnx, contract.json and parity.json are in the folder.

    Raises:
        SizeError: the model cannot take the size.
        WeightsError: the weights are damaged, or of another model.
        ParityError: the graph differs from the Keras model; then nothing is written.
        GraphError: TensorRT does not run a part of the graph; then nothing is written.
        MissingDependencyError: TensorFlow, onnx or tf2onnx is not installed.
    """
    provenance, options = request.provenance()
    existing = export_of_any_code(folder, request, provenance, options)
    if existing is not None:
        other = export_of_other_code(existing)
        if other is None:
            return existing
        say(f"{request.model} is exported anew: {other}")
    else:
        _say_what_makes_way(folder, provenance, say)
    network = _keras_network(request, options)
    graph, report = _converted_and_compared(network, request, options, frames)
    report.check()
    contract = Contract(
        model=request.model,
        dataset=request.dataset,
        class_names=request.class_names,
        height=request.height,
        width=request.width,
        stride=network.spec.stride,
        coordinates=network.coordinates,
        input_name="frame",
        output_name="logits",
        graph_sha256=report.graph_sha256,
        weights=provenance,
        source_sha256=source_digest(request.model),
        opset=OPSET,
        versions=converter_versions(),
        options=changed_options(request.model, options),
        batch=request.batch,
        extra_outputs=network.extra_outputs,
        classes=request.known_classes(),
        described=request.described,
    )
    del network
    give_memory_back()
    # The contract names the graph's hash and goes last: an interruption in between leaves a
    # graph that no contract describes, which the next export replaces.
    write_bytes(folder / GRAPH_FILE, graph)
    write_record(folder / PARITY_FILE, report)
    write_record(folder / CONTRACT_FILE, contract)
    return contract


def _say_what_makes_way(folder: Path, provenance: WeightsProvenance, say: Say) -> None:
    """Say that a graph of other weights is replaced, since engines of it may lie beside it."""
    try:
        held = read_record(Contract, folder / CONTRACT_FILE).weights
    except InputError:
        return
    if held.sha256 != provenance.sha256:
        say(
            f"warning: {folder} held {held.sentence()}; its graph makes way for that of {provenance.sentence()}, and "
            "engines of the former that are there stay until they are built again"
        )


def compare_artifact(folder: Path, weights_path: Path | None, data_dir: Path | None, image_count: int) -> ParityReport:
    """Compare the graph of an artefact folder with its Keras model, on any number of images.

    Args:
        folder: the artefact folder.
        weights_path: path of the weights that the graph was made from, or of their run folder; None for those of the
            run that its contract names, or those of the product.
        data_dir: folder of the dataset; None for the default one, or the run's.
        image_count: number of images of the validation split.

    Raises:
        WeightsError: the weights are not those in the graph.
        InputError: the weights were imported, and their file was not given; or the run or the shipped file is not here.
    """
    contract = read_contract(folder)
    if contract.adopted_from is not None:
        graph, described = contract.adopted_from
        raise InputError(
            f"{folder} was adopted from {graph}, so there is no Keras model to compare it with; its adoption.json has "
            f"the comparison with that graph. Next: python export/build_engine.py --onnx {graph} --contract {described}"
        )
    weights_path = weights_path_of(weights_path) if weights_path is not None else None
    if weights_path is None and contract.weights.kind == TRAINED:
        weights_path = weights_in_run(RUNS_ROOT / contract.weights.source)
        if not weights_path.is_file():
            raise InputError(
                f"{folder} was made from the run {contract.weights.source}, and there is no {weights_path}. "
                "Next: --weights FOLDER, the folder of that run"
            )
    elif weights_path is None and contract.weights.kind == SHIPPED:
        weights_path = CHECKOUT / WEIGHTS_ROOT / contract.weights.source
    elif weights_path is None and contract.weights.kind != RANDOM:
        raise InputError(
            f"{folder} has weights imported from {contract.weights.source}. Next: name them with --weights"
        )
    size = (contract.height, contract.width)
    request = ExportRequest(
        contract.model,
        contract.dataset,
        *size,
        weights_path,
        dict(contract.options),
        contract.batch,
        contract.classes,
        contract.described,
    )
    provenance, options = request.provenance()
    if provenance.sha256 != contract.weights.sha256:
        raise WeightsError(f"{weights_path or 'random weights'} are not what {folder / GRAPH_FILE} was made from")
    reference = recorded_dataset(contract.dataset, contract.described)
    sources = choose_inputs(
        contract.model,
        reference.option if reference.is_here else None,
        data_dir,
        weights_path,
        size,
        contract.options,
        random_weights=weights_path is None,
    )
    frames = held_out_frames(sources.reference.option, sources.data_dir, *size, image_count)
    return compare_graph(_keras_network(request, options), (folder / GRAPH_FILE).read_bytes(), frames)


def _keras_network(request: ExportRequest, options: dict[str, Any]) -> KerasNetwork:
    return KerasNetwork(*_network_arguments(request, options))


def _converted_and_compared(
    network: KerasNetwork, request: ExportRequest, options: dict[str, Any], frames: FrameSet
) -> tuple[bytes, ParityReport]:
    if not has_own_process(request.batch * request.height * request.width, network):
        graph = _convert(network)
        return graph, compare_graph(network, graph, frames)
    with ComparisonProcess(_network_arguments(request, options), frames) as other:
        graph = _convert(network)
        network.forget_model()
        give_memory_back()
        return graph, other.compare(graph)


def _network_arguments(request: ExportRequest, options: dict[str, Any]) -> tuple[Any, ...]:
    class_count = len(request.known_classes())
    return (request.model, options, class_count, request.height, request.width, request.batch, request.weights_path)


def _convert(network: KerasNetwork) -> bytes:
    """Return the graph that is kept: its noise is drawn inside, and TensorRT's rules hold for it."""
    model = network.to_onnx()
    draw_noise(model, network.noise)
    require(model, network.name)
    data = model.SerializeToString(deterministic=True)
    del model
    give_memory_back()
    return data


def refuse_to_lose_weights(folder: Path) -> None:
    """Refuse to replace trained or imported weights by random ones.

    Raises:
        WeightsError: the artefact in the folder has such weights.
    """
    try:
        weights = read_record(Contract, folder / CONTRACT_FILE).weights
    except InputError:
        return
    if weights.kind != RANDOM:
        raise WeightsError(
            f"{folder} holds {weights.kind} weights of {weights.source}, which random ones do not replace. "
            "Next: --weights PATH, another --output, or remove the folder"
        )
