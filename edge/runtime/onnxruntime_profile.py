"""Reading of the file that ONNX Runtime's profiler writes, as times of layers.

The profiler writes a list of events. Each run of a kernel is one event, in the order of execution, named after the
kernel with "_kernel_time" behind. Version 1.19 also writes "_fence_before" and "_fence_after" around it, and names a
kernel without a name after its operator ("QLinearConv_token_38").
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edge.errors import BackendError
from edge.runtime.layer_time import OTHER, LayerTime, layer_precision

_KERNEL_TIME = "_kernel_time"

_PRECISIONS = {"float": "float32", "double": "float64"}
"""Type in ONNX Runtime's spelling -> NumPy's name, where the two differ."""


def read_kernel_times(trace: Path, warmup_runs: int, runs: int) -> list[LayerTime]:
    """Read the file that a session's `end_profiling` names.

    Args:
        trace: Path of the file.
        warmup_runs: Number of first runs that are not measured.
        runs: Number of measured runs after them.

    Returns:
        Times of the kernels in the order of execution, with `runs` times each. Kernels of one name stay apart.

    Raises:
        BackendError: The file is damaged, or does not name a kernel equally often in every run.
    """
    try:
        events = json.loads(trace.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BackendError(f"profile of ONNX Runtime {trace.name} cannot be read: {error}") from None
    total = warmup_runs + runs
    by_name: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_KERNEL_TIME):
            by_name.setdefault(event["name"][: -len(_KERNEL_TIME)], []).append(event)
    kernels: list[tuple[float, LayerTime]] = []
    for name, seen in by_name.items():
        count, rest = divmod(len(seen), total)
        if rest:
            # The profiler keeps a million events and drops what comes after them.
            raise BackendError(
                f"ONNX Runtime's profile has kernel {name} {len(seen)} times in {total} runs, expected as often in "
                "each. Next: profile fewer runs"
            )
        for index in range(count):
            # A name may be that of several kernels: within a run they come in the order of execution.
            one = seen[index::count]
            times = tuple(event["dur"] / 1e3 for event in one[warmup_runs:])
            kernels.append((one[0].get("ts", 0), _layer_time(name, one[0].get("args", {}), times)))
    kernels.sort(key=lambda kernel: kernel[0])
    return [kernel for _, kernel in kernels]


def _layer_time(name: str, facts: dict[str, Any], milliseconds: tuple[float, ...]) -> LayerTime:
    precision = layer_precision(_first_type(facts.get("input_type_shape")), _first_type(facts.get("output_type_shape")))
    return LayerTime(name, facts.get("op_name") or OTHER, precision, milliseconds)


def _first_type(tensors: Any) -> str | None:
    """Return the type of the first tensor of a list such as [{"uint8": [1, 3]}, {"float": []}]."""
    name = next(iter(tensors[0]), None) if tensors else None
    return _PRECISIONS.get(name, name) if name is not None else None
