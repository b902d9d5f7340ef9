"""The figures of an engine: names, units, which way is better, and how a record is read for each of them."""

from __future__ import annotations

from dataclasses import dataclass

from edge.bench.bench_record import BenchRecord
from edge.frame_statistics.percentiles import PERCENTS, percentile_key
from edge.labels import plain_class_name
from edge.leaderboard import readings
from edge.leaderboard.leaderboard_record import BoardColumn, BoardFigure

MIOU, OF_A_CLASS = "miou", "iou"

_MORE_FRAMES = "more frames make it narrower (edge-bench run ENGINE --frames N)"


@dataclass(frozen=True)
class FigureKind:
    """One kind of figure that a leaderboard shows and a need limits.

    Attributes:
        name: Name as a need spells it.
        title: Words above its column.
        unit: Unit of its values; "" where they have none.
        is_more_better: Whether a larger value is the better one.
        digits: Digits behind the point that are worth showing.
        read: Function that reads it from a record.
        spelled_units: Spellings of the unit that a need may have behind the number, in lower case.
        aliases: Other names that a need may give it.
        most: Largest limit that makes sense, in the unit.
        takes_name: Whether it may be of one class or group, in brackets behind the name.
        how_to_narrow: Words on what makes its interval narrower.
    """

    name: str
    title: str
    unit: str
    is_more_better: bool
    digits: int
    read: readings.Read
    spelled_units: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    most: float = 1e9
    takes_name: bool = False
    how_to_narrow: str = "a longer run makes it narrower"

    @property
    def units(self) -> tuple[str, ...]:
        """Texts that may stand behind a number, in lower case."""
        return (*((self.unit.lower(),) if self.unit else ()), *self.spelled_units)

    @property
    def is_accuracy(self) -> bool:
        """Whether it is measured on a labelled split, so that it is the engine's and not the run's."""
        return self.name in (MIOU, OF_A_CLASS)

    @property
    def is_of_graph(self) -> bool:
        """Whether it is counted in the float graph, so that engines of all precisions share it."""
        return self.name in ("parameters", "multiply-adds")

    def column_name(self, inside: str = "") -> str:
        """Return the name of a column, with its class or group in the spelling in which names are compared."""
        return f"{self.name}({plain_class_name(inside)})" if inside else self.name

    def column(self, inside: str = "") -> BoardColumn:
        """Return the column of this figure, of one class or group where a name is given."""
        title = self.title if not inside else f"{self.title} {plain_class_name(inside)}"
        return BoardColumn(self.column_name(inside), title, self.unit, self.is_more_better, self.digits)


FIGURES = (
    FigureKind(
        MIOU,
        "mIoU",
        "%",
        True,
        2,
        readings.of_accuracy(readings.mean_iou),
        ("percent",),
        most=100,
        takes_name=True,
        how_to_narrow="a larger labelled split makes it narrower",
    ),
    FigureKind(
        OF_A_CLASS,
        "IoU",
        "%",
        True,
        2,
        readings.of_accuracy(readings.class_iou),
        ("percent",),
        most=100,
        takes_name=True,
        how_to_narrow="a larger labelled split makes it narrower",
    ),
    FigureKind("parameters", "parameters", "M", False, 2, readings.parameters, ("million",), aliases=("params",)),
    FigureKind(
        "multiply-adds", "multiply-adds", "G", False, 2, readings.multiply_adds, ("gmac", "gmacs"), aliases=("macs",)
    ),
    FigureKind("training", "training", "h", False, 1, readings.training_time, ("hours",)),
    *(
        FigureKind(
            percentile_key(percent),
            percentile_key(percent),
            "ms",
            False,
            1,
            readings.latency(percent),
            how_to_narrow=_MORE_FRAMES,
        )
        for percent in PERCENTS
    ),
    FigureKind("fps", "fps", "", True, 1, readings.frames_per_second, ("fps", "1/s", "hz"), how_to_narrow=_MORE_FRAMES),
    FigureKind(
        "misses",
        "missed deadlines",
        "%",
        False,
        2,
        readings.missed_deadlines,
        ("percent",),
        most=100,
        how_to_narrow=_MORE_FRAMES,
    ),
    FigureKind("power", "power", "W", False, 2, readings.of_power(readings.mean_power), ("watt",)),
    FigureKind("energy", "energy a frame", "mJ", False, 1, readings.of_power(readings.energy_per_frame), ("mj/frame",)),
    FigureKind(
        "net-energy",
        "net energy a frame",
        "mJ",
        False,
        1,
        readings.of_power(readings.net_energy_per_frame),
        ("mj/frame",),
    ),
    FigureKind(
        "temperature",
        "peak temperature",
        "°C",
        False,
        1,
        readings.of_power(readings.peak_temperature),
        ("c",),
        aliases=("temp",),
    ),
)
"""Every figure of an engine, in the order of the columns."""


def kind_of(name: str) -> FigureKind | None:
    """Return the figure that a name stands for; None for an unknown name."""
    return next((kind for kind in FIGURES if name == kind.name or name in kind.aliases), None)


def read_figure(column: str, record: BenchRecord) -> BoardFigure:
    """Return the figure of a column, such as "iou(person)", from a record; its run is not set."""
    base, _, inside = column.partition("(")
    return kind_of(base).read(record, inside[:-1])
