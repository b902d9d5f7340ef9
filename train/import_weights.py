"""Bring published weights in: `python train/import_weights.py FILE --model fastfcn --source fastfcn --output W`.

Every tensor of the checkpoint is used exactly once, or the command fails and names what is missing
or left over. What the checkpoint's network does otherwise than ours by default is written into the
weights' record as options of the architecture, so that the same image gives the same logits.
Nothing that a file holds is executed.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run by its path: the checkout, not this folder, is where packages are
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from edge.artifacts import atomic_path, sha256_file, spell_option
from edge.console import CommandParser, print_json, run_command
from edge.datasets import LAYOUTS, add_dataset_option
from edge.datasets.reference import dataset_reference
from edge.errors import InputError, WeightsError
from edge.output_check import check_output_file
from edge.records import record_to_json, write_record
from train.checkpoint_import import CHECKPOINT_FAMILIES, families_of
from train.options import MODEL_NAMES, add_option_argument, changed_options, parse_assignments, refuse_export_options
from train.tensorflow_import import import_tensorflow
from train.weights_file import (
    DATASETS_OF_COUNTS,
    WEIGHTS_SUFFIX,
    ImportRecord,
    import_record_path,
    known_classes,
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line of an import."""
    parser = CommandParser(
        prog="train/import_weights.py",
        description="Import published weights (PyTorch, safetensors or Keras HDF5) for a network of this project.",
        epilog="Sources: " + "; ".join(f"{name} = {family.title}" for name, family in CHECKPOINT_FAMILIES.items()),
    )
    parser.add_argument(
        "checkpoint", metavar="FILE", type=Path, help="published weights: .pth, .pt, .safetensors or .h5"
    )
    parser.add_argument("--model", required=True, choices=MODEL_NAMES, help="architecture that they are for")
    parser.add_argument(
        "--source", choices=sorted(CHECKPOINT_FAMILIES), help="whose checkpoint (default: the only one)"
    )
    parser.add_argument("--output", required=True, type=Path, metavar="W", help=f"weights file, *{WEIGHTS_SUFFIX}")
    add_dataset_option(
        parser,
        "whose classes the classifier has (default: by their number, "
        f"{', '.join(f'{count} {name}' for count, name in sorted(DATASETS_OF_COUNTS.items()))})",
    )
    add_option_argument(parser)
    parser.add_argument("--json", action="store_true", help="print the record of the import as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: _import(arguments), arguments.json)


def _import(arguments: argparse.Namespace) -> int:
    given = parse_assignments(arguments.option)
    refuse_export_options(arguments.model, given)
    family = arguments.source or _only_family(arguments.model)
    if not arguments.output.name.endswith(WEIGHTS_SUFFIX):
        raise InputError(f"--output is {arguments.output}, expected a name that ends in {WEIGHTS_SUFFIX}")
    check_output_file(arguments.output)
    import_tensorflow("importing weights", "pip install -e '.[train]'")
    record = import_weights(arguments.checkpoint, arguments.model, family, given, arguments.output, arguments.dataset)
    if arguments.json:
        print_json({"weights": str(arguments.output), "record": record_to_json(record)})
    else:
        _print_result(record, arguments.output, arguments.dataset is not None)
    return 0


def _only_family(model: str) -> str:
    families = [name for name in families_of(model) if CHECKPOINT_FAMILIES[name].has_classifier]
    if len(families) != 1:
        raise InputError(
            f"{model} has weights of several sources: {', '.join(families_of(model))}. Next: --source NAME"
        )
    return families[0]


def import_weights(
    path: Path, model: str, family: str, given: dict[str, Any], output: Path, dataset: str | None = None
) -> ImportRecord:
    """Read a checkpoint, and write a weights file with the record that describes it.

    Args:
        path: file of the checkpoint.
        model: architecture that gets the weights.
        family: key in train.checkpoint_import.CHECKPOINT_FAMILIES.
        given: options of the architecture that the user set.
        output: weights file to write, *.weights.h5; its record is written beside it as *.weights.json.
        dataset: dataset whose classes the classifier has, or path of its description; None to conclude it from their
            number.

    Returns:
        The record of the import, as written beside the weights.

    Raises:
        InputError: the file is not there, the family has nothing for this architecture, or an option is unknown.
        WeightsError: the file is not a checkpoint of that family for that architecture.
        MissingDependencyError: the package that reads the format is not installed.
        StorageError: the result cannot be written.
    """
    import keras
    import numpy

    from train.checkpoint_import.importer import load_published

    published = load_published(path, model, family, given)
    if published.class_count is None and dataset is not None:
        raise WeightsError(f"{path} holds a backbone without a classifier, so it has no classes of {dataset}")
    count, classes, described = published.class_count, (), None
    if dataset is None and count is not None:
        dataset = DATASETS_OF_COUNTS.get(count)
    elif dataset is not None:
        reference = dataset_reference(dataset)
        dataset, described = reference.name, reference.described()
        classes = reference.classes()
        if count != len(classes):
            raise WeightsError(f"{path} has {count} classes, {dataset} has {len(classes)}. Next: leave --dataset out")
    with atomic_path(output) as temporary:
        published.model.save_weights(temporary, overwrite=True)
    record = ImportRecord(
        model=model,
        source=family,
        file=path.name,
        file_sha256=sha256_file(path),
        dataset=dataset,
        class_count=count,
        options=published.options,
        tensors_used=published.tensors_used,
        left_out=published.left_out,
        fresh=published.fresh,
        weights_sha256=sha256_file(output),
        imported_utc=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        versions={"keras": keras.__version__, "numpy": numpy.__version__},
        classes=classes or known_classes(dataset, count),
        described=described,
    )
    # The record names the hash of the weights and goes last.
    write_record(import_record_path(output), record)
    return record


def _print_result(record: ImportRecord, output: Path, is_named: bool) -> None:
    what = (
        f"{record.class_count} classes of {record.dataset or 'an unknown dataset'}"
        if record.class_count
        else "backbone"
    )
    print(f"{record.model}, {what}: {record.tensors_used} tensors of {record.file} used, each once")
    if not is_named and record.dataset is not None:
        print(f"taken for {record.dataset} by its {record.class_count} classes; --dataset says otherwise")
    for left_out in record.left_out:
        print(f"not used: {left_out}")
    if record.fresh:
        shown = ", ".join(record.fresh[:6]) + (f" and {len(record.fresh) - 6} more" if len(record.fresh) > 6 else "")
        print(f"not in the checkpoint, random: {shown}")
    changed = changed_options(record.model, record.options)
    print("options: " + (" ".join(f"{name}={spell_option(value)}" for name, value in changed.items()) or "defaults"))
    print(f"weights: {output}")
    if record.dataset in LAYOUTS or record.described is not None:
        print(f"next: python export/build_engine.py --model {record.model} --int8 --weights {output}")
    else:
        print(f"next: python train/train.py --model {record.model} --dataset cityscapes --init-weights {output}")


if __name__ == "__main__":
    sys.exit(main())
