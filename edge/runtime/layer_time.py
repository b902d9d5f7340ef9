"""Time of one layer, in the one form that the profilers of all runtimes give."""

from __future__ import annotations

from dataclasses import dataclass

WARMUP_RUNS = 2
"""Runs of a profile before the measured ones: the first allocates memory and creates the profiler's events."""

OTHER = "other"
"""Kind of a layer whose type and name do not tell what it computes."""


@dataclass(frozen=True)
class LayerTime:
    """Times of one layer as the backend runs it: fused, split or added, so not always a layer of the model.

    Attributes:
        name: Name of the layer in the backend; several layers may have the same name.
        kind: Kind of the computation, such as "Conv" or "Reformat"; OTHER where that is not known.
        precision: Data type of the first input, such as "int8"; "float32 to int8" where the first output has another
            one; None where the backend does not tell it.
        milliseconds: Time of each run in milliseconds, in the order of the runs.
    """

    name: str
    kind: str
    precision: str | None
    milliseconds: tuple[float, ...]


def layer_precision(source: str | None, result: str | None) -> str | None:
    """Return the precision of a layer as a text, such as "int8" or "float32 to int8"; None where it is unknown.

    Args:
        source: Data type of the layer's first input; None for an unknown one.
        result: Data type of the layer's first output; None for an unknown one.
    """
    if source is None or result is None or source == result:
        return source or result
    return f"{source} to {result}"
