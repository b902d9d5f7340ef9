"""Time of one layer, as every runtime's profiler gives it."""

from __future__ import annotations

from dataclasses import dataclass

WARMUP_RUNS = 2
"""Runs of a profile before those that count: the first takes memory and makes the profiler's own events."""

OTHER = "other"
"""Kind of a layer of which neither its type nor its name says what it does."""


@dataclass(frozen=True)
class LayerTime:
    """One layer of an engine as the backend runs it: fused, split or added by it, so not always one of the model's.

    Attributes:
        name: as the backend has it; several layers may have the same.
        kind: what it does, such as Conv or Reformat; OTHER where that is not known.
        precision: what its first input is held in, such as "int8", and what its first output is where that differs
            ("float32 to int8"); None where the backend does not say.
        milliseconds: of each run, in their order.
    """

    name: str
    kind: str
    precision: str | None
    milliseconds: tuple[float, ...]


def layer_precision(source: str | None, result: str | None) -> str | None:
    """Return the precision of a layer from that of its first input and of its first output; None for an unknown one."""
    if source is None or result is None or source == result:
        return source or result
    return f"{source} to {result}"
