"""Sentences of an INT8 report: the verdict, and the lines that a command prints."""

from __future__ import annotations

import math

from calibration.budget.intervals import LEAST_IMAGES
from calibration.budget.limits import Verdict, drop_words, judgement_words, points
from calibration.qdq.quantization_config import FLOAT, INT8
from calibration.results import (
    EXCEEDED,
    HELD,
    NOT_SHOWN,
    Int8Report,
    Judgement,
    LayerReport,
    SearchStep,
    are_told_apart,
)
from edge.page.svg import shortened
from edge.provenance import RANDOM

MOST_SENSITIVE = 5
"""Number of sensitive layers that the summary lists."""

MOST_FLOAT = 12
"""Number of float layers that the summary lists with their reasons."""

MOST_JUDGEMENTS = 4
"""Number of judgements that a sentence names."""

_LONGEST_NAME = 48
"""Characters of a layer's name in a sentence; the table of layers has it whole."""

OVER = "over"
"""Word for a step that exceeds the budget, beside HELD and NOT_SHOWN."""

MET, UNSURE, MISSED, OPEN = "met", "not shown", "missed", "open"

_VERDICTS = {HELD: MET, NOT_SHOWN: UNSURE, EXCEEDED: MISSED, None: OPEN}


def verdict(report: Int8Report) -> str:
    """Return MET, UNSURE, MISSED, or OPEN: nothing was enforced, or the float network is implausible itself."""
    if report.verdict == HELD and report.float_doubts:
        return OPEN
    return _VERDICTS[report.verdict]


def verdict_words(report: Int8Report) -> str:
    """Return the headline that says whether the budget holds."""
    if report.verdict == HELD and report.float_doubts:
        return "Accuracy budget met, but the float network itself is implausible"
    if report.verdict == NOT_SHOWN:
        return "Accuracy budget not shown to hold: too few images"
    if report.verdict is not None:
        return f"Accuracy budget {verdict(report)}"
    if is_random(report):
        return "No accuracy budget enforced: with random weights only speed means anything"
    return "No accuracy budget enforced"


def is_random(report: Int8Report) -> bool:
    """Return whether the network has random weights, by the sentence of its provenance."""
    return report.weights.startswith(RANDOM)


def result_sentence(report: Int8Report) -> str:
    """Return one sentence that says how much accuracy was lost and how much was allowed."""
    if report.drop_points is None:
        lost = f"{percent(report.simulated.label_agreement)} of pixels keep the label of the float network"
        allowed = f"; the budget asks for {percent(report.min_agreement)}" if report.min_agreement is not None else ""
        return f"{lost}{allowed}."
    budget = report.max_drop_points
    lost = f"{drop_words(report.drop_points, budget)}{_in_brackets(interval_words(report))}"
    allowed = f"; the budget allows {points(budget)}" if budget is not None else ""
    return f"{lost}{allowed}."


def interval_words(report: Int8Report) -> str:
    """Return the interval of the drop in words; "" where there is none."""
    if report.drop_low is None or report.drop_high is None:
        return ""
    confidence = f"{100 * report.cost.confidence:.3g} %"
    return f"{confidence} interval {points(report.drop_low)} to {points(report.drop_high)}"


def class_sentence(report: Int8Report) -> str:
    """Return a sentence about the classes that exceed their limits, or about the one that comes closest to one."""
    of_classes = [each for each in report.judgements if each.class_name]
    over = [judgement_words(each) for each in Verdict(tuple(of_classes)).of_state(EXCEEDED)]
    if over:
        return f"Over the limit of a class: {_some(over)}."
    worst = Verdict(tuple(of_classes)).worst
    return f"Closest to the limit of a class: {judgement_words(worst)}." if worst is not None else ""


def doubt_sentence(report: Int8Report) -> str:
    """Return a sentence about what the images are too few to show, with the number that would do; else ""."""
    unsure = Verdict(report.judgements).of_state(NOT_SHOWN)
    if not unsure:
        return ""
    needed = [each.images_needed for each in unsure if each.images_needed is not None]
    more = f"; some {max(needed)} images of this kind would do" if needed else ""
    if len(needed) < len(unsure) and needed:
        more += " for those that can be told"
    named = [f"{each.class_name or 'the network'} ({_doubt(each)})" for each in unsure]
    count = "1 image is" if report.image_count == 1 else f"{report.image_count} images are"
    return f"{count} too few to show it for {_some(named)}{more}."


def unseen_sentence(report: Int8Report) -> str:
    """Return a sentence about the classes that the float network itself does not find; "" where it finds all."""
    if not report.unseen_classes:
        return ""
    return f"The float network itself does not see {', '.join(report.unseen_classes)}: neither can INT8."


def _doubt(judgement: Judgement) -> str:
    if judgement.value is None:
        return f"not seen by the float network on them, at most {judgement.limit:g} {judgement.measure}"
    if judgement.high is None:
        return f"{judgement.value:.2f} {judgement.measure}, on fewer than {LEAST_IMAGES} images"
    return f"{judgement.value:.2f}, up to {judgement.high:.2f} {judgement.measure}, at most {judgement.limit:g}"


