"""How the record of a run is read for each figure of a leaderboard: its value and interval, or why there is none."""

from __future__ import annotations

from typing import Callable

from edge.accuracy import Accuracy
from edge.accuracy_interval import MIOU
from edge.bench.bench_record import BenchRecord
from edge.bench.settings import SINGLE_STREAM
from edge.frame_statistics.percentiles import MEAN, LatencyStatistics, percentile_key
from edge.labels import plain_class_name
from edge.leaderboard.leaderboard_record import BoardFigure
from edge.percentile_rule import is_carried, least_samples
from edge.telemetry.power_record import PowerRecord, inside_window

UNCERTAINTY_CONFIDENCE = 0.95
"""Confidence of the uncertainties of energy in a record of power."""

Read = Callable[[BenchRecord, str], BoardFigure]
"""Function that reads a figure: (record, name of the class or group, "" for none) -> figure without its run."""

_MEASURE_POWER = "not measured: edge-bench run ENGINE --power SOURCE measures it, where the machine has a sensor"
_MEASURE_ACCURACY = "not measured: edge-bench run ENGINE --accuracy measures it"


def _known(value: float, interval: tuple[float, float, float] | None = None, is_exact: bool = False) -> BoardFigure:
    low, high, confidence = interval or (None, None, 1.0 if is_exact else None)
    return BoardFigure(value, low, high, confidence)


def _unknown(reason: str) -> BoardFigure:
    return BoardFigure(None, unknown=reason)


def _interval_ms(statistics: LatencyStatistics, key: str) -> tuple[float, float, float] | None:
    interval = statistics.intervals.get(key)
    return None if interval is None else (interval.low, interval.high, interval.confidence)


def latency(percent: float) -> Read:
    """Return the function that reads a percentile of the latency, in ms."""

    def read(record: BenchRecord, _: str) -> BoardFigure:
        statistics = record.end_to_end
        value_ms = statistics.percentile_ms(percent)
        if value_ms is not None:
            return _known(value_ms, _interval_ms(statistics, percentile_key(percent)))
        if is_carried(percent, statistics.sample_count):
            return _unknown("not in this record, which is of an earlier version: measure again")
        needed = least_samples(percent)
        return _unknown(
            f"needs {needed} frames, {statistics.sample_count} were measured: edge-bench run ENGINE --frames {needed}"
        )

    return read


def frames_per_second(record: BenchRecord, _: str) -> BoardFigure:
    """Return frames per second, which a camera limits."""
    camera = record.scenario.camera if record.scenario is not None else None
    if camera is not None:
        return _unknown(f"a camera of {camera.fps:g} fps gives no more: --scenario single-stream measures it")
    is_single = record.frames_in_flight == 1 and (record.scenario is None or record.scenario.name == SINGLE_STREAM)
    interval = _interval_ms(record.end_to_end, MEAN) if is_single else None
    # One frame after the other: frames per second are one over the mean latency, and so are the ends of the interval.
    if interval is None or interval[0] <= 0:
        return _known(record.fps)
    return _known(record.fps, (1000 / interval[1], 1000 / interval[0], interval[2]))


def missed_deadlines(record: BenchRecord, _: str) -> BoardFigure:
    """Return the share of deadlines that were missed, in percent, with its bounds."""
    rules = record.scenario
    if rules is None or rules.camera is None or rules.deadlines is None:
        return _unknown("not measured: edge-bench run ENGINE --scenario camera measures it")
    camera, bound, is_held = rules.camera, rules.deadlines.bound, rules.deadlines.is_held
    low, high = bound.lower, bound.upper
    if rules.stopped_early and is_held is not None:  # the bound of that moment is a little too good
        low, high = (0.0, camera.allowed_miss_share) if is_held else (camera.allowed_miss_share, 1.0)
    # Each bound holds by itself with the confidence; both together with twice the error.
    return _known(100 * bound.share, (100 * low, 100 * high, 2 * camera.confidence - 1))


def of_accuracy(read: Callable[[Accuracy, str], BoardFigure]) -> Read:
    """Return a function that reads a figure of the accuracy, or says why there is none."""

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


def mean_iou(accuracy: Accuracy, name: str) -> BoardFigure:
    """Return the mIoU of all classes, or of a group, in percent."""
    if not name:
        return _known(100 * accuracy.miou, _interval_percent(accuracy, MIOU))
    groups = {plain_class_name(group): value for group, value in accuracy.groups.items()}
    if name not in groups:
        return _unknown(
            f"no group '{name}' was scored, expected one of: {', '.join(groups) or 'none is in the record'}"
        )
    value = groups[name]
    where = f"{accuracy.dataset} {accuracy.split}"
    if value is None:
        return _unknown(f"no class of '{name}' is in {where}")
    return _known(100 * value, _interval_percent(accuracy, f"{MIOU}({name})"))


