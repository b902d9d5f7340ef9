"""The figures of a benchmark record that follow from its frames, and the judgement of the record by all rules."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.bench.frame_samples import FrameSamples
from edge.bench.scenarios.deadlines import deadline_record
from edge.bench.scenarios.scenario_record import ScenarioRecord
from edge.bench.validity import validity
from edge.frame_statistics.percentiles import summarise
from edge.frame_statistics.steady_state import Steadiness, steadiness
from edge.telemetry.power_record import PowerRecord

if TYPE_CHECKING:
    from edge.bench.bench_record import BenchRecord


def frame_figures(
    frames: FrameSamples, frames_in_flight: int, scenario: ScenarioRecord | None = None
) -> dict[str, Any]:
    """Return the fields of a benchmark record that its frames give: field -> value.

    Args:
        frames: Frames of the measured window.
        frames_in_flight: Number of frames that were under way at once. With one, `fps` is one over the mean latency;
            with several, and of a camera, it is frames over time.
        scenario: Rules of the measurement; None in older records.

    Raises:
        InputError: There are no frames.
    """
    end_to_end = summarise(frames.latency_ns)
    duration_s = int(frames.end_ns[-1]) / 1e9
    camera = scenario.camera if scenario is not None else None
    is_of_latencies = frames_in_flight == 1 and camera is None
    figures = {
        "stages": {stage: summarise(values) for stage, values in frames.stages_ns.items()},
        "end_to_end": end_to_end,
        "fps": len(frames) / (int(frames.latency_ns.sum()) / 1e9 if is_of_latencies else duration_s),
        "duration_s": duration_s,
        "samples_ms": {stage: milliseconds(values) for stage, values in frames.stages_ns.items()},
        "samples_end_to_end_ms": tuple(milliseconds(frames.latency_ns)),
    }
    if scenario is not None and camera is not None:
        deadlines = deadline_record(frames, camera, scenario.stopped_early)
        figures["scenario"] = replace(scenario, deadlines=deadlines)
    return figures


def judged_record(record: BenchRecord, frames: FrameSamples) -> BenchRecord:
    """Return a record with its steadiness, and with the judgement of all rules.

    Args:
        record: Record of a run, with everything else in it.
        frames: Frames of its measured window.
    """
    steady = run_steadiness(frames, record.power)
    return replace(record, steadiness=steady, validity=validity(record, record.conditions, "; ".join(steady.reasons)))


def run_steadiness(frames: FrameSamples, power: PowerRecord | None) -> Steadiness:
    """Return the steadiness of a run by its latencies, and by the temperature of the warmest sensor of each sample."""
    times_ns: list[float] = []
    warmest_c: list[float] = []
    for index, time_s in enumerate(power.times_s if power is not None else ()):
        seen = [values[index] for values in power.temperatures_c.values() if values[index] is not None]  # type: ignore
        if seen and time_s >= 0:
            times_ns.append(time_s * 1e9)
            warmest_c.append(max(seen))  # type: ignore[type-var]
    if not times_ns:
        return steadiness(frames.end_ns, frames.latency_ns)
    return steadiness(frames.end_ns, frames.latency_ns, np.array(times_ns), np.array(warmest_c))


def milliseconds(values_ns: np.ndarray) -> list[float]:
    """Return times in ms with four digits behind the point, which is below what a clock knows."""
    return np.round(np.asarray(values_ns) / 1e6, 4).tolist()
