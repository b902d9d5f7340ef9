"""What a benchmark's page judges: whether the run may be believed, whether deadlines hold, and how steady it was."""

from __future__ import annotations

from edge.bench.bench_record import BenchRecord
from edge.bench.scenarios.scenario_record import DeadlineRecord
from edge.bench.verdict import doubts, keeps_up, verdict_sentences, verdict_title
from edge.frame_statistics.steady_state import Steadiness
from edge.page.elements import BAD, DOUBT, GOOD, NEUTRAL, banner, paragraph
from edge.page.markup import Html, joined
from edge.page.tables import Column, facts, table
from edge.percentile_rule import percentile_text


def head_parts(record: BenchRecord) -> list[Html]:
    """Return the banners at the top of the page, the validity of the run first."""
    parts = []
    if record.validity is not None:
        kind = GOOD if record.validity.is_valid else BAD
        sentences = record.validity.sentences() or ["Every rule of a valid run holds."]
        parts.append(banner(kind, record.validity.title(), [f"{text[:1].upper()}{text[1:]}" for text in sentences]))
    rules = record.scenario
    # What a run that is not valid seems to show is no good news.
    is_invalid = record.validity is not None and not record.validity.is_valid
    if rules is not None and rules.deadlines is not None:
        is_held = rules.deadlines.is_held
        kind = DOUBT if is_held is None else GOOD if is_held else BAD
        title = {True: "Holds", False: "Does not hold", None: "Not shown to hold"}[is_held]
        sentence = f"{rules.certificate()}."
        title, sentences = f"{title} its deadlines", [f"{sentence[:1].upper()}{sentence[1:]}"]
    else:
        kind, title, sentences = _speed_kind(record), verdict_title(record), verdict_sentences(record)
    if is_invalid:
        kind, sentences = NEUTRAL, [*sentences, "The run is not valid, so this does not count."]
    parts.append(banner(kind, title, sentences))
    return parts


def deadline_parts(record: BenchRecord) -> list[Html]:
    """Return the parts of the section on a camera's deadlines; none in another scenario."""
    rules = record.scenario
    if rules is None or rules.camera is None or rules.deadlines is None:
        return []
    camera, deadlines = rules.camera, rules.deadlines
    bound = deadlines.bound
    return [
        facts(
            {
                "camera": f"{camera.fps:g} frames a second; a frame is due {camera.deadline_ms:g} ms after it came",
                "frames": f"{deadlines.arrived_frames} came, {deadlines.dropped_frames} of them were replaced by a "
                "newer one before the engine was ready",
                "missed deadlines": f"{deadlines.missed_frames}, with the replaced frames",
                "share of misses": f"{100 * bound.share:.3g} %, {100 * bound.lower:.3g} to {100 * bound.upper:.3g} % "
                f"by bounds that each hold with {100 * bound.confidence:g} % confidence; {bound.frames} frames say as "
                f"much as {bound.effective_frames:.0f} independent ones",
                "allowed": f"{100 * camera.allowed_miss_share:g} %",
                "end": "the verdict was certain before the time was over" if rules.stopped_early else "as planned",
            }
        ),
        _age_table(deadlines),
    ]


def steadiness_parts(record: BenchRecord) -> list[Html]:
    """Return the parts on whether the run was steady; none for a record of before that was judged."""
    steady = record.steadiness
    if steady is None:
        return []
    words = {True: "Steady.", False: "Not steady.", None: "Too few frames to say whether it was steady."}
    sentences = [words[steady.is_steady], *(f"{text[:1].upper()}{text[1:]}." for text in steady.reasons)]
    return [paragraph(" ".join(sentences)), facts(_steady_figures(steady))]


def _steady_figures(steady: Steadiness) -> dict[str, str]:
    found = {}
    window = f"between the last windows of {steady.window_s:.3g} s"
    if steady.rate_spread is not None:
        found["frames per second"] = f"differ by {100 * steady.rate_spread:.1f} % {window}"
    if steady.latency_spread is not None:
        found["mean latency"] = f"differs by {100 * steady.latency_spread:.1f} % {window}"
    if steady.latency_drift is not None:
        ends = ""
        if steady.drift_low is not None and steady.drift_high is not None:
            ends = f" ({100 * steady.drift_low:+.1f} to {100 * steady.drift_high:+.1f} %)"
        found["drift of latency"] = f"{100 * steady.latency_drift:+.1f} % over the run{ends}"
    if steady.temperature_slope_c_per_min is not None:
        found["temperature"] = f"{steady.temperature_slope_c_per_min:+.2f} °C a minute at the end"
    return found


def _age_table(deadlines: DeadlineRecord) -> Html:
    age = deadlines.age
    values = ((50, age.p50_ms), (90, age.p90_ms), (99, age.p99_ms), (99.9, age.p99_9_ms))
    cells = [percentile_text(value, percent) for percent, value in values]
    heads = [f"p{percent:g}" for percent, _ in values]
    shown = table(
        [Column("age of a frame"), *map(Column, heads), Column("oldest")],
        [["all frames taken", *cells, f"{age.max_ms:.1f} ms"]],
    )
    return joined(shown, paragraph("Age: from a frame's arrival to its labels in host memory.", is_faint=True))


def _speed_kind(record: BenchRecord) -> str:
    if doubts(record) or keeps_up(record) is None:
        return DOUBT
    return GOOD if keeps_up(record) else NEUTRAL
