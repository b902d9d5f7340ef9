"""The sub-command `show` of edge-bench: what a record holds, in a few lines or as JSON."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from edge.bench.bench_record import RECORD_FILE, BenchRecord
from edge.bench.output_folder import latest_folder
from edge.bench.power_section import power_lines
from edge.bench.report import OVERLAYS_FOLDER, REPORT_FILE
from edge.bench.verdict import doubts
from edge.card import EngineCard
from edge.console import print_json, stand_out
from edge.errors import InputError
from edge.percentile_rule import percentile_text
from edge.records import read_record, record_to_json
from edge.run_store.commands.arguments import add_runs_argument, open_runs
from edge.run_store.store import runs_path

DESCRIPTION = "Say what a benchmark record holds: the network, its weights, the engine, its accuracy and its speed."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the sub-command to its parser."""
    parser.add_argument(
        "record",
        type=Path,
        help="run id, the beginning of one, or latest; record.json; or the folder that was given as --output: its "
        "latest run is shown",
    )
    add_runs_argument(parser)
    parser.add_argument("--json", action="store_true", help="print the same as JSON")
    parser.set_defaults(function=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what a record holds.

    Raises:
        InputError: There is no record or run, or it is damaged.
        StorageError: The runs database cannot be read.
    """
    named = arguments.record
    if not named.exists() and named.name == str(named) and runs_path(arguments.runs).is_file():
        with open_runs(arguments) as store:
            found = store.find(str(named))
            return _show(arguments, found.record, None, [f"run {found.run_id} of {store.path}, {found.status}"])
    path, runs = named, 1
    if path.is_dir():
        folder, runs = latest_folder(path, RECORD_FILE)
        path = folder / RECORD_FILE
    if named.is_dir() and not path.is_file():
        raise InputError(
            f"{named} holds no benchmark record ({RECORD_FILE}), which edge-bench run --output leaves. "
            "Next: edge-bench run ENGINE --output FOLDER"
        )
    head = [f"record: {path}, the latest of {runs} runs in {named}"] if runs > 1 else []
    return _show(arguments, read_record(BenchRecord, path), path, head)


def _show(arguments: argparse.Namespace, record: BenchRecord, path: Path | None, head: list[str]) -> int:
    if arguments.json:
        print_json(shown_facts(record, path))
    else:
        print("\n".join([*head, *shown_lines(record, path)]))
    return 0


def shown_lines(record: BenchRecord, path: Path | None) -> list[str]:
    """Return the lines that say what a record holds; with random weights the first one says so."""
    card, contract = record.engine, record.engine.contract
    weights = contract.weights
    lines = [stand_out(weights.warning(), sys.stdout)] if weights.is_random else []
    lines += [
        f"{contract.model} {card.precision} {contract.height}x{contract.width} for {contract.dataset} "
        f"({len(contract.class_names)} classes), {card.backend} {record.runner.get('version', card.backend_version)}",
        f"weights: {weights.sentence()}",
        *doubts(record),
    ]
    check = card.check
    if check is not None and check.miou_float is not None and check.miou_engine is not None:
        before = f"{100 * check.miou_float:.2f} % before {card.precision}, " if card.precision != "float32" else ""
        after = " after" if before else ""
        images = f"{check.image_count} images of {check.images_from}"
        lines.append(f"mIoU {before}{100 * check.miou_engine:.2f} %{after} ({images}), measured at the build")
    if record.accuracy is not None:
        lines.append(
            f"mIoU {100 * record.accuracy.miou:.2f} % ({record.accuracy.frame_count} frames of "
            f"{record.accuracy.dataset} {record.accuracy.split}), measured by this run"
        )
        if record.accuracy.group_sentence():
            lines.append(record.accuracy.group_sentence())
    if record.skipped_pictures:
        lines.append(f"left out, since they cannot be read: {len(record.skipped_pictures)} pictures")
    if card.budget_sentence():
        lines.append(card.budget_sentence())
    elif card.precision == "int8":
        lines.append(f"INT8: {int8_verdict(card)}")
    lines.append(
        f"latency {record.end_to_end.p50_ms:.1f} ms median, p99 {percentile_text(record.end_to_end.p99_ms, 99)}, "
        f"{record.fps:.1f} fps ({record.machine.gpu or record.machine.cpu}, {card.backend})"
    )
    lines += power_lines(record.power)
    lines.append(f"measured {record.started_utc} on {_machine_words(record)}; engine built {card.built_utc}")
    lines += [f"{name}: {place}" for name, place in _files_beside(path).items()]
    return lines


def shown_facts(record: BenchRecord, path: Path | None) -> dict[str, Any]:
    """Return what a record holds in short, as a value for JSON; what was not measured is None."""
    card, contract = record.engine, record.engine.contract
    check = card.check
    return {
        "record": str(path) if path is not None else None,
        "run_id": record.run_id or None,
        "model": contract.model,
        "dataset": contract.dataset,
        "class_count": len(contract.class_names),
        "height": contract.height,
        "width": contract.width,
        "precision": card.precision,
        "backend": card.backend,
        "backend_version": record.runner.get("version", card.backend_version),
        "weights": record_to_json(contract.weights),
        "weights_sentence": contract.weights.sentence(),
        "has_random_weights": contract.weights.is_random,
        "int8_verdict": int8_verdict(card),
        "miou_float": check.miou_float if check is not None else None,
        "miou_engine": check.miou_engine if check is not None else None,
        "miou_measured": record.accuracy.miou if record.accuracy is not None else None,
        "groups_miou_measured": dict(record.accuracy.groups) if record.accuracy is not None else None,
        "skipped_picture_count": len(record.skipped_pictures),
        "latency_p50_ms": record.end_to_end.p50_ms,
        "latency_p99_ms": record.end_to_end.p99_ms,
        "fps": record.fps,
        "doubts": doubts(record),
        "energy_per_frame_mj": record.power.energy_per_frame_mj if record.power is not None else None,
        "machine": record_to_json(record.machine),
        "started_utc": record.started_utc,
        "built_utc": card.built_utc,
        **_files_beside(path),
    }


def int8_verdict(card: EngineCard) -> str | None:
    """Return the verdict on the accuracy of an INT8 engine in a few words; None for an engine of another precision."""
    if card.precision != "int8":
        return None
    if card.contract.weights.is_random:
        return "nothing was limited, the weights are random"
    return card.check.verdict if card.check is not None and card.check.verdict else "nothing was limited, or is known"


def _machine_words(record: BenchRecord) -> str:
    machine = record.machine
    place = machine.board or machine.gpu
    return f"{place}, {machine.cpu}" if place else f"{machine.cpu}, {machine.cpu_count} cores"


def _files_beside(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    places = {name.split(".")[0]: path.parent / name for name in (OVERLAYS_FOLDER, REPORT_FILE)}
    return {name: str(place) for name, place in places.items() if place.exists()}
