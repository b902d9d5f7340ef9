"""What holds for every architecture, whatever its options: names, outputs, and that each option does something."""

from __future__ import annotations

import re
from typing import Any

import keras
import numpy as np
import pytest

from train.backbones import resnet
from train.models import MODELS
from train.models.base import FRAME, LOGITS, NORMALIZATIONS, inference_model
from train.options import HALF_PIXEL, OPTIONS, resolve_options

HEIGHT, WIDTH, CLASSES = 64, 96, 5

OTHER_NUMBERS = {"base_width": 4, "monte_carlo": 2, "dropout": 0.3, "encoding_positions": 0}
"""A value for each option that takes any number."""

NEEDED_WITH = {"uncertainty": {"monte_carlo": 2}}
"""Options that mean something only beside another."""


def other_values(name: str, option: Any) -> list[Any]:
    if name == "normalisation":  # each of its choices has a test of its own numbers
        return ["caffe_unit"]
    return [value for value in option.choices if value != option.default] or [OTHER_NUMBERS[name]]


VARIANTS = [
    (model, name, value) for model in OPTIONS for name, o in OPTIONS[model].items() for value in other_values(name, o)
]


@pytest.fixture(scope="module", autouse=True)
def shallow_resnet(structure_alone):
    """One block a stage, two in the third of the deeper one: what is tested here does not depend on how many."""
    with structure_alone(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(resnet, "BLOCK_COUNTS", {50: (1, 1, 1, 1), 101: (1, 1, 2, 1)})
        yield


def build(model: str, options: dict[str, Any]) -> keras.Model:
    return MODELS[model].build(HEIGHT, WIDTH, CLASSES, **options)


@pytest.fixture(scope="module")
def built():
    """Return a function that builds a model with some options at the first call."""
    networks = {}

    def get(model: str, **options: Any) -> keras.Model:
        key = (model, *sorted(options.items()))
        if key not in networks:
            networks[key] = build(model, options)
        return networks[key]

    return get


def description(network: keras.Model) -> list[tuple]:
    return [(layer.name, type(layer), repr(layer.get_config())) for layer in network.layers]


def nameless(network: keras.Model) -> list[str]:
    """Return the layers that Keras named, after their class and a number that grows with every build."""
    return [
        layer.name
        for layer in network.layers
        if re.fullmatch(keras.src.utils.naming.to_snake_case(type(layer).__name__) + r"(_\d+)?", layer.name)
    ]


def check(model: str, network: keras.Model, options: dict[str, Any]) -> None:
    spec, resolved = MODELS[model], resolve_options(model, options)
    assert network.name == spec.name == model
    assert network.inputs[0].name == FRAME and tuple(network.inputs[0].shape[1:]) == (HEIGHT, WIDTH, 3)
    size = (HEIGHT // spec.stride, WIDTH // spec.stride)
    logits = network.output[LOGITS]
    assert (tuple(logits.shape[1:]), logits.dtype) == ((*size, CLASSES), "float32")
    extra = spec.extra_outputs(CLASSES, resolved)
    for output in extra:
        assert tuple(network.output[output.name].shape[1:]) == (*size, output.channels)
        assert network.output[output.name].dtype == "float32"
    inference = inference_model(network, tuple(output.name for output in extra))
    given = inference.output if extra else {LOGITS: inference.output}
    assert list(given) == [LOGITS, *(output.name for output in extra)]
    # Whatever else there is has a loss of its own, or is a decision.
    assert set(network.output) - set(given) - set(spec.pooling_indices) <= set(spec.auxiliary_weights)
    assert set(spec.pooling_indices) <= set(network.output)
    assert nameless(network) == []
    mean, std = NORMALIZATIONS[resolved["normalisation"]]
    normalise = network.get_layer("normalise")
    np.testing.assert_allclose(normalise.scale, 1 / np.array(std), rtol=1e-6)
    np.testing.assert_allclose(normalise.offset, -np.array(mean) / std, rtol=1e-6)
    assert spec.coordinates(resolved) == resolved.get("coordinates", HALF_PIXEL)


@pytest.mark.parametrize("model", MODELS)
def test_network_of_default_options_is_whole(built, model):
    check(model, built(model), {})
    assert set(MODELS[model].auxiliary_weights) <= set(built(model).output)


@pytest.mark.parametrize(("model", "name", "value"), VARIANTS)
def test_network_with_another_option_is_whole_and_another(built, model, name, value):
    beside = NEEDED_WITH.get(name, {})
    network = build(model, {**beside, name: value})
    check(model, network, {**beside, name: value})
    before = description(built(model, **beside))
    assert description(network) != before
    if not OPTIONS[model][name].shapes_weights:
        shapes = [weight.shape for weight in built(model, **beside).weights]
        assert [weight.shape for weight in network.weights] == shapes


@pytest.mark.parametrize("model", MODELS)
def test_model_is_found_by_its_name_and_says_where_it_is_from(model):
    spec = MODELS[model]
    assert spec.name == model
    assert re.fullmatch(r"arXiv \d{4}\.\d{5}", spec.paper)
    assert spec.title and spec.size_multiple % spec.stride == 0
    assert all(0 < weight <= 1 for weight in spec.auxiliary_weights.values())


@pytest.mark.parametrize("model", MODELS)
def test_smallest_size_is_one_that_builds(model):
    spec = MODELS[model]
    side = max(spec.smallest_side, spec.size_multiple)
    network = spec.build(side, side, CLASSES)
    assert all(0 not in layer.output.shape for layer in network.layers if hasattr(layer.output, "shape"))


def test_names_that_keras_gives_would_be_found():
    frame = keras.Input((4, 4, 3), name=FRAME)
    named = keras.layers.ReLU(name="relu1")(keras.layers.Conv2D(2, 1)(frame))
    found = nameless(keras.Model(frame, keras.layers.BatchNormalization()(named)))
    assert [re.sub(r"_\d+$", "", name) for name in found] == ["conv2d", "batch_normalization"]
