"""When a machine held its work back while it was measured, and why: clocks, heat, current and fan.

A figure of such a moment is one of the machine's cooling or supply, not of the network.
"""

from __future__ import annotations

from typing import Iterator, NamedTuple, Sequence

from edge.records import record
from edge.telemetry.base import PowerSample

BUSY_PERCENT = 90.0
"""Load in percent from which a GPU wants all the clock it may have; below it, a governor lowers the clock by itself."""

CLOCK_SHARE = 0.97
"""Share of the set point below which a clock counts as lowered: clocks come in steps of one or two percent."""

FAN_LIMIT_PERCENT = 99.5
"""Duty in percent from which a fan can do no more."""


@record(schema=1, what="throttled window")
class ThrottledWindow:
    """Span of time in which a machine held its work back.

    Attributes:
        start_s: Start of the span in s, on the clock of the samples: 0 s is the start of the measured window.
        end_s: End of the span in s.
        causes: Causes of the span, such as "average over-current" or "GPU clock limit down to 828 of 1301 MHz".
    """

    start_s: float
    end_s: float
    causes: tuple[str, ...]


class _Span(NamedTuple):
    start_ns: int
    end_ns: int
    cause: str


def throttled_windows(samples: Sequence[PowerSample], zero_ns: int | None = None) -> list[ThrottledWindow]:
    """Return the spans of time in which a machine held its work back, in their order and without overlap.

    A span reaches from the last sample before a cause to the first one after it, since the cause began and ended
    somewhere between. The causes are:

    - a counted event (over-current, under-voltage, a thermal interrupt) that was counted again;
    - an alert that is in force: a trip point of the kernel, or a reason of a graphics card's driver;
    - a clock limit of GPU or CPU below its set point, which is the highest limit of the samples;
    - a GPU that is busy for two samples, with a clock below one that it reached while it was as busy;
    - a fan that reached its limit meanwhile. One that ran there from the first sample on was set so.

    Args:
        samples: Samples of one source, in the order of their times.
        zero_ns: Moment that is 0 s, on the clock of the samples; None for the first sample.
    """
    if not samples:
        return []
    spans = sorted(
        [
            *_counted_events(samples),
            *_alerts(samples),
            *_lowered_limits(samples, "GPU", [sample.gpu_clock_limit_mhz for sample in samples]),
            *_lowered_limits(samples, "CPU", [sample.cpu_clock_limit_mhz for sample in samples]),
            *_slow_gpu(samples),
            *_fan_at_limit(samples),
        ]
    )
    return list(_joined(spans, samples[0].time_ns if zero_ns is None else zero_ns))


def _counted_events(samples: Sequence[PowerSample]) -> Iterator[_Span]:
    for before, after in zip(samples, samples[1:]):
        for cause, count in after.event_counts.items():
            # A counter that appears late has no value to compare with.
            if count > before.event_counts.get(cause, count):
                yield _Span(before.time_ns, after.time_ns, cause)


def _alerts(samples: Sequence[PowerSample]) -> Iterator[_Span]:
    for cause in dict.fromkeys(cause for sample in samples for cause in sample.active_alerts):
        yield from _spans(samples, cause, [bool(sample.active_alerts.get(cause)) for sample in samples])


def _lowered_limits(samples: Sequence[PowerSample], what: str, limits_mhz: list[float | None]) -> Iterator[_Span]:
    known = [value for value in limits_mhz if value is not None]
    if known:
        words = f"{what} clock limit down to {min(known):.0f} of {max(known):.0f} MHz"
        is_low = [value is not None and value < CLOCK_SHARE * max(known) for value in limits_mhz]
        yield from _spans(samples, words, is_low)


def _slow_gpu(samples: Sequence[PowerSample]) -> Iterator[_Span]:
    clocks_mhz = [
        sample.gpu_clock_mhz if (sample.gpu_load_percent or 0.0) >= BUSY_PERCENT else None for sample in samples
    ]
    reached_mhz = max((value for value in clocks_mhz if value is not None), default=0.0)
    is_slow = [value is not None and value < CLOCK_SHARE * reached_mhz for value in clocks_mhz]
    # A governor follows the load late: one low clock at the start of work is nothing that held it back.
    before, after = [False, *is_slow[:-1]], [*is_slow[1:], False]
    lasts = [now and (one or other) for now, one, other in zip(is_slow, before, after)]
    yield from _spans(samples, f"busy GPU below the {reached_mhz:.0f} MHz that it reached", lasts)


def _fan_at_limit(samples: Sequence[PowerSample]) -> Iterator[_Span]:
    duties = [sample.fan_percent for sample in samples if sample.fan_percent is not None]
    if duties and duties[0] < FAN_LIMIT_PERCENT:
        yield from _spans(
            samples, "fan at its limit", [(sample.fan_percent or 0.0) >= FAN_LIMIT_PERCENT for sample in samples]
        )


def _spans(samples: Sequence[PowerSample], cause: str, is_there: Sequence[bool]) -> Iterator[_Span]:
    """Return one span for each sample at which a cause is there, from the sample before to the sample after."""
    last = len(samples) - 1
    for position, there in enumerate(is_there):
        if there:
            yield _Span(samples[max(position - 1, 0)].time_ns, samples[min(position + 1, last)].time_ns, cause)


def _joined(spans: Sequence[_Span], zero_ns: int) -> Iterator[ThrottledWindow]:
    """Return spans that touch as one window with all of their causes."""
    position = 0
    while position < len(spans):
        start_ns, end_ns, causes = spans[position].start_ns, spans[position].end_ns, set()
        while position < len(spans) and spans[position].start_ns <= end_ns:
            end_ns = max(end_ns, spans[position].end_ns)
            causes.add(spans[position].cause)
            position += 1
        yield ThrottledWindow(_seconds(start_ns - zero_ns), _seconds(end_ns - zero_ns), tuple(sorted(causes)))


def _seconds(duration_ns: int) -> float:
    # The precision of the times that a record of power keeps.
    return round(duration_ns / 1e9, 6)
