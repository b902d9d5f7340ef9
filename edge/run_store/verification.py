"""Whether a bundle holds: every figure is computed anew from its raw samples, and everything else is checked.

Whoever changes a sample or a figure has to change all that follows from it, and then the hashes, and then the digest,
which stands where the figure was published. Each check is apart, so that a reader sees which of them found what.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any, Iterator

import numpy as np

from edge.errors import SegEdgeError
from edge.records import record_to_json
from edge.run_store.bundle import FILES, Bundle
from edge.run_store.recomputation import recomputed_record
from edge.run_store.record_series import emptied

CLOSE = 1e-9
"""Largest relative difference between two computations of one figure: versions of NumPy add in other orders."""

_SLACK_NS = 1_000_000
"""Longest time in ns by which two readings of one moment may differ: 1 ms, the time slice that a thread may lose."""


@dataclass(frozen=True)
class Check:
    """One check of a bundle.

    Attributes:
        name: Name of what was checked, such as "figures".
        problems: Sentences on what does not hold; empty where all of it does.
        extent: Words that say how much was checked, such as "74 figures".
    """

    name: str
    problems: tuple[str, ...]
    extent: str

    @property
    def holds(self) -> bool:
        """Whether nothing was found."""
        return not self.problems


def verify(bundle: Bundle, digest: str | None = None) -> Iterator[Check]:
    """Check a bundle, the quick checks first.

    Args:
        bundle: Bundle that was read.
        digest: Digest that was published with the figures; None where it is not known.

    Yields:
        Every check when it is done, those that hold too; the computation of figures comes last.
    """
    yield _checked("files", _files(bundle), f"{len(FILES)} files by their SHA-256")
    if digest is not None:
        yield _checked("digest", _digest(bundle, digest), "the digest that was published")
    yield _checked("card", _card(bundle), "the engine's card against the record")
    yield _checked("frames", _frames(bundle), f"the clock of {len(bundle.frames)} frames")
    yield _checked("telemetry", _telemetry(bundle), f"the clock of {len(bundle.samples)} samples")
    try:
        again = recomputed_record(bundle.record, bundle.frames, bundle.samples)
    except (SegEdgeError, ArithmeticError, ValueError, IndexError, TypeError) as error:
        yield Check("figures", (f"they cannot be computed from the samples: {error}",), "no figures")
        return
    # Lists of samples that an older record holds are compared too; where they are empty, the samples alone have them.
    given, computed = record_to_json(bundle.record), record_to_json(emptied(again, bundle.record))
    others = tuple(sorted(set(given) - {part for parts in _PARTS.values() for part in parts}))
    for name, parts in {**_PARTS, "figures": others}.items():
        yield _compared(name, {part: given[part] for part in parts}, {part: computed[part] for part in parts})


_PARTS = {"energy": ("power",), "validity": ("validity",)}
"""Check -> fields of the record that it is about; the others are figures."""


def _checked(name: str, problems: Iterator[str], extent: str) -> Check:
    return Check(name, tuple(problems), extent)


def _files(bundle: Bundle) -> Iterator[str]:
    for name in sorted({*bundle.manifest.files, *bundle.contents}):
        if name not in bundle.contents:
            yield f"{name} is listed and is not there"
        elif name not in bundle.manifest.files:
            yield f"{name} is there and is not listed"
        elif hashlib.sha256(bundle.contents[name]).hexdigest() != bundle.manifest.files[name]:
            yield f"{name} was changed: its SHA-256 is another one"


def _digest(bundle: Bundle, digest: str) -> Iterator[str]:
    if bundle.digest != digest.lower():
        yield f"the bundle has the digest {bundle.digest}, expected {digest.lower()}: it is another one"


def _card(bundle: Bundle) -> Iterator[str]:
    yield from _differences(record_to_json(bundle.card), record_to_json(bundle.record.engine), "card")
    if bundle.record.run_id and bundle.record.run_id != bundle.manifest.run_id:
        yield f"the record is of run {bundle.record.run_id}, the bundle of {bundle.manifest.run_id}"


def _frames(bundle: Bundle) -> Iterator[str]:
    frames, in_flight = bundle.frames, bundle.record.frames_in_flight
    if not len(frames):
        yield "there are none"
        return

    def first(wrong: np.ndarray, text: str) -> Iterator[str]:
        if wrong.any():
            index = int(np.argmax(wrong))
            more = int(wrong.sum()) - 1
            yield f"frame {index} {text}" + (f", and so do {more} more" if more else "")

    wall_ns = frames.end_ns - frames.start_ns
    stages_ns = sum(frames.stages_ns.values()) if frames.stages_ns else np.zeros_like(wall_ns)
    yield from first(frames.start_ns < 0, "begins before the measured window")
    yield from first(frames.due_ns > frames.start_ns, "begins before it was there")
    yield from first(frames.latency_ns <= 0, "took no time")
    yield from first(np.diff(frames.end_ns, prepend=frames.end_ns[0]) < 0, "ends before the one in front of it")
    yield from first(np.diff(frames.start_ns, prepend=frames.start_ns[0]) < 0, "begins before the one in front of it")
    yield from first(frames.latency_ns > wall_ns + _SLACK_NS, "took longer than from its start to its end")
    if in_flight == 1:
        yield from first(stages_ns > frames.latency_ns + _SLACK_NS, "has stages that are longer than itself")
        yield from first(
            np.concatenate([[False], frames.start_ns[1:] + _SLACK_NS < frames.end_ns[:-1]]),
            "begins while the one in front of it is under way",
        )
    for stage, values in frames.stages_ns.items():
        yield from first(values < 0, f"has a negative time in {stage}")


def _telemetry(bundle: Bundle) -> Iterator[str]:
    power, times_ns = bundle.record.power, [sample.time_ns for sample in bundle.samples]
    if power is None:
        if times_ns:
            yield "there are samples, and the record says that power was not measured"
        return
    if not times_ns:
        yield "there are no samples, and the record has power"
        return
    steps_ns = np.diff(np.array(times_ns, np.int64))
    if (steps_ns <= 0).any():
        yield f"sample {int(np.argmax(steps_ns <= 0)) + 1} is not after the one in front of it"
    longest_s = float(steps_ns.max(initial=0)) / 1e9
    if longest_s > power.gap_limit_s and power.energy_per_frame_mj is not None:
        yield f"there is a gap of {longest_s:.3f} s, and yet an energy; at most {power.gap_limit_s:.3f} s count"


def _compared(name: str, given: dict[str, Any], computed: dict[str, Any]) -> Check:
    count = sum(1 for _ in _leaves(given))
    return Check(name, tuple(_differences(given, computed, "")), f"{count} values of the record, from the raw samples")


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _differences(given: Any, computed: Any, where: str) -> Iterator[str]:
    """Yield a sentence for every value of two JSON values that differs."""
    if isinstance(given, dict) and isinstance(computed, dict):
        for name in dict.fromkeys([*given, *computed]):
            place = f"{where}.{name}" if where else name
            yield from _differences(given.get(name), computed.get(name), place)
    elif isinstance(given, list) and isinstance(computed, list) and len(given) == len(computed):
        for index, (one, other) in enumerate(zip(given, computed)):
            yield from _differences(one, other, f"{where}[{index}]")
    elif not _is_same(given, computed):
        yield f"{where} is {_short(given)}, the samples give {_short(computed)}"


def _is_same(given: Any, computed: Any) -> bool:
    if type(given) is bool or type(computed) is bool or not _is_number(given) or not _is_number(computed):
        return type(given) is type(computed) and given == computed
    return (
        given == computed or math.isclose(given, computed, rel_tol=CLOSE) or (given != given and computed != computed)
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
