"""The contract of a graph that this project did not make: a small JSON file that its owner writes.

    {
      "name": "ddrnet23",
      "dataset": "cityscapes",
      "mean": [0.485, 0.456, 0.406],
      "std": [0.229, 0.224, 0.225],
      "scale": 255,
      "channel_order": "rgb",
      "coordinates": "half_pixel"
    }

It says what the file of the graph cannot: what a pixel is to be turned into, and what the channels
of the output mean. Whatever the file does say (names, sizes, stride) is read there, so that nothing
has to be written twice; where both say it, they are compared.

Plain JSON, and no record of edge.records: those are written by one version of the project and read
by the next, so they carry a schema and are made again when it changes. This one is typed by a
person, once, and nothing can make it again. So "schema" may be left out (it is 1), every field has
a check of its own, and an unknown field is refused with the name that it was probably meant to have:
one that is silently ignored would be a wrong normalisation.
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Mapping

import numpy as np

from edge.artifacts import read_json
from edge.console import parse_size
from edge.contract import OWN_CLASSES
from edge.coordinate_rules import COORDINATE_RULES
from edge.datasets import LAYOUTS
from edge.datasets.description.file import is_description
from edge.datasets.reference import DatasetReference, dataset_reference
from edge.errors import ContractError, SizeError
from edge.network_class import NetworkClass
from edge.preprocess import COLOR_ORDERS
from edge.provenance import DescribedData
from export.adopt import decision_fields
from export.adopt.decision_fields import AskedDecision, is_finite, read_decision, spell
from train.options import MODEL_NAMES

SCHEMA = 1

SCALES = (1, 255)

REQUIRED = ("name", "mean", "std", "scale", "channel_order")
OPTIONAL = (
    "schema",
    "dataset",
    "class_names",
    "coordinates",
    "input_name",
    "output_name",
    "size",
    "weights",
    "trained",
    *decision_fields.FIELDS,
)

LONGEST_NAME = 64
MOST_CLASSES = 255

LARGEST_UNIT_STD = 10.0
"""Of pixels in 0..1: some networks take them times a few, none has a spread in units of 0..255."""


@dataclass(frozen=True)
class ForeignContract:
    """Contract of a given graph, as its owner wrote it.

    Attributes:
        name: model name of the artefact: letters, digits, ".", "_" and "-".
        dataset: name of the dataset whose classes the output has, a key in edge.datasets.LAYOUTS or the name in a
            dataset description; OWN_CLASSES for others.
        class_names: name of each label, in their order: those of the output's channels without a void one, behind the
            background of a decision by thresholds.
        mean: mean of each channel, in `channel_order`, in units of pixel / scale.
        std: spread of each channel, in `channel_order`, in units of pixel / scale, more than 0.
        scale: 255 if mean and std are of pixels in 0..1, 1 if they are of pixels in 0..255.
        channel_order: channel order of the graph's input, "rgb" or "bgr".
        coordinates: rule of the last upsampling, "half_pixel" or "align_corners"; None if the graph does it.
        input_name: name of the input that takes the frame, where the graph has several; None for its only one.
        output_name: name of the tensor that holds the logits, which any node may give; None for the graph's only
            output.
        size: (height, width) that a graph of free size is built for; None if the command gives it.
        weights: text that says where the weights come from; None for the name of the file.
        trained: False if nobody trained the weights, so that only the speed of an engine means anything.
        decision: rule by which the output becomes labels.
        classes: painted colours, categories and groups of the classes of a dataset; empty for others.
        described: description of the dataset; None where there is none.
    """

    name: str
    dataset: str
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    scale: int
    channel_order: str
    coordinates: str | None = None
    input_name: str | None = None
    output_name: str | None = None
    size: tuple[int, int] | None = None
    weights: str | None = None
    trained: bool = True
    decision: AskedDecision = field(default_factory=AskedDecision)
    classes: tuple[NetworkClass, ...] = ()
    described: DescribedData | None = None

    def normalise(self, tensor: np.ndarray) -> np.ndarray:
        """Return a prepared frame as the graph takes it, by definition: (pixel / scale - mean) / std.

        Args:
            tensor: frame, (1, height, width, 3) uint8 RGB.

        Returns:
            Normalised frame, (1, 3, height, width) float32, channels in `channel_order`.
        """
        ordered = tensor[..., ::-1] if self.channel_order == "bgr" else tensor
        normal = (ordered.astype(np.float64) / self.scale - self.mean) / self.std
        return np.ascontiguousarray(normal.transpose(0, 3, 1, 2), np.float32)

    def factor_and_offset(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the normalisation as pixel * factor + offset: two (3,) float64, channels in `channel_order`."""
        mean, std = np.asarray(self.mean), np.asarray(self.std)
        return 1.0 / (self.scale * std), -mean / std


