"""Options of the architectures: their names, values and meanings.

This table stands apart from the models, because a device that has no Keras reads it too: an artefact
folder is named after the options that differ from their defaults.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from typing import Any, Iterable, Mapping

from edge.artifacts import spell_option
from edge.errors import InputError

HALF_PIXEL, ALIGN_CORNERS = "half_pixel", "align_corners"


@dataclass(frozen=True)
class Option:
    """One option of an architecture.

    Attributes:
        default: value that holds unless the user says otherwise; its type is the type of the option.
        choices: the values that the option can take; empty for any number from `least` to `most`.
        help: one line that says what the option does.
        least: smallest number, where there are no choices.
        most: largest number, where there are no choices.
        shapes_weights: True where weights trained with one value fit no other. Options that do not shape the
            weights can be set anew at export.
    """

    default: Any
    choices: tuple[Any, ...]
    help: str
    least: float = 0
    most: float = math.inf
    shapes_weights: bool = True

    def parse(self, name: str, value: Any) -> Any:
        """Return a value of the option's type.

        Args:
            name: name of the option, for the message.
            value: a value of that type, or its text as a user types it.

        Raises:
            InputError: the value is none of the choices, or no number.
        """
        parsed = _parse_text(value, type(self.default)) if isinstance(value, str) else value
        if isinstance(self.default, float) and isinstance(parsed, int) and not isinstance(parsed, bool):
            parsed = float(parsed)
        fits = type(parsed) is type(self.default) and (
            parsed in self.choices
            if self.choices
            else not isinstance(parsed, str) and self.least <= parsed <= self.most and parsed != math.inf
        )
        if not fits:
            raise InputError(f"option {name} is '{spell_option(value)}', expected {self._wanted()}")
        return parsed

    def _wanted(self) -> str:
        if self.choices:
            return ", ".join(map(spell_option, self.choices))
        kind = "a whole number" if isinstance(self.default, int) else "a number"
        return (
            f"{kind} of at least {self.least:g}"
            if self.most == math.inf
            else f"{kind} from {self.least:g} to {self.most:g}"
        )


def _parse_text(text: str, kind: type) -> Any:
    if kind is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        return kind(text)
    except ValueError:
        return text


_COORDINATES = Option(
    HALF_PIXEL, (HALF_PIXEL, ALIGN_CORNERS), "coordinate rule of every bilinear resize, also of the logits"
)
_DEPTH = "layers of the ResNet"
_STRIDE_ON = Option("3x3", ("3x3", "1x1"), "convolution of a ResNet block that has its stride: 3x3 (v1.5) or 1x1 (v1)")


def _normalisation(default: str = "imagenet") -> Option:
    choices = ("imagenet", "caffe", "caffe_unit", "unit", "symmetric")
    return Option(default, choices, "statistics that the frame is normalised with, see train/models/base.py")


OPTIONS: dict[str, dict[str, Option]] = {
    "unet": {
        "batch_norm": Option(False, (False, True), "BatchNorm behind each 3x3 convolution, which then has no bias"),
        "base_width": Option(64, (), "channels at full resolution; each level down has twice as many", 1, 1024),
        "normalisation": _normalisation(),
    },
    "bayesian_segnet": {
        "classifier": Option(
            "plain", ("plain", "norm_relu"), "what follows the last convolution: nothing, or BatchNorm and ReLU"
        ),
        "normalisation": _normalisation(),
        "monte_carlo": Option(
            0,
            (),
            "samples with dropout on that the exported graph averages; 0 for one without dropout",
            most=1000,
            shapes_weights=False,
        ),
        "uncertainty": Option(
            "entropy", ("entropy", "variance"), "what the uncertainty output of monte_carlo is", shapes_weights=False
        ),
    },
    "deeplabv3plus": {
        "depth": Option(101, (50, 101), _DEPTH),
        "output_stride": Option(16, (8, 16), "of the backbone; 8 doubles the rates of the ASPP"),
        "decoder_convs": Option(2, (1, 2), "3x3 convolutions of the decoder; the paper's best has 2"),
        "coordinates": _COORDINATES,
        "stride_on": _STRIDE_ON,
        "normalisation": _normalisation(),
    },
    "fast_scnn": {
        "separable_relu": Option(False, (False, True), "ReLU between the halves of a separable convolution"),
        "padding": Option(
            "same", ("same", "symmetric"), "of strided 3x3 convolutions: at the end alone (TensorFlow), or on both ends"
        ),
        "first_padding": Option("same", ("same", "valid"), "of the first convolution: as `padding` says, or none"),
        "fusion_dilation": Option(4, (4, 1), "of the depthwise convolution of the feature fusion"),
        "coordinates": _COORDINATES,
        "dropout": Option(0.1, (), "rate in front of the classifier", most=1),
        "normalisation": _normalisation(),
    },
    "fastfcn": {
        "depth": Option(50, (50, 101), _DEPTH),
        "head": Option("encnet", ("encnet", "psp", "deeplab", "fcn"), "what classifies the joined features"),
        "stem": Option("deep", ("deep", "plain"), "three 3x3 convolutions, or one 7x7"),
        "coordinates": _COORDINATES,
        "encoding_positions": Option(
            3600, (), "positions that EncNet's sums are scaled to; 0 for the plain sum of the reference", most=1e9
        ),
        "stride_on": _STRIDE_ON,
        "normalisation": _normalisation(),
    },
    "panoptic_deeplab": {
        "backbone": Option("resnet50", ("resnet50", "mobilenet_v3_large"), "network that gives the features"),
        "output_stride": Option(32, (16, 32), "of a ResNet backbone; the ASPP's rates are 3/6/9 at 32, 6/12/18 at 16"),
        "pooling_norm": Option(True, (True, False), "BatchNorm behind the convolution of the ASPP's image pooling"),
        "coordinates": _COORDINATES,
        "stride_on": _STRIDE_ON,
        "normalisation": _normalisation(),
    },
}
"""Architecture -> option name -> option."""

MODEL_NAMES = tuple(sorted(OPTIONS))


def check_model_name(model: str) -> None:
    """Refuse a name that is no architecture.

    Raises:
        InputError: there is no such architecture; the message lists those that there are.
    """
    if model not in OPTIONS:
        raise InputError(f"model is '{model}', expected one of: {', '.join(MODEL_NAMES)}")


def resolve_options(model: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return every option of an architecture with its value.

    Args:
        model: name of the architecture.
        given: options that the user set, as values or as text.

    Raises:
        InputError: an option is unknown, or cannot take its value.
    """
    check_model_name(model)
    known = OPTIONS[model]
    for name in given:
        if name not in known:
            raise InputError(f"{model} has no option '{name}', expected one of: {', '.join(known)}")
    return {
        name: option.parse(name, given[name]) if name in given else option.default for name, option in known.items()
    }


