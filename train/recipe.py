"""Recipe: everything that decides how a network is trained, apart from the network, the data and the seed."""

from __future__ import annotations

import argparse
import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Mapping

from edge.console import MOST_PIXELS, RealNumber, WholeNumber
from edge.errors import InputError

SGD, ADAM, ADAMW = "sgd", "adam", "adamw"
POLYNOMIAL, COSINE, CONSTANT = "polynomial", "cosine", "constant"
COUPLED, DECOUPLED = "coupled", "decoupled"
NO_WEIGHTING, ENET, MEDIAN_FREQUENCY = "none", "enet", "median_frequency"
LOCAL, SYNCHRONISED = "local", "synchronised"
FLOAT32, MIXED_FLOAT16, MIXED_BFLOAT16 = "float32", "mixed_float16", "mixed_bfloat16"

CHOICES: dict[str, tuple[str, ...]] = {
    "optimizer": (SGD, ADAM, ADAMW),
    "schedule": (POLYNOMIAL, COSINE, CONSTANT),
    "weight_decay_kind": (COUPLED, DECOUPLED),
    "class_weighting": (NO_WEIGHTING, ENET, MEDIAN_FREQUENCY),
    "batch_norm": (LOCAL, SYNCHRONISED),
    "precision": (FLOAT32, MIXED_FLOAT16, MIXED_BFLOAT16),
    "init": ("random", "imagenet", "voc"),
}
"""Field of a recipe -> the values that it can have."""

_SIDE = WholeNumber(1, 16384)
_SHARE = RealNumber(0.0, 1.0, "share")
_ZOOM = RealNumber(0.01, 100.0, "")
_BELOW_ONE = RealNumber(0.0, 0.99999, "")

LIMITS: dict[str, WholeNumber | RealNumber] = {
    "epochs": WholeNumber(1),
    # More crops fit no memory; a split of fewer frames is repeated until a batch is full.
    "batch_size": WholeNumber(1, 1024),
    "height": _SIDE,
    "width": _SIDE,
    "learning_rate": RealNumber(0.0, 10.0, "per step", above=True),
    "momentum": _BELOW_ONE,
    "power": RealNumber(0.0, 10.0, "", above=True),
    "warmup_steps": WholeNumber(0),
    "backbone_rate": RealNumber(0.0, 100.0, ""),
    "weight_decay": RealNumber(0.0, 1.0, ""),
    "clip_norm": RealNumber(0.0, 1e6, "", above=True),
    "hardest_share": RealNumber(0.0, 1.0, "share", above=True),
    "crop_height": _SIDE,
    "crop_width": _SIDE,
    "scale_min": _ZOOM,
    "scale_max": _ZOOM,
    "flip": _SHARE,
    "brightness": _SHARE,
    "contrast": _SHARE,
    "saturation": _SHARE,
    "blur": _SHARE,
    "accumulation": WholeNumber(1, 1024),
    "ema": _BELOW_ONE,
    "validate_every": WholeNumber(1),
    "patience": WholeNumber(1),
}
"""Field of a recipe -> the numbers that it can be; the command's options have the same limits."""

AUXILIARY_WEIGHT = RealNumber(0.0, 100.0, "")
"""Limits of the weight of an auxiliary loss."""


