"""A build by any checkout of the project, in a process of its own, and what it leaves on disk."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.hostile.judge import Judge, LabelFigures, int8_mac_share
from calibration.onnx_graph.file import load_graph
from calibration.qdq.insert import QDQ_GRAPH_FILE
from calibration.results import REPORT_FILE
from edge.artifacts import read_json
from edge.contract import GRAPH_FILE, Contract, read_contract
from edge.errors import InputError

ENGINE = Path("engines") / "onnxruntime-int8"
SEARCH_ENDS = "build int8 engine"
"""First words of the line that a build prints when its search is over."""

OVER_BUDGET = 3
"""Exit code of a build that nothing brought within its budget."""


@dataclass(frozen=True)
class Work:
    """What a build is asked for.

    Attributes:
        onnx: Path of the graph.
        contract: Path of its contract.
        options: Options that name the images and the budget.
        minutes: Limit of the search, in minutes.
    """

    onnx: Path
    contract: Path
    options: tuple[str, ...]
    minutes: float


@dataclass(frozen=True)
class BuildFigures:
    """Figures of one build.

    Attributes:
        is_met: Whether the build says that its budget holds.
        changed_percent: Pixels with another label than the float network's, of the engine, or of the best
            simulation where no engine was kept, in percent.
        worst_class: Name of the class whose labels are least like the float network's; "" where no engine was kept.
        worst_iou: IoU of this class's labels with the float network's, 0 to 1; None where no engine was kept.
        drop_points: Points of mIoU that were lost; None without labels.
        int8_mac_share: Share of multiply-adds in INT8 in ONNX Runtime's form, 0 to 1, as the report says.
        tensorrt_changed_percent: Changed pixels of the form for TensorRT, simulated; None where it was not written.
        tensorrt_mac_share: Share of multiply-adds in INT8 in the form for TensorRT; None where it was not written.
        search_s: Seconds from the collected ranges to the end of the search of both forms.
        processor_s: Seconds of processor time of the whole build.
        load: Load of the machine at the start and at the end of the build, over a minute.
    """

    is_met: bool
    changed_percent: float
    worst_class: str
    worst_iou: float | None
    drop_points: float | None
    int8_mac_share: float
    tensorrt_changed_percent: float | None
    tensorrt_mac_share: float | None
    search_s: float
    processor_s: float
    load: tuple[float, float]


@dataclass(frozen=True)
class FinishedBuild:
    """A build that ended, and where its artefact lies.

    Attributes:
        artifact: Folder of the artefact.
        contract: Contract of the artefact.
        exit_code: Exit code of the command.
        search_s: Seconds of the search, as in BuildFigures.
        processor_s: Seconds of processor time.
        load: Load at the start and at the end.
    """

    artifact: Path
    contract: Contract
    exit_code: int
    search_s: float
    processor_s: float
    load: tuple[float, float]


def run_build(checkout: Path, work: Work, folder: Path) -> FinishedBuild:
    """Build an INT8 engine of ONNX Runtime by a checkout, from nothing.

    Args:
        checkout: Root of the checkout.
        work: What is asked for.
        folder: Empty or new folder that the artefact is made in; build.log in it has what the command printed.

    Raises:
        InputError: The build ended otherwise than with an engine or a report on a budget that was exceeded.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(checkout / "export" / "build_engine.py"), "--int8", "--backend", "onnxruntime"]
    command += ["--onnx", str(work.onnx.resolve()), "--contract", str(work.contract.resolve())]
    command += ["--search-minutes", f"{work.minutes:g}", *work.options]
    log, search_end_s = folder / "build.log", None
    spent, load_before = _processor_s(), os.getloadavg()[0]
    with open(log, "w", encoding="utf-8") as kept:
        # The checkout's own packages, whatever is installed.
        environment = {**os.environ, "PYTHONPATH": str(checkout.resolve())}
        with subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            for line in process.stdout or ():
                kept.write(line)
                if search_end_s is None and line.startswith(SEARCH_ENDS):
                    search_end_s = time.time()
    exit_code = process.returncode
    end_s = search_end_s if search_end_s is not None else time.time()
    ranges = sorted(folder.glob("artifacts/*/ranges.json"))
    if exit_code not in (0, OVER_BUDGET) or not ranges:
        said = log.read_text(encoding="utf-8").strip().splitlines()
        raise InputError(
            f"the build of {work.onnx.name} by {checkout} ended with exit code {exit_code}, "
            f"expected 0 or {OVER_BUDGET}: {said[-1] if said else 'it printed nothing'}. Next: read {log}"
        )
    artifact = ranges[0].parent
    load = (load_before, os.getloadavg()[0])
    searched_s = max(end_s - ranges[0].stat().st_mtime, 0.0)
    return FinishedBuild(artifact, read_contract(artifact), exit_code, searched_s, _processor_s() - spent, load)


def figures_of(build: FinishedBuild, judge: Judge, what: str) -> BuildFigures:
    """Return what a build cost, its engine and its form for TensorRT judged on the same pictures."""
    is_kept = build.exit_code == 0
    engine = build.artifact / ENGINE
    report = read_json((engine if is_kept else engine.with_name(f"{engine.name}-refused")) / REPORT_FILE, "INT8 report")
    labels = LabelFigures(100.0 * (1.0 - report["simulated"]["label_agreement"]))
    drop = report["drop_points"]
    if is_kept:
        labels = judge.figures(next(engine.glob("engine*.onnx")), f"{what}, engine", exact=False)
        if labels.miou is not None and judge.float_figures.miou is not None:
            drop = 100.0 * (judge.float_figures.miou - labels.miou)
    tensorrt, share = None, None
    graph = build.artifact / QDQ_GRAPH_FILE
    if graph.is_file():
        share = int8_mac_share(load_graph(graph))
        tensorrt = judge.figures(graph, f"{what}, form for TensorRT", exact=True).changed_percent
    return BuildFigures(
        is_met=is_kept,
        changed_percent=labels.changed_percent,
        worst_class=labels.worst_class,
        worst_iou=labels.worst_iou,
        drop_points=drop,
        int8_mac_share=report["int8_mac_share"],
        tensorrt_changed_percent=tensorrt,
        tensorrt_mac_share=share,
        search_s=build.search_s,
        processor_s=build.processor_s,
        load=build.load,
    )


def float_graph(build: FinishedBuild) -> Path:
    """Return the path of the float graph that a build quantised."""
    return build.artifact / GRAPH_FILE


def _processor_s() -> float:
    """Return the processor time of all processes that this one has waited for, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
