"""Draws a leaderboard for README: `python docs/write_leaderboard_picture.py leaderboard.json FILE.svg`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout need not be installed

from edge.artifacts import write_text
from edge.leaderboard.leaderboard_pictures import leaderboard_svg
from edge.leaderboard.leaderboard_record import Leaderboard
from edge.records import read_record


def main(argv: list[str] | None = None) -> int:
    """Write the picture of a leaderboard's record as SVG, which a browser shows in light or dark as its user has it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("record", type=Path, help="leaderboard.json of edge-bench leaderboard --output")
    parser.add_argument("picture", type=Path, help="SVG file to write")
    arguments = parser.parse_args(argv)
    write_text(arguments.picture, leaderboard_svg(read_record(Leaderboard, arguments.record)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
