"""MobileNetV3-Large gives four stages, and its layers have the same names in every build."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest

from train.backbones.mobilenet_v3 import STAGE_CHANNELS, mobilenet_v3_large


def build(height: int, width: int) -> keras.Model:
    frame = keras.layers.Input((height, width, 3), name="frame")
    return keras.Model(frame, list(mobilenet_v3_large(frame)))


@pytest.mark.parametrize("size", [(64, 96), (72, 104), (40, 56)])
def test_stages_have_strides_4_8_16_32_with_sides_rounded_up(size):
    shapes = [tuple(stage.shape) for stage in build(*size).output]

    assert shapes == [
        (None, *(math.ceil(side / stride) for side in size), channels)
        for stride, channels in zip((4, 8, 16, 32), STAGE_CHANNELS)
    ]


def test_stages_are_the_last_of_their_size():
    model = build(64, 96)
    ends = [layer for layer in model.layers if layer.name.endswith(("_project_bn", "_add"))]

    for stage in model.output:
        of_this_size = [layer for layer in ends if layer.output.shape[1:3] == stage.shape[1:3]]
        assert of_this_size[-1].output is stage


def test_layers_have_the_same_names_in_every_build_of_a_process():
    first, second = ([layer.name for layer in build(32, 32).layers] for _ in range(2))

    assert first == second
    assert len(set(first)) == len(first)


def test_no_preprocessing_is_added_to_that_of_the_network():
    model = build(32, 32)

    assert not [layer.name for layer in model.layers if isinstance(layer, keras.layers.Rescaling)]
    assert model.get_layer("conv").input.shape == (None, 32, 32, 3)


def test_weights_are_those_of_keras_applications_before_its_top():
    keras.utils.set_random_seed(1)
    published = keras.applications.MobileNetV3Large((64, 96, 3), include_top=False, weights=None)
    model = build(64, 96)
    theirs = {layer.name: [weight.shape for weight in layer.weights] for layer in published.layers if layer.weights}
    ours = {layer.name: [weight.shape for weight in layer.weights] for layer in model.layers if layer.weights}

    assert {name: theirs.get(name) for name in ours} == ours
    # What is left out reads the last stage.
    assert set(theirs) - set(ours) == {"conv_1", "conv_1_bn"}


def test_network_answers_to_its_input():
    keras.utils.set_random_seed(2)
    model = build(32, 64)
    frames = np.random.default_rng(2).uniform(-1, 1, (2, 32, 64, 3)).astype(np.float32)

    for stage in model(frames, training=False):
        values = np.asarray(stage)
        assert np.isfinite(values).all()
        assert not np.array_equal(values[0], values[1])
