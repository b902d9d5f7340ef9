"""What a benchmark says in a sentence: whether it keeps up with a camera, and what its figures are worth."""

from __future__ import annotations

from edge.bench.bench_record import BenchRecord
from edge.frame_statistics.percentiles import few_frames_sentence

CAMERA_FPS = 30
FRAME_PERIOD_MS = 1000 / CAMERA_FPS
"""Time in ms from one frame of a camera of 30 fps to the next: whoever takes longer falls behind."""


def doubts(record: BenchRecord) -> list[str]:
    """Return sentences on what a reader must know before any figure: a partial measurement, a busy machine."""
    found = [record.partial_sentence(), record.load.disturbance() if record.load is not None else ""]
    return [sentence for sentence in found if sentence]


def keeps_up(record: BenchRecord) -> bool | None:
    """Return whether the network keeps up with a camera of 30 fps; None where the frames are too few to tell.

    One frame at a time has to be done before the next comes, and of a hundred one may be late. With several frames in
    flight a frame's latency holds the wait for others, and only the rate counts.
    """
    if record.frames_in_flight > 1:
        return record.fps >= CAMERA_FPS
    if record.end_to_end.p50_ms > FRAME_PERIOD_MS:
        return False
    return None if record.end_to_end.p99_ms is None else record.end_to_end.p99_ms <= FRAME_PERIOD_MS


def verdict_title(record: BenchRecord) -> str:
    """Return the verdict in a few words, such as "Keeps up with a camera of 30 fps"."""
    if doubts(record):
        return "Partial measurement" if record.is_partial else "Disturbed measurement"
    kept = keeps_up(record)
    if kept is None:
        return "Too few frames to say whether it keeps up with a camera of 30 fps"
    return f"{'Keeps up' if kept else 'Does not keep up'} with a camera of {CAMERA_FPS} fps"


def verdict_sentences(record: BenchRecord) -> list[str]:
    """Return the reasons for the verdict."""
    latencies_ms = record.latencies_ms()
    in_time = sum(value <= FRAME_PERIOD_MS for value in latencies_ms)
    reason = (
        f"{in_time} of {len(latencies_ms)} frames were done within the {FRAME_PERIOD_MS:.1f} ms of a frame at "
        f"{CAMERA_FPS} fps; {record.fps:.1f} frames per second."
    )
    if record.frames_in_flight > 1:
        reason = (
            f"{record.fps:.1f} frames per second with {record.frames_in_flight} frames in flight, so that latency "
            "includes the wait for others."
        )
    few = few_frames_sentence(record.end_to_end)
    return [*(_capital(each) for each in doubts(record)), reason, *([f"{few}."] if few else [])]


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
