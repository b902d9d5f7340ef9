"""What `edge-bench run` prints of a record: verdict, rules, figures with their intervals, and what the clock covers."""

from __future__ import annotations

import sys
from typing import Iterator

from edge.bench.bench_record import BenchRecord
from edge.bench.power_section import power_lines
from edge.bench.verdict import doubts
from edge.console import stand_out
from edge.frame_statistics.percentiles import (
    NO_FIGURE,
    PERCENTS,
    LatencyStatistics,
    few_frames_sentence,
    percentile_key,
)
from edge.segmenter import NV12


def record_lines(record: BenchRecord) -> Iterator[str]:
    """Return the lines that a terminal shows of a record."""
    contract = record.engine.contract
    if contract.weights.is_random:
        yield stand_out(contract.weights.warning(), sys.stdout)
    yield (
        f"{contract.model} {record.engine.precision} {contract.height}x{contract.width} on {record.runner['device']} "
        f"with {record.engine.backend} {record.runner['version']}, post-processing {record.postprocess}"
    )
    yield (
        f"{record.end_to_end.sample_count} frames of {record.frame_height}x{record.frame_width} ({record.input}"
        f"{', NV12' if record.frame_format == NV12 else ''}) after {record.warmup_frames} to warm up"
    )
    yield from _scenario_lines(record)
    yield from latency_table(record)
    around = record.network_share()
    if around is not None:
        yield f"{record.fps:.1f} fps; {100 * around:.1f} % of the time in the network, the rest around it"
    else:
        yield f"{record.fps:.1f} fps with {record.frames_in_flight} frames in flight"
    yield from _deadline_lines(record)
    if contract.decision is not None:
        yield f"labels: {contract.decision_sentence()}"
    for name in ("cuda_graph", "kernels"):
        if str(record.runner.get(name, "yes")) != "yes":
            yield f"note: {name.replace('_', ' ')}: {record.runner[name]}"
    if record.accuracy is not None:
        yield (
            f"mIoU {100 * record.accuracy.miou:.2f} %, pixel accuracy {100 * record.accuracy.pixel_accuracy:.2f} % "
            f"on {record.accuracy.frame_count} frames of {record.accuracy.dataset} {record.accuracy.split}"
        )
        if record.accuracy.group_sentence():
            yield record.accuracy.group_sentence()
    if record.skipped_pictures:
        names = ", ".join(record.skipped_pictures[:4])
        yield f"left out, since they cannot be read: {len(record.skipped_pictures)} of the pictures, such as {names}"
    yield from power_lines(record.power)
    if record.load is not None:
        yield f"load: {record.load.sentence()}"
    yield from doubts(record)
    yield from validity_lines(record)
    for note in record.engine.notes:
        if note != contract.weights.warning():
            yield f"note: {note}"


def validity_lines(record: BenchRecord) -> Iterator[str]:
    """Return the verdict on a run, and each reason with its remedy; nothing for a record without one."""
    if record.validity is None:
        return
    yield f"verdict: {record.validity.title()}"
    for sentence in record.validity.sentences():
        yield f"  {sentence}"


def latency_table(record: BenchRecord) -> Iterator[str]:
    """Return a table of percentiles, a row a stage, and below it the intervals of whole frames."""
    rows = [*record.stages.items(), ("end to end", record.end_to_end)]
    deadlines = record.scenario.deadlines if record.scenario is not None else None
    if deadlines is not None:
        rows.append(("age", deadlines.age))
    yield f"{'':12} {' '.join(f'{percentile_key(percent):>9}' for percent in PERCENTS)} {'max':>9}  ms"
    for name, stage in rows:
        values = [*(stage.percentile_ms(percent) for percent in PERCENTS), stage.max_ms]
        yield f"{name:12} {' '.join(f'{NO_FIGURE:>9}' if value is None else f'{value:9.3f}' for value in values)}"
    few = few_frames_sentence(record.end_to_end)
    if few:
        yield f"{NO_FIGURE}: {few}"
    shown = _interval_words(record.end_to_end)
    if shown:
        yield shown


def _interval_words(statistics: LatencyStatistics) -> str:
    """Return the intervals of a few figures, such as "95 % intervals: p50 9.91 to 10.12 ms"; "" without any."""
    named = [name for name in ("p50", "p99", "p99.9") if name in statistics.intervals]
    if not named:
        return ""
    found = statistics.intervals
    words = ", ".join(f"{name} {found[name].low:.3f} to {found[name].high:.3f} ms" for name in named)
    return f"{100 * found[named[0]].confidence:g} % intervals, end to end: {words}"


def _scenario_lines(record: BenchRecord) -> Iterator[str]:
    scenario = record.scenario
    if scenario is None:
        return
    rules = f"at least {scenario.least_frames} frames and {scenario.least_s:g} s"
    if scenario.camera is not None:
        camera = scenario.camera
        rules += f", a camera of {camera.fps:g} fps, deadline {camera.deadline_ms:.1f} ms"
    ended = ", ended early since the verdict is certain" if scenario.stopped_early else ""
    yield f"rules: {scenario.name}, {rules}; measured for {record.duration_s:.1f} s{ended}"
    yield f"clock: {scenario.clock}; stages of a GPU by its own clock"


def _deadline_lines(record: BenchRecord) -> Iterator[str]:
    scenario = record.scenario
    if scenario is None or scenario.deadlines is None:
        return
    deadlines = scenario.deadlines
    late = deadlines.missed_frames - deadlines.dropped_frames
    yield (
        f"deadlines: {deadlines.missed_frames} of {deadlines.arrived_frames} missed: {deadlines.dropped_frames} frames "
        f"dropped, {late} late"
    )
    said = {True: "held", False: "not held", None: "not shown"}[deadlines.is_held]
    yield f"certificate: {said}: {scenario.certificate()}"
