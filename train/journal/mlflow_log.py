"""A run of MLflow beside the run folder, written through MLflow's own client.

    runs/mlflow.db          where runs are kept unless $MLFLOW_TRACKING_URI names another place (SQLite)
    runs/mlflow-artifacts/  files of runs, for which MLflow wants a folder; nothing is put there
    RUN/mlflow.json         which run of MLflow the folder belongs to, so that a resumed training goes on in it

Everything is sent at once and waited for: what MLflow sends in the background is lost when a process is killed.

MLflow is imported in this module alone, and `edge.privacy` switches its telemetry off before.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import logging
import os
import re
import time
import warnings
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

from edge.artifacts import read_json, write_json
from edge.console import storage_error
from edge.errors import BackendError, InputError, MissingDependencyError
from train.journal.entries import EpochEntry, RunFacts, StepEntry
from train.journal.journal import JournalWriter
from train.journal.scalars import scalars_of_epoch, scalars_of_steps, step_of
from train.runs import FAILED, FINISHED, INTERRUPTED

MLFLOW_FILE = "mlflow.json"
STORE_FILE = "mlflow.db"
ARTIFACTS_FOLDER = "mlflow-artifacts"
LOCK_FILE = ".mlflow.lock"

INSTALL = "pip install -e '.[mlflow]'"

_STATUSES = {FINISHED: "FINISHED", INTERRUPTED: "KILLED", FAILED: "FAILED"}

_MARKS = _OF_STEPS, _OF_EPOCHS = "train/loss", "epoch/loss"
"""Metrics that every entry of steps and every entry of an epoch has; their last step says what is there already."""

_LONGEST_VALUE = 500
"""Characters of a parameter: the least that any release of MLflow takes."""

_MOST_IN_A_CALL = 1000
"""Metrics that MLflow takes in one call."""


def require_mlflow() -> None:
    """Check that MLflow is installed, and what it keeps runs in a file with, before any work.

    Raises:
        MissingDependencyError: a package is not installed.
    """
    # mlflow-skinny, which is enough for all of this, comes without the two for SQLite.
    is_file = tracking_uri(Path()).startswith("sqlite:")
    for package in ("mlflow", *(("sqlalchemy", "alembic") if is_file else ())):
        if importlib.util.find_spec(package) is None:
            raise MissingDependencyError(package, "--log mlflow", INSTALL)


class MlflowLog(JournalWriter):
    """Writes parameters once, and metrics as they come; what could not be sent is sent with what follows."""

    name = "the run of MLflow"

    def __init__(self) -> None:
        self._unsent: list[Any] = []
        self._last_steps: dict[str, int] = {}

    def open(self, run: RunFacts, epochs: Sequence[EpochEntry]) -> None:
        """Make a run of MLflow, or go on with the one that the run folder names.

        Raises:
            MissingDependencyError: MLflow is not installed.
            BackendError: MLflow cannot be reached, or refuses.
        """
        root = run.folder.parent
        with _failures_in_one_line("begin a run"), _locked(root):
            # The first process of all makes the tables; others that start with it would find half of them.
            uri = tracking_uri(root)
            self._client = _make_client(uri)
            known = _read_link(run.folder, uri)
            if known is None:
                experiment_id = self._experiment(f"segedge-{run.dataset}", root, uri)
                tags = {"segedge.folder": str(run.folder), "segedge.model": run.model, "segedge.dataset": run.dataset}
                made = self._client.create_run(experiment_id, run_name=run.folder.name, tags=tags)
                self._run_id = made.info.run_id
                write_json(run.folder / MLFLOW_FILE, {"tracking_uri": uri, "run_id": self._run_id})
            else:
                self._run_id = known
                self._client.update_run(self._run_id, status="RUNNING")
            self._add_parameters(run)
            # A killed process wrote on behind the state that this one goes on from; the values would be there twice.
            self._last_steps = {} if known is None else {name: self._last_step_there(name) for name in _MARKS}

    def on_steps(self, entry: StepEntry) -> None:
        """Send the metrics of a few steps."""
        self._send(_OF_STEPS, entry.step, scalars_of_steps(entry))

    def on_epoch(self, epochs: Sequence[EpochEntry]) -> None:
        """Send the metrics of an epoch."""
        self._send(_OF_EPOCHS, step_of(epochs[-1]), scalars_of_epoch(epochs[-1]))

    def on_end(self, status: str) -> None:
        """Send what is left, and tell MLflow how the training ended."""
        with _failures_in_one_line("end its run"):
            self._flush()
            self._client.set_terminated(self._run_id, _STATUSES.get(status, "FAILED"))

    def _experiment(self, name: str, root: Path, uri: str) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or name
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return found.experiment_id
        # Beside the runs; MLflow's own choice is a folder in whatever place a command was started in.
        place = (root.resolve() / ARTIFACTS_FOLDER).as_uri() if uri.startswith("sqlite:") else None
        return self._client.create_experiment(name, artifact_location=place)

    def _add_parameters(self, run: RunFacts) -> None:
        """Write the parameters that are not there yet; those that are cannot be changed."""
        from mlflow.entities import Param

        there = self._client.get_run(self._run_id).data.params
        wanted = parameters_of(run)
        missing = [Param(name, value) for name, value in wanted.items() if name not in there]
        for first in range(0, len(missing), 100):
            self._client.log_batch(self._run_id, params=missing[first : first + 100])

    def _last_step_there(self, name: str) -> int:
        if name not in self._client.get_run(self._run_id).data.metrics:
            return -1
        return max(metric.step for metric in self._client.get_metric_history(self._run_id, name))

    def _send(self, mark: str, step: int, scalars: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        if step <= self._last_steps.get(mark, -1):
            return
        now_ms = int(time.time() * 1000)
        self._unsent += [Metric(_metric_name(name), float(value), now_ms, step) for name, value in scalars.items()]
        with _failures_in_one_line("take metrics"):
            self._flush()

    def _flush(self) -> None:
        while self._unsent:
            part = self._unsent[:_MOST_IN_A_CALL]
            self._client.log_batch(self._run_id, metrics=part, synchronous=True)
            del self._unsent[: len(part)]


def parameters_of(run: RunFacts) -> dict[str, str]:
    """Return name -> value of the parameters of a run: its settings, where nested ones have names with dots."""
    flat: dict[str, str] = {"model": run.model, "dataset": run.dataset}

    def add(name: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for key, item in value.items():
                add(f"{name}.{key}" if name else str(key), item)
        else:
            text = value if isinstance(value, str) else json.dumps(value)
            flat[_metric_name(name)] = text[:_LONGEST_VALUE]

    add("", run.settings)
    return flat


def _metric_name(name: str) -> str:
    """Return a name without what MLflow refuses in one."""
    return re.sub(r"[^\w.\-/ ]", "_", name, flags=re.ASCII)


def tracking_uri(root: Path) -> str:
    """Return where MLflow keeps runs: $MLFLOW_TRACKING_URI, or a file beside the run folders."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root.resolve() / STORE_FILE}"


