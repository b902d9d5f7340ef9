"""Power and energy of a run, computed anew from its samples by the rule that computed them first."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Sequence

import numpy as np

from edge.bench.frame_samples import FrameSamples
from edge.telemetry.base import PowerSample
from edge.telemetry.power_record import PowerRecord, power_record

OF_IDLE_TIME = (
    "idle_s",
    "idle_mean_mw",
    "idle_gpu_load_percent",
    "net_energy_per_frame_mj",
    "net_energy_per_frame_uncertainty_mj",
)
"""Fields of a power record that rest on a time before the measured window whose bounds the record does not keep."""


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
    again = power_record(sampler, marks_ns)  # type: ignore[arg-type]
    return dataclasses.replace(again, **{name: getattr(power, name) for name in OF_IDLE_TIME})
