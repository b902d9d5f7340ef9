"""Whether a batch fits into memory: an estimate before the first step, a search after one that did not fit."""

from __future__ import annotations

from typing import Callable

import tensorflow as tf

from edge.errors import InputError
from train.engine.available_memory import available_bytes
from train.engine.graph_memory import peak_bytes

SCATTER = 1.25
"""Memory that a step takes over what its tensors take at a time: operators run side by side, and the C library holds
what was freed. Measured by benchmarks/step_memory.py, as is the copy of the weights in `step_bytes`."""


def step_bytes(graph: tf.Graph, weight_bytes: int) -> float:
    """Return the memory that a step on the processor takes beside the weights and what the optimiser keeps of them.

    The kernels of convolutions lay the weights out anew, which takes their size once more.

    Args:
        graph: graph of the step, from `TrainingStep.graph`.
        weight_bytes: size of the trainable weights.
    """
    return SCATTER * peak_bytes(graph) + weight_bytes


def check_memory(
    graph: tf.Graph, weight_bytes: int, crops: int, parts: int, accumulation: int, room_bytes: int | None = None
) -> None:
    """Refuse a batch whose step takes more memory than there is.

    This is for the processor alone, where a step that does not fit ends with the process. What the convolutions of a
    GPU take is known when they run, and a step that does not fit leaves the process as it was: `TrainingStep.step` then
    tries what fits.

    Args:
        graph: graph of the step, from `TrainingStep.graph`.
        weight_bytes: size of the trainable weights.
        crops: number of crops that are computed at a time.
        parts: number of such parts in a batch, over all workers and the accumulation.
        accumulation: parts that each replica computes its crops in now.
        room_bytes: memory that there is; None to ask the machine.

    Raises:
        InputError: it does not fit; the message names the largest batch that does.
    """
    room = available_bytes() if room_bytes is None else room_bytes
    needed = step_bytes(graph, weight_bytes)
    if room is None or needed <= room:
        return
    fixed = (1.0 + SCATTER) * weight_bytes  # the copy of the weights, and their gradients
    per_crop = max(1.0, (needed - fixed) / crops)
    fitting = min(crops - 1, max(0, int((room - fixed) / per_crop)))
    raise too_little_memory(
        crops, fitting, parts, accumulation, f"{needed / 1e9:.1f} GB of memory, {room / 1e9:.1f} GB are free"
    )


def too_little_memory(crops: int, fitting: int, parts: int, accumulation: int, what: str) -> InputError:
    """Return the error that says which batch fits.

    Args:
        crops: number of crops that are computed at a time and do not fit.
        fitting: largest number that does.
        parts: number of such parts in a batch.
        accumulation: parts that each replica computes its crops in now.
        what: what the step needs and what there is.
    """
    start = f"a step over a batch of {crops * parts} crops takes {what}"
    if not fitting:
        return InputError(f"{start}, too little for a single crop. Next: a smaller crop or model")
    keeping = next(count for count in range(2, crops + 1) if crops % count == 0 and crops // count <= fitting)
    return InputError(
        f"{start}. Next: --batch-size {fitting * parts}, the largest that fits, or accumulation "
        f"{keeping * accumulation} in the recipe, which keeps the batch"
    )


def largest_that_fits(fits: Callable[[int], bool], most: int) -> int:
    """Return the largest number of crops below `most` that fits, by trying; 0 where not even one does.

    Args:
        fits: function that tries a number of crops.
        most: number of crops that is known not to fit.
    """
    least = 0
    while most - least > 1:
        middle = (least + most) // 2
        if fits(middle):
            least = middle
        else:
            most = middle
    return least