def changed_options(model: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that differ from their defaults, by which a variant is named."""
    resolved = resolve_options(model, options)
    return {name: value for name, value in resolved.items() if value != OPTIONS[model][name].default}


def training_options(model: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options, where those that do not shape the weights have their default values."""
    resolved = resolve_options(model, options)
    return {
        name: value if OPTIONS[model][name].shapes_weights else OPTIONS[model][name].default
        for name, value in resolved.items()
    }


def refuse_export_options(model: str, given: Mapping[str, Any]) -> None:
    """Refuse options that are set at export and not when weights are made.

    Raises:
        InputError: an option is set at export only, is unknown, or cannot take its value.
    """
    resolve_options(model, given)
    for name in given:
        if not OPTIONS[model][name].shapes_weights:
            raise InputError(
                f"option {name} of {model} does not belong to weights. Next: set it in export/build_engine.py"
            )


def parse_assignments(texts: Iterable[str]) -> dict[str, str]:
    """Return name -> value of the option `--option NAME=VALUE`, which may be given several times.

    Raises:
        InputError: a text has no equals sign, or a name is given twice.
    """
    assignments: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise InputError(f"--option is '{text}', expected NAME=VALUE, such as depth=101")
        if name in assignments:
            raise InputError(f"--option {name} is given twice")
        assignments[name] = value
    return assignments


def add_option_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option `--option NAME=VALUE`, which may be given several times, to a parser."""
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="option of the architecture, such as depth=101 (docs/models.md lists them); may be given several times",
    )
