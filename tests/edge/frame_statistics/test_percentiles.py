from __future__ import annotations

import numpy as np
import pytest

from edge.errors import InputError
from edge.frame_statistics.percentiles import LatencyStatistics, few_frames_sentence, summarise
from edge.percentile_rule import least_samples, percentile_text
from edge.records import record_from_json, record_to_json


def naive_rank(samples, percent):
    """The smallest sample that at least `percent` of all samples do not exceed."""
    return min(value for value in samples if sum(other <= value for other in samples) * 100 >= percent * len(samples))


@pytest.mark.parametrize("count", [1, 2, 3, 7, 10, 99, 100, 101, 200])
def test_percentiles_are_those_of_the_definition(count):
    samples = np.random.default_rng(count).integers(1_000_000, 50_000_000, count).tolist()
    statistics = summarise(samples)
    assert statistics.sample_count == count
    assert statistics.p50_ms == naive_rank(samples, 50) / 1e6
    assert statistics.p90_ms == (naive_rank(samples, 90) / 1e6 if count >= 10 else None)
    assert statistics.p95_ms == (naive_rank(samples, 95) / 1e6 if count >= 20 else None)
    assert statistics.p99_ms == (naive_rank(samples, 99) / 1e6 if count >= 100 else None)
    assert statistics.p99_9_ms is None
    assert statistics.max_ms == max(samples) / 1e6
    assert statistics.mean_ms == pytest.approx(sum(samples) / count / 1e6)


def test_percentiles_of_one_to_a_hundred():
    statistics = summarise([value * 1_000_000 for value in range(100, 0, -1)])
    assert (statistics.p50_ms, statistics.p90_ms, statistics.p99_ms, statistics.max_ms) == (50, 90, 99, 100)
    assert statistics.mean_ms == 50.5


def test_rare_spike_shows_in_the_maximum_alone():
    statistics = summarise([1_000_000] * 199 + [90_000_000])
    assert (statistics.p99_ms, statistics.max_ms) == (1.0, 90.0)


@pytest.mark.parametrize("percent", [90, 99])
def test_percentile_is_quoted_from_where_a_sample_lies_beyond_it(percent):
    least = least_samples(percent)
    for count, is_given in ((least - 1, False), (least, True)):
        statistics = summarise(list(range(1_000_000, 1_000_000 + count)))
        value = {90: statistics.p90_ms, 99: statistics.p99_ms}[percent]
        assert (value is not None) == is_given
        assert not is_given or value < statistics.max_ms


def test_three_frames_say_what_they_lack():
    statistics = summarise([1, 2, 3])
    assert few_frames_sentence(statistics) == "p90 needs 10 frames and p99 needs 100 frames, 3 were measured"
    assert few_frames_sentence(summarise([1])).endswith("1 was measured")
    assert few_frames_sentence(summarise([1] * 100)) == ""
    assert (percentile_text(None, 99), percentile_text(5.25, 99)) == ("needs 100 frames", "5.2 ms")


def test_tail_of_a_thousand_frames_has_its_percentile():
    statistics = summarise([value * 1_000_000 for value in range(1, 1001)])
    assert (statistics.p99_9_ms, statistics.percentile_ms(99.9), statistics.percentile_ms(50)) == (999, 999, 500)


def test_intervals_are_given_in_ms_as_far_as_the_frames_carry_them():
    statistics = summarise(np.random.default_rng(0).integers(19_000_000, 21_000_000, 600))
    assert set(statistics.intervals) == {"mean", "p50", "p90", "p95", "p99"}
    median = statistics.intervals["p50"]
    assert 19.5 < median.low < statistics.p50_ms < median.high < 20.5
    assert (median.confidence, summarise([1, 2, 3]).intervals) == (0.95, {})
    read = record_from_json(LatencyStatistics, record_to_json(statistics), "a record")
    assert read == statistics


def test_older_record_that_called_the_slowest_of_three_frames_p99_is_read_without_it():
    value = {"schema": 1, "sample_count": 3, "mean_ms": 2.0, "p50_ms": 2.0, "p90_ms": 3.0, "p99_ms": 3.0, "max_ms": 3.0}
    read = record_from_json(LatencyStatistics, value, "older record")
    assert (read.p90_ms, read.p99_ms, read.max_ms) == (None, None, 3.0)
    assert (read.p95_ms, read.p99_9_ms, read.intervals) == (None, None, {})


def test_samples_are_left_in_their_order():
    samples = [3, 1, 2]
    summarise(samples)
    assert samples == [3, 1, 2]


def test_no_samples_are_refused():
    with pytest.raises(InputError, match="no latency was measured"):
        summarise([])
