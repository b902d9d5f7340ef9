"""Building one engine, from the user's request to a checked engine with its card.

    request ──► BuildPlan ──► FloatGraph ──► CalibratedGraph ──► Int8Graph ──► EngineGraph ──► BuiltEngine
                                  │                 │               ▲                              │
                                  └─────────────────┴──► AccuracyTarget ──────► MeasuredEngine ◄───┘
                                                                                     │
                                                                                     └──► card and report

Each step has a module of its own here, and gives one object that says in its docstring who uses it. A float engine
goes from the FloatGraph to the EngineGraph directly. Each step is skipped where its result is there and nothing that it
was made from has changed. An engine is kept when it has been measured: one that costs more accuracy than allowed never
reaches its folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from calibration.qdq.quantization_config import INT8
from calibration.results import Int8Report
from edge.card import CARD_FILE, EngineCard
from edge.console import Say, print_status
from edge.interruption import kept_when_interrupted
from edge.output_check import check_output
from export.backends.choice import BUILDERS, build_engine
from export.graph.label_ending import with_labels
from export.graph.parity import ParityReport
from export.pipeline.accuracy_target import open_accuracy_target
from export.pipeline.calibrate import calibrate
from export.pipeline.engine_card import engine_card
from export.pipeline.engine_graph import engine_graph
from export.pipeline.float_graph import make_float_graph
from export.pipeline.int8 import find_int8, kept_config
from export.pipeline.plan import BuildPlan, plan_build
from export.pipeline.plausibility import check_plausibility
from export.pipeline.publish import publish, refuse_over_budget, staging_folder
from export.pipeline.request import BuildRequest
from export.pipeline.verify import measure_engine


@dataclass(frozen=True)
class BuildResult:
    """Result of a finished build.

    `build` makes it, and the command prints it.

    Attributes:
        plan: settings that were decided before the build.
        card: card of the engine.
        parity: comparison of the graph with its Keras model at export; None if it is not known.
        report: INT8 report of the build; None for a float engine.
        warnings: sentences that say why the float network is implausible itself; empty where it is not.
    """

    plan: BuildPlan
    card: EngineCard
    parity: ParityReport | None
    report: Int8Report | None = None
    warnings: tuple[str, ...] = ()


def build(request: BuildRequest, say: Say = print_status) -> BuildResult:
    """Build, measure and keep one engine.

    Args:
        request: request of the user.
        say: function that is called with a line of text for each step.

    Returns:
        The plan, the card and the reports; the engine and its card lie in plan.output.

    Raises:
        AccuracyBudgetError: INT8 costs more than the budget; nothing but the report was kept.
        InputError: the user limits what the network or the images do not have: a class, or labels.
        ParityError: the engine computes something else than its graph; it was not kept.
        StorageError: the engine's folder cannot be written to.
    """
    plan = plan_build(request, say)
    check_output(plan.output)
    say(f"backend: {plan.backend} ({plan.reason})")
    for line in plan.sources.told:
        say(line)
    before, engine_before = _written_files(plan.artifact), _written_files(plan.output)
    with kept_when_interrupted(lambda: _finished_steps(plan, before, engine_before)):
        return _run_steps(plan, say)


def _run_steps(plan: BuildPlan, say: Say) -> BuildResult:
    precision, settings, options = plan.request.precision, plan.request.int8, plan.request.engine_options()

    graph = make_float_graph(plan, say)
    settings.require_classes(graph.contract.class_names)
    calibrated = calibrate(graph, plan.images(), settings, options.batch, say) if precision == INT8 else None
    kept = kept_config(calibrated, settings, say) if calibrated is not None and not plan.images().are_real else None
    target = open_accuracy_target(graph, calibrated, plan.images(), settings, kept is not None)
    target = check_plausibility(graph, target, plan.request.contract_path, say)
    int8 = None
    if calibrated is not None and calibrated.ranges is not None:
        int8 = find_int8(calibrated, target, kept, BUILDERS[plan.backend].qdq_form, settings, say)
        refuse_over_budget(int8, target, plan.backend, plan.output, say)

    say(f"build {precision} engine with {plan.backend}")
    source = engine_graph(graph, calibrated, int8, target.budget, plan.scale_source())
    data = with_labels(source.data, graph.contract) if options.gives_labels else source.data
    engine = build_engine(plan.backend, data, precision, options, source.calibration, source.float_layers)
    card = engine_card(source, engine, plan.backend, precision, options, target.warnings)
    with staging_folder(plan.artifact) as folder:
        measured = measure_engine(engine, card, source, target, folder)
        report = publish(measured, int8, target, plan.output, say)
    return BuildResult(plan, measured.card, graph.parity, report, target.warnings)


def _written_files(artifact: Path) -> dict[str, int]:
    """Return name -> time of the last change, in ns, of each file of an artefact folder itself."""
    if not artifact.is_dir():
        return {}
    return {path.name: path.stat().st_mtime_ns for path in artifact.iterdir() if path.is_file()}


def _finished_steps(plan: BuildPlan, before: dict[str, int], engine_before: dict[str, int]) -> str | None:
    """Say which files of steps that were finished an interrupted build leaves; None where there are none."""
    engine = _written_files(plan.output)
    if CARD_FILE in engine and engine[CARD_FILE] != engine_before.get(CARD_FILE):
        return f"the engine is whole: {plan.output}"
    kept = f"no new engine was kept, the earlier one is still {plan.output}" if CARD_FILE in engine else ""
    written = sorted(
        name for name, changed_ns in _written_files(plan.artifact).items() if before.get(name) != changed_ns
    )
    if not written:
        return kept or None
    return (
        f"{kept or 'no engine was kept'}; {', '.join(written)} in {plan.artifact} are whole, the same command goes on "
        "from there"
    )
