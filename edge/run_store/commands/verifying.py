"""The sub-command `verify` of edge-bench: whether the figures of a bundle follow from its raw samples."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from edge.console import print_json
from edge.run_store.bundle import read_bundle
from edge.run_store.verification import verify

DESCRIPTION = (
    "Compute every figure of a bundle anew from its raw samples, check hashes, clocks, energy and validity, and say "
    "what does not hold. Exit code 1 where something does not."
)

EXIT_DOES_NOT_HOLD = 1

_MOST_LINES = 10
"""Most problems of one check that are printed; --json has all of them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the sub-command to its parser."""
    parser.add_argument("bundle", type=Path, help="bundle that edge-bench export RUN --bundle FILE wrote")
    parser.add_argument(
        "--digest",
        type=digest_argument,
        metavar="HEX",
        help="digest that was published with the figures: without it, nobody can tell a parameter that was changed "
        "together with the hashes",
    )
    parser.add_argument("--json", action="store_true", help="print all checks as JSON")
    parser.set_defaults(function=run)


def digest_argument(text: str) -> str:
    """Read a digest for argparse: 64 hex digits."""
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text.strip()):
        raise argparse.ArgumentTypeError(f"got '{text}', expected 64 hex digits, as export printed them")
    return text.strip().lower()


def run(arguments: argparse.Namespace) -> int:
    """Check a bundle and say what holds.

    Raises:
        InputError: There is no such file, or it is no bundle.
        ContractError: It cannot be read.
    """
    bundle = read_bundle(arguments.bundle)
    checks = list(verify(bundle, arguments.digest))
    holds = all(check.holds for check in checks)
    if arguments.json:
        print_json(
            {
                "bundle": str(arguments.bundle),
                "run_id": bundle.manifest.run_id,
                "digest": bundle.digest,
                "holds": holds,
                "checks": [
                    {"name": check.name, "holds": check.holds, "checked": check.extent, "problems": check.problems}
                    for check in checks
                ],
            }
        )
        return 0 if holds else EXIT_DOES_NOT_HOLD
    print(f"run {bundle.manifest.run_id}, digest {bundle.digest}")
    for check in checks:
        print(f"{check.name:10} {'holds' if check.holds else 'DOES NOT HOLD'}: {check.extent}")
        for problem in check.problems[:_MOST_LINES]:
            print(f"{'':10} {problem}")
        if len(check.problems) > _MOST_LINES:
            print(f"{'':10} and {len(check.problems) - _MOST_LINES} more (--json lists them)")
    print("the bundle holds" if holds else "the bundle does not hold")
    return 0 if holds else EXIT_DOES_NOT_HOLD
