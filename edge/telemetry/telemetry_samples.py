"""Samples of power, temperatures, clocks and events as a long table: one row a value."""

from __future__ import annotations

from dataclasses import fields
from typing import Iterable, Iterator, NamedTuple

from edge.telemetry.base import PowerSample

WITHOUT_SENSOR = ""
"""Sensor of a quantity that a machine has once, such as its total power."""


class TelemetryValue(NamedTuple):
    """One value of one sample.

    Attributes:
        time_ns: Time of the sample in ns, on the clock of the samples.
        quantity: Name of the field of edge.telemetry.base.PowerSample, with its unit, such as "rails_mw".
        sensor: Rail, sensor or cause; "" for a quantity that the machine has once.
        value: Number, or the name of the power mode; None where it could not be read.
    """

    time_ns: int
    quantity: str
    sensor: str
    value: float | str | None


_QUANTITIES = tuple(each.name for each in fields(PowerSample) if each.name != "time_ns")


def telemetry_values(samples: Iterable[PowerSample]) -> Iterator[TelemetryValue]:
    """Return the values of samples, in their order; a quantity that is None for the whole machine is left out."""
    for sample in samples:
        for quantity in _QUANTITIES:
            value = getattr(sample, quantity)
            if isinstance(value, dict):
                for sensor, one in value.items():
                    yield TelemetryValue(sample.time_ns, quantity, sensor, one)
            elif value is not None:
                yield TelemetryValue(sample.time_ns, quantity, WITHOUT_SENSOR, value)


def power_samples(values: Iterable[TelemetryValue]) -> list[PowerSample]:
    """Return the samples that values came from, which have to be in the order of their times."""
    made: list[PowerSample] = []
    kept: dict[str, object] = {}
    time_ns: int | None = None
    for value in values:
        if time_ns is not None and value.time_ns != time_ns:
            made.append(PowerSample(time_ns, **kept))  # type: ignore[arg-type]
            kept = {}
        time_ns = value.time_ns
        if value.sensor == WITHOUT_SENSOR:
            kept[value.quantity] = value.value
        else:
            kept.setdefault(value.quantity, {})[value.sensor] = value.value  # type: ignore[index]
    if time_ns is not None:
        made.append(PowerSample(time_ns, **kept))  # type: ignore[arg-type]
    return made