@dataclass(frozen=True)
class Recipe:
    """The settings of one training.

    Attributes:
        epochs: number of passes over the training split.
        batch_size: number of crops in a step, over all devices and workers.
        height: rows of the frames in validation, and of the crops unless `crop_height` says otherwise.
        width: columns of the frames in validation, and of the crops unless `crop_width` says otherwise.
        optimizer: name of the optimiser: "sgd", "adam" or "adamw".
        learning_rate: learning rate after the warm-up.
        momentum: momentum of "sgd", not Nesterov's.
        schedule: how the rate falls over the steps after the warm-up: "polynomial" as (1 - share) ** power,
            "cosine", or "constant".
        power: exponent of the polynomial.
        warmup_steps: steps in which the rate rises linearly from `learning_rate` / `warmup_steps`.
        backbone_rate: factor of the learning rate of the backbone's layers.
        weight_decay: factor of the weights that is added to their gradients ("coupled": L2 regularisation, as the
            papers' SGD), or by which they shrink beside the step, times the rate ("decoupled": AdamW).
        weight_decay_kind: "coupled" or "decoupled".
        decay_norms: whether BatchNorm's scales and offsets and all biases decay too, as PyTorch's default has it.
        decay_depthwise: whether depthwise kernels decay too.
        clip_norm: largest global norm of the gradients, which are scaled down to it; None for no limit.
        class_weighting: weights of the classes in the cross entropy: "none", "enet" (1 / ln(1.02 + share)) or
            "median_frequency".
        hardest_share: share of the labelled pixels of a crop, those with the largest loss, that the cross entropy of
            the logits counts (online hard example mining); 1 for all.
        auxiliary_weights: name of an auxiliary output -> weight of its loss, where it differs from the architecture's.
        crop_height: rows of a training crop; None for `height`.
        crop_width: columns of a training crop; None for `width`.
        scale_min: smallest random zoom, relative to frames of height x width.
        scale_max: largest random zoom, relative to frames of height x width.
        flip: probability that a crop is mirrored.
        brightness: largest change of brightness, as a share of 255.
        contrast: largest relative change of contrast.
        saturation: largest relative change of saturation.
        blur: probability that a crop is blurred.
        batch_norm: statistics of BatchNorm over each device's crops ("local") or all ("synchronised").
        precision: "float32", "mixed_float16" (with loss scaling) or "mixed_bfloat16".
        xla: whether the step is compiled by XLA.
        accumulation: parts that a batch is computed in, one after the other, to save memory; the step is the same but
            for BatchNorm.
        ema: decay per step of the moving average of the weights, which is then what is validated and kept; 0 for none.
        init: weights that the training starts from unless the command says otherwise: "random", "imagenet" or "voc".
        validate_every: epochs between two validations; the last epoch is always validated.
        patience: validations without a better score after which the training ends; None for no limit.
        options: options of the architecture that differ from its defaults.
    """

    epochs: int
    batch_size: int
    height: int
    width: int
    optimizer: str
    learning_rate: float
    momentum: float = 0.9
    schedule: str = POLYNOMIAL
    power: float = 0.9
    warmup_steps: int = 0
    backbone_rate: float = 1.0
    weight_decay: float = 4e-5
    weight_decay_kind: str = COUPLED
    decay_norms: bool = False
    decay_depthwise: bool = False
    clip_norm: float | None = None
    class_weighting: str = NO_WEIGHTING
    hardest_share: float = 1.0
    auxiliary_weights: dict[str, float] = field(default_factory=dict)
    crop_height: int | None = None
    crop_width: int | None = None
    scale_min: float = 0.5
    scale_max: float = 2.0
    flip: float = 0.5
    brightness: float = 0.15
    contrast: float = 0.25
    saturation: float = 0.25
    blur: float = 0.0
    batch_norm: str = LOCAL
    precision: str = FLOAT32
    xla: bool = False
    accumulation: int = 1
    ema: float = 0.0
    init: str = "random"
    validate_every: int = 1
    patience: int | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def changed(self, **changes: object) -> Recipe:
        """Return a recipe with the given settings; a setting of None keeps the value of this recipe."""
        return dataclasses.replace(self, **{name: value for name, value in changes.items() if value is not None})

    def to_json(self) -> dict[str, Any]:
        """Return every field with its value, as `train.recipes.read_recipe` reads it from a file."""
        return dataclasses.asdict(self)

    @property
    def crop_size(self) -> tuple[int, int]:
        """Height and width of a training crop."""
        return self.crop_height or self.height, self.crop_width or self.width

    def check(self, where: str = "recipe") -> Recipe:
        """Refuse settings that no training can have, and return this recipe.

        Whether the network can take the sizes and has the options and outputs is known to its architecture alone.

        Args:
            where: name of the recipe for messages, such as "recipe fine.json".

        Raises:
            InputError: a field has another type or is out of its range, or two fields contradict each other.
        """
        for each in dataclasses.fields(self):
            _check_field(where, each.name, str(each.type), getattr(self, each.name))
        self._check_together(where)
        return self

    def _check_together(self, where: str) -> None:
        """Refuse fields that contradict each other, each of which is right by itself."""
        if self.scale_min > self.scale_max:
            raise InputError(
                f"{where}: scale_min is {self.scale_min:g}, expected at most scale_max, which is {self.scale_max:g}"
            )
        sizes = {"size": (self.height, self.width), "crop": self.crop_size}
        for name, (height, width) in sizes.items():
            if height * width > MOST_PIXELS:
                raise InputError(f"{where}: {name} is {height}x{width}, expected at most {MOST_PIXELS} pixels in all")
        largest = tuple(math.ceil(side * self.scale_max) for side in (self.height, self.width))
        if any(crop > side for crop, side in zip(self.crop_size, largest)):
            crop_height, crop_width = self.crop_size
            raise InputError(
                f"{where}: crop is {crop_height}x{crop_width}, frames of {self.height}x{self.width} are at most "
                f"{largest[0]}x{largest[1]} after the zoom, so every crop would be padded. Next: a smaller crop, or "
                "a larger scale_max"
            )
        if self.batch_size % self.accumulation:
            raise InputError(
                f"{where}: accumulation is {self.accumulation}, expected a number that divides the batch of "
                f"{self.batch_size}"
            )
        if self.optimizer == ADAMW and self.weight_decay and self.weight_decay_kind != DECOUPLED:
            raise InputError(
                f"{where}: weight_decay_kind of {ADAMW} is {self.weight_decay_kind}, expected {DECOUPLED}. Next: "
                f"--set weight_decay_kind={DECOUPLED}, or --optimizer {ADAM}"
            )


def _check_field(where: str, name: str, annotation: str, value: object) -> None:
    """Refuse the value of one field by its type and limits.

    Raises:
        InputError: the value has another type, or is out of range.
    """
    if annotation.endswith(" | None"):
        if value is None:
            return
        annotation = annotation[: -len(" | None")]
    if annotation.startswith("dict"):
        _check_mapping(where, name, value)
    elif annotation == "bool":
        if not isinstance(value, bool):
            raise InputError(f"{where}: {name} is {spell_value(value)}, expected true or false")
    elif annotation == "str":
        if value not in CHOICES[name]:
            raise InputError(f"{where}: {name} is {spell_value(value)}, expected {', '.join(CHOICES[name])}")
    else:
        _check_number(where, name, LIMITS[name], value)


def _check_mapping(where: str, name: str, value: object) -> None:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise InputError(f"{where}: {name} is {spell_value(value)}, expected an object such as {{}}")
    if name == "auxiliary_weights":
        for output, weight in value.items():
            _check_number(where, f"{name}.{output}", AUXILIARY_WEIGHT, weight)


def _check_number(where: str, name: str, limits: WholeNumber | RealNumber, value: object) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number:
        kind = "a whole number" if isinstance(limits, WholeNumber) else "a number"
        raise InputError(f"{where}: {name} is {spell_value(value)}, expected {kind}")
    try:
        limits(repr(value))
    except argparse.ArgumentTypeError as error:
        raise InputError(f"{where}: {name}: {error}") from None


def spell_value(value: object) -> str:
    """Return the value of a field as a user would type it, cut short where it is long."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    text = f"'{value}'" if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
