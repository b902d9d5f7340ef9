"""Bayesian SegNet mirrors VGG16, and its samples equal a network that is written out by hand."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from edge.contract import UNCERTAINTY
from edge.errors import SizeError
from train.models.base import LOGITS, inference_model
from train.models.bayesian_segnet import (
    BAYESIAN_SEGNET,
    POOLING_INDICES,
    SMALLEST_PROBABILITY,
    UNCERTAINTY_OUTPUT,
    DropoutByNoise,
    SampleStatistics,
)

CLASSES, HEIGHT, WIDTH, SAMPLES = 11, 40, 56, 3

ENCODER = {1: (64, 64), 2: (128, 128), 3: (256, 256, 256), 4: (512, 512, 512), 5: (512, 512, 512)}
"""VGG16, configuration D (arXiv 1409.1556, table 1)."""

DECODER = {5: (512, 512, 512), 4: (512, 512, 256), 3: (256, 256, 128), 2: (128, 64), 1: (64,)}
"""The same backwards; the classifier is the last convolution of stage 1."""

DROPOUTS = ("pool3_drop", "pool4_drop", "pool5_drop", "decoder5_drop", "decoder4_drop", "decoder3_drop")


def draw_weights(model: keras.Model) -> None:
    """Give every layer weights with which each matters: statistics that are not 0 and 1 too."""
    generator = np.random.default_rng(17)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            shape = layer.gamma.shape
            variances = generator.uniform(0.5, 2, shape)
            layer.set_weights([generator.uniform(0.5, 1.5, shape), *generator.normal(0, 0.3, (2, *shape)), variances])
        elif isinstance(layer, layers.Conv2D) and layer.use_bias:
            layer.bias.assign(generator.normal(0, 1, layer.bias.shape))


@pytest.fixture(scope="module")
def plain() -> keras.Model:
    keras.utils.set_random_seed(3)
    model = BAYESIAN_SEGNET.build(HEIGHT, WIDTH, CLASSES)
    draw_weights(model)
    return model


@pytest.fixture(scope="module")
def weights_file(plain, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "plain.weights.h5"
    plain.save_weights(path)
    return path


@pytest.fixture(scope="module")
def sampled(weights_file, structure_alone) -> keras.Model:
    """Samples of a network whose weights were trained without them, unpooled by pooling indices that are given."""
    with structure_alone():
        model = BAYESIAN_SEGNET.build(HEIGHT, WIDTH, CLASSES, monte_carlo=SAMPLES, given_pooling_indices=True)
    model.load_weights(weights_file)
    return model


@pytest.fixture(scope="module")
def frame() -> np.ndarray:
    blocks = np.random.default_rng(5).integers(0, 256, (1, HEIGHT // 8, WIDTH // 8, 3))
    return blocks.repeat(8, 1).repeat(8, 2).astype(np.float32)


@pytest.fixture(scope="module")
def noise() -> dict[str, np.ndarray]:
    """Noise of each dropout, (samples, channels, rows, columns) in 0..1."""
    generator = np.random.default_rng(6)
    sizes = {3: (5, 7), 4: (2, 3), 5: (1, 1)}
    shapes = {f"pool{stage}_drop": (ENCODER[stage][-1], *size) for stage, size in sizes.items()}
    sizes = {5: (2, 3), 4: (5, 7), 3: (10, 14)}
    shapes.update({f"decoder{stage}_drop": (DECODER[stage][-1], *size) for stage, size in sizes.items()})
    return {name: generator.random((SAMPLES, *shape), np.float32) for name, shape in shapes.items()}


def layer_before(tensor) -> layers.Layer:
    return tensor._keras_history.operation


# The network by hand


def by_hand(plain: keras.Model, frame: np.ndarray, kept: dict[str, np.ndarray]) -> tuple[np.ndarray, dict]:
    """Run one sample: layers of the plain network, pooling with indices, and dropout as a product.

    Args:
        plain: the network whose weights are used.
        frame: (1, height, width, 3).
        kept: dropout -> (channels, rows, columns), true where a value is kept; the others are dropped.

    Returns:
        Logits (1, height, width, classes), and the masks of the poolings by the names of POOLING_INDICES.
    """

    def conv(name, features):
        for part in ("", "_bn", "_relu"):
            features = plain.get_layer(name + part)(features)
        return features

    def drop(name, features):
        return features * (kept[name].transpose(1, 2, 0) / 0.5) if name in kept else features

    features, indices_of, masks = plain.get_layer("normalise")(frame), {}, {}
    for stage, widths in ENCODER.items():
        for index in range(1, len(widths) + 1):
            features = conv(f"conv{stage}_{index}", features)
        shape = tuple(features.shape)
        width, channels = shape[2:]
        features, indices = tf.nn.max_pool_with_argmax(features, 2, 2, "VALID")
        indices_of[stage] = (indices.numpy().reshape(-1), shape)
        phase = 2 * (indices.numpy() // channels // width % 2) + indices.numpy() // channels % width % 2
        for index in range(4):
            masks[f"pool{stage}_place{index}"] = (phase == index).transpose(0, 3, 1, 2).astype(np.float32)
        features = drop(f"pool{stage}_drop", features)
    for stage, widths in DECODER.items():
        indices, shape = indices_of[stage]
        unpooled = np.zeros(math.prod(shape), np.float32)
        unpooled[indices] = np.asarray(features).reshape(-1)
        features = unpooled.reshape(shape)
        count = len(ENCODER[stage])
        for index in range(count, count - len(widths), -1):
            features = conv(f"conv{stage}_{index}_decoder", features)
        features = drop(f"decoder{stage}_drop", features)
    return np.asarray(plain.get_layer(LOGITS)(features)), masks


def tiled(masks: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([mask[name] for mask in masks]) for name in masks[0]}


@pytest.fixture(scope="module")
def expected(plain, frame, noise):
    """Return logits (samples, h, w, classes) and masks of every sample by hand."""
    samples = [
        by_hand(plain, frame, {name: values[t] >= 0.5 for name, values in noise.items()}) for t in range(SAMPLES)
    ]
    return np.concatenate([logits for logits, _ in samples]), tiled([masks for _, masks in samples])


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def masks_of_inputs(masks: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The first three stages are computed once, so that their masks are of one frame."""
    return [
        masks[name][:1] if name.startswith(("pool1", "pool2", "pool3")) else masks[name] for name in POOLING_INDICES
    ]


