"""Kill a training at random moments until it is done, and compare it with one that nobody disturbed.

    python benchmarks/training_kills.py --dataset camvid --data-dir DIR --kills 20

Both trainings have the same command, seed and thread count. The second one gets SIGKILL after a random time, is resumed
(`--resume`), is killed again, and so on. At the end the weights of both, the best and the last, have to be equal to the
last bit, and so have losses and scores of all epochs. Exit code 1 if they are not.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

if __name__ == "__main__":  # run by its path: the checkout, not this folder, is where packages are
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from edge.console import (
    CommandParser,
    positive_int,
    print_json,
    print_status,
    run_command,
    seed_argument,
    size_argument,
)
from edge.errors import SegEdgeError
from train.options import MODEL_NAMES

REPOSITORY = Path(__file__).resolve().parents[1]
COMPARED_OF_AN_EPOCH = ("epoch", "loss", "learning_rate", "miou", "class_iou")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(prog="benchmarks/training_kills.py", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="fast_scnn", choices=MODEL_NAMES, help="architecture")
    parser.add_argument("--dataset", default="camvid", help="what it is trained on")
    parser.add_argument("--data-dir", type=Path, help="folder of the dataset")
    parser.add_argument("--kills", type=positive_int, default=20, metavar="N", help="number of kills")
    parser.add_argument("--epochs", type=positive_int, default=6, metavar="N", help="epochs of each training")
    parser.add_argument("--limit", type=positive_int, default=48, metavar="N", help="frames of each split")
    parser.add_argument("--size", type=size_argument, default=(192, 256), metavar="HxW", help="pixels of the input")
    parser.add_argument("--seed", type=seed_argument, default=1, metavar="S", help="seed of training and of moments")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: _compare(arguments), arguments.json)


def _compare(arguments: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="training-kills-") as name:
        folder = Path(name)
        start_s = time.monotonic()
        _run(_command(arguments, folder / "whole"), None)
        whole_s = time.monotonic() - start_s
        print_status(f"undisturbed: {whole_s:.0f} s")
        kills = _disturbed(arguments, folder / "killed", whole_s)
        differences = _differences(folder / "whole", folder / "killed")
    verdict = {"kills": kills, "undisturbed_s": whole_s, "differences": differences}
    if arguments.json:
        print_json(verdict)
    else:
        print(f"{kills} kills: " + ("equal to the last bit" if not differences else "; ".join(differences)))
    return 1 if differences else 0


def _command(arguments: argparse.Namespace, folder: Path) -> list[str]:
    height, width = arguments.size
    command = [sys.executable, str(REPOSITORY / "train" / "train.py"), "--model", arguments.model]
    command += ["--dataset", arguments.dataset, "--output", str(folder), "--seed", str(arguments.seed)]
    command += ["--epochs", str(arguments.epochs), "--limit", str(arguments.limit), "--size", f"{height}x{width}"]
    # Often, so that kills fall within and around the writing of a state.
    command += ["--checkpoint-minutes", "0.05"]
    return command + (["--data-dir", str(arguments.data_dir)] if arguments.data_dir else [])


def _disturbed(arguments: argparse.Namespace, folder: Path, whole_s: float) -> int:
    """Run a training to its end with kills in between; return how many there were."""
    moments = random.Random(arguments.seed)
    kills = 0
    while kills < arguments.kills:
        has_begun = (folder / "run.json").exists()
        command = (
            [*_command(arguments, folder)[:2], "--resume", str(folder)] if has_begun else _command(arguments, folder)
        )
        # A start takes some 10 s; a moment is one of the work behind it, or of the start itself.
        limit_s = moments.uniform(0.05, 0.5) * whole_s
        if _run(command, limit_s):
            print_status(f"done after {kills} kills")
            return kills
        kills += 1
        print_status(f"kill {kills} after {limit_s:.1f} s: {_state_of(folder)}")
    _run([*_command(arguments, folder)[:2], "--resume", str(folder)], None)
    return kills


def _run(command: list[str], limit_s: float | None) -> bool:
    """Run a command, kill it after a time; return whether it came to its end.

    Raises:
        SegEdgeError: it failed by itself.
    """
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=subprocess.STDOUT)
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        if code not in (0, -signal.SIGKILL):
            log.seek(0)
            raise SegEdgeError(f"{' '.join(command)} ended with {code}: {log.read()[-2000:]}")
        return code == 0


def _state_of(folder: Path) -> str:
    names = sorted(path.name for path in folder.glob("*")) if folder.is_dir() else []
    return ", ".join(names) or "nothing written"


def _differences(whole: Path, killed: Path) -> list[str]:
    """Return what differs between two run folders, in words."""
    found = []
    for name in ("best.weights.h5", "last.weights.h5"):
        first, second = _arrays(whole / name), _arrays(killed / name)
        unequal = [key for key in first if key not in second or not np.array_equal(first[key], second[key])]
        if unequal or set(first) != set(second):
            found.append(f"{name}: {len(unequal)} of {len(first)} tensors differ, the first is {(unequal or ['?'])[0]}")
    records = [json.loads((folder / "run.json").read_text(encoding="utf-8")) for folder in (whole, killed)]
    histories = [
        [{key: entry[key] for key in COMPARED_OF_AN_EPOCH} for entry in record["history"]] for record in records
    ]
    if histories[0] != histories[1]:
        found.append("losses, rates or scores of the epochs differ")
    return found


def _arrays(path: Path) -> dict[str, np.ndarray]:
    import h5py

    arrays: dict[str, np.ndarray] = {}
    with h5py.File(path, "r") as file:
        file.visititems(lambda key, item: arrays.update({key: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return arrays


if __name__ == "__main__":
    sys.exit(main())
