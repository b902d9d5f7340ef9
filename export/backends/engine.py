"""What a backend is to the build, and what it gives: one engine, still in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Collection

from export.backends.options import EngineOptions

if TYPE_CHECKING:
    from calibration.trt.calibrator import Calibration


@dataclass(frozen=True)
class BuiltEngine:
    """One built engine, still in memory.

    A backend's `EngineBuilder.build` makes it. `export/pipeline/engine_card.py` describes it, and
    `export/pipeline/verify.py` measures it.

    Attributes:
        data: content of the engine file.
        suffix: suffix of that file, such as ".engine".
        version: version of the package that built it.
        seconds: time that the build took.
        notes: sentences that a user has to know.
        layers: what TensorRT's engine inspector says of every layer, JSON; None where nobody asked.
    """

    data: bytes
    suffix: str
    version: str
    seconds: float
    notes: tuple[str, ...] = ()
    layers: str | None = None


class EngineBuilder(ABC):
    """A backend that builds engines on this machine.

    A new backend is one file with a subclass of this and one entry in `export.backends.choice.BUILDERS`.

    Attributes:
        title: the backend's name in a sentence, such as "TensorRT".
        reason: why the backend is chosen where the user left the choice open, in words.
        qdq_form: the Q/DQ graph that the backend takes for INT8, one of `calibration.qdq.insert.FORMS`.
    """

    title: str
    reason: str
    qdq_form: str

    @abstractmethod
    def problem(self) -> str | None:
        """Return in one line why the backend cannot build engines here; None if it can."""

    @abstractmethod
    def build(
        self,
        graph: bytes,
        precision: str,
        options: EngineOptions,
        calibration: Calibration | None = None,
        float_layers: Collection[str] = (),
    ) -> BuiltEngine:
        """Build an engine for this machine.

        Args:
            graph: an ONNX file for single frames, with Q/DQ pairs of `qdq_form` for int8, unless there is a
                calibration.
            precision: "float32", "float16" or "int8".
            options: what else the engine is to be.
            calibration: TensorRT's source of scales for a graph without Q/DQ pairs; None for all other engines.
            float_layers: nodes that a calibrated engine does not compute in INT8.

        Raises:
            BackendError: the backend failed.
            GraphError: the backend refused the graph.
            KeyboardInterrupt: the user pressed Ctrl-C; nothing was written.
        """
