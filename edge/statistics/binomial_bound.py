"""Bounds on the share of frames that miss their deadline, and whether the share is certain to be small enough.

Misses come in runs: what makes one frame late makes the next one late too, and queues pass a delay on. The exact
binomial bound is therefore taken with the number of independent frames that say as much, as in block_bootstrap.py.

Sources: Clopper and Pearson, "The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial" (1934);
Korn and Graubard (1998) for the effective number; Lan and DeMets, "Discrete Sequential Boundaries for Clinical Trials"
(1983), for an error that is spent look by look.
"""

from __future__ import annotations

import math

import numpy as np

from edge.errors import InputError
from edge.records import record
from edge.statistics.autocorrelation import LEAST_FRAMES, dependence
from edge.statistics.block_bootstrap import CONFIDENCE, TAIL_FRAMES
from edge.statistics.distributions import beta_quantile

FIRST_LOOK = 64
"""Number of frames at the first look of an early stop; each later look has half as many again as the one before."""


@record(schema=1, what="bound on missed deadlines")
class MissBound:
    """Bounds on the share of frames that miss their deadline.

    Each bound by itself holds with the confidence: the true share is at most `upper`, and it is at least `lower`.

    Attributes:
        misses: Number of frames that missed.
        frames: Number of frames that were due.
        effective_frames: Number of independent frames that say as much as these, which depend on one another.
        share: Share of the frames that missed, 0 to 1.
        upper: Upper bound of the share, 0 to 1.
        lower: Lower bound of the share, 0 to 1.
        confidence: Confidence of each bound, over 0.5 and below 1.
    """

    misses: int
    frames: int
    effective_frames: float
    share: float
    upper: float
    lower: float
    confidence: float


def miss_bound(missed: np.ndarray, confidence: float = CONFIDENCE, lateness_ns: np.ndarray | None = None) -> MissBound:
    """Return the exact binomial bounds on the share of misses, with an effective number of frames.

    Args:
        missed: Whether each frame missed its deadline, in the order of time, of shape (frames,) and bool.
        confidence: Confidence of each bound, over 0.5 and below 1.
        lateness_ns: Time by which each frame was later than its deadline, negative where it was in time, of shape
            (frames,); any number that grows with lateness will do. A handful of misses says nothing of whether they
            come in runs, so dependence is then taken from the latest frames, missed or not. None leaves it to the
            misses alone.

    Raises:
        InputError: There are no frames.
    """
    missed = np.asarray(missed, bool)
    frames, misses = len(missed), int(np.count_nonzero(missed))
    if not frames:
        raise InputError("no frame was due: there are no deadlines to bound the misses of")
    effective = _effective_frames(missed, misses, confidence, lateness_ns)
    share = misses / frames
    hits, rest = share * effective, (1.0 - share) * effective
    upper = 1.0 if misses == frames else beta_quantile(confidence, hits + 1.0, rest)
    lower = 0.0 if not misses else beta_quantile(1.0 - confidence, hits, rest + 1.0)
    return MissBound(misses, frames, effective, share, upper, lower, confidence)


def _effective_frames(missed: np.ndarray, misses: int, confidence: float, lateness_ns: np.ndarray | None) -> float:
    frames = len(missed)
    if frames < LEAST_FRAMES:
        return 1.0  # a handful of frames may be one event
    found = [float(frames)]
    if 0 < misses < frames:
        found.append(dependence(missed).effective_frames(1.0 - confidence))
    if lateness_ns is not None and misses < TAIL_FRAMES < frames:
        level = np.partition(lateness_ns, frames - TAIL_FRAMES - 1)[frames - TAIL_FRAMES - 1]
        latest = np.asarray(lateness_ns) > level
        if latest.any():
            found.append(dependence(latest).effective_frames(1.0 - confidence))
    return min(found)


def next_look(frames: int) -> int:
    """Return the number of frames at the next look of an early stop, after so many."""
    look = FIRST_LOOK
    while look <= frames:
        look = _after(look)
    return look


def certain_verdict(
    missed: np.ndarray,
    allowed_share: float,
    confidence: float = CONFIDENCE,
    lateness_ns: np.ndarray | None = None,
) -> bool | None:
    """Return whether misses are certain to be few enough, for a run that ends as soon as it is certain.

    It may be asked after every frame, and still errs in at most 1 - confidence of all runs, however long they are: it
    looks at 64, 96, 144 ... frames alone (`next_look`), and look k spends 1 / (k (k + 1)) of the error, which adds up
    to the whole of it. A verdict between two looks is that of the earlier one.

    Args:
        missed: Whether each frame until now missed its deadline, in the order of time, of shape (frames,) and bool.
        allowed_share: Largest share of misses that is allowed, over 0 and below 1.
        confidence: Confidence of the verdict, over 0.5 and below 1.
        lateness_ns: Lateness of each frame, as for `miss_bound`; None leaves the dependence to the misses alone.

    Returns:
        True where the share is at most the allowed one, False where it is more, None where neither is certain yet.
    """
    look, number = FIRST_LOOK, 1
    if len(missed) < look:
        return None
    while _after(look) <= len(missed):
        look, number = _after(look), number + 1
    error = (1.0 - confidence) / (number * (number + 1.0))
    bound = miss_bound(missed[:look], 1.0 - error, None if lateness_ns is None else lateness_ns[:look])
    if bound.upper <= allowed_share:
        return True
    return False if bound.lower > allowed_share else None


def _after(look: int) -> int:
    return math.ceil(1.5 * look)
