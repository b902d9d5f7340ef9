"""Cures are compared by a few images, each on top of those that helped, and say what they did."""

from __future__ import annotations

import dataclasses

import pytest

from calibration.qdq.quantization_config import QuantizationConfig
from calibration.search.cures import KEPT_BELOW, cured
from calibration.search.sensitivity import Sensitivity
from edge.errors import InputError

PLAIN = QuantizationConfig("percentile")


class Probe:
    """Gives each config an error by what it has: a factor for each choice."""

    def __init__(self, **factors):
        self.factors, self.asked = factors, []

    def of_config(self, config):
        self.asked.append(config)
        if config.equalised and self.factors.get("equalised") is None:
            raise InputError("the graph has no channels that can be equalised")
        if config.weight_rounding == "reconstructed" and "reconstructed" not in self.factors:
            raise InputError("no moments")
        error = self.factors.get(config.method, 1.0)
        for name, is_on in (
            ("equalised", config.equalised),
            ("clipped", config.weight_method == "mse"),
            ("reconstructed", config.weight_rounding == "reconstructed"),
            ("corrected", config.bias_correction),
            ("tuned", bool(config.tensor_methods)),
        ):
            error *= self.factors.get(name, 1.0) if is_on else 1.0
        return Sensitivity(0.5 * error, 0.1 * error)

    def with_best_methods(self, config, most):
        return dataclasses.replace(config, tensor_methods={"tensor": "mse"})


def test_every_cure_that_helps_is_kept_on_top_of_the_others():
    probe = Probe(entropy=0.5, equalised=0.5, tuned=0.9, clipped=0.9, reconstructed=0.9, corrected=0.9)
    best = cured(PLAIN, probe, lambda line: None)
    assert best == QuantizationConfig(
        method="entropy",
        tensor_methods={"tensor": "mse"},
        weight_method="mse",
        bias_correction=True,
        equalised=True,
        weight_rounding="reconstructed",
    )


def test_cure_that_hurts_or_hardly_helps_is_left_out_of_what_follows():
    lines = []
    probe = Probe(entropy=2.0, mse=0.99 * KEPT_BELOW, equalised=1.5, tuned=0.99, clipped=1.0, corrected=0.5)
    best = cured(PLAIN, probe, lines.append)
    assert best == dataclasses.replace(PLAIN, method="mse", bias_correction=True)
    assert next(line for line in lines if line.startswith("entropy")).endswith("left out")
    assert next(line for line in lines if line.startswith("mse")).endswith("kept")
    assert "weights rounded by reconstruction: the images for it are not here" in lines


def test_channels_that_cannot_be_equalised_are_said():
    lines = []
    assert not cured(PLAIN, Probe(equalised=None), lines.append).equalised
    assert "equalised channels: there are none to balance" in lines


@pytest.mark.parametrize("best", ["min-max", "entropy", "mse"])
def test_equalised_channels_are_tried_with_the_two_best_methods(best):
    probe = Probe(**{best: 0.5}, percentile=0.9, equalised=0.5)
    assert cured(PLAIN, probe, lambda line: None).method == best
    tried = list(dict.fromkeys(config.method for config in probe.asked if config.equalised))
    assert tried[:2] == [best, "percentile"]
