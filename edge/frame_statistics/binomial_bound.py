"""Bounds on the share of frames that miss their deadline, and whether the share is certain to be small enough.

Misses come in bursts: what makes one frame late makes the next one late too, and queues pass a delay on. The exact
binomial bound is therefore taken with the number of independent frames that say as much, as in block_bootstrap.py. A
kind of burst that a measurement has not met is in no bound, whatever its confidence: who has seen no miss knows nothing
of how many come at once, but what the lateness of the frames tells.

Sources: Clopper and Pearson, "The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial" (1934);
Korn and Graubard (1998) for the effective number; Lan and DeMets, "Discrete Sequential Boundaries for Clinical Trials"
(1983), for an error that is spent look by look.
"""

from __future__ import annotations

import math

import numpy as np

from edge.errors import InputError
from edge.frame_statistics.autocorrelation import LEAST_FRAMES, dependence
from edge.frame_statistics.block_bootstrap import CONFIDENCE, TAIL_FRAMES
from edge.frame_statistics.distributions import beta_quantile
from edge.records import record

FIRST_LOOK = 64
"""Number of frames at the first look of an early stop; each later look has half as many again as the one before."""


EARLY_BURST_FRAMES = 8
"""Number of frames in a row that one cause is taken to make late, before a run may end early since it looks well, until
TAIL_FRAMES misses have told how many: a quarter of a second of a camera of 30 fps."""

_CLUSTERED_SHARE = 0.8
"""Share of the frames that are independent, below which misses are taken to come in bursts."""


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
    upper = _upper(share, effective, confidence)
    lower = beta_quantile(1.0 - confidence, share * effective, (1.0 - share) * effective + 1.0) if misses else 0.0
    return MissBound(misses, frames, effective, share, upper, lower, confidence)


def _effective_frames(missed: np.ndarray, misses: int, confidence: float, lateness_ns: np.ndarray | None) -> float:
    frames = len(missed)
    if frames < LEAST_FRAMES:
        return 1.0  # a handful of frames may be one event
    found = [float(frames)]
    if 0 < misses < frames:
        seen, fewer = dependence(missed), min(misses, frames - misses)
        # A handful of misses far apart shows no dependence; a burst or two show it, and little is known of it then.
        is_estimated = fewer >= TAIL_FRAMES or seen.independent_frames < _CLUSTERED_SHARE * frames
        found.append(seen.effective_frames(1.0 - confidence, fewer) if is_estimated else seen.independent_frames)
    if lateness_ns is not None and misses < TAIL_FRAMES < frames:
        level = np.partition(lateness_ns, frames - TAIL_FRAMES - 1)[frames - TAIL_FRAMES - 1]
        latest = np.asarray(lateness_ns) > level
        if latest.any():
            found.append(dependence(latest).effective_frames(1.0 - confidence, TAIL_FRAMES))
    return max(min(found), 1.0)


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
    to the whole of it. A verdict between two looks is that of the earlier one. A run that looks well may not have met
    its bursts yet, so that EARLY_BURST_FRAMES are taken to be late at once until misses tell more.

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
    if bound.lower > allowed_share:
        return False
    if bound.upper > allowed_share:
        return None
    if bound.misses >= TAIL_FRAMES:
        return True
    cautious = min(bound.effective_frames, look / EARLY_BURST_FRAMES)
    return True if _upper(bound.share, cautious, 1.0 - error) <= allowed_share else None


def _upper(share: float, frames: float, confidence: float) -> float:
    return 1.0 if share >= 1.0 else beta_quantile(confidence, share * frames + 1.0, (1.0 - share) * frames)


def _after(look: int) -> int:
    return math.ceil(1.5 * look)
