"""Latency on a benchmark's page: percentiles with their intervals, how often each latency was, and stages."""

from __future__ import annotations

from edge.bench.bench_record import BenchRecord
from edge.bench.power_section import FRAME_PERIOD
from edge.bench.verdict import CAMERA_FPS, FRAME_PERIOD_MS
from edge.frame_statistics.percentiles import NO_FIGURE, LatencyStatistics, few_frames_sentence
from edge.page.axes import Level
from edge.page.charts import bar_chart
from edge.page.elements import paragraph
from edge.page.histograms import histogram_chart
from edge.page.markup import Html, joined
from edge.page.plots import line_chart
from edge.page.tables import Column, table
from edge.percentile_rule import percentile_text

_PERCENTILES = (("p50", 50.0), ("p90", 90.0), ("p95", 95.0), ("p99", 99.0), ("p99.9", 99.9))
_MARKED = ("p50", "p90", "p99", "p99.9")


def latency_parts(record: BenchRecord) -> list[Html]:
    """Return the parts of the section on end-to-end latency.

    Args:
        record: Record of the benchmark. Where it has the frames' times, the chart over time stands with power.
    """
    totals_ms = record.latencies_ms()
    marks = [Level(value_ms, name) for name, value_ms in _values(record.end_to_end).items() if name in _MARKED]
    parts = [_percentile_table(record.end_to_end), _range_words(totals_ms)]
    parts.append(histogram_chart(totals_ms, "ms", "How many frames took how long, end to end", marks))
    if record.power is None:
        parts.append(line_chart(totals_ms, "ms", "End to end, frame by frame", (FRAME_PERIOD,)))
    return parts


def stage_parts(record: BenchRecord) -> list[Html]:
    """Return the parts of the section on stages."""
    means = {name: stage.mean_ms for name, stage in record.stages.items()}
    return [bar_chart(means, "ms", "Mean per stage"), _stage_table(record)]


def _values(statistics: LatencyStatistics) -> dict[str, float]:
    """Return the percentiles that the frames carry: name -> ms."""
    found = {name: getattr(statistics, f"{name.replace('.', '_')}_ms") for name, _ in _PERCENTILES}
    return {name: value for name, value in found.items() if value is not None}


def _percentile_table(statistics: LatencyStatistics) -> Html:
    values, intervals = _values(statistics), statistics.intervals
    shares = {interval.confidence for interval in intervals.values()}
    confidence = f"{100 * max(shares):.4g} % interval" if shares else "interval"
    rows = []
    for name, value, needed in (
        ("mean", statistics.mean_ms, 0.0),
        *((name, values.get(name), percent) for name, percent in _PERCENTILES),
        ("slowest", statistics.max_ms, 0.0),
    ):
        interval = intervals.get(name)
        words = percentile_text(None, needed) if value is None else ""
        if interval is not None:
            words = f"{interval.low:.3f} to {interval.high:.3f}"
        rows.append([name, NO_FIGURE if value is None else f"{value:.3f}", words or NO_FIGURE])
    return table([Column("end to end"), Column("ms"), Column(confidence)], rows)


def _range_words(latencies_ms: list[float]) -> Html:
    """Return the charts' figures as text, for who cannot see them."""
    text = (
        f"Frame by frame: {min(latencies_ms):.2f} to {max(latencies_ms):.2f} ms. A camera of {CAMERA_FPS} fps gives a "
        f"frame every {FRAME_PERIOD_MS:.1f} ms."
    )
    return paragraph(text, is_faint=True)


def _stage_table(record: BenchRecord) -> Html:
    columns = [*map(Column, ("ms", "mean", "p50", "p90", "p99", "max"))]
    rows = []
    for name, stage in [*record.stages.items(), ("end to end", record.end_to_end)]:
        values = (stage.mean_ms, stage.p50_ms, stage.p90_ms, stage.p99_ms, stage.max_ms)
        rows.append([name, *(NO_FIGURE if value is None else f"{value:.3f}" for value in values)])
    few = few_frames_sentence(record.end_to_end)
    shown = table(columns, rows, last_is_sum=True)
    return joined(shown, paragraph(f"{NO_FIGURE}: {few}.", is_faint=True)) if few else shown
