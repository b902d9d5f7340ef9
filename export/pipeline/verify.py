"""What an engine costs in accuracy, measured before it is kept, and the report of it."""

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
from calibration.search.accuracy import (
    AccuracySet,
    Budget,
    SetLabels,
    drop_interval,
    drop_points,
    graph_runner,
    without_frames,
    worst_images,
)
from edge.card import BuildCheck, EngineCard, LayerPrecision
from edge.contract import GRAPH_FILE, Contract
from edge.datasets import Dataset
from edge.errors import AccuracyBudgetError, DatasetError, InputError, ParityError
from edge.frames import DatasetFrames, FrameSet, SyntheticFrames
from edge.labels import palette_for
from edge.provenance import RANDOM
from edge.records import write_record
from edge.runtime import open_engine
from edge.segmenter import uncertainty_output
from export.pipeline.batched_runner import BatchedRunner
from export.pipeline.int8 import Int8Graph
from export.pipeline.request import DEFAULT_DROP_POINTS, DEFAULT_LABEL_CHANGE_PERCENT, BuildPlan, BuildRequest, Say

WORST_IMAGES = 4
LEAST_FLOAT_AGREEMENT = 0.9
LEAST_LOOSE_AGREEMENT = 0.5


def open_accuracy_set(plan: BuildPlan, contract: Contract, frames: FrameSet, calibrated: frozenset[str]) -> AccuracySet:
    """Return the images that accuracy is measured on, with the float graph's labels.

    Args:
        plan: what is built.
        contract: of the float graph.
        frames: held-out frames.
        calibrated: hashes of the images that ranges were collected on; those judge nothing.

    Raises:
        DatasetError: every image calibrates, or the classes are not the network's.
    """
    if calibrated and isinstance(frames, DatasetFrames):
        unseen = without_frames(frames, calibrated)
        if not unseen:
            raise DatasetError(
                f"all {len(frames)} accuracy images of {frames.description} calibrate, expected others. "
                "Next: fewer calibration images, or those of the training split"
            )
        frames = DatasetFrames(frames.dataset, unseen) if len(unseen) < len(frames) else frames
    reference = graph_runner(plan.artifact / GRAPH_FILE, contract)
    return AccuracySet(frames, _labelled(frames, contract), reference)


def budget_of(request: BuildRequest, contract: Contract, accuracy: AccuracySet, has_kept_recipe: bool) -> Budget:
    """Return what INT8 is held to: nothing with random weights, mIoU with labels, agreement without.

    Drawn scenes are not what a network was trained for: a recipe that held its budget on real images elsewhere is not
    judged by them, unless the user gives a limit.

    Raises:
        InputError: the user limits the drop in mIoU, and there are no labels to count it by.
    """
    wanted = request.int8
    if request.precision != INT8 or contract.weights.kind == RANDOM:
        return Budget(None, None)
    if accuracy.has_truth:
        return Budget(DEFAULT_DROP_POINTS if wanted.max_drop_points is None else wanted.max_drop_points, None)
    if wanted.max_drop_points is not None:
        raise InputError(
            f"--max-miou-drop needs label maps, {accuracy.frames.description} have none. Next: --data-dir FOLDER of "
            "labelled images, or --max-label-change PERCENT"
        )
    percent = wanted.max_label_change_percent
    if percent is None and has_kept_recipe and isinstance(accuracy.frames, SyntheticFrames):
        return Budget(None, None)
    return Budget(None, 1.0 - (DEFAULT_LABEL_CHANGE_PERCENT if percent is None else percent) / 100.0)


