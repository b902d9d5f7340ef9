"""Strides and receptive fields of networks where they can be told by hand, or be measured."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from edge.errors import SegEdgeError
from train.models.graph_statistics import graph_statistics


def frame(height: int = 64, width: int = 64, name: str = "frame"):
    return keras.Input((height, width, 3), name=name)


def output_of(*stack):
    start = features = frame()
    for layer in stack:
        features = layer(features)
    (output,) = graph_statistics(keras.Model(start, features)).outputs
    return output


def field_of(*stack) -> tuple[int, int]:
    output = output_of(*stack)
    assert not output.sees_whole_frame
    return output.receptive_field_height, output.receptive_field_width


def conv(kernel=3, **options):
    return layers.Conv2D(2, kernel, **{"padding": "same", "use_bias": False, **options})


@pytest.mark.parametrize(
    ("stack", "field", "stride"),
    [
        ((layers.ReLU(), layers.BatchNormalization(), layers.Dropout(0.5), layers.Dense(2)), (1, 1), 1),
        ((conv(3),), (3, 3), 1),
        ((conv((5, 1)),), (5, 1), 1),
        ((conv(3), conv(3)), (5, 5), 1),
        ((conv(3, dilation_rate=4),), (9, 9), 1),
        ((conv(3, dilation_rate=(2, 1)),), (5, 3), 1),
        # 3, and two steps more of two pixels each
        ((conv(3, strides=2), conv(3)), (7, 7), 2),
        ((conv(1, strides=2), conv(3)), (5, 5), 2),
        ((layers.MaxPooling2D(2), conv(3)), (6, 6), 2),
        ((layers.AveragePooling2D(3, strides=2, padding="same"), conv(3)), (7, 7), 2),
        ((layers.DepthwiseConv2D(3, padding="same"), layers.SeparableConv2D(2, 5, padding="same")), (7, 7), 1),
        ((layers.ZeroPadding2D(1), conv(3, strides=2, padding="valid")), (3, 3), 2),
        # of three neighbours at most two come from different pixels of the smaller map
        ((layers.UpSampling2D(2), conv(3)), (2, 2), 0.5),
        ((layers.UpSampling2D(2, interpolation="bilinear"),), (2, 2), 0.5),
        ((layers.UpSampling2D((1, 3)), conv(3)), (3, 2), 1),
        ((layers.MaxPooling2D(2), layers.UpSampling2D(2)), (2, 2), 1),
        ((layers.MaxPooling2D(2), layers.Conv2DTranspose(2, 2, strides=2), conv(3)), (4, 4), 1),
        # of four taps at every second position each output meets two
        ((layers.Conv2DTranspose(2, 4, strides=2, padding="same"),), (2, 2), 0.5),
        ((layers.Conv2DTranspose(2, 3, strides=2, padding="same"),), (2, 2), 0.5),
    ],
)
def test_field_and_stride_of_a_stack(stack, field, stride):
    output = output_of(*stack)
    assert (output.receptive_field_height, output.receptive_field_width) == field
    assert output.native_stride == stride


def test_largest_of_the_branches_counts():
    start = frame()
    merged = layers.Add()([conv(3)(start), conv(3, dilation_rate=5)(start)])
    (output,) = graph_statistics(keras.Model(start, layers.Concatenate()([merged, start]))).outputs
    assert (output.receptive_field_height, output.receptive_field_width) == (11, 11)


def test_branches_that_are_shifted_reach_further_than_the_largest_alone():
    start = frame()
    left = layers.Cropping2D(((0, 0), (4, 0)))(start)
    right = layers.Cropping2D(((0, 0), (0, 4)))(start)
    (output,) = graph_statistics(keras.Model(start, layers.Concatenate()([conv(3)(left), right]))).outputs
    assert (output.receptive_field_height, output.receptive_field_width) == (3, 6)


def test_pooling_of_everything_sees_the_whole_frame_and_the_rest_is_told_apart():
    start = frame()
    features = conv(5)(start)
    context = layers.GlobalAveragePooling2D(keepdims=True)(features)
    context = layers.UpSampling2D(64)(conv(1)(context))
    outputs = {"logits": conv(3)(layers.Add()([features, context])), "context": context, "local": conv(1)(features)}
    logits, alone, local = graph_statistics(keras.Model(start, outputs)).outputs
    assert (logits.name, logits.sees_whole_frame, logits.receptive_field_height) == ("logits", True, 7)
    assert (alone.name, alone.sees_whole_frame, alone.receptive_field_height) == ("context", True, None)
    assert (local.name, local.sees_whole_frame, local.receptive_field_height) == ("local", False, 5)


def test_output_without_rows_has_no_stride():
    output = output_of(conv(3), layers.GlobalAveragePooling2D(), layers.Dense(4))
    assert (output.native_stride, output.sees_whole_frame) == (None, True)


def test_layer_says_what_it_reads():
    class Resize(layers.Layer):
        receptive_field = "resize"

        def call(self, features):
            return ops.image.resize(features, (32, 64))

    class Phases(layers.Layer):
        receptive_field = ((2, 2), (2, 2))

        def call(self, features):
            return features[:, ::2, ::2] + features[:, 1::2, 1::2]

    class Everything(layers.Layer):
        receptive_field = "frame"

        def call(self, features):
            return features + ops.mean(features)

    # Halving bilinearly reads two rows; the columns keep their number.
    assert field_of(Resize(), conv(3)) == (6, 3)
    assert field_of(Phases(), conv(3)) == (6, 6)
    assert output_of(Everything()).sees_whole_frame


def test_only_the_frame_of_several_inputs_is_looked_at():
    start, noise = frame(), frame(name="noise")
    logits = layers.Add()([conv(3)(start), conv(9)(noise)])
    (output,) = graph_statistics(keras.Model([noise, start], logits)).outputs
    assert output.receptive_field_height == 3


def test_several_inputs_without_a_frame_are_refused():
    first, second = frame(name="first"), frame(name="second")
    with pytest.raises(SegEdgeError, match="has the inputs first, second, expected one named frame"):
        graph_statistics(keras.Model([first, second], layers.Add()([first, second])))


# Fields as they are: which outputs answer to which columns of the frame


def measured_width(model: keras.Model) -> int:
    """Return the largest number of columns that an output position answers to.

    One frame for each column, black but for that. All weights are one, so that nothing cancels.
    """
    for layer in model.layers:
        if not isinstance(layer, layers.BatchNormalization):
            layer.set_weights([np.ones_like(weight) for weight in layer.get_weights()])
    width = model.input.shape[2]
    frames = np.zeros((width, *model.input.shape[1:]), np.float32)
    frames[np.arange(width), :, np.arange(width)] = 1
    answers = np.asarray(model(frames, training=False)).any(axis=(1, 3))  # (column lit, column of the output)
    return max(np.flatnonzero(lit)[-1] - np.flatnonzero(lit)[0] + 1 for lit in answers.T if lit.any())


def upwards(factor, interpolation):
    return layers.UpSampling2D(factor, interpolation=interpolation)


def transposed(kernel, **options):
    return layers.Conv2DTranspose(2, kernel, strides=2, use_bias=False, **options)


def with_skip(start):
    """A small U-Net: two levels down, two up."""
    first = conv(3)(start)
    second = conv(3)(layers.MaxPooling2D(2)(first))
    third = conv(3)(conv(3)(layers.MaxPooling2D(2)(second)))
    up = layers.Concatenate()([second, transposed(2)(third)])
    up = transposed(2)(conv(3)(up))
    return conv(3)(layers.Concatenate()([first, up]))


def with_pyramid(start):
    """Dilated branches at stride 4, joined and enlarged bilinearly with a branch from stride 2."""
    half = conv(3, strides=2)(start)
    quarter = conv(3, strides=2)(half)
    branches = [conv(3, dilation_rate=rate)(quarter) for rate in (1, 3)]
    joined = upwards(2, "bilinear")(layers.Concatenate()(branches))
    return conv(5)(layers.Concatenate()([conv(3)(half), joined]))


@pytest.mark.parametrize(
    "build",
    [
        lambda x: conv(3, strides=2)(conv(3, dilation_rate=3)(x)),
        lambda x: conv(3)(layers.MaxPooling2D(3, strides=2, padding="same")(x)),
        lambda x: conv(3)(upwards(4, "nearest")(conv(3, strides=4)(x))),
        lambda x: conv(3)(upwards(4, "bilinear")(conv(3, strides=4)(x))),
        lambda x: conv(3)(
            layers.Conv2DTranspose(2, 3, strides=2, padding="same", use_bias=False)(conv(2, strides=2)(x))
        ),
        lambda x: conv(3)(layers.Conv2DTranspose(2, 5, strides=2, use_bias=False)(conv(2, strides=2)(x))),
        with_skip,
        with_pyramid,
    ],
)
@pytest.mark.parametrize("width", [96, 100])
def test_field_is_the_measured_one(build, width):
    start = frame(16, width)
    model = keras.Model(start, build(start))
    (output,) = graph_statistics(model).outputs
    assert 4 < output.receptive_field_width < 60, "smaller than the frame, or edges would decide"
    assert output.receptive_field_width == measured_width(model)