def run(model: keras.Model, frame, noise, masks=None) -> dict[str, np.ndarray]:
    further = [*(noise[name] for name in DROPOUTS), *(masks_of_inputs(masks) if masks else ())]
    return {name: np.asarray(value) for name, value in model([frame, *further], training=False).items()}


def test_plain_network_equals_the_one_by_hand(plain, frame):
    logits, masks = by_hand(plain, frame, {})
    outputs = plain(frame, training=False)
    # The same layers in the same order: rounding alone, of sums over up to 4608 products.
    np.testing.assert_allclose(np.asarray(outputs[LOGITS]), logits, atol=1e-4 * np.ptp(logits))
    for name in POOLING_INDICES:
        np.testing.assert_array_equal(np.asarray(outputs[name]), masks[name])


def test_samples_equal_the_network_by_hand(sampled, frame, noise, expected):
    logits, masks = expected
    outputs = run(sampled, frame, noise, masks)
    probabilities = softmax(logits)
    # Samples are far from each other, or the mean would show nothing.
    assert np.abs(probabilities[0] - probabilities[1]).max() > 0.1
    np.testing.assert_allclose(softmax(outputs[LOGITS]), probabilities.mean(0, keepdims=True), atol=1e-4)
    mean = probabilities.mean(0)
    entropy = -(mean * np.log(np.maximum(mean, SMALLEST_PROBABILITY))).sum(-1)
    np.testing.assert_allclose(outputs[UNCERTAINTY_OUTPUT][0, ..., 0], entropy, atol=1e-3)
    assert (outputs[LOGITS].shape, outputs[LOGITS].dtype) == ((1, HEIGHT, WIDTH, CLASSES), np.float32)
    assert (outputs[UNCERTAINTY_OUTPUT].shape, outputs[UNCERTAINTY_OUTPUT].dtype) == ((1, HEIGHT, WIDTH, 1), np.float32)
    for name in POOLING_INDICES:
        # Windows whose two largest values are equal but for rounding may be decided either way.
        assert np.mean(outputs[name] == masks[name][: len(outputs[name])]) > 0.999


