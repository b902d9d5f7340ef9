"""What a backend hands back when it has built an engine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BuiltEngine:
    """One built engine, still in memory.

    Attributes:
        data: content of the engine file.
        suffix: of that file, such as ".engine".
        version: of the package that built it.
        seconds: time that the build took.
        notes: sentences that a user has to know.
    """

    data: bytes
    suffix: str
    version: str
    seconds: float
    notes: tuple[str, ...] = ()
