"""One worker of a training over TF_CONFIG: run as a script, once for each worker.

    python tests/train/engine/worker_process.py STEPS FILE [--pause SECONDS]

Trains the small network for STEPS steps, prints a line after each, and writes the weights to FILE. Without TF_CONFIG
it trains alone.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
sys.path.insert(0, str(Path(__file__).resolve().parents[3]))


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("steps", type=int)
    parser.add_argument("file", type=Path)
    parser.add_argument("--pause", type=float, default=0.0)
    args = parser.parse_args()

    def run() -> int:
        import numpy as np

        from tests.train.engine.small_training import SmallTraining, recipe
        from train.engine.strategies import MULTIWORKER, ONE, open_strategy

        strategy = open_strategy(MULTIWORKER if "TF_CONFIG" in os.environ else ONE)
        training = SmallTraining(recipe(ema=0.9, accumulation=2, batch_norm="synchronised"), strategy)
        for step in range(args.steps):
            (loss,) = training.run(1)
            print(f"step {step} loss {loss:.6f}", flush=True)
            time.sleep(args.pause)
        np.savez(args.file, **training.weights())
        return 0

    from edge.console import run_command

    return run_command(run)


if __name__ == "__main__":
    sys.exit(main())