def check_engine(
    folder: Path, plan: BuildPlan, card: EngineCard, accuracy: AccuracySet, found: Int8Graph | None
) -> tuple[EngineCard, SetLabels]:
    """Run an engine on the accuracy images, and put the figures on its card.

    Args:
        folder: of the engine.
        plan: what is built.
        card: of the engine.
        accuracy: the images.
        found: of an INT8 engine with Q/DQ, what was simulated.

    Returns:
        The card, and what the engine said.
    """
    runner, _ = open_engine(folder)
    notes, batch = card.notes, runner.contract.batch
    if batch != 1:
        runner = BatchedRunner(runner)
        if card.backend == "tensorrt":
            notes += (
                f"checked in full batches of {batch} frames that the CPU prepares and labels: the CUDA kernels had no "
                "part in it",
            )
    labels = accuracy.evaluate(runner, "check the engine")
    interval = drop_interval(accuracy.float_labels, labels)
    simulated = found.outcome.labels if found is not None else None
    check = BuildCheck(
        image_count=len(accuracy.frames),
        images_from=accuracy.frames.description,
        label_agreement=labels.agreement,
        miou_float=accuracy.float_labels.miou(),
        miou_engine=labels.miou(),
        drop_low=interval[0] if interval else None,
        drop_high=interval[1] if interval else None,
        miou_simulated=simulated.miou() if simulated is not None else None,
        label_agreement_simulated=simulated.agreement if simulated is not None else None,
    )
    if uncertainty_output(card.contract) is not None:
        again = accuracy.evaluate(graph_runner(plan.artifact / GRAPH_FILE, card.contract), "float graph, drawn anew")
        notes += (
            "samples are drawn anew in every call: the float graph agrees with itself on "
            f"{100 * again.agreement:.2f} % of pixels",
        )
    return dataclasses.replace(card, check=check, notes=notes), labels


def require_agreement(card: EngineCard, budget: Budget) -> None:
    """Refuse an engine that computes something else than its graph; what INT8 may cost is the budget's affair.

    A float engine differs from the float graph where two classes are equal to the last digits. Of an INT8 engine
    without a budget, and of a network that draws samples, half of the labels still have to be the float graph's: a
    kernel that overflows, or an output in another order, leaves far less. Labels of random weights mean nothing.

    Raises:
        ParityError: too few labels are the float graph's.
    """
    contract, check = card.contract, card.check
    if contract.weights.kind == RANDOM or budget.is_enforced:
        return
    is_loose = card.precision == INT8 or uncertainty_output(contract) is not None
    least = LEAST_LOOSE_AGREEMENT if is_loose else LEAST_FLOAT_AGREEMENT
    if check.label_agreement >= least:
        return
    step = "--fp16" if card.precision == INT8 else "float32" if card.precision == "float16" else "--backend onnxruntime"
    raise ParityError(
        f"the {card.precision} engine of {contract.model} by {card.backend} {card.backend_version} gives the float "
        f"graph's labels on {100 * check.label_agreement:.2f} % of pixels ({check.image_count} images of "
        f"{check.images_from}), expected at least {100 * least:g} %; no engine was kept. Next: {step}"
    )


def layer_precisions(found: Int8Graph) -> tuple[LayerPrecision, ...]:
    """Return what the card says of every layer with multiply-adds."""
    return tuple(
        LayerPrecision(layer.name, layer.operator, layer.multiply_adds, layer.precision, layer.reason)
        for layer in found.outcome.quantized.layers
    )


