from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge import leftovers
from edge.artifacts import write_text
from edge.leftovers import FOREIGN_AGE_S, UNMEASURED, temporary_prefix
from edge.process_identity import start_time

ROOT = Path(__file__).resolve().parents[2]

WRITER = (
    "import sys, time\nfrom edge.artifacts import atomic_path\n"
    "with atomic_path(sys.argv[1]) as path:\n"
    "    path.write_text('half'); print('writing', flush=True); time.sleep(60)\n"
)


@pytest.fixture(autouse=True)
def new_process(monkeypatch):
    """Let this process search a folder as a new one would."""
    monkeypatch.setattr(leftovers, "_searched", set())


@pytest.fixture
def writer(tmp_path):
    """Return a process that writes tmp_path/record.json and does not come to an end."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "record.json")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"writing\n"
    yield process
    process.kill()
    process.communicate()


def _hidden(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def test_what_a_killed_process_left_is_removed_by_the_next_run(tmp_path, writer):
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert len(_hidden(tmp_path)) == 1
    write_text(tmp_path / "other.txt", "x")
    assert _hidden(tmp_path) == []
    assert (tmp_path / "other.txt").read_text() == "x"


def test_what_a_live_process_writes_stays(tmp_path, writer):
    write_text(tmp_path / "other.txt", "x")
    assert len(_hidden(tmp_path)) == 1
    assert writer.poll() is None


def test_folder_of_a_killed_measurement_goes_too(tmp_path):
    left = tmp_path / temporary_prefix(UNMEASURED).replace(f"-{os.getpid()}-", "-4194305-")
    left.mkdir()
    (left / "engine.onnx").write_text("x")
    write_text(tmp_path / "other.txt", "x")
    assert not left.exists()


def test_pid_that_another_process_has_now_does_not_protect_a_leftover(tmp_path):
    if start_time(os.getpid()) is None:
        pytest.skip("this system does not say when a process started")
    left = tmp_path / f"{temporary_prefix().rsplit('-', 2)[0]}-17-abc.json"
    left.write_text("x")
    write_text(tmp_path / "other.txt", "x")
    assert not left.exists()


@pytest.mark.parametrize("name", [".writing-0badc0de-1-5-abc.json", ".writing-a1b2c3d4.png", ".unmeasured-a1b2c3d4"])
@pytest.mark.parametrize(("age_s", "stays"), [(0.5 * FOREIGN_AGE_S, True), (1.5 * FOREIGN_AGE_S, False)])
def test_what_another_machine_or_an_earlier_version_wrote_goes_by_its_age(tmp_path, name, age_s, stays):
    left = tmp_path / name
    left.write_text("x")
    now_s = left.stat().st_mtime
    os.utime(left, (now_s - age_s, now_s - age_s))
    write_text(tmp_path / "other.txt", "x")
    assert left.exists() == stays


def test_nothing_else_is_touched(tmp_path):
    names = (".hidden", ".writing", "writing-1", "card.json")
    for name in names:
        (tmp_path / name).write_text("x")
        os.utime(tmp_path / name, (0, 0))
    write_text(tmp_path / "other.txt", "x")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted((*names, "other.txt"))


def test_folder_is_searched_once_by_a_process(tmp_path, monkeypatch):
    write_text(tmp_path / "first.txt", "x")
    monkeypatch.setattr(leftovers.os, "scandir", lambda _: pytest.fail("it was searched again"))
    write_text(tmp_path / "second.txt", "x")
