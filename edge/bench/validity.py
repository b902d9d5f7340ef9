"""Whether a benchmark may be believed: the rules that every run is judged by, each with its remedy.

The rules need nothing but the record, so that whoever has it can judge it again. Their model is LoadGen of MLPerf: a
result is VALID or INVALID with the reasons. An invalid run is kept, and never counts unless somebody asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterator

from edge.percentile_rule import least_samples
from edge.records import record
from edge.telemetry.power_record import PowerRecord, throttled_s

if TYPE_CHECKING:
    from edge.bench.bench_record import BenchRecord

LEAST_FRAMES = least_samples(99)
"""Number of frames below which a run says nothing, whatever was asked for: its 99th percentile cannot be said."""

IDLE_GPU_PERCENT = 5.0
"""Load of an idle GPU in percent; more than that before the run is another program's work."""

CLOCK_TOLERANCE = 0.03
"""Share by which a clock may differ from the one that was asked for: clocks come in steps."""

CLOCK_JUMP_S = 0.1
"""Difference in s between the steps of wall clock and monotonic clock from which a run was suspended, or set. Time
synchronisation slews a clock by at most 0.5 ms in a second (adjtime(3), ntpd(8)), and steps from 128 ms on."""


@record(schema=1, what="reason of an invalid run")
class InvalidReason:
    """What makes a run invalid, and what makes the next one valid.

    Attributes:
        what: Fact in one sentence, such as "throttled for 3.2 of 60.0 s: average over-current".
        remedy: Step that helps, as an imperative or a command.
    """

    what: str
    remedy: str


@record(schema=1, what="validity of a run")
class Validity:
    """Judgement of a run.

    Attributes:
        is_valid: Whether no rule is broken.
        reasons: Reasons why it is invalid; empty for a valid run.
    """

    is_valid: bool
    reasons: tuple[InvalidReason, ...]

    def title(self) -> str:
        """Return "VALID" or "INVALID"."""
        return "VALID" if self.is_valid else "INVALID"

    def sentences(self) -> list[str]:
        """Return each reason with its remedy in one sentence."""
        return [f"{reason.what}. Next: {reason.remedy}" for reason in self.reasons]


@record(schema=1, what="conditions of a run")
class RunConditions:
    """What was asked of a run before it began, and what was seen of its surroundings; unknown is None.

    Attributes:
        least_frames: Number of frames that were asked for at least.
        least_s: Time in s that was asked for at least.
        power_mode_asked: Name of the power mode that was asked for, such as "MAXN".
        gpu_clock_asked_mhz: Clock of the GPU that was asked for, in MHz.
        cpu_clock_asked_mhz: Clock of the CPU that was asked for, in MHz.
        engine_sha256_before: Hash of the engine's file when the run began.
        engine_sha256_after: Hash of the engine's file when it ended.
        clock_jump_s: Time in s by which the wall clock ran ahead of the monotonic clock during the run.
        other_gpu_processes: Names of other programs that had work on the GPU.
    """

    least_frames: int | None = None
    least_s: float | None = None
    power_mode_asked: str | None = None
    gpu_clock_asked_mhz: float | None = None
    cpu_clock_asked_mhz: float | None = None
    engine_sha256_before: str | None = None
    engine_sha256_after: str | None = None
    clock_jump_s: float | None = None
    other_gpu_processes: tuple[str, ...] | None = None


def validity(record: BenchRecord, conditions: RunConditions | None = None, unsteady: str = "") -> Validity:
    """Judge a run by all rules.

    Args:
        record: Record of the run.
        conditions: What was asked of the run, and seen around it; None where nothing is known, as of older records.
        unsteady: What the frames' latencies say against a steady state, such as "p50 rose by 12 % from the first to the
            last third"; "" where they say nothing.
    """
    asked = conditions or RunConditions()
    reasons = [
        *_too_few(record, asked),
        *_drift(unsteady),
        *_disturbed(record, asked),
        *_changed(asked),
        *(_power_reasons(record.power, asked) if record.power is not None else ()),
    ]
    return Validity(not reasons, tuple(reasons))


def _too_few(record: BenchRecord, asked: RunConditions) -> Iterator[InvalidReason]:
    if record.is_partial:
        yield InvalidReason(record.partial_sentence(), "let the run end")
        return
    count, least = record.end_to_end.sample_count, max(asked.least_frames or 0, LEAST_FRAMES)
    if count < least:
        yield InvalidReason(f"too few frames: {count}, expected at least {least}", f"--min-frames {least}")
    if asked.least_s is not None and record.duration_s < asked.least_s:
        yield InvalidReason(
            f"too short: {record.duration_s:.1f} s, expected at least {asked.least_s:.1f} s",
            f"--duration {asked.least_s:g}",
        )


def _drift(unsteady: str) -> Iterator[InvalidReason]:
    if unsteady:
        yield InvalidReason(
            f"not steady: {unsteady}", "warm up longer (--warmup), wait until the machine is cool, and lock its clocks"
        )


