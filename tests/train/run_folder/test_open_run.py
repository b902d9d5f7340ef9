"""A run folder that a training writes in: a kill at any write leaves a run that a build takes and that goes on."""

from __future__ import annotations

import dataclasses
import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edge.artifacts import sha256_file
from edge.errors import InputError, StorageError
from edge.leftovers import WRITING
from edge.records import read_record
from tests.train.run_folder import toy_training
from tests.train.run_folder.toy_training import MIOU, RECORD, STEPS, start, weights_after
from train.run_choice import choose_run, find_runs, run_in
from train.run_folder import open_run
from train.run_folder.lock import RUN_LOCK
from train.run_folder.open_run import OpenRun
from train.run_folder.resume import read_run_to_resume
from train.run_folder.state_file import read_state
from train.runs import BEST_WEIGHTS, EMA_WEIGHTS, LAST_WEIGHTS, RUN_RECORD, RUN_STATE, RunRecord
from train.weights_file import read_weights, weights_path_of

REPOSITORY = Path(__file__).resolve().parents[3]
FILES = {RUN_RECORD, RUN_STATE, BEST_WEIGHTS, LAST_WEIGHTS, EMA_WEIGHTS}
TOY = "tests.train.run_folder.toy_training"


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def record_in(folder: Path) -> RunRecord:
    return read_record(RunRecord, folder / RUN_RECORD)


def with_weights(name=BEST_WEIGHTS, content=b"weights", epoch=1, **changes):
    """Return the arguments of a checkpoint with weights."""
    record = dataclasses.replace(RECORD, best_epoch=epoch, best_miou=0.1 * epoch, **changes)
    return record, start(), {}, {name: lambda path: path.write_bytes(content)}


def check_what_a_build_takes(folder: Path) -> None:
    """Check that the weights of a record are those of its best epoch, wherever a kill left them."""
    record = record_in(folder)
    for name, epoch in ((BEST_WEIGHTS, record.best_epoch), (LAST_WEIGHTS, len(record.history))):
        path = weights_path_of(folder / name)
        if record.digest_of(name) is None:
            continue
        assert read_weights(path, record.model).provenance.sha256 == record.digest_of(name)
        assert path.read_bytes() == weights_after(epoch, "ema" if name == BEST_WEIGHTS else "weights")


def check_whole(folder: Path, whole: Path) -> None:
    """Check that a training that was killed and went on left what one left that was not."""
    left = {RUN_LOCK, *(name for name in names_in(folder) if name.startswith(WRITING))}  # of a kill after the end
    assert names_in(folder) - left == FILES
    for name in (BEST_WEIGHTS, LAST_WEIGHTS, EMA_WEIGHTS):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()
    assert dataclasses.replace(record_in(folder), resumptions=()) == record_in(whole)
    assert arrays_in(folder) == arrays_in(whole)


def train_on(folder: Path) -> None:
    """Train to the end, as far as the killed training had not come there."""
    if not (folder / RUN_RECORD).is_file() or record_in(folder).status != "finished":
        toy_training.train(folder)


def arrays_in(folder: Path) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in read_state(folder / RUN_STATE).arrays.items()}


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch):
    """Let nothing wait for the disk: this folder writes thousands of files, and no kill shows whether they waited."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the folder of a training that nobody killed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    toy_training.train(folder)
    return folder


# What a training leaves


def test_training_leaves_its_weights_record_and_state_and_no_lock(whole):
    assert names_in(whole) == FILES
    record = record_in(whole)
    assert (record.status, record.steps_done, record.best_epoch) == ("finished", STEPS * len(MIOU), 2)
    assert (whole / BEST_WEIGHTS).read_bytes() == weights_after(2)
    assert (whole / LAST_WEIGHTS).read_bytes() == weights_after(len(MIOU), "weights")
    assert record.digests() == {name: sha256_file(whole / name) for name in (BEST_WEIGHTS, LAST_WEIGHTS, EMA_WEIGHTS)}


def test_folder_of_a_run_is_begun_in_once(whole, tmp_path):
    with OpenRun(whole) as run, pytest.raises(
        InputError, match=r"holds a run already\. Next: another --output, or pyt"
    ):
        run.begin(RECORD, start(), {})
    (tmp_path / RUN_RECORD).write_text("{}")
    with OpenRun(tmp_path) as run, pytest.raises(InputError, match=r"Next: another --output, or remove it"):
        run.begin(RECORD, start(), {})


def test_best_weights_alone_have_a_score_where_the_last_epoch_was_not_validated(whole):
    scores = {name: read_weights(whole / name, "fast_scnn").provenance.miou for name in sorted(FILES) if "h5" in name}
    assert scores == {BEST_WEIGHTS: 0.4, EMA_WEIGHTS: None, LAST_WEIGHTS: None}


# Kills


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Return the folders of trainings of which each was killed at another write."""
    root = tmp_path_factory.mktemp("killed")
    count = _kill_everywhere(root)
    assert count > 100
    return [root / str(number) for number in range(count)]


