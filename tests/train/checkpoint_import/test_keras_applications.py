"""Backbones loaded from Keras Applications' networks, and in torchvision's naming, give those networks' features.

Keras Applications needs no network for this: its architectures come with Keras, and their weights are
random here, with statistics and biases that are not 1 and 0, so that none of them can be swapped.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras

from edge.errors import WeightsError
from tests.train.checkpoint_import.checkpoint_files import write_keras_2
from tests.train.seeded_weights import seeded_image
from train.backbones.mobilenet_v3 import mobilenet_v3_large
from train.backbones.resnet import resnet
from train.checkpoint_import.importer import keras_tensors, load_published, load_tensors
from train.models.base import NORMALIZATIONS, normalize
from train.options import changed_options

HEIGHT, WIDTH = 96, 128

TOLERANCE = 1e-4
"""Of the range of a feature map: float32 sums in another order. Seen: 4e-6; a stride on the wrong layer gives 1e-1."""


@pytest.fixture(scope="module")
def frame():
    """(1, HEIGHT, WIDTH, 3) float32 in 0..255."""
    return seeded_image(HEIGHT, WIDTH)[None].astype(np.float32)


def randomise(network: keras.Model) -> keras.Model:
    """Give the norms statistics and the convolutions biases, and kernels that keep the size of what passes."""
    generator = np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.gamma.shape
            # The last norm of a residual block is small, or what the blocks add up to would grow with each.
            gamma = generator.uniform(0.5, 1.5, shape) * (0.25 if layer.name.endswith("_3_bn") else 1.0)
            beta, mean = generator.normal(0, 0.2, shape), generator.normal(0, 0.2, shape)
            layer.set_weights([gamma, beta, mean, generator.uniform(0.5, 1.5, shape)])
        elif isinstance(layer, keras.layers.Conv2D) and layer.use_bias:
            kernel, bias = (weight.shape for weight in layer.weights)
            deviation = math.sqrt(2 / math.prod(kernel[:3]))
            layer.set_weights([generator.normal(0, deviation, kernel), generator.normal(0, 0.2, bias)])
    return network


def layers_of(network: keras.Model, renamed=lambda layer: layer):
    """Give layers and weights as `write_keras_2` takes them, in Keras 2's naming of variables."""
    for layer in network.layers:
        name = renamed(layer.name)
        yield name, [(f"{name}/{weight.name}:0", np.asarray(weight)) for weight in layer.weights]


def run(features: dict[str, keras.KerasTensor], inputs: keras.KerasTensor, loaded: keras.Model, frame) -> dict:
    """Run a bare backbone with the weights of a loaded network, which have the same names."""
    backbone = keras.Model(inputs, features)
    for layer in backbone.layers:
        if layer.weights:
            layer.set_weights(loaded.get_layer(layer.name).get_weights())
    return {name: np.asarray(output) for name, output in backbone(frame, training=False).items()}


def resnet_features(loaded, frame, output_stride: int = 32) -> dict[str, np.ndarray]:
    """Run a ResNet as the loaded network has it, in another size and output stride."""
    inputs, options = keras.Input((HEIGHT, WIDTH, 3)), loaded.options
    normalised = normalize(inputs, options["normalisation"])
    stages = resnet(normalised, options["depth"], False, output_stride, options["stride_on"])
    return run(stages._asdict(), inputs, loaded.model, frame)


def assert_equal_features(actual: np.ndarray, expected: np.ndarray) -> None:
    assert actual.shape == expected.shape
    assert np.ptp(expected) > 1 and np.mean(expected > 0) > 0.1  # neither dead nor constant
    assert np.abs(actual - expected).max() <= TOLERANCE * np.ptp(expected)


def same_weights(one: keras.Model, other: keras.Model, layers) -> bool:
    return all(
        np.array_equal(ours, theirs)
        for layer in layers
        for ours, theirs in zip(one.get_layer(layer).get_weights(), other.get_layer(layer).get_weights())
    )


# ResNet


@pytest.fixture(scope="module")
def resnet50():
    return randomise(keras.applications.ResNet50(weights=None, include_top=False, input_shape=(HEIGHT, WIDTH, 3)))


@pytest.fixture(scope="module")
def plain_fastfcn(resnet50):
    """ResNet50's weights in the network here whose backbone has output stride 32 and a plain stem."""
    return load_tensors(keras_tensors(resnet50), "fastfcn", "keras-applications", {"stem": "plain"})


