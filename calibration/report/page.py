"""int8-report.html: the INT8 report as a page for people, in one file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Sequence

from calibration.budget.limits import Verdict
from calibration.qdq.quantization_config import INT8
from calibration.report.charts import MOST_BARS, curve_chart, sensitivity_chart
from calibration.report.pictures import WorstPicture, picture_parts
from calibration.report.text import (
    MET,
    MISSED,
    OPEN,
    OVER,
    UNSURE,
    budget_word,
    class_sentence,
    disturbed_sentence,
    doubt_sentence,
    engine_drop,
    engine_sentence,
    interval_words,
    is_told_apart,
    percent,
    points,
    ranked_layers,
    result_sentence,
    slower_sentence,
    speed_up,
    speed_words,
    unseen_sentence,
    verdict,
    verdict_words,
)
from calibration.results import (
    HELD,
    NOT_SHOWN,
    AccuracyFigures,
    ClassCost,
    Int8Report,
    LayerReport,
    SearchStep,
)
from edge.artifacts import write_text
from edge.page.charts import bar_pair
from edge.page.document import document
from edge.page.elements import (
    BAD,
    DOUBT,
    FLOAT_BADGE,
    GOOD,
    INT8_BADGE,
    NEUTRAL,
    Headline,
    badge,
    banner,
    breakable,
    code,
    faint,
    headlines,
    legend,
    paragraph,
    remarks,
    section,
    warnings_box,
)
from edge.page.markup import Html, joined
from edge.page.svg import BLUE, ORANGE
from edge.page.tables import BARS, TEXT, WORD, WRAPPED, Column, facts, table

_NONE = "-"
_SHORT_HASH = 12
_VERDICTS = {MET: GOOD, UNSURE: DOUBT, MISSED: BAD, OPEN: NEUTRAL}
_LOST, _BLIND = "lost", "float is blind"
_STATE_BADGES = {_LOST: BAD, OVER: BAD, _BLIND: BAD, NOT_SHOWN: DOUBT, HELD: GOOD}
"""Words of a class or step in the tables, in order of what a reader has to know first."""


def write_page(path: Path, report: Int8Report, pictures: tuple[WorstPicture, ...]) -> None:
    """Write the page of an INT8 report: one HTML file that fetches nothing.

    Args:
        path: path of the HTML file.
        report: report on the accuracy that quantisation cost.
        pictures: pictures of the worst images, worst first.

    Raises:
        StorageError: the page cannot be written.
    """
    write_text(path, _page(report, pictures))


def _page(report: Int8Report, pictures: Sequence[WorstPicture]) -> str:
    return document(
        f"INT8 report: {report.network}",
        report.weights,
        [
            _verdict(report),
            _unseen(report),
            headlines(_headlines(report)),
            warnings_box([*filter(None, [disturbed_sentence(report)]), *report.warnings]),
            remarks(report.notes, "note"),
            section("What it cost", *_cost(report)),
            section("Classes", *_classes(report)),
            section("Worst images", *_worst_images(report, pictures)),
            section("What was tried", *_steps(report)),
            section("Sensitivity", *_sensitivity(report)),
            section("Layers", *_layers(report)),
            section("How it was measured", facts(_conditions(report))),
        ],
    )


def _verdict(report: Int8Report) -> Html:
    sentences = [
        result_sentence(report),
        class_sentence(report),
        doubt_sentence(report),
        engine_sentence(report),
        slower_sentence(report),
    ]
    return banner(_VERDICTS[verdict(report)], verdict_words(report), filter(None, sentences))


def _unseen(report: Int8Report) -> Html:
    """Return what the float network itself does not find, in red: no quantisation is to blame, and none helps."""
    sentence = unseen_sentence(report)
    return banner(BAD, "Not seen by the float network", [sentence]) if sentence else Html()


def _headlines(report: Int8Report) -> list[Headline]:
    figures = []
    if report.drop_points is not None:
        lost = "lost" if report.drop_points >= 0 else "gained"
        size = points(abs(report.drop_points), report.max_drop_points)
        figures.append(Headline(f"{size} points", f"of mIoU {lost}", interval_words(report)))
    engine = f"engine {percent(report.engine.label_agreement)}" if report.engine is not None else ""
    figures.append(Headline(percent(report.simulated.label_agreement), "label agreement, simulated", engine))
    int8_count = sum(layer.precision == INT8 for layer in report.layers)
    layers = f"{int8_count} of {len(report.layers)} layers" if report.layers else ""
    figures.append(Headline(percent(report.int8_mac_share), "of multiply-adds in INT8", layers))
    return figures


def _cost(report: Int8Report) -> list[Html]:
    def row(name: str, figures: AccuracyFigures, drop: float | None) -> list[str]:
        lost = _NONE if drop is None else _points_cell(drop, report.max_drop_points)
        return [name, _percent_or_none(figures.miou), lost, percent(figures.label_agreement)]

    rows = [
        row("float", report.float_figures, None),
        row("INT8, simulated exactly", report.simulated, report.drop_points),
    ]
    if report.engine is not None:
        rows.append(row(f"INT8, engine of {report.backend}", report.engine, engine_drop(report)))
    columns = [Column(""), *map(Column, ("mIoU", "points lost", "label agreement"))]
    parts = [table(columns, rows)]
    if report.engine is None:
        parts.append(paragraph("No engine was built: the figures are those of the simulation.", is_faint=True))
    return parts


def _classes(report: Int8Report) -> list[Html]:
    """Return the table of what INT8 costs each class: the engine where it was built, else the simulation."""
    has_truth = any(each.float_iou is not None or each.iou is not None for each in report.cost.classes)
    columns = [Column("class", TEXT), Column("budget", WORD)]
    if has_truth:
        columns += [*map(Column, ("IoU float, %", "IoU INT8, %", "points lost", "lost, up to")), Column("", BARS)]
    columns += [*map(Column, ("unlike float, %", "unlike, up to", "regions found", "new", "% of pixels", "images"))]
    words = list(_STATE_BADGES)
    ordered = sorted(
        ((_class_word(report, each), each) for each in report.cost.classes),
        key=lambda pair: words.index(pair[0]) if pair[0] in words else len(words),
    )
    rows = [[each.name, _word_cell(word), *_class_cells(each, has_truth)] for word, each in ordered]
    parts = []
    if has_truth:
        parts.append(legend([(ORANGE, "float"), (BLUE, "INT8")]))
        before, after = report.float_figures, report.engine or report.simulated
        first, second, lost, pair = _iou_cells(before.miou, after.miou)
        mean = [first, second, lost, _points_or_none(report.cost.drop_high), pair]
        rows.append(["mean", _word_cell(_budget_of(report, "")), *mean, *[""] * (len(columns) - 7)])
    parts.append(table(columns, rows, last_is_sum=has_truth, is_dense=True))
    parts.append(
        paragraph(
            "Unlike float: 100 % less the IoU with the float network's labels. Up to: upper end of the interval over "
            f"images ({100 * report.cost.confidence:.4g} %). Regions: connected pixels of one class, at least a "
            "ten-thousandth of the frame; found where half of their pixels keep the class. "
            f"{_NONE} as a figure: neither in the images nor predicted, or on too few images; {_NONE} as a budget: too "
            "few pixels to judge the class by.",
            is_faint=True,
        )
    )
    return parts


def _class_word(report: Int8Report, cost: ClassCost) -> str:
    if any(text.startswith(f"{cost.name} (") for text in report.unseen_classes):
        return _BLIND
    return _budget_of(report, cost.name)


def _budget_of(report: Int8Report, class_name: str) -> str:
    """Return a word for the worst judgement of a class, or of the whole network for ""; "-" where there is none."""
    verdict_of_class = Verdict(tuple(each for each in report.judgements if each.class_name == class_name))
    if not verdict_of_class.judgements:
        return _NONE
    if class_name in verdict_of_class.lost_classes:
        return _LOST
    return OVER if verdict_of_class.is_exceeded else verdict_of_class.state


def _class_cells(cost: ClassCost, has_truth: bool) -> list[str]:
    cells = []
    if has_truth:
        first, second, change, pair = _iou_cells(cost.float_iou, cost.iou)
        cells += [first, second, change, _points_or_none(cost.drop_high), pair]
    return [
        *cells,
        _points_or_none(cost.change_points),
        _points_or_none(cost.change_high),
        f"{cost.regions_found} of {cost.regions}",
        str(cost.regions_new),
        f"{100 * cost.float_share:.3g}",
        str(cost.image_count),
    ]


def _points_or_none(value: float | None) -> str:
    return _NONE if value is None else f"{round(value, 2) + 0.0:.2f}"


def _iou_cells(first: float | None, second: float | None) -> list[str]:
    shown = [_NONE if value is None else f"{100 * value:.2f}" for value in (first, second)]
    lost, pair = _NONE, ""
    if first is not None and second is not None:
        lost = f"{round(100 * (first - second), 2) + 0.0:.2f}"
    if first is not None or second is not None:
        pair = bar_pair(first or 0.0, second or 0.0, 1.0)
    return [*shown, lost, pair]


def _worst_images(report: Int8Report, pictures: Sequence[WorstPicture]) -> list[Html]:
    shown = {picture.name for picture in pictures}
    others = [
        f"{image.name} ({percent(image.label_agreement)})" for image in report.worst_images if image.name not in shown
    ]
    parts = picture_parts(pictures)
    if others:
        parts.append(paragraph(f"Not shown, with their label agreement: {', '.join(others)}", is_faint=True))
    return parts


def _steps(report: Int8Report) -> list[Html]:
    unseen = "" if report.search_sees_judging_images else ", which no search has seen"
    parts = [paragraph(f"Judged on {report.image_count} images of {report.images_from}{unseen}.")]
    parts.append(_steps_table(report, report.looks))
    if report.steps:
        parts += [paragraph(f"The search evaluated on {report.search_images}:"), curve_chart(report)]
        parts.append(_steps_table(report, report.steps))
    return parts if report.looks else parts[2:]


def _steps_table(report: Int8Report, steps: Sequence[SearchStep]) -> Html:
    columns = [
        Column("step"),
        Column("what was tried", TEXT),
        *map(Column, ("INT8 share", "points lost", "label agreement", "budget")),
        Column("closest to a limit", TEXT),
        Column("recipe", WORD),
    ]
    rows = [
        [
            str(number),
            step.what,
            percent(step.int8_mac_share),
            _NONE if step.drop_points is None else _points_cell(step.drop_points, report.max_drop_points),
            percent(step.label_agreement),
            _word_cell(budget_word(report, step)),
            step.worst or _NONE,
            _hash(step.recipe_sha256),
        ]
        for number, step in enumerate(steps, 1)
    ]
    return table(columns, rows)


def _sensitivity(report: Int8Report) -> list[Html]:
    chart = sensitivity_chart(report)
    if not chart:
        return []
    measured = len(ranked_layers(report))
    parts = [legend([(BLUE, "in INT8 in the result"), (ORANGE, "in float in the result")]), chart]
    if measured > MOST_BARS:
        rest = f"{measured - MOST_BARS} more layers cost less; the table below has them."
        parts.append(paragraph(rest, is_faint=True))
    if measured < len(report.layers):
        missing = f"{len(report.layers) - measured} of {len(report.layers)} layers were not measured."
        parts.append(paragraph(missing, is_faint=True))
    return parts


def _layers(report: Int8Report) -> list[Html]:
    if not report.layers:
        return []
    total = sum(layer.multiply_adds for layer in report.layers) or 1
    has_sensitivity = bool(ranked_layers(report))
    has_times = any(layer.int8_ms is not None or layer.float_ms is not None for layer in report.layers)
    heads = ["M multiply-adds", "share, %"]
    heads += ["output error, %", "label change, %"] if has_sensitivity else []
    heads += ["ms here", "ms in float", "speed-up"] if has_times else []
    columns = [Column("layer", TEXT), Column("operator", WORD), Column("precision", TEXT), *map(Column, heads)]
    if has_times:
        columns[-1] = Column("speed-up", WRAPPED)
    rows = []
    for layer in report.layers:
        row = [breakable(layer.name) if layer.name else _NONE, layer.operator, _precision_cell(layer)]
        row += [_number(layer.multiply_adds or None, 1e-6, 2), _number(layer.multiply_adds or None, 100 / total, 2)]
        if has_sensitivity:
            row += [_number(layer.output_error, 100, 2), _number(layer.label_change, 100, 4)]
        if has_times:
            row += [_number(layer.int8_ms, 1, 3), _number(layer.float_ms, 1, 3), _speed_cell(layer)]
        rows.append(row)
    count = f"{len(rows)} layers that have multiply-adds or could be in INT8, in the order of the graph."
    if has_times:
        count += (
            " Times are medians of rounds in which both engines took turns, with the range that the rounds allow; not "
            "told apart: some rounds of the one were faster than some of the other, and some slower."
        )
    return [paragraph(count, is_faint=True), table(columns, rows, is_dense=True)]


def _conditions(report: Int8Report) -> dict[str, str]:
    values = {
        "form that was simulated": f"as {report.backend} computes it, without a CPU's saturation",
        "quantised with": report.recipe,
        "accuracy images": f"{report.image_count} of {report.images_from}",
        "budget": report.budget,
        "weights": report.weights,
        "float graph": _hash(report.graph_sha256),
        "ranges": _hash(report.ranges_sha256),
    }
    if report.decision:
        values["labels"] = report.decision
    if report.load is not None:
        values["load while layers were timed"] = report.load.sentence()
    if report.drop_low is not None:
        values["interval"] = f"bootstrap over the accuracy images, {100 * report.cost.confidence:.4g} %"
    return values


def _precision_cell(layer: LayerReport) -> Html:
    precision = badge(layer.precision, INT8_BADGE if layer.precision == INT8 else FLOAT_BADGE)
    return joined(precision, " ", faint(layer.reason)) if layer.reason else precision


def _speed_cell(layer: LayerReport) -> str:
    ratio = speed_up(layer)
    if ratio is None:
        return _NONE
    if not is_told_apart(layer):
        return joined("not told apart ", faint(speed_words(layer)))
    if layer.precision == INT8 and ratio < 1:
        return badge(f"slower {speed_words(layer)}", BAD)
    return speed_words(layer)


def _points_cell(value: float, budget: float | None) -> str:
    text = points(value, budget)
    return badge(text, BAD) if budget is not None and value > budget else text


def _word_cell(word: str) -> str:
    return badge(word, _STATE_BADGES[word]) if word in _STATE_BADGES else word


def _percent_or_none(value: float | None) -> str:
    return _NONE if value is None else percent(value)


def _number(value: float | None, factor: float, digits: int) -> str:
    if value is None:
        return _NONE
    return f"{factor * value:,.{digits}f}" if math.isfinite(value) else "not finite"


def _hash(digest: str) -> Html:
    return code(digest[:_SHORT_HASH], digest)
