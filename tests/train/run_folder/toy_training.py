"""A training without a network, in a real run folder: it takes an instant, and can be killed at any of its writes.

python -m tests.train.run_folder.toy_training FOLDER            trains, or goes on, to the end
python -m tests.train.run_folder.toy_training FOLDER SECONDS    so, with a pause at each step
python -m tests.train.run_folder.toy_training --all-kills ROOT [FOLDER MOST]    see `kill_everywhere`
"""

from __future__ import annotations

import dataclasses
import os
import sys
import time
import zipfile
from pathlib import Path

import numpy as np

from train.run_folder.open_run import OpenRun
from train.run_folder.resume import can_go_on, read_run_to_resume
from train.runs import BEST_WEIGHTS, EMA_WEIGHTS, FINISHED, LAST_WEIGHTS, RUNNING, RunRecord

STEPS, MIOU = 2, (0.2, 0.4, None)
"""Steps of an epoch, and the score after each epoch; None where it is not validated."""

RECORD = RunRecord(
    model="fast_scnn",
    dataset="camvid",
    data_dir="/data/camvid",
    class_count=11,
    height=384,
    width=512,
    options={"dropout": 0.1},
    recipe={"epochs": len(MIOU), "ema": 0.5},
    init="random",
    seed=3,
    started_utc="2026-01-01T00:00:00",
    status=RUNNING,
)


class Training:
    """Steps whose result depends on all steps before, so that a lost or a repeated one is seen."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.arrays = {name: array.copy() for name, array in arrays.items()}

    def step(self) -> None:
        number = int(self.arrays["step"])
        self.arrays["weights"] = np.sin(self.arrays["weights"] * np.float32(1.7) + np.float32(number))
        self.arrays["ema"] = np.float32(0.5) * (self.arrays["ema"] + self.arrays["weights"])
        self.arrays["step"] = np.int64(number + 1)

    def writer(self, name: str):
        def write(path: Path) -> None:
            data = self.arrays[name].tobytes()
            with open(path, "wb") as file:
                file.write(data[: len(data) // 2])
                file.flush()
                os.fsync(file.fileno())  # a place to be killed at, with half of the weights
                file.write(data[len(data) // 2 :])

        return write


def start() -> dict[str, np.ndarray]:
    weights = np.linspace(-1.0, 1.0, 7, dtype=np.float32)
    return {"weights": weights, "ema": weights.copy(), "step": np.int64(0)}


def train(folder: Path, pause_s: float = 0.0) -> RunRecord:
    """Train in a folder, from the beginning or from its state, to the end."""
    with OpenRun(folder) as run:
        if can_go_on(folder):
            resumed = read_run_to_resume(folder)
            training, record = Training(resumed.state.arrays), run.go_on(resumed)
        else:
            training = Training(start())
            record = run.begin(RECORD, training.arrays, {})
        print("training", flush=True)
        while record.steps_done < STEPS * len(MIOU):
            training.step()
            time.sleep(pause_s)
            steps = record.steps_done + 1
            record = dataclasses.replace(record, steps_done=steps)
            if steps % STEPS:
                record = run.checkpoint(record, training.arrays, {"step": steps})
                continue
            epoch = steps // STEPS
            score = MIOU[epoch - 1]
            record = dataclasses.replace(record, history=(*record.history, {"epoch": epoch, "miou": score}))
            weights = {LAST_WEIGHTS: training.writer("weights"), EMA_WEIGHTS: training.writer("ema")}
            if score is not None and score > (record.best_miou or 0.0):
                record = dataclasses.replace(record, best_epoch=epoch, best_miou=score)
                weights[BEST_WEIGHTS] = training.writer("ema")
            record = run.checkpoint(record, training.arrays, {"step": steps}, weights)
        return run.end(FINISHED)


def weights_after(epoch: int, name: str = "ema") -> bytes:
    """Return what the weights file of an epoch holds."""
    training = Training(start())
    for _ in range(STEPS * epoch):
        training.step()
    return training.arrays[name].tobytes()


def kill_everywhere(root: Path, copy_of: Path | None = None, most: int | None = None) -> int:
    """Train in ROOT/0, ROOT/1, ...: in number n, the process ends at its n-th write as by SIGKILL.

    Args:
        root: folder of the run folders.
        copy_of: run folder that each training goes on with a copy of; None to begin anew.
        most: number of kills; None for one at each write of a whole training.

    Returns:
        The number of kills.
    """
    number = 0
    while number != most:
        folder = root / str(number)
        if copy_of is not None:
            folder.mkdir(parents=True)
            for path in copy_of.iterdir():
                (folder / path.name).write_bytes(path.read_bytes())
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            _end_at_write(number)
            train(folder)
            os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
            break
        number += 1
    return number


def _end_at_write(number: int) -> None:
    """Let this process end at once, without any clean-up, before its n-th call that changes something on the disk."""
    left = [number]

    def counted(call):
        def counting(*arguments, **options):
            if left[0] == 0:
                os._exit(9)
            left[0] -= 1
            return call(*arguments, **options)

        return counting

    os.fsync = lambda handle: None  # it takes most of the time, and no kill shows whether it was done
    for name in ("replace", "unlink", "fsync", "ftruncate", "pwrite", "chmod"):
        setattr(os, name, counted(getattr(os, name)))
    zipfile.ZipFile.writestr = counted(zipfile.ZipFile.writestr)


if __name__ == "__main__":
    if sys.argv[1] == "--all-kills":
        print(kill_everywhere(Path(sys.argv[2]), *map(Path, sys.argv[3:4]), *map(int, sys.argv[4:])))
    else:
        train(Path(sys.argv[1]), *map(float, sys.argv[2:]))
