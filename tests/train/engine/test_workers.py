"""Two real processes over TF_CONFIG on loopback: they keep the weights of one process, and end when one is killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from edge.errors import SegEdgeError
from tests.train.engine.small_training import SmallTraining, recipe
from train.engine.cluster import Cluster
from train.engine.strategies import MULTIWORKER, open_strategy

SCRIPT = Path(__file__).with_name("worker_process.py")
STEPS = 3


class Outcome(NamedTuple):
    """What two workers left: their files, and how the first ended after the second was killed."""

    files: list[dict[str, np.ndarray]]
    addresses: list[str]
    exit_code: int
    stderr: str


def free_addresses(count: int) -> list[str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{held.getsockname()[1]}" for held in sockets]
    for held in sockets:
        held.close()
    return addresses


def start(addresses: list[str], worker: int, file: Path) -> subprocess.Popen:
    config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": worker}}
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(STEPS), str(file)],
        env={**os.environ, "TF_CONFIG": json.dumps(config)},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def outcome(tmp_path_factory) -> Outcome:
    folder = tmp_path_factory.mktemp("workers")
    paths = [folder / f"{worker}.npz" for worker in range(2)]
    addresses = free_addresses(2)
    processes = [start(addresses, worker, path) for worker, path in enumerate(paths)]
    try:
        while not all(path.exists() for path in paths):
            assert all(process.poll() is None for process in processes), processes[0].communicate()[1]
            time.sleep(0.1)
        files = [dict(np.load(path)) for path in paths]
        processes[1].kill()
        _, stderr = processes[0].communicate(timeout=100)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    return Outcome(files, addresses, processes[0].returncode, stderr)


@pytest.mark.long
def test_two_processes_keep_equal_weights_and_those_of_one(outcome):
    first, second = outcome.files
    for name, array in first.items():
        np.testing.assert_array_equal(second[name], array, err_msg=name)
    alone = SmallTraining(recipe(batch_norm="synchronised", ema=0.9), steps=10_000)
    before = alone.weights()
    losses = alone.run(STEPS)
    np.testing.assert_allclose(first.pop("losses"), losses, rtol=1e-5)
    for name, array in alone.weights().items():
        np.testing.assert_allclose(first[name], array, atol=5e-6, err_msg=name)
    assert max(np.abs(first[name] - before[name]).max() for name in first) > 1e-3


@pytest.mark.long
def test_killed_worker_ends_the_others_with_one_line_that_names_it(outcome):
    assert outcome.exit_code == 2
    errors = [line for line in outcome.stderr.splitlines() if line.startswith("error: ")]
    (line,) = errors
    assert f"worker 1 ({outcome.addresses[1]}) of 2 workers is lost, so worker 0 ends. Next: " in line
    assert "Traceback" not in outcome.stderr


def test_lost_worker_is_the_one_that_does_not_answer():
    with socket.create_server(("127.0.0.1", 0)) as alive:
        there = f"127.0.0.1:{alive.getsockname()[1]}"
        (gone,) = free_addresses(1)
        cluster = Cluster((there, there, gone), 0)
        # TensorFlow names the task that reports as well as the one that is reported.
        message = "Error reported from /job:worker/task:1: unhealthy tasks: /job:worker/replica:0/task:2"
        assert str(cluster.lost_worker(message)).startswith(f"worker 2 ({gone}) of 3 workers is lost")
        # One that hangs accepts connections all the same.
        hanging = Cluster((there, there), 0)
        assert f"worker 1 ({there}) of 2" in str(hanging.lost_worker("/job:worker/replica:0/task:1"))


def test_workers_that_are_not_there_yet_are_named_and_ctrl_c_ends_the_wait(monkeypatch, capsys):
    first, second = free_addresses(2)
    handlers = []

    def waiting() -> str:
        # TensorFlow waits where Python does not see a signal: only the system's own handler ends the process.
        handlers.append(signal.getsignal(signal.SIGINT))
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as TensorFlow does, with a handler of its own
        return "strategy"

    monkeypatch.setattr("tensorflow.distribute.MultiWorkerMirroredStrategy", waiting)
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    config = {"cluster": {"worker": [first, second]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    assert open_strategy(MULTIWORKER).distribution == "strategy"
    assert f"worker 0 of 2 waits for worker 1 ({second})" in capsys.readouterr().err
    assert handlers == [signal.SIG_DFL]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_port_that_is_taken_is_one_line(monkeypatch):
    def taken():
        import tensorflow as tf

        raise tf.errors.UnknownError(None, None, "Could not start gRPC server")

    monkeypatch.setattr("tensorflow.distribute.MultiWorkerMirroredStrategy", taken)
    config = {"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    with pytest.raises(
        SegEdgeError, match=r"worker 0 cannot listen at a:1, .*: Could not start gRPC server\. Next: another"
    ):
        open_strategy(MULTIWORKER)
