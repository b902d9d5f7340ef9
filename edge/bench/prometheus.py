"""The figures of a benchmark as the text file that node_exporter's textfile collector reads.

Source: Prometheus, "Exposition formats", text format 0.0.4; "Metric and label naming" (base units, a name of a program
in front); node_exporter's README, "Textfile Collector" (files end in .prom and have to appear whole).
"""

from __future__ import annotations

import datetime
import math
from pathlib import Path
from typing import Iterator

from edge.artifacts import write_text
from edge.bench.bench_record import BenchRecord
from edge.telemetry.power_record import inside_window, throttled_s

_PREFIX = "segedge_bench"


def write_prometheus(path: str | Path, record: BenchRecord) -> None:
    """Write the figures of a record as a file for node_exporter, whole or not at all.

    Args:
        path: File, whose name has to end in .prom for node_exporter to read it.
        record: Record of the run.

    Raises:
        StorageError: The file cannot be written.
    """
    write_text(path, prometheus_text(record))


def prometheus_text(record: BenchRecord) -> str:
    """Return the figures of a record in Prometheus' text format; what was not measured is left out, never 0.

    Every figure carries the labels of its engine, so that those of several engines may stand in one dashboard.

    Args:
        record: Record of the run.
    """
    contract = record.engine.contract
    labels = {
        "model": contract.model,
        "dataset": contract.dataset,
        "precision": record.engine.precision,
        "backend": record.engine.backend,
        "size": f"{contract.height}x{contract.width}",
    }
    lines: list[str] = []
    for name, meaning, values in _metrics(record):
        known = [(extra, value) for extra, value in values if value is not None and math.isfinite(value)]
        if known:
            lines += [f"# HELP {_PREFIX}_{name} {_escaped(meaning)}", f"# TYPE {_PREFIX}_{name} gauge"]
            lines += [f"{_PREFIX}_{name}{_label_text({**labels, **extra})} {value!r}" for extra, value in known]
    return "".join(f"{line}\n" for line in lines)


def _metrics(record: BenchRecord) -> Iterator[tuple[str, str, list[tuple[dict[str, str], float | None]]]]:
    """Yield the name of each figure, its meaning, and its values with the labels that tell them apart."""
    latency, power, accuracy, judged = record.end_to_end, record.power, record.accuracy, record.validity
    yield "valid", "Whether the run is valid by all rules (1) or not (0).", [({}, _flag(judged and judged.is_valid))]
    yield "info", "Run that the figures are of.", [({"run_id": record.run_id, "input": record.input}, 1.0)]
    yield "start_time_seconds", "Start of the run, in seconds since 1970.", [({}, _unix_time(record.started_utc))]
    yield "frames", "Measured frames.", [({}, float(latency.sample_count))]
    yield "duration_seconds", "Length of the measured window.", [({}, record.duration_s)]
    yield "frames_per_second", "Frames per second, end to end.", [({}, record.fps)]
    yield (
        "latency_seconds",
        "Latency of a frame, end to end, by quantile; none that the frames cannot carry.",
        [({"quantile": quantile}, _seconds(value_ms)) for quantile, value_ms in _quantiles(record)],
    )
    yield "latency_max_seconds", "Longest latency of a frame.", [({}, _seconds(latency.max_ms))]
    yield (
        "stage_latency_seconds",
        "Median latency of a stage.",
        [({"stage": stage}, _seconds(statistics.p50_ms)) for stage, statistics in record.stages.items()],
    )
    deadlines = record.scenario.deadlines if record.scenario is not None else None
    if deadlines is not None:
        missed, arrived = deadlines.missed_frames, deadlines.arrived_frames
        yield "deadline_misses", "Frames that were dropped or done after their deadline.", [({}, float(missed))]
        yield "deadline_frames", "Frames that the camera gave.", [({}, float(arrived))]
    if accuracy is not None:
        yield "miou_ratio", "Mean intersection over union, 0 to 1.", [({}, accuracy.miou)]
    if power is not None:
        yield (
            "power_watts",
            "Mean power of everything that the source covers.",
            [({}, _thousandth(power.total.mean_mw))],
        )
        yield (
            "rail_power_watts",
            "Mean power of a rail.",
            [({"rail": name}, _thousandth(rail.mean_mw)) for name, rail in power.rails.items()],
        )
        yield "energy_per_frame_joules", "Energy of a frame.", [({}, _thousandth(power.energy_per_frame_mj))]
        yield (
            "energy_per_frame_uncertainty_joules",
            "Half width of the interval of 95 % of the energy of a frame.",
            [({}, _thousandth(power.energy_per_frame_uncertainty_mj))],
        )
        yield (
            "net_energy_per_frame_joules",
            "Energy of a frame without that of the idle machine.",
            [({}, _thousandth(power.net_energy_per_frame_mj))],
        )
        yield (
            "temperature_max_celsius",
            "Highest temperature of a sensor in the measured window.",
            [
                ({"sensor": name}, max(inside_window(power, values), default=None))
                for name, values in power.temperatures_c.items()
            ],
        )
        yield "throttled_seconds", "Time in the measured window that was throttled.", [({}, throttled_s(power))]


def _quantiles(record: BenchRecord) -> list[tuple[str, float | None]]:
    latency = record.end_to_end
    names = (("0.5", "p50_ms"), ("0.9", "p90_ms"), ("0.95", "p95_ms"), ("0.99", "p99_ms"), ("0.999", "p99_9_ms"))
    return [(quantile, getattr(latency, name, None)) for quantile, name in names]


def _label_text(labels: dict[str, str]) -> str:
    quoted = (f'{name}="{_escaped(value, quotes=True)}"' for name, value in labels.items())
    return "{" + ",".join(quoted) + "}"


def _escaped(text: str, quotes: bool = False) -> str:
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n")
    return escaped.replace('"', '\\"') if quotes else escaped


def _flag(value: bool | None) -> float | None:
    return None if value is None else float(value)


def _seconds(value_ms: float | None) -> float | None:
    return None if value_ms is None else value_ms / 1e3


def _thousandth(value: float | None) -> float | None:
    return None if value is None else value / 1e3


def _unix_time(utc: str) -> float | None:
    try:
        return datetime.datetime.fromisoformat(utc).timestamp()
    except ValueError:
        return None
