"""Initial weights of a training: random, of a backbone on ImageNet, of a network on PASCAL VOC, or of an earlier run.

Weights are transferred layer by layer, by name. Of layers that have classes, the channels of the classes that both know
are taken (train/class_transfer.py), and the others keep random weights; any other difference of shapes is an error.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Mapping, Sequence

import keras
import numpy as np

from edge.console import print_note, print_status
from edge.errors import InputError, WeightsError
from edge.network_class import NetworkClass
from edge.records import read_record
from train.checkpoint_import import CHECKPOINT_FAMILIES, families_of
from train.checkpoint_import.importer import (
    BACKBONE_CLASSES,
    BUILD_SIZE,
    PublishedWeights,
    keras_tensors,
    load_published,
    load_tensors,
)
from train.class_transfer import ClassMatch, class_axes, different_axes, match_classes, with_channels
from train.models import model_spec
from train.models.base import ModelSpec
from train.options import OPTIONS, resolve_options, training_options
from train.weights_file import (
    DATASETS_OF_COUNTS,
    VOC,
    VOC_CLASS_COUNT,
    WEIGHTS_SUFFIX,
    ImportRecord,
    agreed_options,
    known_classes,
    read_weights,
    weights_path_of,
)

WEIGHTS_ROOT = Path("weights")
"""Folder that is searched for imported weights."""

_VGG, _RESNET50, _RESNET101, _MOBILENET = "VGG16", "ResNet50", "ResNet101", "MobileNetV3Large"


@dataclass(frozen=True)
class InitialWeights:
    """Weights that a network can start from.

    Attributes:
        origin: text that says where the weights come from, for people and for the record of the run.
        options: every option of the architecture, with the values that the weights need.
        class_count: number of classes of their classifier; None where they have none.
        layers: name of a layer -> its weights, in the order of Keras.
        classes: classes of their classifier; empty where they have none, or nothing says whose they are.
    """

    origin: str
    options: dict[str, Any]
    class_count: int | None
    layers: dict[str, list[np.ndarray]] = field(repr=False)
    classes: tuple[NetworkClass, ...] = ()


@dataclass(frozen=True)
class Transfer:
    """Result of a transfer: the layers of a network that got initial weights, and those that did not.

    Attributes:
        taken: names of the layers that have the initial weights.
        taken_parameters: number of weights in those layers.
        classifiers: names of the layers whose classes are others than those of the initial weights.
        fresh: names of the other layers that stay random, since the initial weights have nothing for them.
        matches: classes whose channels in `classifiers` were taken; the others stay random there.
        new_classes: names of the other classes; empty where nothing says whose classes the initial weights have.
        remark: sentence on the classes that a user should know; "" where all is plain.
    """

    taken: tuple[str, ...]
    taken_parameters: int
    classifiers: tuple[str, ...]
    fresh: tuple[str, ...]
    matches: tuple[ClassMatch, ...] = ()
    new_classes: tuple[str, ...] = ()
    remark: str = ""

    def lines(self, origin: str) -> list[str]:
        """Return a few lines of text that say which layers were taken from `origin`."""
        told = [f"taken from {origin}: {len(self.taken)} layers, {self.taken_parameters / 1e6:.2f} M weights"]
        if self.matches:
            told.append(
                f"classes taken by name in {', '.join(self.classifiers)}: "
                f"{', '.join(each.words() for each in self.matches)}"
            )
            if self.new_classes:
                told.append(f"classes made anew there: {', '.join(self.new_classes)}")
        elif self.classifiers:
            told.append(f"made anew for other classes: {', '.join(self.classifiers)}")
        if self.remark:
            told.append(self.remark)
        if self.fresh:
            more = f" and {len(self.fresh) - 8} more" if len(self.fresh) > 8 else ""
            told.append(f"fresh: {', '.join(self.fresh[:8])}{more}")
        return told


def find_initial_weights(
    model: str, init: str | None, path: Path | None, given: Mapping[str, Any]
) -> InitialWeights | None:
    """Return the weights that the user asked to start from.

    Args:
        model: architecture of the network.
        init: "random", "imagenet" or "voc"; None for random weights, or those of `path`.
        path: file with weights of an earlier run or its folder, imported or shipped weights, or a published checkpoint.
        given: options of the architecture that the user set.

    Returns:
        The weights; None for random ones.

    Raises:
        InputError: there are no weights of that kind, or an option is unknown.
        WeightsError: the file does not fit.
        MissingDependencyError: the package that reads the file is not installed.
    """
    if init == "random" or (init is None and path is None):
        if path is not None:
            raise InputError(f"--init random takes no weights, got --init-weights {path}")
        return None
    path = weights_path_of(path) if path is not None else None
    if path is None:
        return _download_imagenet(model, given) if init == "imagenet" else _imported_voc(model, given)
    if path.name.endswith(WEIGHTS_SUFFIX) and path.is_file():
        return _project_weights(model, init, path, given)
    family = _backbone_family(path, model) if init == "imagenet" else _whole_network_family(model)
    published = load_published(path, model, family, given)
    if init == VOC and published.class_count != VOC_CLASS_COUNT:
        raise WeightsError(f"{path} has {published.class_count} classes, expected the {VOC_CLASS_COUNT} of PASCAL VOC")
    return _published(str(path), published)


def transfer(
    initial: InitialWeights,
    network: keras.Model,
    class_count: int,
    classes: Sequence[NetworkClass] = (),
    spec: ModelSpec | None = None,
) -> Transfer:
    """Give a network the initial weights that fit it.

    Args:
        initial: the weights to transfer.
        network: model built with `initial.options`, for any number of classes.
        class_count: number of classes of the network.
        classes: classes of the network; empty where they are not known, and their number has to do.
        spec: architecture of the network; None for the one that the network is named after.

    Raises:
        WeightsError: a layer has another shape for another reason than the number of classes.
    """
    taken, classifiers, fresh, parameters = [], [], [], 0
    are_known = bool(initial.classes and classes)
    are_others = are_known and [each.name for each in initial.classes] != [each.name for each in classes]
    matches = match_classes(classes, initial.classes) if are_others else ()
    axes = {}
    if are_others and initial.class_count == class_count:
        axes = class_axes(spec or model_spec(network.name), network, initial.options, class_count)
    for layer in network.layers:
        if not layer.weights:
            continue
        arrays = initial.layers.get(layer.name)
        shapes = [tuple(weight.shape) for weight in layer.weights]
        if arrays is None:
            fresh.append(layer.name)
        elif layer.name in axes:
            layer.set_weights(_mixed(layer, arrays, axes[layer.name], matches))
            classifiers.append(layer.name)
        elif [array.shape for array in arrays] == shapes:
            layer.set_weights(arrays)
            taken.append(layer.name)
            parameters += sum(math.prod(shape) for shape in shapes)
        elif _differs_in_classes(arrays, shapes, initial.class_count, class_count):
            other_axes = [different_axes(array.shape, shape) for array, shape in zip(arrays, shapes)]
            layer.set_weights(_mixed(layer, arrays, other_axes, matches))
            classifiers.append(layer.name)
        else:
            raise WeightsError(
                f"layer {layer.name} of {initial.origin} has shapes {[array.shape for array in arrays]}, "
                f"{network.name} has {shapes}"
            )
    known = {match.ours for match in matches}
    new_classes = tuple(each.name for train_id, each in enumerate(classes) if are_others and train_id not in known)
    remark = ""
    if classes and not are_known and initial.class_count == class_count:
        remark = f"nothing says whose the {class_count} classes of {initial.origin} are: they were taken in their order"
    return Transfer(tuple(taken), parameters, tuple(classifiers), tuple(fresh), matches, new_classes, remark)


def _mixed(
    layer: keras.layers.Layer,
    arrays: Sequence[np.ndarray],
    axes: Sequence[tuple[int, ...]],
    matches: Sequence[ClassMatch],
) -> list[np.ndarray]:
    """Return the weights of a layer with the channels of the classes that the initial weights know."""
    if not matches:
        return layer.get_weights()
    return [with_channels(*each, matches) for each in zip(layer.get_weights(), arrays, axes)]


def _differs_in_classes(arrays: list[np.ndarray], shapes: list[tuple], theirs: int | None, ours: int) -> bool:
    return len(arrays) == len(shapes) and all(
        len(array.shape) == len(shape)
        and all(have == want or (have == theirs and want == ours) for have, want in zip(array.shape, shape))
        for array, shape in zip(arrays, shapes)
    )


def _project_weights(model: str, init: str | None, path: Path, given: Mapping[str, Any]) -> InitialWeights:
    weights = read_weights(path, model)
    if init == VOC and weights.dataset != VOC:
        raise WeightsError(f"{path} has classes of {weights.dataset or 'no dataset'}, expected those of PASCAL VOC")
    if init == "imagenet" and weights.class_count is not None:
        raise WeightsError(
            f"{path} has {weights.class_count} classes of {weights.dataset or 'an unknown dataset'}, "
            "expected a backbone of ImageNet. Next: leave --init out"
        )
    options = training_options(model, agreed_options(weights, dict(given)))
    network = model_spec(model).build(*BUILD_SIZE, weights.class_count or BACKBONE_CLASSES, **options)
    try:
        # Keras warns of each part before it raises what is wrong.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            network.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"{path} does not fit {model}: {reason}") from None
    layers = {layer.name: layer.get_weights() for layer in network.layers if layer.weights}
    for name in weights.fresh:
        layers.pop(name, None)
    terms = weights.provenance.terms
    source = f"{path} ({terms})" if terms else str(path)
    return InitialWeights(source, options, weights.class_count, layers, weights.classes)


def _published(origin: str, published: PublishedWeights) -> InitialWeights:
    fresh = set(published.fresh)
    layers = {
        layer.name: layer.get_weights() for layer in published.model.layers if layer.weights and layer.name not in fresh
    }
    classes = known_classes(DATASETS_OF_COUNTS.get(published.class_count), published.class_count)
    return InitialWeights(origin, published.options, published.class_count, layers, classes)


def _whole_network_family(model: str) -> str:
    return next(name for name in families_of(model) if CHECKPOINT_FAMILIES[name].has_classifier)


def _backbone_family(path: Path, model: str) -> str:
    families = [name for name in families_of(model) if not CHECKPOINT_FAMILIES[name].has_classifier]
    if not families:
        raise InputError(f"{model} has no backbone that was published with ImageNet weights. Next: leave --init out")
    return "keras-applications" if path.suffix in (".h5", ".hdf5") else "torchvision"


def _imported_voc(model: str, given: Mapping[str, Any]) -> InitialWeights:
    wanted = resolve_options(model, given)
    shaping = [name for name in given if OPTIONS[model][name].shapes_weights]
    found, fitting = [], []
    for record_path in sorted(WEIGHTS_ROOT.glob("*.weights.json")):
        try:
            record = read_record(ImportRecord, record_path)
            if record.model != model or record.dataset != VOC:
                continue
            options = resolve_options(model, record.options)
        except InputError:
            continue
        found.append(record_path.with_name(record_path.stem + ".h5"))
        if all(options[name] == wanted[name] for name in shaping):
            fitting.append(found[-1])
    if found:
        choice = fitting or found
        if len(choice) > 1:
            others = ", ".join(map(str, choice[1:]))
            print_note(
                f"of {len(choice)} weights on PASCAL VOC {choice[0]} are taken; also there: {others} (--init-weights)"
            )
        return _project_weights(model, VOC, choice[0], given)
    title = CHECKPOINT_FAMILIES[_whole_network_family(model)].title
    raise InputError(
        f"no weights of {model} on PASCAL VOC under {WEIGHTS_ROOT}/. Next: get a checkpoint of {title} and "
        f"python train/import_weights.py FILE --model {model} --output {WEIGHTS_ROOT}/{model}-voc{WEIGHTS_SUFFIX}"
    )


def _download_imagenet(model: str, given: Mapping[str, Any]) -> InitialWeights:
    """Return the ImageNet weights of a backbone; Keras Applications downloads them and keeps them in its cache."""
    name = application_name(model, given)
    arguments: dict[str, Any] = {"include_top": False, "weights": "imagenet"}
    if name == _MOBILENET:
        arguments.update(include_preprocessing=False, input_shape=(224, 224, 3))
    print_status(f"ImageNet weights of {name}: from Keras' cache, else downloaded (not with --init random)")
    try:
        application = getattr(keras.applications, name)(**arguments)
    except Exception as error:  # the downloader's errors are of several unrelated types
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"Keras Applications could not fetch the ImageNet weights of {name}: {reason}. "
            "Next: --init random, or --init imagenet --init-weights FILE, a checkpoint named as torchvision's or Keras "
            "Applications'"
        ) from None
    published = load_tensors(keras_tensors(application), model, "keras-applications", given)
    return _published(f"ImageNet weights of Keras Applications' {name}", published)


def application_name(model: str, given: Mapping[str, Any]) -> str:
    """Return the name of the network of Keras Applications that is the backbone of an architecture.

    Raises:
        InputError: no network of Keras Applications is the backbone of the architecture.
    """
    options = resolve_options(model, given)
    if model == "bayesian_segnet":
        return _VGG
    if model == "panoptic_deeplab":
        return _RESNET50 if options["backbone"] == "resnet50" else _MOBILENET
    if model == "deeplabv3plus" or (model == "fastfcn" and options["stem"] == "plain"):
        return _RESNET101 if options["depth"] == 101 else _RESNET50
    if model == "fastfcn":
        raise InputError(
            "Keras Applications has no ResNet with the deep stem of fastfcn. Next: --option stem=plain, or "
            "--init-weights FILE with the ResNet of wuhuikai/FastFCN"
        )
    raise InputError(f"{model} has no backbone that was published with ImageNet weights. Next: leave --init out")
