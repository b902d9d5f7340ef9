"""The record of one profile, which says how much time each layer of an engine takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge.card import EngineCard
from edge.frame_statistics.percentiles import LatencyStatistics
from edge.machine import Machine
from edge.machine_load import MachineLoad
from edge.records import record

PROFILE_FILE = "profile.json"


@record(schema=2, what="profile of a layer")
class LayerProfile:
    """Time of one layer as the backend runs it.

    Attributes:
        name: Name of the layer in the backend; several layers may have the same name.
        kind: Kind of the computation, such as "Conv" or "Reformat"; "other" where that is not known.
        precision: Data type of the first input, such as "int8"; "float32 to int8" where the first output has another
            one; None where the backend does not tell it.
        middle_mean_ms: Mean time in ms over the middle half of the runs, by the sum of their layers. Means of the same
            runs add up, which medians do not; and a run that something else held up is not among them.
        p50_ms: Median time of all runs in ms.
        share: Share of `middle_mean_ms` in its sum over all layers, 0 to 1.
    """

    name: str
    kind: str
    precision: str | None
    middle_mean_ms: float
    p50_ms: float
    share: float


@record(schema=2, what="layer profile", made_by="edge-bench profile --output")
class ProfileRecord:
    """Result of one run of `edge-bench profile`.

    A profiler costs time itself, and there is time between layers that belongs to no layer. So the whole network is
    also measured without the profiler, half of the runs before the profile and half after it, and both are kept.

    Attributes:
        engine: Card of the profiled engine.
        machine: Machine on which the profile was measured.
        runner: Version, device and threads of the backend.
        clock: Text that names the profiler and its clock.
        input: Origin of the frame as a text, such as "camvid val".
        frame_name: Name of the one frame that every run uses.
        warmup_runs: Number of runs before the measured ones.
        runs: Number of measured runs.
        layers: Times of the layers in the order of execution.
        layer_sum: Sum of all layers of a run, with the profiler on, over all runs.
        network: Time of the whole network without the profiler, from a prepared frame to its outputs, both in host
            memory.
        network_middle_mean_ms: Mean time in ms over the middle half of the runs of the whole network, as for layers.
        notes: Sentences that a reader of the figures has to know.
        started_utc: Start of the profile in UTC, ISO 8601.
        load: Load of the machine during all runs; None where the system does not count it.
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
    network_middle_mean_ms: float
    notes: tuple[str, ...]
    started_utc: str
    load: MachineLoad | None = None

    def layers_ms(self) -> float:
        """Return the time of all layers of a frame in ms, for head and tables alike: the sum of `middle_mean_ms`."""
        return sum(layer.middle_mean_ms for layer in self.layers)

    def disturbance(self) -> str:
        """Return what spoiled the figures, and the remedy; "" where nothing is known to."""
        return self.load.disturbance() if self.load is not None else ""


@dataclass(frozen=True)
class KindTotal:
    """Sum of all layers of one kind.

    Attributes:
        kind: Kind of the computation, such as "Conv".
        count: Number of layers of this kind.
        middle_mean_ms: Sum of the layers' times in ms.
        share: Share in the time of all layers, 0 to 1.
    """

    kind: str
    count: int
    middle_mean_ms: float
    share: float


def by_cost(record: ProfileRecord) -> list[LayerProfile]:
    """Return the layers of a profile, the costliest first."""
    return sorted(record.layers, key=lambda layer: -layer.middle_mean_ms)


def kind_totals(record: ProfileRecord) -> list[KindTotal]:
    """Return the totals of the kinds of layers, the costliest first."""
    members: dict[str, list[LayerProfile]] = {}
    for layer in record.layers:
        members.setdefault(layer.kind, []).append(layer)
    totals = [
        KindTotal(kind, len(found), sum(layer.middle_mean_ms for layer in found), sum(layer.share for layer in found))
        for kind, found in members.items()
    ]
    return sorted(totals, key=lambda total: -total.middle_mean_ms)


def sum_sentence(record: ProfileRecord) -> str:
    """Return a sentence that compares the sum of the layers with the network's time without the profiler.

    Where a tenth of the runs of the faster one took as long as the slower one, the machine made the difference.
    """
    layers_ms, network_ms = record.layers_ms(), record.network_middle_mean_ms
    difference_ms, share = abs(layers_ms - network_ms), abs(layers_ms / network_ms - 1)
    faster = record.network if layers_ms > network_ms else record.layer_sum
    longest_ms = faster.max_ms if faster.p90_ms is None else faster.p90_ms
    said = f"layers add up to {layers_ms:.3f} ms, the network without the profiler takes {network_ms:.3f} ms"
    if longest_ms >= max(layers_ms, network_ms):
        which = "without it" if layers_ms > network_ms else "with it"
        return f"{said}; the difference says nothing, since some runs {which} took {longest_ms:.3f} ms"
    if layers_ms > network_ms:
        return (
            f"{said}: with the profiler on there are {difference_ms:.3f} ms more ({share:.1%}), which it costs itself"
        )
    return f"{said}: {difference_ms:.3f} ms of it ({share:.1%}) are no layer's, such as copies"
