"""Check a quantised ONNX graph against its backend's rules: `python calibration/lint.py model.int8.onnx`.

The linter and its rules are in calibration/lint_rules/. A build runs it too, so that a graph that TensorRT would refuse
on the device is found before.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

if __name__ == "__main__":  # run by its path: the checkout, not this folder, is where packages are
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from calibration.lint_rules.graph import BOTH, Rule, version_of
from calibration.lint_rules.linter import ERROR, EXIT_ERRORS, RULES, lint, summarize
from calibration.onnx_graph.file import load_graph
from edge.console import CommandParser, print_json, run_command


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
    parser.add_argument(
        "--target",
        metavar="VERSION",
        help="version of the backend that is to run the graph, such as 8.5.2 or 1.32 (default: all from TensorRT 8.5 "
        "and ONNX Runtime 1.19 on)",
    )
    parser.add_argument("--rules", action="store_true", help="list the rules of the form, and what each is about")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.graph is None and not arguments.rules:
        parser.error("no graph was given, expected the path of an ONNX file with Q/DQ nodes")
    return run_command(lambda: _list_rules(arguments) if arguments.rules else _check(arguments), arguments.json)


def _list_rules(arguments: argparse.Namespace) -> int:
    version = version_of(arguments.target) if arguments.target is not None else None
    rules = [
        (rule, rule.severity_for(version) or rule.severity)
        for rule in RULES
        if arguments.form in rule.forms and (version is None or rule.severity_for(version) is not None)
    ]
    about = {rule.name: " ".join((rule.check.__doc__ or "").split("\n\n")[0].split()) for rule, _ in rules}
    if arguments.json:
        content = [
            {"rule": r.name, "severity": severity, "since": r.since, "before": r.before, "about": about[r.name]}
            for r, severity in rules
        ]
        print_json(content)
    else:
        print("\n".join(f"{severity:7} {rule.name}{_versions(rule)}: {about[rule.name]}" for rule, severity in rules))
    return 0


def _versions(rule: Rule) -> str:
    """Return the versions that a rule is true of, such as " (before 9.0)"; "" for all."""
    limits = (("since", rule.since), ("before", rule.before))
    text = ", ".join(f"{word} {version}" for word, version in limits if version)
    return f" ({text})" if text else ""


def _check(arguments: argparse.Namespace) -> int:
    model = load_graph(arguments.graph, "checking a quantised graph")
    findings = lint(model, arguments.form, arguments.target)
    errors = sum(finding.severity == ERROR for finding in findings)
    if arguments.json:
        content = {
            "graph": str(arguments.graph),
            "form": arguments.form,
            "target": arguments.target,
            "errors": errors,
            "warnings": len(findings) - errors,
            "findings": [asdict(finding) for finding in findings],
        }
        print_json(content)
    else:
        print("\n".join([*(finding.line() for finding in findings), summarize(model, findings, arguments.form)]))
    return EXIT_ERRORS if errors else 0


if __name__ == "__main__":
    sys.exit(main())
