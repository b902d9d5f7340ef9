"""Weights files and their records: of a training run, imported from a published checkpoint, or shipped.

runs/<run>/best.weights.h5      run.json beside it says what it is (train/runs.py)
<name>.weights.h5               <name>.weights.json says it (train/import_weights.py)
                                or <name>.card.json: weights that come with the product (train/weights_card.py)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.artifacts import sha256_file, spell_option
from edge.datasets import LAYOUTS
from edge.errors import InputError, WeightsError
from edge.labels import CLASS_TABLES
from edge.labels import VOC as VOC_TABLE
from edge.network_class import NetworkClass, network_classes
from edge.provenance import IMPORTED, DescribedData, WeightsProvenance
from edge.records import read_record, record
from train.options import OPTIONS, resolve_options
from train.runs import BEST_WEIGHTS, RUN_RECORD, RUN_WEIGHTS, read_run, weights_in_run
from train.weights_card import CARD_SUFFIX, WeightsCard, weights_card_path

WEIGHTS_SUFFIX = ".weights.h5"

VOC, VOC_CLASS_COUNT = VOC_TABLE.name, VOC_TABLE.class_count
"""PASCAL VOC, whose published networks are worth starting from, and the number of its classes."""


DATASETS_OF_COUNTS = {table.class_count: name for name, table in reversed(list(CLASS_TABLES.items()))}
"""Number of classes of a published classifier -> the dataset that most likely has them: the first of the tables."""


@record(schema=1, what="record of imported weights", made_by="python train/import_weights.py")
class ImportRecord:
    """The record of weights that came from a published checkpoint.

    Attributes:
        model: architecture that has the weights.
        source: family of the checkpoint, key in train.checkpoint_import.CHECKPOINT_FAMILIES. The field is named
            after the option `--source`, and keeps that name on disk.
        file: name of the checkpoint's file.
        file_sha256: SHA-256 of the checkpoint's file.
        dataset: dataset whose classes the classifier has; None where that is unknown.
        class_count: number of classes of the classifier; None for a backbone alone.
        options: every option of the architecture, with its value.
        tensors_used: number of tensors of the checkpoint that are in the weights.
        left_out: reasons why tensors of the checkpoint were not used, each with the number of tensors.
        fresh: names of the layers that keep random weights, since the checkpoint has nothing for them.
        weights_sha256: SHA-256 of the weights file.
        imported_utc: time of the import, ISO 8601.
        versions: package -> its version at the import.
        classes: classes of the classifier; empty for a backbone alone, for classes that nobody names, and in records of
            before.
        described: dataset description whose classes the classifier has; None where there was none.
    """

    model: str
    source: str
    file: str
    file_sha256: str
    dataset: str | None
    class_count: int | None
    options: dict[str, Any]
    tensors_used: int
    left_out: tuple[str, ...]
    fresh: tuple[str, ...]
    weights_sha256: str
    imported_utc: str
    versions: dict[str, str]
    classes: tuple[NetworkClass, ...] = ()
    described: DescribedData | None = None


@dataclass(frozen=True)
class WeightsFile:
    """A weights file, and what its record says.

    Attributes:
        path: path of the weights file.
        model: architecture that has the weights.
        dataset: dataset whose classes the classifier has; None where that is unknown.
        class_count: number of classes of the classifier; None for a backbone alone.
        options: every option of the architecture, with its value.
        data_dir: folder of the dataset at training time; None where there was none.
        provenance: origin of the weights, for an engine's card.
        fresh: names of the layers that were neither trained nor imported, and are random.
        classes: classes of the classifier; empty where it has none, or nothing says whose they are.
        described: dataset description that the weights were trained on; None where there was none.
    """

    path: Path
    model: str
    dataset: str | None
    class_count: int | None
    options: dict[str, Any]
    data_dir: Path | None
    provenance: WeightsProvenance
    fresh: tuple[str, ...] = ()
    classes: tuple[NetworkClass, ...] = ()
    described: DescribedData | None = None


def known_classes(dataset: str | None, class_count: int | None) -> tuple[NetworkClass, ...]:
    """Return the classes of a classifier by the name of its dataset, for records that do not have them.

    Args:
        dataset: name of the dataset; None where it is unknown.
        class_count: number of classes of the classifier; None for a backbone alone.

    Returns:
        The classes; empty where the project knows no dataset of that name with so many.
    """
    if dataset not in LAYOUTS or LAYOUTS[dataset].table.class_count != class_count:
        return ()
    return network_classes(LAYOUTS[dataset].table)


def import_record_path(path: Path) -> Path:
    """Return the path of the record of imported weights."""
    return path.with_name(path.name[: -len(WEIGHTS_SUFFIX)] + ".weights.json")


def weights_path_of(path: Path) -> Path:
    """Return the weights file that a path stands for: the file, the folder of a run, or a record beside weights.

    Args:
        path: a *.weights.h5 file, a run folder, a run.json, the *.weights.json of imported weights, or the *.card.json
            of shipped ones. Any other path is returned as it is. Weights of a run whose writing a kill broke off are
            put in place.

    Raises:
        InputError: the folder is no folder of a run, or its run has left no weights.
    """
    if path.is_dir():
        weights = weights_in_run(path)
        if not weights.is_file():
            has_record = (path / RUN_RECORD).is_file()
            found = f"{RUN_RECORD}, so no epoch has ended yet" if has_record else f"neither it nor {RUN_RECORD}"
            raise InputError(
                f"{path} has no {BEST_WEIGHTS}, found {found}. Next: name the folder of a run, runs/..., "
                "or a weights file"
            )
        return weights
    if path.name == RUN_RECORD:
        return weights_in_run(path.parent)
    if path.name in RUN_WEIGHTS:
        return weights_in_run(path.parent, path.name)
    if path.name.endswith(".weights.json"):
        return path.with_name(path.name[: -len(".json")] + ".h5")
    if path.name.endswith(CARD_SUFFIX):
        return path.with_name(path.name[: -len(CARD_SUFFIX)] + WEIGHTS_SUFFIX)
    return path


def read_weights(path: Path, model: str) -> WeightsFile:
    """Read the record beside a weights file, and check that the two belong together.

    Args:
        path: a .weights.h5 file.
        model: the architecture that the weights are wanted for.

    Raises:
        InputError: the file or its record is missing.
        WeightsError: the weights belong to another model, or are not the file that the record describes.
    """
    if not path.is_file():
        raise InputError(f"weights not found: {path}")
    if not path.name.endswith(WEIGHTS_SUFFIX):
        raise WeightsError(
            f"{path} is no weights file of this project (*{WEIGHTS_SUFFIX}). "
            f"Next: python train/import_weights.py {path} --model {model}"
        )
    if weights_card_path(path).is_file():
        return _read_shipped(path, model)
    if not import_record_path(path).is_file():
        if not (path.parent / RUN_RECORD).is_file():
            names = f"{RUN_RECORD}, {import_record_path(path).name} or {weights_card_path(path).name}"
            raise InputError(
                f"{path} has no {names} beside it, "
                "so its model and classes are unknown. Next: name the weights in the folder where they were written"
            )
        run, provenance = read_run(path, model)
        options = resolve_options(model, run.options)
        return WeightsFile(
            path=path,
            model=model,
            dataset=run.dataset,
            class_count=run.class_count,
            options=options,
            data_dir=Path(run.data_dir),
            provenance=provenance,
            classes=run.classes or known_classes(run.dataset, run.class_count),
            described=run.described,
        )
    imported = read_record(ImportRecord, import_record_path(path))
    digest = _checked_digest(path, import_record_path(path), imported, model)
    return WeightsFile(
        path=path,
        model=model,
        dataset=imported.dataset,
        class_count=imported.class_count,
        options=resolve_options(model, imported.options),
        data_dir=None,
        provenance=WeightsProvenance(IMPORTED, imported.file, digest, random_layers=imported.fresh),
        fresh=imported.fresh,
        classes=imported.classes or known_classes(imported.dataset, imported.class_count),
        described=imported.described,
    )


def _read_shipped(path: Path, model: str) -> WeightsFile:
    card = read_record(WeightsCard, weights_card_path(path))
    _checked_digest(path, weights_card_path(path), card, model)
    return WeightsFile(
        path=path,
        model=model,
        dataset=card.dataset,
        class_count=card.class_count,
        options=resolve_options(model, card.options),
        data_dir=None,
        provenance=card.provenance(path.name),
    )


def _checked_digest(path: Path, record_path: Path, described: ImportRecord | WeightsCard, model: str) -> str:
    """Return the SHA-256 of a weights file, which has to be the one that its record describes.

    Raises:
        WeightsError: the record is of another model, or the file is another one.
    """
    if described.model != model:
        raise WeightsError(
            f"{path} are weights of {described.model}, expected {model}. Next: --model {described.model}"
        )
    digest = sha256_file(path)
    if digest != described.weights_sha256:
        raise WeightsError(
            f"{path} is not the file that {record_path.name} describes "
            f"(sha256 {digest[:12]}, expected {described.weights_sha256[:12]}): it is damaged or was replaced"
        )
    return digest


def agreed_options(weights: WeightsFile, given: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a network: those of its weights, and the user's where the weights allow any value.

    Args:
        weights: the weights file, as read_weights returns it.
        given: options that the user set.

    Raises:
        WeightsError: the user asks for an option that the weights were not made for.
        InputError: an unknown option or value.
    """
    wanted = resolve_options(weights.model, given)
    options = dict(weights.options)
    for name in given:
        if OPTIONS[weights.model][name].shapes_weights and wanted[name] != options[name]:
            raise WeightsError(
                f"{weights.path} has {weights.model} with {name}={spell_option(options[name])}, "
                f"expected {name}={spell_option(wanted[name])}. "
                "Next: leave the option out, or choose other weights"
            )
        options[name] = wanted[name]
    return options
