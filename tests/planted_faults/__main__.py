"""Plant each fault in a copy of the checkout, run the tests that should see it, and say which faults survive.

    python -m tests.planted_faults [--only NAME ...] [--room ROOM] [--json FILE]

A fault is one replacement in one file (tests/planted_faults/faults.py). The copy is made once and mended after each
fault, so the checkout itself is never touched. Exit code 1 if a fault survives, or if the tests fail without one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.planted_faults.faults import FAULTS, Fault

REPOSITORY = Path(__file__).resolve().parents[2]
TIME_LIMIT_S = 300.0
BASELINE_LIMIT_S = 1800.0
KILLED, SURVIVED, HUNG = "killed", "survived", "hung, which counts as killed"


@dataclass(frozen=True)
class Result:
    """What became of one fault.

    Attributes:
        name: Name of the fault.
        path: File that it was planted in.
        what: What was wrong, in words.
        verdict: One of KILLED, SURVIVED and HUNG.
        killed_by: First test that failed; "" if none did.
        seconds: Wall time of the test run.
    """

    name: str
    path: str
    what: str
    verdict: str
    killed_by: str
    seconds: float


def copy_checkout(target: Path) -> None:
    """Copy every file that git knows or does not ignore, without the history."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    for name in filter(None, os.fsdecode(listed).split("\0")):
        source, copy = REPOSITORY / name, target / name
        if source.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy)


def run_tests(checkout: Path, tests: tuple[str, ...], limit_s: float = TIME_LIMIT_S) -> tuple[int | None, str]:
    """Run tests until the first that fails.

    Returns:
        The exit code of pytest, None if it did not end in time; and the name of the first failed test.
    """
    environment = {**os.environ, "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-p", "no:cacheprovider", *tests]
    try:
        run = subprocess.run(
            command,
            cwd=checkout,
            env=environment,
            timeout=limit_s,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    except subprocess.TimeoutExpired:
        return None, ""
    failed = [
        line.split(" - ")[0].split(" ", 1)[1]
        for line in run.stdout.splitlines()
        if line.startswith(("FAILED ", "ERROR "))
    ]
    return run.returncode, failed[0] if failed else ""


def plant(checkout: Path, fault: Fault) -> str:
    """Write the fault into the copy and return the text of the file before.

    Raises:
        ValueError: the place is not there, or not there once.
    """
    path = checkout / fault.path
    before = path.read_text(encoding="utf-8")
    if before.count(fault.old) != 1:
        raise ValueError(f"{fault.name}: {fault.path} has the place {before.count(fault.old)} times, expected once")
    path.write_text(before.replace(fault.old, fault.new), encoding="utf-8")
    return before


def try_fault(checkout: Path, fault: Fault) -> Result:
    """Plant one fault, run its tests, and mend the copy again."""
    start_s = time.monotonic()
    before = plant(checkout, fault)
    try:
        code, killed_by = run_tests(checkout, fault.tests)
    finally:
        (checkout / fault.path).write_text(before, encoding="utf-8")
    # 0 is passed; 1 is failed; whatever else pytest ends with (no tests, wrong usage) proves nothing.
    verdict = HUNG if code is None else KILLED if code == 1 or (code == 2 and killed_by) else SURVIVED
    return Result(fault.name, fault.path, fault.what, verdict, killed_by, round(time.monotonic() - start_s, 1))


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.planted_faults", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="names of faults (default: all)")
    parser.add_argument("--room", help="folder whose faults are planted, such as calibration/qdq")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    arguments = parser.parse_args(argv)
    chosen = [
        fault
        for fault in FAULTS
        if (not arguments.only or fault.name in arguments.only)
        and (not arguments.room or fault.path.startswith(arguments.room.rstrip("/") + "/"))
    ]
    if not chosen:
        parser.error("no fault has that name or room")
    results = []
    with tempfile.TemporaryDirectory(prefix="planted-faults-") as folder:
        checkout = Path(folder)
        copy_checkout(checkout)
        wanted = tuple(sorted({name for fault in chosen for name in fault.tests}))
        code, failed = run_tests(checkout, wanted, BASELINE_LIMIT_S)
        if code != 0:
            print(
                f"the tests do not pass without a fault, so none was planted: {failed or f'pytest ended with {code}'}"
            )
            return 1
        for fault in chosen:
            results.append(try_fault(checkout, fault))
            last = results[-1]
            print(
                f"{last.verdict:9} {last.name} ({last.seconds:.0f} s){': ' + last.killed_by if last.killed_by else ''}",
                flush=True,
            )
            if arguments.json:
                arguments.json.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n")
    survivors = [result.name for result in results if result.verdict == SURVIVED]
    print(f"{len(results)} faults, {len(results) - len(survivors)} killed, survivors: {', '.join(survivors) or 'none'}")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
