"""The fields of a given graph's contract that say how its output becomes labels: read, and checked against each other.

    "decision"      "argmax", "binary" or "per-class"
    "threshold"     a number, or one for each channel
    "background"    name of the label of pixels over no threshold
    "void_channel"  index or name of a channel that is no class

What only the graph can tell (the count of channels, whether a threshold is a probability or a logit) is checked by
export/adopt/label_rule.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Callable, Mapping

from edge.decision import ARGMAX, BINARY, DECISIONS, PER_CLASS

FIELDS = ("decision", "threshold", "background", "void_channel")

BACKGROUND = "background"
"""Name of the background of a binary decision whose contract has no name for it."""

MOST_LABELS = 255


@dataclass(frozen=True)
class AskedDecision:
    """The decision that a contract asks for.

    Attributes:
        kind: one of edge.decision.DECISIONS; None where the contract does not say it.
        thresholds: one number for all channels, or one for each; None for the default or the graph's own.
        background: name of label 0 of a decision by thresholds; None for argmax.
        void_channel: index of the output channel that is no class; None if all are.
        channel_counts: numbers of output channels that fit the contract, void channel included.
    """

    kind: str | None = None
    thresholds: tuple[float, ...] | None = None
    background: str | None = None
    void_channel: int | None = None
    channel_counts: tuple[int, ...] = ()


def read_decision(
    fields: Mapping[str, Any], names: tuple[str, ...], is_dataset: bool, refuse: Callable[[str], Exception]
) -> tuple[AskedDecision, tuple[str, ...]]:
    """Read the decision of a contract.

    Args:
        fields: fields of the JSON file, by name; None is the same as left out.
        names: names of the classes: the contract's own, or those of its dataset.
        is_dataset: True if they are a dataset's.
        refuse: function that makes the error of a message.

    Returns:
        (decision, names of the labels in their order).

    Raises:
        ContractError: a field is damaged, or fields contradict each other.
    """
    given = {name: fields[name] for name in FIELDS if fields.get(name) is not None}
    kind = given.get("decision")
    if kind is not None and kind not in DECISIONS:
        raise refuse(f"decision is {spell(kind)}, expected {' or '.join(map(spell, DECISIONS))}")
    _check_kind(kind, given, names, is_dataset, refuse)
    void, names = _void_channel(given.get("void_channel"), names, is_dataset, refuse)
    if kind == BINARY:
        labels, channel_counts = _binary_labels(names, given.get("background"), refuse)
    elif kind == PER_CLASS:
        labels = _per_class_labels(names, given.get("background"), refuse)
        channel_counts = (len(names) + (void is not None),)
    else:
        labels, channel_counts = names, (len(names) + (void is not None),)
    if len(labels) == 1 and void is not None:
        raise refuse(
            "has 1 class beside the void channel, which is label 0 everywhere, expected several classes. Next: leave "
            'void_channel out, or "decision": "per-class" for a threshold'
        )
    if len(labels) > MOST_LABELS:
        raise refuse(f"has {len(labels)} labels with the background, expected at most {MOST_LABELS}")
    thresholds = _thresholds(given["threshold"], len(labels) - 1, refuse) if "threshold" in given else None
    background = labels[0] if kind in (BINARY, PER_CLASS) else None
    return AskedDecision(kind, thresholds, background, void, channel_counts), labels


def _check_kind(
    kind: str | None,
    given: Mapping[str, Any],
    names: tuple[str, ...],
    is_dataset: bool,
    refuse: Callable[[str], Exception],
) -> None:
    """Refuse fields that a kind of decision does not go with."""
    if kind in (None, ARGMAX):
        for name in ("threshold", "background"):
            if name in given:
                raise refuse(
                    f"has a {name} and {'no decision' if kind is None else 'the decision argmax'}, which has none. "
                    'Next: "decision": "binary" for one channel, "per-class" for a threshold for each of several'
                )
    if kind == ARGMAX and len(names) == 1:
        raise refuse(
            "has 1 class and the decision argmax, which is label 0 everywhere, expected several classes. "
            'Next: "decision": "binary"'
        )
    if kind == BINARY and "void_channel" in given:
        raise refuse(
            "has a void_channel and the decision binary, which has one class, expected one of them. "
            'Next: "decision": "per-class", or leave void_channel out'
        )
    if kind in (BINARY, PER_CLASS) and is_dataset:
        raise refuse(
            f"has a dataset and the decision {kind}, whose label 0 is a background that the dataset has no id for. "
            "Next: class_names in place of dataset"
        )


def _void_channel(
    value: Any, names: tuple[str, ...], is_dataset: bool, refuse: Callable[[str], Exception]
) -> tuple[int | None, tuple[str, ...]]:
    """Return the index of the void channel and the names without its; a name is one of the contract's own classes."""
    if value is None:
        return None, names
    if isinstance(value, str):
        if is_dataset or value not in names:
            known = "" if is_dataset else f", or one of class_names ({', '.join(names)})"
            raise refuse(f"void_channel is {spell(value)}, expected an index from 0{known}")
        if len(names) == 1:
            raise refuse(f"void_channel is {spell(value)}, the only class, expected a class beside it")
        return names.index(value), tuple(name for name in names if name != value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= len(names):
        raise refuse(
            f"void_channel is {spell(value)}, expected an index from 0 to {len(names)}: {len(names)} classes and it "
            f"are {len(names) + 1} channels"
        )
    return value, names


def _binary_labels(
    names: tuple[str, ...], background: Any, refuse: Callable[[str], Exception]
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the two labels, and the counts of channels that they fit: with both named, the network may have both."""
    if len(names) > 2:
        raise refuse(
            f"has {len(names)} classes and the decision binary, expected 1, or 2 with the background first. "
            'Next: "decision": "per-class"'
        )
    if len(names) == 2:
        if background is not None and background != names[0]:
            raise refuse(
                f"background is {spell(background)}, the first of 2 class_names is '{names[0]}', expected the same. "
                "Next: name the background first, or the class alone"
            )
        return names, (1, 2)
    return (_background_name(BACKGROUND if background is None else background, names, refuse), *names), (1,)


def _per_class_labels(names: tuple[str, ...], background: Any, refuse: Callable[[str], Exception]) -> tuple[str, ...]:
    if background is None:
        raise refuse(
            "has the decision per-class and no background, expected the name of the label of pixels over no threshold. "
            'Next: add "background": "background"'
        )
    return (_background_name(background, names, refuse), *names)


def _background_name(background: Any, names: tuple[str, ...], refuse: Callable[[str], Exception]) -> str:
    if not isinstance(background, str) or not background.strip():
        raise refuse(f"background is {spell(background)}, expected a text")
    if background in names:
        raise refuse(
            f"background is '{background}', which is a class too, expected a name of its own: it is where no class is "
            f'over its threshold. Next: another name, or "void_channel": "{background}" to leave that channel out'
        )
    return background


def _thresholds(value: Any, count: int, refuse: Callable[[str], Exception]) -> tuple[float, ...]:
    numbers = value if isinstance(value, list) else [value]
    if not numbers or not all(is_finite(number) for number in numbers):
        raise refuse(f"threshold is {spell(value)}, expected a number, or a list of {count}")
    if isinstance(value, list) and len(numbers) != count:
        raise refuse(
            f"threshold has {len(numbers)} numbers, expected {count}, one for each class but the background and the "
            "void channel"
        )
    return tuple(map(float, numbers))


def is_finite(value: Any) -> bool:
    """Return whether a value of a JSON file is a finite number; true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def spell(value: Any) -> str:
    """Return a value as it stands in the file, cut to fit a line."""
    if isinstance(value, bool):
        return str(value).lower()
    text = f"'{value}'" if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
