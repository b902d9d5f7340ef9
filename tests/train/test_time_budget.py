"""A training that is given hours ends within them, with as many steps as fit."""

from __future__ import annotations

import pytest

from train.time_budget import RESERVE, steps_within


def plan(**changes):
    given = {"budget_s": 3600.0, "spent_s": 0.0, "steps_done": 0, "step_s": 0.5, "validation_s": 10.0}
    return steps_within(**{**given, "steps_per_epoch": 100, "most": 100_000, **changes})


def time_taken(steps, step_s=0.5, validation_s=10.0, steps_per_epoch=100):
    return steps * step_s + (steps // steps_per_epoch + 1) * validation_s


def test_the_steps_and_validations_fit_and_another_epoch_would_not():
    steps = plan()
    assert steps % 100 == 0
    assert time_taken(steps) <= 3600.0 * (1 - RESERVE) < time_taken(steps + 100)


def test_the_recipe_is_not_exceeded():
    assert plan(most=700) == 700


@pytest.mark.parametrize("spent_s", [3500.0, 3600.0, 9000.0])
def test_time_that_is_used_up_ends_the_training_where_it_is(spent_s):
    assert plan(spent_s=spent_s, steps_done=4321, validation_s=60.0) == 4321


def test_little_time_gives_a_part_of_an_epoch_and_never_no_step():
    assert 0 < plan(budget_s=60.0) < 100
    assert plan(budget_s=1.0) == 1


def test_a_slower_machine_gets_fewer_steps():
    assert plan(step_s=1.0) < plan() and plan(validation_s=100.0) < plan()


def test_a_new_plan_with_the_same_speed_is_the_same():
    first = plan()
    half = first // 200 * 100
    assert plan(spent_s=time_taken(half) - 10.0, steps_done=half) == pytest.approx(first, abs=100)
