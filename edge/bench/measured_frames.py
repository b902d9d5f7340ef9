"""Which frames an engine is measured on, by the options of a command and by what the engine was made for."""

from __future__ import annotations

import argparse

from edge.bench.frame_source import check_one_set, chosen_frames, settle_input
from edge.bench.measure import refuse_accuracy_of_random_weights
from edge.card import EngineCard
from edge.console import print_warning
from edge.datasets import Dataset, open_dataset
from edge.datasets.reference import change_sentence, dataset_reference, recorded_dataset
from edge.frames import FrameSet
from edge.picture_check import checked_dataset


def measured_frames(
    arguments: argparse.Namespace, card: EngineCard, with_accuracy: bool = False
) -> tuple[FrameSet, Dataset | None]:
    """Return the frames that an engine is measured on, and the labelled split of its accuracy; None without.

    Args:
        arguments: Parsed options of `add_frame_arguments`.
        card: Card of the engine.
        with_accuracy: Whether mIoU is measured too.

    Raises:
        InputError: The options name two sets of frames, or none that is there.
        DatasetError: The dataset cannot be opened, or has no labels.
    """
    contract = card.contract
    settle_input(arguments)
    check_one_set(arguments, with_accuracy)
    # Accuracy or a folder of a dataset, without its name, means the one that the engine was made for.
    own = recorded_dataset(contract.dataset, contract.described)
    dataset = arguments.dataset or (own.option if with_accuracy or arguments.data_dir else None)
    if dataset == own.option:
        own.require_here()
    labelled = None
    if with_accuracy:
        refuse_accuracy_of_random_weights(card)
        opened = open_dataset(dataset, arguments.data_dir, "val")
        labelled = checked_dataset(opened, needs_labels=True, skip_bad=arguments.skip_bad)
        change = change_sentence(dataset_reference(dataset), contract.described, "the export of this network")
        if change:
            print_warning(f"dataset description {change}")
    return chosen_frames(arguments, dataset, (contract.height, contract.width)), labelled
