"""The report of an INT8 build, as a record and as a page, and the check of the budget."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from calibration.onnx_graph.file import load_graph
from calibration.onnx_graph.node import name_of
from calibration.qdq.quantization_config import FLOAT, INT8
from calibration.report.page import write_page
from calibration.report.pictures import WorstPicture
from calibration.report.text import curve_lines, points
from calibration.results import PAGE_FILE, REPORT_FILE, ImageReport, Int8Report, LayerReport
from calibration.search.accuracy import drop_interval, drop_points, graph_runner, worst_images
from edge.console import Say
from edge.errors import AccuracyBudgetError
from edge.frames import SyntheticFrames
from edge.labels import palette_for
from edge.records import write_record
from export.pipeline.accuracy_target import AccuracyTarget
from export.pipeline.int8 import Int8Graph
from export.pipeline.verify import MeasuredEngine

WORST_IMAGES = 4


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
    outcome, images, budget = int8.outcome, target.images, target.budget
    calibrated, contract = int8.calibrated, int8.calibrated.graph.contract
    before, engine = images.float_labels, measured.labels if measured is not None else None
    interval = drop_interval(before, outcome.labels)
    is_met = None
    if budget.is_enforced:
        is_met = outcome.is_met and (engine is None or budget.holds(drop_points(before, engine), engine.agreement))
    worst = worst_images(outcome.labels, WORST_IMAGES)
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
        is_met=is_met,
        drop_points=drop_points(before, outcome.labels),
        drop_low=interval[0] if interval else None,
        drop_high=interval[1] if interval else None,
        float_figures=before.figures(contract.class_names),
        simulated=outcome.labels.figures(contract.class_names),
        engine=engine.figures(contract.class_names) if engine is not None else None,
        int8_mac_share=outcome.quantized.int8_mac_share,
        recipe=outcome.config.sentence(),
        steps=outcome.steps,
        layers=_layers(int8, measured.layer_ms if measured is not None else {}),
        worst_images=tuple(
            ImageReport(images.frames.names[index], index, float(outcome.labels.agreements[index])) for index in worst
        ),
        warnings=calibrated.warnings,
        notes=(*int8.notes, *(measured.notes if measured is not None else ())),
        decision=contract.decision_sentence(),
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
    if report.is_met is not False:
        return
    for line in curve_lines(report):
        say(line)
    budget, has_truth = target.budget, report.drop_points is not None
    cost = (
        f"costs {points(report.drop_points, budget.max_drop_points)} points of mIoU"
        if has_truth
        else f"changes {100 * (1 - report.simulated.label_agreement):.2f} % of labels"
    )
    if int8.outcome.is_met:
        cost = f"holds the budget when simulated exactly, but the engine itself does not ({_engine_cost(report)})"
    time = ", and time ended the search" if int8.outcome.is_out_of_time else ""
    option = "--max-miou-drop" if has_truth else "--max-label-change"
    next_step = f"--search-minutes for a longer search, {option} for a larger budget, or --fp16"
    if report.images_from == SyntheticFrames.DESCRIPTION:
        next_step = "--data-dir FOLDER or --images FOLDER: drawn scenes say little of a trained network; or --fp16"
    raise AccuracyBudgetError(
        f"INT8 of {report.network} {cost} on {report.image_count} images of {report.images_from}, the budget is "
        f"{budget.sentence()}{time}; no engine was kept, see {folder / PAGE_FILE}. Next: {next_step}"
    )


def _engine_cost(report: Int8Report) -> str:
    if report.engine.miou is None or report.float_figures.miou is None:
        return f"{100 * (1 - report.engine.label_agreement):.2f} % of labels changed"
    return f"{100 * (report.float_figures.miou - report.engine.miou):.3f} points of mIoU lost"


def _layers(int8: Int8Graph, layer_ms: dict[str, tuple[float, float]]) -> tuple[LayerReport, ...]:
    """Return reports on the layers with multiply-adds or a measured sensitivity, in the order of the graph."""
    outcome = int8.outcome
    weighted = {layer.name: layer for layer in outcome.quantized.layers}
    layers = []
    for node in load_graph(int8.calibrated.graph.path).graph.node:
        name = name_of(node)
        sensitivity = outcome.sensitivities.get(name)
        layer = weighted.get(name)
        if layer is None:
            if sensitivity is None:
                continue
            reason = outcome.config.float_layers.get(name, "")
            layer = LayerReport(name, node.op_type, 0, FLOAT if reason else INT8, reason)
        int8_ms, float_ms = layer_ms.get(name, (None, None))
        layers.append(
            dataclasses.replace(
                layer,
                output_error=sensitivity.output_error if sensitivity else None,
                label_change=sensitivity.label_change if sensitivity else None,
                int8_ms=int8_ms,
                float_ms=float_ms,
            )
        )
    return tuple(layers)


def _pictures(int8: Int8Graph, target: AccuracyTarget, worst: list[int]) -> tuple[Any, ...]:
    """Return the images with the least agreement, with the labels of the float and the quantised graph."""
    contract, images = int8.calibrated.graph.contract, target.images
    pictures = []
    with graph_runner(int8.outcome.quantized.data, contract, exact=True) as runner:
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
                    palette_rgb=palette_for(contract.class_names),
                )
            )
    return tuple(pictures)