def _kill_everywhere(root, *arguments) -> int:
    # In a process that has one thread alone, since it forks.
    done = subprocess.run(
        [sys.executable, "-m", TOY, "--all-kills", *map(str, (root, *arguments))],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        check=True,
        timeout=120,
    )
    return int(done.stdout)


@pytest.mark.long
def test_killed_at_any_write_a_run_has_weights_that_a_build_takes(killed, monkeypatch):
    half_done = [folder for folder in killed if any(path.name != BEST_WEIGHTS for path in folder.glob("best.*"))]
    assert len(half_done) > 5
    with_record = [folder for folder in killed if (folder / RUN_RECORD).is_file()]
    assert len(with_record) > len(killed) - 20

    def read_only(*_paths):
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", read_only)
        for folder in with_record:
            check_what_a_build_takes(folder)
    for folder in with_record:
        check_what_a_build_takes(folder)
        record = record_in(folder)
        if record.weights_sha256 is not None:
            assert sha256_file(folder / BEST_WEIGHTS) == record.weights_sha256  # it was put in place


@pytest.mark.long
def test_killed_at_any_write_a_run_goes_on_to_the_same_end(killed, whole):
    for folder in killed:
        train_on(folder)
        check_whole(folder, whole)


@pytest.mark.long
@pytest.mark.parametrize("is_record_behind", [True, False], ids=["before the record", "before the renaming"])
def test_killed_again_while_it_goes_on_a_run_loses_nothing_either(tmp_path, whole, is_record_behind):
    first = tmp_path / "first"
    _run_to_a_half_done_best(first, is_record_behind)
    for again in range(_kill_everywhere(tmp_path / "again", first, 18)):
        folder = tmp_path / "again" / str(again)
        check_what_a_build_takes(folder)
        train_on(folder)
        check_whole(folder, whole)


def _run_to_a_half_done_best(folder: Path, is_record_behind: bool) -> None:
    """Train to the second epoch, whose weights are the best, and stop in its checkpoint."""

    def stop(name):
        def stopping(*_arguments):
            raise KeyboardInterrupt(name)

        return stopping

    with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
        write = OpenRun._write

        def write_until_second_epoch(run, record):
            if record.best_epoch != 2:
                return write(run, record)
            patched.setattr(open_run, "put_in_place", stop("renaming"))
            return stop("record")() if is_record_behind else write(run, record)

        patched.setattr(OpenRun, "_write", write_until_second_epoch)
        toy_training.train(folder)
    assert record_in(folder).best_epoch == (1 if is_record_behind else 2)
    assert len(list(folder.glob("best.*.weights.h5"))) == 1
    assert (folder / BEST_WEIGHTS).read_bytes() == weights_after(1)


@pytest.mark.long
def test_killed_by_sigkill_at_random_moments_a_run_goes_on_to_the_same_end(tmp_path, whole):
    moments = random.Random(0)
    folder = tmp_path / "run"
    kills = 0
    for _ in range(20):
        command = [sys.executable, "-m", TOY, str(folder), "0.02"]
        with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            time.sleep(moments.uniform(0.0, 0.06))
            process.send_signal(signal.SIGKILL)
        if (folder / RUN_RECORD).is_file() and process.returncode != 0:
            kills += 1
            check_what_a_build_takes(folder)
            assert run_in(folder).state in ("killed", "finished")
        if record_in(folder).status == "finished":
            break
    assert kills >= 3
    train_on(folder)
    check_whole(folder, whole)
    assert len(record_in(folder).resumptions) >= 2


def test_default_build_passes_a_killed_run_over_and_says_how_it_goes_on(killed_once, tmp_path):
    choice = choose_run(find_runs("fast_scnn", tmp_path))
    assert choice.run is None
    ((_, reason),) = choice.passed_over
    assert reason == f"killed, 1 of 3 epochs done; it goes on with python train/train.py --resume {killed_once}"


@pytest.fixture
def killed_once(tmp_path):
    folder = tmp_path / "run"
    with OpenRun(folder) as run:
        record = run.begin(RECORD, start(), {})
        record = dataclasses.replace(record, history=({"epoch": 1, "miou": 0.2},), best_epoch=1, best_miou=0.2)
        run.checkpoint(record, start(), {}, {BEST_WEIGHTS: lambda path: path.write_bytes(b"weights")})
    return folder


# A disk that is full