def backbone_layers(loaded) -> list[str]:
    return [layer.name for layer in loaded.model.layers if layer.weights and layer.name not in loaded.fresh]


def preprocessed(frame):
    return keras.applications.resnet50.preprocess_input(frame.copy())  # it works in place


def test_features_equal_those_of_resnet50(resnet50, plain_fastfcn, frame):
    assert changed_options("fastfcn", plain_fastfcn.options) == {
        "stem": "plain",
        "stride_on": "1x1",
        "normalisation": "caffe",
    }
    assert (plain_fastfcn.tensors_used, plain_fastfcn.left_out) == (len(keras_tensors(resnet50)), ())
    assert plain_fastfcn.class_count is None
    expected = np.asarray(resnet50(preprocessed(frame), training=False))
    assert_equal_features(resnet_features(plain_fastfcn, frame)["c4"], expected)


@pytest.mark.slow
def test_features_equal_those_of_resnet101(frame):
    application = randomise(
        keras.applications.ResNet101(weights=None, include_top=False, input_shape=(HEIGHT, WIDTH, 3))
    )
    loaded = load_tensors(keras_tensors(application), "fastfcn", "keras-applications", {"stem": "plain", "depth": 101})
    assert loaded.options["depth"] == 101
    expected = np.asarray(application(preprocessed(frame), training=False))
    assert_equal_features(resnet_features(loaded, frame)["c4"], expected)


def test_file_as_it_is_downloaded_gives_the_same_network(resnet50, plain_fastfcn, tmp_path):
    classifier = [("predictions/kernel:0", np.zeros((2048, 1000), np.float32)), ("predictions/bias:0", np.zeros(1000))]
    path = write_keras_2(
        tmp_path / "resnet50_weights.h5",
        [*layers_of(resnet50), ("avg_pool", []), ("predictions", classifier)],
    )
    loaded = load_published(path, "fastfcn", "keras-applications", {"stem": "plain"})
    assert (loaded.options, loaded.fresh) == (plain_fastfcn.options, plain_fastfcn.fresh)
    assert (loaded.tensors_used, loaded.left_out) == (318, ("ResNet's ImageNet classifier (2)",))
    assert same_weights(loaded.model, plain_fastfcn.model, backbone_layers(loaded))


@pytest.mark.parametrize(
    ("model", "given"),
    [
        ("deeplabv3plus", {"output_stride": "8"}),
        ("panoptic_deeplab", {"output_stride": 16}),
    ],
)
@pytest.mark.slow
def test_dilated_networks_take_the_same_weights(resnet50, plain_fastfcn, model, given):
    loaded = load_tensors(keras_tensors(resnet50), model, "keras-applications", given)
    assert (loaded.options["stride_on"], loaded.options["normalisation"]) == ("1x1", "caffe")
    assert loaded.options["output_stride"] == int(given.get("output_stride", 16))
    assert loaded.options.get("depth", 50) == 50
    assert backbone_layers(loaded) == backbone_layers(plain_fastfcn)
    assert same_weights(loaded.model, plain_fastfcn.model, backbone_layers(plain_fastfcn))


def test_dilated_resnet_of_keras_applications_keeps_its_features(resnet50, plain_fastfcn, frame):
    expected = np.asarray(resnet50(preprocessed(frame), training=False))
    dilated = resnet_features(plain_fastfcn, frame, output_stride=8)["c4"]
    assert_equal_features(dilated[:, ::4, ::4], expected)


# ResNet and VGG16 in torchvision's naming


def statistics(shape, generator) -> dict[str, np.ndarray]:
    """Return the tensors of a norm, by torchvision's names of them."""
    return {
        "weight": generator.uniform(0.5, 1.5, shape).astype(np.float32),
        "bias": generator.normal(0, 0.2, shape).astype(np.float32),
        "running_mean": generator.normal(0, 0.2, shape).astype(np.float32),
        "running_var": generator.uniform(0.5, 1.5, shape).astype(np.float32),
        "num_batches_tracked": np.array(7),
    }


def torch_kernel(layer: keras.layers.Layer) -> np.ndarray:
    return np.asarray(layer.kernel).transpose(3, 2, 0, 1)


