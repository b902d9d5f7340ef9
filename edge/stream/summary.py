"""The summary of a run of edge-demo, as text for people and as a record for programs."""

from __future__ import annotations

from edge.card import EngineCard
from edge.percentile_rule import percentile_text
from edge.records import record
from edge.stream.base import FrameSource
from edge.stream.pipeline import StreamRun


@record(schema=1, what="demo summary")
class DemoSummary:
    """Figures of one run of edge-demo.

    Attributes:
        model: Name of the architecture, such as "fastfcn".
        precision: Precision of the engine, such as "int8".
        backend: Backend of the engine, "tensorrt" or "onnxruntime".
        weights: Origin of the weights as a sentence.
        source: Description of the source, without passwords.
        output: Path where the pictures lie; None for a window.
        frames: Number of frames that were shown or written.
        dropped: Number of frames of a live source that a later frame replaced.
        seconds: Time in s from the first frame's arrival to the last one's overlay.
        fps: Frames per second over that time; None without frames.
        latency_p50_ms: Median time in ms from a frame's arrival in host memory to its painted overlay; None without
            frames.
        latency_p99_ms: 99th percentile of the same time in ms; None where there are fewer than 100 frames.
        stage_mean_ms: Stage -> mean time in ms, for preprocess, inference, postprocess and overlay.
        ended_by: Reason of the end: "source", "lost" (a live source went away), "limit", "output" or "interrupt".
        note: Sentence that a user should know about the end of the source; None if all was well.
        skipped_pictures: Names of the picture files that were left out since they cannot be read.
    """

    model: str
    precision: str
    backend: str
    weights: str
    source: str
    output: str | None
    frames: int
    dropped: int
    seconds: float
    fps: float | None
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    stage_mean_ms: dict[str, float]
    ended_by: str
    note: str | None = None
    skipped_pictures: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return the summary as lines of text for people."""
        head = f"{self.model} {self.precision} ({self.backend}) on {self.source}"
        if not self.frames:
            return [head, "frames   none"]
        lines = [
            head,
            f"frames   {self.frames} shown, {self.dropped} dropped, in {self.seconds:.1f} s: {self.fps:.1f} fps",
            f"latency  p50 {self.latency_p50_ms:.1f} ms, p99 {percentile_text(self.latency_p99_ms, 99)}, "
            "from arrival to overlay",
            "stages   " + ", ".join(f"{stage} {mean:.1f} ms" for stage, mean in self.stage_mean_ms.items()),
            f"weights  {self.weights}",
        ]
        if self.skipped_pictures:
            names = ", ".join(self.skipped_pictures[:4])
            lines.append(
                f"left out {len(self.skipped_pictures)} of the pictures, since they cannot be read, such as {names}"
            )
        lines += [f"note     {self.note}"] if self.note else []
        lines += [f"written  {self.output}"] if self.output else []
        return lines


def summarise(run: StreamRun, card: EngineCard, source: FrameSource, output: str | None) -> DemoSummary:
    """Return the summary of a run that has ended."""
    meter = run.meter
    return DemoSummary(
        model=card.contract.model,
        precision=card.precision,
        backend=card.backend,
        weights=card.contract.weights.sentence(),
        source=source.description,
        output=output,
        frames=meter.frames,
        dropped=source.dropped,
        seconds=meter.seconds,
        fps=meter.frames / meter.seconds if meter.frames and meter.seconds > 0 else None,
        latency_p50_ms=meter.latency_ms(50),
        latency_p99_ms=meter.latency_ms(99),
        stage_mean_ms={stage: total / 1e6 / max(meter.frames, 1) for stage, total in run.stage_ns.items()},
        ended_by=run.ended_by or "interrupt",
        note=source.end_note,
        skipped_pictures=source.skipped,
    )
