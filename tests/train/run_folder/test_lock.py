"""One training at a time writes in a run folder, and one that is dead blocks nobody."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edge.errors import InputError, StorageError
from train.run_folder import lock
from train.run_folder.lock import RUN_LOCK, SILENCE_S, LockHolder, RunLock, holder_of

REPOSITORY = Path(__file__).resolve().parents[3]

HOLD = (
    "import sys, time; from pathlib import Path; from train.run_folder.lock import RunLock\n"
    "with RunLock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
)


@pytest.fixture
def other(tmp_path):
    """Return a process that trains in tmp_path."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], cwd=REPOSITORY, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


@pytest.fixture
def leave(tmp_path):
    """Return a function that leaves the lock of this process, with changes, as one that was killed would."""

    def write(age_s: float = 0.0, **changes) -> LockHolder:
        holder = dataclasses.replace(lock._this_holder(), **changes)
        path = tmp_path / RUN_LOCK
        path.write_text(json.dumps(dataclasses.asdict(holder)))
        os.utime(path, (time.time() - age_s, time.time() - age_s))
        return holder

    return write


@pytest.fixture(params=["flock", "no flock"])
def any_file_system(request, monkeypatch):
    if request.param == "no flock":
        monkeypatch.setattr(lock, "_flock", lambda handle: None)


ELSEWHERE = {"where": "0badc0de", "host": "trainer-7", "boot": "another"}


def test_folder_of_a_running_training_is_refused_and_its_process_is_named(tmp_path, other, any_file_system):
    with pytest.raises(InputError) as caught, RunLock(tmp_path):
        pass
    message = str(caught.value)
    assert message.startswith(f"{tmp_path} is in use by a running training: process {other.pid}, since 20")
    assert message.endswith(f"Next: wait until it has ended, stop it with kill {other.pid}, or another --output")
    assert "\n" not in message
    assert holder_of(tmp_path).pid == other.pid


def test_lock_of_a_killed_process_blocks_nobody(tmp_path, other, any_file_system):
    other.kill()
    other.wait()
    assert (tmp_path / RUN_LOCK).is_file()
    assert holder_of(tmp_path) is None
    with RunLock(tmp_path):
        assert holder_of(tmp_path).pid == os.getpid()


def test_lock_of_before_a_reboot_blocks_nobody(tmp_path, leave, any_file_system):
    leave(where="0badc0de", boot="another")
    assert holder_of(tmp_path) is None
    with RunLock(tmp_path):
        pass


def test_process_id_that_another_process_has_now_blocks_nobody(tmp_path, leave, any_file_system):
    leave(start=17)
    assert holder_of(tmp_path) is None
    with RunLock(tmp_path):
        pass


def test_training_on_another_machine_is_named_with_it(tmp_path, leave, any_file_system):
    leave(pid=77, **ELSEWHERE)
    assert holder_of(tmp_path).host == "trainer-7"
    with pytest.raises(InputError, match=r"process 77 on trainer-7, since .* stop it on trainer-7, or another"):
        RunLock(tmp_path).__enter__()


def test_training_on_another_machine_that_is_silent_blocks_nobody(tmp_path, leave, any_file_system):
    leave(age_s=1.5 * SILENCE_S, **ELSEWHERE)
    assert holder_of(tmp_path) is None
    with RunLock(tmp_path):
        pass


def test_training_in_another_container_is_known_by_its_sign_of_life_where_there_is_no_flock(
    tmp_path, leave, monkeypatch
):
    leave(where="0badc0de")
    with RunLock(tmp_path):  # flock is the kernel's, which both containers share
        pass
    leave(where="0badc0de")
    monkeypatch.setattr(lock, "_flock", lambda handle: None)
    with pytest.raises(InputError, match="is in use"):
        RunLock(tmp_path).__enter__()


def test_silence_is_measured_by_the_clock_of_the_folder(tmp_path, leave, monkeypatch):
    leave(**ELSEWHERE)
    now_s = time.time()
    monkeypatch.setattr(lock.time, "time", lambda: now_s + 3600.0)
    assert holder_of(tmp_path) is not None


def test_training_shows_that_it_lives(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "SIGN_OF_LIFE_S", 0.01)
    with RunLock(tmp_path):
        os.utime(tmp_path / RUN_LOCK, (1.0, 1.0))
        deadline_s = time.monotonic() + 30.0
        while (tmp_path / RUN_LOCK).stat().st_mtime == 1.0:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)


def test_lock_goes_with_the_training_even_if_that_fails(tmp_path):
    with pytest.raises(ZeroDivisionError), RunLock(tmp_path / "new"):
        raise ZeroDivisionError
    assert list((tmp_path / "new").iterdir()) == []


def test_of_many_that_start_at_once_one_trains(tmp_path):
    barrier, lock_held, over = threading.Barrier(8), [], threading.Event()
    refused = []

    def begin():
        barrier.wait()
        try:
            with RunLock(tmp_path):
                lock_held.append(1)
                over.wait(60)
        except InputError as error:
            refused.append(str(error))
            if len(refused) == 7:
                over.set()

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(lock_held), len(refused)) == (1, 7)


def test_lock_that_its_holder_removes_meanwhile_is_taken_anew(tmp_path, monkeypatch):
    flock, calls = lock._flock, []

    def removed_before(handle):
        if not calls:
            (tmp_path / RUN_LOCK).unlink()
        calls.append(handle)
        return flock(handle)

    monkeypatch.setattr(lock, "_flock", removed_before)
    with RunLock(tmp_path):
        assert len(calls) == 2
        assert holder_of(tmp_path).pid == os.getpid()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 5}', "\x00\x00"])
def test_damaged_lock_of_nobody_blocks_nobody(tmp_path, content, any_file_system):
    (tmp_path / RUN_LOCK).write_text(content)
    assert holder_of(tmp_path) is None
    with RunLock(tmp_path):
        pass


def test_lock_that_names_nobody_yet_is_respected(tmp_path, other):
    (tmp_path / RUN_LOCK).write_text("")
    with pytest.raises(InputError, match="a running training: one that has just begun"):
        RunLock(tmp_path).__enter__()


def test_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="is a file, expected a folder"):
        RunLock(tmp_path / "file" / "run").__enter__()
    assert holder_of(tmp_path / "file" / "run") is None
