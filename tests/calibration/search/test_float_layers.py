"""Which layers go back to float, and how many: those that lose a class first, then the loudest for the least work."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from calibration.qdq.quantization_config import QuantizationConfig
from calibration.search.float_layers import FloatLayers
from calibration.search.sensitivity import Sensitivity

PLAIN = QuantizationConfig()


class Trial:
    """Layers with given noise and work, and a worst figure that is the noise that is left."""

    def __init__(self, layers, share_of=None, start=None):
        self.layers = layers  # name -> (error, share of multiply-adds, class change)
        self.tried, self.found = [], []
        sensitivities = {
            name: Sensitivity(error, error / 10, class_change) for name, (error, _, class_change) in layers.items()
        }
        sources = SimpleNamespace(int8_mac_share=self.share)
        self.layered = FloatLayers(start or PLAIN, sensitivities, sources, self.evaluate)

    def share(self, config):
        return 1.0 - sum(self.layers[name][1] for name in config.float_layers if name in self.layers)

    def figure(self, floats):
        return sum(error**2 for name, (error, _, _) in self.layers.items() if name not in floats) ** 0.5

    def evaluate(self, config, count):
        self.tried.append(count)
        figure = self.figure(config.float_layers)
        return figure <= 0.5, figure

    def find(self):
        self.layered.find(self.figure(()), self.found.append)
        return self.found[-1] if self.found else None


def test_order_is_by_noise_power_for_the_work_that_float_costs():
    trial = Trial({"loud and large": (0.4, 0.5, 0.0), "loud and small": (0.4, 0.01, 0.0), "quiet": (0.01, 0.01, 0.0)})
    assert trial.layered.order() == ["loud and small", "loud and large", "quiet"]


def test_layer_that_alone_loses_a_class_goes_before_every_louder_one():
    trial = Trial({"loud": (0.9, 0.01, 0.1), "loses a person": (0.001, 0.2, 0.9)})
    assert trial.layered.order() == ["loses a person", "loud"]
    reason = trial.layered._with_float(["loses a person"]).float_layers["loses a person"]
    assert reason.endswith("and a class by 90 %")


def test_layers_that_are_in_float_already_stay_and_are_not_counted():
    start = QuantizationConfig(float_layers={"loud": "asked for"})
    trial = Trial({"loud": (0.9, 0.1, 0.0), "other": (0.6, 0.1, 0.0), "quiet": (0.01, 0.1, 0.0)}, start=start)
    assert trial.layered.order() == ["other", "quiet"]
    assert trial.find().float_layers["loud"] == "asked for"


@pytest.mark.parametrize("loud", [1, 2, 7, 20, 33])
def test_number_of_layers_is_found_in_a_few_tries_however_many_there_are(loud):
    layers = {f"loud {index:02}": (1.0, 0.01, 0.0) for index in range(loud)}
    layers.update({f"quiet {index:02}": (0.01, 0.01, 0.0) for index in range(40)})
    trial = Trial(layers)
    found = trial.find()
    assert {name for name in found.float_layers if name.startswith("loud")} == {
        name for name in layers if name.startswith("loud")
    }
    assert len(found.float_layers) <= loud + max(1, loud // 2) + 1
    assert len(trial.tried) <= 9


def test_costly_layer_that_turns_out_not_to_be_needed_goes_back():
    # It is loud for its work, and what is left without it is within the budget all the same.
    trial = Trial({"needed": (2.0, 0.05, 0.0), "not needed": (0.3, 0.2, 0.3), "quiet": (0.01, 0.3, 0.0)})
    assert trial.layered.order()[0] == "not needed"
    assert set(trial.find().float_layers) == {"needed"}


def test_graph_with_nothing_left_in_int8_is_no_answer():
    trial = Trial({"one": (2.0, 0.5, 0.0), "two": (2.0, 0.5, 0.0)})
    assert trial.find() is None
    assert trial.tried and max(trial.tried) == 1


def test_nothing_to_give_back_is_no_answer_either():
    assert Trial({"all": (2.0, 1.0, 0.0)}).find() is None
