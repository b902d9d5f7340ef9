"""Reading ahead: threads work on the next items while the caller is busy with one, and results keep their order.

Pictures are decoded by OpenCV, which lets other threads of Python run meanwhile.
"""

from __future__ import annotations

import collections
import itertools
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Callable, Deque, Iterable, Iterator, TypeVar

from edge.machine import usable_cores

Item = TypeVar("Item")
Result = TypeVar("Result")

_MOST_THREADS = 8
"""More threads wait for the disk or for whoever takes the results, and each holds a frame and its label map."""


def read_ahead(work: Callable[[Item], Result], items: Iterable[Item], threads: int | None = None) -> Iterator[Result]:
    """Yield the result of each item, in their order, while threads work on those that follow.

    At most as many results as there are threads are finished or under way at any time, whatever the number of items.
    After an error, or when the caller stops early, what was not begun is not begun.

    Args:
        work: Function of one item; several threads call it at once.
        items: Items, which may be without end.
        threads: Number of threads; None for the number of cores, up to eight.

    Yields:
        Result of each item, or the exception that `work` raised for it.
    """
    count = threads or min(usable_cores(), _MOST_THREADS)
    waiting = iter(items)
    under_way: Deque[Future] = collections.deque()
    with ThreadPoolExecutor(count) as pool:
        try:
            under_way.extend(pool.submit(work, item) for item in itertools.islice(waiting, count))
            while under_way:
                result = under_way.popleft().result()
                under_way.extend(pool.submit(work, item) for item in itertools.islice(waiting, 1))
                yield result
        finally:
            for future in under_way:
                future.cancel()