def _disturbed(record: BenchRecord, asked: RunConditions) -> Iterator[InvalidReason]:
    if record.load is not None and record.load.is_disturbed:
        share = 100 * (record.load.other_cpu_share or 0.0)
        yield InvalidReason(f"other programs took {share:.0f} % of the CPU", "end them (top lists them)")
    if asked.other_gpu_processes:
        named = ", ".join(asked.other_gpu_processes[:4])
        yield InvalidReason(f"other programs were on the GPU: {named}", "end them (nvidia-smi or jtop lists them)")


def _changed(asked: RunConditions) -> Iterator[InvalidReason]:
    before, after = asked.engine_sha256_before, asked.engine_sha256_after
    if before is not None and after is not None and before != after:
        yield InvalidReason(
            f"the engine's file changed during the run: {before[:12]} became {after[:12]}",
            "let no build write to the engine's folder meanwhile",
        )
    if asked.clock_jump_s is not None and abs(asked.clock_jump_s) >= CLOCK_JUMP_S:
        way = "ahead of" if asked.clock_jump_s > 0 else "behind"
        yield InvalidReason(
            f"the wall clock went {abs(asked.clock_jump_s):.1f} s {way} the monotonic clock",
            "let the machine neither sleep nor set its clock meanwhile",
        )


def _power_reasons(power: PowerRecord, asked: RunConditions) -> Iterator[InvalidReason]:
    yield from _throttled(power)
    yield from _gaps(power)
    yield from _power_mode(power, asked)
    for what, clocks_mhz, asked_mhz in (
        ("GPU", power.gpu_clock_mhz, asked.gpu_clock_asked_mhz),
        ("CPU", power.cpu_clock_mhz, asked.cpu_clock_asked_mhz),
    ):
        yield from _clock(power, what, clocks_mhz, asked_mhz)
    if power.idle_gpu_load_percent is not None and power.idle_gpu_load_percent > IDLE_GPU_PERCENT:
        yield InvalidReason(
            f"the GPU was {power.idle_gpu_load_percent:.0f} % busy before the run, expected an idle one",
            "end the other programs on it",
        )


def _throttled(power: PowerRecord) -> Iterator[InvalidReason]:
    inside = [window for window in power.throttled if window.end_s > 0 and window.start_s < power.window_s]
    if inside:
        causes = list(dict.fromkeys(cause for window in inside for cause in window.causes))
        yield InvalidReason(
            f"throttled for {throttled_s(power):.1f} of {power.window_s:.1f} s: {', '.join(causes[:4])}",
            "cool the machine, give it a stronger supply, or choose a lower power mode",
        )


def _gaps(power: PowerRecord) -> Iterator[InvalidReason]:
    if power.failure:
        yield InvalidReason(f"the samples of power ended early: {power.failure}", "--power none leaves power out")
        return
    if not power.rails_mw:
        # Without energy nothing rests on a sample at each moment: heat and counters wait for the next one.
        return
    inside = [0.0, *(time_s for time_s in power.times_s if 0 < time_s < power.window_s), power.window_s]
    longest_s = max(after - before for before, after in zip(inside, inside[1:]))
    if longest_s > power.gap_limit_s:
        yield InvalidReason(
            f"the samples of power have a gap of {longest_s:.2f} s, expected at most {power.gap_limit_s:.2f} s",
            "leave a core to the sampling (--threads), or --power none",
        )


def _power_mode(power: PowerRecord, asked: RunConditions) -> Iterator[InvalidReason]:
    modes = list(dict.fromkeys(mode for mode in power.power_mode if mode is not None))
    if asked.power_mode_asked is not None and modes and modes != [asked.power_mode_asked]:
        yield InvalidReason(
            f"power mode was {', then '.join(modes)}, expected {asked.power_mode_asked}",
            f"sudo nvpmodel sets {asked.power_mode_asked}",
        )
    elif len(modes) > 1:
        yield InvalidReason(f"power mode changed during the run: {', then '.join(modes)}", "let nobody change it")


def _clock(
    power: PowerRecord, what: str, clocks_mhz: tuple[float | None, ...], asked_mhz: float | None
) -> Iterator[InvalidReason]:
    if asked_mhz is None:
        return
    inside = [
        value for time_s, value in zip(power.times_s, clocks_mhz) if value is not None and 0 <= time_s <= power.window_s
    ]
    if not inside:
        yield InvalidReason(f"no clock of the {what} was read, expected {asked_mhz:.0f} MHz", "ask for no clock")
        return
    worst_mhz = max(inside, key=lambda value: abs(value - asked_mhz))
    if abs(worst_mhz - asked_mhz) > CLOCK_TOLERANCE * asked_mhz:
        yield InvalidReason(
            f"the {what} ran at {worst_mhz:.0f} MHz, expected {asked_mhz:.0f} MHz",
            "lock the clocks: sudo jetson_clocks, or nvidia-smi --lock-gpu-clocks",
        )
