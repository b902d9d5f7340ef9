"""Run the tests of the rooms that were changed, and tests/test_house.py, without the tests that are marked as long.

    python tests/fast.py                    rooms with files that differ from HEAD; if none do, from the branch main
    python tests/fast.py calibration/qdq    the tests of this room, whatever was changed

The tests of a file lie in the folder under tests/ that has the name of its own folder. Rooms that import a changed one
are not run: that is what `make test` is for. The variable JOBS says how many processes run tests; 2 without it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Iterable

REPOSITORY = Path(__file__).resolve().parents[1]
ALWAYS = Path("tests/test_house.py")


def git(*arguments: str) -> list[str]:
    """Return the lines that a git command prints, none where it fails."""
    done = subprocess.run(
        ["git", *arguments], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    return done.stdout.splitlines() if done.returncode == 0 else []


def changed_files() -> list[Path]:
    """Return the files that differ from HEAD, or those that this branch changed since it left main."""
    here = [*git("diff", "--name-only", "HEAD"), *git("ls-files", "--others", "--exclude-standard")]
    return [Path(name) for name in here or git("diff", "--name-only", "main...HEAD")]


def mirrored_tests(path: Path, repository: Path = REPOSITORY) -> list[Path]:
    """Return the test files that a changed file has: those right in the folder that mirrors its own.

    Args:
        path: The changed file, relative to the checkout. It may have been deleted.
        repository: The checkout.
    """
    folder = path.parent if path.parts[0] == "tests" else "tests" / path.parent
    while not any((repository / folder).glob("test_*.py")) and folder != Path("tests"):
        folder = folder.parent
    if folder != Path("tests"):
        return sorted(test.relative_to(repository) for test in (repository / folder).glob("test_*.py"))
    return [path] if path.parent == folder and path.name.startswith("test_") and (repository / path).is_file() else []


def room_tests(room: str, repository: Path = REPOSITORY) -> list[Path]:
    """Return the test files of a room and of the rooms inside it.

    Raises:
        SystemExit: There are no such tests.
    """
    folder = repository / "tests" / room
    found = sorted(test.relative_to(repository) for test in folder.rglob("test_*.py"))
    if not found:
        sys.exit(
            f"error: there are no tests under tests/{room}. Next: make test-fast ROOM=calibration/qdq, for example"
        )
    return found


def choose(rooms: Iterable[str], changed: Iterable[Path], repository: Path = REPOSITORY) -> list[str]:
    """Return the test files to run: those of the rooms if there are any, else those of the changed files."""
    groups = [room_tests(room, repository) for room in rooms]
    groups = groups or [mirrored_tests(path, repository) for path in changed]
    return [path.as_posix() for path in dict.fromkeys([*(test for group in groups for test in group), ALWAYS])]


def main() -> int:
    """Run pytest on the chosen files and return its exit code."""
    rooms = [room.strip("/") for room in sys.argv[1:]]
    chosen = choose(rooms, [] if rooms else changed_files())
    print("tests: " + " ".join(chosen), flush=True)
    command = [sys.executable, "-m", "pytest", "-q", "--leave-out", "long"]
    workers = ["-n", os.environ.get("JOBS", "2"), "--dist", "loadfile", "--no-loadscope-reorder"]
    return subprocess.run([*command, *workers, *chosen], cwd=REPOSITORY).returncode


if __name__ == "__main__":
    sys.exit(main())