def torchvision_resnet(application: keras.Model, blocks=(3, 4, 6, 3)) -> dict[str, np.ndarray]:
    """Name an application's weights as torchvision does, whose convolutions have no bias."""
    pairs = {"conv1": ("conv1_conv", "bn1", "conv1_bn")}
    for stage, count in enumerate(blocks, start=1):
        for block in range(count):
            theirs, ours = f"layer{stage}.{block}", f"conv{stage + 1}_block{block + 1}"
            for index in (1, 2, 3):
                pairs[f"{theirs}.conv{index}"] = (f"{ours}_{index}_conv", f"{theirs}.bn{index}", f"{ours}_{index}_bn")
            if block == 0:
                pairs[f"{theirs}.downsample.0"] = (f"{ours}_0_conv", f"{theirs}.downsample.1", f"{ours}_0_bn")
    tensors = {"fc.weight": np.zeros((1000, 2048), np.float32), "fc.bias": np.zeros(1000, np.float32)}
    for conv_name, (conv, norm_name, norm) in pairs.items():
        conv, norm = application.get_layer(conv), application.get_layer(norm)
        tensors[f"{conv_name}.weight"] = torch_kernel(conv)
        gamma, beta, mean, variance = norm.get_weights()
        tensors[f"{norm_name}.weight"], tensors[f"{norm_name}.bias"] = gamma, beta
        tensors[f"{norm_name}.running_mean"] = mean - np.asarray(conv.bias)
        tensors[f"{norm_name}.running_var"] = variance
        tensors[f"{norm_name}.num_batches_tracked"] = np.array(7)
    return tensors


def imagenet_normalised(frame):
    mean, std = NORMALIZATIONS["imagenet"]
    return ((frame - np.float32(mean)) / np.float32(std)).astype(np.float32)


@pytest.mark.slow
def test_resnet_in_torchvision_naming_gives_the_same_features(resnet50, frame):
    tensors = torchvision_resnet(resnet50)
    # torchvision's own weights step on the 3x3; with the application's it has to be where the application's is.
    loaded = load_tensors(tensors, "fastfcn", "torchvision", {"stem": "plain", "stride_on": "1x1"})
    assert loaded.options["normalisation"] == "imagenet"
    assert loaded.tensors_used == 5 * 53
    assert set(loaded.left_out) == {"counters of training steps (53)", "ResNet's ImageNet classifier (2)"}
    expected = np.asarray(resnet50(imagenet_normalised(frame), training=False))
    assert_equal_features(resnet_features(loaded, frame)["c4"], expected)


@pytest.mark.slow
def test_dilated_resnet_of_torchvision_keeps_its_features(resnet50, frame):
    loaded = load_tensors(torchvision_resnet(resnet50), "deeplabv3plus", "torchvision", {})
    assert changed_options("deeplabv3plus", loaded.options) == {"depth": 50}
    expected = resnet_features(loaded, frame)["c4"]
    dilated = resnet_features(loaded, frame, output_stride=8)["c4"]
    assert_equal_features(dilated[:, ::4, ::4], expected)


def test_resnet_with_deep_stem_is_loaded_and_told(resnet50):
    generator = np.random.default_rng(1)
    tensors = torchvision_resnet(resnet50)
    stem = {
        "conv1.0.weight": (64, 3, 3, 3),
        "conv1.3.weight": (64, 64, 3, 3),
        "conv1.6.weight": (128, 64, 3, 3),
        "layer1.0.conv1.weight": (64, 128, 1, 1),
        "layer1.0.downsample.0.weight": (256, 128, 1, 1),
    }
    del tensors["conv1.weight"]
    tensors.update((name, generator.normal(0, 0.1, shape).astype(np.float32)) for name, shape in stem.items())
    for norm, channels in (("conv1.1", 64), ("conv1.4", 64), ("bn1", 128)):
        tensors.update((f"{norm}.{part}", value) for part, value in statistics(channels, generator).items())
    loaded = load_tensors(tensors, "fastfcn", "torchvision", {})
    assert changed_options("fastfcn", loaded.options) == {}
    assert loaded.tensors_used == 5 * 55
    np.testing.assert_array_equal(
        loaded.model.get_layer("conv1_6").get_weights()[0], tensors["conv1.6.weight"].transpose(2, 3, 1, 0)
    )
    with pytest.raises(WeightsError, match="it has stem=deep, expected stem=plain"):
        load_tensors(tensors, "fastfcn", "torchvision", {"stem": "plain"})


# VGG16


@pytest.fixture(scope="module")
def vgg16():
    return randomise(keras.applications.VGG16(weights=None, include_top=False, input_shape=(HEIGHT, WIDTH, 3)))


@pytest.fixture(scope="module")
def encoder(vgg16):
    """VGG16's weights in bayesian_segnet."""
    return load_tensors(keras_tensors(vgg16), "bayesian_segnet", "keras-applications", {})


