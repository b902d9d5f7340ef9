"""What training starts from: which layers are taken, which are made anew, and what is said where there is nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras
import tensorflow as tf

from edge.artifacts import sha256_file
from edge.datasets import DATA_ROOT_VARIABLE, class_table
from edge.errors import InputError, WeightsError
from edge.network_class import NetworkClass
from edge.records import read_record, write_record
from tests.train import street_set
from tests.train.checkpoint_import.checkpoint_files import (
    fast_scnn_checkpoint,
    keras_vgg16,
    torchvision_vgg16,
    write_keras_2,
    write_safetensors,
)
from tests.train.checkpoint_import.published_networks import PUBLISHED
from train.class_transfer import match_classes
from train.import_weights import import_weights
from train.initial_weights import InitialWeights, application_name, find_initial_weights, transfer
from train.models import model_spec
from train.options import changed_options, resolve_options, training_options
from train.runs import BEST_WEIGHTS, RUN_RECORD, RunRecord
from train.train import main
from train.weights_file import ImportRecord, import_record_path

pytestmark = pytest.mark.usefixtures("quick_weights")

SMALL_UNET = {"base_width": 4, "batch_norm": True}
"""The smallest network with options that shape the weights."""


def build(model: str, class_count: int, options=None) -> keras.Model:
    return model_spec(model).build(64, 128, class_count, **training_options(model, options or {}))


def write_run(folder: Path, model: str, dataset: str, class_count: int, options) -> tuple[Path, keras.Model]:
    """Write what a training leaves behind, and give its weights file and its network."""
    network = build(model, class_count, options)
    folder.mkdir(parents=True)
    path = folder / BEST_WEIGHTS
    network.save_weights(path)
    run = RunRecord(
        model=model,
        dataset=dataset,
        data_dir="data",
        class_count=class_count,
        height=64,
        width=128,
        options=resolve_options(model, options),
        recipe={},
        init="random",
        seed=0,
        started_utc="2026-01-01T00:00:00+00:00",
        status="finished",
        weights_sha256=sha256_file(path),
    )
    write_record(folder / RUN_RECORD, run)
    return path, network


def write_imported(path: Path, model: str, dataset: str | None, class_count: int | None, options, fresh=()) -> Path:
    """Write weights and their record, as an import leaves them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    build(model, class_count or 19, options).save_weights(path)
    record = ImportRecord(
        model=model,
        source="test",
        file="published.pth",
        file_sha256="0" * 64,
        dataset=dataset,
        class_count=class_count,
        options=resolve_options(model, options),
        tensors_used=1,
        left_out=(),
        fresh=fresh,
        weights_sha256=sha256_file(path),
        imported_utc="2026-01-01T00:00:00+00:00",
        versions={},
    )
    write_record(import_record_path(path), record)
    return path


def weights_of(network: keras.Model) -> dict[str, list[np.ndarray]]:
    return {layer.name: layer.get_weights() for layer in network.layers if layer.weights}


def have_equal_weights(network: keras.Model, layers: dict[str, list[np.ndarray]], names) -> bool:
    own = weights_of(network)
    return all(np.array_equal(one, other) for name in names for one, other in zip(own[name], layers[name], strict=True))