@pytest.mark.parametrize("place", ["weights", "HDF5", "HDF5 with a number", "state", "record"])
def test_full_disk_is_one_line_and_the_checkpoint_before_stays(tmp_path, monkeypatch, place):
    folder = tmp_path / "run"
    with OpenRun(folder) as run:
        run.begin(RECORD, start(), {})
        run.checkpoint(*with_weights(content=b"first"))
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        arguments = with_weights(content=b"second", epoch=2)
        if place in ("weights", "HDF5", "HDF5 with a number"):
            arguments[3][BEST_WEIGHTS] = _fails_halfway(place)
        else:
            _let_disk_be_full(monkeypatch, {"state": RUN_STATE, "record": RUN_RECORD}[place])
        with pytest.raises(StorageError) as caught:
            run.checkpoint(*arguments)
        monkeypatch.undo()
        assert "No space left on device. Next: free some space" in str(caught.value)
        assert "\n" not in str(caught.value)
        run.end("failed", "the disk is full")
        assert (record_in(folder).status, record_in(folder).best_epoch) == ("failed", 1)
        (folder / RUN_RECORD).write_bytes(before[RUN_RECORD])
        if place != "record":  # the state is ahead of the record then, and its weights wait beside the old ones
            assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert read_weights(weights_path_of(folder), "fast_scnn").path.read_bytes() == b"first"
    assert read_run_to_resume(folder).record.best_epoch == (2 if place == "record" else 1)


def test_checkpoint_that_the_disk_has_no_room_for_is_refused_before_it_is_written(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    with OpenRun(folder) as run:
        run.begin(RECORD, start(), {})
        run.checkpoint(*with_weights(content=bytes(3_000_000)))
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        large = {"weights": np.zeros(250_000, np.float32)}
        free_bytes = [3_900_000]
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 0, free_bytes[0]))
        with pytest.raises(StorageError) as caught:
            run.checkpoint(RECORD, large, {}, {BEST_WEIGHTS: lambda path: pytest.fail("it was written")})
        assert str(caught.value) == (
            f"cannot write a checkpoint into {folder}: 3.9 MB are free on its disk, expected 4.0 MB. "
            f"Next: free some space, then python train/train.py --resume {folder}"
        )
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
        free_bytes[0] = 4_000_000
        run.checkpoint(RECORD, large, {}, {BEST_WEIGHTS: lambda path: path.write_bytes(b"weights")})


def _fails_halfway(place):
    def write(path):
        path.write_bytes(b"sec")
        if place == "HDF5":  # as h5py says it when it closes a file
            raise RuntimeError(
                "Can't decrement id ref count (file write failed: errno = 28, error message = 'No space')"
            )
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return write


def _let_disk_be_full(monkeypatch, name):
    """Let a rename to a name fail as a full disk does."""
    replace = os.replace

    def full(source, target):
        if Path(target).name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)


def test_error_of_a_writer_that_is_none_of_a_disk_passes_through(tmp_path):
    def write(path):
        raise RuntimeError("no such layer")

    with OpenRun(tmp_path / "run") as run, pytest.raises(RuntimeError, match="no such layer"):
        run.begin(RECORD, start(), {})
        run.checkpoint(RECORD, start(), {}, {BEST_WEIGHTS: write})


# Going on


def test_resumption_is_noted_and_the_reason_of_the_end_goes(killed_once):
    with OpenRun(killed_once) as run:
        run.go_on(read_run_to_resume(killed_once))
        run.end("interrupted", "SIGTERM")
    assert run_in(killed_once).state == "interrupted (SIGTERM)"
    for count in (1, 2):
        with OpenRun(killed_once) as run:
            record = run.go_on(read_run_to_resume(killed_once))
            record = run.checkpoint(dataclasses.replace(record, steps_done=7), start(), {})
        assert (record.status, record.end_reason, len(record.resumptions)) == ("running", "", count + 1)
    assert [resumption.step for resumption in record_in(killed_once).resumptions] == [0, 0, 7]


def test_resumption_that_was_killed_before_its_first_checkpoint_is_counted(killed_once):
    for count in (1, 2, 3):
        with OpenRun(killed_once) as run:
            assert len(run.go_on(read_run_to_resume(killed_once)).resumptions) == count


@pytest.mark.parametrize("content", [None, b"other"])
def test_lost_weights_are_warned_of_and_the_run_goes_on(killed_once, capsys, content):
    if content is None:
        (killed_once / BEST_WEIGHTS).unlink()
    else:
        (killed_once / BEST_WEIGHTS).write_bytes(content)
    with OpenRun(killed_once) as run:
        record = run.go_on(read_run_to_resume(killed_once))
    assert (record.best_epoch, record.best_miou, record.weights_sha256) == (None, None, None)
    message = capsys.readouterr().err
    assert message.startswith("warning: ") and "the weights of epoch 1, with mIoU 20.00 %, are lost" in message
