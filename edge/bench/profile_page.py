"""profile.html: where the time of an engine goes, in one file that fetches nothing."""

from __future__ import annotations

from pathlib import Path

from edge.artifacts import write_text
from edge.bench.profile_record import ProfileRecord, by_cost, kind_totals, sum_sentence
from edge.bench.random_banner import random_banner
from edge.page.charts import Bar, Segment, bars, strip_chart
from edge.page.document import document
from edge.page.elements import Headline, color_key, headlines, legend, note, paragraph, scrollable, section
from edge.page.markup import Html, joined
from edge.page.tables import NUMBER, TEXT, WORD, Column, facts, table

PROFILE_PAGE = "profile.html"

_COLORS = ("#3b6fb6", "#d9822b", "#2c8a4b", "#b5508c", "#1f9aa8", "#8a6d3b", "#7a5cc0", "#c8362f")
"""Colours for the costliest kinds, in this order; they are told apart on white and on black."""

_REST = "#8a93a0"


def write_profile_page(path: Path, record: ProfileRecord, top: int) -> None:
    """Write the page of a profile.

    Args:
        path: where to.
        record: what was measured.
        top: layers that the chart of the costliest shows.

    Raises:
        StorageError: the page cannot be written.
    """
    write_text(path, _page(record, top))


def _page(record: ProfileRecord, top: int) -> str:
    contract = record.engine.contract
    title = f"Profile of {contract.model} {record.engine.precision}, {contract.height}x{contract.width}"
    colors = _kind_colors(record)
    ranked = by_cost(record)
    ranks = {id(layer): rank for rank, layer in enumerate(ranked, 1)}
    costliest = [
        Bar(f"{rank}  {layer.name}", layer.p50_ms, f"{layer.p50_ms:.3f} ms, {layer.share:.1%}", colors[layer.kind])
        for rank, layer in enumerate(ranked[:top], 1)
    ]
    widths = "A layer is as wide as its share of the time; numbers are ranks by cost."
    return document(
        title,
        _subtitle(record),
        [
            random_banner(contract.weights),
            headlines(_headlines(record)),
            paragraph(_sentence(sum_sentence(record))),
            *(note(_sentence(remark)) for remark in record.notes),
            section(
                "The network in the order of execution",
                legend(_legend(record, colors)),
                scrollable(strip_chart(_segments(record, colors, ranks), "ms", "layers in the order of execution")),
                paragraph(widths, is_faint=True),
            ),
            section("Costliest layers", scrollable(bars(costliest, f"median of {record.runs} runs"))),
            section("Kinds of layers", _kind_table(record, colors)),
            section("All layers", _layer_table(record, colors, ranks)),
            section("How it was measured", facts(_conditions(record))),
        ],
    )


def _subtitle(record: ProfileRecord) -> str:
    device = record.machine.gpu if record.engine.backend == "tensorrt" else record.machine.cpu
    return f"{record.engine.backend} {record.runner['version']} on {device}, {record.started_utc}"


def _sentence(text: str) -> str:
    # A command at the end stays without a period, so that it can be copied.
    return f"{text[:1].upper()}{text[1:]}{'' if 'Next: ' in text else '.'}"


def _headlines(record: ProfileRecord) -> list[Headline]:
    costliest = kind_totals(record)[0]
    return [
        Headline(f"{record.network.p50_ms:.2f} ms", "network, without the profiler"),
        Headline(f"{record.layer_sum.p50_ms:.2f} ms", "sum of layers, with it"),
        Headline(str(len(record.layers)), "layers"),
        Headline(f"{costliest.share:.0%}", f"in {costliest.kind}"),
    ]


def _kind_colors(record: ProfileRecord) -> dict[str, str]:
    kinds = [total.kind for total in kind_totals(record)]
    return {kind: _COLORS[index] if index < len(_COLORS) else _REST for index, kind in enumerate(kinds)}


def _legend(record: ProfileRecord, colors: dict[str, str]) -> list[tuple[str, str]]:
    """Return pairs of a color and what it means, the costliest kind first."""
    totals = kind_totals(record)
    entries = [
        (colors[total.kind], f"{total.kind} {total.share:.1%}") for total in totals if colors[total.kind] != _REST
    ]
    rest = [total for total in totals if colors[total.kind] == _REST]
    if rest:
        entries.append((_REST, f"{len(rest)} more {sum(total.share for total in rest):.1%}"))
    return entries


def _segments(record: ProfileRecord, colors: dict[str, str], ranks: dict[int, int]) -> list[Segment]:
    segments = []
    for layer in record.layers:
        rank = ranks[id(layer)]
        text = f"{rank}: {layer.name}\n{layer.kind}, {layer.p50_ms:.3f} ms, {layer.share:.1%}"
        segments.append(Segment(layer.p50_ms, str(rank), text, colors[layer.kind]))
    return segments


def _kind_cell(kind: str, colors: dict[str, str]) -> Html:
    return joined(color_key(colors[kind]), kind)


def _kind_table(record: ProfileRecord, colors: dict[str, str]) -> Html:
    columns = [*map(Column, ("kind", "layers", "p50 ms", "share"))]
    rows = [
        [_kind_cell(total.kind, colors), str(total.count), f"{total.p50_ms:.3f}", f"{total.share:.1%}"]
        for total in kind_totals(record)
    ]
    return table(columns, rows)


def _layer_table(record: ProfileRecord, colors: dict[str, str], ranks: dict[int, int]) -> Html:
    columns = [Column("", NUMBER), Column("layer", TEXT), Column("kind", WORD), Column("precision", WORD)]
    columns += map(Column, ("p50 ms", "mean ms", "share", "rank"))
    rows = [
        [
            str(number),
            layer.name,
            _kind_cell(layer.kind, colors),
            layer.precision or "-",
            f"{layer.p50_ms:.3f}",
            f"{layer.mean_ms:.3f}",
            f"{layer.share:.1%}",
            str(ranks[id(layer)]),
        ]
        for number, layer in enumerate(record.layers, 1)
    ]
    return table(columns, rows, is_dense=True)


def _conditions(record: ProfileRecord) -> dict[str, str]:
    engine = record.engine
    return {
        "weights": engine.contract.weights.sentence(),
        "clock of a layer": record.clock,
        "clock of the network": "from a prepared frame in host memory to its outputs in host memory, without the "
        f"profiler; {record.network.sample_count} runs, half before the profile and half after it",
        "runs": f"{record.runs} after {record.warmup_runs} to warm up",
        "frame": f"{record.frame_name} of {record.input}",
        "runner": ", ".join(f"{name} {value}" for name, value in record.runner.items()),
        "machine": f"{record.machine.cpu}, {record.machine.cpu_count} cores, {record.machine.system}",
        "engine": f"{engine.engine_file}, {engine.engine_bytes} bytes, built {engine.built_utc}",
    }
