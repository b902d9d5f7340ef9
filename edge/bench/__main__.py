"""The command edge-bench; `doctor` starts without OpenCV, since a missing OpenCV is one of its findings."""

from __future__ import annotations

import sys


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments[:1] == ["doctor"]:
        from edge.doctor.cli import main as doctor

        return doctor(arguments[1:], prog="edge-bench doctor")
    from edge.bench.cli import main as bench

    return bench(arguments)


if __name__ == "__main__":
    sys.exit(main())
