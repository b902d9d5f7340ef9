"""The classes of a network as its records carry them: names, painted colours, categories and groups.

A class table is known where a dataset is; an engine is also run where nobody has it, such as a dataset of a user's own
on a Jetson. So run.json, contract.json and card.json say of each class what pictures, legends and group scores need.
"""

from __future__ import annotations

from typing import Sequence

import numpy as np

from edge.errors import ContractError
from edge.labels import ClassTable, palette_for
from edge.records import record


@record(schema=1, what="class of a network")
class NetworkClass:
    """One class of a network, as pictures show it and groups count it.

    Attributes:
        name: Name of the class.
        painted_rgb: Colour that the class is painted in over pictures: red, green and blue, 0 to 255.
        category: Category of the class, such as "vehicle".
        groups: Names of the groups that the class belongs to, such as "infrastructure" or "alarm".
        other_names: Names that other lists have for the class, in lower case, such as "pedestrian" for a person.
    """

    name: str
    painted_rgb: tuple[int, ...]
    category: str
    groups: tuple[str, ...] = ()
    other_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.painted_rgb) != 3 or not all(0 <= part <= 255 for part in self.painted_rgb):
            raise ContractError(
                f"class '{self.name}' is painted in {list(self.painted_rgb)}, expected red, green and blue, 0 to 255"
            )


def network_classes(table: ClassTable) -> tuple[NetworkClass, ...]:
    """Return the classes of a table as records carry them, in the order of the train ids."""
    return tuple(
        NetworkClass(
            name=name,
            painted_rgb=tuple(int(part) for part in table.painted_rgb[train_id]),
            category=table.categories[train_id],
            groups=tuple(group for group, train_ids in table.groups.items() if train_id in train_ids),
            other_names=tuple(
                other for other, meant in table.file_class_names.items() if meant == train_id and other != name.lower()
            ),
        )
        for train_id, name in enumerate(table.class_names)
    )


def require_named_alike(classes: Sequence[NetworkClass], class_names: Sequence[str], what: str) -> None:
    """Refuse classes of a record that are others than its class names.

    Args:
        classes: Classes of the record; empty in records of before, which is allowed.
        class_names: Names of the classes in the same record.
        what: Record for the message, such as "contract of fast_scnn".

    Raises:
        ContractError: They differ.
    """
    named = [each.name for each in classes]
    if classes and named != list(class_names):
        raise ContractError(f"{what} has classes {', '.join(named)}, expected those of class_names in their order")


def class_difference(class_names: Sequence[str], whose: str, wanted: Sequence[str], holder: str, dataset: str) -> str:
    """Return how the classes of labels differ from those that something was made for; "" where they are the same.

    Args:
        class_names: Names of the classes of the labels.
        whose: Dataset that has them, such as "camvid".
        wanted: Names of the classes that were expected.
        holder: What has those, such as "the engine".
        dataset: Dataset that it was made for.
    """
    if len(class_names) != len(wanted):
        return f"{whose} has {len(class_names)} classes, {holder} has {len(wanted)} of {dataset}, expected the same"
    for train_id, (name, expected) in enumerate(zip(class_names, wanted)):
        if name != expected:
            return (
                f"class {train_id} of {whose} is '{name}', that of {holder} for {dataset} is '{expected}', expected "
                "the same classes"
            )
    return ""


def painted_palette(classes: Sequence[NetworkClass], class_names: Sequence[str]) -> np.ndarray:
    """Return the colours in which labels are painted over pictures.

    Args:
        classes: Classes of the network's record; empty in records of before, and of classes that nobody described.
        class_names: Names of the classes, by which colours are found where `classes` is empty.

    Returns:
        (256, 3) uint8 RGB; black beyond the classes.
    """
    if not classes:
        return palette_for(tuple(class_names))
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(classes)] = [each.painted_rgb for each in classes]
    return palette
