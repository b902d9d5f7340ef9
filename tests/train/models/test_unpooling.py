"""Pooling by phases equals pooling with indices, to the last bit and in every tie."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from train.models.unpooling import PHASES, MaxPoolingWithIndices, MaxUnpooling

SIZES = ((8, 6), (7, 9), (7, 6), (6, 9), (2, 2), (3, 3))


def plain(generator, shape):
    return generator.normal(0, 2, shape)


def many_ties(generator, shape):
    return generator.integers(0, 3, shape)


def behind_relu(generator, shape):
    return np.maximum(generator.normal(-1, 1, shape), 0)


def zeros(generator, shape):
    return np.zeros(shape)


def negative(generator, shape):
    return -1 - generator.integers(0, 3, shape)


def signed_zeros(generator, shape):
    return np.where(generator.random(shape) < 0.5, -0.0, 0.0)


KINDS = (plain, many_ties, behind_relu, zeros, negative, signed_zeros)


def draw(kind, size, dtype) -> np.ndarray:
    return kind(np.random.default_rng(3), (2, *size, 5)).astype(dtype)


def with_indices(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return TensorFlow's maxima (N, h, w, C), and their positions in the flat features."""
    maxima, indices = tf.nn.max_pool_with_argmax(features, 2, 2, "VALID", include_batch_in_index=True)
    return maxima.numpy(), indices.numpy()


def scatter(values: np.ndarray, indices: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    flat = np.zeros(np.prod(shape), values.dtype)
    flat[indices.reshape(-1)] = values.reshape(-1)
    return flat.reshape(shape)


def pool(features: np.ndarray) -> list[np.ndarray]:
    return [np.asarray(part) for part in MaxPoolingWithIndices(dtype=str(features.dtype))(features)]


def indices_of(masks: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Return the positions in the flat features that masks (N, C, h, w) name, as TensorFlow counts them."""
    _, height, width, channels = shape
    phase = np.argmax(np.stack(masks), axis=0).transpose(0, 2, 3, 1)
    frame, row, column, channel = np.indices(phase.shape)
    row, column = (2 * place + np.array(PHASES)[phase, axis] for axis, place in enumerate((row, column)))
    return ((frame * height + row) * width + column) * channels + channel


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_maxima_and_indices_are_those_of_tensorflow(kind, size, dtype):
    features = draw(kind, size, dtype)
    maxima, *masks = pool(features)
    expected, indices = with_indices(features)
    # The sign of a zero is the only thing in which two maxima of equal numbers may differ.
    np.testing.assert_array_equal(maxima, expected)
    assert maxima.dtype == features.dtype and all(mask.dtype == features.dtype for mask in masks)
    np.testing.assert_array_equal(indices_of(masks, features.shape), indices)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_unpooling_is_a_scatter_to_the_indices(kind, size, dtype):
    features = draw(kind, size, dtype)
    _, *masks = pool(features)
    maxima, indices = with_indices(features)
    values = draw(plain, maxima.shape[1:3], dtype)  # what a decoder brings, not the maxima themselves
    unpooled = np.asarray(MaxUnpooling(*size, dtype=dtype)(values, *masks))
    assert unpooled.dtype == features.dtype
    np.testing.assert_array_equal(unpooled, scatter(values, indices, features.shape))


def test_odd_row_and_column_are_zero_after_unpooling():
    features = draw(plain, (7, 9), np.float32)
    maxima, *masks = pool(features)
    unpooled = np.asarray(MaxUnpooling(7, 9)(maxima, *masks))
    assert not unpooled[:, 6].any() and not unpooled[:, :, 8].any()
    assert np.count_nonzero(unpooled) == maxima.size


@pytest.mark.parametrize("kind", KINDS)
def test_every_window_has_exactly_one_mask_set(kind):
    masks = np.stack(pool(draw(kind, (16, 12), np.float32))[1:])
    assert set(np.unique(masks)) <= {0.0, 1.0}
    assert (masks.sum(axis=0) == 1).all()


def test_window_with_a_nan_has_one_mask_set_too():
    features = np.random.default_rng(0).choice([np.nan, -1.0, 0.0, 1.0], (2, 32, 32, 4)).astype(np.float32)
    assert (np.stack(pool(features)[1:]).sum(axis=0) == 1).all()


def test_first_of_equal_values_is_the_maximum_in_the_order_of_rows():
    for first in range(4):
        window = np.zeros(4, np.float32)
        window[first:] = 1.0
        _, *masks = pool(window.reshape(1, 2, 2, 1))
        assert [float(mask.squeeze()) for mask in masks] == [float(phase == first) for phase in range(4)]


def test_masks_of_one_frame_serve_many_samples():
    features = draw(many_ties, (6, 5), np.float32)[:1]
    _, *masks = pool(features)
    samples = np.random.default_rng(1).normal(size=(3, 3, 2, 5)).astype(np.float32)
    together = np.asarray(MaxUnpooling(6, 5)(samples, *masks))
    for sample, unpooled in zip(samples, together):
        np.testing.assert_array_equal(unpooled, np.asarray(MaxUnpooling(6, 5)(sample[None], *masks))[0])


def test_gradient_goes_to_the_maxima_alone():
    features = tf.constant(draw(plain, (6, 4), np.float32))
    with tf.GradientTape() as tape:
        tape.watch(features)
        maxima, *masks = MaxPoolingWithIndices()(features)
        loss = tf.reduce_sum(MaxUnpooling(6, 4)(maxima, *masks))
    _, indices = with_indices(features.numpy())
    expected = scatter(np.ones(indices.shape, np.float32), indices, features.shape)
    np.testing.assert_array_equal(tape.gradient(loss, features), expected)


def test_shapes_are_known_before_any_numbers():
    frame = keras.layers.Input((7, 9, 5))
    maxima, *masks = MaxPoolingWithIndices()(frame)
    assert tuple(maxima.shape) == (None, 3, 4, 5)
    assert [tuple(mask.shape) for mask in masks] == [(None, 5, 3, 4)] * 4
    assert tuple(MaxUnpooling(7, 9)(maxima, *masks).shape) == (None, 7, 9, 5)


@pytest.mark.parametrize("layer", [MaxPoolingWithIndices(name="pool"), MaxUnpooling(7, 9, name="unpool")])
def test_layer_comes_back_from_its_config(layer):
    copy = keras.layers.deserialize(keras.layers.serialize(layer))
    assert type(copy) is type(layer) and copy.get_config() == layer.get_config()