def write_int8_report(
    folder: Path,
    plan: BuildPlan,
    contract: Contract,
    accuracy: AccuracySet,
    found: Int8Graph,
    budget: Budget,
    engine: SetLabels | None,
    warnings: tuple[str, ...],
    layer_ms: dict[str, tuple[float, float]],
) -> Int8Report:
    """Write int8-report.json and its page.

    Args:
        folder: where to.
        plan: what is built.
        contract: of the float graph.
        accuracy: the images.
        found: the quantised graph, and how it was found.
        budget: what it was held to.
        engine: what the engine said; None if there is none.
        warnings: about ranges and images.
        layer_ms: layer -> its milliseconds in the INT8 and in the float engine, as far as they are known.

    Returns:
        The report.
    """
    outcome, before = found.outcome, accuracy.float_labels
    interval = drop_interval(before, outcome.labels)
    is_met = None
    if budget.is_enforced:
        is_met = outcome.is_met and (engine is None or budget.holds(drop_points(before, engine), engine.agreement))
    worst = worst_images(outcome.labels, WORST_IMAGES)
    report = Int8Report(
        network=f"{contract.model} ({contract.dataset}, {contract.height}x{contract.width})",
        backend=plan.backend,
        weights=contract.weights.sentence(),
        graph_sha256=contract.graph_sha256,
        ranges_sha256=found.ranges_sha256,
        images_from=accuracy.frames.description,
        image_count=len(accuracy.frames),
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
        recipe=outcome.recipe.sentence(),
        steps=outcome.steps,
        layers=_layers(plan, found, layer_ms),
        worst_images=tuple(
            ImageReport(accuracy.frames.names[index], index, float(outcome.labels.agreements[index])) for index in worst
        ),
        warnings=warnings,
        notes=found.notes,
    )
    write_record(folder / REPORT_FILE, report)
    write_page(folder / PAGE_FILE, report, _pictures(contract, accuracy, found, worst))
    return report


def require_budget(report: Int8Report, budget: Budget, found: Int8Graph, folder: Path, say: Say) -> None:
    """Refuse what is over the budget, with the curve of cost against share of INT8.

    Raises:
        AccuracyBudgetError: it is.
    """
    if report.is_met is not False:
        return
    for line in curve_lines(report):
        say(line)
    has_truth = report.drop_points is not None
    cost = (
        f"costs {points(report.drop_points, budget.max_drop_points)} points of mIoU"
        if has_truth
        else f"changes {100 * (1 - report.simulated.label_agreement):.2f} % of labels"
    )
    if found.outcome.is_met:
        cost = f"holds the budget when simulated exactly, but the engine itself does not ({_engine_cost(report)})"
    time = ", and time ended the search" if found.outcome.is_out_of_time else ""
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


def _labelled(frames: FrameSet, contract: Contract) -> Dataset | None:
    """Return the dataset behind frames if its labels say something about the network."""
    if not isinstance(frames, DatasetFrames) or contract.weights.kind == RANDOM:
        return None
    chosen = frames.chosen()
    if any(sample.label_path is None for sample in chosen.samples):
        return None
    if chosen.table.class_names != contract.class_names:
        raise DatasetError(
            f"{chosen.name} has {chosen.table.class_count} classes, the network has "
            f"{len(contract.class_names)} of {contract.dataset}, expected the same"
        )
    return chosen


def _layers(plan: BuildPlan, found: Int8Graph, layer_ms: dict[str, tuple[float, float]]) -> tuple[LayerReport, ...]:
    outcome = found.outcome
    weighted = {layer.name: layer for layer in outcome.quantized.layers}
    layers = []
    for node in load_graph(plan.artifact / GRAPH_FILE).graph.node:
        name = name_of(node)
        sensitivity = outcome.sensitivities.get(name)
        layer = weighted.get(name)
        if layer is None:
            if sensitivity is None:
                continue
            reason = outcome.recipe.float_layers.get(name, "")
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


def _pictures(contract: Contract, accuracy: AccuracySet, found: Int8Graph, worst: list[int]) -> tuple[Any, ...]:
    pictures = []
    with graph_runner(found.outcome.quantized.data, contract, exact=True) as runner:
        for index in worst:
            frame_rgb, labels = accuracy.labels_of(runner, index)
            pictures.append(
                WorstPicture(
                    name=accuracy.frames.names[index],
                    frame_rgb=frame_rgb,
                    float_labels=accuracy.float_of(index),
                    int8_labels=labels,
                    truth=accuracy.truth_of(index),
                    class_names=contract.class_names,
                    palette_rgb=palette_for(contract.class_names),
                )
            )
    return tuple(pictures)
