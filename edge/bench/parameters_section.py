"""Every parameter and everything known of the environment of a benchmark, as its record has it."""

from __future__ import annotations

from typing import Any, Mapping

from edge.bench.bench_record import BenchRecord
from edge.page.elements import folded
from edge.page.markup import Html
from edge.page.tables import facts
from edge.records import record_to_json

_FEW = 12
"""Values of a list that are shown one by one; a longer list holds samples, and is shown by its length."""

_SHOWN_ABOVE = ("samples_ms", "samples_end_to_end_ms", "stages", "end_to_end", "accuracy")
_TITLES = {
    "engine": "Engine and its build",
    "machine": "Machine",
    "runner": "Backend",
    "power": "Power source",
    "load": "Load of the machine",
    "scenario": "Scenario",
    "validity": "Validity",
    "steadiness": "Steady state",
}


def parameter_parts(record: BenchRecord) -> list[Html]:
    """Return folded tables with all that a record holds beside its samples and the figures of other sections."""
    values = {name: value for name, value in record_to_json(record).items() if name not in _SHOWN_ABOVE}
    own = {name: value for name, value in values.items() if not isinstance(value, Mapping)}
    groups = {name: value for name, value in values.items() if isinstance(value, Mapping)}
    parts = [folded("Run", facts(_flat(own)))]
    parts += [folded(_TITLES.get(name, name), facts(_flat(value))) for name, value in groups.items()]
    return parts


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Return the leaves of nested values: path with dots -> text."""
    found: dict[str, str] = {}
    for name, value in values.items():
        path = f"{before}{name}"
        if name == "schema":
            continue
        if isinstance(value, Mapping):
            found.update(_flat(value, f"{path}."))
        elif isinstance(value, (list, tuple)) and value and isinstance(value[0], Mapping) and len(value) <= _FEW:
            for index, each in enumerate(value):
                found.update(_flat(each, f"{path}.{index}."))
        else:
            found[path] = _text(value)
    return found


def _text(value: Any) -> str:
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value == "" or value == []:
        return "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) if len(value) <= _FEW else f"{len(value)} values"
    return str(value)