POOLS = [f"block{stage}_pool" for stage in range(1, 6)]


def pools_of_vgg16(network: keras.Model, inputs) -> list[np.ndarray]:
    outputs = [network.get_layer(name).output for name in POOLS]
    return [np.asarray(output) for output in keras.Model(network.input, outputs)(inputs, training=False)]


def pools_of_segnet(loaded, frame) -> list[np.ndarray]:
    """Run bayesian_segnet's encoder alone, as the loaded network has it."""
    inputs = keras.Input((HEIGHT, WIDTH, 3))
    features, outputs, weighted = normalize(inputs, loaded.options["normalisation"]), [], []
    for stage, count in enumerate((2, 2, 3, 3, 3), start=1):
        for index in range(1, count + 1):
            for suffix in ("", "_bn", "_relu"):
                features = loaded.model.get_layer(f"conv{stage}_{index}{suffix}")(features)
            weighted += [f"conv{stage}_{index}", f"conv{stage}_{index}_bn"]
        features = loaded.model.get_layer(f"pool{stage}")(features)[0]
        outputs.append(features)
    assert not set(weighted) & set(loaded.fresh)
    return [np.asarray(output) for output in keras.Model(inputs, outputs)(frame, training=False)]


@pytest.mark.parametrize("form", ["tensors", "file of Keras 1"])
def test_vgg16_gives_its_features_at_each_pooling(vgg16, encoder, frame, tmp_path, form):
    if form == "tensors":
        loaded = encoder
        assert loaded.left_out == ()
    else:
        # As the file that Keras still downloads: block1_conv1_W_1:0, and what follows the features.
        letters = {"kernel": "W", "bias": "b"}
        layers = [
            (layer.name, [(f"{layer.name}_{letters[w.name]}_1:0", np.asarray(w)) for w in layer.weights])
            for layer in vgg16.layers
        ]
        top = [("predictions_W_1:0", np.zeros((4096, 1000), np.float32)), ("predictions_b_1:0", np.zeros(1000))]
        path = write_keras_2(tmp_path / "vgg16.h5", [*layers, ("flatten", []), ("predictions", top)])
        loaded = load_published(path, "bayesian_segnet", "keras-applications", {})
        assert loaded.left_out == ("VGG's ImageNet classifier (2)",)
    assert (loaded.tensors_used, loaded.class_count) == (26, None)
    assert changed_options("bayesian_segnet", loaded.options) == {"normalisation": "caffe"}
    expected = pools_of_vgg16(vgg16, keras.applications.vgg16.preprocess_input(frame.copy()))
    for ours, theirs in zip(pools_of_segnet(loaded, frame), expected):
        assert_equal_features(ours, theirs)


def test_norm_in_place_of_none_changes_nothing(vgg16, encoder):
    bias = np.asarray(vgg16.get_layer("block3_conv2").bias)
    norm = encoder.model.get_layer("conv3_2_bn")
    features = np.random.default_rng(2).normal(0, 3, (1, 4, 4, len(bias))).astype(np.float32)
    # x + b, up to one rounding of each of the norm's four steps.
    np.testing.assert_allclose(np.asarray(norm(features, training=False)), features + bias, rtol=0, atol=4e-6)


def torchvision_vgg16(vgg16: keras.Model, with_norms: bool) -> tuple[dict[str, np.ndarray], keras.Model]:
    """Name VGG16's weights as torchvision does, and return the network without norms that they are equal to."""
    generator, tensors, position = np.random.default_rng(3), {}, 0
    folded = keras.models.clone_model(vgg16)
    for layer in vgg16.layers:
        if isinstance(layer, keras.layers.MaxPooling2D):
            position += 1
        if not layer.weights:
            continue
        kernel, bias = layer.get_weights()
        tensors[f"features.{position}.weight"] = torch_kernel(layer)
        tensors[f"features.{position}.bias"] = bias
        if with_norms:
            norm = statistics(len(bias), generator)
            tensors.update((f"features.{position + 1}.{part}", value) for part, value in norm.items())
            scale = norm["weight"] / np.sqrt(norm["running_var"] + 1e-5)
            kernel, bias = kernel * scale, (bias - norm["running_mean"]) * scale + norm["bias"]
        folded.get_layer(layer.name).set_weights([kernel, bias])
        position += 3 if with_norms else 2
    tensors["classifier.6.weight"] = np.zeros((1000, 4096), np.float32)
    return tensors, folded


