"""What there is of a model's weights on this machine: runs, artefacts, imported weights, and what the product brings.

This module is part of the device set: nothing here needs TensorFlow.
"""

from __future__ import annotations

import itertools
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

from edge.artifacts import ARTIFACTS_ROOT, artifact_folder, spell_option
from edge.card import build_command
from edge.contract import CONTRACT_FILE, Contract
from edge.datasets import LAYOUTS, class_table
from edge.datasets.reference import recorded_dataset
from edge.errors import InputError, WeightsError
from edge.provenance import RANDOM, SHIPPED
from edge.records import read_record
from train.options import OPTIONS
from train.run_choice import FoundRun, RunChoice, choose_run, find_runs, named
from train.run_folder.resume import resume_command
from train.runs import RUNS_ROOT
from train.weights_card import CARD_SUFFIX, WeightsCard
from train.weights_file import ImportRecord, weights_path_of

CHECKOUT = Path(__file__).resolve().parents[1]
"""Folder of the checkout that this code lies in."""

WEIGHTS_ROOT = Path("weights")
"""Folder where imported weights are looked for, and shipped ones in the checkout."""

_MOST_STEPS = 2
"""Number of folders of each kind that a message offers; it names more."""

_RANDOM_STEP = "--random-weights, if speed alone is asked for"


@dataclass(frozen=True)
class FoundArtifact:
    """An artefact folder of a model.

    Attributes:
        folder: artefact folder.
        contract: contract of its graph; None where the contract cannot be read.
    """

    folder: Path
    contract: Contract | None

    @property
    def is_random(self) -> bool:
        """Return whether the graph is known to have random weights."""
        return self.contract is not None and self.contract.weights.is_random

    @property
    def has_own_weights(self) -> bool:
        """Return whether the graph has weights that are neither random nor those that come with the product."""
        return self.contract is not None and self.contract.weights.kind not in (RANDOM, SHIPPED)

    def words(self) -> str:
        """Return the folder and the origin of its weights, for people."""
        origin = self.contract.weights.sentence() if self.contract is not None else "its contract cannot be read"
        return f"{self.folder} ({origin})"


