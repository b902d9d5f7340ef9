"""TF_CONFIG: who trains together, and what is said of one that is missing or damaged."""

from __future__ import annotations

import json

import pytest

from edge.errors import InputError
from train.engine.cluster import open_cluster


def configure(monkeypatch, **changes: object) -> None:
    config = {"cluster": {"worker": ["a:1", "b:2", "c:3"]}, "task": {"type": "worker", "index": 1}, **changes}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))


def test_workers_have_the_order_of_the_list(monkeypatch):
    configure(monkeypatch)
    cluster = open_cluster()
    assert (cluster.addresses, cluster.worker, cluster.workers) == (("a:1", "b:2", "c:3"), 1, 3)


def test_chief_comes_before_the_workers(monkeypatch):
    configure(monkeypatch, cluster={"worker": ["b:2", "c:3"], "chief": ["a:1"]})
    cluster = open_cluster()
    assert (cluster.addresses, cluster.worker) == (("a:1", "b:2", "c:3"), 2)


@pytest.mark.parametrize(
    "text, what",
    [
        (None, "which is not set"),
        ("", "which is not set"),
        ("{", "is no JSON"),
        ("[]", "no cluster of workers"),
        ('{"cluster": {"worker": []}}', "no cluster of workers"),
        ('{"cluster": {"worker": "a:1"}}', "'a:1' for the job worker, expected a list"),
        ('{"cluster": {"worker": ["a"]}}', "address 'a', expected host:port"),
        ('{"cluster": {"worker": ["a:1"], "ps": ["b:2"]}}', "job ps, expected chief and worker alone"),
        ('{"cluster": {"worker": ["a:1"]}}', "task None, expected a type"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": "0"}}', "expected a type"),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
            "worker 1, expected an index from",
        ),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "chief", "index": 0}}', "no process of the job chief"),
    ],
)
def test_missing_or_damaged_configuration_is_one_line_with_an_example(monkeypatch, text, what):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError) as caught:
        open_cluster()
    message = str(caught.value)
    assert what in message and "\n" not in message
    assert "TF_CONFIG" in message
    example = message.split("Next: TF_CONFIG=", 1)[1].strip("'")
    monkeypatch.setenv("TF_CONFIG", example)
    assert open_cluster().workers == 2
