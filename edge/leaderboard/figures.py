"""The figures of an engine: names, units, which way is better, and how a record is read for each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

from edge.accuracy import Accuracy
from edge.bench.bench_record import BenchRecord
from edge.labels import plain_class_name
from edge.leaderboard.leaderboard_record import BoardColumn, BoardFigure
from edge.percentile_rule import is_carried, least_samples
from edge.telemetry.power_record import PowerRecord, inside_window

MIOU, OF_A_CLASS = "miou", "iou"
PERCENTILES = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p99.9": 99.9}

Read = Callable[[BenchRecord, str], BoardFigure]
"""Function that reads a figure: (record, name of the class or group, "" for none) -> figure without its run."""

_MORE_FRAMES = "more frames make it narrower (edge-bench run ENGINE --frames N)"
_MEASURE_POWER = "not measured: edge-bench run ENGINE --power SOURCE measures it, where the machine has a sensor"
_MEASURE_ACCURACY = "not measured: edge-bench run ENGINE --accuracy measures it"


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
    read: Read
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


def _known(value: float, interval: tuple[float, float, float] | None = None, is_exact: bool = False) -> BoardFigure:
    low, high, confidence = interval or (None, None, 1.0 if is_exact else None)
    return BoardFigure(value, low, high, confidence)


def _unknown(reason: str) -> BoardFigure:
    return BoardFigure(None, unknown=reason)


def _interval_ms(record: BenchRecord, name: str) -> tuple[float, float, float] | None:
    interval = getattr(record.end_to_end, "intervals", {}).get(name)
    return None if interval is None else (interval.low, interval.high, interval.confidence)


def _latency(name: str) -> Read:
    percent = PERCENTILES[name]

    def read(record: BenchRecord, _: str) -> BoardFigure:
        statistics = record.end_to_end
        value_ms = getattr(statistics, f"{name.replace('.', '_')}_ms", None)
        if value_ms is not None:
            return _known(value_ms, _interval_ms(record, name))
        if is_carried(percent, statistics.sample_count):
            return _unknown("not in this record, which is of an earlier version: measure again")
        needed = least_samples(percent)
        return _unknown(
            f"needs {needed} frames, {statistics.sample_count} were measured: edge-bench run ENGINE --frames {needed}"
        )

    return read


def _fps(record: BenchRecord, _: str) -> BoardFigure:
    interval = _interval_ms(record, "mean")
    # One frame after the other: frames per second are one over the mean latency, and so are the ends of the interval.
    if interval is None or record.frames_in_flight > 1 or interval[0] <= 0:
        return _known(record.fps)
    return _known(record.fps, (1000 / interval[1], 1000 / interval[0], interval[2]))


def _accuracy(read: Callable[[Accuracy, str], BoardFigure]) -> Read:
    def read_of(record: BenchRecord, name: str) -> BoardFigure:
        if record.accuracy is not None:
            return read(record.accuracy, name)
        if record.engine.contract.weights.is_random:
            return _unknown("random weights have no accuracy")
        check = record.engine.check
        if check is not None and check.miou_engine is not None and not name:
            at_build = f"{100 * check.miou_engine:.2f} % on {check.image_count} images of {check.images_from}"
            return _unknown(f"{_MEASURE_ACCURACY}; at the build it was {at_build}")
        return _unknown(_MEASURE_ACCURACY)

    return read_of


def _miou(accuracy: Accuracy, name: str) -> BoardFigure:
    if not name:
        return _known(100 * accuracy.miou)
    groups = {plain_class_name(group): value for group, value in accuracy.groups.items()}
    if name not in groups:
        return _unknown(
            f"no group '{name}' was scored, expected one of: {', '.join(groups) or 'none is in the record'}"
        )
    value = groups[name]
    where = f"{accuracy.dataset} {accuracy.split}"
    return _unknown(f"no class of '{name}' is in {where}") if value is None else _known(100 * value)


def _class_iou(accuracy: Accuracy, name: str) -> BoardFigure:
    classes = {plain_class_name(each): value for each, value in accuracy.class_iou.items()}
    where = f"{accuracy.dataset} {accuracy.split}"
    if name not in classes:
        return _unknown(f"the engine has no class '{name}'")
    value = classes[name]
    return _unknown(f"no '{name}' is in {where}") if value is None else _known(100 * value)


def _power(read: Callable[[PowerRecord], BoardFigure]) -> Read:
    def read_of(record: BenchRecord, _: str) -> BoardFigure:
        return _unknown(_MEASURE_POWER) if record.power is None else read(record.power)

    return read_of


def _mean_power(power: PowerRecord) -> BoardFigure:
    if power.total.mean_mw is None:
        return _unknown(power.refusal or f"{power.source} gave no total power")
    return _known(power.total.mean_mw / 1000)


def _energy(power: PowerRecord) -> BoardFigure:
    if power.energy_per_frame_mj is None:
        return _unknown(power.refusal or f"{power.source} gave no energy")
    return _known(power.energy_per_frame_mj)


def _temperature(power: PowerRecord) -> BoardFigure:
    measured = [value for column in power.temperatures_c.values() for value in inside_window(power, column)]
    return _known(max(measured)) if measured else _unknown(f"{power.source} gave no temperature")


def _parameters(record: BenchRecord, _: str) -> BoardFigure:
    count = record.engine.parameter_count
    return _unknown("not on the card: build the engine again") if count is None else _known(count / 1e6, is_exact=True)


def _multiply_adds(record: BenchRecord, _: str) -> BoardFigure:
    card = record.engine
    count = card.multiply_adds
    if count is None and card.layers:  # cards of before have them of INT8 engines, layer by layer
        count = sum(layer.multiply_adds for layer in card.layers)
    return _unknown("not on the card: build the engine again") if count is None else _known(count / 1e9, is_exact=True)


def _training(record: BenchRecord, _: str) -> BoardFigure:
    weights = record.engine.contract.weights
    if weights.training_s is not None:
        return _known(weights.training_s / 3600)
    if weights.is_random:
        return _unknown("nobody trained the weights")
    return _unknown("the weights do not say it")


FIGURES = (
    FigureKind(
        MIOU,
        "mIoU",
        "%",
        True,
        2,
        _accuracy(_miou),
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
        _accuracy(_class_iou),
        ("percent",),
        most=100,
        takes_name=True,
        how_to_narrow="a larger labelled split makes it narrower",
    ),
    FigureKind("parameters", "parameters", "M", False, 2, _parameters, ("million",), aliases=("params",)),
    FigureKind("multiply-adds", "multiply-adds", "G", False, 2, _multiply_adds, ("gmac", "gmacs"), aliases=("macs",)),
    FigureKind("training", "training", "h", False, 1, _training, ("hours",)),
    *(FigureKind(name, name, "ms", False, 1, _latency(name), how_to_narrow=_MORE_FRAMES) for name in PERCENTILES),
    FigureKind("fps", "fps", "", True, 1, _fps, ("fps", "1/s", "hz"), how_to_narrow=_MORE_FRAMES),
    FigureKind("power", "power", "W", False, 2, _power(_mean_power), ("watt",)),
    FigureKind("energy", "energy a frame", "mJ", False, 1, _power(_energy), ("mj/frame",)),
    FigureKind("temperature", "peak temperature", "°C", False, 1, _power(_temperature), ("c",), aliases=("temp",)),
)
"""Every figure of an engine, in the order of the columns."""


def kind_of(name: str) -> FigureKind | None:
    """Return the figure that a name stands for; None for an unknown name."""
    return next((kind for kind in FIGURES if name == kind.name or name in kind.aliases), None)


def read_figure(column: str, record: BenchRecord) -> BoardFigure:
    """Return the figure of a column, such as "iou(person)", from a record; its run is not set."""
    base, _, inside = column.partition("(")
    return kind_of(base).read(record, inside[:-1])
