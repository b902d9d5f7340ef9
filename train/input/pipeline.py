"""Batches of training pairs: frames are read, varied and gathered beside the training step.

tf.data is given numbers alone, and each batch is made of the numbers of its samples by one function
(train/input/order.py, augmentation.py, crop.py). So a batch is a function of the seed and the step: a training that
goes on at a step, or is spread over replicas and workers, sees the same samples as any other.

Nothing that was read is kept, and a fixed number of batches is under way. Pairs are gathered here for that: tf.data's
own batch() lets more and more of them wait (TensorFlow 2.21: 8 at first, up to 60 after 4,000 batches of 4).
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from edge.datasets import Dataset
from edge.errors import InputError, SegEdgeError
from edge.machine import usable_cores
from train.input.augmentation import Augmentation, draw_variation
from train.input.crop import crop_pair
from train.input.order import frame_of

READ_AHEAD_BATCHES = 2
"""Batches that are finished or under way while the step has one."""

_MOST_READERS = 16
"""A GPU's step needs no more pairs at once, and each is 8 MB of memory at 1024x2048."""


class TrainingInput:
    """The training pairs of a split, as batches without end.

    An error of the reader (an unknown id, a damaged file) ends the batches, and passes through TensorFlow as text; the
    error itself is kept in `failure`, so that the user gets its one line.

    Args:
        dataset: Labelled split that the pairs are read from.
        height: Rows of a crop.
        width: Columns of a crop.
        batch_size: Crops in a step, over all replicas and workers.
        augmentation: Ranges of the random variations.
        seed: Seed of the order of the frames and of the variations, 0 or more.
        network_size: (height, width) of whole frames at zoom 1; None for the size of the crop.
        readers: Pairs that are made at once; None for the number of cores.
    """

    def __init__(
        self,
        dataset: Dataset,
        height: int,
        width: int,
        batch_size: int,
        augmentation: Augmentation,
        seed: int,
        network_size: tuple[int, int] | None = None,
        readers: int | None = None,
    ) -> None:
        self._dataset, self._augmentation, self._seed = dataset, augmentation, seed
        self._size, self._batch_size = (height, width), batch_size
        self._network_size = network_size or (height, width)
        self._readers = ThreadPoolExecutor(readers or min(usable_cores(), _MOST_READERS), "training input")
        self._lock = threading.Lock()
        self._failures: dict[int, SegEdgeError] = {}

    @property
    def failure(self) -> SegEdgeError | None:
        """Error of the first sample, in their order, that could not be read; None while there is none."""
        with self._lock:
            return self._failures[min(self._failures)] if self._failures else None

    def frame_of(self, sample: int) -> int:
        """Return the index of the frame in the split that a sample is cut from."""
        return frame_of(self._seed, len(self._dataset), sample)

    def names_of(self, step: int) -> list[str]:
        """Return the names of the frames in the batch of a step, in the order of its crops."""
        samples = range(step * self._batch_size, (step + 1) * self._batch_size)
        return [self._dataset.samples[self.frame_of(sample)].name for sample in samples]

    def read(self, sample: int) -> tuple[np.ndarray, np.ndarray]:
        """Return one training pair, which follows from the seed and the number of the sample alone.

        Args:
            sample: Number of the sample: `step * batch_size` for the first one of a step.

        Returns:
            (height, width, 3) uint8 frame and (height, width) uint8 train ids.

        Raises:
            DatasetError: The frame has no usable label map.
            ImageError: A picture is missing or damaged.
        """
        frame_rgb, labels = self._dataset.read_pair(self.frame_of(sample))
        variation = draw_variation(self._augmentation, self._seed, sample)
        return crop_pair(frame_rgb, labels, *self._size, variation, self._network_size)

    def batches(self, first_step: int = 0, replicas: int = 1, worker: int = 0, workers: int = 1) -> tf.data.Dataset:
        """Return the batches from a step on, each in as many elements as this worker has replicas.

        Worker w of W has the w-th part of each batch, and its replicas the parts of that one after the other; all
        replicas of all workers together see the samples of the batch in their order.

        Args:
            first_step: Number of the step whose batch comes first, from 0.
            replicas: Replicas of this worker.
            worker: Number of this worker, from 0.
            workers: Number of workers, each with as many replicas.

        Returns:
            An endless dataset of (frames, labels): (b, height, width, 3) uint8 and (b, height, width) uint8, where b is
            `batch_size / (replicas * workers)`. Its order does not depend on the number of threads.

        Raises:
            InputError: The batch cannot be shared out evenly.
        """
        parts = replicas * workers
        if self._batch_size % parts:
            near = max(1, round(self._batch_size / parts)) * parts
            raise InputError(
                f"batch has {self._batch_size} crops for {parts} replicas, expected a multiple of {parts}. "
                f"Next: --batch-size {near}"
            )
        crops = self._batch_size // parts

        def gather(element: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            step, replica = divmod(int(element), replicas)
            first = step * self._batch_size + (worker * replicas + replica) * crops
            return self._gather(range(first, first + crops))

        def batch(element: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            frames, labels = tf.numpy_function(gather, [element], [tf.uint8, tf.uint8])
            return tf.ensure_shape(frames, (crops, *self._size, 3)), tf.ensure_shape(labels, (crops, *self._size))

        ahead = READ_AHEAD_BATCHES * replicas
        options = tf.data.Options()
        options.deterministic = True
        options.experimental_optimization.inject_prefetch = False
        # A pool of its own: what waits here for readers would keep operations of the training step waiting.
        options.threading.private_threadpool_size = ahead
        elements = tf.data.Dataset.range(first_step * replicas, np.iinfo(np.int64).max)
        return elements.map(batch, num_parallel_calls=ahead).with_options(options)

    def _gather(self, samples: range) -> tuple[np.ndarray, np.ndarray]:
        """Return some samples as one array of frames and one of labels; the readers make them."""
        frames = np.empty((len(samples), *self._size, 3), np.uint8)
        labels = np.empty((len(samples), *self._size), np.uint8)

        def fill(place: int) -> None:
            frames[place], labels[place] = self.read(samples[place])

        jobs = [self._readers.submit(fill, place) for place in range(len(samples))]
        try:
            for sample, job in zip(samples, jobs):
                try:
                    job.result()
                except SegEdgeError as error:
                    with self._lock:
                        self._failures[sample] = error
                    raise
        finally:
            for job in jobs:
                job.cancel()
        return frames, labels
