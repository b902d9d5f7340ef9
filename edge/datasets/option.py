"""The option --dataset of commands: a dataset of the project, or the file of a dataset description."""

from __future__ import annotations

import argparse

from edge.datasets.description.file import is_description
from edge.datasets.registry import LAYOUTS

METAVAR = "NAME|FILE.json"


def dataset_name(text: str) -> str:
    """Read the name of a dataset, or the path of a description, for argparse; a description is not read yet.

    Raises:
        argparse.ArgumentTypeError: The text is neither.
    """
    if text not in LAYOUTS and not is_description(text):
        raise argparse.ArgumentTypeError(
            f"got '{text}', expected one of: {', '.join(LAYOUTS)}, or the path of a dataset description: FILE.json"
        )
    return text


def add_dataset_option(
    parser: argparse._ActionsContainer, help_text: str, required: bool = False, default: str | None = None
) -> None:
    """Add --dataset to a command.

    Args:
        parser: Parser of the command, or a group of its options.
        help_text: What the dataset is for, such as "what it is trained on".
        required: Whether the command needs it.
        default: Name of the dataset without the option.
    """
    parser.add_argument(
        "--dataset",
        metavar=METAVAR,
        type=dataset_name,
        required=required,
        default=default,
        help=f"{help_text}: one of {', '.join(LAYOUTS)}, or the file of a dataset description (docs/own-data.md)",
    )
