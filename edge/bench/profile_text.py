"""Text form of a profile for a terminal: kinds of layers, then the costliest layers."""

from __future__ import annotations

import sys

from edge.bench.profile_record import ProfileRecord, by_cost, kind_totals, sum_sentence
from edge.console import stand_out
from edge.page.svg import shortened

_NO_PRECISION = "-"
_MIN_NAME_CHARACTERS = 24
"""Fewest characters of a shortened name, also on a narrow terminal."""


def profile_lines(record: ProfileRecord, top: int, width: int | None = None) -> list[str]:
    """Return the lines that a terminal shows of a profile.

    Args:
        record: Profile that is shown.
        top: Number of layers that are shown, the costliest first; 0 for all.
        width: Columns of the terminal; longer names are shortened in the middle. None shortens none.
    """
    contract, ranked = record.engine.contract, by_cost(record)
    shown = ranked[: top or len(ranked)]
    lines = [stand_out(contract.weights.warning(), sys.stdout)] if contract.weights.is_random else []
    lines += [
        f"{contract.model} {record.engine.precision} {contract.height}x{contract.width} on {record.runner['device']} "
        f"with {record.engine.backend} {record.runner['version']}",
        f"{record.runs} runs after {record.warmup_runs} to warm up, on {record.frame_name} of {record.input}",
        sum_sentence(record),
        *filter(None, [record.disturbance()]),
        *(f"note: {note}" for note in record.notes),
        "",
        *_kind_lines(record),
        "",
        *_layer_lines(record, shown, width),
    ]
    rest = ranked[len(shown) :]
    if rest:
        rest_ms, share = sum(layer.middle_mean_ms for layer in rest), sum(layer.share for layer in rest)
        lines.append(f"and {len(rest)} more, {rest_ms:.3f} ms ({share:.1%}). All of them: --top 0")
    return lines


def _kind_lines(record: ProfileRecord) -> list[str]:
    totals = kind_totals(record)
    size = max(len("kind"), *(len(total.kind) for total in totals))
    lines = [f"{'kind':{size}}  layers         ms   share"]
    for total in totals:
        bar = "#" * round(30 * total.share)
        row = f"{total.kind:{size}}  {total.count:6d}  {total.middle_mean_ms:9.3f}  {total.share:6.1%}  {bar}"
        lines.append(row.rstrip())
    lines.append(f"{'all':{size}}  {len(record.layers):6d}  {record.layers_ms():9.3f}  {1:6.1%}")
    return lines


def _layer_lines(record: ProfileRecord, shown: list, width: int | None) -> list[str]:
    kind_size = max(len("kind"), *(len(layer.kind) for layer in shown))
    precision_size = max(len("precision"), *(len(layer.precision or _NO_PRECISION) for layer in shown))
    head = f"       ms    ms p50   share  so far  {'kind':{kind_size}}  {'precision':{precision_size}}  "
    so_far, lines = 0.0, [f"{head}layer"]
    longest = None if width is None else max(_MIN_NAME_CHARACTERS, width - len(head))
    for layer in shown:
        so_far += layer.share
        name = layer.name if longest is None else shortened(layer.name, longest)
        lines.append(
            f"{layer.middle_mean_ms:9.3f} {layer.p50_ms:9.3f}  {layer.share:6.1%}  {so_far:6.1%}  "
            f"{layer.kind:{kind_size}}  "
            f"{layer.precision or _NO_PRECISION:{precision_size}}  {name}"
        )
    return lines
