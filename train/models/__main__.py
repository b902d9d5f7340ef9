"""`python -m train.models --summary`: size, work, stride and receptive field of every architecture."""

from __future__ import annotations

import argparse
import dataclasses
import gc
import sys
from typing import Any, Iterable, Mapping

from edge.artifacts import spell_option
from edge.console import CommandParser, Progress, WholeNumber, print_json, run_command, size_argument
from edge.errors import InputError
from train.models.published import CLASS_COUNT, HEIGHT, PUBLISHED, WIDTH, PublishedFigures, published_figures
from train.options import OPTIONS, changed_options, parse_assignments
from train.tensorflow_import import import_tensorflow

HEADINGS = (
    "model",
    "options",
    "parameters (M)",
    "convolutions (M)",
    "statistics (M)",
    "training only (M)",
    "multiply-adds (G)",
    "output",
    "stride",
    "receptive field",
)
LEFT_ALIGNED = ("model", "options", "output", "receptive field", "published")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(
        prog="python -m train.models",
        description="Count parameters, multiply-adds, strides and receptive fields from the networks' graphs.",
    )
    parser.add_argument("--summary", action="store_true", required=True, help="print the table")
    parser.add_argument("--model", choices=sorted(OPTIONS), help="this architecture alone (default: all)")
    parser.add_argument(
        "--option", action="append", metavar="NAME=VALUE", help="option of --model; may be given several times"
    )
    parser.add_argument(
        "--size", type=size_argument, default=f"{HEIGHT}x{WIDTH}", metavar="HxW", help="pixels of the frame"
    )
    parser.add_argument(
        "--classes", type=WholeNumber(1, 4096), default=CLASS_COUNT, metavar="N", help="number of classes"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print a list of records as JSON")
    form.add_argument("--markdown", action="store_true", help="print a Markdown table with published figures beside")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: _summary(arguments), arguments.json)


def _summary(arguments: argparse.Namespace) -> int:
    variants = choose_variants(arguments.model, parse_assignments(arguments.option or ()))
    height, width = arguments.size
    import_tensorflow("counting a network", "pip install -e '.[train]'")
    records = []
    with Progress("count", len(variants), "network") as progress:
        for model, options in variants:
            records.append(count_variant(model, options, height, width, arguments.classes))
            progress.step(model)
    if arguments.json:
        print_json(records)
    elif arguments.markdown:
        print(markdown_table(records))
    else:
        print(text_table(records))
    return 0


def choose_variants(model: str | None, given: Mapping[str, str]) -> list[tuple[str, dict[str, Any]]]:
    """Return the networks to count, each an architecture and its options that differ from their defaults.

    Args:
        model: name of the architecture; None for all of them.
        given: options as text; with any, that network is the only one. Without, each architecture is
            counted with its defaults and with those options for which figures are published.

    Raises:
        InputError: options without an architecture, or one that it does not have.
    """
    if given and model is None:
        raise InputError(f"--option {next(iter(given))} needs an architecture. Next: --model NAME")
    if given:
        return [(model, changed_options(model, given))]
    variants = []
    for name in OPTIONS if model is None else (model,):
        published = [dict(sorted(options)) for published_name, options in PUBLISHED if published_name == name]
        variants += [(name, {}), *((name, options) for options in published if options)]
    return variants


def count_variant(model: str, options: Mapping[str, Any], height: int, width: int, class_count: int) -> dict[str, Any]:
    """Build a network, count it and let go of it.

    Returns:
        A record that JSON can hold. Its stride and receptive field are those of the logits; "outputs" has those
        of every output.

    Raises:
        SizeError: the architecture cannot take the size.
    """
    import keras

    from train.models import model_spec
    from train.models.graph_statistics import count_model

    spec = model_spec(model)
    counted = dataclasses.asdict(count_model(spec, height, width, class_count, options))
    keras.utils.clear_session()
    gc.collect()  # layers and their calls refer to each other
    outputs = counted.pop("outputs")
    published = published_figures(model, options, height, width, class_count)
    return {
        "model": model,
        "title": spec.title,
        "options": dict(options),
        "height": height,
        "width": width,
        "class_count": class_count,
        **counted,
        **{name: value for name, value in outputs[0].items() if name != "name"},
        "outputs": outputs,
        "published": dataclasses.asdict(published) if published else None,
    }


