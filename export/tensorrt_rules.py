"""Check that TensorRT 8.5 runs an ONNX graph: `python export/tensorrt_rules.py model.onnx`.

TensorRT 8.5 is the oldest version that the project supports (JetPack 5). A graph that only a newer
TensorRT parses would fail on the device, long after the training. So every export is held against the
rules of export/graph/trt_rules.py, which need no TensorRT; this command does the same for one file.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

if __name__ == "__main__":  # run by its path: the checkout, not this folder, is where packages are
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from calibration.onnx_graph.file import load_graph
from edge.console import CommandParser, print_json, run_command
from export.graph.trt_rules import EXIT_FINDINGS, check_graph


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = CommandParser(
        prog="export/tensorrt_rules.py",
        description="Say what in an ONNX graph TensorRT 8.5 does not run by its documentation, one finding a line.",
        epilog="Exit code: 0 if nothing was found, 1 if something was, 2 if the file is no ONNX graph.",
    )
    parser.add_argument("graph", type=Path, metavar="model.onnx", help="ONNX file, float or with Q/DQ for TensorRT")
    parser.add_argument("--dynamic-batch", action="store_true", help="the batch axis may be symbolic")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: _check(arguments), arguments.json)


def _check(arguments: argparse.Namespace) -> int:
    model = load_graph(arguments.graph, "checking a graph against TensorRT")
    findings = check_graph(model, arguments.dynamic_batch)
    count = len(model.graph.node)
    if arguments.json:
        found = [dataclasses.asdict(finding) for finding in findings]
        print_json({"graph": str(arguments.graph), "nodes": count, "findings": found})
    elif findings:
        print("\n".join(finding.line() for finding in findings))
    else:
        print(f"nothing found: {count} nodes, all run by TensorRT 8.5 by its documentation")
    return EXIT_FINDINGS if findings else 0


if __name__ == "__main__":
    sys.exit(main())
