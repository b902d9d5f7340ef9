"""The last step of a build: an engine that holds its budget is kept with its card; another leaves a report only."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Iterator

from calibration.budget.limits import judgement_words
from calibration.results import EXCEEDED, PAGE_FILE, REPORT_FILE, Int8Report
from calibration.trt.calibrator import TENSORRT_ENTROPY
from edge.artifacts import write_bytes, write_text
from edge.card import CARD_FILE, EngineCard
from edge.console import Say
from edge.errors import AccuracyBudgetError
from edge.leftovers import UNMEASURED, remove_leftovers, temporary_prefix
from edge.records import write_record
from export.backends.trt_layer_info import LAYERS_FILE
from export.pipeline.accuracy_target import AccuracyTarget
from export.pipeline.int8 import Int8Graph
from export.pipeline.int8_report import require_budget, write_int8_report
from export.pipeline.verify import MeasuredEngine


def publish(
    measured: MeasuredEngine, int8: Int8Graph | None, target: AccuracyTarget, output: Path, say: Say
) -> Int8Report | None:
    """Keep an engine if it holds the budget.

    Args:
        measured: engine, and the labels that it gave.
        int8: quantised graph that the engine was built from; None for a float engine, and where TensorRT calibrates.
        target: accuracy images, and the budget of the engine.
        output: folder of the engine.
        say: function that is called with lines of text about an engine that exceeds the budget.

    Returns:
        The INT8 report; None without a quantised graph.

    Raises:
        AccuracyBudgetError: the engine exceeds the budget; its report lies beside the engine folder, which stays as it
            was.
    """
    card, engine, budget, labels = measured.card, measured.engine, target.budget, measured.labels
    report = None
    if int8 is not None:
        report = write_int8_report(measured.folder, int8, target, card.backend, measured)
        folder = refused_folder(output) if report.verdict == EXCEEDED else output
        for name in (PAGE_FILE, REPORT_FILE):
            write_bytes(folder / name, (measured.folder / name).read_bytes())
        require_budget(report, int8, target, folder, say)
    else:
        verdict = budget.judge(target.images.cost(labels))
        if verdict.is_exceeded:
            raise AccuracyBudgetError(
                f"INT8 by {TENSORRT_ENTROPY} gives labels equal to the float graph's on {100 * labels.agreement:.2f} % "
                f"of pixels: {judgement_words(verdict.worst)}; no engine was kept. "
                "Next: --calibrator percentile, which searches for a way into the budget"
            )
    write_bytes(output / card.engine_file, engine.data)
    _write_card(output, card)
    if engine.layers is not None:
        write_text(output / LAYERS_FILE, engine.layers)
    else:
        with contextlib.suppress(FileNotFoundError):
            (output / LAYERS_FILE).unlink()
    _remove_refusal(refused_folder(output))
    return report


def refuse_over_budget(int8: Int8Graph, target: AccuracyTarget, backend: str, output: Path, say: Say) -> None:
    """Refuse a quantised graph whose simulation exceeds the budget, before an engine is built from it.

    Args:
        int8: quantised graph.
        target: accuracy images, and the budget of the graph.
        backend: name of the backend that the graph is for.
        output: folder of the engine; the report lies beside it.
        say: function that is called with each line of the table of costs.

    Raises:
        AccuracyBudgetError: the graph costs more than the budget; nothing but the report was kept.
    """
    if int8.judged.is_over_budget:
        folder = refused_folder(output)
        require_budget(write_int8_report(folder, int8, target, backend, None), int8, target, folder, say)


def refused_folder(output: Path) -> Path:
    """Return the folder of the report on INT8 that exceeds its budget; an earlier engine keeps its own report."""
    output = output if output.name not in ("", "..") else output.resolve()
    return output.with_name(f"{output.name}-refused")


@contextlib.contextmanager
def staging_folder(artifact: Path) -> Iterator[Path]:
    """Yield a folder for an engine that has not been measured yet; it is deleted afterwards in any case."""
    folder = Path(tempfile.mkdtemp(prefix=temporary_prefix(UNMEASURED), dir=artifact))
    remove_leftovers(artifact, folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_refusal(folder: Path) -> None:
    """Remove the report of an earlier refusal, and its folder if nothing else is in it."""
    with contextlib.suppress(OSError):
        for name in (PAGE_FILE, REPORT_FILE):
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()


def _write_card(folder: Path, card: EngineCard) -> None:
    """Write the card after its engine, so that it never describes another file than it names."""
    write_record(folder / CARD_FILE, card)
    for old in folder.glob("engine-*"):
        if old.name != card.engine_file:
            old.unlink()
