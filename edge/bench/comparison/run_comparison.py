"""The record of a comparison, and the whole way from two runs to it."""

from __future__ import annotations

from typing import Collection

import numpy as np

from edge.bench.bench_record import BenchRecord
from edge.bench.comparison.comparability import Mismatch, mismatches
from edge.errors import InputError
from edge.frame_statistics.block_bootstrap import CONFIDENCE
from edge.frame_statistics.comparison import Comparison, compare_figures, compare_latencies
from edge.frame_statistics.energy_interval import energy_interval
from edge.frame_statistics.miou_interval import compare_miou
from edge.records import record
from edge.run_store.stored_run import StoredRun

P50, P99, ENERGY, MIOU = "p50_ms", "p99_ms", "energy_per_frame_mj", "miou"

ENERGY_WORDS = ("less energy", "more energy")


@record(schema=1, what="run of a comparison")
class ComparedRun:
    """One of the two runs of a comparison, as far as a reader needs it to know which it is.

    Attributes:
        name: Reference that the run was asked for by: a run id or a path.
        run_id: Name of the run in its database; "" where it is in none.
        model: Name of the network.
        precision: Precision of the engine, such as "int8".
        backend: Backend of the engine, such as "onnxruntime".
        height: Rows of the network's input, in pixels.
        width: Columns of the network's input, in pixels.
        frame_count: Number of measured frames.
        started_utc: Start of the run in UTC, ISO 8601.
    """

    name: str
    run_id: str
    model: str
    precision: str
    backend: str
    height: int
    width: int
    frame_count: int
    started_utc: str

    def title(self) -> str:
        """Return the engine in a few words, such as "fast_scnn int8 512x1024"."""
        return f"{self.model} {self.precision} {self.height}x{self.width}"


@record(schema=1, what="comparison of two runs", made_by="edge-bench compare --json")
class RunComparison:
    """Differences of the figures of two runs, the second against the first.

    Attributes:
        first: Run that is compared against.
        second: Run whose differences are given.
        figures: Figure, "p50_ms", "p99_ms", "energy_per_frame_mj" or "miou" -> its comparison in the unit of its name;
            that of mIoU is a share, 0 to 1.
        unknown: Figure that is not compared -> the reason.
        notes: Sentences on what a reader has to know, such as a condition that was allowed to differ.
    """

    first: ComparedRun
    second: ComparedRun
    figures: dict[str, Comparison]
    unknown: dict[str, str]
    notes: tuple[str, ...]


def compared_run(name: str, record: BenchRecord) -> ComparedRun:
    """Return what a comparison keeps of a run."""
    contract = record.engine.contract
    return ComparedRun(
        name=name,
        run_id=record.run_id,
        model=contract.model,
        precision=record.engine.precision,
        backend=record.engine.backend,
        height=contract.height,
        width=contract.width,
        frame_count=record.end_to_end.sample_count,
        started_utc=record.started_utc,
    )


def compare_runs(
    names: tuple[str, str],
    runs: tuple[StoredRun, StoredRun],
    allowed: Collection[str] = (),
    confidence: float = CONFIDENCE,
) -> RunComparison:
    """Compare two runs that were measured one after the other.

    Args:
        names: References that the runs were asked for by.
        runs: Run that is compared against, and the one whose differences are given.
        allowed: Conditions that may differ, names of edge.bench.comparison.comparability.condition_names.
        confidence: Share of the intervals that hold the true difference, over 0 and below 1.

    Raises:
        InputError: The runs do not share a condition that was not allowed to differ.
    """
    found = mismatches(*runs)
    refused = [each for each in found if each.condition not in allowed]
    if refused:
        raise InputError(_refusal(refused))
    figures: dict[str, Comparison] = {}
    unknown: dict[str, str] = {}
    for key, percent in ((P50, 50), (P99, 99)):
        try:
            figures[key] = compare_latencies(runs[0].latency_ns, runs[1].latency_ns, percent, confidence)
        except InputError as error:
            unknown[key] = str(error).split(". Next: ")[0]
    _add_energy(figures, unknown, runs, confidence)
    _add_accuracy(figures, unknown, runs, confidence)
    notes = [f"allowed to differ: {each.sentence}" for each in found]
    notes.append(
        "what changes from one start to the next is not in these intervals, since each engine was started once; "
        "edge-bench ab lets both take turns"
    )
    return RunComparison(
        first=compared_run(names[0], runs[0].summary),
        second=compared_run(names[1], runs[1].summary),
        figures=figures,
        unknown=unknown,
        notes=tuple(notes),
    )


def _refusal(refused: list[Mismatch]) -> str:
    names = " ".join(dict.fromkeys(f"--allow {each.condition}" for each in refused))
    reasons = "; ".join(each.sentence for each in refused)
    return f"these runs cannot be compared: {reasons}. Next: measure both alike, or {names}"


def _add_energy(
    figures: dict[str, Comparison], unknown: dict[str, str], runs: tuple[StoredRun, StoredRun], confidence: float
) -> None:
    powers = [run.summary.power for run in runs]
    energies: list[float | tuple[float, float]] = []
    for which, run, power in zip(("first", "second"), runs, powers):
        if power is None or power.energy_per_frame_mj is None:
            why = "power was not measured" if power is None else power.refusal
            unknown[ENERGY] = f"the {which} run has no energy: {why}"
            return
        window_ns = power.window_s * 1e9
        inside_mw = [
            sample.total_mw
            for sample in run.samples
            if 0 <= sample.time_ns <= window_ns and sample.total_mw is not None
        ]
        uncertainty_mj = power.energy_per_frame_uncertainty_mj or 0.0
        ends = energy_interval(
            power.energy_per_frame_mj, np.array(inside_mw), run.latency_ns, uncertainty_mj, confidence
        )
        if ends is None:
            unknown[ENERGY] = f"the {which} run has {len(inside_mw)} samples of power, too few for an interval"
            return
        energies += [power.energy_per_frame_mj, ends]
    sources = [f"{power.covers} ({power.source})" for power in powers]
    if sources[0] != sources[1]:
        unknown[ENERGY] = f"power is that of {sources[0]} in the first run, and of {sources[1]} in the second"
        return
    figures[ENERGY] = compare_figures(*energies, confidence, ENERGY_WORDS)


def _add_accuracy(
    figures: dict[str, Comparison], unknown: dict[str, str], runs: tuple[StoredRun, StoredRun], confidence: float
) -> None:
    accuracies = [run.summary.accuracy for run in runs]
    for which, accuracy in zip(("first", "second"), accuracies):
        if accuracy is None:
            unknown[MIOU] = f"the {which} run measured no mIoU"
            return
    splits = [f"{each.frame_count} frames of {each.dataset} {each.split}" for each in accuracies]
    if splits[0] != splits[1]:
        unknown[MIOU] = f"mIoU is that of {splits[0]} in the first run, and of {splits[1]} in the second"
        return
    counts = [(np.array(each.frame_hits), np.array(each.frame_unions)) for each in accuracies]
    if not all(len(hits) for hits, _ in counts):
        first, second = (100 * each.miou for each in accuracies)
        unknown[MIOU] = f"mIoU is {first:.2f} % and {second:.2f} %, and a record has no counts of each frame"
        return
    try:
        figures[MIOU] = compare_miou(counts[0], counts[1], confidence)
    except InputError as error:
        unknown[MIOU] = str(error).split(". Next: ")[0]
