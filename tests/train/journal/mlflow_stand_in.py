"""An MLflow of a few lines, with the rules of 3.x that a writer has to keep; it stands in sys.modules."""

from __future__ import annotations

import importlib.machinery
import re
import sys
import types
from typing import NamedTuple


class MlflowError(Exception):
    __module__ = "mlflow.exceptions"


class Metric(NamedTuple):
    key: str
    value: float
    timestamp: int
    step: int


class Param(NamedTuple):
    key: str
    value: str


class Run:
    def __init__(self, run_id: str, name: str, tags: dict) -> None:
        self.info = types.SimpleNamespace(run_id=run_id, run_name=name, status="RUNNING")
        self.data = types.SimpleNamespace(params={}, metrics={}, tags=tags)
        self.history: list[Metric] = []


class Store:
    """What is behind all clients of one address, and keeps runs as MLflow's server does."""

    def __init__(self) -> None:
        self.uris: list[str] = []
        self.experiments: dict[str, str] = {}
        self.artifact_locations: list[str] = []
        self.runs: dict[str, Run] = {}
        self.is_down = False


def install(monkeypatch) -> Store:
    """Put the stand-in in the place of MLflow, and return its store."""
    store = Store()

    class MlflowClient:
        def __init__(self, tracking_uri: str) -> None:
            store.uris.append(tracking_uri)

        def get_experiment_by_name(self, name):
            return types.SimpleNamespace(experiment_id=store.experiments[name]) if name in store.experiments else None

        def create_experiment(self, name, artifact_location=None):
            assert name not in store.experiments
            store.artifact_locations.append(artifact_location)
            return store.experiments.setdefault(name, str(len(store.experiments) + 1))

        def create_run(self, experiment_id, run_name=None, tags=None):
            assert experiment_id in store.experiments.values()
            run = Run(f"run{len(store.runs)}", run_name, tags)
            store.runs[run.info.run_id] = run
            return run

        def get_run(self, run_id):
            if run_id not in store.runs:
                raise MlflowError(f"Run with id={run_id} not found")
            return store.runs[run_id]

        def update_run(self, run_id, status=None, name=None):
            self.get_run(run_id).info.status = status

        def set_terminated(self, run_id, status=None):
            self._reach()
            self.get_run(run_id).info.status = status

        def get_metric_history(self, run_id, key):
            return [metric for metric in self.get_run(run_id).history if metric.key == key]

        def log_batch(self, run_id, metrics=(), params=(), tags=(), synchronous=None):
            self._reach()
            assert len(metrics) <= 1000 and len(params) <= 100
            run = self.get_run(run_id)
            for key, value in params:
                if run.data.params.setdefault(key, value) != value:
                    raise MlflowError(f"Changing param values is not allowed. Param with key='{key}'")
            for metric in metrics:
                assert synchronous is True, "what is sent in the background is lost by a kill"
                if not re.fullmatch(r"[/\w.\- :]*", metric.key, re.ASCII):
                    raise MlflowError(f"Invalid value for parameter 'name' supplied: {metric.key}")
                run.history.append(metric)
                run.data.metrics[metric.key] = metric.value

        @staticmethod
        def _reach():
            if store.is_down:
                raise MlflowError("API request failed\nwith a timeout")

    parts = {
        "mlflow": {},
        "mlflow.entities": {"Metric": Metric, "Param": Param},
        "mlflow.tracking": {"MlflowClient": MlflowClient},
        "sqlalchemy": {},
        "alembic": {},
    }
    for name, content in parts.items():
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
    return store
