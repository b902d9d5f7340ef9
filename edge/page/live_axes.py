"""What the layouts of live charts have in common: room, axes, legends and levels, in plotly's schema."""

from __future__ import annotations

from typing import Any, Sequence

from edge.page.axes import Level
from edge.page.interactive import shown_text
from edge.page.svg import RED


def live_layout(
    x_name: str,
    y_name: str,
    height: int,
    x_span: Sequence[float] | None = None,
    y_span: Sequence[float] | None = None,
    has_legend: bool = False,
) -> dict[str, Any]:
    """Return the layout of a live chart that stands where a drawn one of the same height does.

    Args:
        x_name: Name of the horizontal axis.
        y_name: Name or unit of the vertical axis.
        height: Height in pixels.
        x_span: First and last value of the horizontal axis; None to fit the values.
        y_span: First and last value of the vertical axis; None to fit the values.
        has_legend: Whether the curves' names stand above the chart.
    """
    x_axis: dict[str, Any] = {"title": {"text": shown_text(x_name), "standoff": 6}, "zeroline": False}
    y_axis: dict[str, Any] = {"title": {"text": shown_text(y_name), "standoff": 6}, "automargin": False}
    for axis, span in ((x_axis, x_span), (y_axis, y_span)):
        if span is not None:
            axis["range"] = list(span)
    return {
        "height": height,
        # Above the area stand marks of windows, then the legend and the buttons.
        "margin": {"t": 62 if has_legend else 46, "b": 42},
        "xaxis": x_axis,
        "yaxis": y_axis,
        "showlegend": has_legend,
        "legend": {"orientation": "h", "x": 0},
        "hovermode": "x unified",
        "shapes": [],
        "annotations": [],
    }


def add_levels(layout: dict[str, Any], levels: Sequence[Level]) -> None:
    """Add levels that values are compared with to a layout: dashed lines with their names at the right."""
    for level in levels:
        layout["shapes"].append(
            {
                "type": "line",
                "xref": "paper",
                "x0": 0,
                "x1": 1,
                "y0": level.value,
                "y1": level.value,
                "line": {"color": RED, "width": 1, "dash": "dash"},
            }
        )
        layout["annotations"].append(
            {
                "xref": "paper",
                "x": 1,
                "xanchor": "right",
                "y": level.value,
                "yanchor": "bottom",
                "text": shown_text(level.name),
                "showarrow": False,
                "font": {"color": RED},
            }
        )
