"""Reading ahead keeps the order, holds few results, and ends at once when nobody wants more."""

from __future__ import annotations

import itertools
import threading
import time

import pytest

from edge.read_ahead import read_ahead


def test_results_come_in_the_order_of_the_items():
    def slow_at_first(item):
        time.sleep(0.02 if item < 2 else 0.0)
        return item * item

    assert list(read_ahead(slow_at_first, range(20), threads=4)) == [item * item for item in range(20)]


@pytest.mark.parametrize("threads", [1, 3])
def test_no_more_items_are_begun_than_there_are_threads(threads):
    begun = []
    results = read_ahead(lambda item: begun.append(item), itertools.count(), threads=threads)
    for taken in range(1, 10):
        next(results)
        assert len(begun) <= taken + threads
    results.close()


def test_items_are_worked_on_while_the_caller_is_busy():
    both = threading.Barrier(2, timeout=30)
    # Each of two items waits for the other: one after the other they would wait for ever.
    assert list(read_ahead(lambda item: both.wait() * 0 + item, range(2), threads=2)) == [0, 1]


def test_error_comes_at_the_place_of_its_item_and_ends_the_work():
    begun = []

    def work(item):
        begun.append(item)
        if item == 3:
            raise ValueError("item 3")
        return item

    seen = []
    with pytest.raises(ValueError, match="item 3"):
        for result in read_ahead(work, itertools.count(), threads=2):
            seen.append(result)
    assert seen == [0, 1, 2]
    assert max(begun) <= 5


def test_caller_that_stops_early_leaves_no_thread():
    before = threading.active_count()
    for result in read_ahead(lambda item: item, itertools.count(), threads=3):
        if result == 4:
            break
    # The generator is closed when it is let go, and waits for its threads.
    del result
    assert threading.active_count() <= before


def test_nothing_to_do_is_nothing():
    assert list(read_ahead(lambda item: item, [])) == []
