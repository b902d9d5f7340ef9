"""profile.html: where the time of an engine goes, in one file that fetches nothing."""

from __future__ import annotations

import html
from pathlib import Path

from edge.artifacts import write_text
from edge.bench.charts import Bar, bars
from edge.bench.profile_record import LayerProfile, ProfileRecord, by_cost, kind_totals, sum_sentence

PROFILE_PAGE = "profile.html"

_COLORS = ("#3b6fb6", "#d9822b", "#2c8a4b", "#b5508c", "#1f9aa8", "#8a6d3b", "#7a5cc0", "#c8362f")
"""Of the costliest kinds, in this order; they are told apart on white and on black."""

_REST = "#8a93a0"
_STRIP_WIDTH, _STRIP_HEIGHT = 960, 44
_WIDTH_OF_NUMBER = 16.0
"""Pixels that a layer of the strip needs to carry its number."""

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --faint: #5a6675; --line: #dde2ea; --paper: #fff; --note: #fff4d6; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e8ee; --faint: #a3adba; --line: #39424e; --paper: #14181e; --note: #3d3413; }
}
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; color: var(--ink);
  background: var(--paper); }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: .2rem .7rem; text-align: right; white-space: nowrap; } th { color: var(--faint); }
td.text, th.text { text-align: left; } td.name { text-align: left; white-space: normal; overflow-wrap: anywhere; }
tr + tr td { border-top: 1px solid var(--line); } .faint { color: var(--faint); }
.big { display: flex; gap: 2.5rem; margin: 1rem 0; flex-wrap: wrap; } .big b { font-size: 1.7rem; display: block; }
.note { background: var(--note); padding: .5rem 1rem; border-radius: .3rem; overflow-wrap: anywhere; }
.legend span { display: inline-block; margin-right: 1rem; white-space: nowrap; }
i.key { display: inline-block; width: .8em; height: .8em; border-radius: .15em; margin-right: .4em; }
svg { max-width: 100%; height: auto; } svg text { fill: var(--ink); } svg text.on { fill: #fff; }
.wide { overflow-x: auto; }
"""


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
    title = html.escape(f"Profile of {contract.model} {record.engine.precision}, {contract.height}x{contract.width}")
    colors = _kind_colors(record)
    ranked = by_cost(record)
    numbers = {id(layer): number for number, layer in enumerate(ranked, 1)}
    parts = [f"<h1>{title}</h1>", f'<p class="faint">{html.escape(_subtitle(record))}</p>', _headline(record)]
    parts.append(f"<p>{html.escape(_sentence(sum_sentence(record)))}</p>")
    parts += [f'<p class="note">{html.escape(_sentence(note))}</p>' for note in record.notes]
    parts += ["<h2>The network in the order of execution</h2>", _legend(record, colors)]
    parts.append(_strip(record, colors, numbers))
    parts.append('<p class="faint">A layer is as wide as its share of the time; numbers are ranks by cost.</p>')
    shown = [
        Bar(f"{number}  {layer.name}", layer.p50_ms, f"{layer.p50_ms:.3f} ms, {layer.share:.1%}", colors[layer.kind])
        for number, layer in enumerate(ranked[:top], 1)
    ]
    parts += ["<h2>Costliest layers</h2>", bars(shown, f"median of {record.runs} runs")]
    parts += ["<h2>Kinds of layers</h2>", _kind_table(record, colors)]
    parts += ["<h2>All layers</h2>", _layer_table(record, colors, numbers)]
    parts += ["<h2>How it was measured</h2>", _conditions(record)]
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _subtitle(record: ProfileRecord) -> str:
    device = record.machine.gpu if record.engine.backend == "tensorrt" else record.machine.cpu
    return f"{record.engine.backend} {record.runner['version']} on {device}, {record.started_utc}"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _headline(record: ProfileRecord) -> str:
    costliest = kind_totals(record)[0]
    cells = (
        (f"{record.network.p50_ms:.2f} ms", "network, without the profiler"),
        (f"{record.layer_sum.p50_ms:.2f} ms", "sum of layers, with it"),
        (str(len(record.layers)), "layers"),
        (f"{costliest.share:.0%}", f"in {costliest.kind}"),
    )
    return '<div class="big">' + "".join(f"<div><b>{big}</b>{html.escape(n)}</div>" for big, n in cells) + "</div>"


def _kind_colors(record: ProfileRecord) -> dict[str, str]:
    kinds = [total.kind for total in kind_totals(record)]
    return {kind: _COLORS[index] if index < len(_COLORS) else _REST for index, kind in enumerate(kinds)}


def _key(color: str) -> str:
    return f'<i class="key" style="background:{color}"></i>'


def _legend(record: ProfileRecord, colors: dict[str, str]) -> str:
    named = [total for total in kind_totals(record) if colors[total.kind] != _REST]
    words = [f"<span>{_key(colors[kind.kind])}{html.escape(kind.kind)} {kind.share:.1%}</span>" for kind in named]
    rest = [total for total in kind_totals(record) if colors[total.kind] == _REST]
    if rest:
        words.append(f"<span>{_key(_REST)}{len(rest)} more {sum(kind.share for kind in rest):.1%}</span>")
    return f'<p class="legend">{"".join(words)}</p>'


def _strip(record: ProfileRecord, colors: dict[str, str], numbers: dict[int, int]) -> str:
    """Draw all layers side by side, with a scale of milliseconds below."""
    parts, x = [], 0.0
    for layer in record.layers:
        width = _STRIP_WIDTH * layer.share
        said = f"{numbers[id(layer)]}: {layer.name}\n{layer.kind}, {layer.p50_ms:.3f} ms, {layer.share:.1%}"
        # A hair of paper between two layers, as long as that leaves something of them.
        drawn = max(width - 0.6, width / 2)
        shape = f'<rect x="{x:.2f}" y="0" width="{drawn:.2f}" height="{_STRIP_HEIGHT}" fill="{colors[layer.kind]}"/>'
        number = ""
        if width >= _WIDTH_OF_NUMBER:
            place = f'x="{x + width / 2:.1f}" y="{_STRIP_HEIGHT / 2 + 4:.0f}"'
            number = f'<text class="on" {place} font-size="11" text-anchor="middle">{numbers[id(layer)]}</text>'
        parts.append(f"<g><title>{html.escape(said)}</title>{shape}{number}</g>")
        x += width
    whole_ms = sum(layer.p50_ms for layer in record.layers)
    for step in range(5):
        anchor = ("start", "middle", "middle", "middle", "end")[step]
        place = f'x="{_STRIP_WIDTH * step / 4:.0f}" y="{_STRIP_HEIGHT + 18}"'
        parts.append(f'<text {place} font-size="12" text-anchor="{anchor}">{whole_ms * step / 4:.2f} ms</text>')
    height = _STRIP_HEIGHT + 24
    return (
        f'<svg viewBox="0 0 {_STRIP_WIDTH} {height}" width="{_STRIP_WIDTH}" height="{height}" '
        f'font-family="system-ui, sans-serif" role="img">{"".join(parts)}</svg>'
    )


def _kind_table(record: ProfileRecord, colors: dict[str, str]) -> str:
    rows = ['<tr><th class="text">kind</th><th>layers</th><th>p50 ms</th><th>share</th></tr>']
    for total in kind_totals(record):
        name = f'<td class="text">{_key(colors[total.kind])}{html.escape(total.kind)}</td>'
        rows.append(f"<tr>{name}<td>{total.count}</td><td>{total.p50_ms:.3f}</td><td>{total.share:.1%}</td></tr>")
    return f"<table>{''.join(rows)}</table>"


def _layer_table(record: ProfileRecord, colors: dict[str, str], numbers: dict[int, int]) -> str:
    heads = ("p50 ms", "mean ms", "share", "rank")
    rows = [
        '<tr><th></th><th class="text">layer</th><th class="text">kind</th><th class="text">precision</th>'
        + "".join(f"<th>{head}</th>" for head in heads)
        + "</tr>"
    ]
    rows += [_layer_row(index, layer, colors, numbers) for index, layer in enumerate(record.layers, 1)]
    return f'<div class="wide"><table>{"".join(rows)}</table></div>'


def _layer_row(index: int, layer: LayerProfile, colors: dict[str, str], numbers: dict[int, int]) -> str:
    return (
        f'<tr><td>{index}</td><td class="name">{html.escape(layer.name)}</td>'
        f'<td class="text">{_key(colors[layer.kind])}{html.escape(layer.kind)}</td>'
        f'<td class="text">{html.escape(layer.precision or "-")}</td><td>{layer.p50_ms:.3f}</td>'
        f"<td>{layer.mean_ms:.3f}</td><td>{layer.share:.1%}</td><td>{numbers[id(layer)]}</td></tr>"
    )


def _conditions(record: ProfileRecord) -> str:
    engine = record.engine
    facts = {
        "clock of a layer": record.clock,
        "clock of the network": "from a prepared frame in host memory to its outputs in host memory, without the "
        f"profiler; {record.network.sample_count} runs, half before the profile and half after it",
        "runs": f"{record.runs} after {record.warmup_runs} to warm up",
        "frame": f"{record.frame_name} of {record.input}",
        "runner": ", ".join(f"{name} {value}" for name, value in record.runner.items()),
        "machine": f"{record.machine.cpu}, {record.machine.cpu_count} cores, {record.machine.system}",
        "engine": f"{engine.engine_file}, {engine.engine_bytes} bytes, built {engine.built_utc}",
    }
    rows = "".join(
        f'<tr><td class="text">{name}</td><td class="name">{html.escape(str(value))}</td></tr>'
        for name, value in facts.items()
    )
    return f"<table>{rows}</table>"
