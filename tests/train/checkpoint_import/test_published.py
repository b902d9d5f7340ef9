"""Every tensor of a checkpoint is used once, or one line says which is missing, left over or of another shape."""

from __future__ import annotations

import re

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from edge.errors import InputError, WeightsError
from tests.train.checkpoint_import.checkpoint_files import fast_scnn_checkpoint, write_safetensors
from tests.train.checkpoint_import.published_networks import PUBLISHED, seeded_checkpoint
from train.checkpoint_import import CHECKPOINT_FAMILIES, backbone_names, families_of, model_names
from train.checkpoint_import.importer import load_published, load_tensors
from train.checkpoint_import.layer_weights import LayerMapping
from train.options import changed_options

AUXILIARY = ("auxiliary_high_conv", "auxiliary_high_conv_bn", "auxiliary_high")
AUXILIARY_LOW = ("auxiliary_low_conv", "auxiliary_low_conv_bn", "auxiliary_low")


@pytest.fixture(scope="module")
def whole_checkpoint():
    return fast_scnn_checkpoint(19)


@pytest.fixture
def tensors(whole_checkpoint):
    """Tensors of Tramac/Fast-SCNN-pytorch, for a test to spoil."""
    return dict(whole_checkpoint)


def load(tensors, **given):
    return load_tensors(tensors, "fast_scnn", "fast-scnn-pytorch", given)


def refusal(tensors, model: str = "fast_scnn", source: str = "fast-scnn-pytorch", **given) -> str:
    """Load what must be refused, and give the message: one line."""
    with pytest.raises(WeightsError) as caught:
        load_tensors(tensors, model, source, given)
    message = str(caught.value)
    assert "\n" not in message
    return message


