"""Cures: changes of a config that cost no speed, kept where they bring the logits of a few images nearer to float."""

from __future__ import annotations

import dataclasses
import math

from calibration.qdq.quantization_config import QuantizationConfig
from calibration.ranges.thresholds import CALIBRATION_METHODS
from calibration.search.logit_probe import LogitProbe
from calibration.search.sensitivity import Sensitivity
from edge.console import Say
from edge.errors import InputError

TUNED_LAYERS = 8
"""Number of most sensitive layers whose inputs are tried with each calibration method."""

KEPT_BELOW = 0.97
"""Share of the score of before that a cure has to stay below; a smaller gain is chance of the images."""


def cured(config: QuantizationConfig, probe: LogitProbe, say: Say) -> QuantizationConfig:
    """Return a config with those cures that help, each tried on top of those before it.

    Args:
        config: quantisation config to start from.
        probe: measurements on a few images.
        say: function that is called with a line of text for each cure.

    Raises:
        SearchEndedError: time is up.
    """
    best = config

    def tried(other: QuantizationConfig, what: str) -> None:
        nonlocal best
        if other == best:
            return
        before, after = probe.of_config(best), probe.of_config(other)
        is_better = score(after) < KEPT_BELOW * score(before)
        say(
            f"{what}: logits {100 * after.output_error:.2f} % off, {100 * after.label_change:.2f} % of labels changed, "
            f"{100 * before.output_error:.2f} and {100 * before.label_change:.2f} % without: "
            f"{'kept' if is_better else 'left out'}"
        )
        best = other if is_better else best

    methods = list(dict.fromkeys((config.method, *CALIBRATION_METHODS)))
    for method in methods:
        tried(dataclasses.replace(best, method=method), f"{method} ranges")
    try:
        # Ranges that are as wide as one channel in a hundred make another method the best; the two best are tried.
        ranked = sorted(methods, key=lambda name: score(probe.of_config(dataclasses.replace(config, method=name))))
        for method in ranked[:2]:
            tried(dataclasses.replace(best, equalised=True, method=method), f"equalised channels, {method} ranges")
    except InputError:
        say("equalised channels: there are none to balance")
    tried(probe.with_best_methods(best, TUNED_LAYERS), "another method for some tensors")
    tried(dataclasses.replace(best, weight_method="mse"), "clipped weights")
    try:
        tried(dataclasses.replace(best, weight_rounding="reconstructed"), "weights rounded by reconstruction")
    except InputError:
        say("weights rounded by reconstruction: the images for it are not here")
    tried(dataclasses.replace(best, bias_correction=True), "corrected biases")
    return best


def score(probed: Sensitivity) -> float:
    """Return what cures are compared by: the noise in the logits and the labels that it changes, alike in weight."""
    return math.sqrt(max(probed.output_error, 1e-12) * max(probed.label_change, 1e-7))
