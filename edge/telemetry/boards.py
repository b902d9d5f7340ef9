"""Which rails of a Jetson add up to its power: a table of boards, each with its source.

A rail's name comes from the board's device tree, through the kernel or through jtop, and reaches a container too. So a
board is known by its rails. A board that is not in the table has rails and no total: a guess would be a wrong figure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Collection, Mapping

_XAVIER_GUIDE = (
    "Jetson Linux Developer Guide r35.2.1, Jetson Xavier NX Series and Jetson AGX Xavier Series, "
    '"Software-Based Power Consumption Modeling"'
)
_ORIN_GUIDE = (
    "Jetson Linux Developer Guide r36.4.3, Jetson Orin Nano Series, Jetson Orin NX Series and Jetson AGX Orin Series, "
    '"Software-Based Power Consumption Modeling"'
)
_THOR_SOURCE = (
    "jtop/core/power.py of jetson-stats 7.2.2 and its pull request 900: the INA238 of the carrier board measures the "
    "input of the whole system, the INA3221 parts of it; Jetson Linux Developer Guide r38, Jetson Thor Product Family"
)


@dataclass(frozen=True)
class Board:
    """Power monitors of one board.

    Attributes:
        name: Name of the board, or of the boards that share these rails.
        summed: Rails whose sum is the total; all of them have to be there.
        identifying: Further rails without which a board is another one.
        parts: Rail -> rail that feeds it: what the first draws is in the second already.
        covers: Text that says what the total is the power of.
        source: Document that says so.
    """

    name: str
    summed: tuple[str, ...]
    covers: str
    source: str
    identifying: tuple[str, ...] = ()
    parts: Mapping[str, str] = field(default_factory=dict)


BOARDS = (
    Board(
        name="Jetson AGX Xavier",
        summed=("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"),
        covers="the module: the sum of its six rails",
        source=_XAVIER_GUIDE,
    ),
    Board(
        name="Jetson AGX Orin",
        summed=("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),
        covers="the module: the sum of its rails",
        source=_ORIN_GUIDE,
        parts={"VDDQ_VDD2_1V8AO": "VIN_SYS_5V0"},
    ),
    Board(
        name="Jetson Orin NX, Orin Nano or Xavier NX",
        summed=("VDD_IN",),
        covers="the module: its input rail VDD_IN",
        source=f"{_ORIN_GUIDE}; {_XAVIER_GUIDE}",
        identifying=("VDD_CPU_GPU_CV", "VDD_SOC"),
        parts={"VDD_CPU_GPU_CV": "VDD_IN", "VDD_SOC": "VDD_IN"},
    ),
    Board(
        name="Jetson AGX Thor",
        summed=("VIN",),
        covers="module and carrier board: the input rail VIN",
        source=_THOR_SOURCE,
        identifying=("VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0"),
        parts={"VDD_GPU": "VIN", "VDD_CPU_SOC_MSS": "VIN", "VIN_SYS_5V0": "VIN"},
    ),
)
"""Boards whose total is known. A rail that a carrier board adds is in no total."""


def board_of_rails(names: Collection[str]) -> Board | None:
    """Return the board that has these rails; None for one that the table does not know.

    Args:
        names: Names of the rails.
    """
    return next((board for board in BOARDS if {*board.summed, *board.identifying} <= set(names)), None)


def total_of_rails_mw(rails_mw: Mapping[str, float | None]) -> float | None:
    """Return the total power of a Jetson's rails in mW.

    The total that jtop shows counts the memory of an AGX Orin twice, and jetson-stats before 7 adds what its USB-C
    ports negotiated; so this function serves every source of a Jetson's power.

    Args:
        rails_mw: Rail -> power in mW; None where a rail did not answer.

    Returns:
        The total in mW; None on an unknown board, or where a rail that the total needs is None: a sum that leaves a
        rail out is no total.
    """
    board = board_of_rails(rails_mw)
    if board is None:
        return None
    values = [rails_mw[name] for name in board.summed]
    return sum(value for value in values if value is not None) if None not in values else None


def coverage_of_rails(names: Collection[str]) -> str:
    """Return a text that says what the total of some rails is the power of.

    Args:
        names: Names of the rails.
    """
    board = board_of_rails(names)
    if board is None:
        return f"no total: the rails {', '.join(names)} are those of no board that is known"
    left_out = [f"{part}, which is in {whole}" for part, whole in board.parts.items() if part in names]
    is_sum = len(board.summed) > 1
    return f"{board.covers}{' without ' + '; '.join(left_out) if is_sum and left_out else ''} ({board.name})"
