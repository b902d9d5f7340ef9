"""Runs for leaderboards, made of numbers: no engine is built or run for them."""

from __future__ import annotations

import dataclasses

from edge.accuracy import Accuracy
from edge.bench.bench_record import BenchRecord
from edge.card import EngineCard
from edge.contract import Contract
from edge.frame_statistics.percentiles import summarise
from edge.leaderboard.runs import MeasuredRun
from edge.machine import Machine
from edge.provenance import WeightsProvenance
from edge.telemetry.power_record import PowerRecord, RailPower

CLASSES = ("road", "traffic light", "person")
MACHINE = Machine("Linux 6", "x86_64", "a processor", 2)


def accuracy(miou=0.66, person=0.62, rail=0.5, **changes):
    """Accuracy over a split of CamVid with a group of infrastructure; `person` None where the split has none."""
    classes = {"road": 0.9, "traffic light": 0.4, "person": person}
    groups = {"infrastructure": rail, "people": person}
    return dataclasses.replace(Accuracy("camvid", "val", 101, miou, 0.9, classes, groups), **changes)


def power(watts=10.0, energy_mj=400.0, temperatures=(41.0, 52.5, 47.0)):
    """Power over a window of 2 s, with samples before and after it that are warmer than any in it."""
    rail = RailPower(None if watts is None else 1000 * watts, 1.0, 2.0, None if energy_mj is None else 50 * energy_mj)
    times_s = (-1.0, 0.5, 1.0, 1.5, 3.0)
    column = (90.0, *temperatures, 90.0)
    nothing = (None,) * 5
    refusal = None if energy_mj is not None else "the samples have a gap of 1.5 s"
    parts = (times_s, nothing, {}, {"cpu": column, "off": nothing}, nothing, nothing, nothing, nothing, ())
    return PowerRecord("sysfs", None, "the board", 0.1, 1.0, 2.0, 50, rail, {}, energy_mj, refusal, None, *parts)


def engine_card(model="fast_scnn", precision="int8", on_contract=None, **changes):
    weights = WeightsProvenance("trained", f"{model}-1", f"{model}-weights", 0.6, (16, 32), training_s=7200.0)
    contract = Contract(
        model=model,
        dataset="camvid",
        class_names=CLASSES,
        height=16,
        width=32,
        stride=8,
        coordinates="half_pixel",
        input_name="frame",
        output_name="logits",
        graph_sha256=f"{model}-graph",
        weights=weights,
        source_sha256="3" * 64,
        opset=17,
        versions={},
    )
    card = EngineCard(
        contract=dataclasses.replace(contract, **(on_contract or {})),
        backend="onnxruntime",
        backend_version="1.23",
        precision=precision,
        engine_file="engine.onnx",
        engine_sha256=f"{model}-{precision}",
        engine_bytes=9,
        built_from_sha256="4" * 64,
        machine=MACHINE,
        built_utc="2026-12-01T00:00:00+00:00",
        build_seconds=1.0,
        parameter_count=1_140_000,
        multiply_adds=6_700_000_000,
    )
    return dataclasses.replace(card, **changes)


class RunMaker:
    """Makes runs of engines, each later than the one before."""

    def __init__(self):
        self.count = 0

    def __call__(
        self,
        model="fast_scnn",
        precision="int8",
        latency_ms=20.0,
        frames=200,
        on_card=None,
        on_contract=None,
        **changes,
    ):
        statistics = summarise([round(1e6 * latency_ms)] * frames)
        self.count += 1
        record = BenchRecord(
            engine=engine_card(model, precision, on_contract, **(on_card or {})),
            machine=MACHINE,
            runner={"version": "1.23", "device": "CPU", "threads": 2},
            postprocess="numpy",
            opencv_threads=1,
            input="camvid val",
            frame_height=16,
            frame_width=32,
            distinct_frames=4,
            warmup_frames=1,
            stages={"inference": statistics},
            end_to_end=statistics,
            fps=1000 / latency_ms,
            duration_s=4.0,
            accuracy=accuracy(),
            started_utc=f"2026-12-01T00:{self.count:02}:00+00:00",
            samples_ms={},
            power=power(),
        )
        reference = f"out/{model}-{precision}-{self.count}/record.json"
        return MeasuredRun(dataclasses.replace(record, **changes), reference)
