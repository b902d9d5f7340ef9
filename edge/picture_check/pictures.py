"""Pictures that cannot be read: which they are, and what is said of them."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

from edge.console import print_warning_once
from edge.errors import ImageError, InputError
from edge.imaging import read_file_header
from edge.picture_check.progress import each

SKIP_BAD_HELP = "leave pictures out that cannot be read, instead of stopping; the record counts them"

CHECK_DATA_HELP = (
    "read every frame to its last byte before work begins, and list every bad pair of frame and label map; without it "
    "frames are known by their headers. What has not changed since an earlier check is not read again"
)

_SHOWN = 3
"""Number of bad pictures that a message names."""


def picture_problems(paths: Sequence[Path]) -> dict[int, str]:
    """Return what is wrong with pictures, by their position: name and problem of each that cannot be read."""
    problems = each("check pictures", lambda path: read_file_header(path).problem, paths)
    return {index: cannot_be_decoded(paths[index], problem) for index, problem in enumerate(problems) if problem}


def cannot_be_decoded(path: Path, problem: str) -> str:
    """Return the name of a picture and what is wrong with it."""
    return f"{path.name} cannot be decoded ({problem})"


def refuse_or_leave_out(
    problems: Sequence[str], count: int, where: str, skip_bad: bool | None, error: type[InputError] = ImageError
) -> None:
    """Refuse a set of pictures that holds bad ones, or say once which are left out.

    Args:
        problems: Name and problem of each bad picture.
        count: Number of all pictures of the set.
        where: Name of the set.
        skip_bad: Whether bad pictures are left out; not where all are bad. None where the command has no option for
            it.
        error: Class of the error.

    Raises:
        InputError: There are bad pictures, and they are not left out; the error is of the class that was given.
    """
    if not problems:
        return
    shown = "; ".join(problem.replace(". Next: ", ", ") for problem in problems[:_SHOWN])
    shown += f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    if not skip_bad or len(problems) == count:
        hint = ", or add --skip-bad to leave them out" if skip_bad is False and len(problems) < count else ""
        raise error(f"{len(problems)} of {count} pictures of {where} are bad: {shown}. Next: mend or remove them{hint}")
    print_warning_once(f"{len(problems)} of {count} pictures of {where} are bad and left out: {shown}")