def read_foreign_contract(path: str | os.PathLike) -> ForeignContract:
    """Read the contract of a given graph.

    Raises:
        InputError: the file does not exist.
        ContractError: the file is no JSON, lacks a field, or has an unknown field or one that contradicts itself.
    """
    return foreign_contract(read_json(path, "contract"), os.fspath(path))


def foreign_contract(fields: Mapping[str, Any], where: str) -> ForeignContract:
    """Return the contract with these fields after a check of each.

    Args:
        fields: fields of the JSON file, by name.
        where: path of the file, for messages.

    Raises:
        ContractError: a field is missing, unknown or damaged, or the fields contradict each other.
    """
    return _Reader(dict(fields), where).read()


class _Reader:
    """Reads the fields of one file, each with a check of its own."""

    def __init__(self, fields: dict[str, Any], where: str) -> None:
        self._fields, self._where = fields, where

    def read(self) -> ForeignContract:
        self._check_names()
        reference, names = self._classes()
        dataset = reference.name if reference is not None else OWN_CLASSES
        decision, class_names = read_decision(self._fields, names, reference is not None, self._refuse)
        scale = self._one_of("scale", SCALES)
        mean, std = self._three_numbers("mean"), self._three_numbers("std")
        self._check_units(mean, std, scale)
        return ForeignContract(
            name=self._name(),
            dataset=dataset,
            class_names=class_names,
            mean=mean,
            std=std,
            scale=scale,
            channel_order=self._one_of("channel_order", COLOR_ORDERS),
            coordinates=self._one_of("coordinates", COORDINATE_RULES) if self._has("coordinates") else None,
            input_name=self._text("input_name"),
            output_name=self._text("output_name"),
            size=self._size(),
            weights=self._text("weights"),
            trained=self._one_of("trained", (True, False)) if self._has("trained") else True,
            decision=decision,
            classes=reference.classes() if reference is not None and class_names == names else (),
            described=reference.described() if reference is not None else None,
        )

    def _has(self, field: str) -> bool:
        return self._fields.get(field) is not None

    def _refuse(self, message: str) -> ContractError:
        return ContractError(f"contract {self._where}: {message}")

    def _check_names(self) -> None:
        unknown = [name for name in self._fields if name not in (*REQUIRED, *OPTIONAL)]
        if unknown:
            likely = difflib.get_close_matches(unknown[0], (*REQUIRED, *OPTIONAL), 1)
            wanted = f"did you mean '{likely[0]}'" if likely else f"expected of {', '.join((*REQUIRED, *OPTIONAL))}"
            raise self._refuse(f"unknown field '{unknown[0]}', {wanted}")
        missing = [name for name in REQUIRED if not self._has(name)]
        if missing:
            raise self._refuse(f"lacks {', '.join(missing)}. Next: add what docs/any-network.md says of it")
        if self._has("schema"):
            self._one_of("schema", (SCHEMA,))

    def _one_of(self, field: str, known: tuple[Any, ...]) -> Any:
        value = self._fields[field]
        # True equals 1 in Python, and is no scale.
        found = [each for each in known if each == value and isinstance(each, bool) == isinstance(value, bool)]
        if not found:
            raise self._refuse(f"{field} is {spell(value)}, expected {' or '.join(map(spell, known))}")
        return found[0]

    def _text(self, field: str) -> str | None:
        if not self._has(field):
            return None
        value = self._fields[field]
        if not isinstance(value, str) or not value.strip():
            raise self._refuse(f"{field} is {spell(value)}, expected a text")
        return value

    def _name(self) -> str:
        name = self._fields["name"]
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise self._refuse(
                f"name is {spell(name)}, expected letters, digits, '.', '_' and '-', a letter or digit first: "
                "it names a folder"
            )
        if len(name) > LONGEST_NAME:
            raise self._refuse(f"name has {len(name)} characters, expected at most {LONGEST_NAME}")
        if name in MODEL_NAMES:
            raise self._refuse(f"name is '{name}', which is an architecture of this project, expected another one")
        return name

    def _classes(self) -> tuple[DatasetReference | None, tuple[str, ...]]:
        if self._has("dataset") == self._has("class_names"):
            found = "both dataset and class_names" if self._has("dataset") else "neither dataset nor class_names"
            raise self._refuse(f"has {found}, expected one of them: it says what the channels of the output mean")
        if self._has("dataset"):
            reference = self._dataset()
            return reference, tuple(each.name for each in reference.classes())
        names = self._fields["class_names"]
        if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
            raise self._refuse(f"class_names is {spell(names)}, expected a list of names")
        if not 1 <= len(names) <= MOST_CLASSES:
            raise self._refuse(f"class_names has {len(names)} names, expected 1 to {MOST_CLASSES}")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise self._refuse(f"class_names has '{twice[0]}' twice, expected a name for each class")
        return None, tuple(names)

    def _dataset(self) -> DatasetReference:
        """Return the dataset that the file names; a description lies relative to the file."""
        given = self._fields["dataset"]
        if isinstance(given, str) and is_description(given):
            return dataset_reference(os.fspath(Path(self._where).parent / given))
        return DatasetReference(self._one_of("dataset", tuple(LAYOUTS)))

    def _three_numbers(self, field: str) -> tuple[float, ...]:
        value = self._fields[field]
        if not isinstance(value, list) or len(value) != 3 or not all(map(is_finite, value)):
            raise self._refuse(f"{field} is {spell(value)}, expected a list of 3 numbers, in channel_order")
        if field == "std" and min(value) <= 0:
            raise self._refuse(f"std is {spell(value)}, expected 3 numbers over 0")
        return tuple(map(float, value))

    def _check_units(self, mean: tuple[float, ...], std: tuple[float, ...], scale: int) -> None:
        """Refuse a mean of 123.7 with a scale of 255, and one of 0.485 with a scale of 1.

        Such figures have two readings, and only the owner knows the right one: some networks divide by 255 twice, or
        once less than others, and are none the worse for it if they were trained so.
        """
        largest = max(map(abs, mean))
        of_mean, of_std = f"mean {spell(list(mean))}", f"std {spell(list(std))}"
        if scale == 1 and 0 < largest <= 1 and max(std) <= 1:
            raise self._refuse(
                f"{of_mean} and {of_std} are of pixels in 0..1, scale 1 means 0..255. Next: scale 255 if the network "
                "takes (pixel / 255 - mean) / std, or that and both divided by 255 if it takes (pixel - mean) / std"
            )
        if scale != 255 or (largest <= 1 and max(std) <= LARGEST_UNIT_STD):
            return
        if largest > 1 > max(std):
            raise self._refuse(
                f"{of_mean} is of pixels in 0..255, {of_std} of 0..1, expected both of 0..1 for scale 255. Next: "
                "divide mean by 255, or scale 1 if the network takes (pixel - mean) / std"
            )
        if 0 < largest <= 1:
            raise self._refuse(
                f"{of_mean} is of pixels in 0..1, {of_std} of 0..255, expected both of 0..1 for scale 255. Next: "
                "divide std by 255, or scale 1 and both times 255 if the network takes (pixel / 255 - mean) / std"
            )
        raise self._refuse(
            f"{of_mean} and {of_std} are of pixels in 0..255, scale 255 means 0..1. Next: scale 1 if the network takes "
            "(pixel - mean) / std, or that and std times 255 if it divides by 255 afterwards"
        )

    def _size(self) -> tuple[int, int] | None:
        text = self._text("size")
        if text is None:
            return None
        try:
            return parse_size(text)
        except SizeError as error:
            raise self._refuse(str(error)) from None
