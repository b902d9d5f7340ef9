"""int8-report.html: what INT8 cost, as a person wants to see it, in one file."""

from __future__ import annotations

import html
import math
from pathlib import Path
from typing import Iterable, Sequence

from calibration.qdq.quantization_config import FLOAT, INT8
from calibration.report.charts import MOST_BARS, curve_chart, sensitivity_chart
from calibration.report.pictures import WorstPicture, picture_section
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
from edge.bench.charts import bar_pair

_NONE = "-"
_SHORT_HASH = 12
_BANNERS = {MET: "good", MISSED: "bad", OPEN: "open"}

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1c2430;
  background: #fff; overflow-wrap: break-word; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 0; overflow-wrap: anywhere; } p { margin: .4rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: .25rem .7rem; text-align: right; vertical-align: top; white-space: nowrap; }
th { color: #5a6675; font-weight: 600; vertical-align: bottom; white-space: normal; }
tr + tr td { border-top: 1px solid #dde2ea; }
th:first-child, td:first-child, th.text, td.text, th.word, td.word { text-align: left; }
td.text { white-space: normal; overflow-wrap: anywhere; min-width: 10rem; } td.text:first-child { min-width: 15rem; }
.dense { font-size: .88em; } .dense td, .dense th { padding: .2rem .5rem; }
td.bars { padding-top: .4rem; padding-bottom: 0; } tr.sum td { font-weight: 600; border-top: 2px solid #5a6675; }
.wide { overflow-x: auto; margin: .5rem 0; } .wide > svg { min-width: 40rem; width: 100%; max-width: 58rem; }
.verdict { border-left: .4rem solid; border-radius: .3rem; padding: .6rem 1rem; margin: 1rem 0; }
.verdict b { font-size: 1.3rem; display: block; line-height: 1.3; }
.good { background: #e8f5ec; border-color: #2c8a4b; } .bad { background: #fdeceb; border-color: #c8362f; }
.open { background: #eef1f6; border-color: #5a6675; }
.big { display: flex; gap: 1rem 2.5rem; margin: 1rem 0; flex-wrap: wrap; }
.big b { font-size: 1.7rem; display: block; line-height: 1.3; } .big small { display: block; color: #5a6675; }
.note { background: #fff4d6; padding: .5rem 1rem; border-radius: .3rem; } .faint, figcaption { color: #5a6675; }
.int8 { color: #2c5a9a; } .float { color: #a85a0a; font-weight: 600; }
.over { color: #b52a24; font-weight: 600; } .held { color: #1f7a3e; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); gap: .6rem; }
figure { margin: 0; } img { width: 100%; border-radius: .3rem; display: block; }
.legend span, .key { display: inline-block; margin: 0 .9rem .1rem 0; white-space: nowrap; }
.legend i, .key i { display: inline-block; width: .85em; height: .85em; margin-right: .35em; border-radius: .15em;
  border: 1px solid #0003; vertical-align: -.08em; }
svg { max-width: 100%; height: auto; display: block; } td.bars svg { max-width: none; }
code { font-size: .9em; }
"""


def write_page(path: Path, report: Int8Report, pictures: tuple[WorstPicture, ...]) -> None:
    """Write the page of an INT8 report: one HTML file that fetches nothing.

    Args:
        path: where to.
        report: what quantisation cost.
        pictures: of the worst images, worst first.

    Raises:
        StorageError: the page cannot be written.
    """
    write_text(path, _page(report, pictures))


def _page(report: Int8Report, pictures: Sequence[WorstPicture]) -> str:
    title = html.escape(f"INT8 report: {report.network}")
    sections = (
        ("What it cost", _figures_table(report)),
        ("Classes", _class_table(report)),
        ("Worst images", _pictures(report, pictures)),
        ("Drop against share of INT8", _curve(report)),
        ("Sensitivity", _sensitivity(report)),
        ("Layers", _layers(report)),
        ("How it was measured", _conditions(report)),
    )
    parts = [f"<h1>{title}</h1>", f'<p class="faint">{html.escape(report.weights)}</p>', _verdict(report)]
    parts += [_headline(report), *(f'<p class="note">{html.escape(text)}</p>' for text in report.warnings)]
    parts += [f"<p>{html.escape(note)}</p>" for note in report.notes]
    parts += [f"<h2>{name}</h2>\n{content}" for name, content in sections if content]
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _verdict(report: Int8Report) -> str:
    sentences = [result_sentence(report), doubt_sentence(report), engine_sentence(report), slower_sentence(report)]
    said = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences if sentence)
    return f'<div class="verdict {_BANNERS[verdict(report)]}"><b>{html.escape(verdict_words(report))}</b>{said}</div>'


def _headline(report: Int8Report) -> str:
    cells = []
    if report.drop_points is not None:
        lost = "lost" if report.drop_points >= 0 else "gained"
        size = points(abs(report.drop_points), report.max_drop_points)
        cells.append((f"{size} points", f"of mIoU {lost}", interval_words(report)))
    engine = f"engine {percent(report.engine.label_agreement)}" if report.engine is not None else ""
    cells.append((percent(report.simulated.label_agreement), "label agreement, simulated", engine))
    int8_count = sum(layer.precision == INT8 for layer in report.layers)
    layers = f"{int8_count} of {len(report.layers)} layers" if report.layers else ""
    cells.append((percent(report.int8_mac_share), "of multiply-adds in INT8", layers))
    shown = (
        f"<div><b>{html.escape(big)}</b>{name}<small>{html.escape(small)}</small></div>" for big, name, small in cells
    )
    return f'<div class="big">{"".join(shown)}</div>'


def _figures_table(report: Int8Report) -> str:
    def row(name: str, figures: AccuracyFigures, drop: float | None) -> list[str]:
        lost = _NONE if drop is None else _points_cell(drop, report.max_drop_points)
        return [html.escape(name), _percent_or_none(figures.miou), lost, html.escape(percent(figures.label_agreement))]

    rows = [
        row("float", report.float_figures, None),
        row("INT8, simulated exactly", report.simulated, report.drop_points),
    ]
    if report.engine is not None:
        rows.append(row(f"INT8, engine of {report.backend}", report.engine, engine_drop(report)))
    heads = ["", "mIoU", "points lost", "label agreement"]
    table = _table(heads, rows)
    if report.engine is None:
        table += '<p class="faint">No engine was built: the figures are those of the simulation.</p>'
    return table


def _class_table(report: Int8Report) -> str:
    before, after = report.float_figures, report.simulated
    if not before.class_iou:
        return ""
    engine = report.engine if report.engine is not None and report.engine.class_iou else None
    names = dict.fromkeys([*before.class_iou, *after.class_iou])
    rows = []
    for name in names:
        first, second = before.class_iou.get(name), after.class_iou.get(name)
        others = [] if engine is None else [engine.class_iou.get(name)]
        rows.append([html.escape(name), *_iou_cells(first, second, others)])
    others = [] if engine is None else [engine.miou]
    rows.append(["mean", *_iou_cells(before.miou, after.miou, others)])
    heads = ["IoU, %", "float", "INT8", "points", *([] if engine is None else ["engine"]), ""]
    key = f"<p>{_key('#d9822b', 'float')}{_key('#3b6fb6', 'INT8, simulated')}</p>"
    absent = any(value is None for value in [*before.class_iou.values(), *after.class_iou.values()])
    note = f'<p class="faint">{_NONE}: the class is neither in the images nor predicted.</p>' if absent else ""
    return key + _table(heads, rows, bar_columns=(len(heads) - 1,), last_is_sum=True) + note


def _iou_cells(first: float | None, second: float | None, others: Iterable[float | None]) -> list[str]:
    shown = [_NONE if value is None else f"{100 * value:.2f}" for value in (first, second, *others)]
    change, pair = _NONE, ""
    if first is not None and second is not None:
        change = f"{round(100 * (second - first), 2) + 0.0:+.2f}"
    if first is not None or second is not None:
        pair = bar_pair(first or 0.0, second or 0.0, 1.0)
    return [*shown[:2], change, *shown[2:], pair]


def _pictures(report: Int8Report, pictures: Sequence[WorstPicture]) -> str:
    shown = {picture.name for picture in pictures}
    others = [
        f"{image.name} ({percent(image.label_agreement)})" for image in report.worst_images if image.name not in shown
    ]
    text = (
        f'<p class="faint">Not shown, with their label agreement: {html.escape(", ".join(others))}</p>'
        if others
        else ""
    )
    return picture_section(pictures) + text


def _curve(report: Int8Report) -> str:
    if not report.steps:
        return ""
    rows = [
        [
            str(number),
            html.escape(step.what),
            html.escape(percent(step.int8_mac_share)),
            _NONE if step.drop_points is None else _points_cell(step.drop_points, report.max_drop_points),
            html.escape(percent(step.label_agreement)),
            _budget_cell(budget_word(report, step)),
            _hash(step.recipe_sha256),
        ]
        for number, step in enumerate(report.steps, 1)
    ]
    heads = ["step", "what was tried", "INT8 share", "points lost", "label agreement", "budget", "recipe"]
    return _wide(curve_chart(report)) + _table(heads, rows, text_columns=(1,))


def _sensitivity(report: Int8Report) -> str:
    chart = sensitivity_chart(report)
    if not chart:
        return ""
    measured = len(ranked_layers(report))
    key = f"<p>{_key('#3b6fb6', 'in INT8 in the result')}{_key('#d9822b', 'in float in the result')}</p>"
    notes = []
    if measured > MOST_BARS:
        notes.append(f"{measured - MOST_BARS} more layers cost less; the table below has them.")
    if measured < len(report.layers):
        notes.append(f"{len(report.layers) - measured} of {len(report.layers)} layers were not measured.")
    return key + _wide(chart) + "".join(f'<p class="faint">{note}</p>' for note in notes)


def _layers(report: Int8Report) -> str:
    if not report.layers:
        return ""
    total = sum(layer.multiply_adds for layer in report.layers) or 1
    has_sensitivity = bool(ranked_layers(report))
    has_times = any(layer.int8_ms is not None or layer.float_ms is not None for layer in report.layers)
    heads = ["layer", "operator", "precision", "M multiply-adds", "share, %"]
    heads += ["output error, %", "label change, %"] if has_sensitivity else []
    heads += ["ms here", "ms in float", "speed-up"] if has_times else []
    rows = []
    for layer in report.layers:
        # A long name breaks where its parts end.
        name = html.escape(layer.name).replace("/", "/<wbr>") or _NONE
        row = [name, html.escape(layer.operator), _precision_cell(layer)]
        row += [_number(layer.multiply_adds or None, 1e-6, 2), _number(layer.multiply_adds or None, 100 / total, 2)]
        if has_sensitivity:
            row += [_number(layer.output_error, 100, 2), _number(layer.label_change, 100, 4)]
        if has_times:
            row += [_number(layer.int8_ms, 1, 3), _number(layer.float_ms, 1, 3), _speed_cell(layer)]
        rows.append(row)
    count = f"{len(rows)} layers that have multiply-adds or could be in INT8, in the order of the graph."
    return f'<p class="faint">{count}</p>' + _dense(_table(heads, rows, text_columns=(0, 2), word_columns=(1,)))


def _conditions(report: Int8Report) -> str:
    facts = {
        "form that was simulated": f"as {html.escape(report.backend)} computes it, without a CPU's saturation",
        "quantised with": html.escape(report.recipe),
        "accuracy images": f"{report.image_count} of {html.escape(report.images_from)}",
        "budget": html.escape(_budget_words(report)),
        "weights": html.escape(report.weights),
        "float graph": _hash(report.graph_sha256),
        "ranges": _hash(report.ranges_sha256),
    }
    if report.drop_low is not None:
        facts["interval"] = "bootstrap over the accuracy images, 95 %"
    return _table([], [[name, value] for name, value in facts.items()], text_columns=(1,))


def _budget_words(report: Int8Report) -> str:
    if report.max_drop_points is not None:
        return f"at most {points(report.max_drop_points)} points of mIoU"
    if report.min_agreement is not None:
        return f"at least {percent(report.min_agreement)} label agreement"
    return "none enforced"


def _precision_cell(layer: LayerReport) -> str:
    kind = INT8 if layer.precision == INT8 else FLOAT
    reason = f' <span class="faint">{html.escape(layer.reason)}</span>' if layer.reason else ""
    return f'<span class="{kind}">{html.escape(layer.precision)}</span>{reason}'


def _speed_cell(layer: LayerReport) -> str:
    ratio = speed_up(layer)
    if ratio is None:
        return _NONE
    if layer.precision == INT8 and ratio < 1:
        return f'<span class="over">slower {ratio:.2f}x</span>'
    return f"{ratio:.2f}x"


def _points_cell(value: float, budget: float | None) -> str:
    text = points(value, budget)
    return f'<span class="over">{text}</span>' if budget is not None and value > budget else text


def _budget_cell(word: str) -> str:
    return word if word == _NONE else f'<span class="{word}">{word}</span>'


def _percent_or_none(value: float | None) -> str:
    return _NONE if value is None else html.escape(percent(value))


def _number(value: float | None, factor: float, digits: int) -> str:
    if value is None:
        return _NONE
    return f"{factor * value:,.{digits}f}" if math.isfinite(value) else "not finite"


def _hash(digest: str) -> str:
    return f'<code title="{html.escape(digest)}">{html.escape(digest[:_SHORT_HASH])}</code>'


def _key(color: str, name: str) -> str:
    return f'<span class="key"><i style="background:{color}"></i>{name}</span>'


def _dense(content: str) -> str:
    return f'<div class="dense">{content}</div>'


def _wide(content: str) -> str:
    return f'<div class="wide">{content}</div>' if content else ""


def _table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    text_columns: Sequence[int] = (),
    word_columns: Sequence[int] = (),
    bar_columns: Sequence[int] = (),
    last_is_sum: bool = False,
) -> str:
    """Return a table of cells that are HTML already; numbers stand to the right, the first column to the left."""

    def kind(column: int) -> str:
        kinds = (("text", text_columns), ("word", word_columns), ("bars", bar_columns))
        return next((f' class="{name}"' for name, columns in kinds if column in columns), "")

    lines = ["<tr>" + "".join(f"<th{kind(i)}>{head}</th>" for i, head in enumerate(heads)) + "</tr>"] if heads else []
    for index, row in enumerate(rows):
        mark = ' class="sum"' if last_is_sum and index == len(rows) - 1 else ""
        lines.append(f"<tr{mark}>" + "".join(f"<td{kind(i)}>{cell}</td>" for i, cell in enumerate(row)) + "</tr>")
    return _wide(f"<table>{''.join(lines)}</table>")
