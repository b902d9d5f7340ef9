from __future__ import annotations

import numpy as np
import pytest

from benchmarks.comparison_statistics import misses
from edge.errors import InputError
from edge.frame_statistics.binomial_bound import FIRST_LOOK, certain_verdict, miss_bound, next_look


def test_bound_of_independent_misses_is_that_of_clopper_and_pearson():
    missed = np.zeros(1000, bool)
    missed[50::100] = True
    bound = miss_bound(missed)
    assert (bound.misses, bound.frames, bound.share) == (10, 1000, 0.01)
    # One-sided 95 % bounds of 10 of 1,000 are 0.00544 and 0.01691.
    assert bound.effective_frames == 1000
    assert bound.upper == pytest.approx(0.01691, abs=5e-5)
    assert bound.lower == pytest.approx(0.00544, abs=5e-5)


def test_no_miss_is_bounded_by_the_rule_of_three():
    bound = miss_bound(np.zeros(3000, bool))
    assert bound.upper == pytest.approx(3.0 / 3000, rel=0.01)
    assert bound.lower == 0.0
    assert miss_bound(np.ones(30, bool)).upper == 1.0


def test_misses_in_a_row_say_less_than_scattered_ones():
    scattered, in_a_row = np.zeros(2000, bool), np.zeros(2000, bool)
    scattered[::50] = True
    in_a_row[500:520] = in_a_row[1500:1520] = True
    assert miss_bound(in_a_row).effective_frames < 0.3 * miss_bound(scattered).effective_frames
    assert miss_bound(in_a_row).upper > miss_bound(scattered).upper


def test_late_frames_tell_of_rows_where_no_frame_missed():
    # Slow spells of 40 frames, all within the deadline so far.
    lateness_ns = np.random.default_rng(0).standard_normal(2000)
    lateness_ns[600:640] += 10.0
    none = np.zeros(2000, bool)
    assert miss_bound(none, lateness_ns=lateness_ns).upper > 3.0 * miss_bound(none).upper


def test_upper_bound_holds_for_misses_that_come_in_bursts():
    # 95 % of the bounds hold; with frames taken for independent about 85 % do.
    missed, lateness = misses(0.05, 6.0, 100, 1024, 4)
    held = [miss_bound(one, lateness_ns=late).upper >= 0.05 for one, late in zip(missed, lateness)]
    assert np.mean(held) >= 0.92


def test_bound_of_no_frames_is_refused():
    with pytest.raises(InputError, match="no frame was due"):
        miss_bound(np.zeros(0, bool))


def test_handful_of_frames_bounds_nothing():
    assert miss_bound(np.zeros(5, bool)).upper == pytest.approx(0.95)


def test_looks_are_few():
    looks, frames = [], 0
    while frames < 100_000:
        frames = next_look(frames)
        looks.append(frames)
    assert looks[:3] == [FIRST_LOOK, 96, 144]
    assert len(looks) < 25


def test_clear_cases_are_certain_early():
    assert certain_verdict(np.zeros(2000, bool), 0.05) is True
    assert certain_verdict(np.ones(100, bool), 0.05) is False
    assert certain_verdict(np.zeros(FIRST_LOOK - 1, bool), 0.5) is None


def test_verdict_between_two_looks_is_that_of_the_earlier_one():
    missed = np.zeros(485, bool)
    missed[324:] = True
    assert certain_verdict(missed, 0.2) is certain_verdict(missed[:324], 0.2) is True
    assert certain_verdict(np.append(missed, True), 0.2) is None


def test_no_early_verdict_rests_on_bursts_that_were_not_met_yet():
    # A burst of 6 begins at one frame in 114: in 96 frames there is none in 4 of 10 runs.
    assert certain_verdict(np.zeros(144, bool), 0.05) is None


def test_many_looks_do_not_make_a_wrong_verdict_likely():
    # Just more is missed than is allowed; whoever looks at a bound of 95 % each time errs in most of them.
    missed, _ = misses(0.101, 6.0, 40, 1095, 5)
    wrong = 0
    for one in missed:
        looks, frames = [], 0
        while (frames := next_look(frames)) <= len(one):
            looks.append(certain_verdict(one[:frames], 0.1))
        wrong += next((verdict for verdict in looks if verdict is not None), None) is True
    assert wrong <= 4
