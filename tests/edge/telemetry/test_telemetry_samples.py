"""Samples as a long table, and back."""

from edge.telemetry.base import PowerSample
from edge.telemetry.telemetry_samples import power_samples, telemetry_values


def test_samples_come_back_from_their_values():
    samples = [
        PowerSample(1, {"VIN": 9000.0, "GPU": None}, 9000.0, {"cpu": 40.5}, power_mode="MAXN"),
        PowerSample(2, {"VIN": 9100.0}, 9100.0, event_counts={"thermal cpu": 1}, gpu_clock_mhz=1300.0),
    ]
    assert power_samples(telemetry_values(samples)) == samples


def test_a_rail_that_did_not_answer_keeps_its_row():
    values = list(telemetry_values([PowerSample(1, {"GPU": None})]))
    assert [(value.quantity, value.sensor, value.value) for value in values] == [("rails_mw", "GPU", None)]
