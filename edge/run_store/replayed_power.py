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
    source = _ReplayedSource(power.source, power.version, power.covers, power.interval_s)
    sampler = _ReplayedSampler(source, samples, power.gap_limit_s, power.failure)
    # Frames begin where the ones before ended, as the measurement marks them.
    marks_ns = [0, *np.asarray(frames.end_ns).tolist()]
    return power_record(sampler, marks_ns)  # type: ignore[arg-type]
