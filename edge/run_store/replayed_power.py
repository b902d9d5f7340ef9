"""Power and energy of a run, computed anew from its samples by the rule that computed them first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import numpy as np

from edge.bench.frame_samples import FrameSamples
from edge.telemetry.base import PowerSample
from edge.telemetry.power_record import PowerRecord, power_record


@dataclass(frozen=True)
class _ReplayedSource:
    """What a power record says of its source."""

    name: str
    version: str | None
    covers: str
    interval_s: float
    resolution_mw: float | None


@dataclass(frozen=True)
class _ReplayedSampler:
    """Samples of an earlier run, in the place of a sampler that has just ended."""

    source: _ReplayedSource
    samples: Sequence[PowerSample]
    gap_limit_s: float
    failure: str | None


def power_of(power: PowerRecord, frames: FrameSamples, samples: Sequence[PowerSample]) -> PowerRecord:
    """Return the power record that frames and samples give.

    Args:
        power: Record whose source, interval and limits are kept.
        frames: Frames of the run, in ns since the start of the measured window.
        samples: Samples, also in ns since the start of the measured window.
    """
    source = _ReplayedSource(power.source, power.version, power.covers, power.interval_s, power.resolution_mw)
    sampler = _ReplayedSampler(source, samples, power.gap_limit_s, power.failure)
    marks_ns = [0, *np.asarray(frames.start_ns[1:]).tolist(), int(frames.end_ns[-1])]
    idle_window_ns = None
    if power.idle_start_s is not None and power.idle_s is not None:
        start_ns = round(1e9 * power.idle_start_s)
        idle_window_ns = (start_ns, start_ns + round(1e9 * power.idle_s))
    return power_record(sampler, marks_ns, idle_window_ns)  # type: ignore[arg-type]
