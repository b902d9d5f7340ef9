"""The record of one profile: where the time of an engine goes, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge.bench.percentiles import LatencyStatistics
from edge.card import EngineCard
from edge.machine import Machine
from edge.records import record

PROFILE_FILE = "profile.json"


@record(schema=1, what="profile of a layer")
class LayerProfile:
    """Time of one layer, as the backend runs it.

    Attributes:
        name: as the backend has it; several layers may have the same.
        kind: what it does, such as Conv or Reformat; "other" where that is not known.
        precision: what its first input is held in, and what its first output is where that differs
            ("float32 to int8"); None where the backend does not say.
        mean_ms: mean of the runs.
        p50_ms: their median.
        share: of the median in the sum of all layers' medians, 0 to 1: one run that was held up by something
            else on the machine would make its layers look costly by their mean.
    """

    name: str
    kind: str
    precision: str | None
    mean_ms: float
    p50_ms: float
    share: float


@record(schema=1, what="layer profile")
class ProfileRecord:
    """One run of edge-bench profile.

    A profiler costs time itself, and there is time between layers that is no layer's. So the whole network is also
    measured without the profiler, half of the runs before the profile and half after it, and both are kept.

    Attributes:
        engine: card of the engine.
        machine: where it ran.
        runner: version, device and threads of the backend.
        clock: what measures a layer.
        input: where the frame comes from.
        frame_name: of the one frame that every run takes.
        warmup_runs: runs of the profile before those that count.
        runs: runs that count.
        layers: in the order of execution.
        layer_sum: sum of all layers, run by run, with the profiler on.
        network: the whole network without the profiler, from a prepared frame to its outputs, both in host memory.
        notes: sentences that a reader of the figures has to know.
        started_utc: ISO 8601.
    """

    engine: EngineCard
    machine: Machine
    runner: dict[str, Any]
    clock: str
    input: str
    frame_name: str
    warmup_runs: int
    runs: int
    layers: tuple[LayerProfile, ...]
    layer_sum: LatencyStatistics
    network: LatencyStatistics
    notes: tuple[str, ...]
    started_utc: str


@dataclass(frozen=True)
class KindTotal:
    """All layers of one kind.

    Attributes:
        kind: what they do.
        count: how many there are.
        p50_ms: sum of their medians.
        share: of all layers' time, 0 to 1.
    """

    kind: str
    count: int
    p50_ms: float
    share: float


def by_cost(record: ProfileRecord) -> list[LayerProfile]:
    """Return the layers, costliest first."""
    return sorted(record.layers, key=lambda layer: -layer.p50_ms)


def kind_totals(record: ProfileRecord) -> list[KindTotal]:
    """Return the kinds of layers, costliest first."""
    members: dict[str, list[LayerProfile]] = {}
    for layer in record.layers:
        members.setdefault(layer.kind, []).append(layer)
    totals = [
        KindTotal(kind, len(found), sum(layer.p50_ms for layer in found), sum(layer.share for layer in found))
        for kind, found in members.items()
    ]
    return sorted(totals, key=lambda total: -total.p50_ms)


def sum_sentence(record: ProfileRecord) -> str:
    """Say how the layers add up against the network without the profiler: medians, and what lies between them."""
    layers_ms, network_ms = record.layer_sum.p50_ms, record.network.p50_ms
    difference_ms, share = abs(layers_ms - network_ms), abs(layers_ms / network_ms - 1)
    said = f"layers add up to {layers_ms:.3f} ms, the network without the profiler takes {network_ms:.3f} ms"
    if layers_ms > network_ms:
        return (
            f"{said}: with the profiler on there are {difference_ms:.3f} ms more ({share:.1%}), which it costs itself"
        )
    return f"{said}: {difference_ms:.3f} ms of it ({share:.1%}) are no layer's, such as copies"
