"""The interface of a backend, and the engine that it returns in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Collection

from export.backends.options import EngineOptions

if TYPE_CHECKING:
    from calibration.trt.calibrator import Calibration


@dataclass(frozen=True)
class BuiltEngine:
    """An engine that was built and lies in memory only.

    A backend's `EngineBuilder.build` makes it. `export/pipeline/engine_card.py` describes it, and
    `export/pipeline/verify.py` measures it.

    Attributes:
        data: content of the engine file.
        suffix: suffix of the engine file, such as ".engine".
        version: version of the package that built the engine.
        seconds: duration of the build in seconds.
        notes: sentences that the user has to know.
        layers: JSON text of TensorRT's engine inspector about every layer; None where it was not requested.
    """

    data: bytes
    suffix: str
    version: str
    seconds: float
    notes: tuple[str, ...] = ()
    layers: str | None = None


class EngineBuilder(ABC):
    """A backend that builds engines on this machine.

    A new backend's builder is one file with a subclass of this and one entry in `export.backends.choice.BUILDERS`;
    CONTRIBUTING.md says what else a backend has.

    Attributes:
        title: name of the backend as it stands in a sentence, such as "TensorRT".
        reason: reason why the backend is chosen where the user left the choice open, as part of a sentence.
        qdq_form: form of the Q/DQ graph that the backend takes for INT8, one of `calibration.qdq.insert.FORMS`.
    """

    title: str
    reason: str
    qdq_form: str

    @abstractmethod
    def problem(self) -> str | None:
        """Return one line that says why the backend cannot build engines on this machine; None if it can."""

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
            graph: content of an ONNX file for single frames, with Q/DQ pairs of `qdq_form` for int8, unless a
                calibration is given.
            precision: precision of the engine: "float32", "float16" or "int8".
            options: batch, limits and compatibility of the engine.
            calibration: source of TensorRT's scales for a graph without Q/DQ pairs; None for all other engines.
            float_layers: names of the nodes that a calibrated engine does not compute in INT8.

        Raises:
            BackendError: the backend failed.
            GraphError: the backend refused the graph.
            KeyboardInterrupt: the user pressed Ctrl-C; nothing was written.
        """
