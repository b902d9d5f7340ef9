"""Many small jobs on several threads, in their order, with progress once they take long."""

from __future__ import annotations

import time
from typing import Callable, Iterator, Sequence, TypeVar

from edge.console import Progress
from edge.read_ahead import read_ahead

_QUIET_S = 2.0
"""Time in s that passes before progress is shown."""

_TOGETHER = 8
"""Files that a thread takes at once: handing over one costs as much as reading its header."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(what: str, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Yield the result of each item, in their order, while threads work on those that follow.

    Args:
        what: What is done, in front of the progress.
        work: Function of one item; several threads call it at once.
        items: Items, such as paths.
    """
    start_s, done = time.perf_counter(), 0
    parts = [items[first : first + _TOGETHER] for first in range(0, len(items), _TOGETHER)]
    with Progress(what, len(items), "file") as progress:
        for results in read_ahead(lambda part: [work(item) for item in part], parts):
            yield from results
            done += len(results)
            if time.perf_counter() - start_s > _QUIET_S:
                progress.show(done / len(items))
