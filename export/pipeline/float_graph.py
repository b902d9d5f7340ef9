"""The float graph of a build: exported, adopted, or read from the artefact that was brought here."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from edge.artifacts import ARTIFACTS_ROOT
from edge.card import build_command
from edge.console import Say, stand_out
from edge.contract import CONTRACT_FILE, GRAPH_FILE, Contract, read_contract
from edge.errors import ContractError, InputError
from edge.provenance import RANDOM
from edge.records import read_record
from export.graph.batching import with_batch
from export.graph.parity import PARITY_FILE, ParityReport
from export.pipeline.plan import BuildPlan
from export.pipeline.request import BuildRequest
from train.options import MODEL_NAMES
from train.runs import RUNS_ROOT
from train.tensorflow_import import has_tensorflow


@dataclass(frozen=True)
class FloatGraph:
    """The network of a build in float32, with its contract, in its artefact folder.

    `make_float_graph` makes it. Calibration and the search quantise it, every engine is measured against it, and a
    float engine is built from it.

    Attributes:
        folder: artefact folder, or the folder inside it of a graph with equalised channels.
        contract: contract of the graph: its input, its output, and the origin of its weights.
        parity: comparison of the graph with its Keras model at export; None if it is not known.
        is_of_other_code: True if other code than this exported the graph, although this code could export it here.
    """

    folder: Path
    contract: Contract
    parity: ParityReport | None = None
    is_of_other_code: bool = False

    @property
    def path(self) -> Path:
        """Return the path of the ONNX file."""
        return self.folder / GRAPH_FILE

    @property
    def has_random_weights(self) -> bool:
        """Return whether the weights are random, so that labels of this network mean nothing."""
        return self.contract.weights.kind == RANDOM


def make_float_graph(plan: BuildPlan, say: Say = lambda line: None) -> FloatGraph:
    """Make model.onnx and its contract, or take them from the artefact if they are current.

    Args:
        plan: settings of the build.
        say: function that is called with lines of text about the weights and the comparison with the model.

    Raises:
        ContractError: the artefact is another network than the one that was asked for.
        GraphError: engines for batches were asked for, and a node of the graph works across frames.
        InputError: nothing can be exported here, and no artefact exists.
    """
    contract = _current_contract(plan, say)
    parity = _export_parity(plan.artifact, contract)
    graph = FloatGraph(plan.artifact, contract, parity, _is_of_other_code(plan, contract))
    sentence = contract.weights.sentence()
    say(stand_out(sentence) if graph.has_random_weights else sentence)
    engine = plan.request.engine
    if engine.batch != 1 or engine.batch_profile is not None:  # refused here, before ranges are collected
        with_batch(graph.path.read_bytes(), None if engine.batch_profile is not None else engine.batch)
    if graph.parity is not None:
        say(graph.parity.sentence())
    return graph


def _is_of_other_code(plan: BuildPlan, contract: Contract) -> bool:
    """Return whether other code than this exported a graph; False where the graph is not to be exported here.

    A graph is to be exported where TensorFlow is installed, and also where its weights are and TensorFlow is missing.
    """
    from export.from_keras.exporter import export_of_other_code

    if contract.adopted_from is not None or not (has_tensorflow() or plan.sources.weights_path is not None):
        return False
    return contract.model not in MODEL_NAMES or export_of_other_code(contract) is not None


def _current_contract(plan: BuildPlan, say: Say) -> Contract:
    """Return the contract of the graph in the artefact folder; the graph is exported first if it is not current."""
    request, sources = plan.request, plan.sources
    if request.onnx_path is not None:
        return read_contract(plan.artifact)  # adopted when the build was planned
    if sources.weights_path is None:
        if sources.has_random_weights:
            from export.from_keras.exporter import refuse_to_lose_weights

            refuse_to_lose_weights(plan.artifact)
        # No weights here: an artefact that was made elsewhere, on the workstation say, is used as it is.
        try:
            contract = read_contract(plan.artifact)
        except InputError:
            is_dear = not (has_tensorflow() and _is_worthless(plan.artifact))
            if not sources.has_random_weights or ((plan.artifact / GRAPH_FILE).exists() and is_dear):
                raise
            if not has_tensorflow():
                _name_others(request)
        else:
            if contract.weights.kind != RANDOM or not has_tensorflow():
                _check_artifact(contract, plan)
                return contract
    from export.from_keras.exporter import ExportRequest, export_model, export_of_any_code, export_of_other_code

    export_request = ExportRequest(
        request.model,
        sources.dataset,
        request.height,
        request.width,
        sources.weights_path,
        sources.options,
        classes=sources.classes(),
        described=sources.described(),
    )
    if not has_tensorflow():
        came = export_of_any_code(plan.artifact, export_request, *export_request.provenance())
        if came is not None:
            other = export_of_other_code(came)
            if other is not None:
                say(f"without TensorFlow the graph that came with the artefact is used: {other}")
            return came
        _refuse_other_weights(plan, export_request.provenance()[0].sha256)
    return export_model(export_request, plan.artifact, plan.images().few(), say)


def _refuse_other_weights(plan: BuildPlan, sha256: str) -> None:
    """Refuse an artefact that was made from other weights than those that were chosen, where nothing can be exported.

    Raises:
        InputError: the artefact has other weights; the message names both.
    """
    try:
        held = read_record(Contract, plan.artifact / CONTRACT_FILE).weights
    except InputError:
        return
    if held.sha256 != sha256:
        raise InputError(
            f"{plan.artifact} has {held.sentence()}, and not the weights {plan.sources.weights_path}, which cannot be "
            f"exported without TensorFlow. Next: --weights of what the artefact was made from, a move of {RUNS_ROOT}/ "
            "elsewhere, or an export on the workstation"
        )


def _export_parity(artifact: Path, contract: Contract) -> ParityReport | None:
    """Return the comparison of the graph with its Keras model from its export; None if it is not known."""
    try:
        report = read_record(ParityReport, artifact / PARITY_FILE)
    except InputError:
        return None
    return report if report.graph_sha256 == contract.graph_sha256 else None


def _check_artifact(contract: Contract, plan: BuildPlan) -> None:
    """Refuse an artefact that is another one than was asked for: its folder was renamed or copied.

    Raises:
        ContractError: the artefact is another one; the message names the command for it.
    """
    request, sources = plan.request, plan.sources
    wanted = (request.model, sources.dataset, request.height, request.width, 1, sources.options)
    here = (contract.model, contract.dataset, contract.height, contract.width, contract.batch, contract.options)
    if here != wanted:
        raise ContractError(f"{plan.artifact} holds another network than asked for. Next: {build_command(contract)}")


def _name_others(request: BuildRequest) -> None:
    """Refuse a build whose artefact is missing, and name the artefacts of this model and size that exist.

    Raises:
        InputError: such artefacts exist, under other options or datasets.
    """
    others = []
    for path in sorted(ARTIFACTS_ROOT.glob(f"{request.model}[+-]*-{request.height}x{request.width}/{CONTRACT_FILE}")):
        with contextlib.suppress(InputError):
            others.append(build_command(read_record(Contract, path)))
    if others:
        raise InputError(
            f"no artefact of {request.model} with these options and size is here, and none can be exported without "
            f"TensorFlow. Next: {' or: '.join(others)}"
        )


def _is_worthless(artifact: Path) -> bool:
    """Return whether a damaged artefact may be exported anew: random weights must not replace trained ones."""
    try:
        return read_record(Contract, artifact / CONTRACT_FILE).weights.kind == RANDOM
    except ContractError:
        return False
    except InputError:  # an export that was interrupted leaves a graph without a contract
        return True
