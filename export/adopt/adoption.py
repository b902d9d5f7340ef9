"""Adoption of a graph that this project did not make, so that every other step treats it like an export.

    user's graph + its contract  ->  model.onnx  contract.json  adoption.json  in an artefact folder

The user's file is read and never changed. model.onnx takes the frame as it is (uint8 NHWC RGB; cast,
order of channels, normalisation and transpose are inside) and gives logits; BatchNormalization is in
its convolutions, constants are folded, shapes are static, nodes have names that a person knows. A
bilinear upsampling to full size at the end is left to edge.postprocess, which gives the same labels
without a full-size float tensor, and a decision by thresholds becomes planes whose largest is the label.
Nothing is kept unless the adopted graph gives the numbers of the graph as it was given, fed by frames
that are normalised by hand, and the labels that the contract's decision makes of its output by definition.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import numpy as np

from calibration.onnx_graph.file import import_onnx
from edge.artifacts import ARTIFACTS_ROOT, artifact_folder, sha256_json, write_bytes
from edge.code_digest import code_digest, other_code
from edge.console import Say, print_note
from edge.contract import CONTRACT_FILE, GRAPH_FILE, OWN_CLASSES, Contract, read_contract
from edge.datasets.reference import recorded_dataset
from edge.decision import Decision
from edge.errors import ContractError, GraphError, InputError, ParityError
from edge.frames import FrameSet, SyntheticFrames
from edge.postprocess import upsample_argmax
from edge.preprocess import prepare_rgb
from edge.provenance import GIVEN, RANDOM, WeightsProvenance
from edge.records import read_record, record, write_record
from edge.runtime.onnxruntime import import_onnxruntime, open_session
from export.adopt.contract import ForeignContract, read_foreign_contract
from export.graph.parity import LABEL_TOLERANCE, LOGIT_TOLERANCE
from export.held_out import PARITY_IMAGES, SYNTHETIC_HELD_OUT_SEED, held_out_frames

if TYPE_CHECKING:
    from export.adopt.checks import Interface
    from export.adopt.given_graph import GivenGraph, UsedPart

ADOPTION_FILE = "adoption.json"


@record(schema=1, what="adoption report")
class AdoptionReport:
    """Record of the changes to a given graph, and of its comparison with the adopted one on ONNX Runtime.

    Attributes:
        graph_sha256: SHA-256 of the adopted graph.
        image_count: number of images that were compared.
        images_from: dataset and split of these images, or "synthetic scenes".
        logit_error: largest difference of two logits over the range of that image's logits.
        label_agreement: share of pixels with the same label at the network's size, 0 to 1: those of the given
            graph's own output against those of edge.postprocess on the adopted graph's.
        logit_range: smallest range of the logits of a call, which the error is compared with.
        changes: changes that were made, a sentence each.
        tensorrt_findings: parts of the graph that TensorRT 8.5 does not run, a line each; ONNX Runtime may run them.
        code_sha256: digest of the code that adopted it; None where nobody noted it.
    """

    graph_sha256: str
    image_count: int
    images_from: str
    logit_error: float
    label_agreement: float
    logit_range: float
    changes: tuple[str, ...] = ()
    tensorrt_findings: tuple[str, ...] = ()
    code_sha256: str | None = None

    def check(self) -> None:
        """Refuse an adopted graph that differs from the given one.

        Raises:
            ParityError: a figure exceeds its tolerance.
        """
        # Written so that a NaN fails. The tolerances are those of an export: sums in another order.
        if not (self.logit_error <= LOGIT_TOLERANCE and self.label_agreement >= LABEL_TOLERANCE):
            raise ParityError(
                f"the adopted graph is not the given one: logit error {self.logit_error:.2e} of the range "
                f"(at most {LOGIT_TOLERANCE:.0e}), labels equal on {100 * self.label_agreement:.4f} % of pixels "
                f"(at least {100 * LABEL_TOLERANCE} %). Next: a graph without random or half-precision operators"
            )

    def sentence(self) -> str:
        """Return the comparison as one line of text."""
        return (
            f"parity with the given graph on {self.image_count} images of {self.images_from}: logit error "
            f"{self.logit_error:.1e} of the range, labels equal on {100 * self.label_agreement:.4f} %"
        )


@dataclass(frozen=True)
class Adoption:
    """An adopted graph in its artefact folder.

    Attributes:
        folder: artefact folder of the graph.
        contract: contract of the adopted graph.
        report: record of the changes and of the comparison. TensorRT may refuse what `tensorrt_findings` lists: an
            error for a build with it, a note for one with ONNX Runtime.
        is_new: False if the folder existed and was current.
    """

    folder: Path
    contract: Contract
    report: AdoptionReport
    is_new: bool


def adopt(
    onnx_path: Path,
    contract_path: Path,
    artifacts_root: Path = ARTIFACTS_ROOT,
    size: tuple[int, int] | None = None,
    data_dir: Path | None = None,
    say: Say = lambda line: None,
) -> Adoption:
    """Make an artefact folder of a given graph, unless the existing one is current.

    Args:
        onnx_path: path of the graph; it is left as it is.
        contract_path: path of the contract that its owner wrote (export/adopt/contract.py).
        artifacts_root: folder of all artefacts.
        size: (height, width) of the network's input; None for the contract's, or the graph's own.
        data_dir: folder of the contract's dataset, for the images of the comparison; None for the default one.
            Scenes are drawn where there is none.
        say: function that is called with a line of text for each step.

    Raises:
        ContractError: the contract is damaged, or the folder holds another network.
        GraphError: the graph is damaged, or differs from its contract.
        SizeError: the graph has another size, or none and none was requested.
        ParityError: the adopted graph gives other numbers or labels; then nothing is written.
        MissingDependencyError: onnx or onnxruntime is not installed.
    """
    import_onnx()
    import_onnxruntime()
    from export.adopt.checks import choose_interface
    from export.adopt.layout import IS_TURNED, input_channels_first
    from export.adopt.model_file import read_foreign

    given = read_foreign_contract(contract_path)
    model, graph_sha256 = read_foreign(Path(onnx_path))
    turned = input_channels_first(model, given.input_name)
    interface = choose_interface(Path(onnx_path), turned or model, given, size)
    if turned is not None:
        model, interface = turned, dataclasses.replace(interface, is_input_turned=True)
    size = (interface.height, interface.width)
    folder = artifact_folder(given.name, given.dataset, *size, Path(artifacts_root))
    adopted_from = (os.fspath(onnx_path), os.fspath(contract_path))
    digest = sha256_json([graph_sha256, dataclasses.asdict(given), code_digest(__name__)])
    current = _current(folder, digest, adopted_from, say)
    if current is not None:
        say(f"{folder} is adopted from {onnx_path} and current")
        return current
    say(f"adopt {onnx_path} as {given.name}, {interface.height}x{interface.width}")
    frames = _frames(given, data_dir, *size)
    data, stride, coordinates, opset, decision, report = _adopted_graph(
        Path(onnx_path), model, given, interface, frames
    )
    report.check()
    weights = given.weights or Path(onnx_path).name
    contract = Contract(
        model=given.name,
        dataset=given.dataset,
        class_names=given.class_names,
        height=interface.height,
        width=interface.width,
        stride=stride,
        coordinates=coordinates,
        input_name="frame",
        output_name="logits",
        graph_sha256=report.graph_sha256,
        weights=WeightsProvenance(GIVEN if given.trained else RANDOM, weights, graph_sha256),
        source_sha256=digest,
        opset=opset,
        versions={module.__name__: module.__version__ for module in (import_onnx(), import_onnxruntime())},
        adopted_from=adopted_from,
        decision=decision,
        classes=given.classes,
        described=given.described,
    )
    if decision is not None:
        say(f"decision: {contract.decision_sentence()}")
    for change in report.changes:
        (print_note if IS_TURNED in change else say)(change)
    # As in an export, the contract goes last: it describes what is there already.
    write_bytes(folder / GRAPH_FILE, data)
    write_record(folder / ADOPTION_FILE, report)
    write_record(folder / CONTRACT_FILE, contract)
    return Adoption(folder, contract, report, is_new=True)


def read_adoption(folder: Path, contract: Contract) -> AdoptionReport | None:
    """Return the report of an adopted graph; None if it is not of this graph, or the graph was not adopted."""
    try:
        report = read_record(AdoptionReport, folder / ADOPTION_FILE)
    except InputError:
        return None
    return report if contract.adopted_from is not None and report.graph_sha256 == contract.graph_sha256 else None


def _current(folder: Path, digest: str, adopted_from: tuple[str, str], say: Say) -> Adoption | None:
    """Return the adoption in a folder if it was made of the same files by the same code.

    Raises:
        ContractError: the folder holds a network that was not adopted.
    """
    try:
        there = read_record(Contract, folder / CONTRACT_FILE)
    except InputError:
        return None
    if there.adopted_from is None:
        raise ContractError(
            f"{folder} holds {there.model} with {there.weights.sentence()}, which was exported here. "
            "Next: another name in the contract"
        )
    try:
        contract = read_contract(folder)
    except InputError:  # its graph is gone, or another
        return None
    report = read_adoption(folder, contract)
    if report is None:
        return None
    if contract.source_sha256 != digest:
        code = code_digest(__name__)
        is_other_code = report.code_sha256 != code
        other = other_code(GRAPH_FILE, report.code_sha256 or "unknown", code) if is_other_code else None
        say(f"adopted anew: {other or f'{GRAPH_FILE} is of another graph or contract'}")
        return None
    if contract.adopted_from != adopted_from:  # the same files, elsewhere
        contract = dataclasses.replace(contract, adopted_from=adopted_from)
        write_record(folder / CONTRACT_FILE, contract)
    return Adoption(folder, contract, report, is_new=False)


def _frames(given: ForeignContract, data_dir: Path | None, height: int, width: int) -> FrameSet:
    """Return the images of the comparison; drawn scenes have a size that streets are drawn at, and are resized."""
    from edge.synthetic.scene import MAX_HEIGHT, MAX_WIDTH, MIN_HEIGHT, MIN_WIDTH

    drawn_height = min(max(height, MIN_HEIGHT), MAX_HEIGHT)
    drawn_width = min(max(width, MIN_WIDTH), MAX_WIDTH)
    if given.dataset == OWN_CLASSES:
        return SyntheticFrames(PARITY_IMAGES, drawn_height, drawn_width, SYNTHETIC_HELD_OUT_SEED)
    # Two forms of a graph are compared on any frames; a build refuses bad ones, or counts them, once it is planned.
    dataset = recorded_dataset(given.dataset, given.described).option
    return held_out_frames(dataset, data_dir, drawn_height, drawn_width, PARITY_IMAGES, skip_bad=True)


def _adopted_graph(
    path: Path, model: Any, given: ForeignContract, interface: Interface, frames: FrameSet
) -> tuple[bytes, int, str, int, Decision | None, AdoptionReport]:
    """Return the adopted graph, its stride, rule of upsampling, opset and decision, and the report."""
    from export.adopt import checks, cleaning, model_file
    from export.adopt.decision_planes import DECISION, put_planes
    from export.adopt.given_graph import read_given
    from export.adopt.names import name_constants, name_for_people
    from export.graph.trt_rules import check_graph

    height, width = interface.height, interface.width
    first = prepare_rgb(frames.read(0), height, width)
    source, work, folded = read_given(path, model, given, interface, first)
    used = source.used_part(work, first)
    logits, stride = used.logits, used.stride
    work = checks.select(path, work, interface, (logits,))
    name_for_people(work, (*cleaning.FRONT_NAMES, DECISION), logits, cleaning.LOGITS)
    fired = cleaning.clean(work)
    changes = [*source.turned, *used.changes]
    reference, planes = source.reference(logits), source.rule.planes(used.cut)
    if not planes.keeps(reference(first)[logits].shape[1]):
        changes.append(put_planes(work, cleaning.LOGITS, planes))
    cleaning.put_frame_in_front(work, given, height, width)
    name_constants(work)
    model_file.finish(path, work, given.name, (1, planes.count, height // stride, width // stride))
    changes += cleaning.sentences(folded, fired)
    findings = tuple(finding.line() for finding in check_graph(work))
    data = work.SerializeToString(deterministic=True)
    figures = _compare(data, source, reference, used, frames)
    report = AdoptionReport(
        hashlib.sha256(data).hexdigest(),
        len(frames),
        frames.description,
        *figures,
        changes=tuple(changes),
        tensorrt_findings=findings,
        code_sha256=code_digest(__name__),
    )
    decision = None if source.rule.is_plain else source.rule.decision
    return data, stride, used.coordinates, model_file.opset_of(work), decision, report


def _compare(
    graph: bytes,
    source: GivenGraph,
    reference: Callable[[np.ndarray], dict[str, np.ndarray]],
    used: UsedPart,
    frames: FrameSet,
) -> tuple[float, float, float]:
    """Return (logit error, label agreement, logit range) of an adopted graph against the one that was given.

    Args:
        graph: content of the adopted graph.
        source: graph that was given.
        reference: what runs it for its output and for the logits of the part that is used.
        used: part of it that the adopted graph was made of.
        frames: images of the comparison.
    """
    height, width = source.interface.height, source.interface.width
    session, planes = open_session(graph), source.rule.planes(used.cut)
    errors, agreements, ranges = [], [], []
    for index in range(len(frames)):
        tensor = prepare_rgb(frames.read(index), height, width)
        given, actual = reference(tensor), session.run(["logits"], {"frame": tensor})[0]
        if not (np.isfinite(given[used.logits]).all() and np.isfinite(actual).all()):
            raise GraphError("the given graph gives NaN or infinite logits. Next: check its weights, mean and std")
        expected = planes.of(given[used.logits])
        if expected.shape != actual.shape:
            raise ParityError(f"the adopted graph gives {actual.shape}, the given one {expected.shape}")
        spread = float(np.ptp(given[used.logits]))
        difference = float(np.abs(expected - actual).max())
        errors.append(difference / spread if spread else difference)
        ranges.append(spread)
        labels = upsample_argmax(actual, height, width, used.coordinates)
        agreements.append(source.agreement(given, labels, used))
    if not errors:
        raise ParityError("no images to compare the adopted graph on")
    return max(errors), float(np.mean(agreements)), min(ranges)
