"""From a published checkpoint to a Keras model with its weights: every tensor used exactly once, or an error."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

import keras
import numpy as np

from edge.errors import InputError, WeightsError
from train.checkpoint_import import CHECKPOINT_FAMILIES, families_of
from train.checkpoint_import.layer_weights import LayerWeightsReader, Tensors
from train.checkpoint_import.mappings import ASSUMED_OPTIONS, is_mobilenet, make_mapping
from train.checkpoints import KERAS, read_checkpoint
from train.models import model_spec
from train.options import resolve_options, training_options

BUILD_SIZE = (64, 128)
"""Height and width that a model is built for to hold weights; the weights do not depend on them."""

BACKBONE_CLASSES = 19
"""Number of classes of a network with an imported backbone: its classifier is random, and training replaces it."""

NAMES_IN_MESSAGE = 4
"""An error message lists at most this many tensors or layers by name."""


@dataclass(frozen=True)
class PublishedWeights:
    """A network with the weights of a checkpoint.

    Attributes:
        model: the Keras model, built at BUILD_SIZE.
        options: every option of the architecture, with its value.
        class_count: number of classes of the classifier; None where the checkpoint holds a backbone alone.
        tensors_used: number of tensors of the checkpoint that are in the model.
        left_out: reasons why tensors were not used, each with the number of tensors.
        fresh: names of the layers that keep random weights, since the checkpoint has nothing for them.
    """

    model: keras.Model
    options: dict[str, Any]
    class_count: int | None
    tensors_used: int
    left_out: tuple[str, ...]
    fresh: tuple[str, ...]


def load_published(path: Path, model: str, family: str, given: Mapping[str, Any]) -> PublishedWeights:
    """Read a checkpoint file, and build the network with its weights.

    Args:
        path: file in the format of PyTorch, safetensors or Keras HDF5.
        model: architecture that gets the weights.
        family: key in train.checkpoint_import.CHECKPOINT_FAMILIES.
        given: options of the architecture that the user set.

    Raises:
        InputError: the family has no checkpoints for this architecture; the file is not there; an unknown option.
        WeightsError: the file is damaged, or not a checkpoint of that family for that architecture.
        MissingDependencyError: the package that reads the format is not installed.
    """
    check_family(family, model)
    checkpoint = read_checkpoint(path)
    tensors: Tensors = checkpoint.tensors
    if family == "keras-applications":
        if checkpoint.format != KERAS:
            raise WeightsError(f"{path} is a {checkpoint.format} file, Keras Applications' weights are HDF5")
        if model == "panoptic_deeplab" and is_mobilenet(tensors):
            tensors = _mobilenet_file(path)
    try:
        loaded = load_tensors(tensors, model, family, given)
    except WeightsError as error:
        raise WeightsError(f"{path} does not fit {model} of {CHECKPOINT_FAMILIES[family].title}: {error}") from None
    if not checkpoint.left_out:
        return loaded
    others = f"entries beside the weights: {_listed(list(checkpoint.left_out))}"
    return dataclasses.replace(loaded, left_out=(*loaded.left_out, others))


def check_family(family: str, model: str) -> None:
    """Refuse a family of checkpoints that has none for an architecture.

    Raises:
        InputError: no such family, or it has nothing for the architecture; the message lists those that have.
    """
    if family not in CHECKPOINT_FAMILIES:
        raise InputError(f"source is '{family}', expected one of: {', '.join(CHECKPOINT_FAMILIES)}")
    if model not in CHECKPOINT_FAMILIES[family].models:
        raise InputError(
            f"{family} has no weights for {model}, sources that have: {', '.join(families_of(model)) or 'none'}"
        )


def load_tensors(tensors: Tensors, model: str, family: str, given: Mapping[str, Any]) -> PublishedWeights:
    """Build a network and give it the tensors of a checkpoint.

    Args:
        tensors: tensors of the checkpoint, by the names that the family gives them.
        model: architecture of the network.
        family: key in train.checkpoint_import.CHECKPOINT_FAMILIES.
        given: options of the architecture that the user set.

    Raises:
        WeightsError: tensors are missing, left over, or of another shape; or the checkpoint contradicts an option.
    """
    wanted = resolve_options(model, {**ASSUMED_OPTIONS.get(family, {}), **given})
    mapping = make_mapping(family, model, tensors, wanted)
    for name in given:
        if name in mapping.options and mapping.options[name] != wanted[name]:
            raise WeightsError(f"it has {name}={mapping.options[name]}, expected {name}={wanted[name]}")
    options = training_options(model, {**wanted, **mapping.options})
    reader = LayerWeightsReader(tensors, mapping.naming, mapping.epsilon)
    weights = reader.read(mapping.layers)
    for group in mapping.optional:
        if any(name.startswith(f"{layer.prefix}.") for layer in group for name in tensors):
            weights.update(reader.read(group))
    left_out = _left_out([name for name in tensors if name not in reader.used], mapping.left_out)
    network = model_spec(model).build(*BUILD_SIZE, mapping.class_count or BACKBONE_CLASSES, **options)
    fresh = _assign(network, weights, reader.tensor_names)
    return PublishedWeights(network, options, mapping.class_count, len(reader.used), left_out, fresh)


def keras_tensors(network: keras.Model) -> dict[str, np.ndarray]:
    """Return the weights of a network of Keras Applications, by names of the form "layer/variable"."""
    return {
        f"{layer.name}/{variable.name}": np.asarray(variable) for layer in network.layers for variable in layer.weights
    }


def _mobilenet_file(path: Path) -> dict[str, np.ndarray]:
    """Read a MobileNetV3 through Keras: names in these files differ between versions, their order does not."""
    for include_top in (False, True):
        try:
            return keras_tensors(
                keras.applications.MobileNetV3Large(
                    weights=str(path), include_top=include_top, include_preprocessing=False, input_shape=(224, 224, 3)
                )
            )
        except (ValueError, KeyError, OSError) as error:
            reason = " ".join(str(error).split())[:160]
    raise WeightsError(f"{path} is no MobileNetV3Large of Keras Applications: {reason}")


def _left_out(names: list[str], patterns: Mapping[str, str]) -> tuple[str, ...]:
    counts: dict[str, int] = {}
    unknown = []
    for name in names:
        reason = next((why for pattern, why in patterns.items() if re.search(pattern, name)), None)
        if reason is None:
            unknown.append(name)
        else:
            counts[reason] = counts.get(reason, 0) + 1
    if unknown:
        raise WeightsError(f"nothing here takes {_listed(unknown)}")
    return tuple(f"{reason} ({count})" for reason, count in counts.items())


def _assign(
    network: keras.Model, weights: Mapping[str, list[np.ndarray]], tensor_names: Mapping[str, list[str]]
) -> tuple[str, ...]:
    """Set the weights of each layer of a network, and return the names of the layers that got none.

    Args:
        network: the model that gets the weights.
        weights: layer -> its weights, in the order of Keras.
        tensor_names: layer -> the tensor of the checkpoint that each weight comes from, for messages.
    """
    layers = {layer.name: layer for layer in network.layers if layer.weights}
    unknown = [name for name in weights if name not in layers]
    if unknown:
        raise WeightsError(f"{network.name} has no layer {_listed(unknown)}")
    for name, arrays in weights.items():
        have, want = [array.shape for array in arrays], [tuple(weight.shape) for weight in layers[name].weights]
        for tensor, shape, wanted in zip(tensor_names[name], have, want):
            if shape != wanted:
                raise WeightsError(f"the tensor {tensor} gives {shape}, layer {name} of {network.name} has {wanted}")
        if len(have) > len(want):
            raise WeightsError(f"nothing here takes {_listed(tensor_names[name][len(want) :])}")
        if len(have) < len(want):
            raise WeightsError(f"the checkpoint has {tensor_names[name][-1]}, and lacks the bias beside it")
        layers[name].set_weights(arrays)
    return tuple(name for name in layers if name not in weights)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMES_IN_MESSAGE} more" if len(names) > NAMES_IN_MESSAGE else ""
    return f"{', '.join(names[:NAMES_IN_MESSAGE])}{more}"
