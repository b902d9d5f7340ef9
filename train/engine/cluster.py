"""The processes of a training on several machines, as TF_CONFIG names them."""

from __future__ import annotations

import json
import os
import re
import socket
from dataclasses import dataclass
from typing import Any

from edge.errors import InputError, SegEdgeError

TF_CONFIG = "TF_CONFIG"
_EXAMPLE = (
    """TF_CONFIG='{"cluster": {"worker": ["host1:2222", "host2:2222"]}, """
    """"task": {"type": "worker", "index": 0}}'"""
)
_JOBS = ("chief", "worker")
"""Jobs whose processes train, in the order in which TensorFlow numbers them."""

_ANSWER_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class Cluster:
    """The processes that train together.

    Attributes:
        addresses: "host:port" of each worker, the chief first.
        worker: number of this process among them.
        chiefs: number of processes of the job "chief"; those of the job "worker" follow.
    """

    addresses: tuple[str, ...]
    worker: int
    chiefs: int = 0

    @property
    def workers(self) -> int:
        """Number of processes."""
        return len(self.addresses)

    def silent_workers(self) -> list[str]:
        """Return the other workers that do not answer, as "worker 1 (host:port)"."""
        others = (number for number in range(self.workers) if number != self.worker)
        return [f"worker {number} ({self.addresses[number]})" for number in others if not self._answers(number)]

    def _answers(self, number: int) -> bool:
        host, _, port = self.addresses[number].rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_TIMEOUT_S):
                return True
        except OSError:
            return False

    def lost_worker(self, failure: str) -> SegEdgeError:
        """Return the error that names the worker without which a step could not be taken.

        Args:
            failure: message of TensorFlow, which names the tasks that it heard nothing of, or could not reach.
        """
        named = {
            int(index) + (self.chiefs if job == "worker" else 0)
            for job, index in re.findall(r"/job:(chief|worker)/(?:replica:\d+/)?task:(\d+)", failure)
        }
        # TensorFlow names the reporting task as well; who still answers is not the one that was lost.
        others = [number for number in range(self.workers) if number != self.worker]
        lost = [number for number in others if not self._answers(number)]
        lost = lost or [number for number in others if number in named] or others
        names = " and ".join(f"worker {number} ({self.addresses[number]})" for number in lost)
        verb = "is" if len(lost) == 1 else "are"
        return SegEdgeError(
            f"{names} of {self.workers} workers {verb} lost, so worker {self.worker} ends. "
            "Next: start all workers again with --resume and the run"
        )


def open_cluster() -> Cluster:
    """Return the cluster that the environment variable TF_CONFIG describes.

    Raises:
        InputError: the variable is missing, no JSON, or lacks what a training needs.
    """
    text = os.environ.get(TF_CONFIG, "")
    if not text.strip():
        raise InputError(f"--strategy multiworker needs {TF_CONFIG}, which is not set. Next: {_EXAMPLE}")
    try:
        config = json.loads(text)
    except json.JSONDecodeError as error:
        raise _damaged(f"is no JSON: {error}") from None
    jobs = config.get("cluster") if isinstance(config, dict) else None
    if not isinstance(jobs, dict) or not any(jobs.get(job) for job in _JOBS):
        raise _damaged("has no cluster of workers")
    others = sorted(set(jobs) - set(_JOBS))
    if others:
        raise _damaged(f"has the job {others[0]}, expected chief and worker alone")
    addresses = [address for job in _JOBS for address in _addresses(jobs, job)]
    return Cluster(tuple(addresses), _position(config, jobs), len(jobs.get("chief", [])))


def _addresses(jobs: dict[str, Any], job: str) -> list[str]:
    addresses = jobs.get(job, [])
    if not isinstance(addresses, list):
        raise _damaged(f"has {addresses!r} for the job {job}, expected a list of host:port")
    for address in addresses:
        host, _, port = address.rpartition(":") if isinstance(address, str) else ("", "", "")
        if not host or not port.isdigit():
            raise _damaged(f"has the address {address!r}, expected host:port")
    return addresses


def _position(config: dict[str, Any], jobs: dict[str, Any]) -> int:
    task = config.get("task")
    job, index = (task.get("type"), task.get("index")) if isinstance(task, dict) else (None, None)
    if job not in _JOBS or not isinstance(index, int) or isinstance(index, bool):
        raise _damaged(f"has the task {task!r}, expected a type (chief or worker) and an index")
    count = len(jobs.get(job, []))
    if not count:
        raise _damaged(f"has the task {job} {index}, but no process of the job {job}")
    if not 0 <= index < count:
        raise _damaged(f"has the task {job} {index}, expected an index from 0 to {count - 1} of its {count}")
    before = len(jobs.get("chief", [])) if job == "worker" else 0
    return before + index


def _damaged(what: str) -> InputError:
    return InputError(f"{TF_CONFIG} {what}. Next: {_EXAMPLE}")
