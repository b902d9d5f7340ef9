"""Validation of a Keras model: labels by the network's own rule, with the weights of now, in parts that add up."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from edge.accuracy import accuracy_of, measure_accuracy
from edge.datasets import open_dataset
from edge.errors import DatasetError, InputError
from edge.postprocess import upsample_argmax
from edge.preprocess import prepare_rgb
from tests.train import street_set
from train.models.base import inference_model
from train.validation import keras_labeller, measure_validation

SIZE = (street_set.HEIGHT, street_set.WIDTH)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(3)
    return inference_model(street_set.TINY.build(*SIZE, 11))


@pytest.fixture
def validation(tmp_path):
    return open_dataset("camvid", street_set.write_camvid(tmp_path, train=1, val=7, height=48, width=80), "val")


@pytest.mark.parametrize("coordinates", ["half_pixel", "align_corners"])
def test_labels_follow_the_coordinate_rule_of_the_network(model, validation, coordinates):
    frame_rgb, _ = validation.read_pair(0)
    logits = np.asarray(model(prepare_rgb(frame_rgb, *SIZE), training=False))[0].transpose(2, 0, 1)
    logits = np.ascontiguousarray(logits)
    by_rule = {rule: upsample_argmax(logits, 48, 80, rule) for rule in ("half_pixel", "align_corners")}
    assert np.mean(by_rule["half_pixel"] != by_rule["align_corners"]) > 0.01
    labels = keras_labeller(model, *SIZE, coordinates)(frame_rgb, 48, 80)
    np.testing.assert_array_equal(labels, by_rule[coordinates])


def test_weights_that_a_model_is_given_later_count(validation):
    model = inference_model(street_set.TINY.build(*SIZE, 11))
    label_frame = keras_labeller(model, *SIZE)
    frame_rgb, _ = validation.read_pair(0)
    before = label_frame(frame_rgb, 48, 80).copy()
    for index in range(2):
        model.get_layer("logits").bias.assign(1e6 * np.eye(11, dtype=np.float32)[index])
        assert set(np.unique(label_frame(frame_rgb, 48, 80))) == {index}
    assert len(np.unique(before)) > 1


def test_graph_is_traced_once_whatever_the_sizes_of_frames(validation):
    traced = []

    class Counted(keras.layers.Layer):
        def call(self, inputs):
            traced.append(1)
            return inputs

    model = inference_model(street_set.TINY.build(*SIZE, 11))
    counted = keras.Model(model.input, Counted()(model.output))
    traced.clear()
    label_frame = keras_labeller(counted, *SIZE)
    for height, width in ((48, 80), (32, 64), (20, 30)):
        assert label_frame(np.zeros((height, width, 3), np.uint8), height, width).shape == (height, width)
    assert len(traced) == 1


def test_logits_of_half_precision_are_labelled(validation):
    model = inference_model(street_set.TINY.build(*SIZE, 11))
    half = keras.Model(model.input, keras.ops.cast(model.output, "float16"))
    frame_rgb, _ = validation.read_pair(0)
    agreement = np.mean(
        keras_labeller(half, *SIZE)(frame_rgb, 48, 80) == keras_labeller(model, *SIZE)(frame_rgb, 48, 80)
    )
    assert agreement > 0.98


def test_validation_is_the_accuracy_of_edge_to_the_last_count(model, validation):
    label_frame = keras_labeller(model, *SIZE)
    matrix = measure_validation(label_frame, validation)
    assert matrix.counts.sum() == 7 * 48 * 80
    assert accuracy_of(matrix, validation) == measure_accuracy(label_frame, validation, threads=1)


@pytest.mark.parametrize("threads", [1, 2, 6])
def test_threads_do_not_change_the_counts(model, validation, threads):
    label_frame = keras_labeller(model, *SIZE)
    expected = measure_validation(label_frame, validation).counts
    np.testing.assert_array_equal(measure_validation(label_frame, validation, threads=threads).counts, expected)


@pytest.mark.parametrize("workers", [1, 2, 3, 9])
def test_parts_of_workers_add_up_to_the_split(model, validation, workers):
    label_frame = keras_labeller(model, *SIZE)
    parts = [measure_validation(label_frame, validation, (worker, workers)).counts for worker in range(workers)]
    np.testing.assert_array_equal(sum(parts), measure_validation(label_frame, validation).counts)
    assert max(part.sum() for part in parts) == -(-7 // workers) * 48 * 80


def test_unknown_id_is_the_readers_own_error(model, validation, tmp_path):
    street_set.spoil(tmp_path / "valannot" / "a_5.png")
    with pytest.raises(DatasetError, match=r"a_5\.png has unknown ids \[77\], camvid has 0 to 11"):
        measure_validation(keras_labeller(model, *SIZE), validation)


def test_logits_that_are_no_numbers_are_refused(validation):
    model = inference_model(street_set.TINY.build(*SIZE, 11))
    model.get_layer("logits").bias.assign(np.full(11, np.nan, np.float32))
    with pytest.raises(InputError, match="logits are NaN or infinite"):
        measure_validation(keras_labeller(model, *SIZE), validation)
