"""Runtimes: what runs an engine. `open_engine` chooses by the engine's card.

A new runtime is a module with a subclass of edge.runtime.base.Runner, one entry in RUNNERS, and its name in
edge.card.BACKENDS; what builds its engines goes into export/backends/.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable

from edge.card import VNNI, EngineCard, read_card
from edge.engine_choice import DEFAULT_COMMAND, find_engine
from edge.errors import EngineMismatchError
from edge.machine import sums_saturate, this_machine
from edge.runtime.base import Runner

__all__ = ["RUNNERS", "Runner", "open_engine"]


def _tensorrt(engine_path: Path, card: EngineCard, threads: int) -> Runner:
    from edge.runtime.tensorrt import TensorRtRunner

    return TensorRtRunner(engine_path, card)


def _onnxruntime(engine_path: Path, card: EngineCard, threads: int) -> Runner:
    from edge.runtime.onnxruntime import OnnxRuntimeRunner

    _require_cpu_features(card)
    return OnnxRuntimeRunner(engine_path, card.contract, threads)


def _require_cpu_features(card: EngineCard) -> None:
    """Raise EngineMismatchError if INT8 sums of an engine would saturate on this machine's processor."""
    if VNNI in card.cpu_features and sums_saturate():
        raise EngineMismatchError(
            f"{card.contract.model} {card.precision} engine was built on {card.machine.cpu} and relies on {VNNI}; this "
            f"machine's {this_machine().cpu} has none, and sums of 8-bit products would saturate there. "
            f"Next: {card.rebuild_command()}"
        )


RUNNERS: dict[str, Callable[[Path, EngineCard, int], Runner]] = {"tensorrt": _tensorrt, "onnxruntime": _onnxruntime}
"""Backend -> function that makes its runner from the engine file, the card and the number of CPU threads. The modules
of the runtimes are imported when an engine needs them, since a machine has few of them installed."""


def open_engine(path: str | os.PathLike, threads: int = 0, command: str = DEFAULT_COMMAND) -> tuple[Runner, EngineCard]:
    """Return a runner for an engine, which is not active yet, and the engine's card.

    Args:
        path: An engine folder, a file that belongs to one, or an artefact folder, of whose engines one is taken and
            named (edge/engine_choice.py).
        threads: CPU cores that one frame may use with ONNX Runtime; 0 for all.
        command: Command that a message offers for each engine that is there.

    Raises:
        InputError: There is no engine at this path.
        EngineMismatchError: The engine does not fit its card, or this machine.
        MissingDependencyError: The backend is not installed.
    """
    folder = find_engine(path, command)
    card = read_card(folder)
    return RUNNERS[card.backend](folder / card.engine_file, card, threads), card
