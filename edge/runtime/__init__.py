"""Runtimes: the classes that run engines. `open_engine` chooses one by the engine's card."""

from __future__ import annotations

import os

from edge.card import EngineCard, find_engine, read_card
from edge.runtime.base import Runner

__all__ = ["Runner", "open_engine"]


def open_engine(path: str | os.PathLike, threads: int = 0) -> tuple[Runner, EngineCard]:
    """Return a runner for an engine, which is not active yet, and the engine's card.

    Args:
        path: An engine folder, a file in one, or an artefact folder.
        threads: CPU cores that one frame may use with ONNX Runtime; 0 for all.

    Raises:
        InputError: There is no engine at this path.
        EngineMismatchError: The engine does not fit its card, or this machine.
        MissingDependencyError: The backend is not installed.
    """
    folder = find_engine(path)
    card = read_card(folder)
    if card.backend == "tensorrt":
        from edge.runtime.tensorrt import TensorRtRunner

        return TensorRtRunner(folder / card.engine_file, card), card
    from edge.runtime.onnxruntime import OnnxRuntimeRunner

    return OnnxRuntimeRunner(folder / card.engine_file, card.contract, threads), card