def test_each_dropout_drops_what_its_own_noise_says(sampled, plain, frame, noise):
    whole, _ = by_hand(plain, frame, {name: np.ones(values[0].shape) for name, values in noise.items()})
    for name in DROPOUTS:
        one = {key: values[:1] if key == name else np.ones_like(values[:1]) for key, values in noise.items()}
        logits, masks = by_hand(plain, frame, {key: values[0] >= 0.5 for key, values in one.items()})
        assert np.abs(softmax(logits) - softmax(whole)).max() > 0.01, name
        alike = {key: values.repeat(SAMPLES, 0) for key, values in one.items()}
        outputs = run(sampled, frame, alike, tiled([masks] * SAMPLES))
        np.testing.assert_allclose(softmax(outputs[LOGITS]), softmax(logits), atol=1e-4, err_msg=name)


def test_noise_that_drops_nothing_gives_equal_samples(sampled, plain, frame, noise):
    ones = {name: np.ones_like(values) for name, values in noise.items()}
    # Twice of everything at each of the six places, since what is kept makes up for what is dropped.
    logits, masks = by_hand(plain, frame, {name: values[0] == 1 for name, values in ones.items()})
    outputs = run(sampled, frame, ones, tiled([masks] * SAMPLES))
    probabilities = softmax(logits)
    np.testing.assert_allclose(softmax(outputs[LOGITS]), probabilities, atol=1e-4)
    entropy = -(probabilities * np.log(np.maximum(probabilities, SMALLEST_PROBABILITY))).sum(-1)
    np.testing.assert_allclose(outputs[UNCERTAINTY_OUTPUT][..., 0], entropy, atol=1e-3)


def test_samples_unpool_by_pooling_indices_of_their_own(weights_file, sampled, frame, noise, structure_alone):
    with structure_alone():
        model = BAYESIAN_SEGNET.build(HEIGHT, WIDTH, CLASSES, monte_carlo=SAMPLES, uncertainty="variance")
    model.load_weights(weights_file)
    outputs = run(model, frame, noise)
    assert {name: len(outputs[name]) for name in POOLING_INDICES[8:]} == {
        name: 1 if name.startswith("pool3") else SAMPLES for name in POOLING_INDICES[8:]
    }
    led = run(sampled, frame, noise, outputs)
    np.testing.assert_allclose(softmax(outputs[LOGITS]), softmax(led[LOGITS]), atol=1e-5)
    # Of samples that differ, and over its classes an average: far below the largest possible.
    assert 0 < outputs[UNCERTAINTY_OUTPUT].max() < (CLASSES - 1) / CLASSES**2


# Structure


@pytest.mark.parametrize("stage", ENCODER)
def test_encoder_has_the_convolutions_of_vgg16(plain, stage):
    names = [layer.name for layer in plain.layers if type(layer) is layers.Conv2D]
    wanted = [f"conv{stage}_{index}" for index in range(1, len(ENCODER[stage]) + 1)]
    assert [name for name in names if name.startswith(f"conv{stage}") and "decoder" not in name] == wanted
    for name, channels in zip(wanted, ENCODER[stage]):
        assert (plain.get_layer(name).kernel_size, plain.get_layer(name).filters) == ((3, 3), channels)