@dataclass(frozen=True)
class FoundWeights:
    """All weights of a model that were found.

    Attributes:
        model: name of the architecture.
        runs: runs in the folder of the runs.
        other_runs: runs of the checkout or a folder above, where the command was started elsewhere.
        artifacts: artefact folders of the model for single frames.
        imported: weights files that came from published checkpoints, with their records.
        shipped: weights files that come with the product, with their cards.
        artifacts_root: folder of the artefacts.
    """

    model: str
    runs: tuple[FoundRun, ...]
    other_runs: tuple[FoundRun, ...]
    artifacts: tuple[FoundArtifact, ...]
    imported: tuple[tuple[Path, ImportRecord], ...]
    shipped: tuple[tuple[Path, WeightsCard], ...]
    artifacts_root: Path

    @property
    def has_trained_here(self) -> bool:
        """Return whether anything was found here that is not known to be random, beside what comes with the product."""
        return bool(self.runs or self.imported) or any(not artifact.is_random for artifact in self.artifacts)

    def fitting_shipped(self, dataset: str | None, options: Mapping[str, Any]) -> list[tuple[Path, WeightsCard]]:
        """Return the shipped weights that a build may take by itself, since the user has none of the kind.

        Runs, imported weights and artefacts of the same dataset are the user's, even those that do not fit: which of
        them was meant is for the user to say. Without a dataset, weights for any use go before those for research.

        Args:
            dataset: dataset that was asked for; None for any.
            options: options that the user set, which have to be those of the weights where they shape them.
        """
        own = {run.record.dataset for run in self.runs if run.record is not None}
        own |= {record.dataset for _, record in self.imported}
        own |= {found.contract.dataset for found in self.artifacts if found.has_own_weights}
        if dataset is None and (own or self.has_trained_here):
            return []
        known = OPTIONS[self.model]
        fitting = [
            (path, card)
            for path, card in self.shipped
            if dataset in (None, card.dataset)
            and card.dataset not in own
            and all(card.options.get(name) == value for name, value in options.items() if known[name].shapes_weights)
        ]
        return fitting if dataset is not None else [each for each in fitting if not each[1].is_for_research] or fitting

    def fitting_artifacts(
        self,
        dataset: str | None,
        size: tuple[int, int] | None,
        default_size: tuple[int, int],
        options: Mapping[str, Any],
    ) -> list[FoundArtifact]:
        """Return the artefacts with these options, and with this dataset and size where they were given.

        Random weights count where there are no others.
        """
        contracts = [found.contract for found in self.artifacts if found.contract is not None]
        own_sizes = {(contract.height, contract.width) for contract in contracts}
        names = {*LAYOUTS, *(contract.dataset for contract in contracts)}
        folders = {
            artifact_folder(self.model, name, *each, self.artifacts_root, options)
            for name in ([dataset] if dataset is not None else names)
            for each in ([size] if size is not None else {default_size, *own_sizes})
        }
        fitting = [found for found in self.artifacts if found.folder in folders]
        return [found for found in fitting if not found.is_random] or fitting

    def refusal(self, head: str, dataset: str | None, size: tuple[int, int] | None) -> WeightsError:
        """Return the error that names everything that was found, and the options that go on with it.

        Args:
            head: what is missing or ambiguous, as the beginning of a sentence.
            dataset: dataset that was asked for; None for any.
            size: height and width that were asked for; None for any.
        """
        runs = [run.words() for run in self._ranked_runs()]
        artifacts = [artifact.words() for artifact in self.artifacts]
        imported = [f"{path} (imported from {record.file})" for path, record in self.imported]
        shipped = [f"{path} ({card.dataset})" for path, card in self.shipped]
        parts = [
            f"{len(texts)} {what}{'s' if len(texts) != 1 else ''}: {named(texts)}"
            for what, texts in (
                ("run", runs),
                ("artefact", artifacts),
                ("imported weights file", imported),
                ("shipped weights file", shipped),
            )
            if texts
        ]
        found = f"found {'; '.join(parts)}" if parts else f"found none of any kind from {Path.cwd()}"
        steps = self._steps(dataset, size)
        return WeightsError(f"{head}; {found}. Next: {', or '.join(steps)}")

    def _ranked_runs(self) -> list[FoundRun]:
        """Return the runs here, else those near here: the finished ones first, and of them the longest."""

        def rank(run: FoundRun) -> tuple[bool, int, float]:
            return not run.trouble(), len(run.record.history) if run.record is not None else 0, run.started()

        return sorted(self.runs or self.other_runs, key=rank, reverse=True)

    def _steps(self, dataset: str | None, size: tuple[int, int] | None) -> list[str]:
        """Return the options and commands that go on, the likeliest first."""
        usable = [run for run in self._ranked_runs() if run.record is not None and run.weights_path.is_file()]
        finished = [run.record for run in usable if not run.trouble()] if self.runs else []
        datasets = {
            record.dataset: shlex.quote(recorded_dataset(record.dataset, record.described).option)
            for record in finished
        }
        steps = []
        if dataset is None and len(datasets) > 1:
            steps += [f"--dataset {option}" for option in datasets.values()]
        elif dataset is not None and datasets and dataset not in datasets:
            steps.append(f"--dataset {next(iter(datasets.values()))}")
        if size is not None and finished and size not in {(record.height, record.width) for record in finished}:
            steps.append("no --size, for the size that the weights were trained at")
        fitting = [run for run in usable if _has_classes(run.record.class_count, dataset)]
        without = "" if fitting else " without --dataset"
        sound = (run for run in fitting or usable if not run.is_torn())
        steps += [f"--weights {run.folder}{without}" for run in itertools.islice(sound, _MOST_STEPS)]
        steps += [resume_command(run.folder) for run in self._ranked_runs() if run.can_go_on][: not finished]
        steps += [
            f"--weights {path}"
            for path, record in self.imported[:_MOST_STEPS]
            if _has_classes(record.class_count, dataset)
        ]
        steps += [f"--weights {path}" for path, card in self.shipped if _has_classes(card.class_count, dataset)]
        trained = [each.contract for each in self.artifacts if each.contract is not None and not each.is_random]
        steps += [build_command(contract) for contract in trained[:_MOST_STEPS]]
        if not steps:
            steps.append(f"python train/train.py --model {self.model} --dataset {dataset or 'cityscapes'}")
        return [*steps, _RANDOM_STEP]


