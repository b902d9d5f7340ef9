"""The output of the command about a plan and a finished build: lines for people, or JSON for programs."""

from __future__ import annotations

import json
import sys

from calibration.budget.limits import drop_words
from calibration.report.text import summary_lines
from calibration.results import PAGE_FILE
from edge.artifacts import spell_option
from edge.card import EngineCard
from edge.console import format_seconds, stand_out
from edge.datasets.reference import DatasetReference
from edge.provenance import RANDOM, RANDOM_SENTENCE
from edge.records import record_to_json
from export.backends.trt_layer_info import LAYERS_FILE
from export.pipeline.build import BuildResult
from export.pipeline.plan import BuildPlan


def plan_text(plan: BuildPlan, warnings: tuple[str, ...] = ()) -> str:
    """Return the plan of a build as text, one fact a line.

    Args:
        plan: plan of the build.
        warnings: sentences about the graph that was adopted for it.
    """
    facts = _plan_facts(plan)
    choice = facts.pop("weights_choice")
    facts["options"] = " ".join(f"{name}={value}" for name, value in facts["options"].items()) or "defaults"
    # Where a graph was given, its contract decides the folder, and only reading both tells whether they fit.
    is_adopted = plan.request.onnx_path is not None
    end = "dry run: the graph was adopted, nothing else" if is_adopted else "dry run: nothing was done"
    return "\n".join(
        [
            *(f"{name.replace('_', ' '):15} {value}" for name, value in facts.items()),
            *choice,
            *([stand_out(RANDOM_SENTENCE, sys.stdout)] if plan.sources.has_random_weights else []),
            *(f"warning: {sentence}" for sentence in warnings),
            end,
        ]
    )


def plan_json(plan: BuildPlan, warnings: tuple[str, ...] = ()) -> str:
    """Return the plan of a build as JSON, with the warnings about the graph that was adopted for it."""
    return json.dumps({**_plan_facts(plan), "warnings": list(warnings)}, indent=2)


def result_text(result: BuildResult) -> str:
    """Return the result of a build as text: the engine, its accuracy cost, its folder, and the next command."""
    card, output = result.card, result.plan.output
    weights = card.contract.weights
    size = f"{card.contract.height}x{card.contract.width}{_batch_words(card)}"
    lines = [
        f"{card.contract.model} {card.precision} for {card.backend} {card.backend_version}, "
        f"{size}, built in {format_seconds(card.build_seconds)}",
        stand_out(weights.sentence(), sys.stdout) if weights.is_random else weights.sentence(),
    ]
    if card.contract.decision is not None:
        lines.append(f"labels: {card.contract.decision_sentence()}")
    if card.calibration is not None:
        share = f", {100 * card.int8_mac_share:.1f} % of multiply-adds in INT8" if card.int8_mac_share else ""
        lines.append(
            f"calibration: {card.calibration.method} over {card.calibration.image_count} images "
            f"of {card.calibration.images_from}{share}"
        )
    if result.report is not None:
        lines += summary_lines(result.report)
    else:
        lines += [f"warning: {sentence}" for sentence in result.warnings]
    lines.append(f"check: {_check_sentence(card)}")
    told = (weights.sentence(), *result.warnings)
    lines += [f"note: {note}" for note in card.notes if note not in told]
    if result.report is not None:
        lines.append(f"report: {output / PAGE_FILE}")
    if (output / LAYERS_FILE).is_file():
        lines.append(f"layers: {output / LAYERS_FILE}")
    lines.append(f"engine: {output / card.engine_file} ({card.engine_bytes / 1e6:.1f} MB)")
    lines.append(f"next: edge-bench run {output}")
    return "\n".join(lines)


def result_json(result: BuildResult) -> str:
    """Return the result of a build as JSON: its card, its comparison at export and its INT8 report."""
    facts = {
        "output": str(result.plan.output),
        "backend": result.plan.backend,
        "backend_reason": result.plan.reason,
        "card": record_to_json(result.card),
        "parity": record_to_json(result.parity),
        "int8_report": record_to_json(result.report),
        "warnings": list(result.warnings),
    }
    return json.dumps(facts, indent=2)


def _plan_facts(plan: BuildPlan) -> dict:
    sources, request = plan.sources, plan.request
    return {
        "backend": plan.backend,
        "backend_reason": plan.reason,
        "precision": request.precision,
        "options": {name: spell_option(value) for name, value in sources.options.items()},
        "weights": _weights_words(plan),
        "weights_choice": list(sources.told),
        "size": f"{request.height}x{request.width}",
        "dataset": sources.dataset,
        "images": str(request.images_path or sources.data_dir or f"synthetic scenes ({_why_drawn(sources.reference)})"),
        "artifact": str(plan.artifact),
        "output": str(plan.output),
    }


def _why_drawn(reference: DatasetReference) -> str:
    if reference.path is not None:
        return f"the dataset description {reference.path} is not here"
    return "no dataset folder found" if reference.is_here else "classes of your own: --images FOLDER takes pictures"


def _weights_words(plan: BuildPlan) -> str:
    if plan.sources.has_random_weights:
        return RANDOM
    return str(plan.sources.weights_path or plan.request.onnx_path or f"those of {plan.artifact}")


def _batch_words(card: EngineCard) -> str:
    if card.batch_profile is not None:
        least, best, most = card.batch_profile
        return f", {least} to {most} frames in a call, best {best}"
    return f", {card.contract.batch} frames in a call" if card.contract.batch != 1 else ""


def _check_sentence(card: EngineCard) -> str:
    check = card.check
    if check is None:
        return "not done"
    text = (
        f"labels equal to the float graph's on {100 * check.label_agreement:.2f} % of pixels "
        f"({check.image_count} images of {check.images_from})"
    )
    if check.miou_float is not None and check.miou_engine is not None:
        drop = 100 * (check.miou_float - check.miou_engine)
        text += f"; mIoU {100 * check.miou_float:.2f} % -> {100 * check.miou_engine:.2f} % ({drop_words(drop)})"
    return f"{text}; {card.budget_sentence()}" if card.budget_sentence() else text
