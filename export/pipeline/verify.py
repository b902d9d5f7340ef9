"""The measurement of an engine before it is kept: its labels against the float graph's, and its layer times."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

from calibration.budget.limits import Budget, judgement_words
from calibration.budget.set_labels import SetLabels
from calibration.qdq.quantization_config import INT8
from calibration.search.accuracy import AccuracySet, graph_runner
from edge.artifacts import write_bytes
from edge.card import CARD_FILE, BuildCheck, EngineCard
from edge.errors import ParityError
from edge.machine import this_machine
from edge.machine_load import LoadWatch, MachineLoad
from edge.provenance import RANDOM
from edge.records import write_record
from edge.runtime import open_engine
from edge.segmenter import uncertainty_output
from export.backends.engine import BuiltEngine
from export.pipeline.accuracy_target import AccuracyTarget
from export.pipeline.batched_runner import BatchedRunner
from export.pipeline.engine_graph import EngineGraph
from export.pipeline.layer_times import ROUNDS, RUNS, TimedPair, compare_times

LEAST_FLOAT_AGREEMENT = 0.9
LEAST_LOOSE_AGREEMENT = 0.5

_HEAVY_MULTIPLY_ADDS = 50_000_000_000
"""Multiply-adds of a network that takes seconds for a frame on a CPU: fewer runs time it well enough."""


@dataclass(frozen=True)
class MeasuredEngine:
    """An engine with the labels that it gave on the accuracy images.

    `measure_engine` makes it. `publish` keeps it, or refuses it with a report.

    Attributes:
        folder: folder that the engine was measured in, which is deleted after the build.
        engine: engine in memory.
        card: card of the engine, with the figures.
        labels: labels that the engine gave on the accuracy images.
        layer_ms: name of a layer -> its times in the INT8 and in the float graph, as far as they are known.
        notes: sentences about the times, for the report.
        load: load of the machine while layers were timed; None where none were, or where the system does not count it.
    """

    folder: Path
    engine: BuiltEngine
    card: EngineCard
    labels: SetLabels
    layer_ms: dict[str, TimedPair] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    load: MachineLoad | None = None


def measure_engine(
    engine: BuiltEngine, card: EngineCard, source: EngineGraph, target: AccuracyTarget, folder: Path
) -> MeasuredEngine:
    """Write an engine with its card to a folder, run it there, and measure it.

    Args:
        engine: engine in memory.
        card: card of the engine, without figures.
        source: graph that the engine was built from.
        target: images that the engine is measured on, and its budget.
        folder: path of an empty folder.

    Raises:
        ParityError: the engine computes something else than its graph.
    """
    write_bytes(folder / card.engine_file, engine.data)
    write_record(folder / CARD_FILE, card)
    card, labels = check_engine(folder, card, source, target)
    require_agreement(card, target.budget)
    if source.simulated is None or card.backend != "onnxruntime":
        return MeasuredEngine(folder, engine, card, labels)
    watch = LoadWatch()
    layer_ms, note = _times(source, target.images)
    return MeasuredEngine(folder, engine, card, labels, layer_ms, (note,), watch.load())


def check_engine(
    folder: Path, card: EngineCard, source: EngineGraph, target: AccuracyTarget
) -> tuple[EngineCard, SetLabels]:
    """Run an engine on the accuracy images, and add the figures to its card.

    Args:
        folder: folder of the engine.
        card: card of the engine.
        source: graph that the engine was built from.
        target: accuracy images, and the budget of the engine.

    Returns:
        The card with the figures, and the labels that the engine gave.
    """
    images = target.images
    runner, _ = open_engine(folder)
    notes, batch = card.notes, runner.contract.batch
    if batch != 1:
        runner = BatchedRunner(runner)
        if card.backend == "tensorrt":
            notes += (
                f"checked in full batches of {batch} frames that the CPU prepares and labels: the CUDA kernels had no "
                "part in it",
            )
    labels = images.evaluate(runner, "check the engine")
    cost, simulated = images.cost(labels, source.confidence), source.simulated
    verdict = target.budget.judge(cost)
    check = BuildCheck(
        image_count=len(images.frames),
        images_from=images.frames.description,
        label_agreement=labels.agreement,
        miou_float=images.float_labels.miou(),
        miou_engine=labels.miou(),
        drop_low=cost.drop_low,
        drop_high=cost.drop_high,
        miou_simulated=simulated.miou() if simulated is not None else None,
        label_agreement_simulated=simulated.agreement if simulated is not None else None,
        verdict=verdict.state if verdict.judgements else None,
        worst=judgement_words(verdict.worst) if verdict.worst is not None else "",
    )
    if uncertainty_output(card.contract) is not None:
        again = images.evaluate(graph_runner(source.graph.path, card.contract), "float graph, drawn anew")
        notes += (
            "samples are drawn anew in every call: the float graph agrees with itself on "
            f"{100 * again.agreement:.2f} % of pixels",
        )
    return dataclasses.replace(card, check=check, notes=notes), labels


def require_agreement(card: EngineCard, budget: Budget) -> None:
    """Refuse an engine that computes something else than its graph; the cost of INT8 is left to the budget.

    A float engine differs from the float graph where two classes are equal to the last digits. Of an INT8 engine
    without a budget, and of a network that draws samples, half of the labels still have to be the float graph's: a
    kernel that overflows, or an output in another order, leaves far less. Labels of random weights mean nothing.

    Raises:
        ParityError: too few labels are equal to the float graph's.
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


def _times(source: EngineGraph, images: AccuracySet) -> tuple[dict[str, TimedPair], str]:
    """Measure the time of every layer in INT8 and in float, and of both networks as a whole, with ONNX Runtime.

    Returns:
        Name of a layer -> its times, and a sentence about the whole networks.
    """
    contract, float_graph = source.graph.contract, source.graph.path.read_bytes()
    work = sum(layer.multiply_adds for layer in source.layers)
    layer_ms, whole = compare_times(
        source.data, float_graph, contract, images.frames, RUNS if work < _HEAVY_MULTIPLY_ADDS else 1
    )
    return layer_ms, _whole_sentence(whole)


def _whole_sentence(whole: TimedPair) -> str:
    """Return a sentence about the time of both networks, with the range of the rounds."""
    int8_ms, float_ms = whole.medians_ms()
    (int8_low, int8_high), (float_low, float_high) = whole.ranges_ms()
    comparison = "some rounds of both took as long, so neither is called faster"
    if whole.is_told_apart():
        comparison = f"{float_ms / int8_ms:.2f} times faster" if int8_ms < float_ms else "slower"
    return (
        f"the network takes {int8_ms:.1f} ms in INT8 ({int8_low:.1f} to {int8_high:.1f}) and {float_ms:.1f} ms in "
        f"float32 ({float_low:.1f} to {float_high:.1f}) on this CPU ({this_machine().cpu}, ONNX Runtime), in {ROUNDS} "
        f"rounds that took turns: {comparison}"
    )