def refusal(error, *arguments) -> str:
    """Ask for initial weights that there are none of, and give the message: one line."""
    with pytest.raises(error) as caught:
        find_initial_weights(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


# Nothing


@pytest.mark.parametrize("init", [None, "random"])
def test_without_weights_training_starts_at_random(init):
    assert find_initial_weights("unet", init, None, {}) is None


def test_random_and_a_file_contradict_each_other():
    message = refusal(InputError, "unet", "random", Path("best.weights.h5"), {})
    assert message == "--init random takes no weights, got --init-weights best.weights.h5"


# A run of one's own, of other classes


@pytest.fixture(scope="module")
def unet_run(tmp_path_factory):
    """Weights of a small U-Net of 21 classes, and its network."""
    folder = tmp_path_factory.mktemp("runs") / "unet-voc-20260101T000000Z"
    return write_run(folder, "unet", "cityscapes", 21, SMALL_UNET)


def test_earlier_run_brings_its_options_and_all_but_its_classifier(unet_run):
    path, trained = unet_run
    initial = find_initial_weights("unet", None, path, {})
    assert (initial.origin, initial.class_count) == (str(path), 21)
    assert changed_options("unet", initial.options) == SMALL_UNET
    network = build("unet", 19, initial.options)
    before = weights_of(network)
    result = transfer(initial, network, 19)
    assert (result.classifiers, result.fresh) == (("logits",), ())
    assert set(result.taken) == set(before) - {"logits"}
    assert have_equal_weights(network, weights_of(trained), result.taken)
    assert have_equal_weights(network, before, ["logits"])
    assert result.taken_parameters == network.count_params() - network.get_layer("logits").count_params()


def test_same_classes_leave_nothing_to_be_made_anew(unet_run):
    path, trained = unet_run
    initial = find_initial_weights("unet", None, path, {"base_width": "4"})
    network = build("unet", 21, initial.options)
    result = transfer(initial, network, 21)
    assert (result.classifiers, result.fresh) == ((), ())
    assert have_equal_weights(network, weights_of(trained), weights_of(trained))
    assert result.lines(initial.origin) == [
        f"taken from {path}: {len(result.taken)} layers, {trained.count_params() / 1e6:.2f} M weights"
    ]


def test_option_that_contradicts_the_run_is_named(unet_run):
    message = refusal(WeightsError, "unet", None, unet_run[0], {"base_width": 64})
    assert f"{unet_run[0]} has unet with base_width=4, expected base_width=64" in message
    assert "unet has no option 'depth'" in refusal(InputError, "unet", None, unet_run[0], {"depth": 50})


def test_run_of_other_classes_is_not_of_voc_and_no_backbone(unet_run):
    path = unet_run[0]
    message = refusal(WeightsError, "unet", "voc", path, {})
    assert message == f"{path} has classes of cityscapes, expected those of PASCAL VOC"
    message = refusal(WeightsError, "unet", "imagenet", path, {})
    assert message.startswith(f"{path} has 21 classes of cityscapes, expected a backbone of ImageNet")


def test_weights_that_are_not_there_are_named(tmp_path):
    for name in ("best.weights.h5", "model.pth"):
        assert refusal(InputError, "unet", None, tmp_path / name, {}) == f"weights not found: {tmp_path / name}"


def test_weights_that_their_record_does_not_fit_are_named(tmp_path):
    path, _ = write_run(tmp_path / "run", "unet", "cityscapes", 21, SMALL_UNET)
    record = read_record(RunRecord, tmp_path / "run" / RUN_RECORD)
    options = {**record.options, "base_width": 8}
    write_record(tmp_path / "run" / RUN_RECORD, dataclasses.replace(record, options=options))
    assert refusal(WeightsError, "unet", None, path, {}).startswith(f"{path} does not fit unet: ")


CLASSIFIERS = [
    ("unet", SMALL_UNET, {"logits"}),
    ("bayesian_segnet", {"classifier": "norm_relu"}, {"classifier", "classifier_bn"}),
    pytest.param("deeplabv3plus", {"depth": 50}, {"logits"}, marks=pytest.mark.slow),
    ("fast_scnn", {}, {"logits", "auxiliary_high", "auxiliary_low"}),
    ("fastfcn", {}, {"logits", "auxiliary", "presence"}),
    pytest.param("panoptic_deeplab", {"backbone": "mobilenet_v3_large"}, {"logits"}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(
    ("model", "options", "remade"), CLASSIFIERS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_classifier_alone_is_made_anew_for_other_classes(model, options, remade):
    options = training_options(model, options)
    theirs, ours = build(model, 21, options), build(model, 19, options)
    result = transfer(InitialWeights("a run", options, 21, weights_of(theirs)), ours, 19)
    assert (set(result.classifiers), result.fresh) == (remade, ())
    assert set(result.taken) == set(weights_of(theirs)) - remade
    assert have_equal_weights(ours, weights_of(theirs), result.taken)
    line = f"made anew for other classes: {', '.join(result.classifiers)}"
    assert result.lines("a run")[1:] == [line]


# Other classes, known by name


def classes_of(*names: str, **other_names: tuple[str, ...]) -> tuple[NetworkClass, ...]:
    return tuple(NetworkClass(name, (0, 0, 0), "other", (), other_names.get(name, ())) for name in names)


def test_classes_are_matched_by_names_however_these_are_written():
    ours = classes_of("traffic-light", "human", "rail-track", human=("pedestrian", "person"))
    theirs = classes_of("person", "Traffic Light", "pedestrian", "road")
    assert [match.words() for match in match_classes(ours, theirs)] == ["traffic-light", "human (from pedestrian)"]
    back = match_classes(theirs, ours)
    assert [(match.ours, match.theirs) for match in back] == [(0, 1), (1, 0), (2, 1)]


def test_class_of_the_same_name_comes_before_one_that_is_merged_into_it():
    ours = classes_of("car", car=("train", "truck"))
    assert match_classes(ours, classes_of("train", "car"))[0].their_name == "car"
    assert match_classes(ours, classes_of("truck", "train"))[0].their_name == "train"


@pytest.mark.parametrize("count", [2, 3], ids=["another number", "the same number"])
def test_classifier_keeps_the_channels_of_the_classes_that_both_know(count):
    options = training_options("fast_scnn", {})
    theirs, ours = build("fast_scnn", count), build("fast_scnn", 3)
    given, before = weights_of(theirs), weights_of(ours)
    known = classes_of("rail", "person", "road")[:count]
    initial = InitialWeights("a run", options, count, given, known)
    result = transfer(initial, ours, 3, classes_of("sky", "person", "rail"))
    after = weights_of(ours)
    for name in ("logits", "auxiliary_high", "auxiliary_low"):
        for now, anew, taken in zip(after[name], before[name], given[name]):
            np.testing.assert_array_equal(now[..., 1:], taken[..., [1, 0]])
            np.testing.assert_array_equal(now[..., 0], anew[..., 0])
    assert have_equal_weights(ours, given, result.taken) and not set(result.taken) & set(result.classifiers)
    assert result.lines("a run")[1:] == [
        f"classes taken by name in {', '.join(result.classifiers)}: person, rail",
        "classes made anew there: sky",
    ]


def test_classes_that_nobody_names_are_taken_in_their_order_and_a_line_says_so():
    network = tiny()
    initial = InitialWeights("a.weights.h5", {}, 19, weights_of(tiny()))
    result = transfer(initial, network, 19, classes_of(*map(str, range(19))))
    assert result.classifiers == () and have_equal_weights(network, initial.layers, ["logits"])
    assert result.lines("it")[1:] == [
        "nothing says whose the 19 classes of a.weights.h5 are: they were taken in their order"
    ]


def test_run_of_before_has_the_classes_of_its_dataset(tmp_path):
    path, _ = write_run(tmp_path / "run", "unet", "camvid", 11, SMALL_UNET)
    initial = find_initial_weights("unet", None, path, {})
    assert [each.name for each in initial.classes] == list(class_table("camvid").class_names)


# Shapes that differ for another reason


def tiny(kernel: int = 3, bias: bool = True, classes: int = 19) -> keras.Model:
    inputs = keras.Input((8, 8, 3))
    features = keras.layers.Conv2D(8, kernel, padding="same", use_bias=bias, name="conv")(inputs)
    logits = keras.layers.Conv2D(classes, 1, name="logits")(features)
    return keras.Model(inputs, logits, name="tiny")


@pytest.mark.parametrize(
    ("theirs", "shapes"),
    [
        (tiny(kernel=5), "[(5, 5, 3, 8), (8,)], tiny has [(3, 3, 3, 8), (8,)]"),
        # The first of its two weights is the same: neither is made anew without a word.
        (tiny(bias=False), "[(3, 3, 3, 8)], tiny has [(3, 3, 3, 8), (8,)]"),
    ],
    ids=["kernel", "bias"],
)
def test_layer_of_another_shape_is_an_error_that_names_it(theirs, shapes):
    initial = InitialWeights("a.weights.h5", {}, 21, weights_of(theirs))
    with pytest.raises(WeightsError) as caught:
        transfer(initial, tiny(), 19)
    assert str(caught.value) == f"layer conv of a.weights.h5 has shapes {shapes}"


def test_classifier_of_a_number_that_nobody_said_is_an_error():
    initial = InitialWeights("a.weights.h5", {}, 150, weights_of(tiny(classes=21)))
    with pytest.raises(WeightsError, match="layer logits of"):
        transfer(initial, tiny(), 19)


def test_many_fresh_layers_are_counted():
    network = build("unet", 19, SMALL_UNET)
    result = transfer(InitialWeights("a.weights.h5", {}, None, {}), network, 19)
    names = list(weights_of(network))
    assert result.fresh == tuple(names)
    assert result.lines("a.weights.h5") == [
        "taken from a.weights.h5: 0 layers, 0.00 M weights",
        f"fresh: {', '.join(names[:8])} and {len(names) - 8} more",
    ]


# Backbones of ImageNet


@pytest.fixture(scope="module")
def vgg16_tensors():
    return torchvision_vgg16()


@pytest.fixture(scope="module")
def vgg16_file(tmp_path_factory, vgg16_tensors):
    """VGG16 as Keras Applications' downloads hold it."""
    return write_keras_2(tmp_path_factory.mktemp("keras") / "vgg16_notop.h5", keras_vgg16(vgg16_tensors))


ENCODER = {
    f"conv{stage}_{index}{suffix}"
    for stage, count in enumerate((2, 2, 3, 3, 3), 1)
    for index in range(1, count + 1)
    for suffix in ("", "_bn")
}


def assert_vgg16(initial: InitialWeights, tensors, normalisation: str) -> None:
    assert (set(initial.layers), initial.class_count) == (ENCODER, None)
    assert initial.options == resolve_options("bayesian_segnet", {"normalisation": normalisation})
    for layer, name in (("conv1_1", "features.0"), ("conv5_3", "features.28")):
        np.testing.assert_array_equal(initial.layers[layer][0].transpose(3, 2, 0, 1), tensors[f"{name}.weight"])
        np.testing.assert_array_equal(initial.layers[f"{layer}_bn"][2], -tensors[f"{name}.bias"])


def test_backbone_in_torchvision_naming_leaves_the_rest_fresh(tmp_path, vgg16_tensors):
    path = write_safetensors(tmp_path / "vgg16.safetensors", vgg16_tensors)
    initial = find_initial_weights("bayesian_segnet", "imagenet", path, {})
    assert initial.origin == str(path)
    assert_vgg16(initial, vgg16_tensors, "imagenet")
    network = build("bayesian_segnet", 11, initial.options)
    before = weights_of(network)
    result = transfer(initial, network, 11)
    assert (set(result.taken), result.classifiers) == (ENCODER, ())
    assert set(result.fresh) == set(before) - ENCODER and "logits" in result.fresh
    assert have_equal_weights(network, initial.layers, ENCODER)
    assert have_equal_weights(network, before, result.fresh)


def test_backbone_in_the_file_of_keras_applications_is_taken(vgg16_tensors, vgg16_file):
    assert_vgg16(find_initial_weights("bayesian_segnet", "imagenet", vgg16_file, {}), vgg16_tensors, "caffe")


def test_imported_backbone_is_taken_without_its_random_layers(tmp_path, vgg16_tensors, vgg16_file):
    path = tmp_path / "vgg.weights.h5"
    import_weights(vgg16_file, "bayesian_segnet", "keras-applications", {}, path)
    for init in (None, "imagenet"):
        initial = find_initial_weights("bayesian_segnet", init, path, {"monte_carlo": 4})
        assert_vgg16(initial, vgg16_tensors, "caffe")


def test_option_that_contradicts_the_backbone_is_named(vgg16_file):
    message = refusal(WeightsError, "bayesian_segnet", "imagenet", vgg16_file, {"normalisation": "unit"})
    assert message.endswith("it has normalisation=caffe, expected normalisation=unit")


def test_backbone_is_fetched_by_keras_applications(monkeypatch, vgg16_file, vgg16_tensors):
    asked = []
    make = keras.applications.VGG16

    def fetch(**arguments):
        asked.append(arguments)
        return make(**{**arguments, "weights": str(vgg16_file)})

    monkeypatch.setattr(keras.applications, "VGG16", fetch)
    initial = find_initial_weights("bayesian_segnet", "imagenet", None, {})
    assert asked == [{"include_top": False, "weights": "imagenet"}]
    assert initial.origin == "ImageNet weights of Keras Applications' VGG16"
    assert_vgg16(initial, vgg16_tensors, "caffe")


def test_without_a_network_the_way_out_is_told(monkeypatch):
    def fail(**_arguments):
        # What keras.utils.get_file raises.
        raise Exception(
            "URL fetch failure on https://storage.example/resnet50.h5:\nNone -- [Errno -3] Temporary failure"
        )

    monkeypatch.setattr(keras.applications, "ResNet50", fail)
    message = refusal(InputError, "panoptic_deeplab", "imagenet", None, {})
    assert message == (
        "Keras Applications could not fetch the ImageNet weights of ResNet50: URL fetch failure on "
        "https://storage.example/resnet50.h5: None -- [Errno -3] Temporary failure. "
        "Next: --init random, or --init imagenet --init-weights FILE, a checkpoint named as torchvision's or Keras "
        "Applications'"
    )


@pytest.mark.parametrize(
    ("model", "given", "name"),
    [
        ("bayesian_segnet", {}, "VGG16"),
        ("deeplabv3plus", {}, "ResNet101"),
        ("deeplabv3plus", {"depth": "50"}, "ResNet50"),
        ("fastfcn", {"stem": "plain"}, "ResNet50"),
        ("fastfcn", {"stem": "plain", "depth": 101}, "ResNet101"),
        ("panoptic_deeplab", {}, "ResNet50"),
        ("panoptic_deeplab", {"backbone": "mobilenet_v3_large"}, "MobileNetV3Large"),
    ],
)
def test_backbone_is_the_one_that_the_options_say(model, given, name):
    assert application_name(model, given) == name


@pytest.mark.parametrize("model", ["unet", "fast_scnn"])
@pytest.mark.parametrize("path", [None, Path("resnet50.pth")], ids=["to be fetched", "file"])
def test_model_without_a_backbone_is_told(model, path):
    message = refusal(InputError, model, "imagenet", path, {})
    assert message == f"{model} has no backbone that was published with ImageNet weights. Next: leave --init out"


def test_fastfcn_has_the_plain_stem_or_a_file_of_its_own():
    message = refusal(InputError, "fastfcn", "imagenet", None, {})
    assert message.startswith(
        "Keras Applications has no ResNet with the deep stem of fastfcn. Next: --option stem=plain"
    )


# Networks of PASCAL VOC


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_weights_of_voc_the_way_to_them_is_told(here):
    message = refusal(InputError, "deeplabv3plus", "voc", None, {})
    assert message == (
        "no weights of deeplabv3plus on PASCAL VOC under weights/. Next: get a checkpoint of "
        "VainF/DeepLabV3Plus-Pytorch and python train/import_weights.py FILE --model deeplabv3plus "
        "--output weights/deeplabv3plus-voc.weights.h5"
    )


def test_imported_weights_of_voc_are_found_among_others(here, capsys):
    folder = here / "weights"
    write_imported(folder / "a.weights.h5", "unet", "cityscapes", 19, SMALL_UNET)
    write_imported(folder / "c.weights.h5", "unet", "voc", 21, SMALL_UNET)
    write_imported(folder / "d.weights.h5", "unet", "voc", 21, {**SMALL_UNET, "base_width": 2})
    (folder / "b.weights.json").write_text("{ damaged")
    initial = find_initial_weights("unet", "voc", None, {})
    assert (initial.origin, initial.class_count) == (str(Path("weights/c.weights.h5")), 21)
    note = capsys.readouterr().err
    assert note.startswith("note: of 2 weights on PASCAL VOC weights/c.weights.h5 are taken; also there: weights/d.w")
    # Of several, those that have what the user asks for.
    initial = find_initial_weights("unet", "voc", None, {"base_width": "2"})
    assert initial.origin == str(Path("weights/d.weights.h5"))
    message = refusal(WeightsError, "unet", "voc", None, {"base_width": 16})
    assert "weights/c.weights.h5 has unet with base_width=4, expected base_width=16" in message
    assert "no weights of fast_scnn on PASCAL VOC" in refusal(InputError, "fast_scnn", "voc", None, {})


def test_published_checkpoint_of_voc_is_read(tmp_path):
    path = write_safetensors(tmp_path / "voc.safetensors", fast_scnn_checkpoint(21))
    initial = find_initial_weights("fast_scnn", "voc", path, {})
    assert (initial.origin, initial.class_count) == (str(path), 21)
    assert "logits" in initial.layers and "auxiliary_low" not in initial.layers


def test_file_of_other_classes_is_not_of_voc(tmp_path):
    path = write_safetensors(tmp_path / "city.safetensors", fast_scnn_checkpoint(19))
    message = refusal(WeightsError, "fast_scnn", "voc", path, {})
    assert message == f"{path} has 19 classes, expected the 21 of PASCAL VOC"
    imported = tmp_path / "city.weights.h5"
    write_imported(imported, "unet", "cityscapes", 19, SMALL_UNET)
    message = refusal(WeightsError, "unet", "voc", imported, {})
    assert message == f"{imported} has classes of cityscapes, expected those of PASCAL VOC"
    write_imported(imported, "unet", None, 150, SMALL_UNET)
    assert "has classes of no dataset" in refusal(WeightsError, "unet", "voc", imported, {})


# A training that starts from imported weights


@pytest.fixture(scope="module")
def fine_tuned(tmp_path_factory):
    """Train an imported Fast-SCNN of 19 classes for an epoch on CamVid's 11, by the command."""
    folder = tmp_path_factory.mktemp("fine_tuning")
    checkpoint = write_safetensors(folder / "published.safetensors", fast_scnn_checkpoint(19))
    weights = folder / "imported.weights.h5"
    import_weights(checkpoint, "fast_scnn", "fast-scnn-pytorch", {}, weights)
    street_set.write_camvid(folder / "data" / "camvid", train=2, val=1, height=64, width=128)
    command = ["--model", "fast_scnn", "--dataset", "camvid", "--size", "64x128", "--epochs", "1", "--batch-size", "2"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv(DATA_ROOT_VARIABLE, raising=False)
        # capsys is not there for the fixture of a whole module.
        with contextlib.redirect_stderr(io.StringIO()) as stderr, warnings.catch_warnings():
            # Without graphs: tracing one takes ten times as long as the one step; tf.data warns that it keeps its own.
            warnings.filterwarnings("ignore", "Even though the `tf.config", UserWarning)
            tf.config.run_functions_eagerly(True)
            try:
                code = main([*command, "--init-weights", weights.name, "--output", "run"])
            finally:
                tf.config.run_functions_eagerly(False)
    return SimpleNamespace(code=code, folder=folder, weights=weights, told=stderr.getvalue().splitlines())


@pytest.mark.slow
def test_training_says_what_was_taken_and_what_is_fresh(fine_tuned):
    assert fine_tuned.code == 0
    network = build("fast_scnn", 19)
    random = ("auxiliary_low_conv", "auxiliary_low_conv_bn", "auxiliary_low")
    remade = ("auxiliary_high", "logits")
    layers = len(weights_of(network)) - len(random) - len(remade)
    parameters = network.count_params() - sum(network.get_layer(name).count_params() for name in (*random, *remade))
    assert fine_tuned.told[0].startswith("training fast_scnn on 2 frames of camvid")
    assert fine_tuned.told[1].startswith("on ")  # the device
    assert fine_tuned.told[2:5] == [
        f"taken from imported.weights.h5: {layers} layers, {parameters / 1e6:.2f} M weights",
        "made anew for other classes: auxiliary_high, logits",
        f"fresh: {', '.join(random)}",
    ]


@pytest.mark.long
def test_run_has_the_options_of_its_initial_weights_and_names_them(fine_tuned):
    run = read_record(RunRecord, fine_tuned.folder / "run" / RUN_RECORD)
    assert (run.status, run.class_count, run.init) == ("finished", 11, "imported.weights.h5")
    assert changed_options("fast_scnn", run.options) == PUBLISHED["fast_scnn"].options


@pytest.mark.long
def test_trained_weights_are_near_the_imported_ones(fine_tuned):
    imported, trained = build("fast_scnn", 19), build("fast_scnn", 11)
    imported.load_weights(fine_tuned.weights)
    trained.load_weights(fine_tuned.folder / "run" / BEST_WEIGHTS)
    for name in ("downsample_conv", "global_3_3_project", "classifier_sep2_pointwise"):
        before, after = (network.get_layer(name).get_weights()[0] for network in (imported, trained))
        # One step of AdamW moves a weight by its rate, 2e-3; one of other random weights differs by 1e-1.
        assert 0 < np.abs(after - before).max() < 1e-2


@pytest.mark.long
def test_model_of_the_initial_weights_has_to_be_the_same(fine_tuned):
    message = refusal(WeightsError, "unet", None, fine_tuned.weights, {})
    assert re.search(r"are weights of fast_scnn, expected unet\. Next: --model fast_scnn$", message)
