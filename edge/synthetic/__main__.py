"""The command `python -m edge.synthetic`, which draws a labelled set of streets or railway lines."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edge.console import CommandParser, Progress, positive_int, print_json, run_command, seed_argument, size_argument
from edge.interruption import kept_when_interrupted
from edge.opencv import require_opencv
from edge.synthetic.dataset import WORLDS, read_manifest, write_dataset


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = CommandParser(
        prog="python -m edge.synthetic",
        description="Draw synthetic scenes with exact labels: streets in the layout of Cityscapes (leftImg8bit, "
        "gtFine), or railway lines in the layout of RailSem19 (jpgs, uint8).",
    )
    parser.add_argument("out", metavar="OUT", help="folder to write; empty, new, or an earlier synthetic set")
    parser.add_argument("--world", choices=tuple(WORLDS), default="streets", help="what is drawn (default streets)")
    parser.add_argument("--train", type=positive_int, default=96, metavar="N", help="training pictures")
    parser.add_argument("--val", type=positive_int, default=24, metavar="N", help="validation pictures")
    parser.add_argument(
        "--size",
        type=size_argument,
        default=(512, 1024),
        metavar="HxW",
        help="height x width in pixels, 64x128 to 1024x2048",
    )
    parser.add_argument("--seed", type=seed_argument, default=0, metavar="S", help="seed of the scenes, 0 to 999999999")
    parser.add_argument("--json", action="store_true", help="print what was drawn as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command, and return its exit code."""
    options = build_parser().parse_args(argv)
    return run_command(lambda: _draw(options), options.json)


def _draw(options: argparse.Namespace) -> int:
    require_opencv()  # before the folder is made
    height, width = options.size
    drawn, total = 0, options.train + options.val

    def count() -> None:
        nonlocal drawn
        drawn += 1
        progress.step()

    def kept() -> str | None:
        if not drawn and not Path(options.out).exists():
            return None
        return f"{drawn} of {total} pictures are kept in {options.out}; the same command draws the whole set anew"

    with kept_when_interrupted(kept), Progress(f"draw {WORLDS[options.world].pictures}", total, "picture") as progress:
        write_dataset(options.out, options.train, options.val, height, width, options.seed, count, options.world)
    if options.json:
        print_json({"folder": options.out, **read_manifest(options.out)})
        return 0
    print(f"{options.train} training and {options.val} validation pictures of {height}x{width} in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
