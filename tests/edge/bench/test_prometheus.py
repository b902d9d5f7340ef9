"""The text file for node_exporter: its grammar, its units, and what is left out."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from edge.bench.prometheus import prometheus_text, write_prometheus
from edge.bench.validity import Validity
from edge.telemetry.power_record import PowerRecord, RailPower
from edge.telemetry.throttling import ThrottledWindow
from tests.edge.leaderboard.made_runs import RunMaker

SAMPLE = re.compile(r'([a-z_]+)\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\} (-?[0-9.]+(?:e[+-]?[0-9]+)?)')
"""A line of a figure in the text format 0.0.4, with labels, as this project writes it."""


def figures(text):
    """Return name -> list of (labels, value), after a look at the grammar of each line."""
    found, typed = {}, set()
    for line in text.splitlines():
        if line.startswith("# "):
            kind, name, rest = line[2:].split(" ", 2)
            assert kind in ("HELP", "TYPE") and rest
            assert kind == "HELP" or rest == "gauge"
            typed.add(name)
            continue
        match = SAMPLE.fullmatch(line)
        assert match, line
        assert match[1] in typed
        found.setdefault(match[1], []).append((match[2], float(match[3])))
    assert text.endswith("\n")
    return found


@pytest.fixture
def run():
    return RunMaker()().record


def test_figures_are_in_base_units(run):
    power = PowerRecord(
        "sysfs", None, "a board", 0.1, 0.3, 2.0, 20,
        RailPower(9000.0, None, None, 18000.0), {"VDD_GPU": RailPower(4000.0, None, None, 8000.0)},
        900.0, None, None, (-1.0, 0.5, 1.5), (9000.0,) * 3, {"VDD_GPU": (4000.0,) * 3}, {"GPU": (99.0, 50.0, 51.0)},
        (None,) * 3, (None,) * 3, (None,) * 3, (None,) * 3, (0.0,),
        throttled=(ThrottledWindow(-1.0, 0.5, ("heat",)), ThrottledWindow(1.75, 9.0, ("heat",))),
    )  # fmt: skip
    found = figures(prometheus_text(replace(run, power=power, validity=Validity(True, ()))))
    value = {name: values[0][1] for name, values in found.items()}
    assert value["segedge_bench_valid"] == 1.0
    assert value["segedge_bench_power_watts"] == 9.0
    assert value["segedge_bench_rail_power_watts"] == 4.0
    assert value["segedge_bench_energy_per_frame_joules"] == 0.9
    assert value["segedge_bench_temperature_max_celsius"] == 51.0  # that of the warm-up is not in it
    assert value["segedge_bench_throttled_seconds"] == 0.75
    medians = [number for labels, number in found["segedge_bench_latency_seconds"] if 'quantile="0.5"' in labels]
    assert medians == [run.end_to_end.p50_ms / 1e3]
    assert "segedge_bench_net_energy_per_frame_joules" not in found


def test_what_was_not_measured_is_left_out_and_never_zero(run):
    text = prometheus_text(replace(run, power=None, accuracy=None, validity=None, started_utc="never"))
    names = set(figures(text))
    assert not any(part in name for name in names for part in ("watts", "joules", "miou", "valid", "start_time"))
    assert "None" not in text and "nan" not in text


def test_labels_of_any_text_keep_the_grammar(run):
    odd = replace(run, input='a "folder"\nwith \\ and, {braces}')
    (labels,) = [labels for labels, _ in figures(prometheus_text(odd))["segedge_bench_info"]]
    assert r'input="a \"folder\"\nwith \\ and, {braces}"' in labels


def test_file_appears_whole(run, tmp_path):
    path = tmp_path / "segedge.prom"
    write_prometheus(path, run)
    assert path.read_text() == prometheus_text(run)
    assert [each.name for each in tmp_path.iterdir()] == ["segedge.prom"]
