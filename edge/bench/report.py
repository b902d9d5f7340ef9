"""report.html: a benchmark record as a person wants to see it, with overlays, in one file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge.artifacts import write_text
from edge.bench.bench_record import BenchRecord
from edge.bench.latency_section import latency_parts, stage_parts
from edge.bench.parameters_section import parameter_parts
from edge.bench.power_section import power_facts, power_section
from edge.bench.random_banner import random_banner
from edge.bench.run_verdict import deadline_parts, head_parts, steadiness_parts
from edge.frames import FrameSet
from edge.imaging import read_rgb, write_image
from edge.page.charts import bar_chart
from edge.page.document import document
from edge.page.elements import Headline, headlines, paragraph, remarks, section
from edge.page.markup import Html, joined
from edge.page.pictures import picture_figure, picture_grid, shrunk
from edge.page.tables import facts
from edge.percentile_rule import percentile_text
from edge.runtime.base import Runner
from edge.segmenter import Segmenter
from edge.stream.overlay import overlay_rgb
from edge.telemetry.power_record import PowerRecord

REPORT_FILE = "report.html"
OVERLAYS_FOLDER = "overlays"
OVERLAY_COUNT = 4
OVER_TIME = "Latency, power and temperature over time"
_SHOWN_WIDTH = 960


def write_report(folder: Path, record: BenchRecord, runner: Runner | None, frames: FrameSet) -> Path:
    """Write report.html and overlay pictures.

    Args:
        folder: where to; overlays go to its folder `overlays`.
        record: what was measured.
        runner: active, to label the frames that are shown; None for a page without pictures.
        frames: what was segmented.

    Returns:
        The report's path.
    """
    pictures = [] if runner is None else _write_overlays(folder / OVERLAYS_FOLDER, record, runner, frames)
    path = folder / REPORT_FILE
    write_text(path, _page(record, pictures))
    return path


def _write_overlays(folder: Path, record: BenchRecord, runner: Runner, frames: FrameSet) -> list[Path]:
    contract = record.engine.contract
    segmenter = Segmenter(runner, "rgb")
    palette = contract.painted_palette()
    shown = np.unique(np.linspace(0, len(frames) - 1, OVERLAY_COUNT).astype(int))
    paths = []
    for index in shown:
        frame_rgb = frames.read(int(index))
        labels = segmenter(frame_rgb, *frame_rgb.shape[:2]).labels
        path = folder / f"{frames.names[index]}.png"
        caption = contract.weights.caption() or None
        write_image(path, overlay_rgb(frame_rgb, labels, contract.class_names, palette, caption=caption))
        paths.append(path)
    return paths


def _page(record: BenchRecord, pictures: list[Path]) -> str:
    contract = record.engine.contract
    title = f"Benchmark of {contract.model} {record.engine.precision}, {contract.height}x{contract.width}"
    totals_ms = record.latencies_ms()
    return document(
        title,
        _subtitle(record),
        [
            random_banner(contract.weights),
            *head_parts(record),
            headlines(_headlines(record)),
            section("Deadlines", *deadline_parts(record)),
            section("Latency", *latency_parts(record)),
            section(OVER_TIME, *(power_section(record.power, totals_ms) if record.power else [])),
            section("Steady state", *steadiness_parts(record)),
            section("Stages", *stage_parts(record)),
            section("Accuracy", _class_chart(record)),
            section("Frames", picture_grid([_figure(path) for path in pictures], 2)),
            section("How it was measured", facts(_conditions(record))),
            section("Environment and every parameter", *parameter_parts(record)),
            section("Notes of the build", remarks(_notes(record), "note")),
        ],
    )


def _notes(record: BenchRecord) -> list[str]:
    # The banner has said it where the weights are random.
    return [text for text in record.engine.notes if text != record.engine.contract.weights.warning()]


def _subtitle(record: BenchRecord) -> str:
    device = record.machine.gpu or record.machine.cpu
    return f"{record.engine.backend} {record.runner['version']} on {device}, {record.started_utc}"


def _headlines(record: BenchRecord) -> list[Headline]:
    figures = [Headline(f"{record.fps:.1f}", "frames per second")]
    figures.append(Headline(f"{record.end_to_end.p50_ms:.1f} ms", "median, end to end"))
    figures.append(_p99_headline(record))
    if record.power is not None and record.power.energy_per_frame_mj is not None:
        figures.append(_energy_headline(record.power))
    if record.accuracy is not None:
        where = f"{record.accuracy.frame_count} frames of {record.accuracy.dataset} {record.accuracy.split}"
        figures.append(Headline(f"{100 * record.accuracy.miou:.2f} %", "mIoU", where))
    check = record.engine.check
    if check is not None and check.miou_float is not None and check.miou_engine is not None:
        values = f"{100 * check.miou_float:.2f} to {100 * check.miou_engine:.2f} %"
        where = f"at the build, {check.image_count} images of {check.images_from}"
        figures.append(Headline(values, "mIoU float to engine", where))
    return figures


def _energy_headline(power: PowerRecord) -> Headline:
    parts = []
    if power.energy_per_frame_uncertainty_mj is not None:
        parts.append(f"\u00b1 {power.energy_per_frame_uncertainty_mj:.2g} mJ")
    if power.net_energy_per_frame_mj is not None:
        parts.append(f"{power.net_energy_per_frame_mj:.1f} mJ above the idle machine")
    return Headline(f"{power.energy_per_frame_mj:.1f} mJ", "energy per frame", "; ".join(parts))


def _p99_headline(record: BenchRecord) -> Headline:
    p99_ms, max_ms = record.end_to_end.p99_ms, record.end_to_end.max_ms
    if p99_ms is None:
        return Headline(f"{max_ms:.1f} ms", "slowest frame", f"99th percentile {percentile_text(None, 99)}")
    return Headline(f"{p99_ms:.1f} ms", "99th percentile", f"slowest frame {max_ms:.1f} ms")


def _class_chart(record: BenchRecord) -> Html:
    if record.accuracy is None:
        return Html()
    shown = {name: 100 * value for name, value in record.accuracy.class_iou.items() if value is not None}
    where = f"{record.accuracy.frame_count} frames of {record.accuracy.dataset} {record.accuracy.split}"
    absent = [name for name, value in record.accuracy.class_iou.items() if value is None]
    missing = f"Neither in the labels nor predicted: {', '.join(absent)}." if absent else ""
    groups = {name: 100 * value for name, value in record.accuracy.groups.items() if value is not None}
    charts = [bar_chart(groups, "%", f"mIoU of groups of classes, {where}")] if groups else []
    charts.append(bar_chart(shown, "%", f"IoU per class, {where}"))
    return joined(*charts, paragraph(missing, is_faint=True)) if missing else joined(*charts)


def _figure(path: Path) -> Html:
    # Small in the page, so that it can be sent as one file; the PNGs have every pixel.
    return picture_figure(shrunk(read_rgb(path), _SHOWN_WIDTH), f"{path.stem} with its labels", path.stem)


def _conditions(record: BenchRecord) -> dict[str, str]:
    engine = record.engine
    values = {
        "weights": engine.contract.weights.sentence(),
        "scenario": record.scenario.name if record.scenario is not None else "frame after frame",
        "clock": (
            record.scenario.clock
            if record.scenario is not None
            else "from a frame in host memory to its label map there"
        )
        + (
            "; one frame at a time" if record.frames_in_flight == 1 else f"; {record.frames_in_flight} frames in flight"
        ),
        "frames": f"{record.end_to_end.sample_count} measured in {record.duration_s:.1f} s after "
        f"{record.warmup_frames} to warm up; {record.distinct_frames} different ones of {record.input}, "
        f"{record.frame_height}x{record.frame_width}",
        "runner": ", ".join(f"{name} {value}" for name, value in record.runner.items()),
        "machine": f"{record.machine.cpu}, {record.machine.cpu_count} cores, {record.machine.system}",
        "load meanwhile": record.load.sentence() if record.load is not None else "not known",
        "post-processing": f"{record.postprocess}; OpenCV threads {record.opencv_threads}",
        "engine": f"{engine.engine_file}, {engine.engine_bytes} bytes, built {engine.built_utc}",
        **power_facts(record.power),
    }
    if engine.contract.decision is not None:
        values["labels"] = engine.contract.decision_sentence()
    if engine.int8_mac_share is not None:
        values["share of multiply-adds in INT8"] = f"{100 * engine.int8_mac_share:.1f} %"
    if engine.calibration is not None:
        origin = engine.calibration
        values["calibration"] = f"{origin.method} over {origin.image_count} images of {origin.images_from}"
    if engine.budget_sentence():
        values["INT8 at the build"] = engine.budget_sentence()
    return values
