"""The command edge-bench; `doctor` starts without OpenCV, since a missing OpenCV is one of its findings."""

from __future__ import annotations

import sys

from edge import __version__


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments[:1] == ["doctor"]:
        from edge.doctor.cli import main as doctor

        return doctor(arguments[1:], prog="edge-bench doctor")
    if arguments == ["--version"]:  # also where OpenCV is missing
        print(f"edge-bench {__version__}")
        return 0
    from edge.bench.cli import main as bench

    return bench(arguments)


if __name__ == "__main__":
    sys.exit(main())
