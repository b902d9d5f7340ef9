"""Pareto pictures: what each choice costs on a logarithmic axis, what it gives, and which no other beats in both."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Sequence

from edge.page.axes import Box, Plot, round_ticks, with_halo
from edge.page.curve_style import CurveStyle, curve_style
from edge.page.interactive import figure, rounded, shown_text
from edge.page.labels import free_place
from edge.page.live_axes import live_layout
from edge.page.markup import Html
from edge.page.svg import FAINT, GLYPH, RED, WIDE, in_both_widths, line, polyline, svg, text, title_of

_HEIGHT, _LEGEND_ROW = 380, 16

_STEPS = (1.0, 2.0, 5.0, 10.0)
"""Ticks of a logarithmic axis within a power of ten."""


@dataclass(frozen=True)
class Choice:
    """One choice of a Pareto picture, such as an engine.

    Attributes:
        name: Name beside its mark.
        group: Group that its mark's shape and colour stand for, such as a precision.
        x: Price on the horizontal axis, over 0; less is better.
        y: Gain on the vertical axis; more is better.
        x_interval: Interval of the price; None without one.
        y_interval: Interval of the gain; None without one.
        is_best: Whether no other choice beats it in both.
        text: Text that is shown when it is pointed at.
    """

    name: str
    group: str
    x: float
    y: float
    x_interval: tuple[float, float] | None
    y_interval: tuple[float, float] | None
    is_best: bool
    text: str


@dataclass(frozen=True)
class ParetoAxes:
    """What the two axes of a Pareto picture show, and what a need allows.

    Attributes:
        x_name: Name of the price, with its unit.
        y_name: Name of the gain, with its unit.
        x_limit: Largest price that a need allows; None without one.
        y_limit: Smallest gain that a need allows; None without one.
    """

    x_name: str
    y_name: str
    x_limit: float | None = None
    y_limit: float | None = None


def pareto_chart(choices: Sequence[Choice], axes: ParetoAxes, caption: str) -> Html:
    """Draw choices for a page: filled marks for those that no other beats in both, which a line of steps joins.

    Args:
        choices: Choices to draw, at least one, with finite figures.
        axes: Names of the axes, and limits.
        caption: Text above the chart.
    """
    return in_both_widths(caption, lambda width: draw_pareto(choices, axes, caption, width), _live(choices, axes))


def pareto_height(choices: Sequence[Choice], width: int) -> int:
    """Return the height in pixels of a Pareto picture that is so many pixels wide."""
    return _HEIGHT + _LEGEND_ROW * len(_legend(choices, width))


def draw_pareto(choices: Sequence[Choice], axes: ParetoAxes, caption: str, width: int) -> Html:
    """Draw choices at one width, as one SVG element; the arguments are those of `pareto_chart`."""
    rows = _legend(choices, width)
    low, high = _price_span(choices, axes)
    values = [choice.y for choice in choices] + ([axes.y_limit] if axes.y_limit is not None else [])
    spread = max(values) - min(values)
    y_ticks = round_ticks(min(values) - 0.06 * spread, max(values) + 0.06 * spread)
    span = (math.log10(low), math.log10(high))
    # The marks' places are logarithms; its ticks are written here, since a logarithm means nothing to a reader.
    plot = Plot(span, y_ticks, width, pareto_height(choices, width), _LEGEND_ROW * len(rows), span)
    left, top, right, bottom = plot.frame
    parts = [text(0, 12, f"{axes.y_name} \u2191 better", color=FAINT), *plot.rows()]
    for tick in _price_ticks(low, high, 7 if width == WIDE else 4):
        x = plot.across(math.log10(tick))
        parts.append(line(x, top, x, bottom, "#dde2ea"))
        parts.append(text(x, bottom + 18, f"{tick:g}", anchor="middle"))
    parts.append(text(right, plot.height - 6, f"{axes.x_name}, logarithmic; better \u2190", anchor="end", color=FAINT))
    parts += _key(rows, choices)
    parts += _limits(plot, axes)
    best = sorted((choice for choice in choices if choice.is_best), key=lambda choice: choice.x)
    places = {id(choice): (plot.across(math.log10(choice.x)), plot.down(choice.y)) for choice in choices}
    steps = [places[id(choice)] for choice in best]
    corners = [point for first, second in zip(steps, steps[1:]) for point in (first, (second[0], first[1]))] + steps[
        -1:
    ]
    parts.append(polyline(corners, FAINT, "5 3"))
    taken: list[Box] = [(x - 6, y - 6, x + 6, y + 6) for x, y in places.values()]
    for choice in choices:
        x, y = places[id(choice)]
        parts.append(f"<g>{title_of(choice.text)}{_whiskers(plot, choice)}{_mark(choice, choices, x, y)}</g>")
    # The best are named first, so that they have the room.
    for choice in sorted(choices, key=lambda choice: not choice.is_best):
        place = free_place(*places[id(choice)], GLYPH * len(choice.name), taken, (left, top, right, bottom))
        if place is not None:
            parts.append(with_halo(text(*place, choice.name, color=FAINT if not choice.is_best else "#1c2430")))
    return svg(width, plot.height, parts, caption)


def _styles(choices: Sequence[Choice]) -> dict[str, CurveStyle]:
    return {name: curve_style(place) for place, name in enumerate(dict.fromkeys(choice.group for choice in choices))}


def _mark(choice: Choice, choices: Sequence[Choice], x: float, y: float) -> str:
    mark = _styles(choices)[choice.group].mark(x, y, 5.0)
    return mark if choice.is_best else mark.replace("/>", ' fill-opacity="0.35"/>')


def _whiskers(plot: Plot, choice: Choice) -> str:
    parts = []
    if choice.x_interval is not None and choice.x_interval[0] > 0:
        begin, end = (plot.across(math.log10(value)) for value in choice.x_interval)
        parts.append(line(begin, plot.down(choice.y), end, plot.down(choice.y), FAINT))
    if choice.y_interval is not None:
        x = plot.across(math.log10(choice.x))
        parts.append(line(x, plot.down(choice.y_interval[0]), x, plot.down(choice.y_interval[1]), FAINT))
    return "".join(parts)


def _limits(plot: Plot, axes: ParetoAxes) -> list[str]:
    left, top, right, bottom = plot.frame
    parts = []
    if axes.x_limit is not None:
        x = plot.across(math.log10(axes.x_limit))
        parts += [line(x, top, x, bottom, RED, "6 4"), with_halo(text(x + 4, bottom - 6, "need", color=RED))]
    if axes.y_limit is not None:
        y = plot.down(axes.y_limit)
        parts += [line(left, y, right, y, RED, "6 4"), with_halo(text(right, y + 14, "need", anchor="end", color=RED))]
    return parts


def _price_span(choices: Sequence[Choice], axes: ParetoAxes) -> tuple[float, float]:
    values = [choice.x for choice in choices] + ([axes.x_limit] if axes.x_limit is not None else [])
    return min(values) / 1.35, max(values) * 1.35


def _price_ticks(low: float, high: float, most: int) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for steps in (_STEPS[:-1], (1.0, 3.0), (1.0,)):
        ticks = [step * 10.0**power for power in range(first, last + 1) for step in steps]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) <= most:
            break
    return inside if len(inside) > 1 else list(round_ticks(low, high, most)[1:-1])


def _legend(choices: Sequence[Choice], width: int) -> list[list[tuple[float, str]]]:
    """Return the lines of the legend: each a list of where an entry begins, and its group."""
    rows: list[list[tuple[float, str]]] = [[]]
    x = 0.0
    for name in _styles(choices):
        size = 30 + GLYPH * len(name)
        if rows[-1] and x + size > width:
            rows.append([])
            x = 0.0
        rows[-1].append((x, name))
        x += size
    return rows


def _key(rows: list[list[tuple[float, str]]], choices: Sequence[Choice]) -> list[str]:
    styles, parts = _styles(choices), []
    for number, row in enumerate(rows):
        y = 28 + _LEGEND_ROW * number
        for x, name in row:
            parts += [styles[name].mark(x + 6, y - 4, 5.0), text(x + 16, y, name)]
    return parts


def _live(choices: Sequence[Choice], axes: ParetoAxes) -> Html:
    low, high = _price_span(choices, axes)
    span = (math.log10(low), math.log10(high))
    layout = live_layout(
        f"{axes.x_name} (better \u2190)", f"{axes.y_name} (better \u2191)", _HEIGHT + 60, span, None, True
    )
    layout["xaxis"].update(type="log", dtick="D2" if span[1] - span[0] < 2 else 1)
    layout["hovermode"] = "closest"
    for edge, limit in (("x", axes.x_limit), ("y", axes.y_limit)):
        if limit is not None:
            across = "y" if edge == "x" else "x"
            ends = {f"{edge}0": limit, f"{edge}1": limit, f"{across}0": 0, f"{across}1": 1, f"{across}ref": "paper"}
            layout["shapes"].append({"type": "line", **ends, "line": {"color": RED, "width": 1, "dash": "dash"}})
    best = sorted((choice for choice in choices if choice.is_best), key=lambda choice: choice.x)
    steps = {"x": [choice.x for choice in best], "y": [choice.y for choice in best]}
    drawn = {"line": {"color": FAINT, "dash": "dash", "shape": "hv", "width": 1.3}, "hoverinfo": "skip"}
    traces: list[dict[str, Any]] = [
        {"type": "scatter", "mode": "lines", "name": "beaten by none", **steps, **drawn},
    ]
    for name, style in _styles(choices).items():
        members = [choice for choice in choices if choice.group == name]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers+text",
                "name": shown_text(name),
                "x": rounded([choice.x for choice in members]),
                "y": rounded([choice.y for choice in members]),
                "text": [shown_text(choice.name) if choice.is_best else "" for choice in members],
                "textposition": "top center",
                "hovertext": [shown_text(choice.text).replace("\n", "<br>") for choice in members],
                "hoverinfo": "text",
                "marker": {
                    "color": style.color,
                    "symbol": style.shape,
                    "size": 11,
                    "opacity": [1.0 if choice.is_best else 0.45 for choice in members],
                },
                "error_x": _errors([(choice.x, choice.x_interval) for choice in members]),
                "error_y": _errors([(choice.y, choice.y_interval) for choice in members]),
            }
        )
    return figure(traces, layout)


def _errors(figures: Sequence[tuple[float, tuple[float, float] | None]]) -> dict[str, Any]:
    ends = [(interval[1] - value, value - interval[0]) if interval else (0.0, 0.0) for value, interval in figures]
    above, below = zip(*ends)
    return {
        "type": "data",
        "symmetric": False,
        "array": rounded(above),
        "arrayminus": rounded(below),
        "color": FAINT,
        "thickness": 1,
        "visible": any(map(any, ends)),
    }
