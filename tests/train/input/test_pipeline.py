"""Training batches: a function of the seed and the step, whoever reads them, after few reads, with readable errors."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import tensorflow as tf

from edge.datasets import open_dataset
from edge.errors import DatasetError, ImageError, InputError
from tests.train import street_set
from train.input.augmentation import Augmentation
from train.input.pipeline import READ_AHEAD_BATCHES, TrainingInput

PLAIN = Augmentation(1.0, 1.0, 0.0, 0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return street_set.write_camvid(tmp_path_factory.mktemp("camvid"))


@pytest.fixture
def training(folder):
    return open_dataset("camvid", folder, "train")


def input_of(dataset, batch_size=2, seed=0, augmentation=PLAIN, **options):
    return TrainingInput(dataset, 32, 64, batch_size, augmentation, seed, **options)


def taken(batches, count):
    return [(frames.numpy(), labels.numpy()) for frames, labels in batches.take(count)]


def assert_alike(first, second):
    assert len(first) == len(second)
    for one, two in zip(first, second):
        np.testing.assert_array_equal(one[0], two[0])
        np.testing.assert_array_equal(one[1], two[1])


def test_batches_have_static_shapes(training):
    batches = input_of(training).batches()
    assert [tuple(spec.shape) for spec in batches.element_spec] == [(2, 32, 64, 3), (2, 32, 64)]
    ((frames, labels),) = taken(batches, 1)
    assert (frames.shape, frames.dtype) == ((2, 32, 64, 3), np.uint8)
    assert (labels.shape, labels.dtype) == ((2, 32, 64), np.uint8)


def test_batches_never_end_and_a_split_smaller_than_a_batch_serves(training):
    assert len(taken(input_of(training, 8).batches(), 3)) == 3


def test_every_frame_comes_once_in_a_pass_and_not_in_file_order(training):
    labels = np.concatenate([labels for _, labels in taken(input_of(training, 2).batches(), 3)])
    frames = [training.read_labels(index) for index in range(len(training))]
    places = [next(i for i, frame in enumerate(frames) if np.array_equal(frame, each)) for each in labels]
    assert sorted(places) == list(range(6)) != places


def test_equal_seeds_give_equal_batches_and_others_do_not(training):
    first, again, other = (taken(input_of(training, 2, seed, Augmentation()).batches(), 4) for seed in (1, 1, 2))
    assert_alike(first, again)
    assert not all(np.array_equal(one[0], two[0]) for one, two in zip(first, other))


@pytest.mark.parametrize("readers", [1, 2, 7])
def test_batches_do_not_depend_on_the_number_of_readers(training, readers):
    augmentation = Augmentation(blur=0.5)
    expected = taken(input_of(training, 4, 3, augmentation).batches(), 5)
    assert_alike(expected, taken(input_of(training, 4, 3, augmentation, readers=readers).batches(), 5))


def test_training_that_goes_on_at_a_step_sees_what_it_would_have_seen(training):
    pairs = input_of(training, 4, augmentation=Augmentation())
    assert_alike(taken(pairs.batches(), 7)[5:], taken(pairs.batches(first_step=5), 2))


def test_batch_is_made_of_the_samples_of_its_step(training):
    pairs = input_of(training, 3, augmentation=Augmentation())
    ((frames, labels),) = taken(pairs.batches(first_step=4), 1)
    for place in range(3):
        frame, marks = pairs.read(4 * 3 + place)
        np.testing.assert_array_equal(frames[place], frame)
        np.testing.assert_array_equal(labels[place], marks)


@pytest.mark.parametrize(("replicas", "workers"), [(2, 1), (1, 2), (2, 3), (6, 1)])
def test_replicas_and_workers_share_out_the_same_batches(training, replicas, workers):
    pairs = input_of(training, 12, augmentation=Augmentation())
    whole = taken(pairs.batches(first_step=2), 2)
    parts = [taken(pairs.batches(2, replicas, worker, workers), 2 * replicas) for worker in range(workers)]
    for step, (frames, labels) in enumerate(whole):
        shared = [part for worker in parts for part in worker[step * replicas : (step + 1) * replicas]]
        np.testing.assert_array_equal(np.concatenate([part[0] for part in shared]), frames)
        np.testing.assert_array_equal(np.concatenate([part[1] for part in shared]), labels)
        assert {len(part[0]) for part in shared} == {12 // (replicas * workers)}


def test_batch_that_cannot_be_shared_out_is_refused(training):
    with pytest.raises(InputError, match=r"10 crops for 4 replicas, expected a multiple of 4\. Next: --batch-size 8"):
        input_of(training, 10).batches(replicas=2, workers=2)
    with pytest.raises(InputError, match=r"--batch-size 4$"):
        input_of(training, 1).batches(replicas=4)


def test_names_of_a_step_are_those_of_its_frames(training):
    pairs = input_of(training, 2)
    for step, (_, labels) in enumerate(taken(pairs.batches(), 4)):
        by_name = {sample.name: index for index, sample in enumerate(training.samples)}
        for name, marks in zip(pairs.names_of(step), labels):
            np.testing.assert_array_equal(training.read_labels(by_name[name]), marks)


def test_frame_looks_different_in_every_pass(training):
    batches = taken(input_of(training, 6, augmentation=Augmentation()).batches(), 2)
    assert not np.array_equal(np.sort(batches[0][0].mean((1, 2, 3))), np.sort(batches[1][0].mean((1, 2, 3))))


def test_zoom_is_relative_to_the_size_of_the_network(training):
    pairs = TrainingInput(training, 8, 16, 1, PLAIN, 0, network_size=(32, 64))
    _, labels = pairs.read(0)
    whole = training.read_labels(pairs.frame_of(0))
    cuts = np.lib.stride_tricks.sliding_window_view(whole, (8, 16))
    assert (cuts == labels).all((-1, -2)).any()


class CountedReads:
    """A dataset of many frames that says how many were read, and how many at once."""

    def __init__(self, dataset, count):
        self._dataset, self.samples = dataset, dataset.samples * (count // len(dataset))
        self.table, self.read, self.most_at_once = dataset.table, 0, 0
        self._at_once, self._lock = 0, threading.Lock()

    def __len__(self):
        return len(self.samples)

    def read_pair(self, index):
        with self._lock:
            self.read += 1
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return self._dataset.read_pair(index % len(self._dataset))
        finally:
            with self._lock:
                self._at_once -= 1


def test_first_batch_comes_after_a_few_reads_and_reading_ahead_ends(training):
    many = CountedReads(training, 600)
    batches = iter(input_of(many, 4, readers=2).batches())
    for step in range(1, 60):
        next(batches)
        assert many.read <= 4 * (step + READ_AHEAD_BATCHES)
    assert many.most_at_once <= 2


def test_nothing_that_was_read_is_kept(training):
    few = CountedReads(training, 6)
    taken(input_of(few, 6).batches(), 5)
    assert few.read >= 30  # five passes read five times: a cache would grow with the dataset


@pytest.mark.parametrize("damage", ["unknown id", "size", "not an image"])
def test_error_of_the_reader_is_kept_as_it_was(tmp_path, damage):
    training = open_dataset("camvid", street_set.write_camvid(tmp_path), "train")
    path = tmp_path / "trainannot" / "a_3.png"
    if damage == "unknown id":
        street_set.spoil(path)
    elif damage == "size":
        street_set.write_image(path, np.zeros((8, 8), np.uint8))
    else:
        path.write_bytes(b"no image")
    pairs = input_of(training, 6)
    assert pairs.failure is None
    with pytest.raises(tf.errors.OpError):
        taken(pairs.batches(), 2)
    assert isinstance(pairs.failure, ImageError if damage == "not an image" else DatasetError)
    assert "a_3.png" in str(pairs.failure)


def test_of_several_damaged_frames_the_first_in_order_is_named(tmp_path):
    training = open_dataset("camvid", street_set.write_camvid(tmp_path), "train")
    for path in (tmp_path / "trainannot").iterdir():
        street_set.spoil(path)
    for seed in range(3):
        pairs = input_of(training, 6, seed, readers=4)
        with pytest.raises(tf.errors.OpError):
            taken(pairs.batches(), 1)
        assert f"{pairs.names_of(0)[0]}.png" in str(pairs.failure)


def test_batches_before_a_damaged_frame_are_whole(tmp_path):
    training = open_dataset("camvid", street_set.write_camvid(tmp_path), "train")
    pairs = input_of(training, 1)
    last = pairs.names_of(5)[0]
    street_set.spoil(tmp_path / "trainannot" / f"{last}.png")
    batches = iter(pairs.batches())
    assert len([next(batches) for _ in range(5)]) == 5
    with pytest.raises(tf.errors.OpError):
        next(batches)
    assert f"{last}.png" in str(pairs.failure)