def class_iou(accuracy: Accuracy, name: str) -> BoardFigure:
    """Return the IoU of a class in percent."""
    classes = {plain_class_name(each): value for each, value in accuracy.class_iou.items()}
    where = f"{accuracy.dataset} {accuracy.split}"
    if name not in classes:
        return _unknown(f"the engine has no class '{name}'")
    value = classes[name]
    if value is None:
        return _unknown(f"no '{name}' is in {where}")
    return _known(100 * value, _interval_percent(accuracy, f"iou({name})"))


def _interval_percent(accuracy: Accuracy, figure: str) -> tuple[float, float, float] | None:
    intervals = {plain_class_name(name): interval for name, interval in accuracy.intervals.items()}
    interval = intervals.get(plain_class_name(figure))
    return None if interval is None else (100 * interval.low, 100 * interval.high, interval.confidence)


def of_power(read: Callable[[PowerRecord], BoardFigure]) -> Read:
    """Return a function that reads a figure of the power, or says that none was measured."""

    def read_of(record: BenchRecord, _: str) -> BoardFigure:
        return _unknown(_MEASURE_POWER) if record.power is None else read(record.power)

    return read_of


def mean_power(power: PowerRecord) -> BoardFigure:
    """Return the mean power of everything that the source covers, in W."""
    if power.total.mean_mw is None:
        return _unknown(power.refusal or f"{power.source} gave no total power")
    energy_mj, uncertainty_mj = power.total.energy_mj, power.energy_uncertainty_mj
    share = uncertainty_mj / energy_mj if uncertainty_mj is not None and energy_mj else None
    value = power.total.mean_mw / 1000
    return _known(value, _around(value, None if share is None else share * value))


def energy_per_frame(power: PowerRecord) -> BoardFigure:
    """Return the energy of one frame in mJ."""
    if power.energy_per_frame_mj is None:
        return _unknown(power.refusal or f"{power.source} gave no energy")
    return _known(power.energy_per_frame_mj, _around(power.energy_per_frame_mj, power.energy_per_frame_uncertainty_mj))


def net_energy_per_frame(power: PowerRecord) -> BoardFigure:
    """Return the energy of one frame in mJ, without what the idle machine would have drawn."""
    if power.net_energy_per_frame_mj is None:
        return _unknown(power.refusal or "the idle machine was not measured: --idle-seconds measures it")
    uncertainty = power.net_energy_per_frame_uncertainty_mj
    return _known(power.net_energy_per_frame_mj, _around(power.net_energy_per_frame_mj, uncertainty))


def _around(value: float, uncertainty: float | None) -> tuple[float, float, float] | None:
    return None if uncertainty is None else (value - uncertainty, value + uncertainty, UNCERTAINTY_CONFIDENCE)


def peak_temperature(power: PowerRecord) -> BoardFigure:
    """Return the highest temperature of any sensor while frames were measured, in degrees Celsius."""
    measured = [value for column in power.temperatures_c.values() for value in inside_window(power, column)]
    return _known(max(measured)) if measured else _unknown(f"{power.source} gave no temperature")


def parameters(record: BenchRecord, _: str) -> BoardFigure:
    """Return the parameters of the engine's network, in millions."""
    count = record.engine.parameter_count
    return _unknown("not on the card: build the engine again") if count is None else _known(count / 1e6, is_exact=True)


def multiply_adds(record: BenchRecord, _: str) -> BoardFigure:
    """Return the multiply-adds of the engine's network for one frame, in thousands of millions."""
    card = record.engine
    count = card.multiply_adds
    if count is None and card.layers:  # cards of before have them of INT8 engines, layer by layer
        count = sum(layer.multiply_adds for layer in card.layers)
    return _unknown("not on the card: build the engine again") if count is None else _known(count / 1e9, is_exact=True)


def training_time(record: BenchRecord, _: str) -> BoardFigure:
    """Return the time that training and validation took, in h."""
    weights = record.engine.contract.weights
    if weights.training_s is not None:
        return _known(weights.training_s / 3600)
    if weights.is_random:
        return _unknown("nobody trained the weights")
    return _unknown("the weights do not say it")
