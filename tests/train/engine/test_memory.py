"""A batch that does not fit: refused before the first step, or after it, with the largest that does."""

from __future__ import annotations

import re

import pytest
import tensorflow as tf

from edge.errors import InputError
from tests.train.engine.small_training import SmallTraining, recipe
from train.engine.graph_memory import peak_bytes
from train.engine.memory import largest_that_fits, too_little_memory
from train.engine.step import TrainingStep


def check(training: SmallTraining, room_bytes: int | None) -> None:
    training.stepper.check_memory(next(training.batches), room_bytes)


def test_batch_that_fits_is_taken_and_traced_once():
    training = SmallTraining(recipe())
    check(training, None)
    check(training, 1 << 30)
    training.run(2)
    assert training.stepper._run.experimental_get_tracing_count() == 1


def test_batch_that_does_not_fit_is_refused_with_the_largest_that_does():
    training = SmallTraining(recipe())
    with pytest.raises(InputError, match=r"batch of 8 crops takes 0\.0 GB of memory, 0\.0 GB are free") as caught:
        check(training, 40_000)
    named = int(re.search(r"--batch-size (\d+),", str(caught.value))[1])
    assert 1 <= named < 8
    smaller = SmallTraining(recipe(batch_size=named))
    check(smaller, 40_000)


def test_first_step_is_not_taken_without_the_memory_for_it(monkeypatch):
    monkeypatch.setattr("train.engine.memory.available_bytes", lambda: 40_000)
    training = SmallTraining(recipe())
    before = training.weights()
    with pytest.raises(InputError, match="8 crops takes"):
        training.run(1)
    for name, array in training.weights().items():
        assert (array == before[name]).all()


def test_parts_of_a_batch_need_the_memory_of_a_part():
    graphs = {}
    for parts in (1, 2, 4):
        training = SmallTraining(recipe(accumulation=parts))
        graphs[parts] = peak_bytes(training.stepper.graph(next(training.batches)))
    assert graphs[4] < graphs[2] < graphs[1]
    assert graphs[4] < 0.5 * graphs[1]


@pytest.mark.parametrize(
    "crops, fitting, parts, accumulation, next_step",
    [
        (8, 5, 1, 1, "--batch-size 5, the largest that fits, or accumulation 2 in the recipe, which keeps the batch"),
        (8, 3, 4, 2, "--batch-size 12, the largest that fits, or accumulation 8 in the recipe"),
        (6, 1, 1, 1, "--batch-size 1, the largest that fits, or accumulation 6 in the recipe"),
        (4, 0, 1, 1, "a smaller crop or model"),
    ],
)
def test_message_names_what_fits_and_what_keeps_the_batch(crops, fitting, parts, accumulation, next_step):
    message = str(too_little_memory(crops, fitting, parts, accumulation, "9 GB"))
    assert message.startswith(f"a step over a batch of {crops * parts} crops takes 9 GB")
    assert f"Next: {next_step}" in message


@pytest.mark.parametrize("limit", [0, 1, 5, 6, 31])
def test_largest_is_found_with_few_trials(limit):
    tried = []
    assert largest_that_fits(lambda count: tried.append(count) or count <= limit, 32) == limit
    assert len(tried) <= 5


def test_step_that_exhausts_the_device_says_which_batch_fits(monkeypatch):
    compute, traced = TrainingStep._gradients_of_part, []

    def exhausting(self, frames, labels, normalisers):
        traced.append(frames.shape[0])
        # An allocation that no machine can grant where there are more than three crops.
        length = tf.where(tf.shape(frames)[0] > 3, tf.constant(2, tf.int64) ** 60, 1)
        huge = tf.random.stateless_uniform([length], (1, 2))
        return compute(self, frames + tf.cast(0.0 * huge[0], tf.uint8), labels, normalisers)

    monkeypatch.setattr(TrainingStep, "_gradients_of_part", exhausting)
    monkeypatch.setattr("train.engine.memory.available_bytes", lambda: None)
    training = SmallTraining(recipe(accumulation=2))
    with pytest.raises(InputError, match=r"8 crops takes more memory than the device has\. Next: --batch-size 6"):
        training.run(1)
    assert traced.count(None) == 1  # the trials share one graph
