"""The figures of a benchmark record that follow from the times of its frames alone."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from edge.bench.frame_samples import FrameSamples
from edge.statistics.percentiles import summarise


def frame_figures(frames: FrameSamples, frames_in_flight: int) -> dict[str, Any]:
    """Return the fields of a benchmark record that its frames give: field -> value.

    Args:
        frames: Frames of the measured window.
        frames_in_flight: Number of frames that were under way at once. With one, `fps` is one over the mean latency;
            with several, it is frames over time.

    Raises:
        InputError: There are no frames.
    """
    end_to_end = summarise(frames.latency_ns.tolist())
    duration_s = int(frames.end_ns[-1]) / 1e9
    count_s = duration_s if frames_in_flight > 1 else int(frames.latency_ns.sum()) / 1e9
    return {
        "stages": {stage: summarise(values.tolist()) for stage, values in frames.stages_ns.items()},
        "end_to_end": end_to_end,
        "fps": len(frames) / count_s,
        "duration_s": duration_s,
        "samples_ms": {stage: milliseconds(values) for stage, values in frames.stages_ns.items()},
        "samples_end_to_end_ms": tuple(milliseconds(frames.latency_ns)),
    }


def milliseconds(values_ns: Sequence[int]) -> list[float]:
    """Return times in ms with four digits behind the point, which is below what a clock knows."""
    return [round(value / 1e6, 4) for value in np.asarray(values_ns).tolist()]