def find_weights(
    model: str, runs_root: Path = RUNS_ROOT, artifacts_root: Path = ARTIFACTS_ROOT, checkout: Path = CHECKOUT
) -> FoundWeights:
    """Look for everything that has weights of a model.

    Args:
        model: name of the architecture.
        runs_root: folder of the runs.
        artifacts_root: folder of the artefacts.
        checkout: folder of this checkout, which has the shipped weights, and whose runs are named where the command was
            started elsewhere.
    """
    return FoundWeights(
        model=model,
        runs=tuple(find_runs(model, runs_root)),
        other_runs=tuple(run for root in _other_run_roots(checkout) for run in find_runs(model, root)),
        artifacts=tuple(_find_artifacts(model, artifacts_root)),
        imported=tuple(_find_imported(model)),
        shipped=tuple(_find_shipped(model, checkout)),
        artifacts_root=artifacts_root,
    )


def _other_run_roots(checkout: Path) -> list[Path]:
    """Return where runs lie that a user may mean who started the command in another folder than the checkout."""
    here = Path.cwd().resolve()
    if here == checkout:
        return []
    return [folder / RUNS_ROOT for folder in dict.fromkeys((*here.parents, checkout))]


def request_words(dataset: str | None, size: tuple[int, int] | None, options: Mapping[str, Any]) -> str:
    """Return what was asked for behind the model's name, such as " on camvid at 384x512"; "" where nothing was."""
    words = f" on {dataset}" if dataset is not None else ""
    words += f" at {size[0]}x{size[1]}" if size is not None else ""
    spelled = ", ".join(f"{name}={spell_option(value)}" for name, value in sorted(options.items()))
    return f"{words} with {spelled}" if spelled else words


def choose_found_run(
    found: FoundWeights, dataset: str | None, size: tuple[int, int] | None, options: Mapping[str, Any]
) -> RunChoice:
    """Choose among the runs of the folder of the runs, as `choose_run` does.

    Raises:
        WeightsError: runs on several datasets fit, and the user named none.
    """
    choice = choose_run(found.runs, dataset, size, options)
    if choice.rival_datasets:
        head = (
            f"{found.model} has finished runs on {' and '.join(choice.rival_datasets)}, whose scores are not comparable"
        )
        raise found.refusal(head, dataset, size)
    return choice


def _has_classes(class_count: int | None, dataset: str | None) -> bool:
    if class_count is None or dataset not in LAYOUTS:
        return class_count is not None
    return class_count == class_table(dataset).class_count


def _find_artifacts(model: str, root: Path) -> list[FoundArtifact]:
    found = []
    for path in sorted(root.glob(f"{model}[+-]*/{CONTRACT_FILE}")):
        try:
            contract = read_record(Contract, path)
        except InputError:
            found.append(FoundArtifact(path.parent, None))
            continue
        if contract.model == model and contract.batch == 1 and contract.adopted_from is None:
            found.append(FoundArtifact(path.parent, contract))
    return found


def _find_imported(model: str) -> list[tuple[Path, ImportRecord]]:
    found = []
    for path in sorted(WEIGHTS_ROOT.glob("*.weights.json")):
        try:
            record = read_record(ImportRecord, path)
        except InputError:
            continue
        if record.model == model and record.class_count is not None and record.dataset in LAYOUTS:
            found.append((weights_path_of(path), record))
    return found


def _find_shipped(model: str, checkout: Path) -> list[tuple[Path, WeightsCard]]:
    found = []
    for path in sorted((checkout / WEIGHTS_ROOT).glob(f"*{CARD_SUFFIX}")):
        try:
            card = read_record(WeightsCard, path)
        except InputError:
            continue
        weights = weights_path_of(path)
        if card.model == model and card.dataset in LAYOUTS and weights.is_file():
            found.append((weights, card))
    return found
