"""What a training is spread over, and which batches it can take."""

from __future__ import annotations

import pytest
import tensorflow as tf

from edge.errors import InputError
from tests.train.engine.small_training import Batches
from train.engine.cluster import Cluster
from train.engine.strategies import MULTIWORKER, ONE, TrainingStrategy, open_strategy


class _Replicas:
    """A strategy of TensorFlow with a number of replicas, of which nothing but the number is asked."""

    def __init__(self, count: int) -> None:
        self.num_replicas_in_sync = count


def four_replicas_on_two_workers() -> TrainingStrategy:
    return TrainingStrategy(MULTIWORKER, _Replicas(4), Cluster(("a:1", "b:2"), 1))


@pytest.mark.parametrize(
    "batch_size, accumulation, message",
    [
        (10, 1, r"batch of 10 does not divide among 4 replicas \(2 workers of 2\)\. Next: --batch-size 8 or 12"),
        (3, 1, r"batch of 3 does not divide .*\. Next: --batch-size 4$"),
        (
            12,
            2,
            r"batch of 12 does not divide among 4 replicas \(2 workers of 2\) of 2 parts\. Next: --batch-size 8 or 16",
        ),
    ],
)
def test_batch_that_does_not_divide_is_refused_with_the_nearest_that_do(batch_size, accumulation, message):
    with pytest.raises(InputError, match=message):
        four_replicas_on_two_workers().check_batch(batch_size, accumulation)


def test_batch_that_divides_is_taken():
    four_replicas_on_two_workers().check_batch(16, 4)
    open_strategy(ONE).check_batch(1)
    with pytest.raises(InputError, match=r"batch of 7 does not divide among 3 parts\. Next: --batch-size 6 or 9"):
        open_strategy(ONE).check_batch(7, 3)


def test_strategy_knows_its_part_of_the_work():
    strategy = four_replicas_on_two_workers()
    assert (strategy.replicas, strategy.local_replicas, strategy.workers) == (4, 2, 2)
    assert not strategy.is_chief
    assert open_strategy(ONE).is_chief


def test_unknown_strategy_is_refused():
    with pytest.raises(InputError, match="strategy is 'all', expected one of: one, mirrored, multiworker"):
        open_strategy("all")


def test_batches_begin_at_the_step_that_is_asked_for():
    source = Batches(4)
    frames, labels = next(open_strategy(ONE).batches(source, 5))
    wanted_frames, wanted_labels = source.whole(5)
    assert (frames.numpy() == wanted_frames).all()
    assert (labels.numpy() == wanted_labels).all()
    assert frames.dtype == tf.uint8