@pytest.mark.parametrize("stage", DECODER)
def test_decoder_is_the_mirror_image(plain, stage):
    convolutions = [layer for layer in plain.layers if layer.name.startswith(f"conv{stage}")]
    decoders = [layer for layer in convolutions if layer.name.endswith("_decoder")]
    assert [layer.filters for layer in decoders] == list(DECODER[stage])
    assert {layer.kernel_size for layer in decoders} == {(3, 3)}
    # Each decoder convolution turns what its encoder twin gives into what that reads.
    for layer in decoders:
        twin = plain.get_layer(layer.name[: -len("_decoder")])
        assert (layer.input.shape[-1], layer.filters) == (twin.filters, twin.input.shape[-1])
    last_of_encoder = plain.get_layer(f"conv{stage}_{len(ENCODER[stage])}")
    assert tuple(plain.get_layer(f"unpool{stage}").output.shape) == tuple(last_of_encoder.output.shape)


def test_convolutions_have_29_4_million_weights(plain):
    convolutions = [layer for layer in plain.layers if isinstance(layer, layers.Conv2D)]
    count = sum(math.prod(weight.shape) for layer in convolutions for weight in layer.weights)
    assert count == pytest.approx(29.4e6, abs=0.05e6)
    assert [layer.name for layer in convolutions if layer.use_bias] == [LOGITS]


def test_six_dropouts_of_one_half_are_where_the_paper_has_them(plain):
    dropouts = [layer for layer in plain.layers if isinstance(layer, layers.Dropout)]
    assert [(layer.name, layer.rate) for layer in dropouts] == [(name, 0.5) for name in DROPOUTS]
    assert [layer_before(layer.input).name for layer in dropouts] == [
        "pool3",
        "pool4",
        "pool5",
        "conv5_1_decoder_relu",
        "conv4_1_decoder_relu",
        "conv3_1_decoder_relu",
    ]


def test_samples_have_the_same_six_dropouts(sampled):
    dropouts = [layer for layer in sampled.layers if isinstance(layer, DropoutByNoise)]
    assert [(layer.name, layer.rate) for layer in dropouts] == [(name, 0.5) for name in DROPOUTS]
    assert [value.name for value in sampled.inputs[1:7]] == [f"{name}_noise" for name in DROPOUTS]


def test_what_lies_in_front_of_the_first_dropout_is_computed_once(sampled):
    batches = {layer.name: layer.output.shape[0] for layer in sampled.layers if isinstance(layer, layers.Conv2D)}
    once = {f"conv{stage}_{index + 1}" for stage in (1, 2, 3) for index in range(len(ENCODER[stage]))}
    assert {name for name, batch in batches.items() if batch == 1} == once
    assert {name for name, batch in batches.items() if batch == SAMPLES} == set(batches) - once
    assert {output.shape[0] for name, output in sampled.output.items() if name not in POOLING_INDICES} == {1}


def test_logits_are_float32_at_the_size_of_the_frame(plain):
    assert (tuple(plain.output[LOGITS].shape), plain.output[LOGITS].dtype) == (
        (None, HEIGHT, WIDTH, CLASSES),
        "float32",
    )
    assert BAYESIAN_SEGNET.stride == 1


def test_size_of_the_papers_camvid_frames_works_although_its_third_stage_is_odd(structure_alone):
    with structure_alone():
        model = BAYESIAN_SEGNET.build(360, 480, CLASSES)
    assert tuple(model.output[LOGITS].shape) == (None, 360, 480, CLASSES)
    assert tuple(model.get_layer("conv4_3").output.shape[1:3]) == (45, 60)
    assert tuple(model.get_layer("unpool4").output.shape[1:3]) == (45, 60)


