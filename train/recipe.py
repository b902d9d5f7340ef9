"""Recipe: everything that decides how a network is trained, apart from the network, the data and the seed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

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

    @property
    def crop_size(self) -> tuple[int, int]:
        """Height and width of a training crop."""
        return self.crop_height or self.height, self.crop_width or self.width
