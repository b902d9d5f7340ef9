"""The report of an INT8 build, as a record and as a page, and the check of the budget."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from calibration.budget.limits import Verdict, judgement_words, unseen_classes
from calibration.images.manifest import skipped_sentences
from calibration.onnx_graph.file import load_graph
from calibration.onnx_graph.node import name_of
from calibration.qdq.quantization_config import FLOAT, INT8
from calibration.report.page import write_page
from calibration.report.pictures import WorstPicture
from calibration.report.text import curve_lines
from calibration.results import EXCEEDED, PAGE_FILE, REPORT_FILE, ImageReport, Int8Report, LayerReport
from calibration.search.accuracy import graph_runner, worst_images
from edge.console import Say
from edge.errors import AccuracyBudgetError
from edge.frames import DatasetFrames, SyntheticFrames
from edge.records import write_record
from export.pipeline.accuracy_target import AccuracyTarget
from export.pipeline.int8 import Int8Graph
from export.pipeline.layer_times import TimedPair
from export.pipeline.verify import MeasuredEngine

WORST_IMAGES = 4

_SHOWN_JUDGEMENTS = 3


def write_int8_report(
    folder: Path, int8: Int8Graph, target: AccuracyTarget, backend: str, measured: MeasuredEngine | None
) -> Int8Report:
    """Write the record int8-report.json and its page.

    Args:
        folder: folder that both files are written to.
        int8: quantised graph, and the search that found it.
        target: accuracy images, and the budget of the graph.
        backend: name of the backend that the graph is for.
        measured: engine of the graph; None where the simulation exceeded the budget, and no engine was built.

    Returns:
        The report, as it was written.
    """
    judged, images, budget = int8.judged, target.images, target.budget
    calibrated, contract = int8.calibrated, int8.calibrated.graph.contract
    before, engine = images.float_labels, measured.labels if measured is not None else None
    cost = judged.cost if engine is None else images.cost(engine, judged.cost.confidence)
    verdict = budget.judge(cost)
    worst = worst_images(judged.labels, WORST_IMAGES)
    report = Int8Report(
        network=f"{contract.model} ({contract.dataset}, {contract.height}x{contract.width})",
        backend=backend,
        weights=contract.weights.sentence(),
        graph_sha256=contract.graph_sha256,
        ranges_sha256=calibrated.ranges_sha256,
        images_from=images.frames.description,
        image_count=len(images.frames),
        max_drop_points=budget.max_drop_points,
        min_agreement=budget.min_agreement,
        budget=budget.sentence(),
        verdict=verdict.state if budget.is_enforced else None,
        judgements=verdict.judgements,
        drop_points=judged.cost.drop_points,
        drop_low=judged.cost.drop_low,
        drop_high=judged.cost.drop_high,
        float_figures=before.figures(contract.class_names),
        simulated=judged.labels.figures(contract.class_names),
        engine=engine.figures(contract.class_names) if engine is not None else None,
        cost=cost,
        unseen_classes=unseen_classes(cost),
        search_images=_search_images(target) if judged.search is not None else "",
        int8_mac_share=judged.quantized.int8_mac_share,
        recipe=judged.config.sentence(),
        looks=judged.looks,
        steps=judged.search.steps if judged.search is not None else (),
        layers=_layers(int8, measured.layer_ms if measured is not None else {}),
        worst_images=tuple(
            ImageReport(images.frames.names[index], index, float(judged.labels.agreements[index])) for index in worst
        ),
        warnings=(*target.warnings, *calibrated.warnings, *_judging_warnings(target)),
        notes=(*int8.notes, *(measured.notes if measured is not None else ())),
        float_doubts=target.warnings,
        decision=contract.decision_sentence(),
        load=measured.load if measured is not None else None,
        search_sees_judging_images=judged.search is not None and target.search_images is None,
        skipped_images=_skipped_images(int8, target),
    )
    write_record(folder / REPORT_FILE, report)
    write_page(folder / PAGE_FILE, report, _pictures(int8, target, worst))
    return report


def require_budget(report: Int8Report, int8: Int8Graph, target: AccuracyTarget, folder: Path, say: Say) -> None:
    """Refuse a graph that exceeds the budget, and print the accuracy that each share of INT8 costs.

    Args:
        report: report on the accuracy that INT8 costs.
        int8: quantised graph, and the search that found it.
        target: accuracy images, and the budget of the graph.
        folder: folder of the report, which the message names.
        say: function that is called with each line of the table.

    Raises:
        AccuracyBudgetError: INT8 costs more than the budget.
    """
    if report.verdict != EXCEEDED:
        return
    for line in curve_lines(report):
        say(line)
    search = int8.judged.search
    over = [judgement_words(each) for each in Verdict(report.judgements).of_state(EXCEEDED)]
    cost = "; ".join(over[:_SHOWN_JUDGEMENTS])
    if len(over) > _SHOWN_JUDGEMENTS:
        cost += f"; and {len(over) - _SHOWN_JUDGEMENTS} more"
    if not int8.judged.is_over_budget:
        cost = f"holds the budget when simulated exactly, but the engine itself does not ({cost})"
    time = ", and time ended the search" if search is not None and search.is_out_of_time else ""
    raise AccuracyBudgetError(
        f"INT8 of {report.network} is over its budget on {report.image_count} images of {report.images_from}: {cost}"
        f"{time}; no engine was kept, see {folder / PAGE_FILE}. Next: {_next_step(report)}"
    )


def _next_step(report: Int8Report) -> str:
    """Return what the user can do about a budget that is exceeded."""
    if report.images_from == SyntheticFrames.DESCRIPTION:
        return "--data-dir FOLDER or --images FOLDER: drawn scenes say little of a trained network; or --fp16"
    costs = [step.cost for step in report.steps if step.cost is not None]
    seen = {each.name for cost in costs for each in cost.classes if each.float_share > 0}
    unseen = [name for name in Verdict(report.judgements).lost_classes if costs and name not in seen]
    if unseen:
        return f"calibration images that show {', '.join(unseen)}, of which the search has none; or --fp16"
    option = "--max-miou-drop" if report.drop_points is not None else "--max-label-change"
    if any(each.class_name and each.state == EXCEEDED for each in report.judgements):
        option += ", --max-class-drop or --class-budget"
    return f"--search-minutes for a longer search, {option} for a larger budget, or --fp16"


def _search_images(target: AccuracyTarget) -> str:
    images = target.search_images
    if images is None:
        return f"the judging images, {target.images.frames.description}: there are no others"
    return f"{len(images.frames)} of {images.frames.description}, which calibrate or are held out from the judging ones"


def _judging_warnings(target: AccuracyTarget) -> tuple[str, ...]:
    # The user's own pictures are one folder, of which the calibration images say it already.
    frames = target.images.frames
    return skipped_sentences(frames.skipped, frames.description) if isinstance(frames, DatasetFrames) else ()


def _skipped_images(int8: Int8Graph, target: AccuracyTarget) -> tuple[str, ...]:
    manifest = int8.calibrated.manifest
    left_out = {*target.images.frames.skipped, *(manifest.skipped if manifest is not None else ())}
    return tuple(sorted(left_out))


def _layers(int8: Int8Graph, layer_ms: dict[str, TimedPair]) -> tuple[LayerReport, ...]:
    """Return reports on the layers with multiply-adds or a measured sensitivity, in the order of the graph."""
    judged = int8.judged
    weighted = {layer.name: layer for layer in judged.quantized.layers}
    layers = []
    for node in load_graph(int8.calibrated.graph.path).graph.node:
        name = name_of(node)
        sensitivity = int8.sensitivities.get(name)
        layer = weighted.get(name)
        if layer is None:
            if sensitivity is None:
                continue
            reason = judged.config.float_layers.get(name, "")
            layer = LayerReport(name, node.op_type, 0, FLOAT if reason else INT8, reason)
        pair = layer_ms.get(name)
        int8_ms, float_ms = pair.medians_ms() if pair is not None else (None, None)
        int8_range_ms, float_range_ms = pair.ranges_ms() if pair is not None else ((), ())
        layers.append(
            dataclasses.replace(
                layer,
                output_error=sensitivity.output_error if sensitivity else None,
                label_change=sensitivity.label_change if sensitivity else None,
                int8_ms=int8_ms,
                float_ms=float_ms,
                int8_range_ms=int8_range_ms,
                float_range_ms=float_range_ms,
            )
        )
    return tuple(layers)


def _pictures(int8: Int8Graph, target: AccuracyTarget, worst: list[int]) -> tuple[Any, ...]:
    """Return the images with the least agreement, with the labels of the float and the quantised graph."""
    contract, images = int8.calibrated.graph.contract, target.images
    pictures = []
    with graph_runner(int8.judged.quantized.data, contract, exact=True) as runner:
        for index in worst:
            frame_rgb, labels = images.labels_of(runner, index)
            pictures.append(
                WorstPicture(
                    name=images.frames.names[index],
                    frame_rgb=frame_rgb,
                    float_labels=images.float_of(index),
                    int8_labels=labels,
                    truth=images.truth_of(index),
                    class_names=contract.class_names,
                    palette_rgb=contract.painted_palette(),
                )
            )
    return tuple(pictures)