def _some(parts: list[str]) -> str:
    return "; ".join(parts[:MOST_JUDGEMENTS]) + (
        f"; and {len(parts) - MOST_JUDGEMENTS} more" if len(parts) > MOST_JUDGEMENTS else ""
    )


def engine_sentence(report: Int8Report) -> str:
    """Return a sentence if the engine exceeds a budget that the simulation holds; else ""."""
    # No engine is built of a graph whose simulation is over the budget.
    if report.engine is None or report.verdict != EXCEEDED:
        return ""
    worst = Verdict(report.judgements).worst
    return f"The simulation holds the budget, the engine itself does not: {judgement_words(worst)}."


def engine_drop(report: Int8Report) -> float | None:
    """Return the mIoU that the engine itself loses, in points; None without an engine or labels."""
    if report.engine is None or report.engine.miou is None or report.float_figures.miou is None:
        return None
    return 100 * (report.float_figures.miou - report.engine.miou)


def slower_layers(report: Int8Report) -> list[LayerReport]:
    """Return the INT8 layers that take longer than in float by any round, the largest loss of time first."""
    slower = [
        layer
        for layer in report.layers
        if layer.precision == INT8 and (speed_up(layer) or math.inf) < 1 and is_told_apart(layer)
    ]
    return sorted(slower, key=lambda layer: layer.float_ms - layer.int8_ms)


def slower_sentence(report: Int8Report) -> str:
    """Return sentences that say where INT8 is slower than float, in total and by layer; "" where it is not."""
    timed = [layer for layer in report.layers if layer.int8_ms is not None and layer.float_ms is not None]
    here, in_float = sum(layer.int8_ms for layer in timed), sum(layer.float_ms for layer in timed)
    sentences = []
    # Where rounds differ by more than the sums do, a busy moment made the difference.
    least = sum(layer.int8_range_ms[0] if layer.int8_range_ms else layer.int8_ms for layer in timed)
    most = sum(layer.float_range_ms[1] if layer.float_range_ms else layer.float_ms for layer in timed)
    if here > in_float and least > most:
        sentences.append(
            f"INT8 is slower than float on this machine: {here:.2f} ms against {in_float:.2f} ms "
            f"in the {len(timed)} layers that were timed."
        )
    slower = slower_layers(report)
    if slower:
        sentences.append(f"Layers that are slower in INT8 than in float: {layer_names(slower)}.")
    return " ".join(sentences)


def speed_up(layer: LayerReport) -> float | None:
    """Return how many times faster a layer is than in the float engine; None where a time is not known."""
    if not layer.int8_ms or layer.float_ms is None:
        return None
    return layer.float_ms / layer.int8_ms


def disturbed_sentence(report: Int8Report) -> str:
    """Return what spoiled the times of the layers, and the remedy; "" where nothing is known to."""
    said = report.load.disturbance() if report.load is not None else ""
    return f"times of layers are {said}" if said else ""


def is_told_apart(layer: LayerReport) -> bool:
    """Return whether the times of a layer in both engines have no value in common, or their ranges are not known."""
    ranges = (layer.int8_range_ms, layer.float_range_ms)
    return are_told_apart(*ranges) if all(ranges) else True


def speed_words(layer: LayerReport) -> str:
    """Return the speed-up of a layer with its range, such as "2.10x (1.80 to 2.40)"; "-" where it is not known.

    The range goes from the shortest time in float over the longest in INT8 to the longest over the shortest.
    """
    ratio = speed_up(layer)
    if ratio is None:
        return "-"
    if not (layer.int8_range_ms and layer.float_range_ms and layer.int8_range_ms[0]):
        return f"{ratio:.2f}x"
    low, high = (
        layer.float_range_ms[0] / layer.int8_range_ms[1],
        layer.float_range_ms[1] / layer.int8_range_ms[0],
    )
    return f"{ratio:.2f}x ({low:.2f} to {high:.2f})"


def ranked_layers(report: Int8Report) -> list[LayerReport]:
    """Return the layers whose sensitivity was measured, the one that changes most labels first."""
    measured = [layer for layer in report.layers if layer.label_change is not None or layer.output_error is not None]
    return sorted(measured, key=lambda layer: (-_or_least(layer.label_change), -_or_least(layer.output_error)))


def layer_names(layers: list[LayerReport], most: int = 5) -> str:
    """Return a list of layers as text: the names of the first few, shortened if long, and how many more there are."""
    named = ", ".join(shortened(layer.name, _LONGEST_NAME) for layer in layers[:most])
    return f"{named} and {len(layers) - most} more" if len(layers) > most else named


