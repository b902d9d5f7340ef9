"""The linter: it applies the rules of a form to a Q/DQ graph, and a build refuses a graph with errors.

It works on any graph with Q/DQ nodes, whoever made it. The rules are in qdq_nodes.py (nodes and layers),
trt_placement.py (where pairs stand) and ort.py of this folder; each names the document that it comes from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from calibration.lint_rules.graph import BOTH, QUANTIZERS, QdqGraph, version_of
from calibration.lint_rules.ort import ONNXRUNTIME_RULES
from calibration.lint_rules.qdq_nodes import INTEGER_OPERATORS, NODE_RULES
from calibration.lint_rules.trt_placement import PLACEMENT_RULES
from calibration.onnx_graph.file import import_onnx
from calibration.onnx_graph.node import WEIGHTED
from edge.errors import GraphError, InputError

RULES = (*NODE_RULES, *PLACEMENT_RULES, *ONNXRUNTIME_RULES)

ERROR, WARNING = "error", "warning"

EXIT_ERRORS = 1

_MOST_IN_MESSAGE = 3


@dataclass(frozen=True)
class Finding:
    """A node at which a graph breaks a rule.

    Attributes:
        severity: "error" if the backend refuses the graph or computes something else, "warning" if it runs, but slower
            or less accurately.
        node: name of the node, or of its output if it has none.
        rule: name of the rule.
        message: text that says what was found, and what was expected.
        next_step: sentence that says how to remove the finding.
    """

    severity: str
    node: str
    rule: str
    message: str
    next_step: str

    def line(self) -> str:
        """Return the finding as one line of text."""
        return f"{self.severity} {self.node}: {self.rule}: {self.message}. Next: {self.next_step}"


def lint(model: Any, form: str = "tensorrt", target: str | None = None) -> tuple[Finding, ...]:
    """Check a quantised graph against every rule of a form.

    Args:
        model: onnx.ModelProto with Q/DQ nodes; left as it is.
        form: form of the graph: "tensorrt" (8.5 is the oldest version) or "onnxruntime" (1.19 is).
        target: version of the backend that is to run the graph, such as "8.5.2" or "1.32.0"; rules that are not true
            of it are left out. None for all versions.

    Returns:
        The findings, errors first; empty if the graph keeps all rules of the form.

    Raises:
        InputError: the form is unknown, or the target is no version.
        GraphError: the graph has no Q/DQ nodes.
        MissingDependencyError: onnx is not installed.
    """
    import_onnx("checking a quantised graph")
    version = version_of(target) if target is not None else None
    if form not in BOTH:
        raise InputError(f"form is '{form}', expected {' or '.join(BOTH)}")
    if not any(node.op_type in (*QUANTIZERS, *INTEGER_OPERATORS) for node in model.graph.node):
        raise GraphError(
            "the graph has no QuantizeLinear and no DequantizeLinear, expected a quantised graph; this one is float. "
            "Next: python export/build_engine.py --int8 quantises it"
        )
    graph = QdqGraph(model)
    rules = [(rule, rule.severity_for(version)) for rule in RULES if form in rule.forms]
    found = [
        Finding(severity, node, rule.name, message, rule.next_step)
        for rule, severity in rules
        if severity is not None
        for node, message in rule.check(graph)
    ]
    return tuple(sorted(found, key=lambda finding: finding.severity != ERROR))


def require_clean(model: Any, form: str, what: str) -> tuple[Finding, ...]:
    """Refuse a quantised graph that a backend would refuse, or compute differently.

    Args:
        model: onnx.ModelProto with Q/DQ nodes.
        form: form of the graph: "tensorrt" or "onnxruntime".
        what: name of the graph in messages, such as the path of its file.

    Returns:
        The findings that are warnings.

    Raises:
        GraphError: the graph has no Q/DQ nodes, or breaks rules; the message has the first findings and the count of
            the others.
        InputError: the form is unknown.
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
    import_onnx("checking a quantised graph")
    graph = QdqGraph(model)
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
