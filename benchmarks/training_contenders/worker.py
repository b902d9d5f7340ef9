"""The process of one contender: it takes as many steps as a line of its input asks for, and says how long they took.

    python -m benchmarks.training_contenders.worker '{"contender": "ours", ...}'

Every line of its output is JSON: first the versions and the first step, then the latencies of each turn.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Callable

from benchmarks.training_contenders.batch import CLASS_COUNT, VOID, draw_batch


def _ours(settings: dict, frames, labels) -> tuple[Callable[[], float], str]:
    from train.tensorflow_import import import_tensorflow

    import_tensorflow("training", "pip install -e '.[train]'", training=True)
    from benchmarks.training_contenders import ours

    precision, xla, use_kernels = settings["precision"], settings["xla"], settings["kernels"]
    return ours.prepare(frames, labels, settings["model"], precision, xla, use_kernels), ours.versions()


def _before(settings: dict, frames, labels) -> tuple[Callable[[], float], str]:
    from benchmarks.training_contenders import before

    return before.prepare(frames, labels, settings["model"]), before.versions()


def _pytorch(settings: dict, frames, labels) -> tuple[Callable[[], float], str]:
    from benchmarks.training_contenders import pytorch_fast_scnn as pytorch

    return pytorch.prepare(frames, labels, CLASS_COUNT, settings["threads"], VOID), pytorch.versions()


CONTENDERS = {"ours": _ours, "before": _before, "pytorch": _pytorch}


def main() -> int:
    settings = json.loads(sys.argv[1])
    os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(settings["threads"])
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes to stderr
    frames, labels = draw_batch(settings["crops"], settings["height"], settings["width"])
    step, versions = CONTENDERS[settings["contender"]](settings, frames, labels)
    _answer(answers, versions=versions, **_timed(step, 1))
    for line in sys.stdin:
        _answer(answers, **_timed(step, int(line)))
    return 0


def _timed(step: Callable[[], float], count: int) -> dict:
    seconds, processor_seconds, loss = [], [], 0.0
    for _ in range(count):
        start_ns, processor_start_ns = time.perf_counter_ns(), time.process_time_ns()
        loss = step()  # it reads the loss, so the step is done
        seconds.append((time.perf_counter_ns() - start_ns) / 1e9)
        processor_seconds.append((time.process_time_ns() - processor_start_ns) / 1e9)
    return {"seconds": seconds, "processor_seconds": processor_seconds, "loss": loss}


def _answer(answers, **fields: object) -> None:
    print(json.dumps(fields), file=answers, flush=True)


if __name__ == "__main__":
    sys.exit(main())
