"""A run of MLflow: parameters once, every metric once, and the same run after a resume."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge.errors import BackendError, MissingDependencyError
from tests.train.journal import mlflow_stand_in
from tests.train.journal.runs_made_up import epoch_entry, run_facts, step_entry
from train.journal.journal import Journal
from train.journal.mlflow_log import MLFLOW_FILE, STORE_FILE, MlflowLog, parameters_of, require_mlflow, tracking_uri

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def no_address(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def store(monkeypatch, no_address):
    return mlflow_stand_in.install(monkeypatch)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "runs" / "a-run"


def opened(folder, done_steps=0, **settings) -> MlflowLog:
    log = MlflowLog()
    log.open(run_facts(folder, done_steps, **settings), ())
    return log


def history(store, name):
    (run,) = store.runs.values()
    return [(metric.step, metric.value) for metric in run.history if metric.key == name]


def test_run_has_parameters_metrics_and_its_end(store, folder):
    log = opened(folder, seed=7)
    log.on_steps(step_entry(5))
    log.on_epoch([epoch_entry(1, 0.5)])
    log.on_end("finished")
    (run,) = store.runs.values()
    assert (run.info.run_name, run.info.status) == ("a-run", "FINISHED")
    assert run.data.params == {
        "model": "unet",
        "dataset": "camvid",
        "recipe.epochs": "3",
        "recipe.scale_min": "0.5",
        "seed": "7",
    }
    assert history(store, "train/loss") == [(5, 0.2)]
    assert history(store, "val/miou") == [(10, 0.5)]
    assert history(store, "val/iou/road") == [(10, 0.5)]
    assert list(store.experiments) == ["segedge-camvid"]


def test_store_is_beside_the_runs_unless_the_user_names_another(store, folder, monkeypatch):
    opened(folder)
    assert store.uris == [f"sqlite:///{folder.parent.resolve() / STORE_FILE}"]
    assert store.artifact_locations == [(folder.parent / "mlflow-artifacts").resolve().as_uri()]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    opened(folder.parent / "other-run")
    assert store.uris[1] == "http://127.0.0.1:9"
    assert "mine" in store.experiments
    assert store.artifact_locations[1] is None


def test_resumed_training_goes_on_in_the_same_run(store, folder):
    opened(folder).on_end("interrupted")
    (run,) = store.runs.values()
    assert run.info.status == "KILLED"
    log = opened(folder, done_steps=10)
    assert run.info.status == "RUNNING"
    log.on_steps(step_entry(15))
    log.on_end("finished")
    assert len(store.runs) == 1
    assert history(store, "train/loss") == [(15, pytest.approx(1 / 15))]


def test_parameters_do_not_change_on_resume(store, folder):
    opened(folder, seed=1)
    opened(folder, done_steps=10, seed=2, hours=3)
    (run,) = store.runs.values()
    assert (run.data.params["seed"], run.data.params["hours"]) == ("1", "3")


def test_redone_steps_are_there_once(store, folder):
    log = opened(folder)
    for step in (5, 10, 15):
        log.on_steps(step_entry(step))
    # Killed before the epoch that ended with step 15 was told, and resumed from a state of step 5.
    log = opened(folder, done_steps=5)
    for step in (10, 15):
        log.on_steps(step_entry(step))
    log.on_epoch([epoch_entry(1, 0.5, step=15)])
    log.on_steps(step_entry(20))
    assert [step for step, _ in history(store, "train/loss")] == [5, 10, 15, 20]
    assert [step for step, _ in history(store, "epoch/loss")] == [15]


def test_what_could_not_be_sent_is_sent_with_what_follows(store, folder, capsys):
    journal = Journal([MlflowLog()], steps_between=1)
    journal.open(run_facts(folder))
    store.is_down = True
    for step in (1, 2):
        journal.on_step(step, 0.5, 0.1)
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "warning: the run of MLflow is behind, and the training goes on: MLflow cannot take metrics: "
        "API request failed with a timeout. Next: check $MLFLOW_TRACKING_URI"
    )
    store.is_down = False
    journal.on_step(3, 0.5, 0.1)
    assert [step for step, _ in history(store, "train/loss")] == [1, 2, 3]


def test_many_that_could_not_be_sent_are_sent_in_parts(store, folder):
    log = opened(folder)
    store.is_down = True
    for step in range(1, 401):
        with pytest.raises(BackendError):
            log.on_steps(step_entry(step))
    store.is_down = False
    log.on_end("finished")
    assert [step for step, _ in history(store, "train/loss")] == list(range(1, 401))
    assert len(next(iter(store.runs.values())).history) == 5 * 400


def test_run_that_is_gone_is_one_line_before_the_training(store, folder):
    opened(folder)
    store.runs.clear()
    with pytest.raises(BackendError, match=r"MLflow cannot begin a run: Run with id=run0 not found\. Next: "):
        opened(folder, done_steps=5)


def test_run_of_another_address_is_left_alone(store, folder, monkeypatch):
    opened(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    opened(folder, done_steps=5)
    assert len(store.runs) == 2
    assert json.loads((folder / MLFLOW_FILE).read_text())["run_id"] == "run1"


def test_class_names_that_mlflow_refuses_are_written_otherwise(store, folder):
    log = opened(folder)
    log.on_epoch([epoch_entry(1, 0.5, class_iou={"straße, links": 0.25})])
    assert history(store, "val/iou/stra_e_ links") == [(10, 0.25)]


def test_long_settings_are_cut(tmp_path):
    assert len(parameters_of(run_facts(tmp_path, note="x" * 9000))["note"]) == 500


@pytest.mark.parametrize("missing", ["mlflow", "sqlalchemy"])
def test_missing_package_is_one_line(monkeypatch, no_address, missing):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else object())
    with pytest.raises(
        MissingDependencyError, match=rf"--log mlflow needs the package {missing}, .* Next: pip install"
    ):
        require_mlflow()


def test_server_needs_no_database_here(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name == "mlflow" else None)
    require_mlflow()


TRAIN = """
import sys
from pathlib import Path
from tests.train.journal.runs_made_up import epoch_entry, run_facts, step_entry
from train.journal.mlflow_log import MlflowLog
log = MlflowLog()
log.open(run_facts(Path(sys.argv[1]), int(sys.argv[2])), ())
for step in map(int, sys.argv[3].split(",")):
    log.on_steps(step_entry(step))