# Tables


def text_table(records: list[dict[str, Any]]) -> str:
    """Return an aligned table of the networks, with an explanation of its columns below."""
    rows = [row for record in records for row in _rows(record)]
    widths = [max(len(heading), *(len(row[index]) for row in rows)) for index, heading in enumerate(HEADINGS)]
    lines = [_aligned(HEADINGS, widths), _aligned(["-" * width for width in widths], widths)]
    return "\n".join([*lines, *(_aligned(row, widths) for row in rows), "", *_legend(records[0])])


def markdown_table(records: list[dict[str, Any]]) -> str:
    """Return a Markdown table of the networks with a column of published figures; their sources stand below it."""
    headings = (*HEADINGS, "published")
    sources: list[str] = []
    lines = [
        _markdown_row(headings),
        _markdown_row("---" if heading in LEFT_ALIGNED else "---:" for heading in headings),
    ]
    for record in records:
        figures = published_figures(
            record["model"], record["options"], record["height"], record["width"], record["class_count"]
        )
        for index, row in enumerate(_rows(record)):
            published = _published_text(figures, sources) if figures and index == 0 else ""
            lines.append(_markdown_row([*row, published]))
    numbered = [f"{number}. {source}" for number, source in enumerate(sources, 1)]
    heading = ["", "Published figures (parameters, multiply-adds), and where they are from:", ""] if sources else []
    return "\n".join([*lines, "", " ".join(_legend(records[0])), *heading, *numbered])


def _rows(record: Mapping[str, Any]) -> list[list[str]]:
    """Return a row for the network and its logits, and one more for each further output."""
    options = " ".join(f"{name}={spell_option(value)}" for name, value in record["options"].items())
    counts = ("parameters", "convolution_parameters", "normalisation_statistics", "training_only_parameters")
    network = [record["title"], options or "-", *(f"{record[name] / 1e6:.3f}" for name in counts)]
    network.append(f"{record['multiply_adds'] / 1e9:.1f}")
    rows = []
    for output in record["outputs"]:
        stride = output["native_stride"]
        tail = [output["name"], "-" if stride is None else f"{stride:g}", _field_text(output)]
        rows.append([*(network if not rows else [""] * len(network)), *tail])
    return rows


def _field_text(output: Mapping[str, Any]) -> str:
    height, width = output["receptive_field_height"], output["receptive_field_width"]
    local = None if height is None else f"{height}x{width}"
    if output["sees_whole_frame"]:
        return f"whole frame ({local})" if local else "whole frame"
    return local or "-"


def _legend(record: Mapping[str, Any]) -> list[str]:
    return [
        f"For frames of {record['height']}x{record['width']} and {record['class_count']} classes.",
        "Parameters are all trainable weights of the network for inference, BatchNorm's scales and offsets among",
        "them; convolutions: those of convolutions and dense layers alone; statistics: BatchNorm's means and",
        "variances; training only: weights of heads that inference leaves out. Receptive fields are pixels of the",
        "frame, height x width, and in brackets without the branches that look at all of it.",
    ]


def _published_text(figures: PublishedFigures, sources: list[str]) -> str:
    parts = []
    for figure, text in (
        (figures.parameters, f"{figures.parameters.value / 1e6:.2f} M"),
        (figures.multiply_adds, f"{figures.multiply_adds.value / 1e9:.1f} G"),
    ):
        if figure.source not in sources:
            sources.append(figure.source)
        parts.append((text, sources.index(figure.source) + 1))
    (parameters, first), (multiply_adds, second) = parts
    mark = "" if first == second else f" [{first}]"
    return f"{parameters}{mark}, {multiply_adds} [{second}]"


def _aligned(cells: Iterable[str], widths: list[int]) -> str:
    parts = [
        cell.ljust(width) if heading in LEFT_ALIGNED else cell.rjust(width)
        for cell, width, heading in zip(cells, widths, HEADINGS)
    ]
    return "  ".join(parts).rstrip()


def _markdown_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