def summary_lines(report: Int8Report) -> list[str]:
    """Return a summary of an INT8 report in a few lines, for the output of a command.

    Returns:
        Verdict, figures, the most sensitive layers, and the float layers with their reasons.
    """
    lines = [f"{verdict_words(report)}. {result_sentence(report)}", _figures_line(report)]
    lines[1:1] = [f"warning: {_one_line(sentence)}" for sentence in report.float_doubts]
    sentences = (unseen_sentence(report), class_sentence(report), doubt_sentence(report), engine_sentence(report))
    lines += [sentence for sentence in sentences if sentence]
    lines.append(f"INT8 in {percent(report.int8_mac_share)} of multiply-adds: {_one_line(report.recipe)}")
    ranked = ranked_layers(report)[:MOST_SENSITIVE]
    if ranked:
        lines.append("most sensitive layers, each alone in INT8:")
        lines += [f"  {_sensitivity_words(layer):32} {_one_line(layer.name)} ({layer.precision})" for layer in ranked]
    kept = [layer for layer in report.layers if layer.precision == FLOAT]
    if kept:
        lines.append(f"float layers, {len(kept)} of {len(report.layers)}:")
        lines += [f"  {_one_line(layer.name)}: {_one_line(layer.reason) or '-'}" for layer in kept[:MOST_FLOAT]]
    if len(kept) > MOST_FLOAT:
        lines.append(f"  and {len(kept) - MOST_FLOAT} more, which the report lists")
    if slower_sentence(report):
        lines.append(_one_line(slower_sentence(report)))
    if disturbed_sentence(report):
        lines.append(f"warning: {disturbed_sentence(report)}")
    return lines


def curve_lines(report: Int8Report) -> list[str]:
    """Return a table in plain text: the accuracy that each evaluated share of INT8 costs.

    Returns:
        Lines of the table: a head, a line for each step with the largest share first, and the step that came closest to
        the budget.
    """
    steps = report.steps or report.looks
    if not steps:
        return ["no quantised graph was evaluated"]
    lines = ["   INT8 share   drop, points   labels kept      budget   step"]
    numbered = list(enumerate(steps, 1))
    for number, step in sorted(numbered, key=lambda pair: (-pair[1].int8_mac_share, step_cost(report, pair[1]))):
        lost = "-" if step.drop_points is None else points(step.drop_points, report.max_drop_points)
        lines.append(
            f"{percent(step.int8_mac_share):>13}   {lost:>12}   {percent(step.label_agreement):>11}   "
            f"{budget_word(report, step):>9}   {number}: {_one_line(step.what)}"
        )
    if report.verdict is not None and not any(step.within_budget for step in steps):
        number, step = min(numbered, key=lambda pair: (step_cost(report, pair[1]), -pair[1].int8_mac_share))
        cost = (
            drop_words(step.drop_points, report.max_drop_points)
            if step.drop_points is not None
            else f"{percent(step.label_agreement)} label agreement"
        )
        worst = f"; worst is {_one_line(step.worst)}" if step.worst else ""
        lines.append(f"closest to the budget: step {number}, {cost}, {percent(step.int8_mac_share)} in INT8{worst}")
    return lines


def budget_word(report: Int8Report, step: SearchStep) -> str:
    """Return "held", "not shown" or "over", by the images that the step was evaluated on; "-" without a budget."""
    if report.verdict is None:
        return "-"
    if step.verdict == EXCEEDED or (step.verdict is None and not step.within_budget):
        return OVER
    return NOT_SHOWN if step.verdict == NOT_SHOWN else HELD


def step_cost(report: Int8Report, step: SearchStep) -> float:
    """Return the cost of a step: points of mIoU where the report has labels, else changed labels in percent."""
    if report.drop_points is None:
        return 100 * (1 - step.label_agreement)
    return math.inf if step.drop_points is None else step.drop_points


def percent(share: float, digits: int = 2) -> str:
    """Format a share of 0 to 1 in percent; a share that is not exactly 0 or 1 is never shown as 0 % or 100 %."""
    smallest = 10.0**-digits
    text = f"{100 * share:.{digits}f}"
    if share > 0 and float(text) == 0:
        return f"< {smallest:.{digits}f} %"
    if share < 1 and float(text) == 100:
        return f"> {100 - smallest:.{digits}f} %"
    return f"{text} %"


def _figures_line(report: Int8Report) -> str:
    before, after, engine = report.float_figures, report.simulated, report.engine
    parts = [f"{percent(after.label_agreement)} label agreement simulated"]
    if engine is not None:
        parts.append(f"{percent(engine.label_agreement)} in the engine")
    if before.miou is not None and after.miou is not None:
        parts.append(f"mIoU {percent(before.miou)} float, {percent(after.miou)} simulated")
        if engine is not None and engine.miou is not None:
            parts.append(f"{percent(engine.miou)} in the engine")
    return f"{', '.join(parts)}; {report.image_count} images of {_one_line(report.images_from)}"


def _sensitivity_words(layer: LayerReport) -> str:
    if layer.label_change is not None:
        return f"{percent(layer.label_change, 4)} of labels change"
    return f"{percent(layer.output_error)} output error"


def _or_least(value: float | None) -> float:
    if value is None:
        return -1.0
    # A layer whose result is not a number at all is the worst there is.
    return math.inf if math.isnan(value) else value


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())
