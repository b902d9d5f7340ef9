"""How many steps fit into the time that a user gives a training (`--hours`)."""

from __future__ import annotations

import math

RESERVE = 0.02
"""Share of the time that is kept for what the forecast does not know, such as the writing of files."""


def steps_within(
    budget_s: float,
    spent_s: float,
    steps_done: int,
    step_s: float,
    validation_s: float,
    steps_per_epoch: int,
    most: int,
) -> int:
    """Return how many steps a training has in all, if it is to end within its time.

    Args:
        budget_s: time in s that the training may take, with its validations.
        spent_s: time in s since it began.
        steps_done: number of steps that were made in it.
        step_s: time in s that a step takes.
        validation_s: time in s that a validation takes; there is one an epoch and one at the end.
        steps_per_epoch: number of steps in an epoch.
        most: number of steps that the recipe has.

    Returns:
        A number from 1 and `steps_done` to `most`. It is whole epochs where at least five fit, so that the last epoch
        is as long as the others.
    """
    left_s = budget_s * (1.0 - RESERVE) - spent_s - validation_s
    steps = steps_done + max(0, math.floor(left_s / (step_s + validation_s / steps_per_epoch)))
    if steps >= 5 * steps_per_epoch:
        whole = steps // steps_per_epoch * steps_per_epoch
        steps = max(whole, steps_done)
    return max(1, steps_done, min(steps, most))