def _read_link(folder: Path, uri: str) -> str | None:
    """Return the id of the run of MLflow that a folder belongs to; None where it has none in this place."""
    try:
        link = read_json(folder / MLFLOW_FILE, "link to MLflow")
    except InputError:
        return None
    return link["run_id"] if link.get("tracking_uri") == uri and isinstance(link.get("run_id"), str) else None


def _make_client(uri: str) -> Any:
    require_mlflow()
    # A place that does not answer is told in a minute, not in ten: the training waits for it.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow.tracking import MlflowClient

    for name in ("mlflow", "alembic"):  # a line for each table that is made
        logging.getLogger(name).setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=uri)


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Hold a lock that other trainings under the same folder wait for."""
    with contextlib.ExitStack() as stack:
        try:
            root.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(open(root / LOCK_FILE, "w"))
        except OSError as error:
            raise storage_error(error, root / LOCK_FILE) from error
        with contextlib.suppress(OSError):  # a file system without locks, where nothing better can be had
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _failures_in_one_line(doing: str) -> Iterator[None]:
    """Turn an error of MLflow, or of what lies under it, into one of this project."""
    try:
        yield
    except Exception as error:
        module = type(error).__module__.split(".")[0]
        if module not in ("mlflow", "sqlalchemy", "sqlite3", "alembic", "requests", "urllib3"):
            raise
        text = " ".join(str(error).split())[:300]
        raise BackendError(f"MLflow cannot {doing}: {text}. Next: check $MLFLOW_TRACKING_URI") from error
