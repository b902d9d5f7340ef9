"""One worker of a training over TF_CONFIG: run as a script, once for each worker.

    python tests/train/engine/worker_process.py STEPS FILE

Trains the small network for STEPS steps, writes the losses and weights to FILE, and goes on, a step every 50 ms, until
somebody ends it.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from edge.console import run_command

LONGEST_S = 120.0


def train(steps: int, file: Path) -> int:
    import numpy as np

    from edge.artifacts import atomic_path
    from tests.train.engine.small_training import SmallTraining, recipe
    from train.engine.strategies import MULTIWORKER, open_strategy

    training = SmallTraining(recipe(batch_norm="synchronised", ema=0.9), open_strategy(MULTIWORKER), steps=10_000)
    losses = training.run(steps)
    with atomic_path(file) as temporary:
        np.savez(temporary, losses=losses, **training.weights())
    end_s = time.monotonic() + LONGEST_S
    while time.monotonic() < end_s:
        training.run(1)
        time.sleep(0.05)
    return 0


if __name__ == "__main__":
    sys.exit(run_command(lambda: train(int(sys.argv[1]), Path(sys.argv[2]))))
