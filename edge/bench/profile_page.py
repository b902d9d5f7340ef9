"""profile.html: where the time of an engine goes, in one file that fetches nothing."""

from __future__ import annotations

from pathlib import Path

from edge.artifacts import write_text
from edge.bench.profile_record import ProfileRecord, by_cost, kind_totals, sum_sentence
from edge.bench.random_banner import random_banner
from edge.page.charts import Bar, Segment, bars, strip_chart
from edge.page.document import document
from edge.page.elements import (
    DOUBT,
    NEUTRAL,
    Headline,
    banner,
    color_key,
    headlines,
    legend,
    paragraph,
    section,
    warnings_box,
)
from edge.page.markup import Html, joined
from edge.page.tables import NUMBER, TEXT, WORD, Column, facts, table

PROFILE_PAGE = "profile.html"

KIND_COLORS = ("#3b6fb6", "#a25f1d", "#287f45", "#b04b87", "#197b86", "#6b7420", "#7a5cc0", "#c8362f")
"""Colours for the costliest kinds, in this order: white text can be read on them, and they are told apart on white and
on black."""

_REST = "#67707e"


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
        Bar(
            f"{rank}  {layer.name}",
            layer.middle_mean_ms,
            f"{layer.middle_mean_ms:.3f} ms, {layer.share:.1%}",
            colors[layer.kind],
        )
        for rank, layer in enumerate(ranked[:top], 1)
    ]
    widths = "A layer is as wide as its share of the time; numbers are ranks by cost."
    return document(
        title,
        _subtitle(record),
        [
            random_banner(contract.weights),
            _verdict(record),
            headlines(_headlines(record)),
            warnings_box([_sentence(remark) for remark in record.notes]),
            section(
                "The network in the order of execution",
                legend(_legend(record, colors)),
                strip_chart(_segments(record, colors, ranks), "ms", "layers in the order of execution"),
                paragraph(widths, is_faint=True),
            ),
            section("Costliest layers", bars(costliest, _clock_words(record))),
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


def _verdict(record: ProfileRecord) -> Html:
    first, kind = by_cost(record)[0], kind_totals(record)[0]
    title = f"{kind.share:.0%} of the time is {kind.kind}, {first.share:.0%} in one layer"
    sentences = [f"Costliest layer: {first.name}, {first.middle_mean_ms:.3f} ms.", _sentence(sum_sentence(record))]
    if record.disturbance():
        return banner(DOUBT, "Disturbed measurement", [_sentence(record.disturbance()), f"{title}.", *sentences])
    return banner(NEUTRAL, title, sentences)


def _clock_words(record: ProfileRecord) -> str:
    return f"Mean over the middle half of {record.runs} runs" if record.runs > 3 else f"Mean of {record.runs} runs"


def _headlines(record: ProfileRecord) -> list[Headline]:
    costliest = kind_totals(record)[0]
    return [
        Headline(f"{record.network_middle_mean_ms:.2f} ms", "network, without the profiler"),
        Headline(f"{record.layers_ms():.2f} ms", "sum of layers, with it"),
        Headline(str(len(record.layers)), "layers"),
        Headline(f"{costliest.share:.0%}", f"in {costliest.kind}"),
    ]


def _kind_colors(record: ProfileRecord) -> dict[str, str]:
    kinds = [total.kind for total in kind_totals(record)]
    return {kind: KIND_COLORS[index] if index < len(KIND_COLORS) else _REST for index, kind in enumerate(kinds)}


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
        text = f"{rank}: {layer.name}\n{layer.kind}, {layer.middle_mean_ms:.3f} ms, {layer.share:.1%}"
        segments.append(Segment(layer.middle_mean_ms, str(rank), text, colors[layer.kind]))
    return segments


def _kind_cell(kind: str, colors: dict[str, str]) -> Html:
    return joined(color_key(colors[kind]), kind)


def _kind_table(record: ProfileRecord, colors: dict[str, str]) -> Html:
    columns = [*map(Column, ("kind", "layers", "ms", "share"))]
    rows = [
        [_kind_cell(total.kind, colors), str(total.count), f"{total.middle_mean_ms:.3f}", f"{total.share:.1%}"]
        for total in kind_totals(record)
    ]
    rows.append(["all", str(len(record.layers)), f"{record.layers_ms():.3f}", f"{1:.1%}"])
    return table(columns, rows, last_is_sum=True)


def _layer_table(record: ProfileRecord, colors: dict[str, str], ranks: dict[int, int]) -> Html:
    columns = [Column("no.", NUMBER), Column("layer", TEXT), Column("kind", WORD), Column("precision", WORD)]
    columns += map(Column, ("ms", "p50 ms", "share", "rank"))
    rows = [
        [
            str(number),
            layer.name,
            _kind_cell(layer.kind, colors),
            layer.precision or "-",
            f"{layer.middle_mean_ms:.3f}",
            f"{layer.p50_ms:.3f}",
            f"{layer.share:.1%}",
            str(ranks[id(layer)]),
        ]
        for number, layer in enumerate(record.layers, 1)
    ]
    rows.append(["", "all layers", "", "", f"{record.layers_ms():.3f}", "", f"{1:.1%}", ""])
    return table(columns, rows, last_is_sum=True, is_dense=True)


def _conditions(record: ProfileRecord) -> dict[str, str]:
    engine = record.engine
    return {
        "weights": engine.contract.weights.sentence(),
        "clock of a layer": record.clock,
        "clock of the network": "from a prepared frame in host memory to its outputs in host memory, without the "
        f"profiler; {record.network.sample_count} runs, half before the profile and half after it",
        "runs": f"{record.runs} after {record.warmup_runs} to warm up",
        "time of a layer": "mean over the middle half of the runs by the sum of their layers, so that the layers add "
        "up to the sum in the head; medians (p50) of layers do not",
        "frame": f"{record.frame_name} of {record.input}",
        "runner": ", ".join(f"{name} {value}" for name, value in record.runner.items()),
        "machine": f"{record.machine.cpu}, {record.machine.cpu_count} cores, {record.machine.system}",
        "load meanwhile": record.load.sentence() if record.load is not None else "not known",
        "engine": f"{engine.engine_file}, {engine.engine_bytes} bytes, built {engine.built_utc}",
    }