def named(mappings: list[LayerMapping], **shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Return tensors of one number each, by the names that mappings ask for; `shapes` are of what has to have one."""
    parts = ("weight", "bias", "running_mean", "running_var")
    names = [
        f"{mapping.prefix}.{part}" for mapping in mappings for part in (parts if mapping.kind == "norm" else parts[:1])
    ]
    return {name: np.zeros(1, np.float32) for name in names}


# What is used, and what is not


def test_every_tensor_is_used_once_and_what_is_no_weight_is_counted(tensors):
    loaded = load(tensors)
    counters = [name for name in tensors if name.endswith("num_batches_tracked")]
    assert loaded.tensors_used == len(tensors) - len(counters)
    assert loaded.left_out == (f"counters of training steps ({len(counters)})",)
    assert loaded.fresh == AUXILIARY_LOW  # the one head that the implementation lacks


def test_missing_tensor_is_named(tensors):
    del tensors["classifier.dsconv2.conv.3.weight"]
    assert refusal(tensors) == "the checkpoint lacks classifier.dsconv2.conv.3.weight"


def test_several_missing_tensors_are_counted(tensors):
    for part in ("weight", "bias", "running_mean"):
        del tensors[f"classifier.dsconv2.conv.4.{part}"]
    assert refusal(tensors) == "the checkpoint lacks classifier.dsconv2.conv.4.weight and 2 more"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("classifier.conv.1.bias", "the checkpoint has classifier.conv.1.weight, and lacks the bias beside it"),
        ("feature_fusion.conv_lower_res.0.bias", "the checkpoint lacks feature_fusion.conv_lower_res.0.bias"),
    ],
)
def test_missing_bias_is_named(tensors, name, message):
    del tensors[name]
    assert refusal(tensors) == message


def test_tensor_that_nothing_takes_is_named(tensors):
    tensors["classifier.conv.2.weight"] = np.zeros((19, 19, 1, 1), np.float32)
    assert refusal(tensors) == "nothing here takes classifier.conv.2.weight"


def test_bias_that_nothing_takes_is_named(tensors):
    tensors["classifier.dsconv1.conv.0.bias"] = np.zeros(128, np.float32)
    assert refusal(tensors) == "nothing here takes classifier.dsconv1.conv.0.bias"


def test_many_tensors_that_nothing_takes_are_counted(tensors):
    tensors.update((f"teacher.{index}", np.zeros(1, np.float32)) for index in range(7))
    assert refusal(tensors) == "nothing here takes teacher.0, teacher.1, teacher.2, teacher.3 and 3 more"


def test_counter_of_another_name_is_no_counter(tensors):
    tensors["num_batches_tracked_twice"] = np.zeros((), np.int64)
    assert refusal(tensors) == "nothing here takes num_batches_tracked_twice"


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("classifier.conv.1.weight", (19, 64, 1, 1), "gives (1, 1, 64, 19), layer logits of fast_scnn has (1, 1, 128"),
        ("classifier.conv.1.bias", (7,), "gives (7,), layer logits of fast_scnn has (19,)"),
        ("learning_to_downsample.conv.conv.1.running_var", (3,), "layer downsample_conv_bn of fast_scnn has (32,)"),
        ("classifier.dsconv1.conv.0.weight", (128, 1, 5, 5), "gives (5, 5, 128, 1), layer classifier_sep1_depthwise"),
        ("classifier.dsconv1.conv.3.weight", (128, 128), "has the shape (128, 128), expected 4 axes"),
        # NumPy would subtract it from each of the 128 means without a word.
        ("feature_fusion.conv_lower_res.0.bias", (1,), "has the shape (1,), the norm behind it has (128,)"),
        ("classifier.conv.1.weight", (), "has the shape (), expected the kernel of a classifier"),
    ],
)
def test_tensor_of_another_shape_is_named(tensors, name, shape, expected):
    tensors[name] = np.zeros(shape, np.float32)
    message = refusal(tensors)
    assert message.startswith(f"the tensor {name} ") and expected in message


# Heads that only training has


def test_checkpoint_without_auxiliary_head_leaves_exactly_its_layers_fresh(tensors):
    for name in [name for name in tensors if name.startswith("auxlayer.")]:
        del tensors[name]
    assert set(load(tensors).fresh) == {*AUXILIARY, *AUXILIARY_LOW}


@pytest.mark.parametrize("name", ["auxlayer.0.weight", "auxlayer.1.running_var", "auxlayer.4.weight"])
def test_half_an_auxiliary_head_is_an_error(tensors, name):
    del tensors[name]
    assert refusal(tensors) == f"the checkpoint lacks {name}"


# Classes and options


@pytest.mark.parametrize("class_count", [21, 150])
def test_number_of_classes_is_found(class_count):
    loaded = load(fast_scnn_checkpoint(class_count))
    assert loaded.class_count == class_count
    assert loaded.model.output["logits"].shape[-1] == class_count
    assert loaded.model.output["auxiliary_high"].shape[-1] == class_count


def test_options_of_the_checkpoint_are_set_and_the_users_kept(tensors):
    options = load(tensors, dropout="0.3", padding="symmetric").options
    assert changed_options("fast_scnn", options) == {**PUBLISHED["fast_scnn"].options, "dropout": 0.3}


def test_option_that_contradicts_the_checkpoint_is_named(tensors):
    assert refusal(tensors, padding="same") == "it has padding=symmetric, expected padding=same"
    with pytest.raises(InputError, match="fast_scnn has no option 'depth'"):
        load(tensors, depth=50)


CLASSIFIER = {"head.conv6.1.weight": np.zeros((21, 512, 1, 1), np.float32)}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"depth": "101"}, "it has depth=50, expected depth=101"),
        ({"head": "psp"}, "it has head=encnet, expected head=psp"),
        ({"stem": "plain"}, "it has stem=deep, expected stem=plain"),
        ({"encoding_positions": 3600}, "it has encoding_positions=0, expected encoding_positions=3600"),
    ],
)
def test_option_that_contradicts_fastfcn_is_named(given, message):
    tensors = {**named(list(model_names.fastfcn(50, "encnet", True))), **CLASSIFIER}
    assert refusal(tensors, "fastfcn", "fastfcn", **given) == message


def test_depth_of_deeplabv3plus_is_found_and_a_contradiction_named():
    tensors = named(list(model_names.deeplabv3plus(50, (6, 12, 18))))
    assert (
        refusal(tensors, "deeplabv3plus", "deeplabv3plus-pytorch", depth=101) == "it has depth=50, expected depth=101"
    )


# Checkpoints of another network


@pytest.mark.parametrize(
    ("model", "source", "message"),
    [
        ("unet", "torchvision", "torchvision has no weights for unet, sources that have: pytorch-unet"),
        ("fast_scnn", "fastfcn", "fastfcn has no weights for fast_scnn, sources that have: fast-scnn-pytorch"),
        ("unet", "nobody", "source is 'nobody', expected one of: fastfcn, "),
    ],
)
def test_source_without_weights_for_the_model_is_refused(tmp_path, model, source, message):
    with pytest.raises(InputError, match=re.escape(message)):
        load_published(tmp_path / "not-there.pth", model, source, {})


@pytest.mark.parametrize(
    ("model", "source"),
    [(model, source) for source in CHECKPOINT_FAMILIES for model in CHECKPOINT_FAMILIES[source].models],
)
def test_checkpoint_of_another_network_is_refused_by_name(tmp_path, model, source):
    path = write_safetensors(tmp_path / "other.safetensors", {"encoder.weight": np.zeros((1, 1), np.float32)})
    with pytest.raises(WeightsError) as caught:
        load_published(path, model, source, {})
    message = str(caught.value)
    assert "\n" not in message and message.startswith(str(path))
    if source == "keras-applications":
        assert message.endswith("is a safetensors file, Keras Applications' weights are HDF5")
    else:
        assert f"does not fit {model} of {CHECKPOINT_FAMILIES[source].title}: the checkpoint has no " in message


def test_each_architecture_has_one_source_of_whole_networks():
    for model in PUBLISHED.values():
        assert [name for name in families_of(model.model) if CHECKPOINT_FAMILIES[name].has_classifier] == [model.source]


def test_resnet_101_is_not_for_panoptic_deeplab():
    tensors = named(list(backbone_names.torch_resnet("", 101, deep_stem=False)))
    message = refusal(tensors, "panoptic_deeplab", "torchvision")
    assert message == "the checkpoint is a ResNet-101, panoptic_deeplab has a ResNet-50"
    tensors = named(list(backbone_names.torch_resnet("backbone.", 101, deep_stem=False)))
    tensors["decoder.semantic_head.classifier.semantic.1.weight"] = np.zeros((19, 256, 1, 1), np.float32)
    message = refusal(tensors, "panoptic_deeplab", "panoptic-deeplab")
    assert message == "the checkpoint has the backbone ResNet-101, expected Panoptic-DeepLab on ResNet-50"


@pytest.mark.parametrize("model", ["deeplabv3plus", "panoptic_deeplab"])
def test_deep_stem_is_for_fastfcn_alone(model):
    tensors = named(list(backbone_names.torch_resnet("", 50, deep_stem=True)))
    message = refusal(tensors, model, "torchvision")
    assert message == f"the checkpoint has a stem of three convolutions, {model} has the plain one of 7x7"


def test_resnet_of_another_depth_is_told():
    tensors = named(list(backbone_names.torch_resnet("", 50, deep_stem=False)))
    deeper = {f"layer3.{block}.conv1.weight": np.zeros(1) for block in range(36)}  # ResNet-152
    message = refusal({**tensors, **deeper}, "deeplabv3plus", "torchvision")
    assert message == "the checkpoint has no layer3 of 6 or 23 blocks, so it is no ResNet"


# Folded biases


def apply(network, conv: str, norm: str, features: np.ndarray) -> np.ndarray:
    return np.asarray(network.get_layer(norm)(network.get_layer(conv)(features), training=False))


def published_result(tensors, conv: str, norm: str, sums: np.ndarray) -> np.ndarray:
    """Compute BN(sums + b), with the sums of a convolution as the checkpoint has it, in float64."""
    gamma, beta, mean, variance = (
        tensors[f"{norm}.{part}"].astype(np.float64) for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (sums + tensors[f"{conv}.bias"] - mean) / np.sqrt(variance + 1e-5) * gamma + beta


@pytest.mark.parametrize(
    ("layer", "theirs"), [("fusion_low_pointwise", "conv_lower_res"), ("fusion_high_pointwise", "conv_higher_res")]
)
def test_bias_of_the_fusion_moves_into_its_norm(tensors, layer, theirs):
    conv, norm = f"feature_fusion.{theirs}.0", f"feature_fusion.{theirs}.1"
    network = load(tensors).model
    features = np.random.default_rng(0).normal(0, 1, (1, 3, 5, tensors[f"{conv}.weight"].shape[1])).astype(np.float32)
    sums = features.astype(np.float64) @ tensors[f"{conv}.weight"][:, :, 0, 0].T
    expected = published_result(tensors, conv, norm, sums)
    # Sums of 128 products in float32; without the biases of up to 0.1 it would be 1e-1.
    np.testing.assert_allclose(apply(network, layer, f"{layer}_bn", features), expected, rtol=0, atol=1e-5)
    mean = network.get_layer(f"{layer}_bn").get_weights()[2]
    np.testing.assert_array_equal(mean, tensors[f"{norm}.running_mean"] - tensors[f"{conv}.bias"])


def test_biases_of_segnet_move_into_its_norms():
    tensors = seeded_checkpoint(PUBLISHED["segnet"], 12)
    loaded = load_tensors(tensors, "bayesian_segnet", "pytorch-semseg", {})
    assert (loaded.class_count, loaded.fresh) == (12, ())
    means = {
        mapping.layer: (tensors[f"{mapping.prefix}.running_mean"], tensors[f"{mapping.bias_of}.bias"])
        for mapping in model_names.segnet()
        if mapping.kind == "norm"
    }
    assert len(means) == 26 and "classifier_bn" in means
    for layer, (mean, bias) in means.items():
        assert np.abs(bias).max() > 0
        np.testing.assert_array_equal(loaded.model.get_layer(layer).get_weights()[2], mean - bias)
    # The 3x3 window in the middle, by PyTorch's order of the kernel.
    conv, norm = "up1.conv2.cbr_unit.0", "up1.conv2.cbr_unit.1"
    features = np.random.default_rng(0).normal(0, 1, (1, 3, 3, 64)).astype(np.float32)
    sums = np.einsum("rci,oirc->o", features[0].astype(np.float64), tensors[f"{conv}.weight"].astype(np.float64))
    actual = apply(loaded.model, "classifier", "classifier_bn", features)[0, 1, 1]
    np.testing.assert_allclose(actual, published_result(tensors, conv, norm, sums), rtol=0, atol=1e-5)
