"""int8-report.html: the INT8 report as a page for people, in one file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Iterable, Sequence

from calibration.qdq.quantization_config import INT8
from calibration.report.charts import MOST_BARS, curve_chart, sensitivity_chart
from calibration.report.pictures import WorstPicture, picture_parts
from calibration.report.text import (
    MET,
    MISSED,
    OPEN,
    budget_word,
    doubt_sentence,
    engine_drop,
    engine_sentence,
    interval_words,
    percent,
    points,
    ranked_layers,
    result_sentence,
    slower_sentence,
    speed_up,
    verdict,
    verdict_words,
)
from calibration.results import AccuracyFigures, Int8Report, LayerReport
from edge.artifacts import write_text
from edge.page.charts import BLUE, ORANGE, bar_pair
from edge.page.document import document
from edge.page.elements import (
    BAD,
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
    note,
    paragraph,
    scrollable,
    section,
)
from edge.page.markup import Html, joined
from edge.page.tables import BARS, TEXT, WORD, Column, facts, table

_NONE = "-"
_SHORT_HASH = 12
_VERDICTS = {MET: GOOD, MISSED: BAD, OPEN: NEUTRAL}
_BUDGET_BADGES = {"held": GOOD, "over": BAD}


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
            headlines(_headlines(report)),
            *map(note, report.warnings),
            *map(paragraph, report.notes),
            section("What it cost", *_cost(report)),
            section("Classes", *_classes(report)),
            section("Worst images", *_worst_images(report, pictures)),
            section("Drop against share of INT8", *_steps(report)),
            section("Sensitivity", *_sensitivity(report)),
            section("Layers", *_layers(report)),
            section("How it was measured", facts(_conditions(report))),
        ],
    )


def _verdict(report: Int8Report) -> Html:
    sentences = [result_sentence(report), doubt_sentence(report), engine_sentence(report), slower_sentence(report)]
    return banner(_VERDICTS[verdict(report)], verdict_words(report), filter(None, sentences))


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
    before, after = report.float_figures, report.simulated
    if not before.class_iou:
        return []
    engine = report.engine if report.engine is not None and report.engine.class_iou else None
    rows = []
    for name in dict.fromkeys([*before.class_iou, *after.class_iou]):
        first, second = before.class_iou.get(name), after.class_iou.get(name)
        others = [] if engine is None else [engine.class_iou.get(name)]
        rows.append([name, *_iou_cells(first, second, others)])
    others = [] if engine is None else [engine.miou]
    rows.append(["mean", *_iou_cells(before.miou, after.miou, others)])
    heads = ("float", "INT8", "points", *([] if engine is None else ["engine"]))
    columns = [Column("IoU, %"), *map(Column, heads), Column("", BARS)]
    parts = [legend([(ORANGE, "float"), (BLUE, "INT8, simulated")]), table(columns, rows, last_is_sum=True)]
    if any(value is None for value in [*before.class_iou.values(), *after.class_iou.values()]):
        parts.append(paragraph(f"{_NONE}: the class is neither in the images nor predicted.", is_faint=True))
    return parts


def _iou_cells(first: float | None, second: float | None, others: Iterable[float | None]) -> list[str]:
    shown = [_NONE if value is None else f"{100 * value:.2f}" for value in (first, second, *others)]
    change, pair = _NONE, ""
    if first is not None and second is not None:
        change = f"{round(100 * (second - first), 2) + 0.0:+.2f}"
    if first is not None or second is not None:
        pair = bar_pair(first or 0.0, second or 0.0, 1.0)
    return [*shown[:2], change, *shown[2:], pair]


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
    if not report.steps:
        return []
    columns = [
        Column("step"),
        Column("what was tried", TEXT),
        *map(Column, ("INT8 share", "points lost", "label agreement", "budget", "recipe")),
    ]
    rows = [
        [
            str(number),
            step.what,
            percent(step.int8_mac_share),
            _NONE if step.drop_points is None else _points_cell(step.drop_points, report.max_drop_points),
            percent(step.label_agreement),
            _budget_cell(budget_word(report, step)),
            _hash(step.recipe_sha256),
        ]
        for number, step in enumerate(report.steps, 1)
    ]
    return [scrollable(curve_chart(report)), table(columns, rows)]


def _sensitivity(report: Int8Report) -> list[Html]:
    chart = sensitivity_chart(report)
    if not chart:
        return []
    measured = len(ranked_layers(report))
    parts = [legend([(BLUE, "in INT8 in the result"), (ORANGE, "in float in the result")]), scrollable(chart)]
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
    return [paragraph(count, is_faint=True), table(columns, rows, is_dense=True)]


def _conditions(report: Int8Report) -> dict[str, str]:
    values = {
        "form that was simulated": f"as {report.backend} computes it, without a CPU's saturation",
        "quantised with": report.recipe,
        "accuracy images": f"{report.image_count} of {report.images_from}",
        "budget": _budget_words(report),
        "weights": report.weights,
        "float graph": _hash(report.graph_sha256),
        "ranges": _hash(report.ranges_sha256),
    }
    if report.decision:
        values["labels"] = report.decision
    if report.drop_low is not None:
        values["interval"] = "bootstrap over the accuracy images, 95 %"
    return values


def _budget_words(report: Int8Report) -> str:
    if report.max_drop_points is not None:
        return f"at most {points(report.max_drop_points)} points of mIoU"
    if report.min_agreement is not None:
        return f"at least {percent(report.min_agreement)} label agreement"
    return "none enforced"


def _precision_cell(layer: LayerReport) -> Html:
    precision = badge(layer.precision, INT8_BADGE if layer.precision == INT8 else FLOAT_BADGE)
    return joined(precision, " ", faint(layer.reason)) if layer.reason else precision


def _speed_cell(layer: LayerReport) -> str:
    ratio = speed_up(layer)
    if ratio is None:
        return _NONE
    if layer.precision == INT8 and ratio < 1:
        return badge(f"slower {ratio:.2f}x", BAD)
    return f"{ratio:.2f}x"


def _points_cell(value: float, budget: float | None) -> str:
    text = points(value, budget)
    return badge(text, BAD) if budget is not None and value > budget else text


def _budget_cell(word: str) -> str:
    return badge(word, _BUDGET_BADGES[word]) if word in _BUDGET_BADGES else word


def _percent_or_none(value: float | None) -> str:
    return _NONE if value is None else percent(value)


def _number(value: float | None, factor: float, digits: int) -> str:
    if value is None:
        return _NONE
    return f"{factor * value:,.{digits}f}" if math.isfinite(value) else "not finite"


def _hash(digest: str) -> Html:
    return code(digest[:_SHORT_HASH], digest)
