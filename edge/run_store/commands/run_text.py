"""Runs as a table: for a terminal, as markdown, and as facts for JSON and CSV."""

from __future__ import annotations

from typing import Any, Sequence

from edge.run_store.stored_run import DatabaseRun

NO_FIGURE = "-"

FACTS = (
    "run_id",
    "status",
    "is_valid",
    "started_utc",
    "model",
    "dataset",
    "precision",
    "height",
    "width",
    "backend",
    "scenario",
    "input",
    "machine",
    "host",
    "frame_count",
    "latency_p50_ms",
    "latency_p99_ms",
    "fps",
    "power_mw",
    "energy_per_frame_mj",
    "miou",
)
"""Columns of `runs` that a list of runs has."""

_NUMBERS = (
    ("p50 ms", "latency_p50_ms", 2, 1.0),
    ("p99 ms", "latency_p99_ms", 2, 1.0),
    ("fps", "fps", 1, 1.0),
    ("W", "power_mw", 1, 1e-3),
    ("mJ/frame", "energy_per_frame_mj", 1, 1.0),
    ("mIoU %", "miou", 2, 100.0),
)
"""Title, column of `runs`, digits behind the point, and factor from the column to what is shown."""


def run_facts(run: DatabaseRun) -> dict[str, Any]:
    """Return what a list says of a run; what was not measured is None."""
    facts = {name: run.row[name] for name in FACTS}
    if facts["is_valid"] is not None:
        facts["is_valid"] = bool(facts["is_valid"])
    return facts


def text_table(runs: Sequence[DatabaseRun]) -> list[str]:
    """Return runs as lines of a table for a terminal."""
    head, *rows = _table(runs)
    widths = [max(len(row[index]) for row in (head, *rows)) for index in range(len(head))]
    first_number = len(head) - len(_NUMBERS)
    return [
        "  ".join(
            cell.rjust(width) if index >= first_number else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in (head, *rows)
    ]


def markdown_table(runs: Sequence[DatabaseRun]) -> list[str]:
    """Return runs as lines of a markdown table."""
    head, *rows = _table(runs)
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *escaped)]


def _table(runs: Sequence[DatabaseRun]) -> list[list[str]]:
    head = ["run", "started (UTC)", "state", "model", "precision", "size", "backend", "scenario", "machine"]
    return [[*head, *(title for title, _, _, _ in _NUMBERS)], *map(_row, runs)]


def _row(run: DatabaseRun) -> list[str]:
    facts = run_facts(run)
    state = facts["status"] if facts["is_valid"] is not False else f"{facts['status']}, INVALID"
    size = f"{facts['height']}x{facts['width']}" if facts["height"] else NO_FIGURE
    words = [facts["model"], facts["precision"], size, facts["backend"], facts["scenario"], facts["machine"]]
    return [
        facts["run_id"],
        facts["started_utc"][:19].replace("T", " "),
        state,
        *(word or NO_FIGURE for word in words),
        *(_number(facts[name], digits, factor) for _, name, digits, factor in _NUMBERS),
    ]


def _number(value: float | None, digits: int, factor: float) -> str:
    return NO_FIGURE if value is None else f"{value * factor:.{digits}f}"
