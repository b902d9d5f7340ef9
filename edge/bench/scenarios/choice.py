"""The scenarios by name, and the choice of the one that settings name."""

from __future__ import annotations

from edge.bench.scenarios.base import Scenario
from edge.bench.scenarios.camera import CameraScenario
from edge.bench.scenarios.offline import OfflineScenario
from edge.bench.scenarios.pipelined import PipelinedScenario
from edge.bench.scenarios.single_stream import SingleStreamScenario
from edge.bench.scenarios.turns import TurnsScenario
from edge.bench.settings import BenchSettings
from edge.errors import InputError

SCENARIOS = {
    each.name: each
    for each in (SingleStreamScenario, PipelinedScenario, OfflineScenario, CameraScenario, TurnsScenario)
}


def open_scenario(settings: BenchSettings) -> Scenario:
    """Return the scenario of a measurement.

    Raises:
        InputError: There is no scenario of that name, or its settings contradict it.
    """
    name = settings.scenario_name
    if name not in SCENARIOS:
        raise InputError(f"scenario is '{name}', expected one of: {', '.join(SCENARIOS)}")
    return SCENARIOS[name](settings)
