"""What every backend builds: one engine, still in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class BuiltEngine:
    """One built engine, still in memory.

    Attributes:
        data: content of the engine file.
        suffix: of that file, such as ".engine".
        version: of the package that built it.
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