log.on_epoch([epoch_entry(1, 0.5, step=step)])
if sys.argv[4] == "kill":
    import os, signal
    os.kill(os.getpid(), signal.SIGKILL)
log.on_end(sys.argv[4])
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of MLflow about its own packages
def test_real_mlflow_keeps_runs_that_start_together_and_every_value_of_a_killed_one(tmp_path, no_address):
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    from mlflow.tracking import MlflowClient

    home = tmp_path / "home"
    home.mkdir()
    # A clean environment: MLflow sees by its variables that a test runs, and sends nothing then.
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(REPOSITORY)}
    folders = [tmp_path / "runs" / f"run{index}" for index in range(3)]

    def start(folder, done, steps, end):
        command = [sys.executable, "-c", TRAIN, str(folder), str(done), steps, end]
        return subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)

    together = [start(folder, 0, "1,2,3", "kill") for folder in folders]
    assert [process.communicate(timeout=300)[1] for process in together] == [""] * 3
    resumed = start(folders[0], 1, "2,3,4", "finished")
    assert resumed.communicate(timeout=300)[1] == "" and resumed.returncode == 0

    client = MlflowClient(tracking_uri(tmp_path / "runs"))
    experiment = client.get_experiment_by_name("segedge-camvid")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {folder.name for folder in folders}
    assert {name: run.info.status for name, run in runs.items()}["run0"] == "FINISHED"
    for name, steps in (("run0", [1, 2, 3, 4]), ("run1", [1, 2, 3])):
        metrics = client.get_metric_history(runs[name].info.run_id, "train/loss")
        assert [metric.step for metric in metrics] == steps
    assert runs["run0"].data.params["recipe.epochs"] == "3"
    assert [path for path in home.rglob("*") if path.is_file()] == []
