"""The charts of an INT8 report: drop against share of INT8, and the most sensitive layers."""

from __future__ import annotations

import math

from calibration.qdq.quantization_config import INT8
from calibration.report.text import OVER, budget_word, percent, points, ranked_layers, step_cost
from calibration.results import HELD, Int8Report
from edge.page.charts import Bar, bars
from edge.page.markup import Html
from edge.page.plots import Point, scatter_chart
from edge.page.svg import BLUE, ORANGE

MOST_BARS = 30
"""Layers that the chart of sensitivities shows."""

_IS_GOOD = {HELD: True, OVER: False}


def curve_chart(report: Int8Report) -> Html:
    """Draw the accuracy cost of each step of the search over its share of INT8; "" where no step was evaluated."""
    has_labels = report.drop_points is not None
    shown = [
        Point(
            x=100 * step.int8_mac_share,
            y=step_cost(report, step),
            mark=str(number),
            text=f"step {number}, {step.what}: {_cost_words(report, step_cost(report, step))}, "
            f"{percent(step.int8_mac_share)} in INT8",
            is_good=_IS_GOOD.get(budget_word(report, step)),
        )
        for number, step in enumerate(report.steps, 1)
        if math.isfinite(step_cost(report, step))
    ]
    if not shown:
        return Html()
    limit = report.max_drop_points
    if not has_labels:
        limit = None if report.min_agreement is None else 100 * (1 - report.min_agreement)
    return scatter_chart(
        shown,
        "multiply-adds in INT8, %",
        "mIoU lost, points" if has_labels else "labels changed, %",
        "Accuracy against share of INT8, numbered as in the table of steps",
        limit,
    )


def sensitivity_chart(report: Int8Report) -> Html:
    """Draw the layers that cost most accuracy when each alone is in INT8; "" where none was measured."""
    ranked = ranked_layers(report)
    if not ranked:
        return Html()
    by_labels = ranked[0].label_change is not None
    shown = []
    for layer in ranked[:MOST_BARS]:
        value = layer.label_change if by_labels else layer.output_error
        text = "not measured" if value is None else percent(value, 4 if by_labels else 2)
        shown.append(Bar(layer.name, value or 0.0, text, BLUE if layer.precision == INT8 else ORANGE))
    what = "pixels whose label changes" if by_labels else "RMS error of the logits over their RMS"
    return bars(shown, f"Each layer alone in INT8: {what}")


def _cost_words(report: Int8Report, cost: float) -> str:
    return f"{cost:.2f} % of labels changed" if report.drop_points is None else f"{points(cost)} points lost"