@pytest.mark.parametrize(("with_norms", "used"), [(False, 26), (True, 6 * 13)])
def test_vgg16_in_torchvision_naming_gives_the_same_features(vgg16, frame, with_norms, used):
    tensors, folded = torchvision_vgg16(vgg16, with_norms)
    assert ("features.40.weight" in tensors) == with_norms  # the last convolution of torchvision's vgg16_bn
    loaded = load_tensors(tensors, "bayesian_segnet", "torchvision", {})
    assert (loaded.tensors_used, loaded.class_count) == (used, None)
    counters = ("counters of training steps (13)",) if with_norms else ()
    assert set(loaded.left_out) == {"VGG's ImageNet classifier (1)", *counters}
    assert changed_options("bayesian_segnet", loaded.options) == {}
    expected = pools_of_vgg16(folded, imagenet_normalised(frame))
    for ours, theirs in zip(pools_of_segnet(loaded, frame), expected):
        assert_equal_features(ours, theirs)


# MobileNetV3


@pytest.fixture(scope="module")
def mobilenet():
    return randomise(
        keras.applications.MobileNetV3Large(
            weights=None, include_top=False, include_preprocessing=False, input_shape=(HEIGHT, WIDTH, 3)
        )
    )


def assert_features_of_mobilenet(loaded, mobilenet, frame):
    assert changed_options("panoptic_deeplab", loaded.options) == {
        "backbone": "mobilenet_v3_large",
        "normalisation": "symmetric",
    }
    inputs = keras.Input((HEIGHT, WIDTH, 3))
    stages = mobilenet_v3_large(normalize(inputs, "symmetric"))
    ours = run({str(stage): features for stage, features in enumerate(stages)}, inputs, loaded.model, frame)
    names = ("expanded_conv_2_add", "expanded_conv_5_add", "expanded_conv_11_add", "expanded_conv_14_add")
    theirs = keras.Model(mobilenet.input, [mobilenet.get_layer(name).output for name in names])
    for stage, expected in enumerate(theirs(frame / 127.5 - 1.0, training=False)):
        assert_equal_features(ours[str(stage)], np.asarray(expected))


def test_mobilenet_gives_its_features_at_each_stage(mobilenet, frame):
    tensors = keras_tensors(mobilenet)
    loaded = load_tensors(tensors, "panoptic_deeplab", "keras-applications", {"backbone": "mobilenet_v3_large"})
    assert loaded.left_out == ("what follows its last feature map (5)",)
    assert loaded.tensors_used == len(tensors) - 5
    assert_features_of_mobilenet(loaded, mobilenet, frame)


@pytest.mark.slow
def test_mobilenet_file_with_older_names_is_told_and_read_by_order(mobilenet, frame, tmp_path):
    # Keras 2 called them expanded_conv/depthwise/BatchNorm, where it is expanded_conv_depthwise_bn now.
    def older(name: str) -> str:
        head, _, tail = name.partition("conv")
        return f"{head}conv{tail.replace('_bn', '/BatchNorm').replace('_', '/')}"

    path = write_keras_2(tmp_path / "weights_mobilenet_v3_large.h5", layers_of(mobilenet, older))
    loaded = load_published(path, "panoptic_deeplab", "keras-applications", {})
    assert_features_of_mobilenet(loaded, mobilenet, frame)


def test_backbone_that_contradicts_the_file_is_named(mobilenet, resnet50, tmp_path):
    with pytest.raises(WeightsError, match="it has backbone=resnet50, expected backbone=mobilenet_v3_large"):
        load_tensors(
            keras_tensors(resnet50), "panoptic_deeplab", "keras-applications", {"backbone": "mobilenet_v3_large"}
        )
    with pytest.raises(WeightsError, match="it has backbone=mobilenet_v3_large, expected backbone=resnet50"):
        load_tensors(keras_tensors(mobilenet), "panoptic_deeplab", "keras-applications", {"backbone": "resnet50"})
    with pytest.raises(WeightsError, match="is a MobileNetV3, which deeplabv3plus does not take"):
        load_tensors(keras_tensors(mobilenet), "deeplabv3plus", "keras-applications", {})
    path = write_keras_2(tmp_path / "mobilenet_v2.h5", list(layers_of(mobilenet))[:-2])
    with pytest.raises(WeightsError, match="is no MobileNetV3Large of Keras Applications: Layer count mismatch"):
        load_published(path, "panoptic_deeplab", "keras-applications", {})