def test_classifier_can_have_normalisation_and_relu(structure_alone):
    with structure_alone():
        model = BAYESIAN_SEGNET.build(32, 32, CLASSES, classifier="norm_relu")
    assert layer_before(model.output[LOGITS]).name == "classifier_relu"
    assert not model.get_layer("classifier").use_bias
    assert model.get_layer("classifier_bn").gamma.shape == (CLASSES,)


# Places that are given


def test_network_that_is_given_its_own_pooling_indices_is_the_same(plain, frame, structure_alone):
    with structure_alone():
        led = BAYESIAN_SEGNET.build(HEIGHT, WIDTH, CLASSES, given_pooling_indices=True)
    led.set_weights(plain.get_weights())
    assert [value.name for value in led.inputs] == ["frame", *(f"given_{name}" for name in POOLING_INDICES)]
    outputs = {name: np.asarray(value) for name, value in plain(frame, training=False).items()}
    own = [outputs[name] for name in POOLING_INDICES]
    again = {name: np.asarray(value) for name, value in led([frame, *own], training=False).items()}
    for name, value in outputs.items():
        np.testing.assert_allclose(again[name], value, atol=1e-5 * np.ptp(value), err_msg=name)

    # Led elsewhere, it goes there; its own choices stay what they were.
    swapped = [own[index + 1 - 2 * (index % 2)] for index in range(len(own))]
    elsewhere = {name: np.asarray(value) for name, value in led([frame, *swapped], training=False).items()}
    assert np.abs(elsewhere[LOGITS] - outputs[LOGITS]).max() > 0.01 * np.ptp(outputs[LOGITS])
    for name in POOLING_INDICES:
        np.testing.assert_array_equal(elsewhere[name], outputs[name])


def test_pooling_indices_are_the_masks_of_the_five_poolings(plain):
    assert BAYESIAN_SEGNET.pooling_indices == POOLING_INDICES and len(POOLING_INDICES) == 20
    for stage in ENCODER:
        masks = plain.get_layer(f"pool{stage}").output[1:]
        assert [plain.output[f"pool{stage}_place{index}"] is mask for index, mask in enumerate(masks)] == [True] * 4


def test_inference_leaves_the_pooling_indices_out(plain):
    assert tuple(inference_model(plain).output.shape) == (None, HEIGHT, WIDTH, CLASSES)


# Uncertainty


def draw_logits(scale: float, samples: int = 6, classes: int = 5) -> np.ndarray:
    return np.random.default_rng(2).normal(0, scale, (samples, 7, 9, classes)).astype(np.float32)


@pytest.mark.parametrize("scale", [0.0, 1.0, 10.0])
@pytest.mark.parametrize("measure", ["entropy", "variance"])
def test_statistics_are_those_of_the_softmax(measure, scale):
    logits = draw_logits(scale)
    mean_logits, uncertainty = (np.asarray(part) for part in SampleStatistics(measure)(logits))
    probabilities = softmax(logits)
    mean = probabilities.mean(0)
    np.testing.assert_allclose(mean_logits[0], np.log(np.maximum(mean, SMALLEST_PROBABILITY)), rtol=1e-5, atol=1e-5)
    if measure == "entropy":
        terms = np.where(mean > 0, mean * np.log(np.maximum(mean, 1e-300)), 0)
        wanted = -terms.sum(-1)
    else:
        wanted = probabilities.var(0).mean(-1)
    # Cutting off at 1e-6 costs a class at most 1e-6 ln(1e-6).
    np.testing.assert_allclose(uncertainty[0, ..., 0], wanted, rtol=1e-5, atol=2e-5)


def test_softmax_of_the_mean_logits_is_the_mean_of_the_softmax():
    logits = draw_logits(3.0)
    mean_logits, _ = SampleStatistics("entropy")(logits)
    np.testing.assert_allclose(softmax(np.asarray(mean_logits))[0], softmax(logits).mean(0), atol=1e-5)


