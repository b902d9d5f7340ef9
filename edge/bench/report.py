"""report.html: a benchmark record as a person wants to see it, with overlays, in one file."""

from __future__ import annotations

import base64
import html
from pathlib import Path

import cv2
import numpy as np

from edge.artifacts import write_text
from edge.bench.bench_record import BenchRecord
from edge.bench.charts import bar_chart, line_chart
from edge.bench.power_section import power_facts, power_section
from edge.frames import FrameSet
from edge.imaging import read_rgb, write_image
from edge.labels import palette_for
from edge.runtime.base import Runner
from edge.segmenter import Segmenter
from edge.stream.overlay import overlay_rgb

REPORT_FILE = "report.html"
OVERLAYS_FOLDER = "overlays"
OVERLAY_COUNT = 4
_SHOWN_WIDTH = 960

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1c2430; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; } td, th { padding: .25rem .8rem; text-align: right; }
th:first-child, td:first-child { text-align: left; } tr + tr td { border-top: 1px solid #dde2ea; }
.big { display: flex; gap: 2.5rem; margin: 1rem 0; flex-wrap: wrap; } .big b { font-size: 1.7rem; display: block; }
.note { background: #fff4d6; padding: .5rem 1rem; border-radius: .3rem; }
figure { margin: 0 0 1rem; } img { max-width: 100%; border-radius: .3rem; } figcaption { color: #667; }
svg { max-width: 100%; height: auto; }
"""


def write_report(folder: Path, record: BenchRecord, runner: Runner, frames: FrameSet) -> Path:
    """Write report.html and overlay pictures.

    Args:
        folder: where to; overlays go to its folder `overlays`.
        record: what was measured.
        runner: active, to label the frames that are shown.
        frames: what was segmented.

    Returns:
        The report's path.
    """
    pictures = _write_overlays(folder / OVERLAYS_FOLDER, record, runner, frames)
    path = folder / REPORT_FILE
    write_text(path, _page(record, pictures))
    return path


def _write_overlays(folder: Path, record: BenchRecord, runner: Runner, frames: FrameSet) -> list[Path]:
    contract = record.engine.contract
    segmenter = Segmenter(runner, "rgb")
    palette = palette_for(contract.class_names)
    shown = np.unique(np.linspace(0, len(frames) - 1, OVERLAY_COUNT).astype(int))
    paths = []
    for index in shown:
        frame_rgb = frames.read(int(index))
        labels = segmenter(frame_rgb, *frame_rgb.shape[:2]).labels
        path = folder / f"{frames.names[index]}.png"
        write_image(path, overlay_rgb(frame_rgb, labels, contract.class_names, palette))
        paths.append(path)
    return paths


def _page(record: BenchRecord, pictures: list[Path]) -> str:
    contract = record.engine.contract
    title = f"{contract.model} {record.engine.precision}, {contract.height}x{contract.width}"
    parts = [f"<h1>{html.escape(title)}</h1>", f"<p>{html.escape(_subtitle(record))}</p>", _headline(record)]
    parts += [f'<p class="note">{html.escape(note)}</p>' for note in record.engine.notes]
    parts += ["<h2>Latency</h2>", _latency_table(record), bar_chart(_stage_means(record), "ms", "mean per stage")]
    totals_ms = record.latencies_ms()
    parts.append(line_chart(totals_ms, "ms", "end to end, frame by frame"))
    if record.power is not None:
        parts += power_section(record.power, totals_ms)
    if record.accuracy is not None:
        shown = {name: 100 * value for name, value in record.accuracy.class_iou.items() if value is not None}
        where = f"{record.accuracy.frame_count} frames of {record.accuracy.dataset} {record.accuracy.split}"
        parts += ["<h2>Accuracy</h2>", bar_chart(shown, "%", f"IoU per class, {where}")]
    parts += ["<h2>Frames</h2>", *map(_figure, pictures), "<h2>How it was measured</h2>", _conditions(record)]
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _subtitle(record: BenchRecord) -> str:
    device = record.machine.gpu or record.machine.cpu
    return f"{record.engine.backend} {record.runner['version']} on {device}, {record.started_utc}"


def _headline(record: BenchRecord) -> str:
    cells = [("frames per second", f"{record.fps:.1f}"), ("median, end to end", f"{record.end_to_end.p50_ms:.1f} ms")]
    cells.append(("99th percentile", f"{record.end_to_end.p99_ms:.1f} ms"))
    if record.power is not None and record.power.energy_per_frame_mj is not None:
        cells.append(("energy per frame", f"{record.power.energy_per_frame_mj:.1f} mJ"))
    if record.accuracy is not None:
        cells.append(("mIoU", f"{100 * record.accuracy.miou:.2f} %"))
    check = record.engine.check
    if check is not None and check.miou_float is not None and check.miou_engine is not None:
        cells.append(("mIoU float to engine", f"{100 * check.miou_float:.2f} to {100 * check.miou_engine:.2f} %"))
    return '<div class="big">' + "".join(f"<div><b>{value}</b>{name}</div>" for name, value in cells) + "</div>"


def _stage_means(record: BenchRecord) -> dict[str, float]:
    return {name: stage.mean_ms for name, stage in record.stages.items()}


def _latency_table(record: BenchRecord) -> str:
    rows = ["<tr><th>ms</th><th>mean</th><th>p50</th><th>p90</th><th>p99</th><th>max</th></tr>"]
    for name, stage in [*record.stages.items(), ("end to end", record.end_to_end)]:
        values = (stage.mean_ms, stage.p50_ms, stage.p90_ms, stage.p99_ms, stage.max_ms)
        rows.append(f"<tr><td>{name}</td>" + "".join(f"<td>{value:.3f}</td>" for value in values) + "</tr>")
    return "<table>" + "".join(rows) + "</table>"


def _figure(path: Path) -> str:
    # Inside the page and small, so that the report can be sent as one file; the PNGs have every pixel.
    picture = read_rgb(path)
    height, width = picture.shape[:2]
    if width > _SHOWN_WIDTH:
        picture = cv2.resize(picture, (_SHOWN_WIDTH, height * _SHOWN_WIDTH // width), interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])
    source = f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"
    name = html.escape(path.stem)
    return f'<figure><img alt="{name}" src="{source}"><figcaption>{name}</figcaption></figure>'


def _conditions(record: BenchRecord) -> str:
    engine = record.engine
    facts = {
        "weights": engine.contract.weights.sentence(),
        "clock": "from a frame in host memory to its label map in host memory, one frame at a time",
        "frames": f"{record.end_to_end.sample_count} measured in {record.duration_s:.1f} s after "
        f"{record.warmup_frames} to warm up; {record.distinct_frames} different ones of {record.input}, "
        f"{record.frame_height}x{record.frame_width}",
        "runner": ", ".join(f"{name} {value}" for name, value in record.runner.items()),
        "machine": f"{record.machine.cpu}, {record.machine.cpu_count} cores, {record.machine.system}",
        "post-processing": f"{record.postprocess}; OpenCV threads {record.opencv_threads}",
        "engine": f"{engine.engine_file}, {engine.engine_bytes} bytes, built {engine.built_utc}",
    }
    facts.update(power_facts(record.power))
    if engine.int8_mac_share is not None:
        facts["share of multiply-adds in INT8"] = f"{100 * engine.int8_mac_share:.1f} %"
    if engine.calibration is not None:
        note = engine.calibration
        facts["calibration"] = f"{note.method} over {note.image_count} images of {note.images_from}"
    rows = "".join(f"<tr><td>{name}</td><td>{html.escape(str(value))}</td></tr>" for name, value in facts.items())
    return f'<table class="facts">{rows}</table>'
