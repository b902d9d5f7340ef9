"""Is a quantised ONNX graph as its backend wants it? `python calibration/lint.py model.int8.onnx` says.

Works on any graph with Q/DQ nodes, whoever made it. Rules are in calibration/qdq_rules.py (nodes and layers),
calibration/qdq_placement_rules.py (where pairs stand) and calibration/qdq_onnxruntime_rules.py; each names the
document that it comes from. A build asks `require_clean`, so that what TensorRT would refuse on the device is known
before.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run by its path: the checkout, not this folder, is where packages are
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from calibration.graph_view import WEIGHTED
from calibration.qdq_graph import BOTH, QUANTIZERS, QdqGraph
from calibration.qdq_onnxruntime_rules import ONNXRUNTIME_RULES
from calibration.qdq_placement_rules import PLACEMENT_RULES
from calibration.qdq_rules import INTEGER_OPERATORS, NODE_RULES
from calibration.quantize import load_graph
from edge.console import CommandParser, run_command
from edge.errors import GraphError, InputError, MissingDependencyError

RULES = (*NODE_RULES, *PLACEMENT_RULES, *ONNXRUNTIME_RULES)

ERROR, WARNING = "error", "warning"

EXIT_ERRORS = 1

_MOST_IN_MESSAGE = 3


@dataclass(frozen=True)
class Finding:
    """One place where a graph breaks a rule.

    Attributes:
        severity: "error" (the backend refuses the graph or computes something else) or "warning" (it
            runs, but slower or less accurately).
        node: its name, or that of its output if it has none.
        rule: which rule.
        message: what is there, and what was expected.
        next_step: what to do about it.
    """

    severity: str
    node: str
    rule: str
    message: str
    next_step: str

    def line(self) -> str:
        """Say it in one line."""
        return f"{self.severity} {self.node}: {self.rule}: {self.message}. Next: {self.next_step}"


def lint(model: Any, form: str = "tensorrt") -> tuple[Finding, ...]:
    """Check a quantised graph against every rule of a form.

    Args:
        model: onnx.ModelProto with Q/DQ nodes; left as it is.
        form: "tensorrt" (8.5 is the floor) or "onnxruntime".

    Returns:
        What was found, errors first; empty if the graph is as the form wants it.

    Raises:
        InputError: there is no such form.
        GraphError: the graph has no Q/DQ nodes.
        MissingDependencyError: onnx is not installed.
    """
    onnx = _import_onnx()
    if form not in BOTH:
        raise InputError(f"form is '{form}', expected {' or '.join(BOTH)}")
    if not any(node.op_type in (*QUANTIZERS, *INTEGER_OPERATORS) for node in model.graph.node):
        raise GraphError(
            "the graph has no QuantizeLinear and no DequantizeLinear, expected a quantised graph; this one is float. "
            "Next: python export/build_engine.py --int8 quantises it"
        )
    graph = QdqGraph(onnx, model)
    found = [
        Finding(rule.severity, node, rule.name, message, rule.next_step)
        for rule in RULES
        if form in rule.forms
        for node, message in rule.check(graph)
    ]
    return tuple(sorted(found, key=lambda finding: finding.severity != ERROR))


def require_clean(model: Any, form: str, what: str) -> tuple[Finding, ...]:
    """Refuse a quantised graph that a backend would refuse, or compute differently.

    Args:
        model: onnx.ModelProto with Q/DQ nodes.
        form: "tensorrt" or "onnxruntime".
        what: what the message calls the graph, such as its file's path.

    Returns:
        The warnings.

    Raises:
        GraphError: the graph has no Q/DQ nodes, or breaks rules; with the first findings and the count of the others.
        InputError: there is no such form.
        MissingDependencyError: onnx is not installed.
    """
    findings = lint(model, form)
    errors = [finding for finding in findings if finding.severity == ERROR]
    if errors:
        shown = "; ".join(f"{item.node}: {item.rule}: {item.message}" for item in errors[:_MOST_IN_MESSAGE])
        others = f"; and {len(errors) - _MOST_IN_MESSAGE} more" if len(errors) > _MOST_IN_MESSAGE else ""
        raise GraphError(f"{what} is not as {form} wants it: {shown}{others}. Next: {errors[0].next_step}")
    return findings


def summarize(model: Any, findings: tuple[Finding, ...], form: str) -> str:
    """Return a line with the counts of findings, pairs and layers in INT8."""
    graph = QdqGraph(_import_onnx(), model)
    pairs = sum(1 for _ in graph.of("DequantizeLinear"))
    layers = [graph.is_quantized(node) for node in graph.of(*WEIGHTED)]
    errors = sum(finding.severity == ERROR for finding in findings)
    return (
        f"{_count(errors, 'error')} and {_count(len(findings) - errors, 'warning')} in form {form}: "
        f"{_count(len(graph.nodes), 'node')}, {pairs} of them DequantizeLinear; "
        f"{sum(layers)} of {_count(len(layers), 'layer')} with multiply-adds in INT8"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _import_onnx() -> Any:
    try:
        import onnx
    except ModuleNotFoundError:
        raise MissingDependencyError("onnx", "checking a quantised graph", "pip install onnx") from None
    return onnx


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = CommandParser(
        prog="calibration/lint.py",
        description="Check the Q/DQ nodes of an ONNX graph against the rules of TensorRT's explicit quantisation "
        "(8.5 and later), or of ONNX Runtime's integer kernels; one finding a line.",
        epilog="Exit code: 0 if there is no error (warnings do not count), 1 if there is one, 2 if the file is "
        "missing, no ONNX, or has no Q/DQ nodes.",
    )
    parser.add_argument("graph", type=Path, nargs="?", metavar="model.int8.onnx", help="ONNX file with Q/DQ nodes")
    parser.add_argument("--form", choices=BOTH, default="tensorrt", help="whose rules")
    parser.add_argument("--rules", action="store_true", help="list the rules of the form, and what each is about")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.graph is None and not arguments.rules:
        parser.error("no graph was given, expected the path of an ONNX file with Q/DQ nodes")
    return run_command(lambda: _list_rules(arguments) if arguments.rules else _check(arguments))


def _list_rules(arguments: argparse.Namespace) -> int:
    rules = [rule for rule in RULES if arguments.form in rule.forms]
    about = {rule.name: " ".join((rule.check.__doc__ or "").split("\n\n")[0].split()) for rule in rules}
    if arguments.json:
        print(json.dumps([{"rule": r.name, "severity": r.severity, "about": about[r.name]} for r in rules], indent=2))
    else:
        print("\n".join(f"{rule.severity:7} {rule.name}: {about[rule.name]}" for rule in rules))
    return 0


def _check(arguments: argparse.Namespace) -> int:
    _import_onnx()
    model = load_graph(arguments.graph)
    findings = lint(model, arguments.form)
    errors = sum(finding.severity == ERROR for finding in findings)
    if arguments.json:
        content = {
            "graph": str(arguments.graph),
            "form": arguments.form,
            "errors": errors,
            "warnings": len(findings) - errors,
            "findings": [asdict(finding) for finding in findings],
        }
        print(json.dumps(content, indent=2))
    else:
        print("\n".join([*(finding.line() for finding in findings), summarize(model, findings, arguments.form)]))
    return EXIT_ERRORS if errors else 0


if __name__ == "__main__":
    sys.exit(main())
