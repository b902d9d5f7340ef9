"""The processes of a training on several machines, as TF_CONFIG names them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from edge.errors import InputError

TF_CONFIG = "TF_CONFIG"
_EXAMPLE = (
    """TF_CONFIG='{"cluster": {"worker": ["host1:2222", "host2:2222"]}, """
    """"task": {"type": "worker", "index": 0}}'"""
)
_JOBS = ("chief", "worker")
"""Jobs whose processes train, in the order in which TensorFlow numbers them."""


@dataclass(frozen=True)
class Cluster:
    """The processes that train together.

    Attributes:
        addresses: "host:port" of each worker, the chief first.
        worker: number of this process among them.
    """

    addresses: tuple[str, ...]
    worker: int

    @property
    def workers(self) -> int:
        """Number of processes."""
        return len(self.addresses)


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
    return Cluster(tuple(addresses), _position(config, jobs))


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