def sure_of(labels: list[int], class_count: int) -> np.ndarray:
    """Return logits (samples, 1, 1, classes) of samples that are each sure of one class."""
    return 100 * np.eye(class_count, dtype=np.float32)[labels].reshape(len(labels), 1, 1, class_count)


@pytest.mark.parametrize("class_count", [2, 5, 19])
@pytest.mark.parametrize("measure", ["entropy", "variance"])
def test_largest_uncertainty_is_the_maximum_that_is_promised(measure, class_count):
    (promised,) = BAYESIAN_SEGNET.extra_outputs(class_count, {"monte_carlo": 4, "uncertainty": measure})
    assert (promised.name, promised.channels, promised.kind) == (UNCERTAINTY_OUTPUT, 1, UNCERTAINTY)
    assert promised.unit == {"entropy": "nats", "variance": "variance"}[measure]
    layer = SampleStatistics(measure)
    largest = np.asarray(layer(sure_of(list(range(class_count)), class_count))[1]).item()
    assert largest == pytest.approx(promised.maximum, rel=1e-5)
    for scale in (0.0, 0.5, 3.0, 30.0):
        uncertainty = np.asarray(layer(draw_logits(scale, classes=class_count))[1])
        assert uncertainty.min() >= -1e-6 and uncertainty.max() <= promised.maximum * (1 + 1e-5)
    agreed = np.asarray(layer(sure_of([0] * 4, class_count))[1]).item()
    assert agreed == pytest.approx(0, abs=1e-6)


def test_without_samples_there_is_no_uncertainty(plain):
    assert BAYESIAN_SEGNET.extra_outputs(CLASSES, {}) == ()
    assert BAYESIAN_SEGNET.extra_outputs(CLASSES, {"monte_carlo": 0, "uncertainty": "variance"}) == ()
    assert set(plain.output) == {LOGITS, *POOLING_INDICES}


def test_dropout_keeps_what_noise_of_one_half_and_more_says_and_doubles_it():
    features = np.random.default_rng(0).normal(size=(1, 2, 2, 1)).astype(np.float32)
    noise = np.array([[0.0, 0.4999], [0.5, 0.9]], np.float32).reshape(1, 1, 2, 2)
    dropped = np.asarray(DropoutByNoise(0.5)(features, noise))
    np.testing.assert_array_equal(dropped, features * np.array([[0, 0], [2, 2]], np.float32).reshape(1, 2, 2, 1))


@pytest.mark.parametrize("rate", [0.25, 0.5])
def test_dropout_keeps_the_mean(rate):
    features = np.ones((1, 40, 50, 3), np.float32)
    noise = np.random.default_rng(1).random((4, 3, 40, 50), np.float32)
    dropped = np.asarray(DropoutByNoise(rate)(features, noise))
    # 24,000 draws: a standard deviation of at most 0.65 %.
    assert dropped.mean() == pytest.approx(1, abs=0.03)
    assert dropped.shape == (4, 40, 50, 3)
    assert len({sample.tobytes() for sample in dropped}) == 4


@pytest.mark.parametrize("layer", [DropoutByNoise(0.3, name="drop"), SampleStatistics("variance", name="statistics")])
def test_layer_comes_back_from_its_config(layer):
    copy = keras.layers.deserialize(keras.layers.serialize(layer))
    assert type(copy) is type(layer) and copy.get_config() == layer.get_config()


@pytest.mark.parametrize(("size", "nearest"), [((36, 64), "32x64"), ((16, 16), "32x32"), ((64, 24), "64x32")])
def test_size_that_does_not_fit_is_refused_with_the_nearest(size, nearest):
    with pytest.raises(SizeError, match=f"multiples of 8 from 32 on, got {size[0]}x{size[1]}.*--size {nearest}$"):
        BAYESIAN_SEGNET.build(*size, CLASSES)
