"""What a training is spread over: one device, all GPUs of a machine, or several machines."""

from __future__ import annotations

import contextlib
import functools
import signal
import threading
from dataclasses import dataclass
from typing import Any, ContextManager, Iterator, Protocol

import tensorflow as tf

from edge.console import print_status
from edge.errors import InputError, SegEdgeError
from edge.interruption import ENDING_SIGNALS
from train.engine.cluster import Cluster, open_cluster

ONE, MIRRORED, MULTIWORKER = "one", "mirrored", "multiworker"
STRATEGIES = (ONE, MIRRORED, MULTIWORKER)


class BatchSource(Protocol):
    """Something that gives the batches of a training: train.input.pipeline.TrainingInput."""

    def batches(self, first_step: int = 0, replicas: int = 1, worker: int = 0, workers: int = 1) -> tf.data.Dataset:
        """Return the batches of the replicas of one worker, replica after replica, from a step on."""


@dataclass(frozen=True)
class TrainingStrategy:
    """The replicas of a network, each with its device and its part of every batch.

    Attributes:
        name: one of STRATEGIES.
        distribution: TensorFlow's strategy.
        cluster: the workers; None where there is one.
    """

    name: str
    distribution: tf.distribute.Strategy
    cluster: Cluster | None = None

    @property
    def workers(self) -> int:
        """Number of processes that train together."""
        return self.cluster.workers if self.cluster else 1

    @property
    def worker(self) -> int:
        """Number of this process among them; 0 is the chief, which alone writes the run folder."""
        return self.cluster.worker if self.cluster else 0

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run folder."""
        return self.worker == 0

    @property
    def replicas(self) -> int:
        """Number of replicas over all workers."""
        return self.distribution.num_replicas_in_sync

    @property
    def local_replicas(self) -> int:
        """Number of replicas of this process."""
        return self.replicas // self.workers

    def scope(self) -> ContextManager[Any]:
        """Return the context in which the network and all that trains it is built."""
        return self.distribution.scope()

    def check_batch(self, batch_size: int, accumulation: int = 1) -> None:
        """Refuse a batch that does not divide among the replicas and the parts that each computes it in.

        Raises:
            InputError: it does not; the message names the nearest sizes that do.
        """
        parts = self.replicas * accumulation
        if batch_size >= parts and batch_size % parts == 0:
            return
        what = [f"{self.replicas} replicas"] if self.replicas > 1 else []
        if self.workers > 1:
            what[0] += f" ({self.workers} workers of {self.local_replicas})"
        if accumulation > 1:
            what.append(f"{accumulation} parts")
        below = batch_size // parts * parts
        nearest = f"{below} or {below + parts}" if below else f"{parts}"
        raise InputError(
            f"a batch of {batch_size} does not divide among {' of '.join(what)}. Next: --batch-size {nearest}"
        )

    def batches(self, source: BatchSource, first_step: int = 0) -> Iterator[Any]:
        """Return an iterator over the batches of this process from a step on, as `TrainingStep.step` takes them."""

        def dataset(_context: tf.distribute.InputContext | None = None) -> tf.data.Dataset:
            batches = source.batches(first_step, self.local_replicas, self.worker, self.workers)
            # Workers ask each other before every batch whether all have one, unless they know that there is no end.
            return batches.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))

        if self.name == ONE:
            return iter(dataset())
        return iter(self.distribution.distribute_datasets_from_function(dataset))


def open_strategy(name: str) -> TrainingStrategy:
    """Return a strategy; call it before TensorFlow has done anything else.

    Args:
        name: "one" for one device, "mirrored" for all GPUs of this machine (or all its logical CPUs where there is no
            GPU), "multiworker" for the processes that the environment variable TF_CONFIG names.

    Raises:
        InputError: the name is unknown, or TF_CONFIG is missing or damaged.
        SegEdgeError: the other workers cannot be reached.
    """
    if name == ONE:
        return TrainingStrategy(ONE, tf.distribute.get_strategy())
    if name == MIRRORED:
        return _open_mirrored()
    if name == MULTIWORKER:
        return _open_multiworker(open_cluster())
    raise InputError(f"strategy is '{name}', expected one of: {', '.join(STRATEGIES)}")


def _open_multiworker(cluster: Cluster) -> TrainingStrategy:
    missing = cluster.silent_workers()
    if missing:
        # TensorFlow waits for them for an hour, and says nothing.
        print_status(f"worker {cluster.worker} of {cluster.workers} waits for {', '.join(missing)}")
    try:
        with _interruption_ends_at_once():
            distribution = tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        reason = str(error.message).splitlines()[0]
        if "gRPC server" in reason:
            raise SegEdgeError(
                f"worker {cluster.worker} cannot listen at {cluster.addresses[cluster.worker]}, as TF_CONFIG says: "
                f"{reason}. Next: another port, or end the process that has it"
            ) from None
        raise cluster.lost_worker(str(error)) from None
    return TrainingStrategy(MULTIWORKER, distribution, cluster)


@contextlib.contextmanager
def _interruption_ends_at_once() -> Iterator[None]:
    """Let Ctrl-C end the process while it waits within TensorFlow, where Python hears of no signal.

    Nothing is there yet that would have to be kept. Afterwards the handlers are those of before: TensorFlow takes
    SIGTERM for itself, and a training would not end at it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, *ENDING_SIGNALS)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@functools.cache
def _open_mirrored() -> TrainingStrategy:
    # Once in a process: a second strategy counts its collectives from the same number on, and TensorFlow takes them
    # for those of the first ("Shape mismatch in the collective instance").
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    devices = [device.name for device in tf.config.list_logical_devices(kind)]
    return TrainingStrategy(MIRRORED, tf.distribute.MirroredStrategy(devices))
