"""The float graph of a build: exported, adopted, or brought here with its artefact."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from pathlib import Path

from edge.artifacts import ARTIFACTS_ROOT
from edge.card import build_command
from edge.contract import CONTRACT_FILE, GRAPH_FILE, Contract, read_contract
from edge.errors import ContractError, InputError
from edge.frames import FrameSet
from edge.provenance import RANDOM
from edge.records import read_record
from export.build_inputs import PARITY_IMAGES, held_out_frames
from export.graph.parity import PARITY_FILE, ParityReport
from export.pipeline.request import BuildPlan, BuildRequest, Say
from train.options import MODEL_NAMES


def float_graph(
    request: BuildRequest, plan: BuildPlan, say: Say = lambda line: print(line, file=sys.stderr)
) -> Contract:
    """Make model.onnx and its contract, or take them from the artefact if they are current.

    Raises:
        ContractError: the artefact is another network than asked for.
        InputError: nothing can be exported here, and no artefact is here.
    """
    if request.onnx_path is not None:
        return read_contract(plan.artifact)  # adopted when the build was planned
    if plan.sources.weights_path is None:
        # No weights here: an artefact that was made elsewhere, on the workstation say, is used as it is.
        try:
            contract = read_contract(plan.artifact)
        except InputError:
            if (plan.artifact / GRAPH_FILE).exists() and not (can_export() and _is_worthless(plan.artifact)):
                raise
            if not can_export():
                _name_others(request)
        else:
            if contract.weights.kind != RANDOM or not can_export():
                _check_artifact(contract, request, plan)
                return contract
    from export.from_keras.exporter import ExportRequest, export_model, export_of_any_code, export_of_other_code

    sources = plan.sources
    export_request = ExportRequest(
        request.model, sources.dataset, request.height, request.width, sources.weights_path, sources.options
    )
    if not can_export():
        came = export_of_any_code(plan.artifact, export_request, *export_request.provenance())
        if came is not None:
            other = export_of_other_code(came)
            if other is not None:
                say(f"without TensorFlow the graph that came with the artefact is used: {other}")
            return came
    return export_model(export_request, plan.artifact, parity_frames(request, plan), say)


def is_of_other_sources(plan: BuildPlan, contract: Contract) -> bool:
    """Say whether other code than this exported a graph; where it is not to be exported, that does not matter.

    It is to be exported where TensorFlow is, and where its weights are, though TensorFlow may be missing.
    """
    from export.from_keras.exporter import export_of_other_code

    if contract.adopted_from is not None or not (can_export() or plan.sources.weights_path is not None):
        return False
    return contract.model not in MODEL_NAMES or export_of_other_code(contract) is not None


def parity_frames(request: BuildRequest, plan: BuildPlan) -> FrameSet:
    """Return the few frames that show that a network runs."""
    sources = plan.sources
    return held_out_frames(sources.dataset, sources.data_dir, request.height, request.width, PARITY_IMAGES)


def export_parity(artifact: Path, contract: Contract) -> ParityReport | None:
    """Return how the graph was compared when it was made; None if nobody knows."""
    try:
        report = read_record(ParityReport, artifact / PARITY_FILE)
    except InputError:
        return None
    return report if report.graph_sha256 == contract.graph_sha256 else None


def can_export() -> bool:
    """Say whether TensorFlow is here."""
    return importlib.util.find_spec("tensorflow") is not None


def _check_artifact(contract: Contract, request: BuildRequest, plan: BuildPlan) -> None:
    """Refuse an artefact that is not what is asked for: its folder was renamed or copied.

    Raises:
        ContractError: the message names the command for what it is.
    """
    sources = plan.sources
    wanted = (request.model, sources.dataset, request.height, request.width, 1, sources.options)
    here = (contract.model, contract.dataset, contract.height, contract.width, contract.batch, contract.options)
    if here != wanted:
        raise ContractError(f"{plan.artifact} holds another network than asked for. Next: {build_command(contract)}")


def _name_others(request: BuildRequest) -> None:
    """Say which artefacts of this model and size are here, where the one asked for is not.

    Raises:
        InputError: there are some, under other options or datasets.
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
    """Say whether a damaged artefact may be exported anew: trained weights must not make way for random ones."""
    try:
        return read_record(Contract, artifact / CONTRACT_FILE).weights.kind == RANDOM
    except ContractError:
        return False
    except InputError:  # an export that was interrupted leaves a graph without a contract
        return True
